//! Times in which nothing was committed to a partition, while all partitions had work.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// Shorter ones are everyday life.
const GAP_MIN: Duration = Duration::from_secs(1);

/// From one committed record of a partition to the next.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Gap {
    pub(crate) partition: i32,
    /// When the record before it was read, in milliseconds since the Unix epoch.
    pub(crate) from_unix_ms: u64,
    pub(crate) ms: u64,
}

/// Notes gaps, by the reader's clock.
#[derive(Debug, Default)]
pub(crate) struct Gaps {
    read: BTreeMap<i32, (Instant, u64)>,
    pub(crate) noted: Vec<Gap>,
}

impl Gaps {
    /// A committed record was read.
    pub(crate) fn note(&mut self, partition: i32) {
        self.note_at(partition, Instant::now(), unix_ms());
    }

    fn note_at(&mut self, partition: i32, now: Instant, now_unix_ms: u64) {
        let Some((before, from_unix_ms)) = self.read.insert(partition, (now, now_unix_ms)) else { return };
        let gap = now.duration_since(before);
        if gap >= GAP_MIN {
            let ms = u64::try_from(gap.as_millis()).unwrap_or(u64::MAX);
            self.noted.push(Gap { partition, from_unix_ms, ms });
        }
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_from_record_to_record_of_one_partition() {
        let (mut gaps, start) = (Gaps::default(), Instant::now());
        for (partition, ms) in [(0, 0), (1, 500), (0, 999), (1, 3_500), (0, 1_500)] {
            gaps.note_at(partition, start + Duration::from_millis(ms), 1_000 + ms);
        }
        assert_eq!(gaps.noted, [Gap { partition: 1, from_unix_ms: 1_500, ms: 3_000 }]);
    }
}
