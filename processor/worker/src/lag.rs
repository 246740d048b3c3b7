//! How much of its queue a worker has not done: by what each answer to a fetch tells of the ends of the partitions, so nothing is asked for.

use std::time::Duration;

use millrace_schemas::Timestamp;
use rdkafka::statistics::Partition;

use crate::offsets::Offsets;
use crate::task::now;

/// How often librdkafka tells.
pub(crate) const TOLD_EVERY_MS: &str = "5000";

/// Tasks of a partition that are not done.
pub(crate) fn of(partition: &Partition, offsets: &Offsets) -> usize {
    if partition.fetch_state != "active" || partition.hi_offset < 0 {
        return 0;
    }
    let unfinished = offsets.unfinished(partition.partition);
    // What lies between the last task and the end are markers of transactions.
    if partition.fetchq_cnt == 0 && partition.next_offset >= partition.hi_offset {
        return unfinished;
    }
    let position = offsets.position(partition.partition).unwrap_or(partition.next_offset);
    usize::try_from(partition.hi_offset - position).unwrap_or(0).max(unfinished)
}

/// How long ago that was.
pub(crate) fn since(at: Timestamp) -> Duration {
    now().since(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(next_offset: i64, hi_offset: i64) -> Partition {
        Partition {
            partition: 1,
            fetch_state: "active".to_owned(),
            next_offset,
            hi_offset,
            ..Partition::default()
        }
    }

    #[test]
    fn markers_at_the_end_are_no_tasks() {
        assert_eq!(of(&partition(10, 10), &Offsets::default()), 0);
        let mut offsets = Offsets::default();
        let first = offsets.receive(1, 7, Timestamp(0));
        offsets.receive(1, 8, Timestamp(0));
        assert_eq!(of(&partition(10, 10), &offsets), 2);
        offsets.finish(first);
        assert_eq!(of(&partition(10, 10), &offsets), 1);
    }

    #[test]
    fn what_was_not_read_counts_from_what_is_not_done() {
        let mut offsets = Offsets::default();
        assert_eq!(of(&partition(10, 500), &offsets), 490);
        offsets.receive(1, 7, Timestamp(0));
        assert_eq!(of(&partition(10, 500), &offsets), 493);
    }

    #[test]
    fn partitions_of_others_do_not_count() {
        let theirs = Partition { fetch_state: "none".to_owned(), ..partition(0, 500) };
        assert_eq!(of(&theirs, &Offsets::default()), 0);
        assert_eq!(of(&partition(0, -1_001), &Offsets::default()), 0);
    }
}
