//! Two files beside a segment that save reading it again: what is in it once it is closed, and what was known of the producers where it
//! begins. Either can be lost: the segments are the truth.
//!
//! The producers are those at the beginning, not at the end, so that they outlive the segments below: retention would take the last of
//! them away with everything else. Compaction removes those of the segments it has seen.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

use bytes::{Buf, BufMut};

use crate::log::aborted::AbortedTransaction;
use crate::log::files;
use crate::log::index::IndexEntry;
use crate::log::producers::{Producer, Producers, RecentBatch};
use crate::log::segment::Newest;

/// Of both layouts.
const VERSION: u8 = 1;

/// What a closed segment holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentIndex {
    /// Of the segment's file: another length is another content.
    pub(crate) segment_bytes: u64,
    pub(crate) newest: Option<Newest>,
    pub(crate) entries: Vec<IndexEntry>,
    /// Those that end in the segment.
    pub(crate) aborted: Vec<AbortedTransaction>,
}

impl SegmentIndex {
    pub(crate) fn write(&self, path: &Path, sync: bool) -> io::Result<()> {
        let mut body = vec![VERSION];
        body.put_u64_le(self.segment_bytes);
        let newest = self.newest.unwrap_or(Newest { timestamp_ms: -1, batch_offset: -1 });
        body.put_i64_le(newest.timestamp_ms);
        body.put_i64_le(newest.batch_offset);
        put_count(&mut body, self.entries.len());
        for entry in &self.entries {
            body.put_i64_le(entry.offset);
            body.put_u64_le(entry.position);
            body.put_i64_le(entry.max_timestamp_before_ms);
        }
        put_count(&mut body, self.aborted.len());
        for aborted in &self.aborted {
            body.put_i64_le(aborted.producer_id);
            body.put_i64_le(aborted.first_offset);
            body.put_i64_le(aborted.marker_offset);
            body.put_i64_le(aborted.last_stable_offset);
        }
        files::write_sealed(path, &body, sync)
    }

    /// `None` if there is none that can be read.
    pub(crate) fn read(path: &Path) -> io::Result<Option<Self>> {
        Ok(files::read_sealed(path)?.and_then(|body| Self::parse(&body)))
    }

    fn parse(mut body: &[u8]) -> Option<Self> {
        if body.try_get_u8().ok()? != VERSION {
            return None;
        }
        let segment_bytes = body.try_get_u64_le().ok()?;
        let newest =
            Newest { timestamp_ms: body.try_get_i64_le().ok()?, batch_offset: body.try_get_i64_le().ok()? };
        let entries: Vec<_> = (0..take_count(&mut body)?)
            .map(|_| {
                Some(IndexEntry {
                    offset: body.try_get_i64_le().ok()?,
                    position: body.try_get_u64_le().ok()?,
                    max_timestamp_before_ms: body.try_get_i64_le().ok()?,
                })
            })
            .collect::<Option<_>>()?;
        let aborted: Vec<_> = (0..take_count(&mut body)?)
            .map(|_| {
                Some(AbortedTransaction {
                    producer_id: body.try_get_i64_le().ok()?,
                    first_offset: body.try_get_i64_le().ok()?,
                    marker_offset: body.try_get_i64_le().ok()?,
                    last_stable_offset: body.try_get_i64_le().ok()?,
                })
            })
            .collect::<Option<_>>()?;
        let is_sorted = entries
            .is_sorted_by(|a: &IndexEntry, b: &IndexEntry| a.offset < b.offset && a.position < b.position)
            && aborted.is_sorted_by(|a: &AbortedTransaction, b: &AbortedTransaction| {
                a.marker_offset < b.marker_offset
            });
        let is_inside = entries.last().is_none_or(|it| it.position < segment_bytes);
        let newest = (newest.batch_offset >= 0).then_some(newest);
        (is_sorted && is_inside && body.is_empty()).then_some(Self {
            segment_bytes,
            newest,
            entries,
            aborted,
        })
    }
}

pub(crate) fn write_producers(path: &Path, producers: &Producers, sync: bool) -> io::Result<()> {
    let mut body = vec![VERSION];
    put_count(&mut body, producers.iter().count());
    for (id, producer) in producers.iter() {
        body.put_i64_le(id);
        body.put_i16_le(producer.epoch);
        body.put_i32_le(producer.coordinator_epoch);
        body.put_i64_le(producer.last_timestamp_ms);
        body.put_i64_le(producer.transaction_first_offset.unwrap_or(-1));
        put_count(&mut body, producer.recent.len());
        for batch in &producer.recent {
            body.put_i32_le(batch.base_sequence);
            body.put_i32_le(batch.last_sequence);
            body.put_i64_le(batch.base_offset);
            body.put_i64_le(batch.last_offset);
            body.put_i64_le(batch.timestamp_ms);
        }
    }
    files::write_sealed(path, &body, sync)
}

/// `None` if there is no file that can be read.
pub(crate) fn read_producers(path: &Path) -> io::Result<Option<Producers>> {
    Ok(files::read_sealed(path)?.and_then(|body| parse_producers(&body)))
}

fn parse_producers(mut body: &[u8]) -> Option<Producers> {
    if body.try_get_u8().ok()? != VERSION {
        return None;
    }
    let mut producers = Producers::default();
    for _ in 0..take_count(&mut body)? {
        let id = body.try_get_i64_le().ok()?;
        let mut producer = Producer {
            epoch: body.try_get_i16_le().ok()?,
            coordinator_epoch: body.try_get_i32_le().ok()?,
            last_timestamp_ms: body.try_get_i64_le().ok()?,
            transaction_first_offset: Some(body.try_get_i64_le().ok()?).filter(|it| *it >= 0),
            recent: VecDeque::new(),
        };
        for _ in 0..take_count(&mut body)? {
            producer.recent.push_back(RecentBatch {
                base_sequence: body.try_get_i32_le().ok()?,
                last_sequence: body.try_get_i32_le().ok()?,
                base_offset: body.try_get_i64_le().ok()?,
                last_offset: body.try_get_i64_le().ok()?,
                timestamp_ms: body.try_get_i64_le().ok()?,
            });
        }
        producers.restore(id, producer);
    }
    body.is_empty().then_some(producers)
}

fn put_count(body: &mut Vec<u8>, count: usize) {
    body.put_u32_le(u32::try_from(count).expect("bounded by what fits into memory"));
}

/// Nothing is allocated by it: what it counts has to be there.
fn take_count(body: &mut &[u8]) -> Option<u32> {
    body.try_get_u32_le().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::batch::{Attributes, BatchHeader};
    use crate::log::marker::{Marker, Outcome};

    #[test]
    fn an_index_comes_back_or_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("index");
        let entry = |offset, position| IndexEntry { offset, position, max_timestamp_before_ms: 5 };
        let aborted =
            AbortedTransaction { producer_id: 1, first_offset: 2, marker_offset: 9, last_stable_offset: 10 };
        let whole = SegmentIndex {
            segment_bytes: 900,
            newest: Some(Newest { timestamp_ms: 77, batch_offset: 4 }),
            entries: vec![entry(3, 100), entry(9, 300)],
            aborted: vec![aborted],
        };
        whole.write(&path, false).unwrap();
        assert_eq!(SegmentIndex::read(&path).unwrap(), Some(whole.clone()));
        let empty = SegmentIndex { segment_bytes: 0, newest: None, entries: vec![], aborted: vec![] };
        empty.write(&path, false).unwrap();
        assert_eq!(SegmentIndex::read(&path).unwrap(), Some(empty));
        for damaged in [
            SegmentIndex { entries: vec![entry(9, 100), entry(3, 300)], ..whole.clone() },
            SegmentIndex { segment_bytes: 300, ..whole.clone() },
            SegmentIndex { aborted: vec![aborted, aborted], ..whole },
        ] {
            damaged.write(&path, false).unwrap();
            assert_eq!(SegmentIndex::read(&path).unwrap(), None);
        }
    }

    #[test]
    fn producers_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("producers");
        let batch = |producer_id, base_offset| BatchHeader {
            base_offset,
            batch_bytes: 100,
            crc: 0,
            attributes: Attributes(Attributes::TRANSACTIONAL),
            last_offset_delta: 2,
            base_timestamp_ms: 10,
            max_timestamp_ms: 20,
            producer_id,
            producer_epoch: 1,
            base_sequence: 3,
            record_count: 3,
        };
        let mut producers = Producers::default();
        producers.replay(&batch(1, 0), None);
        producers.replay(&batch(2, 3), None);
        let marker = BatchHeader { attributes: Attributes(Attributes::CONTROL), ..batch(1, 6) };
        producers.replay(&marker, Some(Marker { outcome: Outcome::Commit, coordinator_epoch: 4 }));
        write_producers(&path, &producers, false).unwrap();
        assert_eq!(read_producers(&path).unwrap(), Some(producers));
        std::fs::write(&path, "not ours").unwrap();
        assert_eq!(read_producers(&path).unwrap(), None);
        files::write_sealed(&path, &[VERSION, 0xff, 0xff, 0xff, 0xff], false).unwrap();
        assert_eq!(read_producers(&path).unwrap(), None);
    }
}
