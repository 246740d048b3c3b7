//! How a body is written.

use bytes::Bytes;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::document::Properties;
use crate::TaskFailure;
use crate::builtin::http::{FORM, is_json, media_type};
use crate::builtin::uri::encoded_but;

/// The content type, and the bytes.
///
/// # Errors
/// A permanent failure of the type `validation`, when the value cannot be written so.
pub(super) fn write(
    content_type: &str,
    value: &Value,
    properties: &Properties<'_>,
) -> Result<(String, Bytes), TaskFailure> {
    let plain = media_type(content_type);
    let own = content_type.to_owned();
    let invalid =
        |what: &str| Err(TaskFailure::validation(format!("a body of the type {plain} must be {what}")));
    match (plain.as_str(), value) {
        (it, _) if is_json(it) => Ok((own, value.to_string().into())),
        (FORM, Value::Object(fields)) => Ok((own, form(fields).into())),
        ("multipart/form-data", Value::Object(fields)) => {
            let boundary = format!("millrace-{}", Uuid::new_v4().simple());
            let body = multipart(fields, properties, &boundary)?;
            Ok((format!("{plain}; boundary={boundary}"), body))
        }
        (FORM | "multipart/form-data", _) => invalid("a mapping"),
        (_, Value::String(text)) => Ok((own, text.clone().into())),
        _ => invalid("text: make it by an expression"),
    }
}

/// A list repeats its name; what is nested is JSON.
fn each(fields: &Map<String, Value>) -> impl Iterator<Item = (&str, String)> {
    fields.iter().flat_map(|(name, value)| {
        let values = value.as_array().map_or_else(|| std::slice::from_ref(value), Vec::as_slice);
        values.iter().filter_map(move |it| match it {
            Value::Null => None,
            Value::String(text) => Some((name.as_str(), text.clone())),
            other => Some((name.as_str(), other.to_string())),
        })
    })
}

fn form(fields: &Map<String, Value>) -> String {
    let write = |text: &str| encoded_but(text, " ").replace(' ', "+");
    let pairs = each(fields).map(|(name, value)| format!("{}={}", write(name), write(&value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// RFC 7578. A field whose schema says that it is a file has a file's name: its own.
fn multipart(
    fields: &Map<String, Value>,
    properties: &Properties<'_>,
    boundary: &str,
) -> Result<Bytes, TaskFailure> {
    let mut body = String::new();
    for (name, value) in each(fields) {
        if name.contains(['\r', '\n', '"']) {
            return Err(TaskFailure::validation(format!("{name:?} cannot be the name of a form's field")));
        }
        let schema = properties.by_name.get(name);
        let says = |key: &str, wanted: &str| {
            schema.and_then(|it| it.get(key)).and_then(Value::as_str).is_some_and(|it| it == wanted)
        };
        let (file, content_type) = if says("type", "file") || says("format", "binary") {
            (format!("; filename=\"{name}\""), "Content-Type: application/octet-stream\r\n")
        } else if fields.get(name).is_some_and(Value::is_object) {
            (String::new(), "Content-Type: application/json\r\n")
        } else {
            (String::new(), "")
        };
        body += &format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n{content_type}\r\n{value}\r\n"
        );
    }
    body += &format!("--{boundary}--\r\n");
    Ok(body.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn a_body_is_written_as_its_type_says() {
        let fields =
            json!({ "a": "x & y", "list": [1, 2], "none": null, "deep": { "b": 1 }, "file": "bytes" });
        let mut properties = Properties::default();
        properties.by_name.insert("file".to_owned(), json!({ "type": "string", "format": "binary" }));
        let written = |content_type: &str, value: &Value| {
            write(content_type, value, &properties)
                .map(|(name, body)| (name, String::from_utf8(body.to_vec()).unwrap()))
        };
        assert_eq!(written("application/json", &json!("x")).unwrap().1, "\"x\"");
        assert_eq!(
            written(FORM, &fields).unwrap().1,
            "a=x+%26+y&list=1&list=2&deep=%7B%22b%22%3A1%7D&file=bytes"
        );
        assert_eq!(written("application/xml", &json!("<a/>")).unwrap().1, "<a/>");
        let (content_type, body) = written("multipart/form-data", &fields).unwrap();
        let boundary = content_type.split_once("boundary=").unwrap().1;
        assert_eq!(
            body.replace(boundary, "B").replace("\r\n", "\n"),
            "--B\nContent-Disposition: form-data; name=\"a\"\n\nx & y\n\
             --B\nContent-Disposition: form-data; name=\"list\"\n\n1\n\
             --B\nContent-Disposition: form-data; name=\"list\"\n\n2\n\
             --B\nContent-Disposition: form-data; name=\"deep\"\nContent-Type: application/json\n\n{\"b\":1}\n\
             --B\nContent-Disposition: form-data; name=\"file\"; filename=\"file\"\nContent-Type: application/octet-stream\n\nbytes\n\
             --B--\n"
        );
        for (content_type, value) in [(FORM, json!("x")), ("application/xml", json!({ "a": 1 }))] {
            assert!(written(content_type, &value).is_err(), "{content_type}");
        }
        assert!(written("multipart/form-data", &json!({ "a\r\nb": 1 })).is_err());
    }
}
