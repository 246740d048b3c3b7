//! HTTP Digest (RFC 7616): MD5 and SHA-256, each also as `-sess`, with `qop=auth` or, as old servers want it, without.

use md5::{Digest as _, Md5};
use reqwest::header::HeaderMap;
use sha2::Sha256;
use uuid::Uuid;

use super::challenge::{Challenge, challenges};
use super::policy::Login;
use crate::TaskFailure;
use crate::builtin::http::Request;
use crate::builtin::uri::encoded;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Algorithm {
    Md5,
    Sha256,
}

impl Algorithm {
    fn hash(self, text: &str) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|it| format!("{it:02x}")).collect();
        match self {
            Self::Md5 => hex(&Md5::digest(text.as_bytes())),
            Self::Sha256 => hex(&Sha256::digest(text.as_bytes())),
        }
    }
}

/// A challenge that can be answered.
#[derive(Clone, Debug)]
pub(in crate::builtin) struct DigestChallenge {
    challenge: Challenge,
    algorithm: Algorithm,
    is_session: bool,
    has_qop: bool,
}

impl DigestChallenge {
    fn read(challenge: Challenge) -> Option<Self> {
        let name = challenge.get("algorithm").unwrap_or("MD5").to_ascii_lowercase();
        let (name, is_session) = name.strip_suffix("-sess").map_or((name.as_str(), false), |it| (it, true));
        let algorithm = match name {
            "md5" => Algorithm::Md5,
            "sha-256" => Algorithm::Sha256,
            _ => return None,
        };
        challenge.get("nonce")?;
        let qop = challenge.get("qop");
        let can = qop.is_none_or(|it| it.split(',').any(|it| it.trim().eq_ignore_ascii_case("auth")));
        let has_qop = qop.is_some();
        can.then_some(Self { algorithm, is_session, has_qop, challenge })
    }

    fn get(&self, name: &str) -> &str {
        self.challenge.get(name).unwrap_or_default()
    }

    /// Whether the credentials may be right, and only the nonce was too old.
    pub(in crate::builtin) fn is_stale(&self) -> bool {
        self.get("stale").eq_ignore_ascii_case("true")
    }
}

/// The strongest challenge that can be answered; none if the server does not ask for Digest.
///
/// # Errors
/// When it asks for Digest in ways that are not known here.
pub(in crate::builtin) fn challenge(
    headers: &HeaderMap,
    request: &Request,
) -> Result<Option<DigestChallenge>, TaskFailure> {
    let asked: Vec<Challenge> = challenges(headers).into_iter().filter(|it| it.scheme == "digest").collect();
    let is_asked = !asked.is_empty();
    // Of two that are as strong, the server's first.
    let best = asked.into_iter().filter_map(DigestChallenge::read).rev().max_by_key(|it| it.algorithm);
    match best {
        None if is_asked => Err(TaskFailure::authentication(format!(
            "{}: the server asks for Digest authentication in a way that is not supported",
            request.name()
        ))
        .with_detail(
            "supported are MD5, MD5-sess, SHA-256 and SHA-256-sess, each with `qop` auth or without",
        )),
        best => Ok(best),
    }
}

/// The header `Authorization`.
pub(in crate::builtin) fn answer(challenge: &DigestChallenge, login: &Login, request: &Request) -> String {
    let client_nonce = Uuid::new_v4().simple().to_string();
    answer_with(challenge, login, request.method.as_str(), &target(request), &client_nonce)
}

/// As it stands in the request's first line.
fn target(request: &Request) -> String {
    let url = &request.url;
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

fn answer_with(
    challenge: &DigestChallenge,
    login: &Login,
    method: &str,
    uri: &str,
    client_nonce: &str,
) -> String {
    // A nonce is used once, so the count is always that of its first use.
    const COUNT: &str = "00000001";
    let Login { username, password } = login;
    let hash = |text: &str| challenge.algorithm.hash(text);
    let [realm, nonce] = ["realm", "nonce"].map(|it| challenge.get(it));
    let mut a1 = hash(&format!("{username}:{realm}:{password}"));
    if challenge.is_session {
        a1 = hash(&format!("{a1}:{nonce}:{client_nonce}"));
    }
    let a2 = hash(&format!("{method}:{uri}"));
    let response = match challenge.has_qop {
        true => hash(&format!("{a1}:{nonce}:{COUNT}:{client_nonce}:auth:{a2}")),
        false => hash(&format!("{a1}:{nonce}:{a2}")),
    };
    let is_hashed = challenge.get("userhash").eq_ignore_ascii_case("true");
    let username = match is_hashed {
        true => format!("username=\"{}\"", hash(&format!("{username}:{realm}"))),
        false if username.is_ascii() => format!("username={}", quoted(username)),
        false => format!("username*=UTF-8''{}", encoded(username)),
    };
    let mut parts = vec![
        username,
        format!("realm={}", quoted(realm)),
        format!("nonce={}", quoted(nonce)),
        format!("uri={}", quoted(uri)),
        format!("response=\"{response}\""),
    ];
    if let Some(algorithm) = challenge.challenge.get("algorithm") {
        parts.push(format!("algorithm={algorithm}"));
    }
    if challenge.has_qop {
        parts.push(format!("qop=auth, nc={COUNT}"));
    }
    if challenge.has_qop || challenge.is_session {
        parts.push(format!("cnonce={}", quoted(client_nonce)));
    }
    if let Some(opaque) = challenge.challenge.get("opaque") {
        parts.push(format!("opaque={}", quoted(opaque)));
    }
    if is_hashed {
        parts.push("userhash=true".to_owned());
    }
    format!("Digest {}", parts.join(", "))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use reqwest::Method;
    use reqwest::header::{HeaderValue, WWW_AUTHENTICATE};

    use super::*;

    fn headers(challenges: &[&str]) -> HeaderMap {
        challenges.iter().map(|it| (WWW_AUTHENTICATE, HeaderValue::from_str(it).unwrap())).collect()
    }

    fn request() -> Request {
        Request {
            method: Method::GET,
            url: "http://www.example.org/dir/index.html?a=b".parse().unwrap(),
            headers: HeaderMap::new(),
            body: None,
        }
    }

    fn answered(challenges: &[&str], login: &Login, uri: &str, client_nonce: &str) -> String {
        let challenge = challenge(&headers(challenges), &request()).unwrap().unwrap();
        answer_with(&challenge, login, "GET", uri, client_nonce)
    }

    const RFC_7616_NONCE: &str = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
    const RFC_7616_CLIENT_NONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

    fn rfc_7616(algorithm: &str) -> String {
        format!(
            "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
             nonce=\"{RFC_7616_NONCE}\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        )
    }

    /// RFC 7616, 3.9.1.
    #[test]
    fn the_answers_are_those_of_the_standard() {
        let login = Login { username: "Mufasa".to_owned(), password: "Circle of Life".to_owned() };
        let [md5, sha256] = ["MD5", "SHA-256"].map(rfc_7616);
        let told = answered(&[&md5], &login, "/dir/index.html", RFC_7616_CLIENT_NONCE);
        assert_eq!(
            told,
            format!(
                "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", nonce=\"{RFC_7616_NONCE}\", \
                 uri=\"/dir/index.html\", response=\"8ca523f5e9506fed4657c9700eebdbec\", algorithm=MD5, qop=auth, \
                 nc=00000001, cnonce=\"{RFC_7616_CLIENT_NONCE}\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            )
        );
        // Both are offered: the stronger one is taken.
        let told = answered(&[&md5, &sha256], &login, "/dir/index.html", RFC_7616_CLIENT_NONCE);
        assert!(
            told.contains("response=\"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1\""),
            "{told}"
        );
    }

    /// RFC 2617, 3.5, and what RFC 2069 makes of it without `qop`.
    #[test]
    fn old_servers_are_answered_as_they_want_it() {
        let login = Login { username: "Mufasa".to_owned(), password: "Circle Of Life".to_owned() };
        let challenge = "Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"";
        let told = answered(&[&format!("{challenge}, qop=auth")], &login, "/dir/index.html", "0a4f113b");
        assert!(told.contains("response=\"6629fae49393a05397450978507c4ef1\""), "{told}");
        let told = answered(&[challenge], &login, "/dir/index.html", "0a4f113b");
        assert!(
            told.contains("response=\"670fd8c2df070c60b045671b8b24ff02\"") && !told.contains("nc="),
            "{told}"
        );
    }

    #[test]
    fn a_session_takes_both_nonces_into_the_key() {
        let login = Login { username: "me".to_owned(), password: "secret".to_owned() };
        for (algorithm, hash) in [("MD5-sess", Algorithm::Md5), ("SHA-256-sess", Algorithm::Sha256)] {
            let told = answered(&[&rfc_7616(algorithm)], &login, "/", "client");
            let key = hash.hash("me:http-auth@example.org:secret");
            let key = hash.hash(&format!("{key}:{RFC_7616_NONCE}:client"));
            let wanted =
                hash.hash(&format!("{key}:{RFC_7616_NONCE}:00000001:client:auth:{}", hash.hash("GET:/")));
            assert!(told.contains(&format!("response=\"{wanted}\"")), "{told}");
        }
    }

    /// RFC 7616, 3.9.2, with SHA-256 in the place of its algorithm.
    #[test]
    fn names_are_hashed_or_encoded() {
        let login = Login { username: "J\u{e4}s\u{f8}n Doe".to_owned(), password: "Secret".to_owned() };
        let told = answered(&[&rfc_7616("SHA-256")], &login, "/", "c");
        assert!(told.starts_with("Digest username*=UTF-8''J%C3%A4s%C3%B8n%20Doe, "), "{told}");
        let told = answered(&[&format!("{}, userhash=true", rfc_7616("SHA-256"))], &login, "/", "c");
        let hash = Algorithm::Sha256.hash("J\u{e4}s\u{f8}n Doe:http-auth@example.org");
        assert!(
            told.starts_with(&format!("Digest username=\"{hash}\", ")) && told.ends_with("userhash=true"),
            "{told}"
        );
    }

    #[test]
    fn what_is_not_known_is_not_answered() {
        assert!(challenge(&headers(&["Basic realm=x"]), &request()).unwrap().is_none());
        for odd in [
            "Digest realm=\"x\"",
            "Digest realm=\"x\", nonce=\"y\", qop=\"auth-int\"",
            "Digest realm=\"x\", nonce=\"y\", algorithm=SHA-512-256",
        ] {
            let failure = challenge(&headers(&[odd]), &request()).unwrap_err();
            assert!(failure.error.error_type.ends_with("/authentication"), "{failure}");
        }
        assert_eq!(target(&request()), "/dir/index.html?a=b");
    }
}
