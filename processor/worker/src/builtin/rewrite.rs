//! Calls that go elsewhere than a definition says: for tests, which serve on this machine what a definition calls far away.

use std::str::FromStr;

use reqwest::Url;

/// `FROM=TO`: a request whose URI begins with `FROM` goes to `TO` and the rest of it. Written, it may be read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    from: String,
    to: String,
}

impl FromStr for Rewrite {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_http = |it: &str| Url::parse(it).is_ok_and(|it| matches!(it.scheme(), "http" | "https"));
        match text.split_once('=') {
            Some((from, to)) if is_http(from) && is_http(to) => {
                Ok(Self { from: from.to_owned(), to: to.to_owned() })
            }
            _ => {
                Err("write it as FROM=TO, two beginnings of URIs: https://api.example=http://127.0.0.1:8000"
                    .to_owned())
            }
        }
    }
}

impl std::fmt::Display for Rewrite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.from, self.to)
    }
}

/// Where a request to `url` goes: by the first rewrite that fits.
pub(super) fn rewritten(rewrites: &[Rewrite], url: Url) -> Url {
    let goes_to = rewrites.iter().find_map(|Rewrite { from, to }| {
        let rest = url.as_str().strip_prefix(from.as_str())?;
        Url::parse(&format!("{to}{rest}")).ok()
    });
    goes_to.unwrap_or(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_elsewhere_if_its_beginning_fits() {
        let rewrites = ["https://a.example=http://127.0.0.1:1", "https://b.example/v2=http://127.0.0.1:2/x"];
        let rewrites: Vec<Rewrite> = rewrites.iter().map(|it| it.parse().expect("is one")).collect();
        for (url, goes_to) in [
            ("https://a.example/pet?id=1", "http://127.0.0.1:1/pet?id=1"),
            ("https://b.example/v2/pet", "http://127.0.0.1:2/x/pet"),
            ("https://b.example/v1/pet", "https://b.example/v1/pet"),
            ("http://a.example/", "http://a.example/"),
        ] {
            let url = Url::parse(url).expect("is a URI");
            assert_eq!(rewritten(&rewrites, url).as_str(), goes_to);
        }
    }

    #[test]
    fn what_is_no_pair_of_uris_is_refused() {
        for text in ["https://a.example", "a=b", "https://a.example=ftp://b.example", ""] {
            assert!(text.parse::<Rewrite>().is_err(), "{text}");
        }
        let text = "https://a.example=http://127.0.0.1:1";
        assert_eq!(text.parse::<Rewrite>().expect("is one").to_string(), text);
    }
}
