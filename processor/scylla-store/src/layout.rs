//! Which CQL partition a row belongs to. Fixed for ever: rows written by one release are looked up by the next.
//!
//! None of it knows the number of Kafka partitions, so repartitioning moves no row.

use millrace_placement::key_group;
use millrace_schemas::{InstanceId, Timestamp};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;

/// Parts of one workflow's list of one day. A divisor of the key-groups, and taken from them: a processor with one of 16 or more
/// Kafka partitions then writes one part only, in large batches.
pub(crate) const LIST_SHARDS: i8 = 16;

/// The hour of a due time, of the timer index: whole hours since the epoch. What a column of 32 bits cannot tell apart, some
/// 245,000 years ahead, shares one hour.
pub(crate) fn hour(due: Timestamp) -> i32 {
    clamped(due.0.div_euclid(HOUR_MS))
}

/// When that hour ends, in microseconds, as a write timestamp.
pub(crate) fn end_of_hour_us(hour: i32) -> i64 {
    (i64::from(hour) + 1) * HOUR_MS * 1_000
}

/// The day of a start, of the list: whole days since the epoch.
pub(crate) fn day(started_at: Timestamp) -> i32 {
    clamped(started_at.0.div_euclid(DAY_MS))
}

/// The part of the list.
pub(crate) fn list_shard(instance: &InstanceId) -> i8 {
    (key_group(instance.as_str().as_bytes()).0 % LIST_SHARDS as u16) as i8
}

fn clamped(n: i64) -> i32 {
    n.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written down because changing any of it makes existing rows invisible.
    #[test]
    fn rows_stay_where_earlier_releases_put_them() {
        let of = |id: &str| {
            let id = InstanceId::new(id).unwrap();
            list_shard(&id)
        };
        assert_eq!(["a", "order-1", "order-2", "日本"].map(of), [12, 6, 3, 3]);
    }

    #[test]
    fn hours_and_days_count_from_the_epoch_and_never_overflow() {
        let cases = [i64::MIN, -1, 0, HOUR_MS - 1, HOUR_MS, DAY_MS - 1, DAY_MS, i64::MAX];
        let hours = cases.map(|it| hour(Timestamp(it)));
        let days = cases.map(|it| day(Timestamp(it)));
        assert_eq!(hours, [i32::MIN, -1, 0, 0, 1, 23, 24, i32::MAX]);
        assert_eq!(days, [i32::MIN, -1, 0, 0, 0, 0, 1, i32::MAX]);
    }
}
