//! Compaction: of each key only the newest record stays.
//!
//! The rules are those of Apache Kafka's log cleaner (with KIP-58 and KIP-534). Only closed segments below the last stable offset change, so only decided
//! transactions. Offsets never change: a batch that loses records keeps its first and last. Records of aborted transactions go. A tombstone
//! stays for `delete.retention.ms` after the pass that met it first, and a transaction marker for as long after the pass that found nothing
//! of its transaction left: a consumer that has read half of the log when they go has that much time to reach them. The time until which a
//! batch keeps them is in its header. The last batch of a producer stays, if empty, because its sequence must not be forgotten, and so does
//! the last batch of all.
//!
//! A pass reads what is dirty to learn the newest offset of each key, in memory bounded by [`KEYS_MAX`], then writes all segments anew, small
//! neighbours into one. It runs while the caller holds the log.

mod filter;
mod keys;
mod swap;

use std::io::Write;
use std::path::PathBuf;

use crate::log::batch::{self, BatchHeader};
use crate::log::error::{Doing, LogError};
use crate::log::files;
use crate::log::log::Log;
use crate::log::records::Records;
use crate::log::scan::Scan;
use crate::log::segment::Segment;

use filter::{Filter, Verdict};
use keys::NewestByKey;

pub(in crate::log) use swap::complete_swap;

/// Keys of one pass, at 32 to 64 bytes each. With more of them a pass ends early, and the next one goes on from there.
const KEYS_MAX: usize = 2 << 20;

/// What one pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Compacted {
    /// Of the segments that were looked at.
    pub(crate) bytes_before: u64,
    /// Of those that took their place.
    pub(crate) bytes_after: u64,
    /// Below it, every record has been seen.
    pub(crate) cleaned_to: i64,
}

impl Log {
    /// One pass, if enough of the log is dirty.
    pub(in crate::log) fn compact_if_due(&mut self, now_ms: i64) -> Result<Option<Compacted>, LogError> {
        let cleanable = self.cleanable_segments(now_ms);
        let bytes =
            |range: std::ops::Range<usize>| -> u64 { self.closed.range(range).map(|it| it.size_bytes).sum() };
        let clean = (0..cleanable).take_while(|it| self.end_of(*it) <= self.cleaned_to).count();
        let (dirty_bytes, all_bytes) = (bytes(clean..cleanable), bytes(0..cleanable));
        let dirty_ratio = dirty_bytes as f64 / all_bytes as f64;
        let is_due = dirty_bytes > 0 && dirty_ratio > self.config.min_cleanable_dirty_ratio;
        if !is_due {
            return Ok(None);
        }
        self.compact(cleanable, now_ms, KEYS_MAX).map(Some)
    }

    /// How many segments, from the oldest on, are closed, decided and old enough.
    fn cleanable_segments(&self, now_ms: i64) -> usize {
        let stable = self.last_stable_offset();
        let lag_ms = self.config.min_compaction_lag_ms;
        let is_cleanable = |nth: &usize| {
            let is_young = || now_ms.saturating_sub(self.closed[*nth].max_timestamp_ms()) < lag_ms;
            let end = self.end_of(*nth);
            end <= stable && (end <= self.cleaned_to || lag_ms == 0 || !is_young())
        };
        (0..self.closed.len()).take_while(is_cleanable).count()
    }

    /// One pass over the `cleanable` oldest segments, with at most about `keys_max` keys in memory.
    pub(in crate::log) fn compact(
        &mut self,
        cleanable: usize,
        now_ms: i64,
        keys_max: usize,
    ) -> Result<Compacted, LogError> {
        let newest = self.newest_by_key(cleanable, keys_max)?;
        let seen_upto = newest.seen_upto();
        let aborted = self.aborted.by_producer();
        let producers = self.producers.clone();
        let mut filter = Filter::new(&newest, aborted, &producers, now_ms, self.config.delete_retention_ms);
        let mut compacted = Compacted { cleaned_to: seen_upto, ..Compacted::default() };
        let mut first = 0;
        let mut left = self.closed.iter().take(cleanable).filter(|it| it.base_offset < seen_upto).count();
        self.forget_snapshots(left)?;
        while left > 0 {
            let grouped = self.group(first, left);
            let before: u64 = self.closed.range(first..first + grouped).map(|it| it.size_bytes).sum();
            let cleaned = self.clean(first, grouped, &mut filter)?;
            compacted.bytes_before += before;
            compacted.bytes_after += cleaned.segment.size_bytes;
            if cleaned.is_changed || grouped > 1 {
                self.swap_in(first, grouped, cleaned)?;
            } else {
                files::remove(&cleaned.path).doing("remove", &cleaned.path)?;
            }
            first += 1;
            left -= grouped;
        }
        self.write_checkpoint(self.start_offset, seen_upto)?;
        self.cleaned_to = seen_upto;
        Ok(compacted)
    }

    /// The newest offset of each key in the dirty part of the `cleanable` oldest segments.
    fn newest_by_key(&self, cleanable: usize, keys_max: usize) -> Result<NewestByKey, LogError> {
        let dirty_from = self.cleaned_to.max(self.start_offset);
        let aborted = self.aborted.by_producer();
        let mut newest = NewestByKey::new(keys_max);
        newest.see_upto(dirty_from);
        let mut batch = Vec::new();
        for nth in (0..cleanable).filter(|it| self.end_of(*it) > dirty_from) {
            let segment = &self.closed[nth];
            let (position, _) = segment.index.around(dirty_from);
            let mut scan = Scan::open(&segment.path(&self.dir), position, segment.size_bytes)?;
            let is_wanted = |it: &BatchHeader| {
                let is_void =
                    it.attributes.is_transactional() && aborted.covers(it.producer_id, it.base_offset);
                it.last_offset() >= dirty_from && !it.attributes.is_control() && !is_void
            };
            while let Some(header) = scan.next_batch(&mut batch, is_wanted)? {
                if newest.is_full_for(header.record_count) {
                    newest.see_upto(header.base_offset);
                    return Ok(newest);
                }
                let Ok(records) = Records::open(&header, &batch, filter::RECORDS_BYTES_MAX) else { continue };
                // A batch that cannot be read to its end supersedes nothing: consumers cannot read it either.
                if records.iter().any(|it| it.is_err()) {
                    continue;
                }
                for record in records.iter().flatten() {
                    if let Some(key) = record.key {
                        newest.put(key, header.base_offset + i64::from(record.offset_delta));
                    }
                }
            }
            newest.see_upto(self.end_of(nth));
        }
        Ok(newest)
    }

    /// Removes what was known of the producers at the beginning of the oldest `count` segments. It may have transactions open whose markers
    /// this pass drops, and a recovery that began there would wait for them for ever. One that begins at the first segment does not: a
    /// marker stays while anything of its transaction does.
    fn forget_snapshots(&self, count: usize) -> Result<(), LogError> {
        for segment in self.closed.iter().take(count) {
            let path = files::producers_path(&self.dir, segment.base_offset);
            files::remove(&path).doing("remove", &path)?;
        }
        Ok(())
    }

    /// How many of the `left` segments from `first` on fit into one.
    fn group(&self, first: usize, left: usize) -> usize {
        let mut bytes = 0;
        let fits = |segment: &&Segment| {
            bytes += segment.size_bytes;
            bytes <= self.config.segment_bytes
        };
        self.closed.range(first..first + left).take_while(fits).count().max(1)
    }

    /// Writes what stays of neighbouring segments into a file beside them, and brings it to the disk.
    fn clean(&self, first: usize, grouped: usize, filter: &mut Filter<'_>) -> Result<Cleaned, LogError> {
        let base = self.closed[first].base_offset;
        let path = files::cleaned_path(&self.dir, base);
        let file = files::create(&path).doing("create", &path)?;
        let mut output = std::io::BufWriter::new(file);
        let mut segment = Segment::new(base, self.config.index_interval_bytes);
        let mut is_changed = false;
        let mut batch = Vec::new();
        for source in self.closed.range(first..first + grouped) {
            let mut scan = Scan::open(&source.path(&self.dir), 0, source.size_bytes)?;
            while let Some(header) = scan.next_batch(&mut batch, |_| true)? {
                let verdict = filter.judge(&header, &batch);
                is_changed |= !matches!(verdict, Verdict::Keep);
                let kept = match &verdict {
                    Verdict::Drop => continue,
                    Verdict::Keep => &batch,
                    Verdict::Replace(batch) => batch,
                };
                output.write_all(kept).doing("write", &path)?;
                let header = BatchHeader::parse(kept)
                    .and_then(|it| batch::verify(&it, kept).map(|()| it))
                    .expect("what was verified or just built is a batch");
                segment.observe(&header);
            }
        }
        let file = output.into_inner().map_err(std::io::IntoInnerError::into_error).doing("write", &path)?;
        file.sync_all().doing("sync", &path)?;
        Ok(Cleaned { path, segment, is_changed, spent_markers: filter.take_spent_markers() })
    }
}

/// What is to take the place of neighbouring segments.
struct Cleaned {
    path: PathBuf,
    segment: Segment,
    is_changed: bool,
    /// Offsets of markers, rising, of whose transactions nothing is left.
    spent_markers: Vec<i64>,
}
