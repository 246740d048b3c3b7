//! What an operator says about the API.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Args;

use crate::exit::Failure;
use crate::http::caller::Role;

#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "HTTP API")]
pub(crate) struct Settings {
    /// Listen where others reach it without asking who they are: only where the network keeps them away
    #[arg(long, env = "MILLRACE_HTTP_INSECURE")]
    http_insecure: bool,

    /// File of bearer tokens, a line for each: NAME ROLE SHA256, the last in hexadecimal, the role one of read, write, admin. Read again when it
    /// changes
    #[arg(long, env = "MILLRACE_HTTP_TOKENS", value_name = "FILE")]
    pub(super) http_tokens: Option<PathBuf>,

    /// Let in whoever has a token (JWT) of this issuer, as an OpenID provider gives them
    #[arg(long, env = "MILLRACE_HTTP_JWT_ISSUER", value_name = "URL", requires = "http_jwt_audience")]
    pub(super) http_jwt_issuer: Option<String>,

    /// What such a token must name as its audience
    #[arg(long, env = "MILLRACE_HTTP_JWT_AUDIENCE", value_name = "NAME", requires = "http_jwt_issuer")]
    pub(super) http_jwt_audience: Option<String>,

    /// The issuer's keys (JWKS): a file, or an address [default: as the issuer says at /.well-known/openid-configuration]
    #[arg(long, env = "MILLRACE_HTTP_JWT_KEYS", value_name = "FILE|URL", requires = "http_jwt_issuer")]
    pub(super) http_jwt_keys: Option<String>,

    /// The claim with the roles: a list or a text of names, in an object by a path such as realm_access.roles
    #[arg(long, env = "MILLRACE_HTTP_JWT_ROLES_CLAIM", default_value = "roles", value_name = "CLAIM")]
    pub(super) http_jwt_roles_claim: String,

    /// What a name in that claim lets do; may be repeated [default: read=read, write=write, admin=admin]
    #[arg(
        long,
        env = "MILLRACE_HTTP_JWT_ROLE",
        value_name = "NAME=ROLE",
        value_parser = parse_role,
        value_delimiter = ','
    )]
    pub(super) http_jwt_role: Vec<(String, Role)>,

    /// Speak TLS by this certificate, with those between it and its authority (PEM). Read again when it changes
    #[arg(long, env = "MILLRACE_HTTP_TLS_CERT", value_name = "FILE", requires = "http_tls_key")]
    pub(super) http_tls_cert: Option<PathBuf>,

    /// The certificate's key (PEM)
    #[arg(long, env = "MILLRACE_HTTP_TLS_KEY", value_name = "FILE", requires = "http_tls_cert")]
    pub(super) http_tls_key: Option<PathBuf>,

    /// Most requests of one caller in a second; twice as many may come at once. 0 for any number
    #[arg(long, env = "MILLRACE_HTTP_RATE_MAX", default_value_t = 500, value_name = "REQUESTS")]
    http_rate_max: u32,

    /// Most requests that are answered side by side; more are told to come back
    #[arg(long, env = "MILLRACE_HTTP_REQUESTS_MAX", default_value = "2000", value_name = "REQUESTS")]
    pub(super) http_requests_max: NonZeroU32,

    /// Largest body of a request
    #[arg(long, env = "MILLRACE_HTTP_BODY_BYTES_MAX", default_value_t = 2 * 1024 * 1024, value_name = "BYTES")]
    pub(super) http_body_bytes_max: usize,
}

impl Settings {
    /// Whether everybody who reaches it may do everything.
    pub(super) fn is_open(&self) -> bool {
        self.http_tokens.is_none() && self.http_jwt_issuer.is_none()
    }

    pub(super) fn rate_max(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.http_rate_max)
    }

    pub(crate) fn speaks_tls(&self) -> bool {
        self.http_tls_cert.is_some()
    }

    /// Refuses to be reached by everybody unless that is meant.
    pub(super) fn may_listen(&self, address: SocketAddr) -> Result<(), Failure> {
        if address.ip().is_loopback() || !self.is_open() || self.http_insecure {
            return Ok(());
        }
        let what = format!("{address} is reached by others, and nothing says who may use the API");
        let fix = "give tokens with --http-tokens FILE, or --http-jwt-issuer and --http-jwt-audience; or listen on 127.0.0.1; \
                   or say --http-insecure, if the network keeps everybody else away";
        Err(Failure::refused(what, fix))
    }
}

fn parse_role(text: &str) -> Result<(String, Role), String> {
    let parsed = text.split_once('=').and_then(|(name, role)| Some((name.to_owned(), Role::of_name(role)?)));
    parsed
        .filter(|it| !it.0.is_empty())
        .ok_or_else(|| "write it as NAME=read, NAME=write or NAME=admin".to_owned())
}

#[cfg(test)]
pub(super) mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
    }

    /// Settings as a command line says them.
    pub(crate) fn settings(arguments: &[&str]) -> Settings {
        Line::parse_from(["millrace"].iter().chain(arguments)).settings
    }

    #[test]
    fn others_are_let_in_only_if_that_is_meant() {
        let may = |address: &str, arguments: &[&str]| {
            settings(arguments).may_listen(address.parse().expect("is an address")).is_ok()
        };
        assert!(may("127.0.0.1:8080", &[]));
        assert!(may("[::1]:8080", &[]));
        assert!(!may("0.0.0.0:8080", &[]));
        assert!(!may("[::]:8080", &[]));
        assert!(!may("10.0.0.1:8080", &[]));
        assert!(may("0.0.0.0:8080", &["--http-insecure"]));
        assert!(may("0.0.0.0:8080", &["--http-tokens", "tokens"]));
        let issuer = ["--http-jwt-issuer", "https://login.example", "--http-jwt-audience", "millrace"];
        assert!(may("0.0.0.0:8080", &issuer));
    }

    #[test]
    fn roles_are_mapped() {
        let roles = settings(&["--http-jwt-role", "ops=admin,everybody=read"]).http_jwt_role;
        assert_eq!(roles, [("ops".to_owned(), Role::Admin), ("everybody".to_owned(), Role::Read)]);
        assert!(parse_role("ops=root").is_err() && parse_role("=read").is_err());
    }
}
