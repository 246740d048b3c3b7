//! Tasks that are with workers: how many of each queue, and since when the oldest of them.
//!
//! Counted are those that were begun since this incarnation serves. How many there were before, only the sum over all instances would tell,
//! and those are not in memory. So nothing is kept of a task: what is in memory grows with the queues and with time, never with the tasks.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_engine::{Entity, Instance};
use millrace_schemas::command::Command;
use millrace_schemas::event::Event;
use millrace_schemas::instance::{Execution, ExecutionState, InstanceState};
use millrace_schemas::{ExecutionId, Timestamp};
use millrace_workflow::program::CHILD_QUEUE;

/// Tasks that began in the same so many milliseconds are counted together.
const GRAIN_MS: i64 = 10_000;

/// Most groups of one queue; then the two oldest become one.
const GROUPS_MAX: usize = 512;

/// What is open of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTasks {
    /// Which queue.
    pub queue: Arc<str>,
    /// How many tasks.
    pub count: u64,
    /// When the oldest of them began, to ten seconds.
    pub oldest: Timestamp,
}

/// Counts open tasks.
#[derive(Debug, Default)]
pub(crate) struct TaskCounts {
    /// Tasks that began before it are not counted. None: nothing is.
    since: Option<Timestamp>,
    /// By queue and beginning.
    queues: BTreeMap<Arc<str>, BTreeMap<i64, u64>>,
}

impl TaskCounts {
    /// From now on.
    pub(crate) fn begin(&mut self, now: Timestamp) {
        self.since = Some(now);
    }

    /// The committed state of an instance has changed from `before` to `after`.
    pub(crate) fn changed(&mut self, before: Option<&Entity>, after: &Entity) {
        let Some(since) = self.since else { return };
        let (before, after) = (state(before), state(Some(after)));
        for call in calls(before, since).filter(|it| !has(after, it)) {
            self.closed(call.queue, call.started_at);
        }
        for call in calls(after, since).filter(|it| !has(before, it)) {
            self.opened(call.queue, call.started_at);
        }
    }

    fn opened(&mut self, queue: &Arc<str>, at: Timestamp) {
        let groups = match self.queues.get_mut(queue) {
            Some(groups) => groups,
            None => self.queues.entry(Arc::clone(queue)).or_default(),
        };
        *groups.entry(at.0.div_euclid(GRAIN_MS)).or_default() += 1;
        if groups.len() > GROUPS_MAX
            && let Some((oldest, count)) = groups.pop_first()
            && let Some((_, more)) = groups.pop_first()
        {
            groups.insert(oldest, count + more);
        }
    }

    fn closed(&mut self, queue: &Arc<str>, at: Timestamp) {
        let Some(groups) = self.queues.get_mut(queue) else { return };
        // Its own group, or the older one that this has become a part of.
        let Some((group, count)) = groups.range_mut(..=at.0.div_euclid(GRAIN_MS)).next_back() else { return };
        *count -= 1;
        if *count == 0 {
            let group = *group;
            groups.remove(&group);
        }
    }

    /// All queues that there have been tasks of.
    pub(crate) fn all(&self, now: Timestamp) -> Vec<OpenTasks> {
        let open = self.queues.iter().map(|(queue, groups)| OpenTasks {
            queue: Arc::clone(queue),
            count: groups.values().sum(),
            oldest: groups.first_key_value().map_or(now, |it| Timestamp(*it.0 * GRAIN_MS)),
        });
        open.collect()
    }
}

/// A call that workers are to answer.
#[derive(PartialEq, Eq)]
struct Call<'s> {
    execution: ExecutionId,
    started_at: Timestamp,
    queue: &'s Arc<str>,
}

impl<'s> Call<'s> {
    fn of(execution: ExecutionId, open: &'s Execution) -> Option<Self> {
        Some(Self { execution, started_at: open.started_at, queue: queue(&open.state)? })
    }
}

fn state(entity: Option<&Entity>) -> Option<&InstanceState> {
    entity.and_then(Entity::as_instance).and_then(Instance::state)
}

/// Those that began since then.
fn calls(state: Option<&InstanceState>, since: Timestamp) -> impl Iterator<Item = Call<'_>> {
    let executions = state.into_iter().flat_map(|it| &it.executions);
    executions.filter_map(|(id, it)| Call::of(*id, it)).filter(move |it| it.started_at >= since)
}

fn has(state: Option<&InstanceState>, call: &Call<'_>) -> bool {
    let open = state.and_then(|it| it.executions.get(&call.execution));
    open.and_then(|it| Call::of(call.execution, it)).as_ref() == Some(call)
}

fn queue(state: &ExecutionState) -> Option<&Arc<str>> {
    match state {
        // The others are with another instance.
        ExecutionState::Calling { queue, .. } if **queue != *CHILD_QUEUE => Some(queue),
        ExecutionState::Calling { .. }
        | ExecutionState::Sequence { .. }
        | ExecutionState::Loop { .. }
        | ExecutionState::Branches { .. }
        | ExecutionState::Trying { .. }
        | ExecutionState::BackingOff { .. }
        | ExecutionState::Catching { .. }
        | ExecutionState::Waiting
        | ExecutionState::Listening { .. }
        | ExecutionState::Gathering { .. } => None,
    }
}

/// A task whose end a command may be.
#[derive(Debug)]
pub(crate) struct Asked {
    execution: ExecutionId,
    pub(crate) queue: Arc<str>,
    pub(crate) started_at: Timestamp,
    pub(crate) outcome: &'static str,
}

impl Asked {
    /// The task that `command` is about.
    pub(crate) fn of(state: Option<&InstanceState>, command: &Command) -> Option<Self> {
        let state = state?;
        let (execution, outcome) = match command {
            Command::CompleteTask { token, .. } => (token.execution, "completed"),
            Command::FailTask { token, .. } => (token.execution, "failed"),
            Command::FireTimer { timer, .. } => (state.timers.get(timer)?.execution, "timed_out"),
            Command::Start { .. }
            | Command::RecordHeartbeat { .. }
            | Command::DeliverSignal { .. }
            | Command::Cancel { .. }
            | Command::Suspend { .. }
            | Command::Resume { .. }
            | Command::DeliverEvent { .. }
            | Command::Retry { .. }
            | Command::Edit { .. }
            | Command::Skip { .. }
            | Command::Restart { .. } => return None,
        };
        let open = state.executions.get(&execution)?;
        Some(Self { execution, queue: Arc::clone(queue(&open.state)?), started_at: open.started_at, outcome })
    }

    /// Whether it has ended by these events.
    pub(crate) fn has_ended(&self, events: &[Event]) -> bool {
        events.iter().any(|event| match event {
            Event::TaskCompleted { execution, .. } => *execution == self.execution,
            Event::TaskFaulted { execution, .. } | Event::TaskHalted { execution, .. } => {
                *execution == Some(self.execution)
            }
            _ => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts() -> (TaskCounts, Arc<str>) {
        let mut counts = TaskCounts::default();
        counts.begin(Timestamp(0));
        (counts, "orders".into())
    }

    fn at(group: i64) -> Timestamp {
        Timestamp(group * GRAIN_MS)
    }

    fn open(counts: &TaskCounts) -> (u64, Timestamp) {
        let all = counts.all(at(9_999));
        (all[0].count, all[0].oldest)
    }

    #[test]
    fn the_oldest_open_task_tells_the_age() {
        let (mut counts, queue) = counts();
        for group in [3, 5, 5, 8] {
            counts.opened(&queue, at(group));
        }
        assert_eq!(open(&counts), (4, at(3)));
        counts.closed(&queue, at(3));
        counts.closed(&queue, at(5));
        assert_eq!(open(&counts), (2, at(5)));
        counts.closed(&queue, at(5));
        counts.closed(&queue, at(8));
        assert_eq!(open(&counts), (0, at(9_999)));
    }

    #[test]
    fn memory_is_bounded_however_long_tasks_stay_open() {
        let (mut counts, queue) = counts();
        for group in 0..5_000 {
            counts.opened(&queue, at(group));
        }
        assert_eq!(counts.queues[&queue].len(), GROUPS_MAX);
        assert_eq!(open(&counts), (5_000, at(0)));
        for group in 0..5_000 {
            counts.closed(&queue, at(group));
        }
        assert_eq!(open(&counts).0, 0);
    }
}
