//! URI templates: a text with `{name}`s in it, of which each is a property of the data.

use serde_json::Value;

use super::{ExpressionError, error};

/// A URI with `{name}`s (RFC 6570, level 1, the part of it that the language takes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UriTemplate {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// A property of the data, by its whole name: `a.b` is the property `a.b`, and no path.
    Name(String),
}

impl UriTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (literal, tail) = rest.split_at(at);
            let inner = tail.strip_prefix('{').ok_or("there is a `}` without a `{` before it")?;
            let (name, after) = inner.split_once('}').ok_or("there is a `{` without a `}` after it")?;
            if name.is_empty() || !name.chars().all(is_name) {
                return Err(format!("`{{{name}}}` is more than a name"));
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            parts.push(Part::Name(name.to_owned()));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// As it is in the definition.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is the same for all data.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.parts.iter().all(|it| matches!(it, Part::Literal(_)))
    }

    /// The URI for `input`. What the data does not have, and `null`, is empty, as the language wants it.
    ///
    /// # Errors
    /// When a name stands for a list or a mapping, or when data would lead up the path by `..`.
    pub fn expand(&self, input: &Value) -> Result<String, ExpressionError> {
        let mut uri = String::with_capacity(self.text.len());
        for part in &self.parts {
            match part {
                Part::Literal(text) => uri.push_str(text),
                Part::Name(name) => match input.get(name) {
                    None | Some(Value::Null) => {}
                    Some(Value::String(text)) => encode(text, &mut uri),
                    Some(value @ (Value::Bool(_) | Value::Number(_))) => encode(&value.to_string(), &mut uri),
                    Some(Value::Array(_) | Value::Object(_)) => {
                        let detail = format!("`{name}` must be text, a number, true, false or null in a URI");
                        return Err(error(&self.text, detail));
                    }
                },
            }
        }
        // No encoding keeps dots from being a step up: whoever reads the URI decodes them first.
        let path = uri.split(['?', '#']).next().unwrap_or_default();
        if !self.is_constant() && path.split('/').any(|it| matches!(it, "." | "..")) {
            return Err(error(&self.text, format!("the data makes it {path}, with `.` or `..` as a step")));
        }
        Ok(uri)
    }
}

fn is_name(it: char) -> bool {
    it.is_ascii_alphanumeric() || matches!(it, '_' | '-' | '.')
}

/// Everything but the unreserved characters of RFC 3986, so that data stays within its part of the URI.
fn encode(text: &str, uri: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn expanded(text: &str, input: &Value) -> String {
        UriTemplate::parse(text).unwrap().expand(input).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn names_are_replaced_by_what_the_data_has() {
        let input = json!({ "id": 7, "name": "Müller & Söhne/../x?y#z", "yes": true, "none": null, "a.b": "c", "deep": {} });
        for (text, uri) in [
            ("https://a.b/pets", "https://a.b/pets"),
            ("https://a.b/pets/{id}?all={yes}", "https://a.b/pets/7?all=true"),
            ("https://a.b/{name}", "https://a.b/M%C3%BCller%20%26%20S%C3%B6hne%2F..%2Fx%3Fy%23z"),
            ("https://a.b/{none}/{gone}/{a.b}", "https://a.b///c"),
            (
                "https://a.b/{deep}",
                "expression `https://a.b/{deep}`: `deep` must be text, a number, true, false or null in a URI",
            ),
        ] {
            assert_eq!(expanded(text, &input), uri);
        }
        assert_eq!(expanded("https://a.b/{id}", &json!([1])), "https://a.b/");
        assert!(expanded("https://a.b/pets/{id}/x", &json!({ "id": ".." })).ends_with("as a step"));
        assert_eq!(expanded("https://a.b/{id}?up=..", &json!({ "id": "a..b" })), "https://a.b/a..b?up=..");
    }

    #[test]
    fn only_names_are_templates() {
        for (text, problem) in [
            ("https://a.b/{id", "there is a `{` without a `}` after it"),
            ("https://a.b/id}", "there is a `}` without a `{` before it"),
            ("https://a.b/{+path}", "`{+path}` is more than a name"),
            ("https://a.b/{?a,b}", "`{?a,b}` is more than a name"),
            ("https://a.b/{}", "`{}` is more than a name"),
        ] {
            assert_eq!(UriTemplate::parse(text).unwrap_err(), problem);
        }
        assert!(UriTemplate::parse("https://a.b/c").unwrap().is_constant());
    }
}
