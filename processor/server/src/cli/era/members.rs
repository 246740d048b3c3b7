//! Does somebody serve a partition? The members are asked, so far as they have told where; the group says how many there are.

use std::collections::BTreeSet;

use millrace_placement::PartitionIndex;
use millrace_runtime::store::SnapshotStore as _;

use super::fleet::Fleet;
use crate::exit::Failure;
use crate::http::PartitionsView;
use crate::reading::{self, Peers};

/// What the members say.
#[derive(Debug)]
pub(super) struct Members {
    /// In the consumer group.
    pub(super) count: usize,
    /// Address, partition and status.
    pub(super) held: Vec<(String, u32, String)>,
}

impl Members {
    /// Asks the owners of all partitions, and those at `more`.
    pub(super) async fn ask(fleet: &Fleet, more: &[String]) -> anyhow::Result<Self> {
        let mut urls: BTreeSet<String> = more.iter().cloned().collect();
        for partition in 0..fleet.partitions {
            let owner = fleet.store.load_owner(PartitionIndex(partition)).await?;
            urls.extend(owner.and_then(|it| it.api_url));
        }
        let mut held = Vec::new();
        for url in urls {
            // One that does not answer has stopped, or is counted in the group.
            let Ok(PartitionsView { partitions }) = partitions_of(&fleet.peers, &url).await else { continue };
            held.extend(partitions.into_iter().map(|it| (url.clone(), it.partition, it.status)));
        }
        Ok(Self { count: fleet.kafka.group_members(&fleet.topics.group()).await?, held })
    }

    /// Nobody serves the partition, nor is about to.
    ///
    /// # Errors
    /// When somebody does, or might.
    pub(super) fn allow(&self, partition: u32) -> Result<(), Failure> {
        let mut holders = self.held.iter().filter(|it| it.1 == partition);
        if let Some((url, _, status)) = holders.clone().find(|it| it.2 != "failed") {
            let what = format!(
                "partition {partition} is {status} at {url}: an era is opened only for one that stands still"
            );
            let fix = "wait until it has failed, or stop the processors: what they have not written yet is flushed then";
            return Err(Failure::new(what, fix));
        }
        if holders.next().is_some() || self.count == 0 {
            return Ok(());
        }
        let what = format!(
            "the fleet has members ({} in the group), but none that could be asked says that partition {partition} has failed",
            self.count
        );
        let fix = "name the one that has it with --processor URL (its log says so), or stop the processors";
        Err(Failure::new(what, fix))
    }
}

async fn partitions_of(peers: &Peers, url: &str) -> anyhow::Result<PartitionsView> {
    let asked = reading::ask_processor(peers, url, &["v1", "partitions"], &[]).await?;
    asked.map_err(|error| anyhow::anyhow!("{}", error.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(count: usize, held: &[(u32, &str)]) -> bool {
        let held = held
            .iter()
            .map(|(partition, status)| ("http://127.0.0.1:1".to_owned(), *partition, (*status).to_owned()));
        Members { count, held: held.collect() }.allow(3).is_ok()
    }

    #[test]
    fn only_a_partition_that_stands_still_begins_again() {
        assert!(allowed(0, &[]), "nobody is there");
        assert!(allowed(2, &[(3, "failed"), (4, "active")]));
        assert!(!allowed(2, &[(4, "failed")]), "who has it is not known");
        assert!(!allowed(2, &[(3, "active")]));
        assert!(!allowed(2, &[(3, "restoring")]));
        assert!(!allowed(0, &[(3, "active")]), "the group may not tell all of its members");
        assert!(!allowed(2, &[(3, "failed"), (3, "active")]), "it has just moved");
    }
}
