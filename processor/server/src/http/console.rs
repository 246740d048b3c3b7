//! The console: a page that asks the API. Its files are in this binary, as `processor/console` builds them, so it needs nothing from elsewhere.
//!
//! They tell nothing, so everybody may have them. What the page asks for is another matter: it has no way in but the API.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use sha2::{Digest as _, Sha256};

use super::Api;

/// Where it is. It has its place in the addresses of its parts, too (`base` in `vite.config.ts`).
const PLACE: &str = "/console/";

/// Scripts and styles of the page's own, nothing within other pages, and requests to nobody but us.
const POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

/// A file is asked for again and again, and sent only if it is another one: names are the same for all releases.
const CACHING: &str = "no-cache";

#[derive(Debug)]
struct File {
    name: &'static str,
    media_type: &'static str,
    content: &'static [u8],
}

const PAGE: File = File {
    name: "index.html",
    media_type: "text/html; charset=utf-8",
    content: include_bytes!("../../../console/dist/index.html"),
};

const PARTS: [File; 3] = [
    File {
        name: "console.js",
        media_type: "text/javascript; charset=utf-8",
        content: include_bytes!("../../../console/dist/console.js"),
    },
    File {
        name: "console.css",
        media_type: "text/css; charset=utf-8",
        content: include_bytes!("../../../console/dist/console.css"),
    },
    File {
        name: "icon.svg",
        media_type: "image/svg+xml",
        content: include_bytes!("../../../console/dist/icon.svg"),
    },
];

/// Whether a path leads to it, or to what leads there.
pub(super) fn is_of_it(path: &str) -> bool {
    path == "/" || path == "/console" || path.starts_with(PLACE)
}

pub(super) fn routes() -> Router<Api> {
    let page = Arc::new(Served::new(PAGE));
    let parts: Arc<[Served]> = PARTS.into_iter().map(Served::new).collect();
    let first = Arc::clone(&page);
    Router::new()
        .route("/", get(|| async { Redirect::temporary(PLACE) }))
        .route("/console", get(|| async { Redirect::permanent(PLACE) }))
        .route(PLACE, get(move |headers: HeaderMap| async move { first.respond(&headers) }))
        .route(
            "/console/{*name}",
            get(move |Path(name): Path<String>, headers: HeaderMap| async move {
                // Everything else is a view: the page reads its address.
                parts.iter().find(|it| it.file.name == name).unwrap_or(&page).respond(&headers)
            }),
        )
}

/// A file, and what tells it from another one of its name.
#[derive(Debug)]
struct Served {
    file: File,
    tag: HeaderValue,
}

impl Served {
    fn new(file: File) -> Self {
        let hash = Sha256::digest(file.content);
        let digits: String = hash.iter().take(12).map(|it| format!("{it:02x}")).collect();
        let tag = HeaderValue::try_from(format!("\"{digits}\"")).expect("digits are a value");
        Self { file, tag }
    }

    fn respond(&self, asked: &HeaderMap) -> Response {
        let headers = [
            (header::ETAG, self.tag.clone()),
            (header::CACHE_CONTROL, HeaderValue::from_static(CACHING)),
            (header::CONTENT_TYPE, HeaderValue::from_static(self.file.media_type)),
            (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        ];
        match self.is_known_to(asked) {
            true => (StatusCode::NOT_MODIFIED, headers).into_response(),
            false => (headers, self.file.content).into_response(),
        }
    }

    /// Whether whoever asks has it. What is between may have made a tag weak (`W/"…"`).
    fn is_known_to(&self, asked: &HeaderMap) -> bool {
        let own = self.tag.to_str().expect("it is made of digits");
        let values = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|it| it.to_str().ok());
        values
            .flat_map(|it| it.split(','))
            .map(str::trim)
            .any(|it| it == "*" || it.trim_start_matches("W/") == own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_not_sent_again() {
        let page = Served::new(PAGE);
        let status = |tag: Option<String>| {
            let mut headers = HeaderMap::new();
            if let Some(tag) = tag {
                headers.insert(header::IF_NONE_MATCH, tag.parse().expect("is a value"));
            }
            page.respond(&headers).status().as_u16()
        };
        let own = page.tag.to_str().expect("is text");
        assert_eq!(status(None), 200);
        assert_eq!(status(Some(own.to_owned())), 304);
        assert_eq!(status(Some(format!("\"other\", W/{own}"))), 304);
        assert_eq!(status(Some("\"other\"".to_owned())), 200);
    }

    #[test]
    fn the_page_names_its_parts_and_nothing_of_others() {
        let page = std::str::from_utf8(PAGE.content).expect("is UTF-8");
        for File { name, .. } in PARTS {
            assert!(page.contains(&format!("\"{PLACE}{name}\"")), "{name} is not in the page");
        }
        assert!(!page.contains("://") && !page.contains("<style"), "it keeps to its own policy: {page}");
    }

    #[test]
    fn only_its_own_paths_need_no_token() {
        assert!(
            ["/", "/console", "/console/", "/console/console.js", "/console/fleet"]
                .iter()
                .all(|it| is_of_it(it))
        );
        assert!(!["/v1/fleet", "/consoles", "//console/", "/v1/console/"].iter().any(|it| is_of_it(it)));
    }
}
