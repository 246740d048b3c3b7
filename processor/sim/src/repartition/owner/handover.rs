//! The parent's part of a plan: it adopts the child's public partition (S2), and gives the child's key-groups away (S6 to S8).

use millrace_placement::{PartitionIndex, Place};
use millrace_schemas::handover::{Adopted, HandedOver, PlanState, ReleaseRequested, Released};
use millrace_schemas::internal::InternalRecord;
use millrace_schemas::{Offset, Timestamp};

use super::work::child;
use super::{Draft, INBOX_OF_CHILD, Owner, PARENT};
use crate::repartition::Mutant;
use crate::repartition::broker::{Broker, Key, LogRecord};
use crate::repartition::coordinator::PLAN;
use crate::repartition::producers::Keys;

/// How far a release is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Releasing {
    requested: ReleaseRequested,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// S6: dirty keys are written while processing goes on.
    Flushing,
    /// S7: nothing that would make them dirty again is read.
    Paused,
    /// Only in a broken hand-over: the marker has left, and the rest follows.
    MarkerHasLeft,
}

/// What a step of the plan leads to.
#[derive(Debug)]
pub(crate) enum Step {
    Nothing,
    /// It was made in memory.
    Made(&'static str),
    /// These keys have to be written first.
    Flush(Vec<Key>),
    Commit(&'static str, Box<Draft>),
}

impl Owner {
    /// The next step of the plan.
    pub(crate) fn advance(&mut self, broker: &Broker, keys: &Keys) -> Step {
        let Some(plan) = broker.plan.filter(|_| self.index == PARENT) else { return Step::Nothing };
        if let Some(releasing) = self.releasing {
            return self.advance_release(releasing, broker, keys);
        }
        let is_new = self.holdings.released().is_empty() && !self.reads(INBOX_OF_CHILD);
        if plan.state == PlanState::Growing && broker.internal.len() > 1 && is_new {
            let mut draft = self.draft();
            let partition = i32::try_from(INBOX_OF_CHILD).expect("two at most");
            draft.changelog.push(LogRecord::Adopted(Adopted { plan: PLAN, partition }));
            draft.positions.insert(INBOX_OF_CHILD, Offset(0));
            return Step::Commit("adopts", Box::new(self.finish(draft, broker)));
        }
        Step::Nothing
    }

    fn advance_release(&mut self, releasing: Releasing, broker: &Broker, keys: &Keys) -> Step {
        let moving = releasing.requested.key_groups;
        match releasing.stage {
            Stage::Flushing => {
                self.releasing = Some(Releasing { stage: Stage::Paused, ..releasing });
                Step::Made("pauses")
            }
            Stage::Paused => {
                let dirty: Vec<_> =
                    self.dirty.keys().copied().filter(|key| moving.contains(keys.group(*key))).collect();
                if !dirty.is_empty() && !self.is_broken(Mutant::NoResidualFlush) {
                    return Step::Flush(dirty);
                }
                if self.is_broken(Mutant::HandOverInTwoTransactions) {
                    let mut draft = self.draft();
                    draft.internal.push((child(), self.marker(&releasing.requested)));
                    draft.is_marker_only = true;
                    return Step::Commit("sends the marker", Box::new(draft));
                }
                Step::Commit("hands over", Box::new(self.hand_over(&releasing.requested, true, broker)))
            }
            Stage::MarkerHasLeft => {
                Step::Commit("hands over", Box::new(self.hand_over(&releasing.requested, false, broker)))
            }
        }
    }

    /// S8, the one transaction: what the parent's log says of it, the marker for the child, and the fence.
    fn hand_over(&self, requested: &ReleaseRequested, has_marker: bool, broker: &Broker) -> Draft {
        let mut draft = self.draft();
        let ReleaseRequested { plan, key_groups, to } = *requested;
        let sources = self.sources_of_child();
        let released = Released { plan, key_groups, to, sources };
        draft.positions.remove(&INBOX_OF_CHILD);
        draft.holdings.release(&released);
        draft.changelog.push(LogRecord::Released(released));
        draft.gives_away = true;
        if has_marker {
            draft.internal.push((to, self.marker(requested)));
        }
        self.finish(draft, broker)
    }

    fn marker(&self, requested: &ReleaseRequested) -> InternalRecord {
        let era = self.holdings.era_of(requested.key_groups).expect("what is released is held");
        InternalRecord::HandedOver(HandedOver {
            plan: requested.plan,
            key_groups: requested.key_groups,
            era: era + 1,
            from: PartitionIndex(PARENT as u32),
            sources: self.sources_of_child(),
            timers_low_watermark: Timestamp(0),
        })
    }

    fn sources_of_child(&self) -> Vec<millrace_schemas::partition::SourcePosition> {
        let position = self.positions.get(&INBOX_OF_CHILD);
        position.map(|position| self.source(INBOX_OF_CHILD, *position)).into_iter().collect()
    }

    /// A request that was read. Of key-groups that are being released, or are gone, it asks for nothing.
    pub(super) fn release_requested(&mut self, requested: ReleaseRequested) {
        let mut groups = requested.key_groups.iter();
        let is_held =
            groups.next().is_some_and(|group| matches!(self.holdings.place(group, 2), Place::Here { .. }));
        if is_held && self.releasing.is_none() {
            self.releasing = Some(Releasing { requested, stage: Stage::Flushing });
        }
    }

    pub(super) fn marker_has_left(&mut self) {
        if let Some(releasing) = &mut self.releasing {
            releasing.stage = Stage::MarkerHasLeft;
        }
    }

    /// S7: whether nothing is read that belongs to the moving keys.
    pub(super) fn is_paused(&self) -> bool {
        self.releasing.is_some_and(|it| it.stage != Stage::Flushing)
    }

    /// S7: whether a source has to stop at a record of this key.
    pub(super) fn stops_at(&self, key: Key, keys: &Keys) -> bool {
        self.is_paused() && self.releasing.is_some_and(|it| it.requested.key_groups.contains(keys.group(key)))
    }
}
