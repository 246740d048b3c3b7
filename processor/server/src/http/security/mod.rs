//! Who may ask, how much, and how that is kept from others. Reading order: `settings`, what an operator says; `gate`, who is let in, by
//! `tokens` and `jwt`; `limits`; `browser` and `headers`, what pages of others must not do; `audit`; `tls`.

mod audit;
mod browser;
mod files;
mod gate;
mod headers;
mod jwt;
mod limits;
mod settings;
mod tls;
mod tokens;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use tokio_util::sync::CancellationToken;

use gate::Gate;

pub(crate) use settings::Settings;
use tls::Certificates;

pub(crate) use audit::TARGET as AUDIT;

/// Everything that a request passes before it is answered. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Security {
    gate: Gate,
    limits: limits::Limits,
    browser: browser::Guard,
    pub(super) certificates: Option<Certificates>,
}

impl Security {
    /// As the settings say, for an API at `url` that listens at `address`. What it reads is read again until `closing`.
    pub(crate) async fn new(
        settings: &Settings,
        address: std::net::SocketAddr,
        url: &str,
        closing: &CancellationToken,
    ) -> anyhow::Result<Self> {
        settings.may_listen(address)?;
        Ok(Self {
            gate: Gate::new(settings, closing).await?,
            limits: limits::Limits::new(settings),
            browser: browser::Guard::new(settings, address, url),
            certificates: Certificates::new(settings, closing).await?,
        })
    }

    /// Whether nobody is asked who he is.
    pub(crate) fn is_open(&self) -> bool {
        self.gate.is_open()
    }

    /// The outermost comes last.
    pub(super) fn around(self, router: Router) -> Router {
        let Self { gate, limits, browser, certificates } = self;
        let body_bytes_max = limits.body_bytes_max();
        let limits = Arc::new(limits);
        router
            .layer(DefaultBodyLimit::max(body_bytes_max))
            .layer(from_fn(limits::in_time))
            .layer(from_fn_with_state((gate, Arc::clone(&limits)), gate::let_in))
            .layer(from_fn_with_state(browser, browser::guard))
            .layer(from_fn_with_state(limits, limits::one_of_many))
            .layer(from_fn(audit::record))
            .layer(from_fn_with_state(certificates.is_some(), headers::add))
    }
}
