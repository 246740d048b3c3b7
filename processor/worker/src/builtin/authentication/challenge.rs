//! `WWW-Authenticate`: what a server wants to know (RFC 9110, 11.6.1).

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// One challenge: its scheme in small letters, and its parameters, names in small letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    pub(super) scheme: String,
    pub(super) parameters: Vec<(String, String)>,
}

impl Challenge {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|it| it.0 == name).map(|it| it.1.as_str())
    }
}

/// All challenges, in their order. What cannot be read is left out.
pub(super) fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let texts =
        headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|it| std::str::from_utf8(it.as_bytes()).ok());
    texts.flat_map(parse).collect()
}

/// A comma separates challenges as well as the parameters of one: a word with no `=` after it begins a challenge.
fn parse(text: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    let mut rest = text.trim_start_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let end = rest.find(|it: char| !is_token(it)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let next = after.trim_start();
        if word.is_empty() {
            // Nothing that is known: on to the next part.
            let skipped = rest.find(',').map_or("", |at| &rest[at..]);
            rest = skipped.trim_start_matches([' ', '\t', ',']);
            continue;
        }
        match (next.strip_prefix('='), challenges.last_mut()) {
            (Some(value), Some(challenge)) => {
                let (value, after) = parameter(value.trim_start());
                challenge.parameters.push((word.to_ascii_lowercase(), value));
                rest = after;
            }
            (Some(value), None) => rest = parameter(value.trim_start()).1,
            (None, _) => {
                challenges.push(Challenge { scheme: word.to_ascii_lowercase(), parameters: Vec::new() });
                rest = next;
            }
        }
        rest = rest.trim_start_matches([' ', '\t', ',']);
    }
    challenges
}

/// A token or a quoted text, and what comes after it.
fn parameter(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|it| it.1)),
            other => value.push(other),
        }
    }
    (value, "")
}

fn is_token(it: char) -> bool {
    it.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_challenges_may_stand_in_one_header() {
        let found = parse(
            r#", Basic realm="a, \"b\"" , Digest  realm="x",nonce=abc== , qop="auth,auth-int", Negotiate, Bearer"#,
        );
        let told: Vec<String> = found.iter().map(|it| format!("{} {:?}", it.scheme, it.parameters)).collect();
        assert_eq!(
            told,
            [
                r#"basic [("realm", "a, \"b\"")]"#,
                r#"digest [("realm", "x"), ("nonce", "abc=="), ("qop", "auth,auth-int")]"#,
                "negotiate []",
                "bearer []",
            ]
        );
        for odd in ["", "=", "a=b", "\"", "Digest realm=\"", "ü", "Digest =,=,", "Basic realm=\"\\"] {
            parse(odd);
        }
    }
}
