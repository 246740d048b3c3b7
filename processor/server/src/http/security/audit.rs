//! The audit log: an event of tracing for each request that changes something, or would have, with target `audit`. `logging` writes these
//! as one line of JSON each.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use tracing::info;

use crate::http::caller::{About, Caller};
use crate::http::error::ErrorCode;

/// Of the events.
pub(crate) const TARGET: &str = "audit";

pub(super) async fn record(request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return next.run(request).await;
    }
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let operation = request.extensions().get::<MatchedPath>().map(|it| it.as_str().to_owned());
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|it| it.0.ip().to_string());
    let response = next.run(request).await;
    // Nobody, if it was refused before anybody was asked who he is.
    let caller = response.extensions().get::<Caller>();
    let About { subject, reason, event, outcome } = caller.map(Caller::noted).unwrap_or_default();
    let error = response.extensions().get::<ErrorCode>().map(|it| it.0.clone());
    info!(
        target: TARGET,
        who = caller.and_then(|it| it.name.as_deref()).unwrap_or("nobody"),
        role = caller.map_or("none", |it| it.role.name()),
        peer,
        method = method.as_str(),
        operation,
        path,
        subject,
        reason,
        event,
        outcome,
        error,
        status = response.status().as_u16(),
        "request"
    );
    response
}
