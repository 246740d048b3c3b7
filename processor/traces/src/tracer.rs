//! Begins spans, and hands on those that have ended.

use std::num::{NonZeroU64, NonZeroU128};
use std::sync::Arc;

use millrace_schemas::trace::{SpanId, TraceContext, TraceId};

use crate::{Sampler, Span};

/// Where spans go. It must return at once, whatever becomes of the span.
pub trait Sink: std::fmt::Debug + Send + Sync {
    /// Takes a span that is to be recorded.
    fn take(&self, span: Span);
}

/// Begins spans. Cheap to clone; by default it is off, and costs a comparison.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<Active>>);

#[derive(Debug)]
struct Active {
    sampler: Sampler,
    sink: Arc<dyn Sink>,
}

impl Tracer {
    /// One that records nothing, and passes on what others say as it is.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// One that records what `sampler` wants recorded, in `sink`.
    #[must_use]
    pub fn new(sampler: Sampler, sink: Arc<dyn Sink>) -> Self {
        Self(Some(Arc::new(Active { sampler, sink })))
    }

    /// Which traces it records; none if it is off.
    #[must_use]
    pub fn sampler(&self) -> Option<Sampler> {
        self.0.as_ref().map(|it| it.sampler)
    }

    /// The context of a new span that `cause` has caused; of a new trace, if nothing has. None if what it causes is to carry the context of
    /// the cause as it is: of a tracer that is off, and where nothing of this trace is recorded anyway.
    #[must_use]
    pub fn begin(&self, cause: Option<TraceContext>) -> Option<TraceContext> {
        let active = self.0.as_ref()?;
        match cause {
            Some(cause) if active.sampler.is_parent_based() && !cause.is_sampled() => None,
            Some(cause) => Some(active.sampler.context(cause.trace, Some(cause), cause.flags)),
            None => Some(active.sampler.context(new_trace(), None, TraceContext::RANDOM)),
        }
    }

    /// The context of a new trace, recorded if the one that it `follows` is and the sampler goes by that. None if the tracer is off.
    #[must_use]
    pub fn begin_after(&self, follows: TraceContext) -> Option<TraceContext> {
        let active = self.0.as_ref()?;
        Some(active.sampler.context(new_trace(), Some(follows), TraceContext::RANDOM))
    }

    /// Hands on a span that has ended, if its trace is recorded.
    pub fn record(&self, span: impl FnOnce() -> Span, context: TraceContext) {
        if let Some(active) = &self.0
            && context.is_sampled()
        {
            active.sink.take(span());
        }
    }
}

impl Sampler {
    fn context(self, trace: TraceId, cause: Option<TraceContext>, flags: u8) -> TraceContext {
        let sampled = u8::from(self.samples(trace, cause)) * TraceContext::SAMPLED;
        TraceContext { trace, span: new_span(), flags: flags & !TraceContext::SAMPLED | sampled }
    }
}

fn new_trace() -> TraceId {
    TraceId(NonZeroU128::new(rand::random()).unwrap_or(NonZeroU128::MIN))
}

fn new_span() -> SpanId {
    SpanId(NonZeroU64::new(rand::random()).unwrap_or(NonZeroU64::MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Nowhere;
    impl Sink for Nowhere {
        fn take(&self, _: Span) {}
    }

    fn tracer(sampler: &str) -> Tracer {
        Tracer::new(Sampler::named(sampler, None).expect("is one"), Arc::new(Nowhere))
    }

    fn context(text: &str) -> TraceContext {
        TraceContext::parse(text).expect("is one")
    }

    const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const UNSAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    #[test]
    fn what_is_caused_is_of_the_same_trace_and_another_span() {
        let cause = context(SAMPLED);
        let child = tracer("parentbased_always_on").begin(Some(cause)).expect("is on");
        assert_eq!((child.trace, child.flags), (cause.trace, cause.flags));
        assert_ne!(child.span, cause.span);
    }

    #[test]
    fn what_is_sampled_out_stays_so() {
        let cause = context(UNSAMPLED);
        assert_eq!(tracer("parentbased_always_on").begin(Some(cause)), None);
        let after = tracer("parentbased_always_on").begin_after(cause).expect("is on");
        assert!(!after.is_sampled() && after.trace != cause.trace);
        // Who says so records it all the same.
        assert!(tracer("always_on").begin(Some(cause)).expect("is on").is_sampled());
        let dropped = tracer("always_off").begin(Some(context(SAMPLED))).expect("is on");
        assert!(!dropped.is_sampled() && dropped.trace == cause.trace);
    }

    #[test]
    fn what_begins_here_says_whether_it_is_recorded() {
        let recorded = tracer("parentbased_always_on").begin(None).expect("is on");
        assert_eq!(recorded.flags, 0b11);
        assert_eq!(tracer("parentbased_always_off").begin(None).expect("is on").flags, 0b10);
        assert_eq!(Tracer::off().begin(None), None);
    }
}
