//! YAML to JSON, for documents that describe services.

use saphyr::{Scalar, Yaml, YamlLoader};
use saphyr_parser::{Event, Parser};
use serde_json::{Map, Number, Value};

/// Deepest nesting of lists and mappings, before aliases are expanded.
const NESTING_MAX: usize = 100;
/// Most values that aliases may add.
const ALIASES_MAX: usize = 10_000;

/// # Errors
/// What is wrong, for people.
pub(in crate::builtin) fn parse(text: &str) -> Result<Value, String> {
    check_depth(text)?;
    let mut loader = YamlLoader::<Yaml<'_>>::default();
    loader.alias_limit(ALIASES_MAX);
    Parser::new_from_str(text).load(&mut loader, true).map_err(|it| it.to_string())?;
    if let Some(error) = loader.error() {
        return Err(error.to_string());
    }
    match loader.into_documents().as_slice() {
        [document] => convert(document),
        documents => Err(format!("there are {} documents in it, and not one", documents.len())),
    }
}

/// What is nested too deeply would exhaust the stack.
fn check_depth(text: &str) -> Result<(), String> {
    let mut depth = 0_usize;
    for event in Parser::new_from_str(text) {
        match event.map_err(|it| it.to_string())?.0 {
            Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
            Event::SequenceEnd | Event::MappingEnd => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > NESTING_MAX {
            return Err(format!("it is nested more than {NESTING_MAX} deep"));
        }
    }
    Ok(())
}

fn convert(node: &Yaml<'_>) -> Result<Value, String> {
    Ok(match node {
        Yaml::Value(scalar) => match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(is) => Value::Bool(*is),
            Scalar::Integer(int) => Value::Number(Number::from(*int)),
            Scalar::FloatingPoint(float) => {
                let float = float.into_inner();
                Number::from_f64(float).map_or_else(|| Value::from(float.to_string()), Value::Number)
            }
            Scalar::String(text) => Value::String(text.clone().into_owned()),
        },
        Yaml::Sequence(items) => items.iter().map(convert).collect::<Result<_, _>>()?,
        Yaml::Mapping(entries) => {
            let mut object = Map::with_capacity(entries.len());
            for (key, item) in entries {
                // The statuses of responses are numbers here, and text in JSON.
                let key = match convert(key)? {
                    Value::String(text) => text,
                    Value::Array(_) | Value::Object(_) => {
                        return Err("a key is a list or a mapping".to_owned());
                    }
                    scalar => scalar.to_string(),
                };
                object.insert(key, convert(item)?);
            }
            Value::Object(object)
        }
        Yaml::Tagged(_, node) => return convert(node),
        Yaml::Alias(_) | Yaml::BadValue | Yaml::Representation(..) => {
            return Err("it has a value that cannot be read".to_owned());
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn documents_are_read() {
        let text = "openapi: 3.1.0\ninfo: &i {version: 1.0}\nresponses: {200: {ok: yes}, default: *i}\nlist: [1, ~, 'x']\n";
        assert_eq!(
            parse(text).unwrap(),
            json!({
                "openapi": "3.1.0",
                "info": { "version": 1.0 },
                "responses": { "200": { "ok": "yes" }, "default": { "version": 1.0 } },
                "list": [1, null, "x"],
            })
        );
        assert!(parse("a: [").is_err());
        assert!(parse("a: 1\n---\nb: 2\n").is_err());
        assert!(parse(&"[".repeat(5_000)).is_err());
        assert!(parse(&format!("{}{}", "[".repeat(101), "]".repeat(101))).unwrap_err().contains("nested"));
        let bomb: String = (1..30).map(|it| format!("a{it}: &a{it} [*a{0}, *a{0}]\n", it - 1)).collect();
        assert!(parse(&format!("a0: &a0 [x]\n{bomb}")).is_err());
    }
}
