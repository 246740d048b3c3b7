//! `data:` URIs (RFC 2397): a content that stands where it would be referred to.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use percent_encoding::percent_decode_str;

/// As people and tools write it: with `=` at its end, or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What follows `data:`, if the text is such a URI.
#[must_use]
pub fn content(uri: &str) -> Option<&str> {
    let (scheme, content) = uri.split_once(':')?;
    scheme.eq_ignore_ascii_case("data").then_some(content)
}

/// The bytes of a `data:` URI: at most `bytes_max` of them. Its media type says nothing that anybody here would need.
///
/// # Errors
/// What is wrong with it, for people, without what is in it.
pub fn decode(uri: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
    let content = content(uri).ok_or("it does not begin with `data:`")?;
    let (head, data) = content.split_once(',').ok_or("it has no `,` before its content")?;
    // Three characters are one byte at the least, if all are percent-encoded.
    let is_long = data.len() / 3 > bytes_max;
    let bytes: Option<Vec<u8>> = if is_long { None } else { Some(percent_decode_str(data).collect()) };
    let too_large = || format!("it has more than {bytes_max} bytes");
    let mut bytes = bytes.ok_or_else(too_large)?;
    let last = head.rsplit(';').next().unwrap_or_default();
    if head.contains(';') && last.trim().eq_ignore_ascii_case("base64") {
        bytes.retain(|it| !it.is_ascii_whitespace());
        bytes = BASE64.decode(&bytes).map_err(|_| "it says `;base64`, and its content is none")?;
    }
    if bytes.len() > bytes_max { Err(too_large()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_is_base64_or_percent_encoded() {
        for (uri, content) in [
            ("data:,a%20b%C3%BC+c", "a bü+c"),
            ("DATA:text/plain;charset=utf-8,x,y", "x,y"),
            ("data:text/x-python;base64,cHJpbnQoMSk=", "print(1)"),
            ("data:;BASE64,cHJpbnQoMSk", "print(1)"),
            ("data:;base64,cHJp%0AbnQo MSk%3D", "print(1)"),
            ("data:base64,eA==", "eA=="),
            ("data:,100%", "100%"),
            ("data:,", ""),
        ] {
            assert_eq!(decode(uri, 20).as_deref(), Ok(content.as_bytes()), "{uri}");
        }
    }

    #[test]
    fn what_is_no_content_says_why() {
        for (uri, problem) in [
            ("https://a.b/c", "it does not begin with `data:`"),
            ("data:text/plain", "it has no `,` before its content"),
            ("data:;base64,a?b", "it says `;base64`, and its content is none"),
            ("data:,12345", "it has more than 4 bytes"),
            ("data:;base64,MTIzNDU=", "it has more than 4 bytes"),
            ("data:,1234567890123456789", "it has more than 4 bytes"),
        ] {
            assert_eq!(decode(uri, 4), Err(problem.to_owned()), "{uri}");
        }
        assert_eq!(decode("data:,%31%32%33%34", 4).as_deref(), Ok(&b"1234"[..]));
    }
}
