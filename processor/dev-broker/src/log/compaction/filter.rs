//! What compaction does with one batch.

use std::collections::HashSet;

use crate::log::aborted::AbortedByProducer;
use crate::log::batch::{self, BatchHeader, NONE};
use crate::log::compaction::keys::NewestByKey;
use crate::log::compression::Codec;
use crate::log::marker::Marker;
use crate::log::producers::Producers;
use crate::log::records::{Record, Records};

pub(super) use crate::log::append::RECORDS_BYTES_MAX;

/// Of a batch as a whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Keep,
    Drop,
    Replace(Vec<u8>),
}

/// Judges the batches of a log from its first one on, in order.
pub(super) struct Filter<'a> {
    newest: &'a NewestByKey,
    aborted: AbortedByProducer,
    producers: &'a Producers,
    now_ms: i64,
    delete_retention_ms: i64,
    /// Producers of which transactional batches were met since their last marker.
    met: HashSet<i64>,
    spent_markers: Vec<i64>,
}

impl<'a> Filter<'a> {
    pub(super) fn new(
        newest: &'a NewestByKey,
        aborted: AbortedByProducer,
        producers: &'a Producers,
        now_ms: i64,
        delete_retention_ms: i64,
    ) -> Self {
        let (met, spent_markers) = (HashSet::new(), Vec::new());
        Self { newest, aborted, producers, now_ms, delete_retention_ms, met, spent_markers }
    }

    /// `batch` is verified.
    pub(super) fn judge(&mut self, header: &BatchHeader, batch: &[u8]) -> Verdict {
        // Without the last batch of all, a consumer would wait at the hole in its place for the end of the log.
        let is_last_seen = header.last_offset() + 1 == self.newest.seen_upto();
        let is_last = is_last_seen || self.is_last_of_producer(header);
        if header.attributes.is_control() {
            return self.judge_control(header, batch, is_last);
        }
        let is_transactional = header.attributes.is_transactional();
        if is_transactional {
            self.met.insert(header.producer_id);
        }
        if header.record_count == 0 {
            return if is_last { Verdict::Keep } else { Verdict::Drop };
        }
        if is_transactional && self.aborted.covers(header.producer_id, header.base_offset) {
            return emptied(header, is_last);
        }
        self.judge_records(header, batch, is_last)
    }

    /// The markers met since the last call of whose transactions nothing is left.
    pub(super) fn take_spent_markers(&mut self) -> Vec<i64> {
        std::mem::take(&mut self.spent_markers)
    }

    fn judge_control(&mut self, header: &BatchHeader, batch: &[u8], is_last: bool) -> Verdict {
        if header.record_count == 0 {
            return if is_last { Verdict::Keep } else { Verdict::Drop };
        }
        if Marker::parse(header, batch).is_none() {
            return Verdict::Keep;
        }
        // Data of this transaction that goes in this pass still counts: somebody may be reading it.
        if self.met.remove(&header.producer_id) {
            return Verdict::Keep;
        }
        self.spent_markers.push(header.base_offset);
        match header.delete_horizon_ms() {
            Some(horizon_ms) if horizon_ms <= self.now_ms => emptied(header, is_last),
            Some(_) => Verdict::Keep,
            None => match Records::open(header, batch, RECORDS_BYTES_MAX) {
                Ok(records) => self.rebuild(header, &records, 1, true, |_| true),
                Err(_) => Verdict::Keep,
            },
        }
    }

    fn judge_records(&self, header: &BatchHeader, batch: &[u8], is_last: bool) -> Verdict {
        let Ok(records) = Records::open(header, batch, RECORDS_BYTES_MAX) else { return Verdict::Keep };
        let (mut stay, mut has_tombstones) = (0, false);
        for record in records.iter() {
            // Nobody can say which of its records are superseded.
            let Ok(record) = record else { return Verdict::Keep };
            if self.stays(header, &record) {
                stay += 1;
                has_tombstones |= record.value.is_none();
            }
        }
        let sets_horizon = has_tombstones && header.delete_horizon_ms().is_none();
        match stay {
            0 => emptied(header, is_last),
            stay if stay == header.record_count && !sets_horizon => Verdict::Keep,
            stay => self.rebuild(header, &records, stay, sets_horizon, |it| self.stays(header, it)),
        }
    }

    fn stays(&self, header: &BatchHeader, record: &Record<'_>) -> bool {
        let offset = header.base_offset + i64::from(record.offset_delta);
        if offset >= self.newest.seen_upto() {
            return true;
        }
        // From a time when the topic was not compacted. Nothing could ever supersede it.
        let Some(key) = record.key else { return false };
        let is_expired =
            || record.value.is_none() && header.delete_horizon_ms().is_some_and(|it| it <= self.now_ms);
        !self.newest.supersedes(key, offset) && !is_expired()
    }

    /// The batch with only those `record_count` records that stay.
    fn rebuild(
        &self,
        header: &BatchHeader,
        records: &Records<'_>,
        record_count: i32,
        sets_horizon: bool,
        stays: impl Fn(&Record<'_>) -> bool,
    ) -> Verdict {
        let mut rebuilt = BatchHeader { record_count, ..*header };
        if sets_horizon {
            // It takes the place of the base timestamp, and the records keep theirs.
            rebuilt.attributes = header.attributes.with_delete_horizon();
            rebuilt.base_timestamp_ms = self.now_ms.saturating_add(self.delete_retention_ms);
        }
        let (mut plain, mut max_timestamp_ms) = (Vec::new(), NONE);
        for record in records.iter().flatten().filter(stays) {
            let time_ms = header.base_timestamp_ms.saturating_add(record.timestamp_delta_ms);
            max_timestamp_ms = max_timestamp_ms.max(time_ms);
            if sets_horizon {
                record.write_at(time_ms.saturating_sub(rebuilt.base_timestamp_ms), &mut plain);
            } else {
                plain.extend(record.raw);
            }
        }
        // Larger deltas may make it longer than the next pass is ready to look at.
        if plain.len() > RECORDS_BYTES_MAX {
            return Verdict::Keep;
        }
        if !header.attributes.is_log_append_time() {
            rebuilt.max_timestamp_ms = max_timestamp_ms;
        }
        let codec = Codec::from_id(header.attributes.compression_id()).unwrap_or(Codec::None);
        let compressed = codec.compress(&plain).unwrap_or_else(|_| {
            // Encoders into memory do not fail; if one did, the records need not be compressed.
            rebuilt.attributes = rebuilt.attributes.uncompressed();
            plain.as_slice().into()
        });
        Verdict::Replace(batch::build(&rebuilt, &compressed))
    }

    /// Whether a recovery that finds no snapshot would need this batch to know the producer's epoch and sequence.
    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        let Some(producer) = self.producers.get(header.producer_id).filter(|_| header.has_producer()) else {
            return false;
        };
        match producer.recent.back() {
            Some(last) => last.last_offset == header.last_offset() && !header.attributes.is_control(),
            None => header.attributes.is_control() && header.producer_epoch == producer.epoch,
        }
    }
}

/// Without any record: dropped, or if it is needed for its header, left empty.
fn emptied(header: &BatchHeader, is_last: bool) -> Verdict {
    if !is_last {
        return Verdict::Drop;
    }
    let empty = BatchHeader { record_count: 0, attributes: header.attributes.uncompressed(), ..*header };
    Verdict::Replace(batch::build(&empty, &[]))
}
