//! Sends spans to a collector: OTLP, protobuf over HTTP. The only crate that names opentelemetry.
//!
//! Reading order: [`Settings`], where to and how much; [`Exporter`], which collects spans and sends them; [`Counters`], what becomes of
//! them; `convert`, spans as OpenTelemetry has them.
//!
//! Whoever records a span never waits: spans go through a queue with an end, and what does not fit is dropped and counted. So a collector
//! that is slow, down or wrong costs spans, and nothing else.

mod client;
mod convert;
mod counters;
mod exporter;
mod settings;

pub use counters::Counters;
pub use exporter::{Exporter, StartError};
pub use settings::{Identity, InvalidSetting, Settings};
