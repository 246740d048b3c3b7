//! Spans as OpenTelemetry has them.

use std::str::FromStr;

use millrace_schemas::trace::TraceContext;
use millrace_traces::{Kind, Span, Value};
use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, StringValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, ResourceDetector as _};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use crate::settings::Identity;

/// Who speaks: what the environment says wins, but for the name that somebody has given.
pub(crate) fn resource(identity: &Identity) -> Resource {
    let said = EnvResourceDetector::new().detect();
    let is_said = |name: &'static str| said.get(&name.into()).is_some();
    let mut resource = Resource::builder();
    match &identity.service {
        Some(name) => resource = resource.with_service_name(name.clone()),
        None if !is_said("service.name") => resource = resource.with_service_name(identity.service_default),
        None => {}
    }
    let own = [
        ("service.version", identity.version.to_owned()),
        ("service.instance.id", identity.instance.clone()),
    ];
    for (name, value) in own {
        if !is_said(name) {
            resource = resource.with_attribute(KeyValue::new(name, value));
        }
    }
    resource.build()
}

/// What spans are made by.
pub(crate) fn scope(version: &'static str) -> InstrumentationScope {
    InstrumentationScope::builder("millrace").with_version(version).build()
}

pub(crate) fn span(span: Span, scope: &InstrumentationScope) -> SpanData {
    let tracestate = span.tracestate.and_then(|it| TraceState::from_str(&it).ok()).unwrap_or_default();
    let mut links = SpanLinks::default();
    links.links.extend(span.link.map(|it| Link::with_context(context(it, true, TraceState::default()))));
    SpanData {
        span_context: context(span.context, false, tracestate),
        parent_span_id: span.parent.map_or(SpanId::INVALID, |it| SpanId::from(it.0.get())),
        parent_span_is_remote: span.parent.is_some(),
        span_kind: match span.kind {
            Kind::Producer => SpanKind::Producer,
            Kind::Consumer => SpanKind::Consumer,
            Kind::Server => SpanKind::Server,
        },
        name: span.name,
        start_time: span.started_at,
        // Two clocks may have been read.
        end_time: span.ended_at.max(span.started_at),
        attributes: span
            .attributes
            .into_iter()
            .map(|(name, value)| KeyValue::new(name, converted(value)))
            .collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links,
        status: span.error.map_or(Status::Unset, |description| Status::Error { description }),
        instrumentation_scope: scope.clone(),
    }
}

fn context(it: TraceContext, is_remote: bool, tracestate: TraceState) -> SpanContext {
    let (trace, span) = (TraceId::from(it.trace.0.get()), SpanId::from(it.span.0.get()));
    SpanContext::new(trace, span, TraceFlags::new(it.flags), is_remote, tracestate)
}

fn converted(value: Value) -> opentelemetry::Value {
    match value {
        Value::Name(name) => name.into(),
        Value::Text(text) => StringValue::from(text).into(),
        Value::Number(number) => number.into(),
    }
}
