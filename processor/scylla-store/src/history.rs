//! The history: what happened to an instance, several entries in a row.
//!
//! A flush often holds a workflow from its start to its end, and five rows cost the server twice as much as one. So entries of one
//! instance that follow one another go into one row, which is known by its first and its last stamp:
//!
//! - Rows with the same two stamps say the same, whoever wrote them: a log has one truth. So rows are only ever added.
//! - Whoever restores a partition flushes its tail again, and may cut it elsewhere, so rows may overlap. Each holds all entries from its
//!   first to its last, so in the order of the first stamps what has been seen already is passed over, and nothing is missed.
//! - Rows end at fixed places of the log, so whoever goes on after a stamp need not begin at the first row.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures_util::TryStreamExt;
use millrace_partition::HistoryRow;
use millrace_runtime::store::{HistoryEntry, StoreError};
use millrace_schemas::{InstanceId, Stamp};
use scylla::client::session::Session;

use crate::error::{Failure, UnexpectedRow};
use crate::statements::Statements;
use crate::store::rows;

/// Of one row, unless it has only one entry. Payloads are in here.
const ROW_BYTES_MAX: usize = 16 * 1024;

/// Stamps that differ in these bits only may share a row. A busy partition writes so many entries in seconds.
const SHARED_BITS: u32 = 14;

/// What stands before each entry in a row: its stamp, and its length in bytes, both big-endian.
const HEAD_BYTES: usize = 8 + 4;

const DOING: &str = "read history";

/// A row as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packed<'a> {
    pub(crate) instance: &'a InstanceId,
    pub(crate) first: Stamp,
    pub(crate) last: Stamp,
    pub(crate) entries: Bytes,
    pub(crate) ttl: Option<Duration>,
}

/// The entries of a flush as rows.
pub(crate) fn pack(entries: &[HistoryRow]) -> Vec<Packed<'_>> {
    let mut by_instance = BTreeMap::<&InstanceId, Vec<&HistoryRow>>::new();
    for entry in entries {
        by_instance.entry(&entry.instance).or_default().push(entry);
    }
    let mut packed = Vec::with_capacity(by_instance.len());
    for entries in by_instance.values_mut() {
        // As the log has them.
        entries.sort_by_key(|it| it.stamp);
        entries.dedup_by_key(|it| it.stamp);
        let mut bytes = 0;
        let rows = entries.chunk_by(|before, it| {
            bytes += before.entry.len();
            let is_shared = before.ttl == it.ttl
                && start(before.stamp) == start(it.stamp)
                && bytes + it.entry.len() <= ROW_BYTES_MAX;
            if !is_shared {
                bytes = 0;
            }
            is_shared
        });
        packed.extend(rows.filter_map(row));
    }
    packed
}

fn row<'a>(entries: &[&'a HistoryRow]) -> Option<Packed<'a>> {
    let (first, last) = (entries.first()?, entries.last()?);
    let bytes = entries.iter().map(|it| HEAD_BYTES + it.entry.len()).sum();
    let mut packed = BytesMut::with_capacity(bytes);
    for entry in entries {
        packed.put_i64(entry.stamp.0);
        packed.put_u32(u32::try_from(entry.entry.len()).expect("records are bounded by megabytes"));
        packed.put_slice(&entry.entry);
    }
    Some(Packed {
        instance: &first.instance,
        first: first.stamp,
        last: last.stamp,
        entries: packed.freeze(),
        ttl: first.ttl,
    })
}

/// The least stamp that may share a row with this one.
fn start(stamp: Stamp) -> i64 {
    stamp.0 & (-1 << SHARED_BITS)
}

fn unpack(mut packed: Bytes) -> Option<Vec<HistoryEntry>> {
    let mut entries = Vec::new();
    while !packed.is_empty() {
        let stamp = Stamp(packed.try_get_i64().ok()?);
        let bytes = packed.try_get_u32().ok()? as usize;
        let entry = (bytes <= packed.len()).then(|| packed.split_to(bytes))?;
        entries.push(HistoryEntry { stamp, entry });
    }
    Some(entries)
}

/// Entries of `instance` after `after`, oldest first.
pub(crate) async fn load(
    session: &Session,
    statements: &Statements,
    instance: &InstanceId,
    after: Option<Stamp>,
    limit: u32,
) -> Result<Vec<HistoryEntry>, StoreError> {
    let mut merged = Merged::new(after, limit as usize);
    if merged.is_full() {
        return Ok(merged.entries);
    }
    let key = (instance.as_str(), after.map_or(i64::MIN, start));
    let mut rows = rows::<(i64, Bytes)>(session, &statements.select_history, key, DOING).await?;
    while !merged.is_full()
        && let Some((first, packed)) = rows.try_next().await.map_err(|it| it.while_doing(DOING))?
    {
        merged.add(packed).ok_or_else(|| {
            let what = format!("history of {instance} from stamp {first} on that ends within an entry");
            UnexpectedRow { what }.while_doing(DOING)
        })?;
    }
    Ok(merged.entries)
}

/// Rows in the order of their first stamps, as entries, each once.
struct Merged {
    entries: Vec<HistoryEntry>,
    seen: Option<Stamp>,
    limit: usize,
}

impl Merged {
    fn new(after: Option<Stamp>, limit: usize) -> Self {
        Self { entries: Vec::new(), seen: after, limit }
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= self.limit
    }

    /// None if the row is damaged.
    fn add(&mut self, packed: Bytes) -> Option<()> {
        let seen = self.seen;
        let unseen = unpack(packed)?.into_iter().filter(|it| seen.is_none_or(|seen| it.stamp > seen));
        self.entries.extend(unseen);
        self.entries.truncate(self.limit);
        self.seen = seen.max(self.entries.last().map(|it| it.stamp));
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Option<Duration> = Some(Duration::from_secs(86_400));

    fn entry(name: &str, stamp: i64, bytes: usize, ttl: Option<Duration>) -> HistoryRow {
        let instance = InstanceId::new(name).unwrap();
        HistoryRow { instance, stamp: Stamp(stamp), entry: vec![7; bytes].into(), ttl }
    }

    fn rows(entries: &[HistoryRow]) -> Vec<(&str, i64, i64)> {
        pack(entries).into_iter().map(|it| (it.instance.as_str(), it.first.0, it.last.0)).collect()
    }

    #[test]
    fn entries_of_an_instance_share_a_row_within_its_bounds() {
        let entries = [
            entry("b", 3, 10, None),
            entry("a", 4, 10, None),
            entry("b", 9, 10, None),
            // Another time to live.
            entry("a", 5, 10, DAY),
            entry("a", 6, 10, DAY),
            // Too large to share one, together.
            entry("c", 1, 10_000, None),
            entry("c", 2, 6_000, None),
            entry("c", 3, 6_000, None),
            entry("c", 4, 50_000, None),
            entry("c", 5, 1, None),
            // The end of what may share a row; and a new era.
            entry("d", (1 << SHARED_BITS) - 1, 10, None),
            entry("d", 1 << SHARED_BITS, 10, None),
            entry("d", 1 << Stamp::OFFSET_BITS, 10, None),
            // The same once more.
            entry("d", 1 << SHARED_BITS, 10, None),
        ];
        let (next, era) = (1 << SHARED_BITS, 1 << Stamp::OFFSET_BITS);
        assert_eq!(
            rows(&entries),
            [
                ("a", 4, 4),
                ("a", 5, 6),
                ("b", 3, 9),
                ("c", 1, 2),
                ("c", 3, 3),
                ("c", 4, 4),
                ("c", 5, 5),
                ("d", next - 1, next - 1),
                ("d", next, next),
                ("d", era, era)
            ]
        );
        assert_eq!(rows(&[]), []);
    }

    #[test]
    fn a_row_comes_back_as_its_entries_and_a_damaged_one_does_not() {
        let entries = [entry("a", 3, 10, None), entry("a", 4, 0, None), entry("a", 7, 300, None)];
        let packed = pack(&entries).remove(0).entries;
        let expected: Vec<HistoryEntry> =
            entries.iter().map(|it| HistoryEntry { stamp: it.stamp, entry: it.entry.clone() }).collect();
        assert_eq!(unpack(packed.clone()), Some(expected));
        for end in [1, 8, 11, 12, 21, 30, packed.len() - 1] {
            let is_whole = end == HEAD_BYTES + 10 || end == 2 * HEAD_BYTES + 10;
            assert_eq!(unpack(packed.slice(..end)).is_some(), is_whole, "{end}");
        }
    }

    /// As owners leave them that begin at different checkpoints, and zombies.
    #[test]
    fn rows_that_overlap_are_read_as_if_there_were_one() {
        let entries: Vec<HistoryRow> = (0..=12).map(|it| entry("a", it * 3, 5, None)).collect();
        let row = |stamps: std::ops::RangeInclusive<usize>| pack(&entries[stamps]).remove(0);
        let mut rows = [row(1..=3), row(1..=9), row(4..=5), row(5..=8), row(10..=10), row(7..=12)];
        rows.sort_by_key(|it| (it.first, it.last));
        let read = |after: Option<i64>, limit: usize| -> Vec<i64> {
            let mut merged = Merged::new(after.map(Stamp), limit);
            for row in &rows {
                if !merged.is_full() {
                    merged.add(row.entries.clone()).unwrap();
                }
            }
            merged.entries.into_iter().map(|it| it.stamp.0 / 3).collect()
        };
        assert_eq!(read(None, 100), (1..=12).collect::<Vec<_>>());
        // Pages that end within a row, and begin within one, also between two entries.
        assert_eq!(read(None, 2), [1, 2]);
        assert_eq!(read(Some(6), 4), [3, 4, 5, 6]);
        assert_eq!(read(Some(19), 3), [7, 8, 9]);
        assert_eq!(read(Some(27), 100), [10, 11, 12]);
        assert_eq!(read(Some(36), 100), [0; 0]);
    }
}
