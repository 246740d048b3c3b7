//! One batch: records of `.internal` and of the inbox, applied or forwarded, in one transaction (state protocol 2.4 and 3.2).

use bytes::Bytes;
use millrace_placement::{PartitionIndex, Place};
use millrace_schemas::handover::{HandedOver, Installed, PlanState};
use millrace_schemas::internal::{ForwardedRecord, InternalRecord, RecordPosition};
use millrace_schemas::{Offset, Timestamp};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{CHILD, Draft, INBOX_OF_CHILD, INBOX_OF_PARENT, Owner, PARENT, is_done, partitions};
use crate::repartition::broker::{Broker, Cause, Event, Key, LogRecord};
use crate::repartition::producers::Keys;
use crate::repartition::store::Store;
use crate::repartition::{Mode, Mutant};

/// What surrounds an owner while it works.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    pub(crate) broker: &'a Broker,
    pub(crate) store: &'a Store,
    pub(crate) keys: &'a Keys,
    pub(crate) now: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Internal,
    Inbox(usize),
}

/// Whether a source may be read on in this batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    GoOn,
    /// At this record, which is not taken: positions stay a contiguous prefix.
    Stop,
}

impl Owner {
    /// A batch, with at most `records_max` of each source; none if it would say nothing.
    pub(crate) fn work(
        &self,
        world: Surroundings<'_>,
        rng: &mut ChaCha8Rng,
        records_max: u32,
    ) -> Option<Draft> {
        let mut draft = self.draft();
        let mut sources: Vec<_> = self.positions.keys().map(|it| Source::Inbox(*it)).collect();
        sources.push(Source::Internal);
        sources.shuffle(rng);
        for source in sources {
            for _ in 0..rng.random_range(0..=records_max) {
                if self.take(source, &mut draft, world) == Taken::Stop {
                    break;
                }
            }
        }
        if self.changes_nothing(&draft) { None } else { Some(self.finish(draft, world.broker)) }
    }

    fn take(&self, source: Source, draft: &mut Draft, world: Surroundings<'_>) -> Taken {
        match source {
            Source::Internal => self.take_internal(draft, world),
            Source::Inbox(partition) => self.take_event(partition, draft, world),
        }
    }

    fn take_event(&self, partition: usize, draft: &mut Draft, world: Surroundings<'_>) -> Taken {
        let position = draft.positions[&partition];
        if partition == INBOX_OF_CHILD && !self.is_released(position, draft, world) {
            return Taken::Stop;
        }
        let Some(Some(event)) = world.broker.events.get(partition).and_then(|log| log.get(position)) else {
            return Taken::Stop;
        };
        if self.stops_at(event.key, world.keys) {
            return Taken::Stop;
        }
        let at = RecordPosition {
            topic: self.rules.topics.events(),
            partition: i32::try_from(partition).expect("two at most"),
            offset: position,
        };
        self.apply_or_forward(*event, at, 0, Source::Inbox(partition), draft, world);
        draft.positions.insert(partition, Offset(position.0 + 1));
        Taken::GoOn
    }

    /// Whether the record at `position` of the child's public partition may be read: it was fetched, and its gate is open.
    fn is_released(&self, position: Offset, draft: &Draft, world: Surroundings<'_>) -> bool {
        let Some(held) = self.held.filter(|it| position < it.until) else { return false };
        if self.index == PARENT {
            // S7: this source stands still from here on, so that its position is the one that is handed over.
            !self.is_paused()
                && (self.is_broken(Mutant::NoParentGate) || draft.positions[&INBOX_OF_PARENT] >= held.gate)
        } else {
            !self.needs_gate(world) || draft.progress >= held.gate
        }
    }

    fn needs_gate(&self, world: Surroundings<'_>) -> bool {
        if self.rules.mode == Mode::Window || self.is_broken(Mutant::NoChildGate) {
            return false;
        }
        match world.broker.plan.map(|it| it.state) {
            Some(PlanState::HandingOver { since }) if self.is_broken(Mutant::GateOffAtWindowEnd) => {
                let window_ends = since.0 + i64::try_from(self.rules.window).expect("windows are short");
                i64::try_from(world.now).expect("runs are short") <= window_ends
            }
            _ => !is_done(world.broker),
        }
    }

    fn take_internal(&self, draft: &mut Draft, world: Surroundings<'_>) -> Taken {
        let Some(slot) = world.broker.internal[self.index].get(draft.internal_offset) else {
            return Taken::Stop;
        };
        match slot {
            Some(InternalRecord::Forwarded(forwarded)) => {
                let event = unpack(forwarded);
                if self.stops_at(event.key, world.keys) {
                    return Taken::Stop;
                }
                let source = forwarded.source.clone();
                self.apply_or_forward(event, source, forwarded.hops, Source::Internal, draft, world);
            }
            Some(InternalRecord::ReleaseRequested(requested)) => draft.requested = Some(*requested),
            Some(InternalRecord::HandedOver(handed_over)) => self.install(handed_over, draft),
            Some(InternalRecord::Progressed(progressed)) => {
                draft.progress = draft.progress.max(progressed.source.offset);
            }
            Some(InternalRecord::TimerFired(_) | InternalRecord::ScheduleProposed(_)) => {
                unreachable!("the model has neither timers nor schedules")
            }
            None => {}
        }
        draft.internal_offset.0 += 1;
        Taken::GoOn
    }

    /// S9. A second marker of a plan says nothing new.
    fn install(&self, handed_over: &HandedOver, draft: &mut Draft) {
        if draft.holdings.era_of(handed_over.key_groups).is_some_and(|era| era >= handed_over.era) {
            return;
        }
        let installed = Installed {
            plan: handed_over.plan,
            key_groups: handed_over.key_groups,
            era: handed_over.era,
            era_base: self.changelog_end,
            from: handed_over.from,
            sources: handed_over.sources.clone(),
            timers_low_watermark: handed_over.timers_low_watermark,
        };
        for source in &handed_over.sources {
            let offset = if self.is_broken(Mutant::ChildReadsFromStart) { Offset(0) } else { source.offset };
            draft.positions.insert(source.partition as usize, offset);
        }
        draft.holdings.install(&installed);
        draft.changelog.push(LogRecord::Installed(installed));
    }

    fn apply_or_forward(
        &self,
        event: Event,
        at: RecordPosition,
        hops: u32,
        source: Source,
        draft: &mut Draft,
        world: Surroundings<'_>,
    ) {
        let place = draft.holdings.place(world.keys.group(event.key), partitions(world.broker));
        let keeps = self.is_broken(Mutant::OldHomeKeepsStragglers)
            && self.index == PARENT
            && source == Source::Inbox(INBOX_OF_PARENT);
        match place {
            Place::At(to) if !keeps => {
                let forwarded = pack(event, at, hops + 1, world.keys);
                draft.internal.push((to, InternalRecord::Forwarded(forwarded)));
            }
            Place::Here { .. } | Place::At(_) => {
                let state =
                    draft.states.entry(event.key).or_insert_with(|| self.state(event.key, world.store));
                state.push(event.cause);
                draft.changelog.push(LogRecord::Entry(event));
            }
        }
    }

    /// A parent without anything to read says how far it is: its child may have died after it had read that, and waits again.
    pub(crate) fn idle(&self, broker: &Broker) -> Option<Draft> {
        let draft = self.draft();
        self.tells_progress(&draft, broker).then(|| self.finish(draft, broker))
    }
}

/// The record of the inbox as it is forwarded; who wrote it is in the value.
fn pack(event: Event, source: RecordPosition, hops: u32, keys: &Keys) -> ForwardedRecord {
    let Event { key, cause } = event;
    ForwardedRecord {
        source,
        hops,
        timestamp: Timestamp(0),
        key: Some(Bytes::copy_from_slice(keys.name(key).as_bytes())),
        headers: Vec::new(),
        value: Some(Bytes::copy_from_slice(&[key.0, cause.producer, cause.number])),
    }
}

fn unpack(forwarded: &ForwardedRecord) -> Event {
    match forwarded.value.as_deref() {
        Some(&[key, producer, number]) => Event { key: Key(key), cause: Cause { producer, number } },
        _ => unreachable!("only `pack` makes them"),
    }
}

/// The child, as the records name it.
pub(super) fn child() -> PartitionIndex {
    PartitionIndex(CHILD as u32)
}
