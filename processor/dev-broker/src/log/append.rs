//! Appends: what producers send, and the markers of the transaction coordinator.

use std::os::unix::fs::FileExt;

use crate::log::aborted::AbortedTransaction;
use crate::log::batch::{self, BatchError, BatchHeader, NONE, OFFSET_MAX};
use crate::log::compression::Codec;
use crate::log::config::{LogConfig, TimestampType};
use crate::log::error::{AppendError, Doing, LogError};
use crate::log::log::Log;
use crate::log::marker::{Marker, Outcome};
use crate::log::producers::Admission;
use crate::log::records::Records;

/// Of the records of one batch, decompressed, where the log has to look at them.
pub(in crate::log) const RECORDS_BYTES_MAX: usize = 64 << 20;

/// Where appended batches are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) base_offset: i64,
    pub(crate) last_offset: i64,
    /// The timestamp of the records, if the log decides it.
    pub(crate) append_time_ms: Option<i64>,
}

impl Log {
    /// Appends one or more batches of a producer: all of them, or after an error none. Batches that an idempotent producer sends again are
    /// found where they were appended first (KIP-98).
    ///
    /// A process that dies in the middle may leave some of several batches, which then were not acknowledged.
    pub(crate) fn append(&mut self, batches: &[u8], now_ms: i64) -> Result<Appended, AppendError> {
        self.check_usable()?;
        let mut bytes = batches.to_vec();
        let headers = place_batches(&mut bytes, self.next_offset, &self.config, now_ms)?;
        let append_time_ms =
            |it| (self.config.message_timestamp_type == TimestampType::LogAppend).then_some(it);
        let changes = match self.producers.admit(&headers, now_ms)? {
            Admission::Duplicate { base_offset, last_offset, timestamp_ms } => {
                return Ok(Appended {
                    base_offset,
                    last_offset,
                    append_time_ms: append_time_ms(timestamp_ms),
                });
            }
            Admission::New(changes) => changes,
        };
        let appended = Appended {
            base_offset: self.next_offset,
            last_offset: headers.last().map_or(self.next_offset, BatchHeader::last_offset),
            append_time_ms: append_time_ms(now_ms),
        };
        self.write(&bytes, &headers, now_ms)?;
        self.producers.commit(changes);
        Ok(appended)
    }

    /// Ends the open transaction of a producer, if it has one here, and fences its older epochs. Its offset.
    pub(crate) fn append_marker(
        &mut self,
        producer_id: i64,
        epoch: i16,
        coordinator_epoch: i32,
        outcome: Outcome,
        now_ms: i64,
    ) -> Result<i64, AppendError> {
        self.check_usable()?;
        self.producers.check_marker(producer_id, epoch, coordinator_epoch)?;
        let offset = self.next_offset;
        let marker = Marker { outcome, coordinator_epoch };
        let bytes = marker.build(producer_id, epoch, offset, now_ms);
        let header = BatchHeader::parse(&bytes).map_err(AppendError::Corrupt)?;
        self.write(&bytes, &[header], now_ms)?;
        let ended = self.producers.end_transaction(&header, marker, now_ms);
        if let Some(ended) = ended.filter(|it| it.outcome == Outcome::Abort) {
            self.aborted.push(AbortedTransaction {
                producer_id,
                first_offset: ended.first_offset,
                marker_offset: offset,
                last_stable_offset: self.producers.first_open_offset().unwrap_or(self.next_offset),
            });
        }
        Ok(offset)
    }

    fn write(&mut self, bytes: &[u8], headers: &[BatchHeader], now_ms: i64) -> Result<(), LogError> {
        let Some(last) = headers.last() else { return Ok(()) };
        if last.last_offset() >= OFFSET_MAX {
            return Err(LogError::Exhausted { dir: self.dir.clone() });
        }
        let is_full = self.active.size_bytes + bytes.len() as u64 > self.config.segment_bytes;
        if self.active.size_bytes > 0 && (is_full || self.is_time_to_roll(now_ms)) {
            self.roll()?;
        }
        let position = self.active.size_bytes;
        let written = self.file.write_all_at(bytes, position);
        let written = written.and_then(|()| if self.config.fsync { self.file.sync_data() } else { Ok(()) });
        if let Err(error) = written {
            // Whole batches may be there that nobody was told about. A recovery must not find them.
            self.is_halted = self.file.set_len(position).is_err();
            return Err(error).doing("append to", &self.active.path(&self.dir));
        }
        for header in headers {
            self.active.observe(header);
        }
        self.next_offset = last.last_offset() + 1;
        self.roll_from_ms.get_or_insert(now_ms);
        if self.config.fsync && self.synced_to == headers[0].base_offset {
            self.synced_to = self.next_offset;
        }
        Ok(())
    }
}

/// Checks batches of a client, and gives them the offsets from `next_offset` on. Their headers as they are then.
fn place_batches(
    bytes: &mut [u8],
    mut next_offset: i64,
    config: &LogConfig,
    now_ms: i64,
) -> Result<Vec<BatchHeader>, AppendError> {
    let mut headers = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() || headers.is_empty() {
        let header = BatchHeader::parse(rest).map_err(|error| match error {
            BatchError::Magic(magic @ (0 | 1)) => AppendError::UnsupportedMagic(magic),
            error => AppendError::Corrupt(error),
        })?;
        let bytes = rest.len();
        let Some((batch, after)) = rest.split_at_mut_checked(header.batch_bytes) else {
            return Err(AppendError::Corrupt(BatchError::Truncated { bytes }));
        };
        if header.batch_bytes > config.max_message_bytes {
            return Err(AppendError::TooLarge {
                bytes: header.batch_bytes,
                bytes_max: config.max_message_bytes,
            });
        }
        batch::verify(&header, batch).map_err(AppendError::Corrupt)?;
        check_client_batch(&header)?;
        if config.compact {
            check_keys(&header, batch)?;
        }
        batch::place(batch, next_offset);
        if config.message_timestamp_type == TimestampType::LogAppend {
            batch::stamp_append_time(batch, &header, now_ms);
        }
        let header = BatchHeader::parse(batch).map_err(AppendError::Corrupt)?;
        next_offset = header.last_offset() + 1;
        headers.push(header);
        rest = after;
    }
    Ok(headers)
}

/// What only the log itself may write, or nobody.
fn check_client_batch(header: &BatchHeader) -> Result<(), AppendError> {
    let problem = if header.attributes.is_control() {
        "clients may not write control records"
    } else if header.record_count < 1 || header.record_count - 1 != header.last_offset_delta {
        "the number of records and their offsets do not agree"
    } else if Codec::from_id(header.attributes.compression_id()).is_none() {
        "the compression is unknown"
    } else if header.producer_id < NONE {
        "the producer id is invalid"
    } else if header.has_producer() && (header.producer_epoch < 0 || header.base_sequence < 0) {
        "a batch of an idempotent producer needs an epoch and a sequence"
    } else if header.attributes.is_transactional() && !header.has_producer() {
        "a transactional batch needs a producer id"
    } else if header.attributes.has_delete_horizon() {
        "only compaction sets a delete horizon"
    } else {
        return Ok(());
    };
    Err(AppendError::InvalidRecord(problem))
}

/// A record without a key would be the first to go, and nobody could say which one superseded it.
fn check_keys(header: &BatchHeader, batch: &[u8]) -> Result<(), AppendError> {
    let records = Records::open(header, batch, RECORDS_BYTES_MAX).map_err(AppendError::UnreadableRecords)?;
    for record in records.iter() {
        if record.map_err(AppendError::UnreadableRecords)?.key.is_none() {
            return Err(AppendError::InvalidRecord("a record of a compacted topic needs a key"));
        }
    }
    Ok(())
}
