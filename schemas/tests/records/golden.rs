//! Bytes of released versions stay readable, and today's encoder writes what it always wrote.

use std::fs;
use std::path::PathBuf;

use apache_avro::Schema;
use apache_avro::schema_compatibility::SchemaCompatibility;
use millrace_schemas::codec::{Codec, RecordKind};

use crate::examples;

/// The golden bytes of a record in a version, if the version has changed it.
fn golden(version: &str, name: &str) -> Option<Vec<u8>> {
    fs::read_to_string(path(version, name)).ok().map(|text| examples::unhex(&text))
}

fn path(version: &str, name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(version).join(format!("{name}.hex"))
}

/// `UPDATE_GOLDEN=1` writes the files of version 2 anew. Never after it was released: add a folder for a new version instead. A
/// version has files of those records only that it has changed.
#[test]
fn the_encoder_writes_the_golden_bytes_and_the_decoder_reads_them() {
    let codec = Codec::single_object();
    for (name, bytes) in examples::encoded(&codec) {
        let first = golden("v1", name);
        if std::env::var_os("UPDATE_GOLDEN").is_some() && first.as_ref() != Some(&bytes) {
            let lines: Vec<_> = bytes.chunks(48).map(examples::hex).collect();
            fs::write(path("v2", name), lines.join("\n") + "\n").unwrap();
        }
        let newest = golden("v2", name).or(first).expect("a record has golden bytes");
        examples::assert_decodes(&codec, name, &newest);
        assert_eq!(examples::hex(&bytes), examples::hex(&newest), "{name}");
    }
}

#[test]
fn the_decoder_reads_the_golden_bytes_of_version_1() {
    let codec = Codec::single_object();
    let names = examples::encoded(&codec).into_iter().map(|(name, _)| name);
    let first: Vec<_> = names.filter_map(|name| Some((name, golden("v1", name)?))).collect();
    assert_eq!(first.len(), 9);
    for (name, bytes) in first {
        examples::assert_decodes_v1(&codec, name, &bytes);
    }
}

/// The reference implementation agrees that today's schemas read what every released one has written: the rule
/// `BACKWARD_TRANSITIVE` of schema registries.
#[test]
fn todays_schemas_read_every_released_one() {
    for kind in RecordKind::ALL {
        let reader = Schema::parse_str(kind.schema_text()).unwrap();
        for text in kind.released_schema_texts() {
            let writer = Schema::parse_str(text).unwrap();
            SchemaCompatibility::can_read(&writer, &reader)
                .unwrap_or_else(|error| panic!("{}: {error:?}", kind.full_name()));
        }
    }
}

#[test]
fn an_incompatible_change_would_be_noticed() {
    let text = RecordKind::TaskCommand.schema_text();
    let writer = Schema::parse_str(text).unwrap();
    for change in [
        (r#"{"name": "function", "type": "string""#, r#"{"name": "function", "type": "long""#),
        (r#"{"name": "function", "type": "string""#, r#"{"name": "procedure", "type": "string""#),
        (r#""fields": ["#, r#""fields": [{"name": "new", "type": "string"}, "#),
    ] {
        let changed = text.replacen(change.0, change.1, 1);
        assert_ne!(changed, text);
        let reader = Schema::parse_str(&changed).unwrap();
        assert!(SchemaCompatibility::can_read(&writer, &reader).is_err(), "{change:?}");
    }
}

/// A type that several records share is the same in each of their schemas, its documentation included.
#[test]
fn shared_types_are_defined_alike() {
    fn collect(
        schema: &serde_json::Value,
        found: &mut std::collections::BTreeMap<String, serde_json::Value>,
        skip: &str,
    ) {
        match schema {
            serde_json::Value::Object(object) => {
                if let (Some(name), Some(_)) = (object.get("name"), object.get("namespace")) {
                    let mut plain = schema.clone();
                    strip_nested(&mut plain, true);
                    let before = found.insert(name.to_string(), plain.clone());
                    assert!(before.is_none_or(|before| before == plain), "{name} in {skip}");
                }
                object.values().for_each(|value| collect(value, found, skip));
            }
            serde_json::Value::Array(values) => values.iter().for_each(|value| collect(value, found, skip)),
            _ => {}
        }
    }
    /// A type may be defined here and named there: both become its full name.
    fn strip_nested(schema: &mut serde_json::Value, is_outermost: bool) {
        match schema {
            serde_json::Value::Object(object) => match (object.get("name"), object.get("namespace")) {
                (Some(name), Some(namespace)) if !is_outermost => {
                    *schema = format!("{}.{}", namespace.as_str().unwrap(), name.as_str().unwrap()).into();
                }
                _ => object.values_mut().for_each(|value| strip_nested(value, false)),
            },
            serde_json::Value::Array(values) => {
                values.iter_mut().for_each(|value| strip_nested(value, false))
            }
            _ => {}
        }
    }
    let mut found = std::collections::BTreeMap::new();
    for kind in RecordKind::ALL {
        collect(&serde_json::from_str(kind.schema_text()).unwrap(), &mut found, kind.full_name());
    }
    assert!(found.len() > 50, "{} types were compared", found.len());
}
