//! How much may be asked: by one caller in a second, by all side by side, and how long each may take.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::sync::Semaphore;

use super::settings::Settings;
use crate::http::asking::WAIT_MAX;
use crate::http::{ApiError, code};

/// How long a request may take: as long as may be waited for, and then some.
const REQUEST_MAX: Duration = WAIT_MAX.saturating_add(Duration::from_secs(30));

/// How often callers are forgotten that have asked nothing lately, in requests.
const FORGET_EVERY: u32 = 10_000;

/// Who is counted: whoever has shown who he is, else whoever is at an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Client {
    Named(Arc<str>),
    At(IpAddr),
}

impl Client {
    pub(super) fn of(name: Option<&Arc<str>>, peer: SocketAddr) -> Self {
        match (name, peer.ip()) {
            (Some(name), _) => Self::Named(Arc::clone(name)),
            // One customer of a provider has a whole network of these.
            (None, IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments();
                Self::At(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
            (None, address) => Self::At(address),
        }
    }
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    rates: Option<Arc<DefaultKeyedRateLimiter<Client>>>,
    counted: Arc<AtomicU32>,
    requests: Arc<Semaphore>,
    body_bytes_max: usize,
}

impl Limits {
    pub(super) fn new(settings: &Settings) -> Self {
        let rates = settings.rate_max().map(|rate| {
            let burst = NonZeroU32::new(rate.get().saturating_mul(2)).unwrap_or(rate);
            Arc::new(RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst)))
        });
        let requests = usize::try_from(settings.http_requests_max.get()).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            rates,
            counted: Arc::default(),
            requests: Arc::new(Semaphore::new(requests)),
            body_bytes_max: settings.http_body_bytes_max,
        }
    }

    pub(super) fn body_bytes_max(&self) -> usize {
        self.body_bytes_max
    }

    /// Counts a request, and refuses it if there were too many.
    pub(super) fn count(&self, client: Client) -> Result<(), TooMany> {
        let Some(rates) = &self.rates else { return Ok(()) };
        if self.counted.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            rates.retain_recent();
        }
        rates.check_key(&client).map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            TooMany { seconds: wait.as_secs() + 1 }
        })
    }
}

/// More were asked than may be.
#[derive(Debug)]
pub(super) struct TooMany {
    seconds: u64,
}

impl IntoResponse for TooMany {
    fn into_response(self) -> Response {
        let message = format!("too many requests; try again in {} s", self.seconds);
        let mut response = ApiError::new(code::TOO_MANY, message).into_response();
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(self.seconds));
        response
    }
}

/// Refuses what is more than may be answered side by side, but for the questions whether the process lives.
pub(super) async fn one_of_many(State(limits): State<Arc<Limits>>, request: Request, next: Next) -> Response {
    if matches!(request.uri().path(), "/livez" | "/readyz") {
        return next.run(request).await;
    }
    let Ok(_turn) = limits.requests.try_acquire() else {
        let message = "this processor answers as many requests as it may; try again, or ask another one";
        return ApiError::new(code::BUSY, message).into_response();
    };
    next.run(request).await
}

/// Ends what takes too long.
pub(super) async fn in_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(REQUEST_MAX, next.run(request)).await.unwrap_or_else(|_| {
        let message = format!("not answered within {} s", REQUEST_MAX.as_secs());
        ApiError::new(code::TIMEOUT, message).into_response()
    })
}

#[cfg(test)]
mod tests {
    use super::super::settings::tests::settings;
    use super::*;

    #[test]
    fn each_caller_has_its_own_count() {
        let limits = Limits::new(&settings(&["--http-rate-max", "2"]));
        let peer: SocketAddr = "192.0.2.1:4000".parse().expect("is an address");
        let ann: Arc<str> = "ann".into();
        for _ in 0..4 {
            assert!(limits.count(Client::of(Some(&ann), peer)).is_ok());
        }
        let refused = limits.count(Client::of(Some(&ann), peer)).expect_err("is one too many");
        assert_eq!(refused.seconds, 1);
        assert!(limits.count(Client::of(None, peer)).is_ok(), "who is not ann is not counted with her");
        let any = Limits::new(&settings(&["--http-rate-max", "0"]));
        assert!((0..1_000).all(|_| any.count(Client::of(None, peer)).is_ok()));
    }

    #[test]
    fn a_network_of_addresses_is_one_client() {
        let client = |address: &str| Client::of(None, address.parse().expect("is an address"));
        assert_eq!(client("[2001:db8::1]:1"), client("[2001:db8::2:3]:4"));
        assert_ne!(client("[2001:db8::1]:1"), client("[2001:db8:0:1::1]:1"));
    }
}
