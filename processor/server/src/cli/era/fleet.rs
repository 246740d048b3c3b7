//! What is left of a partition: its rows in the store, its changelog.

use millrace_partition::Remains;
use millrace_placement::{PartitionIndex, Topics};
use millrace_runtime::store::SnapshotStore as _;
use millrace_schemas::Offset;
use millrace_schemas::codec::{ChangelogRecord, Codec};
use millrace_schemas::partition::Positions;
use millrace_scylla_store::ScyllaStore;

use crate::clients::{self, Kafka, StoreSettings};
use crate::config::Global;
use crate::exit::Failure;
use crate::reading::Peers;

/// The servers of a fleet.
pub(super) struct Fleet {
    pub(super) kafka: Kafka,
    pub(super) store: ScyllaStore,
    pub(super) codec: Codec,
    pub(super) peers: Peers,
    pub(super) topics: Topics,
    pub(super) partitions: u32,
}

impl Fleet {
    pub(super) async fn connect(global: &Global, settings: &StoreSettings) -> anyhow::Result<Self> {
        let (kafka, topics) = (Kafka::new(global), global.topics());
        let partitions = kafka.partitions(&topics.internal()).await?;
        let found = kafka.partitions(&topics.changelog()).await?;
        if found != partitions {
            let topic = topics.changelog();
            let what = format!("{topic} has {found} partitions, but the fleet has {partitions}");
            let fix = format!("make it anew: millrace topics apply --partitions {partitions}");
            return Err(Failure::new(what, fix).into());
        }
        let (store, codec) = (clients::store_with(global, settings).await?, clients::codec(global).await?);
        Ok(Self { kafka, store, codec, peers: clients::peers(global)?, topics, partitions })
    }

    /// The partition that is meant, or all of them.
    pub(super) fn chosen(&self, partition: Option<u32>) -> Result<Vec<u32>, Failure> {
        match partition {
            Some(partition) if partition >= self.partitions => Err(Failure::refused(
                format!("there is no partition {partition}"),
                format!("this fleet has the partitions 0 to {}", self.partitions - 1),
            )),
            Some(partition) => Ok(vec![partition]),
            None => Ok((0..self.partitions).collect()),
        }
    }

    /// The rows of a partition and the bounds of its changelog.
    pub(super) async fn rows(&self, partition: u32) -> anyhow::Result<Remains> {
        let index = PartitionIndex(partition);
        let row = self.store.load_checkpoint(index).await?;
        let owner = self.store.load_owner(index).await?;
        let (changelog_start, changelog_end) =
            self.kafka.bounds(&self.topics.changelog(), number(partition)).await?;
        Ok(Remains {
            checkpoint_stamp: row.as_ref().map(|(stamp, _)| *stamp),
            // One that cannot be read is as good as lost.
            checkpoint: row.and_then(|(_, value)| self.codec.decode_checkpoint(&value).ok()),
            owner_stamp: owner.map(|it| it.stamp),
            claim: None,
            changelog_start,
            changelog_end,
            is_replaced: false,
        })
    }

    /// The last claim that a restore would read, and the last positions.
    pub(super) async fn read_log(
        &self,
        partition: u32,
        remains: &mut Remains,
    ) -> anyhow::Result<Option<Positions>> {
        let checkpoint = remains.checkpoint.as_ref().map_or(Offset(0), |it| it.changelog_offset);
        let from = checkpoint.max(remains.changelog_start);
        if from >= remains.changelog_end {
            return Ok(None);
        }
        let mut last = None;
        for record in self.kafka.read(&self.topics.changelog(), number(partition), Some(from)).await? {
            // Entries are the bulk, and say nothing about the partition.
            let (None, Some(value)) = (&record.key, &record.value) else { continue };
            match self.codec.decode_changelog(value).map_err(|error| clients::undecodable(&record, error))? {
                ChangelogRecord::Claim(claim) => remains.claim = Some(claim),
                ChangelogRecord::Positions(positions) => last = Some(positions),
                ChangelogRecord::Entry(_)
                | ChangelogRecord::Adopted(_)
                | ChangelogRecord::Released(_)
                | ChangelogRecord::Installed(_)
                | ChangelogRecord::Channel(_)
                | ChangelogRecord::Schedule(_) => {}
            }
        }
        Ok(last)
    }
}

/// As Kafka counts partitions.
pub(super) fn number(partition: u32) -> i32 {
    i32::try_from(partition).expect("at most 4,096 partitions")
}
