//! Spans, as data: what was done, how long it took, and what had caused it.
//!
//! Reading order: [`Tracer`], which begins spans and hands them on; [`Sampler`], which decides which traces are recorded; [`Span`], what is
//! known of one; [`headers`], how a context travels with a record.
//!
//! It does no I/O and reads no clock: where spans go is a [`Sink`], and `processor/otlp` has the one that sends them to a collector. A span is
//! handed on when it has ended, whole: so whoever does not know yet whether what it has done counts (a transaction may be aborted)
//! begins one, and says nothing if it does not.

pub mod headers;
mod sampler;
mod span;
mod tracer;

pub use sampler::{SAMPLERS, Sampler};
pub use span::{Kind, Span, Value};
pub use tracer::{Sink, Tracer};
