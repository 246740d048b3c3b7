//! Bearer tokens that an operator gives out: a file says who has one, by its hash, and what that lets do.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::exit::Failure;
use crate::http::caller::Role;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    tokens: Vec<Token>,
}

#[derive(Debug)]
struct Token {
    name: Arc<str>,
    role: Role,
    sha256: [u8; 32],
}

impl Tokens {
    /// Reads a line for each: `NAME ROLE SHA256`. Empty lines, and what is behind `#`, say nothing.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Failure> {
        let wrong = |line: usize, what: &str| {
            let what = format!("line {line} of the tokens {what}");
            let fix = "write NAME ROLE SHA256, such as: ci write $(printf %s \"$TOKEN\" | sha256sum | cut -d' ' -f1)";
            Failure::refused(what, fix)
        };
        let text = std::str::from_utf8(bytes).map_err(|_| wrong(1, "is not UTF-8"))?;
        let mut tokens: Vec<Token> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<_> = line.split_whitespace().collect();
            let [name, role, hash] = words[..] else {
                if words.is_empty() {
                    continue;
                }
                return Err(wrong(number, "does not have three words"));
            };
            let role =
                Role::of_name(role).ok_or_else(|| wrong(number, "names none of read, write, admin"))?;
            let sha256 =
                parse_hash(hash).ok_or_else(|| wrong(number, "has no SHA-256 of 64 hexadecimal digits"))?;
            tokens.push(Token { name: name.into(), role, sha256 });
        }
        if tokens.is_empty() {
            return Err(wrong(1, "is not there: nobody could use the API"));
        }
        Ok(Self { tokens })
    }

    /// Whose it is, and what it lets do.
    pub(super) fn find(&self, presented: &str) -> Option<(Arc<str>, Role)> {
        let hash: [u8; 32] = Sha256::digest(presented.as_bytes()).into();
        let mut found = None;
        // All are looked at, so that the time says nothing about where one is.
        for token in &self.tokens {
            if bool::from(token.sha256.ct_eq(&hash)) {
                found = Some((Arc::clone(&token.name), token.role));
            }
        }
        found
    }
}

fn parse_hash(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut hash = [0; 32];
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `secret`.
    const HASH: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    #[test]
    fn a_token_is_known_by_its_hash() {
        let tokens = Tokens::parse(format!("# who may what\nann admin {HASH} # herself\n\n").as_bytes());
        let tokens = tokens.expect("is well");
        assert_eq!(tokens.find("secret"), Some(("ann".into(), Role::Admin)));
        assert_eq!(tokens.find("secret "), None);
        assert_eq!(tokens.find(""), None);
        assert_eq!(tokens.find(HASH), None, "the hash is no token");
    }

    #[test]
    fn a_wrong_line_is_named() {
        let why = |text: &str| Tokens::parse(text.as_bytes()).expect_err("is wrong").to_string();
        assert_eq!(why("ann admin"), "line 1 of the tokens does not have three words");
        assert_eq!(
            why(&format!("\nann root {HASH}")),
            "line 2 of the tokens names none of read, write, admin"
        );
        assert_eq!(
            why("ann read secret"),
            "line 1 of the tokens has no SHA-256 of 64 hexadecimal digits",
            "a token in the clear is not taken"
        );
        assert!(why("# nobody").contains("nobody could use the API"));
    }
}
