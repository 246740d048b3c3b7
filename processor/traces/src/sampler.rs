//! Which traces are recorded.

use millrace_schemas::trace::{TraceContext, TraceId};

/// Names of samplers, as `OTEL_TRACES_SAMPLER` has them.
pub const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

/// Decides by the trace and by what others have decided, so all spans of a trace have one answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// What was caused is recorded if its cause is.
    is_parent_based: bool,
    /// How many of the others are, from 0 to 1.
    ratio: f64,
}

impl Default for Sampler {
    /// As OpenTelemetry has it: what others record, and all that begins here.
    fn default() -> Self {
        Self { is_parent_based: true, ratio: 1.0 }
    }
}

impl Sampler {
    /// One of [`SAMPLERS`]; `ratio` is for those that are called after it.
    ///
    /// # Errors
    /// With what is wrong, and what would be right.
    pub fn named(name: &str, ratio: Option<f64>) -> Result<Self, String> {
        let (is_parent_based, root) = match name.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, name),
        };
        let ratio = match (root, ratio) {
            ("always_on", _) => 1.0,
            ("always_off", _) => 0.0,
            // The standard's own default.
            ("traceidratio", None) => 1.0,
            ("traceidratio", Some(ratio)) if (0.0..=1.0).contains(&ratio) => ratio,
            ("traceidratio", Some(ratio)) => {
                return Err(format!("a ratio of {ratio} is not possible: from 0 (none) to 1 (all)"));
            }
            _ => return Err(format!("there is no sampler {name:?}: {}", SAMPLERS.join(", "))),
        };
        Ok(Self { is_parent_based, ratio })
    }

    /// Whether what is caused by something that is not recorded is not recorded either, whatever else there is.
    #[must_use]
    pub fn is_parent_based(self) -> bool {
        self.is_parent_based
    }

    /// Whether a span of `trace` is recorded. `cause`: what has caused it, or what it follows.
    #[must_use]
    pub fn samples(self, trace: TraceId, cause: Option<TraceContext>) -> bool {
        match cause {
            Some(cause) if self.is_parent_based => cause.is_sampled(),
            _ => self.is_within(trace),
        }
    }

    /// By the lower half of the id, as other programs do it: with the same ratio they record the same traces.
    fn is_within(self, trace: TraceId) -> bool {
        const LIMIT: f64 = (1u64 << 63) as f64;
        // Both conversions saturate, and the ratio is from 0 to 1.
        let below = (self.ratio * LIMIT) as u64;
        self.ratio >= 1.0 || (trace.0.get() as u64) >> 1 < below
    }
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU64, NonZeroU128};

    use millrace_schemas::trace::SpanId;
    use proptest::prelude::*;

    use super::*;

    fn trace(id: u128) -> TraceId {
        TraceId(NonZeroU128::new(id).expect("is not 0"))
    }

    fn context(flags: u8) -> TraceContext {
        TraceContext { trace: trace(1), span: SpanId(NonZeroU64::MIN), flags }
    }

    #[test]
    fn every_name_is_a_sampler_and_no_other() {
        for name in SAMPLERS {
            let sampler = Sampler::named(name, Some(0.5)).expect("is one");
            assert_eq!(sampler.is_parent_based(), name.starts_with("parentbased_"), "{name}");
        }
        assert!(Sampler::named("sometimes", None).expect_err("is none").contains("parentbased_always_on"));
        assert!(Sampler::named("traceidratio", Some(1.5)).is_err());
        assert!(Sampler::named("traceidratio", Some(f64::NAN)).is_err());
        assert_eq!(Sampler::named("parentbased_always_on", None), Ok(Sampler::default()));
    }

    proptest! {
        #[test]
        fn whoever_follows_the_cause_does_as_the_cause_does(id in 1u128.., ratio in 0.0f64..=1.0, flags in 0u8..=3) {
            let sampler = Sampler::named("parentbased_traceidratio", Some(ratio)).expect("is one");
            prop_assert_eq!(sampler.samples(trace(id), Some(context(flags))), flags & 1 == 1);
        }

        #[test]
        fn a_greater_ratio_records_what_a_smaller_one_does(id in 1u128.., one in 0.0f64..=1.0, other in 0.0f64..=1.0) {
            let samples = |ratio| Sampler::named("traceidratio", Some(ratio)).expect("is one").samples(trace(id), None);
            let (less, more) = if one < other { (one, other) } else { (other, one) };
            prop_assert!(!samples(less) || samples(more));
            prop_assert!(samples(1.0) && !samples(0.0));
        }
    }
}
