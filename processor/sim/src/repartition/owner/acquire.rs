//! A new incarnation reads the checkpoint, and the changelog from there (state protocol 2.3).

use std::collections::BTreeMap;

use millrace_placement::{Holdings, PartitionIndex, Place};
use millrace_schemas::Offset;

use super::{INBOX_OF_PARENT, Owner, PARENT, Rules};
use crate::repartition::Mutant;
use crate::repartition::broker::{Broker, LogRecord};
use crate::repartition::producers::Keys;
use crate::repartition::store::Store;

impl Owner {
    /// The next owner of `index`. All that earlier ones will ever commit is committed by now (F3), and is read (F4).
    pub(crate) fn acquire(
        index: usize,
        rules: &Rules,
        broker: &mut Broker,
        store: &Store,
        keys: &Keys,
    ) -> Self {
        let generation = broker.next_generation(index);
        let row = store.checkpoint(index);
        let installed = row.map(|it| it.key_groups.clone()).unwrap_or_default();
        let released = match row {
            Some(row) if !rules.is(Mutant::CheckpointWithoutReleased) => row.released.clone(),
            Some(_) | None => Vec::new(),
        };
        // How many partitions there were at first is in the oldest plan; the topics may have grown since.
        let partitions_born = broker.plan.map_or(1, |it| it.partitions_from);
        let own = PartitionIndex(u32::try_from(index).expect("two at most"));
        let mut owner = Self {
            index,
            generation,
            rules: rules.clone(),
            has_claimed: false,
            holdings: Holdings::new(own, partitions_born, (0, Offset(0)), installed, released),
            positions: BTreeMap::new(),
            internal: broker.committed[index],
            changelog_end: Offset(0),
            cache: BTreeMap::new(),
            tail: BTreeMap::new(),
            dirty: BTreeMap::new(),
            held: None,
            progress: Offset(0),
            releasing: None,
        };
        if index == PARENT {
            owner.positions.insert(INBOX_OF_PARENT, Offset(0));
        }
        if let Some(row) = row {
            owner.positions =
                row.positions.sources.iter().map(|it| (it.partition as usize, it.offset)).collect();
        }
        let from = row.map_or(Offset(0), |it| it.changelog_offset);
        for (offset, record) in broker.changelog[index].from(from) {
            owner.replay(offset, record, keys);
        }
        owner.changelog_end = broker.changelog[index].end();
        owner
    }

    fn replay(&mut self, offset: Offset, record: &LogRecord, keys: &Keys) {
        match record {
            LogRecord::Entry(event) => {
                // The checkpoint may know already that the key was given away later on. Then it was written before.
                let place = self.holdings.place(keys.group(event.key), 2);
                if let Place::Here { .. } = place {
                    let stamp = self.stamp(place, offset);
                    self.tail.entry(event.key).or_default().push((stamp, event.cause));
                    self.dirty.entry(event.key).or_insert(offset);
                }
            }
            LogRecord::Positions(positions) => {
                self.positions =
                    positions.sources.iter().map(|it| (it.partition as usize, it.offset)).collect();
            }
            LogRecord::Released(released) => {
                self.holdings.release(released);
                // All of it was written before this was committed; from here on only its new home may write it.
                let stays = |group| !released.key_groups.contains(group);
                self.tail.retain(|key, _| stays(keys.group(*key)));
                self.dirty.retain(|key, _| stays(keys.group(*key)));
            }
            LogRecord::Installed(installed) => self.holdings.install(installed),
            LogRecord::Claim(_) | LogRecord::Adopted(_) => {}
        }
    }
}
