//! Opaque places in lists: what a client is given, and gives back for the next page.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ApiError;

/// Longest cursor that is read: a list of thousands of partitions has one of some 50 KB.
const CHARS_MAX: usize = 100_000;

pub(crate) fn encode(place: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(place).expect("a place is plain data"))
}

pub(crate) fn decode<T: DeserializeOwned>(cursor: &str) -> Result<T, ApiError> {
    let wrong = || ApiError::invalid("cursor: this is none that an answer of this list has given as `next`");
    if cursor.len() > CHARS_MAX {
        return Err(wrong());
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong())?;
    serde_json::from_slice(&bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was_and_others_are_refused() {
        let place = (1_700_000_000_000_i64, "order-17".to_owned());
        let cursor = encode(&place);
        assert_eq!(decode::<(i64, String)>(&cursor).expect("is ours"), place);
        for wrong in ["", "x", "!!", "e30", &cursor[1..]] {
            assert!(decode::<(i64, String)>(wrong).is_err(), "{wrong}");
        }
    }
}
