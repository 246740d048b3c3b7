//! Data in a URI.

/// Everything but the unreserved characters of RFC 3986 percent-encoded, so that data stays within its part of the URI.
pub(super) fn encoded(text: &str) -> String {
    encoded_but(text, "")
}

/// As [`encoded`]; the characters in `kept` stay as they are.
pub(super) fn encoded_but(text: &str, kept: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.as_bytes().contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
