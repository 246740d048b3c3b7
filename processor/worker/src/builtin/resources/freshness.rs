//! How long a resource may be used, and how it is asked for again.

use std::time::Duration;

use reqwest::header::{
    CACHE_CONTROL, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};

/// How long a resource is used whose server does not say.
const FRESH_UNSAID: Duration = Duration::from_secs(60);
/// How long at most, whatever its server says.
pub(super) const FRESH_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What the server is asked with whether it still is the same.
pub(super) fn validators(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    [(ETAG, IF_NONE_MATCH), (LAST_MODIFIED, IF_MODIFIED_SINCE)]
        .into_iter()
        .filter_map(|(theirs, ours)| Some((ours, headers.get(theirs)?.clone())))
        .collect()
}

/// How long it may be used without asking. None if it may not be kept at all.
pub(super) fn freshness(headers: &HeaderMap) -> Option<Duration> {
    let mut fresh = FRESH_UNSAID;
    let said = headers.get_all(CACHE_CONTROL).iter().filter_map(|it| it.to_str().ok());
    for directive in said.flat_map(|it| it.split(',')).map(|it| it.trim().to_ascii_lowercase()) {
        match directive.split_once('=').map(|(name, value)| (name, value.trim_matches('"'))) {
            None if directive == "no-store" => return None,
            None if directive == "no-cache" => return Some(Duration::ZERO),
            Some(("max-age", seconds)) => {
                fresh = seconds.parse().map_or(Duration::ZERO, Duration::from_secs).min(FRESH_MAX);
            }
            _ => {}
        }
    }
    Some(fresh)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_server_says_how_long_a_resource_is_fresh() {
        for (said, seconds) in [
            ("", Some(60)),
            ("public, max-age=5", Some(5)),
            ("max-age=99999999", Some(86_400)),
            ("max-age=x", Some(0)),
            ("max-age=5, no-cache", Some(0)),
            ("max-age=5, no-store", None),
        ] {
            let headers = HeaderMap::from_iter([(CACHE_CONTROL, said.parse().unwrap())]);
            assert_eq!(freshness(&headers), seconds.map(Duration::from_secs), "{said}");
        }
    }
}
