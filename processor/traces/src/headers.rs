//! A context as it is written into the headers of records; `millrace_schemas::trace` reads it.

use bytes::Bytes;
use millrace_schemas::trace::{TRACEPARENT, TRACESTATE, TraceContext};

/// The same as attributes of a CloudEvent in binary mode.
const OF_EVENTS: [&str; 2] = ["ce_traceparent", "ce_tracestate"];

/// A context as it is written, for many records.
#[derive(Clone, Debug)]
pub struct Written {
    context: Bytes,
    tracestate: Option<Bytes>,
}

impl Written {
    /// Writes it once.
    #[must_use]
    pub fn new(context: TraceContext, tracestate: Option<&str>) -> Self {
        let tracestate = tracestate.map(|it| Bytes::copy_from_slice(it.as_bytes()));
        Self { context: context.to_string().into(), tracestate }
    }

    /// The record was caused by this, and by nothing that its headers have said before. Other headers stay as they are.
    pub fn put(&self, headers: &mut Vec<(String, Bytes)>) {
        let [parent, state] = OF_EVENTS;
        let is_of_event = headers.iter().any(|it| it.0.eq_ignore_ascii_case(parent));
        let names = [TRACEPARENT, TRACESTATE, parent, state];
        headers.retain(|(name, _)| !names.iter().any(|it| name.eq_ignore_ascii_case(it)));
        let mut put = |name: &str, value: &Bytes| headers.push((name.to_owned(), value.clone()));
        put(TRACEPARENT, &self.context);
        self.tracestate.iter().for_each(|it| put(TRACESTATE, it));
        if is_of_event {
            put(parent, &self.context);
            self.tracestate.iter().for_each(|it| put(state, it));
        }
    }
}

#[cfg(test)]
mod tests {
    use millrace_schemas::trace;
    use proptest::prelude::*;

    use super::*;

    fn read(headers: &[(String, Bytes)]) -> Option<(TraceContext, Option<&str>)> {
        trace::read(|name| {
            let (_, value) = headers.iter().find(|it| it.0.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(value).ok()
        })
    }

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(list: &[(&str, &str)]) -> Vec<(String, Bytes)> {
        list.iter()
            .map(|(name, value)| ((*name).to_owned(), Bytes::copy_from_slice(value.as_bytes())))
            .collect()
    }

    #[test]
    fn what_was_put_is_read_and_the_rest_is_as_it_was() {
        let before = [
            ("ce_id", "e-1"),
            ("ce_traceparent", "old"),
            ("Traceparent", "old"),
            ("tracestate", "old=1"),
            ("own", "1"),
        ];
        let mut headers = headers(&before);
        let context = TraceContext::parse(PARENT).expect("is one");
        Written::new(context, Some("congo=1")).put(&mut headers);
        assert_eq!(read(&headers), Some((context, Some("congo=1"))));
        let names: Vec<_> = headers.iter().map(|it| it.0.as_str()).collect();
        assert_eq!(names, ["ce_id", "own", "traceparent", "tracestate", "ce_traceparent", "ce_tracestate"]);
        // Twice is as once.
        Written::new(context, None).put(&mut headers);
        assert_eq!(read(&headers), Some((context, None)));
        assert_eq!(headers.len(), 4);
    }

    #[test]
    fn what_cannot_be_read_is_not_there() {
        for value in ["", "nonsense", &PARENT.to_uppercase()] {
            assert_eq!(read(&headers(&[("traceparent", value)])), None, "{value}");
        }
        let state_alone = headers(&[("tracestate", "congo=1")]);
        assert_eq!(read(&state_alone), None);
        let unreadable_state = headers(&[("traceparent", PARENT), ("tracestate", "\u{1}")]);
        assert_eq!(read(&unreadable_state).and_then(|it| it.1), None);
    }

    proptest! {
        #[test]
        fn whatever_the_headers_are_the_others_stay_in_their_order(
            before in prop::collection::vec(("(traceparent|tracestate|TraceParent|ce_traceparent|a|b|content-type)", ".{0,8}"), 0..8),
        ) {
            let mut headers: Vec<(String, Bytes)> = before.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
            let context = TraceContext::parse(PARENT).expect("is one");
            Written::new(context, None).put(&mut headers);
            prop_assert_eq!(read(&headers), Some((context, None)));
            let others = |all: &[(String, Bytes)]| -> Vec<(String, Bytes)> {
                all.iter().filter(|it| !it.0.to_lowercase().contains("trace")).cloned().collect()
            };
            let before: Vec<(String, Bytes)> = before.into_iter().map(|(name, value)| (name, value.into())).collect();
            prop_assert_eq!(others(&headers), others(&before));
        }
    }
}
