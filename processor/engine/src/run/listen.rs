//! `listen` to one event, and which events are the ones.

use millrace_schemas::event::{Activity, Event};
use millrace_schemas::instance::ExecutionState;
use millrace_schemas::{ExecutionId, Payload};
use millrace_workflow::program::{EventFilter, Kind, Listen, Matcher, Read};
use serde_json::Value;

use super::Trouble;
use super::enter::Entering;
use crate::journal::{Journal, Stop};
use crate::variables::View;

impl<'s> Journal<'s> {
    pub(super) fn enter_listen(&mut self, entering: &Entering<'_>, it: &Listen) -> Result<(), Trouble> {
        let deadline = self.deadline(entering)?;
        let execution = self.open(entering, deadline, Activity::Listening)?;
        let view = entering.view(self.at());
        let mut waiting = self.state().signals.iter();
        let taken = waiting.find(|signal| self.accepts(&it.filter, &signal.event, &view)).cloned();
        if let Some(signal) = taken {
            self.record(Event::SignalConsumed { execution, cause: signal.cause })?;
            self.finish(execution, read(it.read, &signal.event), None)?;
        }
        Ok(())
    }

    /// Gives an event to the open `listen` that waits for it, the one entered first if there are several.
    pub(crate) fn hear(&mut self, event: &Payload) -> Result<bool, Stop> {
        let listener = self.state().executions.iter().find_map(|(id, it)| {
            let listening = matches!(it.state, ExecutionState::Listening);
            let listen = listening.then(|| self.listen_of(*id)).flatten()?;
            let view = View::of_open(it, self.task_of(it));
            self.accepts(&listen.filter, event, &view).then_some((*id, listen.read))
        });
        let Some((id, how)) = listener else { return Ok(false) };
        self.finish(id, read(how, event), None)?;
        Ok(true)
    }

    fn listen_of(&self, id: ExecutionId) -> Option<&'s Listen> {
        if let Kind::Listen(it) = &self.task_of(self.execution(id)).kind { Some(it) } else { None }
    }

    /// Whether every entry of the filter holds. One that fails to evaluate does not: a strange event cannot fault a workflow.
    fn accepts(&self, filter: &EventFilter, event: &Payload, view: &View<'_>) -> bool {
        filter.attributes.iter().all(|(name, matcher)| {
            let attribute = event.value().get(name).unwrap_or(&Value::Null);
            match matcher {
                Matcher::Equals(wanted) => wanted == attribute,
                Matcher::Expression(it) => self
                    .evaluate(it, attribute, view)
                    .is_ok_and(|it| it == Value::Bool(true) || (it == *attribute && !it.is_null())),
            }
        })
    }
}

/// What a `listen` gives: an array with one element for the event.
fn read(how: Read, event: &Payload) -> Payload {
    let value = match how {
        Read::Data => event.value().get("data").cloned().unwrap_or(Value::Null),
        Read::Envelope | Read::Raw => event.value().clone(),
    };
    Payload::from(Value::Array(vec![value]))
}
