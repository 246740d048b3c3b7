//! Spans of requests to the HTTP API. What a request sends is caused by its span, or by its `traceparent`, if there is no span.

use std::time::SystemTime;

use axum::extract::{MatchedPath, Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use millrace_traces::{Kind, Span, Value};

use super::{Cause, Traces};

tokio::task_local! {
    static CAUSE: Option<Cause>;
}

/// What is being done is caused by this request, if it is done for one.
pub(crate) fn cause() -> Option<Cause> {
    CAUSE.try_with(Clone::clone).ok().flatten()
}

/// What is done is caused by the same, though the request is answered before it is done.
pub(crate) async fn for_cause<T>(cause: Option<Cause>, done: impl Future<Output = T>) -> T {
    CAUSE.scope(cause, done).await
}

/// Whoever was let in.
pub(crate) async fn traced(State(traces): State<Traces>, request: Request, next: Next) -> Response {
    // Health checks and scrapes come every few seconds, and tell nothing.
    if !request.uri().path().starts_with("/v1/") {
        return next.run(request).await;
    }
    let said = said(request.headers());
    let Some(context) = traces.tracer().begin(said.as_ref().map(|it| it.context)) else {
        return CAUSE.scope(said, next.run(request)).await;
    };
    let started_at = SystemTime::now();
    let method = request.method().to_string();
    let route = request.extensions().get::<MatchedPath>().map(|it| it.as_str().to_owned());
    let tracestate = said.as_ref().and_then(|it| it.tracestate.clone());
    let cause = Cause { context, tracestate: tracestate.clone() };
    let response = CAUSE.scope(Some(cause), next.run(request)).await;
    let status = response.status();
    traces.tracer().record(
        || {
            let mut attributes: Vec<(&'static str, Value)> = vec![
                ("http.request.method", method.clone().into()),
                ("http.response.status_code", i64::from(status.as_u16()).into()),
            ];
            attributes.extend(route.clone().map(|it| ("http.route", it.into())));
            let error = status.is_server_error().then(|| {
                attributes.push(("error.type", status.as_str().to_owned().into()));
                status.to_string().into()
            });
            Span {
                context,
                tracestate,
                parent: said.map(|it| it.context.span),
                link: None,
                kind: Kind::Server,
                name: route.map_or_else(|| method.clone(), |it| format!("{method} {it}")).into(),
                started_at,
                ended_at: SystemTime::now(),
                attributes,
                error,
            }
        },
        context,
    );
    response
}

fn said(headers: &HeaderMap) -> Option<Cause> {
    Cause::read(|name| headers.get(name)?.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_done_after_the_answer_is_caused_by_the_same() {
        let text = |name: &str| {
            (name == "traceparent").then_some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        };
        let said = Cause::read(text);
        assert!(said.is_some());
        let spawned = CAUSE.scope(said.clone(), async {
            let alone = tokio::spawn(async { cause() }).await.expect("it does not panic");
            let handed =
                tokio::spawn(for_cause(cause(), async { cause() })).await.expect("it does not panic");
            (alone, handed)
        });
        assert_eq!(spawned.await, (None, said));
        assert_eq!(cause(), None);
    }
}
