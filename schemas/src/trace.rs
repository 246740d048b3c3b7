//! Which trace a record belongs to: W3C Trace Context (<https://www.w3.org/TR/trace-context/>), as headers carry it.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};

/// Extension attribute, and header, with the trace and the span that caused a record.
pub const TRACEPARENT: &str = "traceparent";
/// Extension attribute, and header, with what tracing systems have to say to each other. It goes on as it came.
pub const TRACESTATE: &str = "tracestate";

/// A span that something else may be caused by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The span in it.
    pub span: SpanId,
    /// [`Self::SAMPLED`], [`Self::RANDOM`].
    pub flags: u8,
}

/// Names a trace. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(pub NonZeroU128);

/// Names a span within its trace. Never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(pub NonZeroU64);

/// Longest header that is looked at: a later version may have appended something to what is known.
const BYTES_MAX: usize = 256;
/// `00-`, 32 digits, `-`, 16 digits, `-`, 2 digits.
const BYTES: usize = 55;
/// Flags of version 00, level 2: sampled, and random trace id. What others may mean some day is not passed on as if it were known.
const FLAGS_KNOWN: u8 = 0b11;
/// Longest list that is passed on: as much as everybody must.
const STATE_BYTES_MAX: usize = 512;

impl TraceContext {
    /// Whoever caused this is recorded.
    pub const SAMPLED: u8 = 1;
    /// The id of the trace was drawn at random, so its lower bits can be sampled by.
    pub const RANDOM: u8 = 2;

    /// Reads a `traceparent`. None if it is not one: then it is as if there were none, and never an error.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if !(BYTES..=BYTES_MAX).contains(&bytes.len()) {
            return None;
        }
        let (version, known) = (hexadecimal(&bytes[..2])?, &bytes[..BYTES]);
        let goes_on = match bytes.get(BYTES) {
            None => true,
            // Version 00 ends here, and a later one goes on with another field.
            Some(next) => version != 0 && *next == b'-',
        };
        if version == 0xff || !goes_on || [2, 35, 52].iter().any(|at| known[*at] != b'-') {
            return None;
        }
        let trace = NonZeroU128::new(hexadecimal(&known[3..35])?)?;
        let span = NonZeroU64::new(u64::try_from(hexadecimal(&known[36..52])?).ok()?)?;
        let flags = u8::try_from(hexadecimal(&known[53..])?).ok()? & FLAGS_KNOWN;
        Some(Self { trace: TraceId(trace), span: SpanId(span), flags })
    }

    /// Whether whoever caused this is recorded, and so shall be what it causes.
    #[must_use]
    pub fn is_sampled(self) -> bool {
        self.flags & Self::SAMPLED != 0
    }
}

/// In the form of a `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, self.flags)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What has caused something, and what goes with that, by headers or attributes that `text` looks up. None if they do not say, or not in a
/// readable way: a state without its trace says nothing.
pub fn read<'a>(text: impl Fn(&str) -> Option<&'a str>) -> Option<(TraceContext, Option<&'a str>)> {
    let context = TraceContext::parse(text(TRACEPARENT)?)?;
    Some((context, text(TRACESTATE).filter(|it| is_tracestate(it))))
}

/// Whether a `tracestate` can be passed on. What it says is nobody's business here.
fn is_tracestate(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= STATE_BYTES_MAX
        && text.contains('=')
        && text.bytes().all(|it| it == b'\t' || (b' '..=b'~').contains(&it))
}

/// Lower-case digits only: an upper-case one makes the header unreadable, says the standard.
fn hexadecimal(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_not_a_context_is_none() {
        let parsed = TraceContext::parse(PARENT).expect("is one");
        assert!(parsed.is_sampled());
        assert_eq!(parsed.to_string(), PARENT);
        let replaced = |from: &str, to: &str| PARENT.replacen(from, to, 1);
        let wrong = [
            String::new(),
            "nonsense".to_owned(),
            replaced("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            replaced("00f067aa0ba902b7", &"0".repeat(16)),
            replaced("4bf9", "4BF9"),
            replaced("00-", "ff-"),
            replaced("00-", "0x-"),
            replaced("-01", "_01"),
            format!("{PARENT}-"),
            format!("{PARENT}0"),
            format!("01{}0", &PARENT[2..]),
            PARENT[..54].to_owned(),
            format!("01{}-{}", &PARENT[2..], "x".repeat(300)),
            replaced("4bf9", "ü9"),
        ];
        for text in wrong {
            assert_eq!(TraceContext::parse(&text), None, "{text}");
        }
    }

    #[test]
    fn a_later_version_is_read_for_what_is_known_and_passed_on_as_ours() {
        let later = TraceContext::parse(&format!("cc{}-what-comes-then", &PARENT[2..])).expect("is one");
        assert_eq!(later.to_string(), PARENT);
        let flags = TraceContext::parse(&format!("{}fe", &PARENT[..53])).expect("is one");
        assert_eq!((flags.is_sampled(), flags.flags), (false, 0b10));
    }

    #[test]
    fn a_state_is_passed_on_if_it_can_be() {
        assert!(is_tracestate("congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"));
        for wrong in ["", "congo", "congo=\n", "congo=ü", &format!("c={}", "x".repeat(STATE_BYTES_MAX))] {
            assert!(!is_tracestate(wrong), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(trace in 1u128.., span in 1u64.., flags in 0u8..=3) {
            let (trace, span) = (NonZeroU128::new(trace).expect("is not 0"), NonZeroU64::new(span).expect("is not 0"));
            let context = TraceContext { trace: TraceId(trace), span: SpanId(span), flags };
            prop_assert_eq!(TraceContext::parse(&context.to_string()), Some(context));
        }

        /// Whatever a header holds, it is read or passed over, and what was read is written as it was.
        #[test]
        fn any_text_is_a_context_or_none(text in "([0-9a-fA-F]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}|\\PC{0,80})(-\\PC{0,5})?") {
            if let Some(context) = TraceContext::parse(&text) {
                prop_assert_eq!(&context.to_string()[2..53], &text[2..53]);
            }
        }
    }
}
