//! Whether an event passes a filter, away from the instance that listens.

use std::borrow::Cow;

use millrace_schemas::channel::Subscription;
use millrace_schemas::{Payload, Timestamp};
use millrace_workflow::expression::Variables;
use millrace_workflow::program::{EventFilter, Kind, Matcher, Program};
use serde_json::Value;

/// Whether a subscription wants an event, as far as that can be told without its instance. If its definition is not known here, it is
/// left to the instance.
pub(super) fn wants(
    program: Option<&Program>,
    subscription: &Subscription,
    filter: u32,
    event: &Payload,
    at: Timestamp,
) -> bool {
    let task = program.and_then(|it| it.find(&subscription.task));
    let Some(Kind::Listen(listen)) = task.map(|it| &it.kind) else { return true };
    let Some(filter) = listen.filters.get(filter as usize) else { return true };
    passes(filter, event, &Sent { variables: subscription.variables.as_ref(), at })
}

/// Whether an event passes the `with` of a filter. An expression that fails does not hold: a strange event must not stop anything.
pub(crate) fn passes(filter: &EventFilter, event: &Payload, variables: &impl Variables) -> bool {
    filter.attributes.iter().all(|(name, matcher)| {
        let attribute = event.value().get(name).unwrap_or(&Value::Null);
        match matcher {
            Matcher::Equals(wanted) => wanted == attribute,
            Matcher::Expression(it) => it
                .evaluate(attribute, variables)
                .is_ok_and(|it| it == Value::Bool(true) || (it == *attribute && !it.is_null())),
        }
    })
}

/// The variables that came with a subscription; none where nobody's variables are seen.
pub(super) struct Sent<'v> {
    pub(super) variables: Option<&'v Payload>,
    pub(super) at: Timestamp,
}

impl Variables for Sent<'_> {
    fn get(&self, name: &str) -> Option<Cow<'_, Value>> {
        self.variables?.value().get(name).map(Cow::Borrowed)
    }

    fn at(&self) -> Timestamp {
        self.at
    }
}
