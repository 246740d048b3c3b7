//! Acquiring a partition (state protocol 2.3): what `runtime`'s effects and `kafka-log` do between the assignment and the restore.

use millrace_partition::{ChangelogRecord, Input};
use millrace_schemas::Offset;
use rand::RngExt;

use super::World;
use crate::fleet::broker::Place;
use crate::fleet::mutant::Mutant;
use crate::fleet::node::{Acquiring, Effect, Incarnation};

impl World {
    /// One step of it. Gives back what remains to be done.
    pub(super) fn advance_acquiring(
        &mut self,
        number: usize,
        incarnation: &Incarnation,
        acquiring: Acquiring,
    ) -> Option<Effect> {
        let index = incarnation.index;
        match acquiring {
            Acquiring::StableOffset { early_end: None } if self.has(Mutant::EndBeforeStableOffset) => {
                let early_end = Some(self.broker.log(&Place::Changelog(index)).end());
                Some(Effect::Acquire(Acquiring::StableOffset { early_end }))
            }
            Acquiring::StableOffset { early_end } => {
                let internal = match self.has(Mutant::UnstableOffsetFetch) {
                    true => Ok(self.broker.group.any_offset(index)),
                    false => self.broker.group.stable_offset(index),
                };
                Some(Effect::Acquire(match internal {
                    Ok(internal) => Acquiring::Bounds { internal, early_end },
                    Err(_) => acquiring,
                }))
            }
            Acquiring::Bounds { internal, early_end } => {
                let log = self.broker.log(&Place::Changelog(index));
                let start = log.start();
                let end = match self.mutant {
                    Some(Mutant::RestoreToStableOffset) => log.stable(),
                    _ => early_end.unwrap_or_else(|| log.end()),
                };
                Some(Effect::Acquire(Acquiring::Checkpoint { internal, start, end }))
            }
            Acquiring::Checkpoint { internal, start, end } => {
                let row = self.store.checkpoints.get(&index).cloned();
                let checkpoint = row.map(|it| self.codec.decode_checkpoint(&it.1).expect("we wrote it"));
                if let Some(checkpoint) = &checkpoint {
                    let result = self.truth.check_checkpoint(index, checkpoint, &self.store);
                    self.violate(result);
                }
                let acquired = Input::Acquired {
                    checkpoint,
                    changelog_start: start,
                    changelog_end: end,
                    internal_offset: internal,
                };
                self.input(number, incarnation, acquired);
                None
            }
        }
    }

    /// Reads a stretch of the changelog: committed records, until the position has reached the target (F4).
    pub(super) fn read_changelog(
        &mut self,
        number: usize,
        incarnation: &Incarnation,
        position: Offset,
        until: Offset,
        bytes_left: usize,
    ) -> Option<Effect> {
        let max = self.dice.network.random_range(1..=8);
        let log = self.broker.log(&Place::Changelog(incarnation.index));
        let Some((records, next)) = log.fetch(position, max) else {
            // The beginning is gone: the incarnation is of no use.
            self.renew(number, incarnation);
            return None;
        };
        let records: Vec<ChangelogRecord> = records
            .into_iter()
            .map(|(offset, record)| ChangelogRecord {
                offset,
                key: record.key.clone(),
                value: record.value.clone().expect("changelog records have values"),
            })
            .collect();
        if let Some(owned) = self.nodes[number].owned(incarnation) {
            for record in records.iter().filter(|it| it.offset < until) {
                if let Some(key) = record.key.as_deref().and_then(|it| std::str::from_utf8(it).ok()) {
                    let id = millrace_schemas::InstanceId::new(key).expect("it was one");
                    owned.last_dirty.insert(id, record.offset);
                }
            }
        }
        let bytes: usize = records.iter().map(|it| it.value.len()).sum();
        if !records.is_empty() {
            self.input(number, incarnation, Input::ChangelogRecords(records));
        }
        if next >= until || bytes >= bytes_left {
            self.input(number, incarnation, Input::ChangelogRead { position: next });
            return None;
        }
        Some(Effect::ReadChangelog { position: next, until, bytes_left: bytes_left - bytes })
    }
}
