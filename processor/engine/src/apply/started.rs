//! `InstanceStarted`.

use std::collections::{BTreeMap, VecDeque};

use millrace_schemas::event::Event;
use millrace_schemas::instance::{Execution, ExecutionState, InstanceState, Status};
use millrace_schemas::{Attempt, ExecutionId, Payload, Timestamp};

use super::Misfit;

/// The only event that an absent instance takes.
pub(super) fn absent(event: &Event, at: Timestamp) -> Result<InstanceState, Misfit> {
    let Event::InstanceStarted { workflow, raw_input, input, parent } = event else {
        return Err("it does not exist".to_owned());
    };
    let input = input.as_ref().unwrap_or(raw_input);
    let root = Execution {
        parent: None,
        task: "/do".into(),
        iteration: "".into(),
        attempt: Attempt::FIRST,
        attempt_seen: Attempt::FIRST,
        input: input.clone(),
        started_at: at,
        state: ExecutionState::Sequence { data: input.clone(), jumps: 0, then: None },
    };
    Ok(InstanceState {
        workflow: workflow.clone(),
        status: Status::Running,
        started_at: at,
        updated_at: at,
        raw_input: raw_input.clone(),
        input: input.clone(),
        context: Payload::null(),
        traceparent: None,
        executions: BTreeMap::from([(ExecutionId::ROOT, root)]),
        timers: BTreeMap::new(),
        deferred: VecDeque::new(),
        signals: VecDeque::new(),
        next_execution: 1,
        next_timer: 0,
        steps: 0,
        parent: parent.clone(),
        channels: Vec::new(),
        remembered: VecDeque::new(),
        attributes: None,
        compensations: Vec::new(),
        compensating: None,
        halted: Vec::new(),
        restarts: 0,
    })
}
