//! From arguments with markers in them to arguments with secrets in them.
//!
//! The processor knows no secrets. Where an expression names one it puts a marker, a text that nobody could guess, and tells which
//! secret it stands for. So secrets are in no record, and still an expression may put them into a longer text.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Redaction;
use crate::TaskFailure;

/// From a marker to the path of a secret: its name, and the properties within it.
pub(in crate::builtin) type Markers = BTreeMap<String, Vec<String>>;

/// The arguments, with each marker replaced by what it stands for. A text that is wholly a marker becomes the secret as it is, be it a
/// mapping; within a longer text it stands as text. What a secret has in it is never taken for a marker.
///
/// # Errors
/// A permanent failure of the type `configuration` that names the secret, when there is no such secret or no such property.
pub(in crate::builtin) fn fill(
    arguments: &Value,
    markers: &Markers,
    secrets: &BTreeMap<String, Value>,
    redaction: &mut Redaction,
) -> Result<Value, TaskFailure> {
    let mut values = BTreeMap::new();
    for (marker, path) in markers.iter().filter(|(marker, _)| !marker.is_empty()) {
        let value = look_up(path, secrets)?;
        redaction.add_value(value);
        values.insert(marker.as_str(), value);
    }
    Ok(filled(arguments, &values))
}

fn look_up<'s>(path: &[String], secrets: &'s BTreeMap<String, Value>) -> Result<&'s Value, TaskFailure> {
    let (name, properties) = path.split_first().map_or(("", path), |(name, rest)| (name.as_str(), rest));
    let missing = |what: String| TaskFailure::configuration(what);
    let mut value =
        secrets.get(name).ok_or_else(|| missing(format!("there is no secret `{name}` for this worker")))?;
    for property in properties {
        value = value.get(property).ok_or_else(|| {
            missing(format!("the secret `{name}` has no property `{}`", properties.join(".")))
        })?;
    }
    Ok(value)
}

fn filled(value: &Value, markers: &BTreeMap<&str, &Value>) -> Value {
    match value {
        Value::String(text) => match markers.get(text.as_str()) {
            Some(&secret) => secret.clone(),
            None => Value::String(filled_text(text, markers)),
        },
        Value::Array(items) => items.iter().map(|it| filled(it, markers)).collect(),
        Value::Object(entries) => {
            entries.iter().map(|(key, it)| (filled_text(key, markers), filled(it, markers))).collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn filled_text(text: &str, markers: &BTreeMap<&str, &Value>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let first = markers
            .iter()
            .filter_map(|(marker, it)| Some((rest.find(marker)?, *marker, *it)))
            .min_by_key(|it| it.0);
        let Some((at, marker, secret)) = first else { break };
        out.push_str(&rest[..at]);
        match secret {
            Value::String(secret) => out.push_str(secret),
            other => out.push_str(&other.to_string()),
        }
        rest = &rest[at + marker.len()..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn markers(entries: &[(&str, &[&str])]) -> Markers {
        let path = |it: &[&str]| it.iter().map(|it| (*it).to_owned()).collect();
        entries.iter().map(|(marker, it)| ((*marker).to_owned(), path(it))).collect()
    }

    fn secrets() -> BTreeMap<String, Value> {
        BTreeMap::from([
            ("shop".to_owned(), json!({ "user": "me", "key": { "id": 7, "text": "hunter2 and MARK-2" } })),
            ("token".to_owned(), json!("abcdef")),
        ])
    }

    #[test]
    fn markers_are_replaced_wherever_they_stand() {
        let markers = markers(&[
            ("MARK-1", &["token"]),
            ("MARK-2", &["shop", "user"]),
            ("MARK-3", &["shop", "key"]),
            ("MARK-4", &["shop", "key", "text"]),
        ]);
        let arguments = json!({
            "whole": "MARK-1",
            "within": "Token MARK-1, for MARK-2MARK-2!",
            "deep": [{ "MARK-2": "MARK-4" }, 5, null],
            "mapping": "MARK-3",
            "as text": "key=MARK-3",
            "none": "MARK",
        });
        let mut redaction = Redaction::default();
        assert_eq!(
            fill(&arguments, &markers, &secrets(), &mut redaction).unwrap(),
            json!({
                "whole": "abcdef",
                "within": "Token abcdef, for meme!",
                "deep": [{ "me": "hunter2 and MARK-2" }, 5, null],
                "mapping": { "id": 7, "text": "hunter2 and MARK-2" },
                "as text": r#"key={"id":7,"text":"hunter2 and MARK-2"}"#,
                "none": "MARK",
            })
        );
        assert_eq!(redaction.text("it is abcdef"), "it is ***");
    }

    #[test]
    fn what_is_missing_is_named_and_nothing_is_told_of_what_is_there() {
        for (path, problem) in [
            (&["shp"] as &[&str], "there is no secret `shp` for this worker"),
            (&["shop", "key", "pin"], "the secret `shop` has no property `key.pin`"),
            (&["token", "id"], "the secret `token` has no property `id`"),
        ] {
            let failure = fill(&json!("m"), &markers(&[("m", path)]), &secrets(), &mut Redaction::default())
                .unwrap_err();
            assert_eq!(
                failure.to_string(),
                format!(
                    "permanent https://serverlessworkflow.io/spec/1.0.0/errors/configuration (400): {problem}"
                )
            );
        }
    }

    #[test]
    fn without_markers_nothing_changes() {
        let arguments = json!({ "a": ["b", { "c": 1.5 }] });
        assert_eq!(
            fill(&arguments, &Markers::new(), &BTreeMap::new(), &mut Redaction::default()).unwrap(),
            arguments
        );
    }
}
