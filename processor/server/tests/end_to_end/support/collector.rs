//! A collector of traces, and a service that workflows call: both remember what came.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::{get, post};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanStatus;
use prost::Message as _;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(60);

/// A span as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) service: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: Option<String>,
    pub(crate) state: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) is_error: bool,
    attributes: BTreeMap<String, String>,
}

impl Seen {
    /// An attribute as text; empty, if it is not there.
    pub(crate) fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

type Spans = Arc<Mutex<Vec<Seen>>>;

/// Takes traces as protobuf over HTTP.
pub(crate) struct Collector {
    spans: Spans,
    address: String,
    serving: JoinHandle<()>,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let spans = Spans::default();
        let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&spans));
        let (address, serving) = serve(router).await;
        Self { spans, address, serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn spans(&self) -> Vec<Seen> {
        self.spans.lock().unwrap().clone()
    }

    /// The spans, once there are so many; no more may come.
    pub(crate) async fn until(&self, count: usize) -> Vec<Seen> {
        let began = Instant::now();
        while self.spans().len() < count {
            assert!(began.elapsed() < PATIENCE, "waited in vain for {count} spans: {:#?}", self.spans());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // As long as a span waits for others, and some.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let spans = self.spans();
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(router: Router) -> (String, JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (address, tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }))
}

async fn take(State(spans): State<Spans>, headers: HeaderMap, body: Bytes) -> StatusCode {
    assert_eq!(headers[header::CONTENT_TYPE], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    for of_resource in request.resource_spans {
        let resource = attributes(of_resource.resource.unwrap().attributes);
        for span in of_resource.scope_spans.into_iter().flat_map(|it| it.spans) {
            assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
            spans.lock().unwrap().push(Seen {
                service: resource["service.name"].clone(),
                trace: hexadecimal(&span.trace_id),
                id: hexadecimal(&span.span_id),
                parent: Some(hexadecimal(&span.parent_span_id))
                    .filter(|it| it.contains(|digit| digit != '0')),
                kind: span.kind().as_str_name().trim_start_matches("SPAN_KIND_").to_lowercase(),
                is_error: span.status.as_ref().is_some_and(|it| it.code() == SpanStatus::Error),
                state: span.trace_state,
                name: span.name,
                attributes: attributes(span.attributes),
            });
        }
    }
    StatusCode::OK
}

fn attributes(list: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |it: KeyValue| match it.value?.value? {
        Value::StringValue(text) => Some((it.key, text)),
        Value::IntValue(number) => Some((it.key, number.to_string())),
        _ => None,
    };
    list.into_iter().filter_map(text).collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

/// `traceparent` and `tracestate` of a request.
type Trace = (Option<String>, Option<String>);

/// What a workflow calls.
pub(crate) struct Service {
    requests: Arc<Mutex<Vec<Trace>>>,
    address: String,
    serving: JoinHandle<()>,
}

impl Service {
    pub(crate) async fn start() -> Self {
        let requests = Arc::<Mutex<Vec<Trace>>>::default();
        let kept = Arc::clone(&requests);
        let answer = move |headers: HeaderMap| {
            let text = |name: &str| headers.get(name).map(|it| it.to_str().unwrap().to_owned());
            kept.lock().unwrap().push((text("traceparent"), text("tracestate")));
            std::future::ready("{}")
        };
        let (address, serving) = serve(Router::new().route("/", get(answer))).await;
        Self { requests, address, serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Trace> {
        self.requests.lock().unwrap().clone()
    }

    /// Those of the requests that have one.
    pub(crate) fn traceparents(&self) -> Vec<String> {
        self.requests().into_iter().filter_map(|it| it.0).collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
