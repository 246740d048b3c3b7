//! `listen`: which events are the ones, and when there are enough of them.

use std::collections::{BTreeMap, BTreeSet};

use millrace_schemas::event::{Activity, Event, TaskError};
use millrace_schemas::instance::{Execution, ExecutionState, Heard};
use millrace_schemas::{ExecutionId, Payload};
use millrace_workflow::program::{EventFilter, Kind, Listen, Read, Strategy};
use serde_json::Value;

use super::enter::{Entering, data};
use super::{Next, Trouble};
use crate::channel::{event_name, passes};
use crate::journal::{Journal, Stop};
use crate::variables::{Sight, View};

/// An open `listen` that wants an event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taker<'s> {
    /// Which.
    pub(crate) id: ExecutionId,
    listen: &'s Listen,
    /// Which of its filters the event passes.
    filter: usize,
}

impl<'s> Journal<'s> {
    pub(super) fn enter_listen(&mut self, entering: &Entering<'_>, it: &'s Listen) -> Result<(), Trouble> {
        let deadline = self.deadline(entering)?;
        let activity = if it.foreach.is_some() { Activity::Gathering } else { Activity::Listening };
        let execution = self.open(entering, deadline, activity)?;
        let mut passed_over = 0;
        while self.is_open(execution) && self.is_listening(execution) {
            let Some(signal) = self.state().signals.get(passed_over).cloned() else { break };
            let Some(filter) = self.accepted(execution, it, &signal.event) else {
                passed_over += 1;
                continue;
            };
            self.record(Event::SignalConsumed { execution, cause: signal.cause })?;
            self.take(execution, it, filter, &signal.event)?;
        }
        if !self.is_open(execution) || !self.is_listening(execution) {
            return Ok(());
        }
        if let Err(error) = self.join_channels(execution, it)? {
            self.fault(execution, error, true)?;
        }
        Ok(())
    }

    /// The open `listen` that waits for an event, the one entered first if there are several.
    pub(crate) fn taker(&self, event: &Payload) -> Option<Taker<'s>> {
        self.state().executions.keys().find_map(|id| {
            let listen = self.is_listening(*id).then(|| self.listen_of(*id)).flatten()?;
            Some(Taker { id: *id, listen, filter: self.accepted(*id, listen, event)? })
        })
    }

    /// Gives an event to the `listen` that waits for it.
    pub(crate) fn give(&mut self, taker: &Taker<'s>, event: &Payload) -> Result<(), Stop> {
        self.take(taker.id, taker.listen, taker.filter, event)
    }

    /// The `listen` that has subscribed to an event, if that still wants it.
    pub(crate) fn taker_by(&self, id: ExecutionId, filter: u32, event: &Payload) -> Option<Taker<'s>> {
        if !self.is_open(id) || !self.is_listening(id) {
            return None;
        }
        let listen = self.listen_of(id)?;
        let filter = filter as usize;
        let is_taken = filter < listen.filters.len() && self.accepts_by(id, listen, filter, event);
        is_taken.then_some(Taker { id, listen, filter })
    }

    /// Whether an open `listen` has taken this very event already.
    pub(crate) fn has_heard(&self, id: ExecutionId, event: &Payload) -> bool {
        let name = event_name(event);
        self.is_open(id) && heard(self.execution(id)).iter().any(|it| event_name(&it.event) == name)
    }

    pub(super) fn listen_of(&self, id: ExecutionId) -> Option<&'s Listen> {
        // What is sent to a business key is for the instance as a whole.
        if id == ExecutionId::ROOT {
            return None;
        }
        if let Kind::Listen(it) = &self.task_of(self.execution(id)).kind { Some(it) } else { None }
    }

    /// The filter that wants an event, if one does. Of several, those that end the `listen` come first.
    fn accepted(&self, id: ExecutionId, listen: &Listen, event: &Payload) -> Option<usize> {
        let ends = if let Strategy::UntilHeard { first, .. } = listen.strategy { first } else { 0 };
        let mut order = (ends..listen.filters.len()).chain(0..ends);
        order.find(|filter| self.accepts_by(id, listen, *filter, event))
    }

    /// Whether one of its filters wants an event.
    fn accepts_by(&self, id: ExecutionId, listen: &Listen, filter: usize, event: &Payload) -> bool {
        let execution = self.execution(id);
        let view = View::of_open(execution, self.task_of(execution));
        wants(listen, heard(execution), filter)
            && self.accepts(listen, &listen.filters[filter], heard(execution), event, &view)
    }

    pub(super) fn is_listening(&self, id: ExecutionId) -> bool {
        let state = &self.execution(id).state;
        matches!(state, ExecutionState::Listening { .. } | ExecutionState::Gathering { is_done: false, .. })
    }

    /// Takes an event that passed a filter; ends the `listen` if it was the last.
    fn take(&mut self, id: ExecutionId, listen: &Listen, filter: usize, event: &Payload) -> Result<(), Stop> {
        let is_only = listen.filters.len() == 1 && matches!(listen.strategy, Strategy::All);
        if listen.foreach.is_none() && (is_only || matches!(listen.strategy, Strategy::First)) {
            return self.finish(id, output(listen, [event]), None);
        }
        let number = u32::try_from(filter).expect("admission bounds the size of a definition");
        let mut taken = heard(self.execution(id)).to_vec();
        taken.push(Heard { filter: number, event: event.clone() });
        let is_last = match self.is_enough(id, listen, &taken) {
            Ok(is_last) => is_last,
            Err(error) => {
                self.cancel_children(id)?;
                return self.fault(id, error, true);
            }
        };
        self.record(Event::EventHeard { execution: id, filter: number, event: event.clone(), is_last })?;
        if !is_last && let Err(error) = self.rejoin_channels(id, listen)? {
            self.cancel_children(id)?;
            return self.fault(id, error, true);
        }
        if is_last {
            self.leave_channels(|it| it == id)?;
            self.forget_channels(id)?;
        }
        if listen.foreach.is_some() {
            return self.next_event_round(id, listen);
        }
        match is_last {
            true => self.finish(id, output(listen, wanted(listen, &taken)), None),
            false => Ok(()),
        }
    }

    /// Whether a scope is a `listen` with `foreach`.
    pub(super) fn gathers(&self, scope: ExecutionId) -> bool {
        matches!(self.execution(scope).state, ExecutionState::Gathering { .. })
    }

    /// Begins the tasks for the next event, if there is one and they are not at another one.
    fn next_event_round(&mut self, id: ExecutionId, listen: &Listen) -> Result<(), Stop> {
        let ExecutionState::Gathering { heard, is_done, is_busy, outputs, .. } = &self.execution(id).state
        else {
            unreachable!("a `listen` with `foreach` gathers");
        };
        if *is_busy {
            return Ok(());
        }
        let done = outputs.len();
        let next = wanted(listen, heard).nth(done).map(|event| Payload::from(read(listen.read, event)));
        if let Some(data) = next {
            let index = u32::try_from(done).expect("the state is bounded");
            self.record(Event::EventRoundStarted { execution: id, index, data })?;
            self.todo.push(Next::Begin { scope: id });
            return Ok(());
        }
        if *is_done { self.finish_gathering(id) } else { Ok(()) }
    }

    fn finish_gathering(&mut self, id: ExecutionId) -> Result<(), Stop> {
        let ExecutionState::Gathering { outputs, .. } = &self.execution(id).state else {
            unreachable!("a `listen` with `foreach` gathers");
        };
        let outputs = outputs.iter().map(|it| it.value().clone()).collect();
        self.finish(id, Payload::from(Value::Array(outputs)), None)
    }

    /// The tasks for an event are done. With `is_last`, no other event is looked at.
    pub(super) fn event_round_ended(&mut self, id: ExecutionId, is_last: bool) -> Result<(), Stop> {
        let execution = self.execution(id);
        let (task, raw) = (self.task_of(execution), data(execution).clone());
        let listen = self.listen_of(id).expect("a `listen` gathers");
        let foreach = listen.foreach.as_ref().expect("it gathers for the sake of its tasks");
        let view = View { input: Some(&execution.input), ..View::of(id, Some(task), execution.started_at) };
        match self.shape_by(task, &foreach.output, foreach.export.as_ref(), raw, view) {
            Ok((output, context)) => {
                self.record(Event::EventRoundEnded { execution: id, output, context })?;
                if is_last { self.finish_gathering(id) } else { self.next_event_round(id, listen) }
            }
            Err(error) => self.fault(id, error, true),
        }
    }

    fn is_enough(&self, id: ExecutionId, listen: &Listen, heard: &[Heard]) -> Result<bool, TaskError> {
        let execution = self.execution(id);
        match &listen.strategy {
            Strategy::First => Ok(true),
            Strategy::All => Ok((0..listen.filters.len()).all(|it| has(heard, it))),
            Strategy::UntilHeard { first, all: true } => {
                Ok((*first..listen.filters.len()).all(|it| has(heard, it)))
            }
            Strategy::UntilHeard { first, all: false } => {
                Ok((*first..listen.filters.len()).any(|it| has(heard, it)))
            }
            Strategy::UntilTrue(condition) => {
                let events = output(listen, heard.iter().map(|it| &it.event));
                self.holds(condition, events.value(), &View::of_open(execution, self.task_of(execution)))
            }
        }
    }

    /// Whether every entry of the filter holds. One that fails to evaluate does not: a strange event cannot fault a workflow.
    fn accepts(
        &self,
        listen: &Listen,
        filter: &EventFilter,
        heard: &[Heard],
        event: &Payload,
        view: &View<'_>,
    ) -> bool {
        let matches = passes(filter, event, &Sight::new(self, view));
        if !matches || filter.correlations.is_empty() {
            return matches;
        }
        let agreed = self.agreed(listen, heard, view);
        filter.correlations.iter().all(|it| {
            let Ok(found) = self.evaluate(&it.from, event.value(), view) else { return false };
            match (&it.expect, agreed.get(&*it.name)) {
                (Some(expect), _) => {
                    let input = view.input.map_or(&Value::Null, Payload::value);
                    self.fill(expect, input, view).is_ok_and(|it| *it.value() == found)
                }
                (None, Some(first)) => *first == found,
                (None, None) => !found.is_null(),
            }
        })
    }

    /// What the events that were taken have for each correlation: those that come must have the same.
    pub(super) fn agreed<'l>(
        &self,
        listen: &'l Listen,
        heard: &[Heard],
        view: &View<'_>,
    ) -> BTreeMap<&'l str, Value> {
        let mut agreed = BTreeMap::new();
        // Usually the first event has them all.
        let names: BTreeSet<&str> =
            listen.filters.iter().flat_map(|it| &it.correlations).map(|it| &*it.name).collect();
        for taken in heard {
            if agreed.len() == names.len() {
                break;
            }
            let Some(filter) = listen.filters.get(taken.filter as usize) else { continue };
            for it in &filter.correlations {
                if let Ok(found) = self.evaluate(&it.from, taken.event.value(), view) {
                    agreed.entry(&*it.name).or_insert(found);
                }
            }
        }
        agreed
    }
}

/// Whether a filter still wants events.
pub(super) fn wants(listen: &Listen, heard: &[Heard], filter: usize) -> bool {
    match listen.strategy {
        Strategy::First | Strategy::UntilTrue(_) => true,
        Strategy::All => !has(heard, filter),
        Strategy::UntilHeard { first, .. } => filter < first || !has(heard, filter),
    }
}

pub(super) fn heard(execution: &Execution) -> &[Heard] {
    let (ExecutionState::Listening { heard } | ExecutionState::Gathering { heard, .. }) = &execution.state
    else {
        return &[];
    };
    heard
}

fn has(heard: &[Heard], filter: usize) -> bool {
    heard.iter().any(|it| it.filter as usize == filter)
}

/// The events that were taken for their own sake: not those that end the `listen`.
pub(crate) fn wanted<'h>(listen: &Listen, heard: &'h [Heard]) -> impl Iterator<Item = &'h Payload> {
    let ends = if let Strategy::UntilHeard { first, .. } = listen.strategy { first } else { usize::MAX };
    heard.iter().filter(move |it| (it.filter as usize) < ends).map(|it| &it.event)
}

/// An event as the `listen` reads it.
pub(crate) fn read(how: Read, event: &Payload) -> Value {
    match how {
        Read::Data => event.value().get("data").cloned().unwrap_or(Value::Null),
        Read::Envelope | Read::Raw => event.value().clone(),
    }
}

/// What a `listen` gives: an array with one element for each event.
fn output<'e>(listen: &Listen, events: impl IntoIterator<Item = &'e Payload>) -> Payload {
    Payload::from(Value::Array(events.into_iter().map(|it| read(listen.read, it)).collect()))
}
