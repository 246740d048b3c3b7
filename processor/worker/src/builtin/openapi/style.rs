//! How a parameter is written: `style` and `explode` of OpenAPI 3, `collectionFormat` of Swagger 2.

use serde_json::Value;

use super::operation::Place;
use crate::builtin::uri::{encoded, encoded_but};

/// What a value looks like in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Style {
    kind: Kind,
    explode: bool,
    allow_reserved: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Simple,
    Label,
    Matrix,
    Form,
    /// As `form`, with this between the items of a list.
    Delimited(&'static str),
    DeepObject,
    /// As JSON, in the style `form`.
    Json,
}

impl Style {
    /// By OpenAPI 3. None if there is no such style, or not in that place.
    pub(super) fn of(parameter: &Value, place: Place) -> Option<Self> {
        let usual = match place {
            Place::Path | Place::Header => "simple",
            Place::Query | Place::Cookie => "form",
        };
        let name = parameter.get("style").and_then(Value::as_str).unwrap_or(usual);
        let kind = match (name, place) {
            _ if parameter.get("content").is_some() => Kind::Json,
            ("simple", Place::Path | Place::Header) => Kind::Simple,
            ("label", Place::Path) => Kind::Label,
            ("matrix", Place::Path) => Kind::Matrix,
            ("form", Place::Query | Place::Cookie) => Kind::Form,
            ("spaceDelimited", Place::Query) => Kind::Delimited("%20"),
            ("pipeDelimited", Place::Query) => Kind::Delimited("%7C"),
            ("deepObject", Place::Query) => Kind::DeepObject,
            _ => return None,
        };
        let flag = |name: &str| parameter.get(name).and_then(Value::as_bool);
        Some(Self {
            kind,
            explode: flag("explode").unwrap_or(kind == Kind::Form),
            allow_reserved: place == Place::Query && flag("allowReserved").unwrap_or_default(),
        })
    }

    /// By Swagger 2, where lists are written with commas unless it says otherwise.
    pub(super) fn of_collection_format(format: &str, place: Place) -> Self {
        let kind = match (place, format) {
            (Place::Query | Place::Cookie, "ssv") => Kind::Delimited("%20"),
            (Place::Query | Place::Cookie, "tsv") => Kind::Delimited("%09"),
            (Place::Query | Place::Cookie, "pipes") => Kind::Delimited("%7C"),
            (Place::Query | Place::Cookie, _) => Kind::Form,
            (Place::Path | Place::Header, _) => Kind::Simple,
        };
        Self { kind, explode: format == "multi", allow_reserved: false }
    }

    /// In a path: percent-encoded.
    pub(super) fn in_path(self, name: &str, value: &Value) -> String {
        let name = encoded(name);
        match (self.kind, value) {
            (Kind::Label, Value::Array(items)) => {
                let between = if self.explode { "." } else { "," };
                format!(".{}", joined(items.iter().filter_map(encoded_scalar), between))
            }
            (Kind::Label, Value::Object(_)) => match self.explode {
                true => format!(".{}", joined(self.pairs(value).map(|(key, it)| format!("{key}={it}")), ".")),
                false => format!(".{}", self.flat(value)),
            },
            (Kind::Label, _) => format!(".{}", encoded_scalar(value).unwrap_or_default()),
            (Kind::Matrix, Value::Array(items)) if self.explode => {
                items.iter().filter_map(encoded_scalar).map(|it| format!(";{name}={it}")).collect()
            }
            (Kind::Matrix, Value::Object(_)) if self.explode => {
                self.pairs(value).map(|(key, it)| format!(";{key}={it}")).collect()
            }
            (Kind::Matrix, _) => format!(";{name}={}", self.flat(value)),
            (Kind::Json, _) => encoded(&value.to_string()),
            _ => self.simple(value),
        }
    }

    /// In a header: as it is.
    pub(super) fn in_header(self, value: &Value) -> String {
        match value {
            _ if self.kind == Kind::Json => value.to_string(),
            Value::Array(items) => joined(items.iter().filter_map(scalar), ","),
            Value::Object(entries) => {
                let between = if self.explode { "=" } else { "," };
                let pairs =
                    entries.iter().filter_map(|(key, it)| Some(format!("{key}{between}{}", scalar(it)?)));
                joined(pairs, ",")
            }
            other => scalar(other).unwrap_or_default(),
        }
    }

    /// In a query or a cookie: pairs, percent-encoded.
    pub(super) fn in_pairs(self, name: &str, value: &Value) -> Vec<(String, String)> {
        let key = encoded(name);
        let write = |it: &Value| scalar(it).map(|it| self.encode(&it));
        match (self.kind, value) {
            (Kind::Json, _) => vec![(key, encoded(&value.to_string()))],
            (Kind::DeepObject, Value::Object(entries)) => {
                let mut pairs = Vec::new();
                for (inner, it) in entries {
                    self.deep(format!("{name}[{inner}]"), it, &mut pairs);
                }
                pairs
            }
            (Kind::Delimited(_) | Kind::Form, Value::Array(items)) if self.explode => {
                items.iter().filter_map(write).map(|it| (key.clone(), it)).collect()
            }
            (Kind::Delimited(_) | Kind::Form, Value::Object(_)) if self.explode => {
                self.pairs(value).collect()
            }
            (Kind::Delimited(between), Value::Array(items)) => {
                vec![(key, joined(items.iter().filter_map(write), between))]
            }
            (Kind::Delimited(between), Value::Object(_)) => {
                let parts = self.pairs(value).flat_map(|(key, it)| [key, it]);
                vec![(key, joined(parts, between))]
            }
            (_, Value::Array(items)) => vec![(key, joined(items.iter().filter_map(write), ","))],
            (_, Value::Object(_)) => {
                vec![(key, joined(self.pairs(value).flat_map(|(key, it)| [key, it]), ","))]
            }
            (_, other) => vec![(key, write(other).unwrap_or_default())],
        }
    }

    fn deep(self, name: String, value: &Value, pairs: &mut Vec<(String, String)>) {
        match value {
            Value::Object(entries) => {
                for (inner, it) in entries {
                    self.deep(format!("{name}[{inner}]"), it, pairs);
                }
            }
            Value::Array(items) => {
                for it in items {
                    self.deep(name.clone(), it, pairs);
                }
            }
            scalar_value => {
                if let Some(text) = scalar(scalar_value) {
                    pairs.push((encoded_but(&name, "[]"), self.encode(&text)));
                }
            }
        }
    }

    fn simple(self, value: &Value) -> String {
        match value {
            Value::Object(_) if self.explode => {
                joined(self.pairs(value).map(|(key, it)| format!("{key}={it}")), ",")
            }
            other => self.flat(other),
        }
    }

    /// `a,b` for a list, `k,v,k,v` for a mapping.
    fn flat(self, value: &Value) -> String {
        match value {
            Value::Array(items) => joined(items.iter().filter_map(encoded_scalar), ","),
            Value::Object(_) => joined(self.pairs(value).flat_map(|(key, it)| [key, it]), ","),
            other => encoded_scalar(other).unwrap_or_default(),
        }
    }

    fn pairs(self, value: &Value) -> impl Iterator<Item = (String, String)> {
        let entries = value.as_object().into_iter().flatten();
        entries.filter_map(move |(key, it)| Some((encoded(key), self.encode(&scalar(it)?))))
    }

    fn encode(self, text: &str) -> String {
        // What would end the value is encoded all the same.
        if self.allow_reserved { encoded_but(text, ":/?@!$'()*,;[]") } else { encoded(text) }
    }
}

/// A value as text; what is nested deeper than a style can say, as JSON. None for `null`, which is left out.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(value.to_string()),
    }
}

fn encoded_scalar(value: &Value) -> Option<String> {
    scalar(value).map(|it| encoded(&it))
}

fn joined(parts: impl Iterator<Item = String>, between: &str) -> String {
    parts.collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn style(name: &str, explode: bool, place: Place) -> Style {
        Style::of(&json!({ "style": name, "explode": explode }), place).unwrap()
    }

    /// The table of OpenAPI 3.1, "Style Examples".
    #[test]
    fn values_are_written_as_the_standard_writes_them() {
        let text = json!("blue");
        let list = json!(["blue", "black", "brown"]);
        let object = json!({ "R": 100, "G": 200, "B": 150 });
        for (name, explode, wanted) in [
            ("matrix", false, [";color=blue", ";color=blue,black,brown", ";color=R,100,G,200,B,150"]),
            ("matrix", true, [";color=blue", ";color=blue;color=black;color=brown", ";R=100;G=200;B=150"]),
            ("label", false, [".blue", ".blue,black,brown", ".R,100,G,200,B,150"]),
            ("label", true, [".blue", ".blue.black.brown", ".R=100.G=200.B=150"]),
            ("simple", false, ["blue", "blue,black,brown", "R,100,G,200,B,150"]),
            ("simple", true, ["blue", "blue,black,brown", "R=100,G=200,B=150"]),
        ] {
            let style = style(name, explode, Place::Path);
            assert_eq!(
                [&text, &list, &object].map(|it| style.in_path("color", it)),
                wanted,
                "{name} {explode}"
            );
        }
        for (name, explode, wanted) in [
            ("form", false, ["color=blue", "color=blue,black,brown", "color=R,100,G,200,B,150"]),
            ("form", true, ["color=blue", "color=blue&color=black&color=brown", "R=100&G=200&B=150"]),
            (
                "spaceDelimited",
                false,
                ["color=blue", "color=blue%20black%20brown", "color=R%20100%20G%20200%20B%20150"],
            ),
            (
                "pipeDelimited",
                false,
                ["color=blue", "color=blue%7Cblack%7Cbrown", "color=R%7C100%7CG%7C200%7CB%7C150"],
            ),
            (
                "deepObject",
                true,
                ["color=blue", "color=blue,black,brown", "color[R]=100&color[G]=200&color[B]=150"],
            ),
        ] {
            let style = style(name, explode, Place::Query);
            let query = |it: &Value| {
                joined(style.in_pairs("color", it).into_iter().map(|(key, it)| format!("{key}={it}")), "&")
            };
            assert_eq!([&text, &list, &object].map(query), wanted, "{name} {explode}");
        }
        for (explode, wanted) in [
            (false, ["blue", "blue,black,brown", "R,100,G,200,B,150"]),
            (true, ["blue", "blue,black,brown", "R=100,G=200,B=150"]),
        ] {
            let style = style("simple", explode, Place::Header);
            assert_eq!([&text, &list, &object].map(|it| style.in_header(it)), wanted);
        }
    }

    #[test]
    fn data_stays_within_its_part() {
        let usual = |place| Style::of(&json!({}), place).unwrap();
        assert_eq!(usual(Place::Path).in_path("x", &json!("a/b?c,d")), "a%2Fb%3Fc%2Cd");
        assert_eq!(
            usual(Place::Query).in_pairs("x&y", &json!(["a&b", null, { "c": 1 }])),
            [("x%26y".to_owned(), "a%26b".to_owned()), ("x%26y".to_owned(), "%7B%22c%22%3A1%7D".to_owned())]
        );
        let reserved = Style::of(&json!({ "allowReserved": true }), Place::Query).unwrap();
        assert_eq!(reserved.in_pairs("x", &json!("a/b&c#d"))[0].1, "a/b%26c%23d");
        let content = Style::of(&json!({ "content": {} }), Place::Query).unwrap();
        assert_eq!(content.in_pairs("x", &json!({ "a": 1 }))[0].1, "%7B%22a%22%3A1%7D");
        let deep = style("deepObject", true, Place::Query);
        assert_eq!(deep.in_pairs("f", &json!({ "a": { "b": [1, 2] } })).len(), 2);
        assert_eq!(Style::of(&json!({ "style": "matrix" }), Place::Query), None);
    }

    #[test]
    fn swagger_has_its_own_words() {
        let list = json!(["a", "b c"]);
        for (format, wanted) in [
            ("", "x=a,b%20c"),
            ("csv", "x=a,b%20c"),
            ("ssv", "x=a%20b%20c"),
            ("tsv", "x=a%09b%20c"),
            ("pipes", "x=a%7Cb%20c"),
            ("multi", "x=a&x=b%20c"),
        ] {
            let style = Style::of_collection_format(format, Place::Query);
            let query =
                joined(style.in_pairs("x", &list).into_iter().map(|(key, it)| format!("{key}={it}")), "&");
            assert_eq!(query, wanted, "{format}");
        }
        assert_eq!(Style::of_collection_format("csv", Place::Path).in_path("x", &list), "a,b%20c");
    }
}
