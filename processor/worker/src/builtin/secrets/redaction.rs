//! What must not be told.

use reqwest::Url;
use serde_json::Value;

use crate::TaskFailure;

/// Shorter texts stay: they are no secrets that hold, and without them a message could not be read.
const BYTES_MIN: usize = 4;
const INSTEAD: &str = "***";

/// The secrets of one call, to be taken out of what is told about it: an answer may quote what it was sent, and an error may
/// quote anything.
#[derive(Default)]
pub(in crate::builtin) struct Redaction {
    texts: Vec<String>,
}

impl std::fmt::Debug for Redaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redaction").field("texts", &self.texts.len()).finish()
    }
}

impl Redaction {
    /// A text, as it is, and as it stands in URIs, in forms and in JSON.
    pub(in crate::builtin) fn add(&mut self, text: &str) {
        if text.len() < BYTES_MIN {
            return;
        }
        let json = Value::from(text).to_string();
        let mut url = Url::parse("http://form/").expect("this is a URL");
        url.query_pairs_mut().append_pair("", text);
        let form = url.query().unwrap_or_default().trim_start_matches('=').to_owned();
        url.set_query(Some(text));
        let query = url.query().unwrap_or_default().to_owned();
        url.set_path(text);
        let path = url.path().trim_start_matches('/').to_owned();
        let percent = crate::builtin::uri::encoded(text);
        for form in [text.to_owned(), json[1..json.len() - 1].to_owned(), form, query, path, percent] {
            if form.len() >= BYTES_MIN && !self.texts.contains(&form) {
                self.texts.push(form);
            }
        }
        // The longest first: a part of it may be a secret as well.
        self.texts.sort_by_key(|it| std::cmp::Reverse(it.len()));
    }

    /// All texts within a value.
    pub(in crate::builtin) fn add_value(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.add(text),
            Value::Number(_) => self.add(&value.to_string()),
            Value::Array(items) => items.iter().for_each(|it| self.add_value(it)),
            Value::Object(entries) => entries.values().for_each(|it| self.add_value(it)),
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// The text, without secrets.
    pub(in crate::builtin) fn text(&self, text: &str) -> String {
        self.texts.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), INSTEAD) } else { text }
        })
    }

    /// The value, without secrets in its texts.
    pub(in crate::builtin) fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|it| self.value(it)),
            Value::Object(entries) => entries.values_mut().for_each(|it| self.value(it)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The failure, without secrets.
    pub(in crate::builtin) fn failure(&self, mut failure: TaskFailure) -> TaskFailure {
        for text in [&mut failure.error.title, &mut failure.error.detail].into_iter().flatten() {
            *text = self.text(text);
        }
        failure
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_taken_out_in_each_form_that_they_may_have() {
        let mut redaction = Redaction::default();
        redaction.add_value(&json!({ "password": "pass word/\"ü\"", "pin": 1234, "short": "abc" }));
        redaction.add("pass");
        for (told, rest) in [
            ("it is pass word/\"ü\".", "it is ***."),
            (r#"{"p":"pass word/\"ü\""}"#, r#"{"p":"***"}"#),
            ("?p=pass+word%2F%22%C3%BC%22&q", "?p=***&q"),
            ("/pass%20word%2F%22%C3%BC%22/x", "/***/x"),
            ("pin 1234, pass, abc", "pin ***, ***, abc"),
        ] {
            assert_eq!(redaction.text(told), rest);
        }
        let failure = TaskFailure::permanent("no 1234").with_detail("1234 again");
        assert_eq!(
            redaction.failure(failure).to_string(),
            "permanent https://serverlessworkflow.io/spec/1.0.0/errors/runtime (500): no ***: *** again"
        );
        assert!(!format!("{redaction:?}").contains("1234"));
    }
}
