//! What a transaction has taken in, and which of its records that has caused: for those who trace it. Nothing here is decided by, and
//! nothing of it is kept: with [`Described::Nothing`] it is not even looked at.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use millrace_engine::{Entity, Instance};
use millrace_schemas::command::Command;
use millrace_schemas::instance::InstanceState;
use millrace_schemas::trace::{self, TraceContext};
use millrace_schemas::{InstanceId, Offset, Timestamp, WorkflowVersion};

use crate::batch::Request;
use crate::input::{InboundRecord, Source};
use crate::open::Committing;
use crate::output::Observation;
use crate::partition::Partition;

/// Which of the records that a transaction takes in it tells of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Described {
    /// None: nobody traces.
    #[default]
    Nothing,
    /// All but those whose trace nobody records: what they cause carries their context as it came.
    Sampled,
    /// All.
    Everything,
}

/// A record that a transaction takes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Processed {
    /// Where it was read.
    pub source: Source,
    /// Where it stands.
    pub offset: Offset,
    /// What has caused it, if it says so.
    pub context: Option<TraceContext>,
    /// What goes with that.
    pub tracestate: Option<String>,
    /// Of a timer, which nothing of the batch has caused: what had caused the start of its instance.
    pub start: Option<TraceContext>,
    /// What it asks for: the name of a command, or what else is done with it.
    pub request: &'static str,
    /// The instance, the channel or the schedule that it is for.
    pub key: Option<InstanceId>,
    /// The version that the instance runs on.
    pub workflow: Option<WorkflowVersion>,
    /// The task that it answers, as a JSON pointer.
    pub task: Option<Arc<str>>,
    /// When its batch was taken up.
    pub started_at: Timestamp,
    /// What became of it.
    pub became: Became,
    /// Which of the transaction's `records` it has caused.
    pub caused: Range<usize>,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// What it asked for, or something that was sent on.
    Done,
    /// A refusal, for this reason.
    Refused(&'static str),
    /// A dead letter, for this reason.
    DeadLetter(&'static str),
}

/// Its context and what goes with that, before it is known what becomes of the record.
#[derive(Debug)]
pub(crate) struct Begun {
    context: Option<TraceContext>,
    tracestate: Option<String>,
    start: Option<TraceContext>,
    task: Option<Arc<str>>,
    records: usize,
    observations: usize,
}

impl Partition {
    /// To be called before the record is decided; `records` have been caused by those before it.
    pub(crate) fn describe(
        &self,
        record: &InboundRecord,
        request: &Request,
        work: &Committing,
        records: usize,
    ) -> Option<Begun> {
        if self.config.described == Described::Nothing {
            return None;
        }
        let (context, tracestate) = cause(record, request);
        let is_sampled_out = context.is_some_and(|it| !it.is_sampled());
        if is_sampled_out && self.config.described == Described::Sampled {
            return None;
        }
        let state = request.key().and_then(|it| self.state(it, work));
        let start = match request {
            Request::Decide(command) if matches!(command.command, Command::FireTimer { .. }) => {
                state.and_then(|it| TraceContext::parse(it.traceparent.as_deref()?))
            }
            _ => None,
        };
        let task = match request {
            Request::Decide(command) => task(&command.command, state),
            _ => None,
        };
        let tracestate = tracestate.map(str::to_owned);
        let observations = work.observations.len();
        Some(Begun { context, tracestate, start, task, records, observations })
    }

    /// To be called when the record is decided. None for one that was for others.
    pub(crate) fn described(
        &self,
        begun: Begun,
        record: &InboundRecord,
        request: &Request,
        work: &Committing,
        records: usize,
        started_at: Timestamp,
    ) -> Option<Processed> {
        let Begun { context, tracestate, start, task, records: first, observations } = begun;
        // A refused event that nobody else has is a dead letter as well, which is told last.
        let became = work.observations[observations..].iter().rev().find_map(|it| match it {
            Observation::CommandRejected { reason, .. } => Some(Became::Refused(reason)),
            Observation::DeadLettered { reason, .. } => Some(Became::DeadLetter(reason)),
            _ => None,
        });
        let became = became.unwrap_or(Became::Done);
        let caused = first..records;
        if matches!(request, Request::Hear(_)) && caused.is_empty() {
            return None;
        }
        let key = request.key().cloned();
        let workflow = key.as_ref().and_then(|it| self.state(it, work)).map(|it| it.workflow.clone());
        Some(Processed {
            source: record.source.clone(),
            offset: record.offset,
            context,
            tracestate,
            start,
            request: name(request),
            key,
            workflow,
            task,
            started_at,
            became,
            caused,
        })
    }

    fn state<'a>(&'a self, id: &InstanceId, work: &'a Committing) -> Option<&'a InstanceState> {
        let entity = work.entities.get(id).or_else(|| self.cache.get(id).map(|it| &it.entity));
        entity.and_then(Entity::as_instance).and_then(Instance::state)
    }
}

/// What has caused the record: whoever has produced it, which for one that was sent on is the processor that has done so.
fn cause<'a>(record: &'a InboundRecord, request: &'a Request) -> (Option<TraceContext>, Option<&'a str>) {
    if let Some((context, tracestate)) = trace::read(|name| text(&record.headers, name)) {
        return (Some(context), tracestate);
    }
    let (context, tracestate) = match request {
        Request::Decide(it) => (it.traceparent.as_deref(), it.tracestate.as_deref()),
        Request::Channel(it) => (it.traceparent.as_deref(), it.tracestate.as_deref()),
        Request::Schedule(it) => (it.traceparent.as_deref(), it.tracestate.as_deref()),
        Request::Publish(it) => (it.traceparent.as_deref(), it.tracestate.as_deref()),
        Request::Hear(events) => match events.first() {
            Some(it) => (it.traceparent.as_deref(), it.tracestate.as_deref()),
            None => (None, None),
        },
        Request::Forward { traceparent, tracestate, .. } => (traceparent.as_deref(), tracestate.as_deref()),
        Request::DeadLetter { .. } | Request::NeedsSchema(_) | Request::Stop { .. } => (None, None),
    };
    (context.and_then(TraceContext::parse), tracestate)
}

fn text<'a>(headers: &'a [(String, Bytes)], name: &str) -> Option<&'a str> {
    let (_, value) = headers.iter().find(|it| it.0.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(value).ok()
}

/// The task that a command is about, as long as it is open.
fn task(command: &Command, state: Option<&InstanceState>) -> Option<Arc<str>> {
    let state = state?;
    let execution = match command {
        Command::CompleteTask { token, .. }
        | Command::FailTask { token, .. }
        | Command::RecordHeartbeat { token, .. } => token.execution,
        Command::FireTimer { timer, .. } => state.timers.get(timer)?.execution,
        _ => return None,
    };
    state.executions.get(&execution).map(|it| Arc::clone(&it.task))
}

fn name(request: &Request) -> &'static str {
    match request {
        Request::Decide(command) => command.command.name(),
        Request::Channel(command) => command.command.name(),
        Request::Schedule(command) => command.command.name(),
        Request::Publish(_) | Request::Hear(_) => "publish",
        Request::Forward { .. } => "forward",
        Request::DeadLetter { .. } | Request::NeedsSchema(_) | Request::Stop { .. } => "dead_letter",
    }
}
