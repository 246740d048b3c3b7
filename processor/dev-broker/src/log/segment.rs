//! One segment: a file of record batches, and what is kept of it in memory.
//!
//! No file is held open here. A log keeps the one it appends to; a closed segment is opened for each read and closed again, which costs
//! microseconds beside reading from it, and lets a broker have any number of partitions with one open file each.

use std::path::{Path, PathBuf};

use crate::log::aborted::AbortedTransactions;
use crate::log::batch::BatchHeader;
use crate::log::error::{Doing, LogError};
use crate::log::files;
use crate::log::index::{Index, IndexEntry};
use crate::log::sidecar::SegmentIndex;

/// The highest timestamp of a segment, and the first batch that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Newest {
    pub(crate) timestamp_ms: i64,
    /// The base offset of the batch.
    pub(crate) batch_offset: i64,
}

/// The offsets it covers end where the next segment begins.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) base_offset: i64,
    pub(crate) size_bytes: u64,
    /// `None` while no batch has a timestamp.
    pub(crate) newest: Option<Newest>,
    /// Of the first batch.
    pub(crate) first_timestamp_ms: Option<i64>,
    pub(crate) index: Index,
}

impl Segment {
    pub(crate) fn new(base_offset: i64, index_interval_bytes: u32) -> Self {
        Self {
            base_offset,
            size_bytes: 0,
            newest: None,
            first_timestamp_ms: None,
            index: Index::new(index_interval_bytes),
        }
    }

    /// A closed segment, as its sidecar describes it.
    pub(crate) fn from_index(base_offset: i64, index: SegmentIndex) -> Self {
        Self {
            base_offset,
            size_bytes: index.segment_bytes,
            newest: index.newest,
            first_timestamp_ms: None,
            index: Index::from_entries(index.entries),
        }
    }

    /// Learns of the batch that follows in the file.
    pub(crate) fn observe(&mut self, batch: &BatchHeader) {
        self.index.observe(IndexEntry {
            offset: batch.base_offset,
            position: self.size_bytes,
            max_timestamp_before_ms: self.max_timestamp_ms(),
        });
        self.size_bytes += batch.batch_bytes as u64;
        let timestamp_ms = batch.max_timestamp_ms;
        self.first_timestamp_ms.get_or_insert(timestamp_ms);
        if timestamp_ms >= 0 && timestamp_ms > self.max_timestamp_ms() {
            self.newest = Some(Newest { timestamp_ms, batch_offset: batch.base_offset });
        }
    }

    /// -1 while no batch has a timestamp.
    pub(crate) fn max_timestamp_ms(&self) -> i64 {
        self.newest.map_or(-1, |it| it.timestamp_ms)
    }

    pub(crate) fn path(&self, dir: &Path) -> PathBuf {
        files::segment_path(dir, self.base_offset)
    }

    /// Writes the sidecar of this segment, which is closed and ends where `end_offset` begins.
    pub(crate) fn write_index(
        &self,
        dir: &Path,
        end_offset: i64,
        aborted: &AbortedTransactions,
        sync: bool,
    ) -> Result<(), LogError> {
        let path = files::index_path(dir, self.base_offset);
        let index = SegmentIndex {
            segment_bytes: self.size_bytes,
            newest: self.newest,
            entries: self.index.entries().to_vec(),
            aborted: aborted.ended_in(self.base_offset, end_offset).to_vec(),
        };
        index.write(&path, sync).doing("write", &path)
    }
}
