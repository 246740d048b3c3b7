//! One instance.

use std::fmt::Write as _;

use millrace_schemas::InstanceId;
use millrace_schemas::event::{Incident, Outcome, TaskError, TimerPurpose};
use millrace_schemas::instance::{Execution, ExecutionState, Halted, InstanceState, Status};
use millrace_workflow::program::CHILD_QUEUE;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::listing::attributes_text;
use super::{TaskErrorSchema, time};
use crate::output::{shorten, table};

/// An instance as it is now. Absent parts are left out.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, ToSchema)]
pub(crate) struct InstanceView {
    pub(crate) id: String,
    /// `namespace/name/version`
    pub(crate) workflow: String,
    /// `running`, `suspended`, `incident`, `completed`, `faulted` or `cancelled`.
    pub(crate) status: String,
    pub(crate) started_at: String,
    pub(crate) updated_at: String,
    /// Of a completed instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<Value>,
    /// Of a faulted instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = TaskErrorSchema, required = false)]
    pub(crate) error: Option<TaskError>,
    /// Of a suspended or cancelled instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) incident: Option<IncidentView>,
    /// Of an instance that undoes what it has done before it ends.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub(crate) compensating: Option<CompensatingView>,
    /// How many tasks that have ended can be undone, or are yet to be.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub(crate) compensations: usize,
    /// Tasks that wait for somebody who says how they go on.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) halted_tasks: Vec<HaltedView>,
    /// How many times it was restarted from a task.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub(crate) restarts: u32,
    /// What is open below the instance itself, in the order in which it was entered.
    pub(crate) open_tasks: Vec<TaskView>,
    pub(crate) timers: Vec<TimerView>,
    /// Commands that wait for a resume.
    pub(crate) deferred_commands: usize,
    /// Events that no `listen` has taken yet.
    pub(crate) buffered_signals: usize,
    /// Tasks entered so far.
    pub(crate) steps: u64,
    /// The input as it came; of an instance that has not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) input: Option<Value>,
    /// `$context`; of an instance that has not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) context: Option<Value>,
    /// What it is found by.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) attributes: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) traceparent: Option<String>,
    /// The instance that has started it, if one has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) parent: Option<String>,
}

/// What stopped an instance.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, ToSchema)]
pub(crate) struct IncidentView {
    pub(crate) kind: String,
    pub(crate) detail: String,
    /// Of the call whose answer was dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) execution: Option<u32>,
}

/// How an instance will end that undoes what it has done.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, ToSchema)]
pub(crate) struct CompensatingView {
    /// `faulted` or `cancelled`.
    pub(crate) outcome: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = TaskErrorSchema, required = false)]
    pub(crate) error: Option<TaskError>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub(crate) reason: Option<String>,
}

/// A task that waits for somebody who says how it goes on.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, ToSchema)]
pub(crate) struct HaltedView {
    /// JSON pointer in the definition.
    pub(crate) task: String,
    /// Why it failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = TaskErrorSchema, required = false)]
    pub(crate) error: Option<TaskError>,
    /// What it will be given, if somebody has said so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) input: Option<Value>,
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

/// A task that has been entered and has not ended.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, ToSchema)]
pub(crate) struct TaskView {
    pub(crate) execution: u32,
    /// JSON pointer in the definition.
    pub(crate) task: String,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub(crate) iteration: String,
    pub(crate) attempt: u32,
    /// `sequence`, `loop`, `branches`, `trying`, `backing_off`, `catching`, `waiting`, `listening`, `gathering` or `calling`.
    pub(crate) state: String,
    pub(crate) started_at: String,
    /// Of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) queue: Option<String>,
    /// Of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) function: Option<String>,
    /// Of a call: what the worker's answer must carry as `tasktoken`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) token: Option<String>,
    /// Of a task that runs a workflow: the id of the child.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) child: Option<String>,
    /// Of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) deadline: Option<String>,
    /// Of a `try` that pauses or handles an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = TaskErrorSchema, required = false)]
    pub(crate) error: Option<TaskError>,
    /// Of a `try`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) retries: Option<u32>,
    /// Of a loop: the index of the item it is at, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) index: Option<u32>,
}

/// A pending timer.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, ToSchema)]
pub(crate) struct TimerView {
    pub(crate) timer: u32,
    pub(crate) execution: u32,
    pub(crate) due: String,
    /// `wait`, `retry_backoff`, `timeout`, `attempt_timeout`, `heartbeat` or `compensation`.
    pub(crate) purpose: String,
}

impl InstanceView {
    pub(crate) fn new(id: &InstanceId, state: &InstanceState) -> Self {
        let (mut output, mut error, mut reason, mut incident) = (None, None, None, None);
        match &state.status {
            Status::Running => {}
            Status::Suspended { reason: it } | Status::Cancelled { reason: it } => reason = Some(it.clone()),
            Status::Incident { incident: it } => incident = Some(it.into()),
            Status::Completed { output: it } => output = Some(it.value().clone()),
            Status::Faulted { error: it } => error = Some(it.clone()),
        }
        let is_open = !state.status.is_terminal();
        let below_root = state.executions.iter().filter(|(_, it)| it.parent.is_some());
        Self {
            id: id.to_string(),
            workflow: state.workflow.to_string(),
            status: state.status.name().to_owned(),
            started_at: time(state.started_at),
            updated_at: time(state.updated_at),
            output,
            error,
            reason,
            incident,
            compensating: state.compensating.as_ref().map(|it| (&it.outcome).into()),
            compensations: state.compensations.len(),
            halted_tasks: state.halted.iter().map(HaltedView::new).collect(),
            restarts: state.restarts,
            open_tasks: below_root.map(|(execution, it)| TaskView::new(id, execution.0, it)).collect(),
            timers: state
                .timers
                .iter()
                .map(|(timer, it)| TimerView {
                    timer: timer.0,
                    execution: it.execution.0,
                    due: time(it.due),
                    purpose: purpose(it.purpose).to_owned(),
                })
                .collect(),
            deferred_commands: state.deferred.len(),
            buffered_signals: state.signals.len(),
            steps: state.steps,
            input: is_open.then(|| state.raw_input.value().clone()),
            context: is_open.then(|| state.context.value().clone()),
            attributes: state.attributes.as_ref().map(|it| it.value().clone()),
            traceparent: state.traceparent.clone(),
            parent: state.parent.as_ref().map(|it| it.instance.to_string()),
        }
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(text, "{name:<10}{value}");
        };
        line("instance", &self.id);
        line("workflow", &self.workflow);
        line("status", &self.status);
        line("started", &self.started_at);
        line("updated", &self.updated_at);
        if let Some(parent) = &self.parent {
            line("parent", parent);
        }
        if let Some(attributes) = self.attributes.as_ref().and_then(Value::as_object) {
            line("found by", &attributes_text(attributes));
        }
        if let Some(output) = &self.output {
            line("output", &output.to_string());
        }
        if let Some(error) = &self.error {
            line("error", &error_text(error));
        }
        if let Some(reason) = &self.reason {
            line("reason", reason);
        }
        if let Some(incident) = &self.incident {
            line("incident", &format!("{}: {}", incident.kind, incident.detail));
            line("to do", &self.to_do());
        }
        if let Some(compensating) = &self.compensating {
            line("undoing", &compensating.text(self.compensations));
        } else if self.compensations > 0 {
            line("undoable", &self.compensations.to_string());
        }
        if self.restarts > 0 {
            line("restarts", &self.restarts.to_string());
        }
        for (number, name) in [(self.deferred_commands, "deferred"), (self.buffered_signals, "signals")] {
            if number > 0 {
                line(name, &number.to_string());
            }
        }
        if !self.halted_tasks.is_empty() {
            let rows: Vec<_> = self.halted_tasks.iter().map(HaltedView::row).collect();
            text.push('\n');
            text.push_str(&table(&["HALTED TASK", "WHY"], &rows));
        }
        if !self.open_tasks.is_empty() {
            let rows: Vec<_> = self.open_tasks.iter().map(TaskView::row).collect();
            text.push('\n');
            text.push_str(&table(&["OPEN TASK", "ITERATION", "ATTEMPT", "STATE", "SINCE", "DETAIL"], &rows));
        }
        if !self.timers.is_empty() {
            let row = |it: &TimerView| vec![it.due.clone(), it.purpose.clone(), it.execution.to_string()];
            let rows: Vec<_> = self.timers.iter().map(row).collect();
            text.push('\n');
            text.push_str(&table(&["TIMER DUE", "PURPOSE", "EXECUTION"], &rows));
        }
        text
    }
}

impl InstanceView {
    /// What an operator can do about the incident.
    fn to_do(&self) -> String {
        let id = &self.id;
        let Some(halted) = self.halted_tasks.first() else {
            return format!("see to it, then: millrace resume {id}");
        };
        let task = &halted.task;
        format!("millrace retry {id} --task {task}, perhaps with --input; or skip, restart or cancel")
    }
}

impl CompensatingView {
    fn text(&self, left: usize) -> String {
        let why = self.error.as_ref().map(error_text).or_else(|| self.reason.clone()).unwrap_or_default();
        let colon = if why.is_empty() { "" } else { ": " };
        format!("{left} left, then {}{colon}{why}", self.outcome)
    }
}

impl From<&Outcome> for CompensatingView {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Faulted { error } => {
                Self { outcome: "faulted".to_owned(), error: Some(error.clone()), reason: None }
            }
            Outcome::Cancelled { reason, .. } => {
                Self { outcome: "cancelled".to_owned(), error: None, reason: Some(reason.clone()) }
            }
        }
    }
}

impl HaltedView {
    fn new(halted: &Halted) -> Self {
        Self {
            task: halted.task.to_string(),
            error: halted.error.clone(),
            input: halted.input.as_ref().map(|it| it.value().clone()),
        }
    }

    fn row(&self) -> Vec<String> {
        let edited = self.input.as_ref().map(|it| format!("will be given {}", shorten(&it.to_string(), 60)));
        let why = self.error.as_ref().map(|it| shorten(&error_text(it), 100));
        vec![self.task.clone(), why.into_iter().chain(edited).collect::<Vec<_>>().join("; ")]
    }
}

impl From<&Incident> for IncidentView {
    fn from(incident: &Incident) -> Self {
        Self {
            kind: incident.kind.clone(),
            detail: incident.detail.clone(),
            execution: incident.execution.map(|it| it.0),
        }
    }
}

impl TaskView {
    fn new(id: &InstanceId, execution: u32, it: &Execution) -> Self {
        let mut view = Self {
            execution,
            task: it.task.to_string(),
            iteration: it.iteration.to_string(),
            attempt: it.attempt.0,
            state: state_name(&it.state).to_owned(),
            started_at: time(it.started_at),
            queue: None,
            function: None,
            token: None,
            child: None,
            deadline: None,
            error: None,
            retries: None,
            index: None,
        };
        match &it.state {
            ExecutionState::Sequence { .. }
            | ExecutionState::Branches { .. }
            | ExecutionState::Waiting
            | ExecutionState::Listening { .. } => {}
            ExecutionState::Gathering { index, .. } => view.index = Some(*index),
            ExecutionState::Loop { index, .. } => view.index = Some(*index),
            ExecutionState::Trying { retries, .. } => view.retries = Some(*retries),
            ExecutionState::BackingOff { error, retries } => {
                view.error = Some(error.clone());
                view.retries = Some(*retries);
            }
            ExecutionState::Catching { error, .. } => view.error = Some(error.clone()),
            ExecutionState::Calling { queue, function, deadline, dispatch, .. } => {
                let token = format!("{execution}.{dispatch}");
                view.function = Some(function.to_string());
                if **queue == *CHILD_QUEUE {
                    view.child = Some(format!("{id}.{token}"));
                } else {
                    view.queue = Some(queue.to_string());
                    view.token = Some(token);
                }
                view.deadline = deadline.map(time);
            }
        }
        view
    }

    fn row(&self) -> Vec<String> {
        let mut detail = Vec::new();
        if let (Some(function), Some(queue), Some(token)) = (&self.function, &self.queue, &self.token) {
            detail.push(format!("{function} on queue {queue}, token {token}"));
        }
        if let (Some(function), Some(child)) = (&self.function, &self.child) {
            detail.push(format!("{function} as {child}"));
        }
        if let Some(deadline) = &self.deadline {
            detail.push(format!("until {deadline}"));
        }
        if let Some(index) = self.index {
            detail.push(format!("item {index}"));
        }
        if let Some(retries) = self.retries.filter(|it| *it > 0) {
            detail.push(format!("retries {retries}"));
        }
        if let Some(error) = &self.error {
            detail.push(shorten(&error_text(error), 100));
        }
        vec![
            self.task.clone(),
            self.iteration.clone(),
            self.attempt.to_string(),
            self.state.clone(),
            self.started_at.clone(),
            detail.join(", "),
        ]
    }
}

/// Status, title and detail first: the type is long, and the same for many.
pub(crate) fn error_text(error: &TaskError) -> String {
    let title = error.title.as_deref().unwrap_or(&error.error_type);
    let mut text = format!("{} {title}", error.status);
    if let Some(detail) = &error.detail {
        let _ = write!(text, ": {detail}");
    }
    if let Some(instance) = &error.instance {
        let _ = write!(text, " (at {instance})");
    }
    text
}

fn state_name(state: &ExecutionState) -> &'static str {
    match state {
        ExecutionState::Sequence { .. } => "sequence",
        ExecutionState::Loop { .. } => "loop",
        ExecutionState::Branches { .. } => "branches",
        ExecutionState::Trying { .. } => "trying",
        ExecutionState::BackingOff { .. } => "backing_off",
        ExecutionState::Catching { .. } => "catching",
        ExecutionState::Waiting => "waiting",
        ExecutionState::Listening { .. } => "listening",
        ExecutionState::Gathering { .. } => "gathering",
        ExecutionState::Calling { .. } => "calling",
    }
}

fn purpose(purpose: TimerPurpose) -> &'static str {
    match purpose {
        TimerPurpose::Wait => "wait",
        TimerPurpose::RetryBackoff => "retry_backoff",
        TimerPurpose::Timeout => "timeout",
        TimerPurpose::AttemptTimeout => "attempt_timeout",
        TimerPurpose::Heartbeat => "heartbeat",
        TimerPurpose::Compensation => "compensation",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};

    use millrace_schemas::instance::Timer;
    use millrace_schemas::{Attempt, ExecutionId, Payload, TimerId, Timestamp};
    use serde_json::json;

    use super::*;

    fn execution(parent: Option<u32>, task: &str, state: ExecutionState) -> Execution {
        Execution {
            parent: parent.map(ExecutionId),
            task: task.into(),
            iteration: "".into(),
            attempt: Attempt::FIRST,
            attempt_seen: Attempt::FIRST,
            input: Payload::null(),
            started_at: Timestamp(1_000),
            state,
        }
    }

    fn running() -> InstanceState {
        let root =
            execution(None, "/do", ExecutionState::Sequence { data: Payload::null(), jumps: 0, then: None });
        let calling = ExecutionState::Calling {
            queue: "orders".into(),
            function: "reserve-stock".into(),
            arguments: None,
            deadline: Some(Timestamp(61_000)),
            dispatch: 2,
            secrets: Vec::new(),
        };
        let timer =
            Timer { execution: ExecutionId(1), due: Timestamp(61_000), purpose: TimerPurpose::Timeout };
        InstanceState {
            workflow: "shop/order/1.0.0".parse().expect("is legal"),
            status: Status::Running,
            started_at: Timestamp(0),
            updated_at: Timestamp(1_500),
            raw_input: json!({"amount": 3}).into(),
            input: json!({"amount": 3}).into(),
            context: Payload::null(),
            traceparent: None,
            channels: Vec::new(),
            executions: BTreeMap::from([
                (ExecutionId(0), root),
                (ExecutionId(1), execution(Some(0), "/do/0/reserve", calling)),
            ]),
            timers: BTreeMap::from([(TimerId(1), timer)]),
            deferred: VecDeque::new(),
            signals: VecDeque::new(),
            next_execution: 2,
            next_timer: 2,
            parent: None,
            remembered: VecDeque::new(),
            attributes: Some(json!({"customer": "acme", "total": 3}).into()),
            steps: 1,
            compensations: Vec::new(),
            compensating: None,
            halted: Vec::new(),
            restarts: 0,
        }
    }

    #[test]
    fn an_instance_that_undoes_what_it_has_done_shows_what_failed_and_what_to_do() {
        let id = InstanceId::new("order-17").expect("is legal");
        let error = |detail: &str| TaskError {
            error_type: "https://shop.example/errors/declined".to_owned(),
            status: 402,
            instance: Some("/do/1/charge".to_owned()),
            title: Some("card declined".to_owned()),
            detail: Some(detail.to_owned()),
        };
        let undo: std::sync::Arc<str> = "/do/0/reserve/metadata/millrace/compensate/0/release".into();
        let incident = Incident {
            kind: "compensation-failed".to_owned(),
            detail: "the stock is out of reach".to_owned(),
            execution: None,
        };
        let halted = Halted {
            scope: ExecutionId(4),
            task: undo,
            then: None,
            error: Some(error("the stock is out of reach")),
            input: Some(json!({"orderId": 17}).into()),
        };
        let kept = millrace_schemas::event::Compensation {
            task: "/do/0/reserve".into(),
            iteration: "".into(),
            input: Payload::null(),
            output: Payload::null(),
        };
        let outcome = Outcome::Faulted { error: error("no cover") };
        let state = InstanceState {
            status: Status::Incident { incident },
            executions: BTreeMap::new(),
            timers: BTreeMap::new(),
            compensations: vec![kept],
            compensating: Some(millrace_schemas::instance::Compensating { outcome }),
            halted: vec![halted],
            restarts: 1,
            context: json!({}).into(),
            ..running()
        };
        let view = InstanceView::new(&id, &state);
        expect_test::expect![[r#"
            instance  order-17
            workflow  shop/order/1.0.0
            status    incident
            started   1970-01-01T00:00:00.000Z
            updated   1970-01-01T00:00:01.500Z
            found by  customer=acme, total=3
            incident  compensation-failed: the stock is out of reach
            to do     millrace retry order-17 --task /do/0/reserve/metadata/millrace/compensate/0/release, perhaps with --input; or skip, restart or cancel
            undoing   1 left, then faulted: 402 card declined: no cover (at /do/1/charge)
            restarts  1

            HALTED TASK                                           WHY
            /do/0/reserve/metadata/millrace/compensate/0/release  402 card declined: the stock is out of reach (at /do/1/charge); will be given {"orderId":17}
        "#]].assert_eq(&view.text());
        let json = serde_json::to_value(&view).expect("is plain data");
        assert_eq!(serde_json::from_value::<InstanceView>(json).expect("reads what it wrote"), view);
    }

    #[test]
    fn a_running_instance_shows_what_it_waits_for() {
        let id = InstanceId::new("order-17").expect("is legal");
        expect_test::expect![[r#"
            instance  order-17
            workflow  shop/order/1.0.0
            status    running
            started   1970-01-01T00:00:00.000Z
            updated   1970-01-01T00:00:01.500Z
            found by  customer=acme, total=3

            OPEN TASK      ITERATION  ATTEMPT  STATE    SINCE                     DETAIL
            /do/0/reserve             1        calling  1970-01-01T00:00:01.000Z  reserve-stock on queue orders, token 1.2, until 1970-01-01T00:01:01.000Z

            TIMER DUE                 PURPOSE  EXECUTION
            1970-01-01T00:01:01.000Z  timeout  1
        "#]]
        .assert_eq(&InstanceView::new(&id, &running()).text());
    }

    #[test]
    fn an_ended_instance_shows_its_output_and_what_is_sent_is_what_is_read() {
        let id = InstanceId::new("order-17").expect("is legal");
        let status = Status::Completed { output: json!({"charged": 3}).into() };
        let state =
            InstanceState { status, executions: BTreeMap::new(), timers: BTreeMap::new(), ..running() };
        let view = InstanceView::new(&id, &state);
        let json = serde_json::to_value(&view).expect("is plain data");
        expect_test::expect![[r#"{"id":"order-17","workflow":"shop/order/1.0.0","status":"completed","started_at":"1970-01-01T00:00:00.000Z","updated_at":"1970-01-01T00:00:01.500Z","output":{"charged":3},"open_tasks":[],"timers":[],"deferred_commands":0,"buffered_signals":0,"steps":1,"attributes":{"customer":"acme","total":3}}"#]]
        .assert_eq(&json.to_string());
        assert_eq!(serde_json::from_value::<InstanceView>(json).expect("reads what it wrote"), view);
    }
}
