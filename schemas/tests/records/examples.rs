//! One example of each record, for golden bytes and for the page on records.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use millrace_schemas::channel::{
    ChannelEntry, ChannelEvent, ChannelSnapshot, ChannelState, SeenEvent, Subscription, SubscriptionId,
    WaitingEvent,
};
use millrace_schemas::cloud_event::{InboxError, InboxRecord, InboxRequest, read_inbox};
use millrace_schemas::codec::{ChangelogRecord, Codec};
use millrace_schemas::command::{AddressedCommand, Command};
use millrace_schemas::definition::Definition;
use millrace_schemas::event::{
    Activity, ChangelogEntry, Compensation, Event, Incident, Outcome, ParentTask, Reopening, SecretMarker,
    TaskError, TimerPurpose,
};
use millrace_schemas::handover::{
    Adopted, HandedOver, Installed, Plan, PlanState, Progressed, ReleaseRequested, Released,
};
use millrace_schemas::instance::{
    Branch, BufferedSignal, Compensating, DeferredCommand, Execution, ExecutionState, Halted, Heard,
    InstanceState, JoinedChannel, RememberedSignal, Status, Timer,
};
use millrace_schemas::internal::{
    ForwardedRecord, InternalRecord, RecordPosition, ScheduleProposed, TimerFired,
};
use millrace_schemas::key_groups::{KeyGroup, KeyGroupEra, KeyGroupRoute, KeyGroups, PartitionIndex};
use millrace_schemas::partition::{Checkpoint, Claim, Positions, SourcePosition, TimerPlace};
use millrace_schemas::schedule::{
    BufferedStart, NextStart, ScheduleEntry, ScheduleEvent, ScheduleSnapshot, ScheduleState, ScheduleStatus,
    ScheduledRun, SkipReason,
};
use millrace_schemas::snapshot::{ParkedInstance, Snapshot, SnapshotRecord};
use millrace_schemas::task::TaskCommand;
use millrace_schemas::{
    Attempt, EventId, ExecutionId, InstanceId, Offset, Payload, PlanId, TaskToken, TimerId, Timestamp,
    WorkflowName, WorkflowVersion,
};
use serde_json::{Value, json};

pub(crate) const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
pub(crate) const AT: Timestamp = Timestamp(1_700_000_000_000);

pub(crate) fn instance() -> InstanceId {
    InstanceId::new("order-4711").expect("a valid id")
}

pub(crate) fn cause() -> EventId {
    EventId { source: "/shop/checkout".to_owned(), id: "e-1".to_owned() }
}

pub(crate) fn payload(value: Value) -> Payload {
    value.into()
}

pub(crate) fn workflow() -> WorkflowVersion {
    WorkflowVersion {
        workflow: WorkflowName { namespace: "shop".into(), name: "order".into() },
        version: "1.2.0".into(),
    }
}

pub(crate) fn error() -> TaskError {
    TaskError {
        error_type: "https://serverlessworkflow.io/spec/1.0.0/errors/communication".to_owned(),
        status: 503,
        instance: Some("/do/1/charge".to_owned()),
        title: Some("payment provider unavailable".to_owned()),
        detail: None,
    }
}

pub(crate) fn token() -> TaskToken {
    TaskToken { execution: ExecutionId(3), dispatch: 1 }
}

fn call() -> Activity {
    Activity::Call {
        queue: "orders".into(),
        function: "charge-payment".into(),
        arguments: Some(payload(json!({"cents": 1999}))),
        deadline: Some(Timestamp(AT.0 + 30_000)),
        secrets: Vec::new(),
    }
}

fn secret_markers() -> Vec<SecretMarker> {
    let path = ["payments", "key"].map(str::to_owned).to_vec();
    vec![SecretMarker { marker: "<secret 5f3a>".to_owned(), path }]
}

fn parent_task() -> ParentTask {
    ParentTask { instance: InstanceId::new("order-1").expect("short"), token: token() }
}

/// Every command.
pub(crate) fn commands() -> Vec<Command> {
    let reason = || "customer asked".to_owned();
    vec![
        Command::Start {
            workflow: workflow().workflow,
            version: Some("1.2.0".into()),
            input: payload(json!({"cents": 1999})),
            parent: None,
        },
        Command::Start { workflow: workflow().workflow, version: None, input: Payload::null(), parent: None },
        Command::CompleteTask { token: token(), output: payload(json!({"receipt": "r-1"})) },
        Command::FailTask { token: token(), error: error(), retriable: true },
        Command::RecordHeartbeat { token: token() },
        Command::FireTimer { timer: TimerId(2), due: AT },
        Command::DeliverSignal {
            event: payload(json!({"specversion": "1.0", "type": "shop.courier.delivered"})),
        },
        Command::Cancel { reason: reason(), compensate: false },
        Command::Suspend { reason: reason() },
        Command::Resume { reason: reason() },
    ]
}

/// Every event, in the order of the schema; some twice.
pub(crate) fn events() -> Vec<Event> {
    let (execution, parent, timer, due) =
        (ExecutionId(3), ExecutionId::ROOT, TimerId(2), Timestamp(AT.0 + 5_000));
    let reason = || "customer asked".to_owned();
    let started = |activity| Event::TaskStarted {
        execution,
        parent,
        task: "/do/1/charge".into(),
        iteration: "2.0~1".into(),
        attempt: Attempt::FIRST,
        input: None,
        activity,
    };
    let mut events = vec![Event::InstanceStarted {
        workflow: workflow(),
        raw_input: payload(json!({"cents": 1999, "rate": 0.1, "note": "ünï"})),
        input: Some(payload(json!({"cents": 1999}))),
        parent: None,
    }];
    events.extend(
        [
            Activity::Sequence { then: None },
            Activity::Loop { items: payload(json!([1, 2])) },
            Activity::Branches { count: 2 },
            Activity::Trying,
            Activity::Waiting,
            Activity::Listening,
            call(),
        ]
        .map(started),
    );
    events.extend([
        Event::TaskRan {
            parent,
            task: "/do/0/set".into(),
            iteration: "".into(),
            output: Some(payload(json!([]))),
            context: None,
        },
        Event::TaskCompleted {
            execution,
            output: payload(json!("done")),
            context: Some(payload(json!({"a": null}))),
        },
        Event::TaskFaulted { execution: Some(execution), task: "/do/1/charge".into(), error: error() },
        Event::TaskCancelled { execution },
        Event::SequenceJumped { execution },
        Event::IterationStarted { execution, index: 7 },
        Event::RetryScheduled { execution, error: error(), timer, due },
        Event::RetryStarted { execution },
        Event::ErrorCaught { execution, error: error() },
    ]);
    let purposes = [
        TimerPurpose::Wait,
        TimerPurpose::RetryBackoff,
        TimerPurpose::Timeout,
        TimerPurpose::AttemptTimeout,
        TimerPurpose::Heartbeat,
    ];
    events.extend(purposes.map(|purpose| Event::TimerSet { timer, execution, due, purpose }));
    events.extend([
        Event::TimerCleared { timer },
        Event::TaskDispatched { execution, dispatch: 1 },
        Event::HeartbeatRecorded { execution, due },
        Event::SignalBuffered { cause: cause(), event: payload(json!({"specversion": "1.0"})) },
        Event::SignalConsumed { execution, cause: cause() },
        Event::InstanceSuspended { reason: reason() },
        Event::IncidentRaised { incident: incident() },
    ]);
    events.extend(commands().into_iter().map(|command| Event::CommandDeferred { cause: cause(), command }));
    events.extend([
        Event::InstanceResumed { reason: reason() },
        Event::DeferredCommandTaken,
        Event::InstanceCompleted { output: payload(json!({"ok": true})) },
        Event::InstanceFaulted { error: error() },
        Event::InstanceCancelled { reason: reason() },
    ]);
    events
}

/// What events have since version 2.
fn later_events() -> Vec<Event> {
    let execution = ExecutionId(3);
    let started = |activity| Event::TaskStarted {
        execution,
        parent: ExecutionId::ROOT,
        task: "/do/1/charge".into(),
        iteration: "".into(),
        attempt: Attempt::FIRST,
        input: None,
        activity,
    };
    let mut call = call();
    if let Activity::Call { secrets, .. } = &mut call {
        *secrets = secret_markers();
    }
    let start = Command::Start {
        workflow: workflow().workflow,
        version: None,
        input: Payload::null(),
        parent: Some(parent_task()),
    };
    vec![
        Event::InstanceStarted {
            workflow: workflow(),
            raw_input: Payload::null(),
            input: None,
            parent: Some(parent_task()),
        },
        started(Activity::Sequence { then: Some("/do/4/ship".into()) }),
        started(call),
        Event::CommandDeferred { cause: cause(), command: start },
        started(Activity::Gathering),
        Event::EventHeard {
            execution,
            filter: 1,
            event: payload(json!({"specversion": "1.0"})),
            is_last: true,
        },
        Event::EventRoundStarted { execution, index: 1, data: payload(json!(1)) },
        Event::EventRoundEnded { execution, output: payload(json!([])), context: Some(payload(json!({}))) },
        Event::CommandDeferred {
            cause: cause(),
            command: Command::DeliverEvent { listener: execution, filter: 1, event: payload(json!({})) },
        },
        Event::ChannelJoined { execution, filter: 1, channel: channel() },
        Event::ChannelLeft { execution, filter: 1 },
        Event::SignalReceived { digest: -4_711_000_000_000, forgotten: 2 },
        Event::AttributesChanged { attributes: payload(json!({"customer": "acme"})) },
    ]
    .into_iter()
    .chain(control_commands().into_iter().map(|command| Event::CommandDeferred { cause: cause(), command }))
    .chain(control_events())
    .collect()
}

fn compensation() -> Compensation {
    Compensation {
        task: "/do/0/reserve".into(),
        iteration: "2".into(),
        input: payload(json!({"item": 1})),
        output: payload(json!({"held": true})),
    }
}

fn reopening() -> Reopening {
    Reopening {
        raw_input: payload(json!({})),
        input: payload(json!([])),
        compensations: vec![compensation()],
    }
}

/// Every command of an operator, with and without what may be missing.
pub(crate) fn control_commands() -> Vec<Command> {
    let (task, by, reason) =
        (|| "/do/1/charge".into(), || "ann".to_owned(), || "the card was changed".to_owned());
    vec![
        Command::Cancel { reason: reason(), compensate: true },
        Command::Retry { task: None, input: None, by: by(), reason: reason() },
        Command::Retry {
            task: Some(task()),
            input: Some(payload(json!({"card": 2}))),
            by: by(),
            reason: reason(),
        },
        Command::Edit { task: task(), input: Payload::null(), by: by(), reason: reason() },
        Command::Skip { task: Some(task()), output: payload(json!(1)), by: by(), reason: reason() },
        Command::Restart {
            task: task(),
            input: payload(json!(1)),
            context: None,
            number: None,
            reopening: None,
            by: by(),
            reason: reason(),
        },
        Command::Restart {
            task: task(),
            input: payload(json!(1)),
            context: Some(payload(json!(2))),
            number: Some(1),
            reopening: Some(reopening()),
            by: by(),
            reason: reason(),
        },
    ]
}

fn control_events() -> Vec<Event> {
    let (scope, task, by, reason) = (
        ExecutionId::ROOT,
        || "/do/1/charge".into(),
        || "ann".to_owned(),
        || "the card was changed".to_owned(),
    );
    let cancelled = Outcome::Cancelled { reason: reason(), is_parent_told: true };
    vec![
        Event::CompensationAdded {
            scope,
            task: task(),
            iteration: "2".into(),
            input: payload(json!(1)),
            is_again: true,
        },
        Event::CompensationStarted { outcome: Outcome::Faulted { error: error() } },
        Event::CompensationStarted { outcome: cancelled },
        Event::TaskCompensated { task: task(), iteration: "2".into() },
        Event::TaskHalted {
            execution: Some(ExecutionId(3)),
            scope,
            task: task(),
            then: Some("exit".into()),
            error: error(),
        },
        Event::TaskEdited {
            execution: None,
            scope,
            task: task(),
            then: None,
            input: payload(json!(1)),
            by: by(),
            reason: reason(),
        },
        Event::TaskRetried { scope, task: task(), by: by(), reason: reason() },
        Event::TaskSkipped { scope, task: task(), output: Payload::null(), by: by(), reason: reason() },
        Event::InstanceRestarted {
            scope,
            task: task(),
            data: payload(json!(1)),
            context: Some(payload(json!(2))),
            reopening: Some(reopening()),
            by: by(),
            reason: reason(),
        },
        Event::TimerSet { timer: TimerId(2), execution: scope, due: AT, purpose: TimerPurpose::Compensation },
    ]
}

fn incident() -> Incident {
    Incident {
        kind: "payload-too-large".to_owned(),
        detail: "1 MB".to_owned(),
        execution: Some(ExecutionId(3)),
    }
}

pub(crate) fn entry() -> ChangelogEntry {
    let mut entry = entry_v1();
    entry.events.extend(later_events());
    entry
}

/// With what version 1 had.
fn entry_v1() -> ChangelogEntry {
    ChangelogEntry { at: AT, cause: cause(), traceparent: Some(TRACEPARENT.to_owned()), events: events() }
}

pub(crate) fn positions() -> Positions {
    let source = |partition, offset| SourcePosition {
        topic: "millrace.events".to_owned(),
        partition,
        offset: Offset(offset),
    };
    Positions { sources: vec![source(0, 42), source(8, 9_007_199_254_740_993)] }
}

pub(crate) fn claim() -> Claim {
    Claim {
        incarnation: "0-17-5f3a".to_owned(),
        transactional_id: "millrace-0-1".to_owned(),
        api_url: Some("http://10.0.0.7:8080".to_owned()),
        at: AT,
        era: 1,
        era_base: Offset(100),
        key_groups: key_group_eras(),
    }
}

fn key_group_eras() -> Vec<KeyGroupEra> {
    let hot = KeyGroups::single(KeyGroup(4095));
    vec![
        KeyGroupEra { key_groups: key_groups(), era: 2, era_base: Offset(120) },
        KeyGroupEra { key_groups: hot, era: 3, era_base: Offset(130) },
    ]
}

pub(crate) fn checkpoint() -> Checkpoint {
    Checkpoint {
        era: 1,
        era_base: Offset(100),
        changelog_offset: Offset(140),
        positions: positions(),
        timers_low_watermark: Timestamp(AT.0 - 1),
        api_url: None,
        at: AT,
        key_groups: key_group_eras(),
        released: vec![KeyGroupRoute { key_groups: key_groups(), to: PartitionIndex(3) }],
        hot_keys: vec![InstanceId::new("order-1").expect("short")],
        timers_from: Some(TimerPlace {
            instance: InstanceId::new("order-1").expect("short"),
            timer: TimerId(3),
        }),
        newest_id: Some(Timestamp(1_700_000_000_000)),
    }
}

fn key_groups() -> KeyGroups {
    KeyGroups::of(PartitionIndex(3), 8).expect("an index of eight")
}

pub(crate) fn adopted() -> Adopted {
    Adopted { plan: PlanId(1), partition: 3 }
}

pub(crate) fn released() -> Released {
    Released {
        plan: PlanId(1),
        key_groups: key_groups(),
        to: PartitionIndex(3),
        sources: positions().sources,
    }
}

pub(crate) fn installed() -> Installed {
    Installed {
        plan: PlanId(1),
        key_groups: key_groups(),
        era: 2,
        era_base: Offset(120),
        from: PartitionIndex(1),
        sources: positions().sources,
        timers_low_watermark: AT,
    }
}

pub(crate) fn release_requested() -> ReleaseRequested {
    ReleaseRequested { plan: PlanId(1), key_groups: key_groups(), to: PartitionIndex(3) }
}

pub(crate) fn handed_over() -> HandedOver {
    HandedOver {
        plan: PlanId(1),
        key_groups: key_groups(),
        era: 2,
        from: PartitionIndex(1),
        sources: positions().sources,
        timers_low_watermark: AT,
    }
}

pub(crate) fn progressed() -> Progressed {
    Progressed { source: positions().sources.remove(0) }
}

pub(crate) fn plan(state: PlanState) -> Plan {
    Plan { id: PlanId(1), partitions_from: 8, partitions_to: 16, state, started_at: AT }
}

/// Every state of a plan.
pub(crate) fn plan_states() -> [PlanState; 5] {
    [
        PlanState::Growing,
        PlanState::Gating { since: AT },
        PlanState::HandingOver { since: AT },
        PlanState::Done,
        PlanState::Abandoned,
    ]
}

pub(crate) fn forwarded() -> ForwardedRecord {
    ForwardedRecord {
        source: RecordPosition { topic: "millrace.events".to_owned(), partition: 3, offset: Offset(77) },
        hops: 1,
        timestamp: AT,
        key: Some(Bytes::from_static(b"order-4711")),
        headers: vec![("content-type".to_owned(), Bytes::from_static(b"application/cloudevents+json"))],
        value: Some(Bytes::from_static(&[0xff, 0x00])),
    }
}

pub(crate) fn timer_fired() -> TimerFired {
    TimerFired { instance: instance(), timer: TimerId(2), due: AT }
}

pub(crate) fn task() -> TaskCommand {
    TaskCommand {
        instance: instance(),
        token: token(),
        workflow: workflow(),
        task: "/do/1/charge".into(),
        iteration: "".into(),
        attempt: Attempt::FIRST,
        idempotency_key: "order-4711/do/1/charge".to_owned(),
        function: "charge-payment".into(),
        arguments: payload(json!({"cents": 1999})),
        deadline: Some(Timestamp(AT.0 + 30_000)),
        heartbeat_ms: Some(10_000),
        secrets: secret_markers(),
    }
}

pub(crate) fn definition() -> Definition {
    Definition {
        namespace: "shop".into(),
        name: "order".into(),
        version: "1.2.0".into(),
        media_type: "application/yaml".to_owned(),
        text: "document:\n  dsl: 1.0.3\n".to_owned(),
        digest: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".to_owned(),
        deployed_at: AT,
    }
}

pub(crate) fn snapshot(status: Status) -> Snapshot {
    let mut snapshot = snapshot_v1(status);
    with_later_states(&mut snapshot);
    snapshot
}

/// With what version 1 had.
fn snapshot_v1(status: Status) -> Snapshot {
    let states = vec![
        ExecutionState::Sequence { data: data(), jumps: 1, then: None },
        ExecutionState::Loop { items: payload(json!([1])), index: 0, data: data(), jumps: 0 },
        ExecutionState::Branches {
            branches: vec![
                Branch { output: Some(data()), context: None },
                Branch { output: None, context: Some(data()) },
            ],
        },
        ExecutionState::Trying { data: data(), jumps: 0, retries: 2 },
        ExecutionState::BackingOff { error: error(), retries: 2 },
        ExecutionState::Catching { error: error(), data: data(), jumps: 0 },
        ExecutionState::Waiting,
        ExecutionState::Listening { heard: Vec::new() },
        ExecutionState::Calling {
            queue: "orders".into(),
            function: "charge-payment".into(),
            arguments: None,
            deadline: None,
            dispatch: 2,
            secrets: Vec::new(),
        },
    ];
    let executions = executions(0, states);
    let timer = Timer { execution: ExecutionId(6), due: AT, purpose: TimerPurpose::Wait };
    Snapshot {
        era: 1,
        offset: Offset(139),
        state: InstanceState {
            workflow: workflow(),
            status,
            started_at: AT,
            updated_at: Timestamp(AT.0 + 1),
            raw_input: data(),
            input: data(),
            context: Payload::null(),
            traceparent: None,
            executions,
            timers: [(TimerId(2), timer)].into(),
            deferred: commands()
                .into_iter()
                .map(|command| DeferredCommand { cause: cause(), command })
                .collect(),
            signals: [BufferedSignal { cause: cause(), event: data() }].into(),
            next_execution: 9,
            next_timer: 3,
            steps: 12,
            parent: None,
            compensations: Vec::new(),
            compensating: None,
            halted: Vec::new(),
            restarts: 0,
            channels: Vec::new(),
            remembered: [].into(),
            attributes: None,
        },
    }
}

fn channel() -> InstanceId {
    InstanceId::new("millrace:channel/shop.paid/5f3a").expect("a valid id")
}

fn subscription_id() -> SubscriptionId {
    SubscriptionId { instance: instance(), execution: ExecutionId(4), filter: 1 }
}

fn subscription() -> Subscription {
    Subscription {
        workflow: workflow(),
        task: "/do/1/paid".into(),
        variables: Some(payload(json!({"context": {"cents": 1999}}))),
        is_once: true,
    }
}

pub(crate) fn channel_entry() -> ChannelEntry {
    let until = Timestamp(AT.0 + 60_000);
    let event = payload(json!({"type": "shop.paid"}));
    ChannelEntry {
        at: AT,
        cause: cause(),
        traceparent: Some(TRACEPARENT.to_owned()),
        events: vec![
            ChannelEvent::SubscriptionOpened { id: subscription_id(), subscription: subscription() },
            ChannelEvent::SubscriptionClosed { id: subscription_id() },
            ChannelEvent::EventPublished { digest: -5, until, forgotten: 1 },
            ChannelEvent::EventKept { cause: cause(), event, filter: 2, until },
            ChannelEvent::EventTaken { cause: cause() },
        ],
    }
}

pub(crate) fn channel_snapshot() -> ChannelSnapshot {
    let until = Timestamp(AT.0 + 60_000);
    let event = payload(json!({"type": "shop.paid"}));
    ChannelSnapshot {
        era: 2,
        offset: Offset(41),
        state: ChannelState {
            updated_at: AT,
            subscriptions: [(subscription_id(), Subscription { variables: None, ..subscription() })].into(),
            waiting: [WaitingEvent { cause: cause(), event, filter: 0, until }].into(),
            seen: [SeenEvent { digest: 7, until }].into(),
        },
    }
}

/// With what states have since version 2.
fn with_later_states(snapshot: &mut Snapshot) {
    let states = vec![
        ExecutionState::Sequence { data: data(), jumps: 0, then: Some("exit".into()) },
        ExecutionState::Listening { heard: vec![Heard { filter: 1, event: data() }] },
        ExecutionState::Gathering {
            heard: vec![Heard { filter: 0, event: data() }],
            is_done: true,
            is_busy: true,
            index: 0,
            data: data(),
            jumps: 1,
            outputs: vec![data()],
        },
        ExecutionState::Calling {
            queue: "orders".into(),
            function: "charge-payment".into(),
            arguments: None,
            deadline: None,
            dispatch: 1,
            secrets: secret_markers(),
        },
    ];
    snapshot.state.executions.extend(executions(20, states));
    snapshot.state.parent = Some(parent_task());
    snapshot.state.channels =
        vec![JoinedChannel { execution: ExecutionId(21), filter: 0, channel: channel() }];
    snapshot.state.remembered = [RememberedSignal { digest: -4_711_000_000_000, at: AT }].into();
    snapshot.state.attributes = Some(payload(json!({"customer": "acme"})));
    snapshot.state.compensations = vec![compensation()];
    snapshot.state.compensating = Some(Compensating { outcome: Outcome::Faulted { error: error() } });
    snapshot.state.halted = vec![Halted {
        scope: ExecutionId::ROOT,
        task: "/do/1/charge".into(),
        then: None,
        error: Some(error()),
        input: Some(payload(json!(1))),
    }];
    snapshot.state.restarts = 1;
}

fn data() -> Payload {
    payload(json!({"cents": 1999}))
}

fn executions(first: u32, states: Vec<ExecutionState>) -> BTreeMap<ExecutionId, Execution> {
    let execution = |(state, id): (ExecutionState, u32)| {
        let execution = Execution {
            parent: (id > 0).then(|| ExecutionId(id - 1)),
            task: "/do".into(),
            iteration: "".into(),
            attempt: Attempt::FIRST,
            attempt_seen: Attempt(2),
            input: data(),
            started_at: AT,
            state,
        };
        (ExecutionId(id), execution)
    };
    states.into_iter().zip(first..).map(execution).collect()
}

pub(crate) fn parked() -> ParkedInstance {
    ParkedInstance {
        era: 1,
        offset: Offset(42),
        reason: "event TaskCompleted cannot follow".to_owned(),
        snapshot: Some("row".into()),
        entries: vec!["first".into(), "second".into()],
    }
}

/// With every event of schedules.
pub(crate) fn schedule_entry() -> ScheduleEntry {
    let version = workflow();
    let (rhythm, overlap): (Arc<str>, Arc<str>) = ("cron 0 6 * * * Europe/Berlin".into(), "bufferOne".into());
    ScheduleEntry {
        at: AT,
        cause: cause(),
        traceparent: None,
        events: vec![
            ScheduleEvent::ScheduleDefined { version: version.clone(), rhythm, overlap },
            ScheduleEvent::ScheduleRetired { version },
            ScheduleEvent::SchedulePaused { reason: "holidays".to_owned() },
            ScheduleEvent::ScheduleResumed { reason: String::new() },
            ScheduleEvent::NextStartSet { timer: TimerId(2), due: AT },
            ScheduleEvent::NextStartCleared,
            ScheduleEvent::RunStarted {
                run: 3,
                instance: instance(),
                nominal: AT,
                is_triggered: false,
                is_awaited: true,
            },
            ScheduleEvent::StartBuffered { instance: instance(), nominal: AT, is_triggered: true },
            ScheduleEvent::StartsSkipped { count: 7, last: AT, reason: SkipReason::TooLate },
            ScheduleEvent::StartsSkipped { count: 1, last: AT, reason: SkipReason::Overlap },
            ScheduleEvent::RunEnded { run: 3, error: Some("card declined".to_owned()) },
        ],
    }
}

pub(crate) fn schedule_snapshot(status: ScheduleStatus) -> ScheduleSnapshot {
    let run = ScheduledRun { run: 3, instance: instance(), nominal: AT, started_at: AT, is_triggered: false };
    let state = ScheduleState {
        version: workflow(),
        status,
        rhythm: "every 900s".into(),
        overlap: "bufferOne".into(),
        defined_at: AT,
        updated_at: AT,
        next: Some(NextStart { timer: TimerId(2), due: AT }),
        running: Some(run.clone()),
        buffered: Some(BufferedStart { instance: instance(), nominal: AT, is_triggered: true }),
        last: Some(run),
        ended_at: Some(AT),
        last_error: Some("card declined".to_owned()),
        decided_until: Some(AT),
        started: 4,
        skipped: 7,
        failed: 1,
        next_timer: 3,
        next_run: 4,
    };
    ScheduleSnapshot { era: 1, offset: Offset(42), state }
}

pub(crate) fn schedule_statuses() -> [ScheduleStatus; 3] {
    [
        ScheduleStatus::Active,
        ScheduleStatus::Paused { reason: "holidays".to_owned() },
        ScheduleStatus::Retired,
    ]
}

pub(crate) fn schedule_proposed() -> ScheduleProposed {
    ScheduleProposed { version: workflow() }
}

/// Every status.
pub(crate) fn statuses() -> Vec<Status> {
    vec![
        Status::Running,
        Status::Suspended { reason: "operator".to_owned() },
        Status::Incident { incident: incident() },
        Status::Completed { output: payload(json!(1)) },
        Status::Faulted { error: error() },
        Status::Cancelled { reason: "customer asked".to_owned() },
    ]
}

/// Every record, encoded, with the name of its schema's file.
pub(crate) fn encoded(codec: &Codec) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("changelog_entry", codec.encode_changelog(&ChangelogRecord::Entry(entry()))),
        ("positions", codec.encode_changelog(&ChangelogRecord::Positions(positions()))),
        ("claim", codec.encode_changelog(&ChangelogRecord::Claim(claim()))),
        ("adopted", codec.encode_changelog(&ChangelogRecord::Adopted(adopted()))),
        ("released", codec.encode_changelog(&ChangelogRecord::Released(released()))),
        ("installed", codec.encode_changelog(&ChangelogRecord::Installed(installed()))),
        ("forwarded_record", codec.encode_internal(&InternalRecord::Forwarded(forwarded()))),
        ("timer_fired", codec.encode_internal(&InternalRecord::TimerFired(timer_fired()))),
        ("release_requested", codec.encode_internal(&InternalRecord::ReleaseRequested(release_requested()))),
        ("handed_over", codec.encode_internal(&InternalRecord::HandedOver(handed_over()))),
        ("progressed", codec.encode_internal(&InternalRecord::Progressed(progressed()))),
        ("task_command", codec.encode_task(&task())),
        ("definition", codec.encode_definition(&definition())),
        ("plan", codec.encode_plan(&plan(PlanState::Gating { since: AT }))),
        ("snapshot", codec.encode_snapshot(&snapshot(Status::Running))),
        ("parked_instance", codec.encode_parked(&parked())),
        ("checkpoint", codec.encode_checkpoint(&checkpoint())),
        ("channel_entry", codec.encode_changelog(&ChangelogRecord::Channel(channel_entry()))),
        ("channel_snapshot", codec.encode_channel_snapshot(&channel_snapshot())),
        ("schedule_entry", codec.encode_changelog(&ChangelogRecord::Schedule(schedule_entry()))),
        ("schedule_proposed", codec.encode_internal(&InternalRecord::ScheduleProposed(schedule_proposed()))),
        (
            "schedule_snapshot",
            codec.encode_schedule_snapshot(&schedule_snapshot(schedule_statuses()[1].clone())),
        ),
    ]
}

/// As [`assert_decodes`], for bytes of version 1: the fields that came later have their defaults.
pub(crate) fn assert_decodes_v1(codec: &Codec, name: &str, bytes: &[u8]) {
    let decoded = "today's decoder reads it";
    match name {
        "claim" => {
            let claim = Claim { key_groups: Vec::new(), ..claim() };
            assert_eq!(codec.decode_changelog(bytes).expect(decoded), ChangelogRecord::Claim(claim));
        }
        "checkpoint" => {
            let checkpoint = Checkpoint {
                key_groups: Vec::new(),
                released: Vec::new(),
                hot_keys: Vec::new(),
                timers_from: None,
                newest_id: None,
                ..checkpoint()
            };
            assert_eq!(codec.decode_checkpoint(bytes).expect(decoded), checkpoint);
        }
        "changelog_entry" => {
            let entry = ChangelogRecord::Entry(entry_v1());
            assert_eq!(codec.decode_changelog(bytes).expect(decoded), entry);
        }
        "snapshot" => assert_eq!(codec.decode_snapshot(bytes).expect(decoded), snapshot_v1(Status::Running)),
        "task_command" => {
            let task = TaskCommand { secrets: Vec::new(), ..task() };
            assert_eq!(codec.decode_task(bytes).expect(decoded), task);
        }
        _ => assert_decodes(codec, name, bytes),
    }
}

/// Reads bytes as the record of that name, and compares with the example.
pub(crate) fn assert_decodes(codec: &Codec, name: &str, bytes: &[u8]) {
    let decoded = "today's decoder reads it";
    match name {
        "changelog_entry" => {
            assert_eq!(codec.decode_changelog(bytes).expect(decoded), ChangelogRecord::Entry(entry()))
        }
        "positions" => {
            assert_eq!(codec.decode_changelog(bytes).expect(decoded), ChangelogRecord::Positions(positions()))
        }
        "claim" => assert_eq!(codec.decode_changelog(bytes).expect(decoded), ChangelogRecord::Claim(claim())),
        "adopted" => {
            assert_eq!(codec.decode_changelog(bytes).expect(decoded), ChangelogRecord::Adopted(adopted()))
        }
        "released" => {
            assert_eq!(codec.decode_changelog(bytes).expect(decoded), ChangelogRecord::Released(released()))
        }
        "installed" => {
            assert_eq!(codec.decode_changelog(bytes).expect(decoded), ChangelogRecord::Installed(installed()))
        }
        "release_requested" => assert_eq!(
            codec.decode_internal(bytes).expect(decoded),
            InternalRecord::ReleaseRequested(release_requested())
        ),
        "handed_over" => assert_eq!(
            codec.decode_internal(bytes).expect(decoded),
            InternalRecord::HandedOver(handed_over())
        ),
        "progressed" => {
            assert_eq!(codec.decode_internal(bytes).expect(decoded), InternalRecord::Progressed(progressed()))
        }
        "plan" => {
            assert_eq!(codec.decode_plan(bytes).expect(decoded), plan(PlanState::Gating { since: AT }))
        }
        "forwarded_record" => {
            assert_eq!(codec.decode_internal(bytes).expect(decoded), InternalRecord::Forwarded(forwarded()))
        }
        "timer_fired" => assert_eq!(
            codec.decode_internal(bytes).expect(decoded),
            InternalRecord::TimerFired(timer_fired())
        ),
        "task_command" => assert_eq!(codec.decode_task(bytes).expect(decoded), task()),
        "definition" => assert_eq!(codec.decode_definition(bytes).expect(decoded), definition()),
        "snapshot" => assert_eq!(codec.decode_snapshot(bytes).expect(decoded), snapshot(Status::Running)),
        "channel_entry" => assert_eq!(
            codec.decode_changelog(bytes).expect(decoded),
            ChangelogRecord::Channel(channel_entry())
        ),
        "channel_snapshot" => assert_eq!(
            codec.decode_snapshot_record(bytes).expect(decoded),
            SnapshotRecord::Channel(Box::new(channel_snapshot()))
        ),
        "parked_instance" => {
            assert_eq!(codec.decode_snapshot_record(bytes).expect(decoded), SnapshotRecord::Parked(parked()))
        }
        "checkpoint" => assert_eq!(codec.decode_checkpoint(bytes).expect(decoded), checkpoint()),
        "schedule_entry" => assert_eq!(
            codec.decode_changelog(bytes).expect(decoded),
            ChangelogRecord::Schedule(schedule_entry())
        ),
        "schedule_proposed" => assert_eq!(
            codec.decode_internal(bytes).expect(decoded),
            InternalRecord::ScheduleProposed(schedule_proposed())
        ),
        "schedule_snapshot" => assert_eq!(
            codec.decode_snapshot_record(bytes).expect(decoded),
            SnapshotRecord::Schedule(Box::new(schedule_snapshot(schedule_statuses()[1].clone())))
        ),
        _ => panic!("there is no record {name}"),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair =
        |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hexadecimal");
    digits.chunks(2).map(pair).collect()
}

/// What a record that is for one instance asks of it.
pub(crate) fn read_command<B: AsRef<[u8]>>(
    record: &InboxRecord<'_, B>,
    codec: &Codec,
) -> Result<AddressedCommand, InboxError> {
    match read_inbox(record, codec)? {
        InboxRequest::Instance(command) => Ok(command),
        other => panic!("it is for no instance: {other:?}"),
    }
}
