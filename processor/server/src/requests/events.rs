//! Events of the outside for instances: signals to one, and events for whoever listens.

use millrace_schemas::cloud_event::{
    ANSWER, BUSINESS_KEY, CORRELATE, CloudEvent, FILTER, LISTENER, PARENT, PARENT_TOKEN, TASK_TOKEN,
    WORKFLOW, signal_event, types,
};
use millrace_schemas::{EventId, InstanceId, WorkflowName};
use serde_json::Value;

/// What the inbox understands besides signals.
const KNOWN: [&str; 11] = [
    types::START,
    types::CANCEL,
    types::SUSPEND,
    types::RESUME,
    types::RETRY,
    types::EDIT,
    types::SKIP,
    types::RESTART,
    types::TASK_COMPLETED,
    types::TASK_FAILED,
    types::TASK_HEARTBEAT,
];

/// An event that cannot be sent so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidEvent {
    #[error("{event_type} is none of Millrace's types; use a type of your own, or one of {}", KNOWN.join(", "))]
    UnknownType { event_type: String },
    #[error("{event_type} begins as Millrace's own types do; use a type of your own")]
    OwnType { event_type: String },
    #[error("{name:?} is no name of an attribute: lower-case letters and digits")]
    AttributeName { name: String },
    #[error("{what} is empty")]
    Empty { what: &'static str },
    #[error("an attribute may not be called {name}: the event has it already")]
    TakenName { name: String },
}

/// What an event says.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) event_id: EventId,
    pub(crate) event_type: String,
    pub(crate) data: Option<Value>,
    pub(crate) attributes: Vec<(String, String)>,
}

/// Who besides, of an event for whoever listens.
#[derive(Clone, Debug)]
pub(crate) struct BusinessKey {
    pub(crate) workflow: WorkflowName,
    pub(crate) key: String,
}

impl Event {
    /// For one instance. With `may_command`, types of Millrace's own are allowed, which the instance takes for commands.
    ///
    /// # Errors
    /// When it cannot be meant.
    pub(crate) fn into_event_for(
        self,
        id: &InstanceId,
        may_command: bool,
    ) -> Result<CloudEvent, InvalidEvent> {
        let Self { event_id, event_type, data, attributes } = self;
        if event_type.starts_with(types::PREFIX) && !(may_command && KNOWN.contains(&event_type.as_str())) {
            return Err(match may_command {
                true => InvalidEvent::UnknownType { event_type },
                false => InvalidEvent::OwnType { event_type },
            });
        }
        has_names(&event_id, &event_type)?;
        let mut taken = ATTRIBUTES.to_vec();
        if !may_command {
            taken.extend(OWN_EXTENSIONS);
        }
        with_attributes(signal_event(event_id, id, &event_type, data), attributes, &taken)
    }

    /// For whoever listens; or for the instances that are known by a business key.
    ///
    /// # Errors
    /// When it cannot be meant.
    pub(crate) fn into_event_for_listeners(
        self,
        known_by: Option<BusinessKey>,
    ) -> Result<CloudEvent, InvalidEvent> {
        let Self { event_id, event_type, data, attributes } = self;
        if event_type.starts_with(types::PREFIX) {
            return Err(InvalidEvent::OwnType { event_type });
        }
        has_names(&event_id, &event_type)?;
        let mut event = CloudEvent::new(event_id, &event_type);
        if let Some(data) = data {
            event = event.with_data(data);
        }
        if let Some(BusinessKey { workflow, key }) = known_by {
            event = event.with_extension(WORKFLOW, workflow.to_string()).with_extension(BUSINESS_KEY, key);
        }
        with_attributes(event, attributes, &[&ATTRIBUTES[..], &OWN_EXTENSIONS].concat())
    }
}

fn has_names(event_id: &EventId, event_type: &str) -> Result<(), InvalidEvent> {
    for (what, text) in [("type", event_type), ("source", &*event_id.source), ("event_id", &*event_id.id)] {
        if text.is_empty() {
            return Err(InvalidEvent::Empty { what });
        }
    }
    Ok(())
}

fn with_attributes(
    mut event: CloudEvent,
    attributes: Vec<(String, String)>,
    taken: &[&str],
) -> Result<CloudEvent, InvalidEvent> {
    for (name, value) in attributes {
        if !is_attribute_name(&name) {
            return Err(InvalidEvent::AttributeName { name });
        }
        if taken.contains(&name.as_str()) {
            return Err(InvalidEvent::TakenName { name });
        }
        event = event.with_extension(&name, value);
    }
    Ok(event)
}

/// Attributes that have a place of their own, and what says how the event is answered.
const ATTRIBUTES: [&str; 11] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "datacontenttype",
    "dataschema",
    "data",
    "data_base64",
    ANSWER,
];

/// What only events of Millrace's own types carry, or what says who is meant.
const OWN_EXTENSIONS: [&str; 8] =
    [WORKFLOW, BUSINESS_KEY, CORRELATE, PARENT, PARENT_TOKEN, TASK_TOKEN, LISTENER, FILTER];

/// CloudEvents 1.0, "Naming conventions": lower-case letters and digits.
pub(crate) fn is_attribute_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(event_type: &str, attributes: &[(&str, &str)]) -> Event {
        Event {
            event_id: EventId { source: "/test".to_owned(), id: "e-1".to_owned() },
            event_type: event_type.to_owned(),
            data: None,
            attributes: attributes.iter().map(|(name, it)| ((*name).to_owned(), (*it).to_owned())).collect(),
        }
    }

    #[test]
    fn an_event_says_nothing_in_anothers_name() {
        let id = InstanceId::new("order-17").expect("is legal");
        let send = |event: Event| event.into_event_for(&id, false).map(|it| it.to_json().to_string());
        expect_test::expect![[r#"{"specversion":"1.0","id":"e-1","source":"/test","type":"shop.paid","subject":"order-17","shop":"7"}"#]]
            .assert_eq(&send(event("shop.paid", &[("shop", "7")])).expect("is legal"));
        let wrong = [
            event("io.millrace.instance.cancel", &[]),
            event("shop.paid", &[("subject", "order-18")]),
            event("shop.paid", &[("millraceanswer", "true")]),
            event("shop.paid", &[("Shop", "7")]),
            event("", &[]),
        ];
        for event in wrong {
            assert!(send(event.clone()).is_err(), "{event:?}");
        }
        assert!(event("io.millrace.instance.cancel", &[]).into_event_for(&id, true).is_ok());
        assert!(event("io.millrace.instance.end", &[]).into_event_for(&id, true).is_err());
        assert!(event("io.millrace.instance.cancel", &[]).into_event_for_listeners(None).is_err());
    }
}
