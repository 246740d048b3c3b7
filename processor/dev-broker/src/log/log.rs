//! What a log holds in memory, and what can be asked of it without reading a file.

use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;

use crate::log::aborted::{Aborted, AbortedTransactions};
use crate::log::checkpoint::Checkpoint;
use crate::log::compaction::Compacted;
use crate::log::config::LogConfig;
use crate::log::error::{Doing, LogError};
use crate::log::files;
use crate::log::producers::{OpenTransaction, Producer, Producers};
use crate::log::segment::Segment;
use crate::log::sidecar;

/// The log of one partition. [`Log::open`] makes one; see the methods by what they do: `append`, `read`, `delete_records`, `maintain`.
#[derive(Debug)]
pub(crate) struct Log {
    pub(in crate::log) dir: PathBuf,
    pub(in crate::log) config: LogConfig,
    /// Oldest first. Each ends where the next begins, the last where the active one does.
    pub(in crate::log) closed: VecDeque<Segment>,
    /// The one that is appended to.
    pub(in crate::log) active: Segment,
    /// Of the active segment.
    pub(in crate::log) file: File,
    pub(in crate::log) start_offset: i64,
    pub(in crate::log) next_offset: i64,
    /// Below it, compaction has seen every record.
    pub(in crate::log) cleaned_to: i64,
    pub(in crate::log) producers: Producers,
    pub(in crate::log) aborted: AbortedTransactions,
    /// When the first batch of the active segment was appended; `None` if there is none, or nobody knows.
    pub(in crate::log) roll_from_ms: Option<i64>,
    /// Below it, everything is known to be on the disk.
    pub(in crate::log) synced_to: i64,
    /// An error has left the files and this memory apart.
    pub(in crate::log) is_halted: bool,
}

/// What [`Log::maintain`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Maintained {
    pub(crate) deleted_segments: usize,
    pub(crate) deleted_bytes: u64,
    pub(crate) expired_producers: usize,
    pub(crate) compacted: Option<Compacted>,
}

impl Log {
    /// The lowest offset that can be read.
    pub(crate) fn start_offset(&self) -> i64 {
        self.start_offset
    }

    /// The offset of the next record. It is the high watermark too, for there is one replica.
    pub(crate) fn end_offset(&self) -> i64 {
        self.next_offset
    }

    /// Everything below is decided: it is in no open transaction (KIP-98).
    pub(crate) fn last_stable_offset(&self) -> i64 {
        self.producers.first_open_offset().map_or(self.next_offset, |it| it.max(self.start_offset))
    }

    /// Aborted transactions that a reader of the offsets `from..upto` may come across, for a `read_committed` fetch response.
    pub(crate) fn aborted(&self, from: i64, upto: i64) -> Vec<Aborted> {
        self.aborted.overlapping(from, upto)
    }

    /// Oldest first.
    pub(crate) fn open_transactions(&self) -> impl Iterator<Item = OpenTransaction> {
        self.producers.open_transactions()
    }

    /// Producer ids and what is known of them, in no order, as `DescribeProducers` tells it (KIP-664).
    pub(crate) fn producers(&self) -> impl Iterator<Item = (i64, &Producer)> {
        self.producers.iter()
    }

    /// Of all segments. What was deleted by offset within one still counts.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.segments().map(|it| it.size_bytes).sum()
    }

    pub(crate) fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Takes effect with the next append, or the next [`Log::maintain`].
    pub(crate) fn set_config(&mut self, config: LogConfig) {
        self.config = config;
    }

    /// What is due by time or size: closes the active segment, forgets silent producers, deletes old segments, compacts. To be called every
    /// few seconds to minutes. After an error the next call tries again, unless it was [`LogError::Halted`].
    pub(crate) fn maintain(&mut self, now_ms: i64) -> Result<Maintained, LogError> {
        self.check_usable()?;
        let expired_producers = self.producers.expire(now_ms.saturating_sub(self.config.producer_expiry_ms));
        if self.active.size_bytes > 0 && self.is_time_to_roll(now_ms) {
            self.roll()?;
        }
        let (deleted_segments, deleted_bytes) =
            if self.config.delete { self.delete_old_segments(now_ms)? } else { (0, 0) };
        let compacted = if self.config.compact { self.compact_if_due(now_ms)? } else { None };
        Ok(Maintained { deleted_segments, deleted_bytes, expired_producers, compacted })
    }

    /// Brings everything to the disk, for a clean shutdown.
    pub(crate) fn flush(&mut self) -> Result<(), LogError> {
        self.check_usable()?;
        for (nth, segment) in self.closed.iter().enumerate() {
            if self.end_of(nth) > self.synced_to {
                let path = segment.path(&self.dir);
                File::open(&path).and_then(|it| it.sync_all()).doing("sync", &path)?;
            }
        }
        self.file.sync_all().doing("sync", &self.active.path(&self.dir))?;
        files::sync_dir(&self.dir).doing("sync", &self.dir)?;
        self.synced_to = self.next_offset;
        Ok(())
    }

    pub(in crate::log) fn check_usable(&self) -> Result<(), LogError> {
        if self.is_halted { Err(LogError::Halted { dir: self.dir.clone() }) } else { Ok(()) }
    }

    /// All of them, oldest first.
    pub(in crate::log) fn segments(&self) -> impl Iterator<Item = &Segment> + Clone {
        self.closed.iter().chain([&self.active])
    }

    /// Where the closed segment with this index ends.
    pub(in crate::log) fn end_of(&self, nth: usize) -> i64 {
        self.closed.get(nth + 1).unwrap_or(&self.active).base_offset
    }

    pub(in crate::log) fn is_time_to_roll(&mut self, now_ms: i64) -> bool {
        // A producer's clock may be ahead, and after a restart only its timestamps are known.
        let from_ms = self.roll_from_ms.map_or(now_ms, |it| it.min(now_ms));
        self.roll_from_ms = Some(from_ms);
        now_ms - from_ms > self.config.segment_ms
    }

    /// Closes the active segment, which is not empty, and begins another one. After an error the active segment is still the same.
    pub(in crate::log) fn roll(&mut self) -> Result<(), LogError> {
        let base = self.next_offset;
        let sync = self.config.fsync;
        let producers_path = files::producers_path(&self.dir, base);
        sidecar::write_producers(&producers_path, &self.producers, sync).doing("write", &producers_path)?;
        self.active.write_index(&self.dir, base, &self.aborted, sync)?;
        // Last, for it is what a recovery goes by.
        let path = files::segment_path(&self.dir, base);
        let file = files::open_segment(&path).doing("create", &path)?;
        if sync && let Err(error) = files::sync_dir(&self.dir) {
            // More will be appended to the old segment, so this one must not stay.
            self.is_halted = files::remove(&path).is_err();
            return Err(error).doing("sync", &self.dir);
        }
        let next = Segment::new(base, self.config.index_interval_bytes);
        self.closed.push_back(std::mem::replace(&mut self.active, next));
        self.file = file;
        self.roll_from_ms = None;
        Ok(())
    }

    pub(in crate::log) fn write_checkpoint(
        &self,
        start_offset: i64,
        cleaned_to: i64,
    ) -> Result<(), LogError> {
        let checkpoint = Checkpoint { start_offset, cleaned_to };
        checkpoint.write(&self.dir).doing("write the checkpoint in", &self.dir)
    }
}
