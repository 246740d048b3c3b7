//! What a collector gets, and what becomes of spans when there is none.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use millrace_metrics::Catalogue;
use millrace_otlp::{Counters, Exporter, Identity, Settings};
use millrace_schemas::trace::TraceContext;
use millrace_traces::{Kind, Sampler, Span, Tracer};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prometheus::Registry;
use prost::Message as _;

const CONTEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const LINK: &str = "00-11111111111111111111111111111111-2222222222222222-01";

struct Exporting {
    tracer: Tracer,
    exporter: Exporter,
    metrics: Registry,
}

fn start(endpoint: &str, variables: &[(&str, &str)]) -> Exporting {
    let variable = |name: &str| variables.iter().find(|it| it.0 == name).map(|it| it.1.to_owned());
    let settings = Settings::new(Some(endpoint), Sampler::default(), variable).unwrap().unwrap();
    let identity = Identity {
        service: Some("shop".to_owned()),
        service_default: "millrace",
        version: "1.2.3",
        instance: "i-1".to_owned(),
    };
    let (tracer, exporter) = Exporter::start(&settings, &identity).unwrap();
    let metrics = Registry::new();
    exporter.count_in(Counters::new(&mut Catalogue::new(&metrics)));
    Exporting { tracer, exporter, metrics }
}

impl Exporting {
    fn record(&self) {
        let context = TraceContext::parse(CONTEXT).unwrap();
        let (now, link) = (SystemTime::now(), TraceContext::parse(LINK));
        let span = Span {
            context,
            tracestate: Some("congo=1".to_owned()),
            parent: link.map(|it| it.span),
            link,
            kind: Kind::Producer,
            name: "send topic".into(),
            started_at: now,
            ended_at: now - Duration::from_secs(1),
            attributes: vec![("messaging.system", "kafka".into()), ("messaging.kafka.offset", 7.into())],
            error: Some("no".into()),
        };
        self.tracer.record(|| span, context);
    }

    /// Exported, dropped for want of room, dropped since nobody took them.
    fn figures(&self) -> [f64; 3] {
        let value = |name: &str, reason: Option<&str>| {
            let family = self.metrics.gather().into_iter().find(|it| it.name() == name).unwrap();
            let is_meant = |it: &&prometheus::proto::Metric| {
                reason.is_none_or(|reason| it.get_label().iter().any(|it| it.value() == reason))
            };
            family.get_metric().iter().find(is_meant).unwrap().get_counter().get_value()
        };
        let dropped = |reason| value("millrace_spans_dropped_total", Some(reason));
        [value("millrace_spans_exported_total", None), dropped("queue_full"), dropped("export_failed")]
    }
}

type Requests = Arc<Mutex<Vec<(HeaderMap, ExportTraceServiceRequest)>>>;

/// One that answers so.
async fn collector(answer: StatusCode) -> (String, Requests) {
    let requests = Requests::default();
    let kept = Arc::clone(&requests);
    let take = move |headers: HeaderMap, body: Bytes| {
        kept.lock().unwrap().push((headers, ExportTraceServiceRequest::decode(body).unwrap()));
        std::future::ready(answer)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/v1/traces", post(take))).await });
    (url, requests)
}

#[tokio::test]
async fn a_span_arrives_as_it_was_recorded() {
    let (url, requests) = collector(StatusCode::OK).await;
    let exporting = start(&url, &[]);
    exporting.record();
    exporting.exporter.flush(Duration::from_secs(10)).await;
    let (headers, request) = requests.lock().unwrap().remove(0);
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let of_resource = &request.resource_spans[0];
    let resource = format!("{:?}", of_resource.resource);
    for said in ["shop", "1.2.3", "i-1"] {
        assert!(resource.contains(said), "{said} in {resource}");
    }
    let span = &of_resource.scope_spans[0].spans[0];
    let hexadecimal = |it: &[u8]| it.iter().map(|it| format!("{it:02x}")).collect::<String>();
    assert_eq!(format!("00-{}-{}-01", hexadecimal(&span.trace_id), hexadecimal(&span.span_id)), CONTEXT);
    assert_eq!(hexadecimal(&span.parent_span_id), "2222222222222222");
    assert_eq!(hexadecimal(&span.links[0].trace_id), "1".repeat(32));
    assert_eq!((span.trace_state.as_str(), span.name.as_str()), ("congo=1", "send topic"));
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    assert_eq!(span.status.as_ref().unwrap().message, "no");
    assert_eq!(exporting.figures(), [1.0, 0.0, 0.0]);
}

#[tokio::test]
async fn spans_are_sent_together_and_without_being_asked_for() {
    let (url, requests) = collector(StatusCode::OK).await;
    let variables = [("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4"), ("OTEL_BSP_SCHEDULE_DELAY", "20")];
    let exporting = start(&url, &variables);
    (0..10).for_each(|_| exporting.record());
    let began = Instant::now();
    while exporting.figures()[0] < 10.0 {
        assert!(began.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let count = |it: &ExportTraceServiceRequest| it.resource_spans[0].scope_spans[0].spans.len();
    let counts: Vec<_> = requests.lock().unwrap().iter().map(|it| count(&it.1)).collect();
    assert_eq!(counts, [4, 4, 2]);
}

#[tokio::test]
async fn whoever_records_never_waits_and_what_does_not_fit_is_counted() {
    // Takes connections, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let variables = [("OTEL_BSP_MAX_QUEUE_SIZE", "8"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "60000")];
    let exporting = start(&url, &variables);
    let began = Instant::now();
    (0..1_000).for_each(|_| exporting.record());
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(exporting.figures()[1], 992.0);
    let began = Instant::now();
    exporting.exporter.flush(Duration::from_millis(200)).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_a_collector_refuses_is_counted_and_not_kept() {
    let (url, requests) = collector(StatusCode::SERVICE_UNAVAILABLE).await;
    let exporting = start(&url, &[]);
    (0..3).for_each(|_| exporting.record());
    exporting.exporter.flush(Duration::from_secs(10)).await;
    assert_eq!(exporting.figures(), [0.0, 0.0, 3.0]);
    assert_eq!(requests.lock().unwrap().len(), 1);
}
