//! What pages of others must not do with a browser of somebody who may use the API: it asks with the rights of the browser's place.
//!
//! No other origin is let in (there are no CORS headers); what a browser sends without asking first is refused by what it says of itself. And
//! where the place is all that lets in, the name that was asked for must be one of the place: a page may have its own name lead here.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::settings::Settings;
use crate::http::{ApiError, code};

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    /// Where only the place lets in: the names of it, besides those of loopback.
    names: Option<Vec<String>>,
}

impl Guard {
    pub(super) fn new(settings: &Settings, address: SocketAddr, url: &str) -> Self {
        let advertised = url.parse::<Uri>().ok().and_then(|it| it.host().map(str::to_owned));
        let is_by_place = settings.is_open() && address.ip().is_loopback();
        Self { names: is_by_place.then(|| advertised.into_iter().collect()) }
    }

    fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
        let text = |name| headers.get(name).and_then(|it| it.to_str().ok());
        let asked = uri.authority().map(|it| it.as_str()).or_else(|| text(header::HOST));
        if let (Some(names), Some(asked)) = (&self.names, asked) {
            let host = host_of(asked);
            if !is_loopback(host) && !names.iter().any(|it| it.eq_ignore_ascii_case(host)) {
                let message = format!("{host} is none of the names of this place; ask localhost");
                return Err(ApiError::new(code::FORBIDDEN, message));
            }
        }
        if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
            return Ok(());
        }
        let is_of_another_site =
            text(header::HeaderName::from_static("sec-fetch-site")) == Some("cross-site");
        let origin = text(header::ORIGIN);
        let is_of_another_origin = origin.is_some_and(|it| {
            let own = it.split_once("://").map(|it| it.1);
            own.is_none() || own.map(str::to_ascii_lowercase) != asked.map(str::to_ascii_lowercase)
        });
        if is_of_another_site || is_of_another_origin {
            return Err(ApiError::new(
                code::FORBIDDEN,
                "pages of other origins may not change anything here",
            ));
        }
        Ok(())
    }
}

fn host_of(authority: &str) -> &str {
    match authority.strip_prefix('[').and_then(|it| it.split_once(']')) {
        Some((address, _)) => address,
        None => authority.rsplit_once(':').map_or(authority, |it| it.0),
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
}

pub(super) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match guard.check(request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::tests::settings;
    use super::*;

    fn check(arguments: &[&str], method: &Method, said: &[(&str, &str)]) -> bool {
        let address = "127.0.0.1:8080".parse().expect("is an address");
        let guard = Guard::new(&settings(arguments), address, "http://127.0.0.1:8080");
        let mut headers = HeaderMap::new();
        for (name, value) in said {
            let name = header::HeaderName::from_bytes(name.as_bytes()).expect("is a name");
            headers.insert(name, value.parse().expect("is a value"));
        }
        guard.check(method, &Uri::from_static("/v1/instances"), &headers).is_ok()
    }

    #[test]
    fn a_name_that_leads_here_is_not_let_in_for_the_place_alone() {
        for host in ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST"] {
            assert!(check(&[], &Method::GET, &[("host", host)]), "{host}");
        }
        for host in ["evil.example:8080", "10.0.0.1", "localhost.evil.example"] {
            assert!(!check(&[], &Method::GET, &[("host", host)]), "{host}");
            assert!(
                check(&["--http-tokens", "t"], &Method::GET, &[("host", host)]),
                "a token lets in: {host}"
            );
        }
    }

    #[test]
    fn pages_of_others_change_nothing() {
        let own = [("host", "localhost:8080"), ("origin", "http://localhost:8080")];
        assert!(check(&[], &Method::POST, &own));
        for said in [
            &[("host", "localhost:8080"), ("origin", "https://evil.example")][..],
            &[("host", "localhost:8080"), ("origin", "http://localhost:9090")],
            &[("host", "localhost:8080"), ("origin", "null")],
            &[("host", "localhost:8080"), ("sec-fetch-site", "cross-site")],
        ] {
            assert!(!check(&[], &Method::POST, said), "{said:?}");
            assert!(!check(&["--http-tokens", "t"], &Method::POST, said), "{said:?}");
        }
        assert!(check(&[], &Method::POST, &[("host", "localhost:8080")]), "no browser");
    }
}
