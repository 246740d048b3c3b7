//! What makes two definitions the same.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// SHA-256, in hex, of JSON with sorted keys: the order of keys does not matter, nor, of a definition, comments and indentation.
#[must_use]
pub fn digest(definition: &Value) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let text = sorted(definition).to_string();
    let digest = Sha256::digest(text.as_bytes());
    // Channels are named by digests, several for each event: no text of its own for each byte.
    let digits = digest.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.map(|it| char::from(HEX[usize::from(it)])).collect()
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by_key(|it| it.0);
            Value::Object(
                entries.into_iter().map(|(key, it)| (key.clone(), sorted(it))).collect::<Map<_, _>>(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_order_of_keys_does_not_matter_that_of_tasks_does() {
        let digests =
            [json!({"a": 1, "b": [1, 2]}), json!({"b": [1, 2], "a": 1}), json!({"a": 1, "b": [2, 1]})]
                .map(|it| digest(&it));
        assert_eq!(digests[0], digests[1]);
        assert_ne!(digests[0], digests[2]);
        let of_nothing = "74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b";
        assert_eq!(digest(&Value::Null), of_nothing, "as sha256sum says of `null`");
    }
}
