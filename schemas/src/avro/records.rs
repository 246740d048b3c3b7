//! Which types have a place in a schema, and which fields they have, in the order of `avro/*.avsc`.
//!
//! A field that is added to a type is added here and, with a default, to the schema; a variant is added at the end of its union.
//! Tests say what is missing, and `UPDATE_GOLDEN=1` writes the golden bytes anew as long as the version is not released.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::binary::{Avro, Reader, avro_enum, avro_newtype, avro_record, avro_union, write_long};
use crate::channel::{
    ChannelEntry, ChannelEvent, ChannelSnapshot, ChannelState, SeenEvent, Subscription, SubscriptionId,
    WaitingEvent,
};
use crate::command::Command;
use crate::definition::Definition;
use crate::error::Damage;
use crate::event::{
    Activity, ChangelogEntry, Compensation, Event, Incident, Outcome, ParentTask, Reopening, SecretMarker,
    TaskError, TimerPurpose,
};
use crate::handover::{
    Adopted, HandedOver, Installed, Plan, PlanState, Progressed, ReleaseRequested, Released,
};
use crate::instance::{
    Branch, BufferedSignal, Compensating, DeferredCommand, Execution, ExecutionState, Halted, Heard,
    InstanceState, JoinedChannel, RememberedSignal, Status, Timer,
};
use crate::internal::{ForwardedRecord, RecordPosition, ScheduleProposed, TimerFired};
use crate::key_groups::{KeyGroupEra, KeyGroupRoute, KeyGroups, PartitionIndex};
use crate::partition::{Checkpoint, Claim, Positions, SourcePosition, TimerPlace};
use crate::schedule::{
    BufferedStart, NextStart, ScheduleEntry, ScheduleEvent, ScheduleSnapshot, ScheduleState, ScheduleStatus,
    ScheduledRun, SkipReason,
};
use crate::snapshot::{ParkedInstance, Snapshot};
use crate::task::TaskCommand;
use crate::{
    Attempt, EventId, ExecutionId, Offset, PlanId, TaskToken, TimerId, Timestamp, WorkflowName,
    WorkflowVersion,
};

avro_newtype!(
    Timestamp(i64),
    Offset(i64),
    ExecutionId(u32),
    TimerId(u32),
    Attempt(u32),
    PlanId(u32),
    PartitionIndex(u32)
);

avro_record!(EventId { source, id });
avro_record!(WorkflowName { namespace, name });
avro_record!(WorkflowVersion { workflow, version });
avro_record!(TaskToken { execution, dispatch });
avro_record!(TaskError { error_type, status, instance, title, detail });
avro_record!(Incident { kind, detail, execution });
avro_record!(ParentTask { instance, token });
avro_record!(SecretMarker { marker, path });

avro_union!(Command + "Command" {
    0 Start { workflow, version, input, parent },
    1 CompleteTask { token, output },
    2 FailTask { token, error, retriable },
    3 RecordHeartbeat { token },
    4 FireTimer { timer, due },
    5 DeliverSignal { event },
    6 Cancel { reason, compensate },
    7 Suspend { reason },
    8 Resume { reason },
    9 DeliverEvent { listener, filter, event },
    10 Retry { task, input, by, reason },
    11 Edit { task, input, by, reason },
    12 Skip { task, output, by, reason },
    13 Restart { task, input, context, number, reopening, by, reason },
});

avro_record!(Compensation { task, iteration, input, output });
avro_record!(Reopening { raw_input, input, compensations });

avro_union!(Outcome + "Outcome" {
    0 Faulted { error },
    1 Cancelled { reason, is_parent_told },
});

avro_record!(ChangelogEntry { at, cause, traceparent, events });

avro_union!(Event + "" {
    0 InstanceStarted { workflow, raw_input, input, parent },
    1 TaskStarted { execution, parent, task, iteration, attempt, input, activity },
    2 TaskRan { parent, task, iteration, output, context },
    3 TaskCompleted { execution, output, context },
    4 TaskFaulted { execution, task, error },
    5 TaskCancelled { execution },
    6 SequenceJumped { execution },
    7 IterationStarted { execution, index },
    8 RetryScheduled { execution, error, timer, due },
    9 RetryStarted { execution },
    10 ErrorCaught { execution, error },
    11 TimerSet { timer, execution, due, purpose },
    12 TimerCleared { timer },
    13 TaskDispatched { execution, dispatch },
    14 HeartbeatRecorded { execution, due },
    15 SignalBuffered { cause, event },
    16 SignalConsumed { execution, cause },
    17 InstanceSuspended { reason },
    18 IncidentRaised { incident },
    19 CommandDeferred { cause, command },
    20 InstanceResumed { reason },
    21 DeferredCommandTaken {},
    22 InstanceCompleted { output },
    23 InstanceFaulted { error },
    24 InstanceCancelled { reason },
    25 EventHeard { execution, filter, event, is_last },
    26 EventRoundStarted { execution, index, data },
    27 EventRoundEnded { execution, output, context },
    28 ChannelJoined { execution, filter, channel },
    29 ChannelLeft { execution, filter },
    30 SignalReceived { digest, forgotten },
    31 AttributesChanged { attributes },
    32 CompensationAdded { scope, task, iteration, input, is_again },
    33 CompensationStarted { outcome },
    34 TaskCompensated { task, iteration },
    35 TaskHalted { execution, scope, task, then, error },
    36 TaskEdited { execution, scope, task, then, input, by, reason },
    37 TaskRetried { scope, task, by, reason },
    38 TaskSkipped { scope, task, output, by, reason },
    39 InstanceRestarted { scope, task, data, context, reopening, by, reason },
});

avro_union!(Activity + "Activity" {
    0 Sequence { then },
    1 Loop { items },
    2 Branches { count },
    3 Trying {},
    4 Waiting {},
    5 Listening {},
    6 Call { queue, function, arguments, deadline, secrets },
    7 Gathering {},
});

avro_enum!(TimerPurpose {
    0 Wait as "WAIT",
    1 RetryBackoff as "RETRY_BACKOFF",
    2 Timeout as "TIMEOUT",
    3 AttemptTimeout as "ATTEMPT_TIMEOUT",
    4 Heartbeat as "HEARTBEAT",
    5 Compensation as "COMPENSATION",
});

avro_record!(SourcePosition { topic, partition, offset });
avro_record!(Positions { sources });
avro_record!(Claim { incarnation, transactional_id, api_url, at, era, era_base, key_groups });
avro_record!(Checkpoint {
    era,
    era_base,
    changelog_offset,
    positions,
    timers_low_watermark,
    api_url,
    at,
    key_groups,
    released,
    hot_keys,
    timers_from,
    newest_id
});
avro_record!(TimerPlace { instance, timer });
avro_record!(ParkedInstance { era, offset, reason, snapshot, entries });

avro_record!(RecordPosition { topic, partition, offset });
avro_record!(ForwardedRecord { source, hops, timestamp, key, headers, value });
avro_record!(TimerFired { instance, timer, due });

avro_record!(ScheduleProposed { version });

avro_record!(KeyGroupEra { key_groups, era, era_base });
avro_record!(KeyGroupRoute { key_groups, to });
avro_record!(Adopted { plan, partition });
avro_record!(ReleaseRequested { plan, key_groups, to });
avro_record!(Released { plan, key_groups, to, sources });
avro_record!(HandedOver { plan, key_groups, era, from, sources, timers_low_watermark });
avro_record!(Installed { plan, key_groups, era, era_base, from, sources, timers_low_watermark });
avro_record!(Progressed { source });
avro_record!(Plan { id, partitions_from, partitions_to, state, started_at });

avro_union!(PlanState + "Plan" {
    0 Growing {},
    1 Gating { since },
    2 HandingOver { since },
    3 Done {},
    4 Abandoned {},
});

/// Numbers that name no set of key-groups are damage: they must never become a set that holds other keys.
impl Avro for KeyGroups {
    fn write(&self, out: &mut Vec<u8>) {
        self.modulus().write(out);
        self.residue().write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, Damage> {
        let (modulus, residue) = (Avro::read(input)?, Avro::read(input)?);
        Self::new(modulus, residue).map_err(|error| input.damage(error.to_string()))
    }
    #[cfg(test)]
    fn schema(named: &mut std::collections::BTreeSet<String>) -> String {
        super::binary::record_schema(
            named,
            "KeyGroups",
            &[("modulus", u32::schema), ("residue", u32::schema)],
        )
    }
}

avro_record!(TaskCommand {
    instance,
    token,
    workflow,
    task,
    iteration,
    attempt,
    idempotency_key,
    function,
    arguments,
    deadline,
    heartbeat_ms,
    secrets,
});

avro_record!(Definition { namespace, name, version, media_type, text, digest, deployed_at });

avro_union!(Status + "Status" {
    0 Running {},
    1 Suspended { reason },
    2 Incident { incident },
    3 Completed { output },
    4 Faulted { error },
    5 Cancelled { reason },
});

avro_union!(ExecutionState + "State" {
    0 Sequence { data, jumps, then },
    1 Loop { items, index, data, jumps },
    2 Branches { branches },
    3 Trying { data, jumps, retries },
    4 BackingOff { error, retries },
    5 Catching { error, data, jumps },
    6 Waiting {},
    7 Listening { heard },
    8 Calling { queue, function, arguments, deadline, dispatch, secrets },
    9 Gathering { heard, is_done, is_busy, index, data, jumps, outputs },
});

avro_record!(Branch { output, context });
avro_record!(Execution { parent, task, iteration, attempt, attempt_seen, input, started_at, state });
avro_record!(Timer { execution, due, purpose });
avro_record!(DeferredCommand { cause, command });
avro_record!(BufferedSignal { cause, event });
avro_record!(RememberedSignal { digest, at });
avro_record!(InstanceState {
    workflow,
    status,
    started_at,
    updated_at,
    raw_input,
    input,
    context,
    traceparent,
    executions,
    timers,
    deferred,
    signals,
    next_execution,
    next_timer,
    steps,
    parent,
    channels,
    remembered,
    attributes,
    compensations,
    compensating,
    halted,
    restarts,
});
avro_record!(Compensating { outcome });
avro_record!(Halted { scope, task, then, error, input });
avro_record!(JoinedChannel { execution, filter, channel });
avro_record!(Heard { filter, event });

avro_record!(SubscriptionId { instance, execution, filter });
avro_record!(Subscription { workflow, task, variables, is_once });
avro_record!(ChannelEntry { at, cause, traceparent, events });
avro_union!(ChannelEvent + "" {
    0 SubscriptionOpened { id, subscription },
    1 SubscriptionClosed { id },
    2 EventPublished { digest, until, forgotten },
    3 EventKept { cause, event, filter, until },
    4 EventTaken { cause },
});
avro_record!(WaitingEvent { cause, event, filter, until });
avro_record!(SeenEvent { digest, until });
avro_record!(ChannelState { updated_at, subscriptions, waiting, seen });
avro_record!(ChannelSnapshot { era, offset, state });
avro_record!(ScheduleEntry { at, cause, traceparent, events });
avro_union!(ScheduleEvent + "" {
    0 ScheduleDefined { version, rhythm, overlap },
    1 ScheduleRetired { version },
    2 SchedulePaused { reason },
    3 ScheduleResumed { reason },
    4 NextStartSet { timer, due },
    5 NextStartCleared {},
    6 RunStarted { run, instance, nominal, is_triggered, is_awaited },
    7 StartBuffered { instance, nominal, is_triggered },
    8 StartsSkipped { count, last, reason },
    9 RunEnded { run, error },
});
avro_enum!(SkipReason {
    0 TooLate as "TOO_LATE",
    1 Overlap as "OVERLAP",
});
avro_union!(ScheduleStatus + "Schedule" {
    0 Active {},
    1 Paused { reason },
    2 Retired {},
});
avro_record!(NextStart { timer, due });
avro_record!(ScheduledRun { run, instance, nominal, started_at, is_triggered });
avro_record!(BufferedStart { instance, nominal, is_triggered });
avro_record!(ScheduleState {
    version,
    status,
    rhythm,
    overlap,
    defined_at,
    updated_at,
    next,
    running,
    buffered,
    last,
    ended_at,
    last_error,
    decided_until,
    started,
    skipped,
    failed,
    next_timer,
    next_run,
});

/// A Kafka header.
impl Avro for (String, Bytes) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }
    fn read(input: &mut Reader<'_>) -> Result<Self, Damage> {
        Ok((Avro::read(input)?, Avro::read(input)?))
    }
    #[cfg(test)]
    fn schema(named: &mut std::collections::BTreeSet<String>) -> String {
        super::binary::record_schema(named, "Header", &[("name", String::schema), ("value", Bytes::schema)])
    }
}

/// A map with numbers as its keys is an array of records, in the order of the keys: Avro's own maps have strings only.
macro_rules! avro_entries {
    ($($record:literal: $key:ty => $value:ty),*) => { $(
        impl Avro for BTreeMap<$key, $value> {
            fn write(&self, out: &mut Vec<u8>) {
                if !self.is_empty() {
                    super::binary::write_length(out, self.len());
                    for (id, value) in self {
                        id.write(out);
                        value.write(out);
                    }
                }
                out.push(0);
            }
            fn read(input: &mut Reader<'_>) -> Result<Self, Damage> {
                let mut entries = Self::new();
                loop {
                    match input.block()? {
                        0 => return Ok(entries),
                        count => {
                            for _ in 0..count {
                                entries.insert(Avro::read(input)?, Avro::read(input)?);
                            }
                        }
                    }
                }
            }
            #[cfg(test)]
            fn schema(named: &mut std::collections::BTreeSet<String>) -> String {
                let entry = super::binary::record_schema(named, $record, &[("id", <$key>::schema), ("value", <$value>::schema)]);
                format!("{{\"type\":\"array\",\"items\":{entry}}}")
            }
        }
    )* };
}
avro_entries!(
    "ExecutionEntry": ExecutionId => Execution,
    "TimerEntry": TimerId => Timer,
    "SubscriptionEntry": SubscriptionId => Subscription
);

/// A snapshot in its envelope: what a person looks for first stands before the state.
macro_rules! avro_snapshot {
    ($($snapshot:ident of $state:ident),*) => { $(
        impl Avro for $snapshot {
            fn write(&self, out: &mut Vec<u8>) {
                Self::FORMAT.write(out);
                self.era.write(out);
                self.offset.write(out);
                super::binary::write_bytes(out, self.state.status.name().as_bytes());
                self.state.write(out);
            }
            fn read(input: &mut Reader<'_>) -> Result<Self, Damage> {
                let format = u32::read(input)?;
                if format != Self::FORMAT {
                    return Err(input.damage(format!("format {format} is not known; upgrade this process")));
                }
                let (era, offset) = (Avro::read(input)?, Avro::read(input)?);
                let status = input.text()?;
                let state = $state::read(input)?;
                if status != state.status.name() {
                    return Err(
                        input.damage(format!("the envelope says {status}, the state says {}", state.status.name()))
                    );
                }
                Ok(Self { era, offset, state })
            }
            #[cfg(test)]
            fn schema(named: &mut std::collections::BTreeSet<String>) -> String {
                super::binary::record_schema(
                    named,
                    stringify!($snapshot),
                    &[
                        ("format", u32::schema),
                        ("era", u32::schema),
                        ("offset", Offset::schema),
                        ("status", String::schema),
                        ("state", $state::schema),
                    ],
                )
            }
        }
    )* };
}
avro_snapshot!(Snapshot of InstanceState, ScheduleSnapshot of ScheduleState);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::codec::RecordKind;

    #[test]
    fn the_types_follow_their_schemas() {
        let schemas: [fn(&mut BTreeSet<String>) -> String; RecordKind::ALL.len()] = [
            ChangelogEntry::schema,
            Positions::schema,
            Claim::schema,
            Adopted::schema,
            Released::schema,
            Installed::schema,
            ForwardedRecord::schema,
            TimerFired::schema,
            ReleaseRequested::schema,
            HandedOver::schema,
            Progressed::schema,
            TaskCommand::schema,
            Definition::schema,
            Plan::schema,
            Snapshot::schema,
            ParkedInstance::schema,
            Checkpoint::schema,
            ChannelEntry::schema,
            ChannelSnapshot::schema,
            ScheduleEntry::schema,
            ScheduleProposed::schema,
            ScheduleSnapshot::schema,
        ];
        for (kind, schema) in RecordKind::ALL.into_iter().zip(schemas) {
            assert_eq!(
                schema(&mut BTreeSet::new()),
                kind.current().schema.canonical_form(),
                "{}",
                kind.full_name()
            );
        }
    }
}
