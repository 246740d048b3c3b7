//! Reads: by offset, as batches; by time, as an offset.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use crate::log::append::RECORDS_BYTES_MAX;
use crate::log::batch::{BatchHeader, HEADER_BYTES};
use crate::log::error::{Doing, LogError, ReadError};
use crate::log::log::Log;
use crate::log::records::{Record, Records};
use crate::log::scan::Scan;
use crate::log::segment::Segment;

impl Log {
    /// Whole batches from the one that holds `from`, or the next one if compaction has removed it; all of one segment, all with every offset
    /// below `upto`, and together at most `bytes_max` long. `at_least_one_batch` lets the first one be longer, so that a consumer with a
    /// small buffer gets ahead (KIP-74). Empty if there is no such batch.
    pub(crate) fn read(
        &self,
        from: i64,
        upto: i64,
        bytes_max: usize,
        at_least_one_batch: bool,
    ) -> Result<Bytes, ReadError> {
        self.check_usable()?;
        let (start, end) = (self.start_offset, self.next_offset);
        if !(start..=end).contains(&from) {
            return Err(ReadError::OutOfRange { offset: from, start, end });
        }
        let range = Range { from, upto: upto.min(end), bytes_max, at_least_one_batch };
        if range.from >= range.upto {
            return Ok(Bytes::new());
        }
        let first = self.closed.partition_point(|it| it.base_offset <= from).saturating_sub(1);
        let first = if self.active.base_offset <= from { self.closed.len() } else { first };
        for segment in self.segments().skip(first) {
            if segment.base_offset >= range.upto {
                break;
            }
            let path = segment.path(&self.dir);
            let found = if segment.base_offset == self.active.base_offset {
                range.read(&self.file, segment)
            } else {
                File::open(&path).and_then(|it| range.read(&it, segment))
            };
            if let Some(bytes) = found.doing("read", &path)? {
                return Ok(bytes);
            }
        }
        Ok(Bytes::new())
    }

    /// The first record below `upto` that is not older than `timestamp_ms`: its offset and timestamp.
    pub(crate) fn offset_for_time(
        &self,
        timestamp_ms: i64,
        upto: i64,
    ) -> Result<Option<(i64, i64)>, LogError> {
        self.check_usable()?;
        let start_offset = self.start_offset;
        for segment in self.segments().filter(|it| it.max_timestamp_ms() >= timestamp_ms) {
            let position = segment.index.before_time(timestamp_ms);
            let mut scan = Scan::open(&segment.path(&self.dir), position, segment.size_bytes)?;
            let is_wanted =
                |it: &BatchHeader| it.max_timestamp_ms >= timestamp_ms && it.last_offset() >= start_offset;
            let mut batch = Vec::new();
            while let Some(header) = scan.next_batch(&mut batch, is_wanted)? {
                if let Some(found) = first_record(&header, &batch, timestamp_ms, start_offset) {
                    return Ok(Some(found).filter(|&(offset, _)| offset < upto));
                }
            }
        }
        Ok(None)
    }

    /// The first of the records with the highest timestamp: its offset and timestamp (KIP-734). `None` if the log has no timestamps.
    pub(crate) fn max_timestamp(&self) -> Result<Option<(i64, i64)>, LogError> {
        let newest = self.segments().map(Segment::max_timestamp_ms).max().filter(|it| *it >= 0);
        match newest {
            Some(timestamp_ms) => self.offset_for_time(timestamp_ms, i64::MAX),
            None => Ok(None),
        }
    }
}

/// The offset and timestamp of the first record of a batch that is neither older nor below. `None` also if it cannot be read so far.
fn first_record(
    header: &BatchHeader,
    batch: &[u8],
    timestamp_ms: i64,
    start_offset: i64,
) -> Option<(i64, i64)> {
    let records = Records::open(header, batch, RECORDS_BYTES_MAX).ok()?;
    let place = |it: Record<'_>| {
        let time_ms = match header.attributes.is_log_append_time() {
            true => header.max_timestamp_ms,
            false => header.base_timestamp_ms.saturating_add(it.timestamp_delta_ms),
        };
        (header.base_offset + i64::from(it.offset_delta), time_ms)
    };
    let mut places = records.iter().map_while(Result::ok).map(place);
    places.find(|&(offset, time_ms)| time_ms >= timestamp_ms && offset >= start_offset)
}

/// What is asked of a segment.
struct Range {
    from: i64,
    upto: i64,
    bytes_max: usize,
    at_least_one_batch: bool,
}

impl Range {
    /// `None` if every batch of the segment is below `from`.
    fn read(&self, file: &File, segment: &Segment) -> io::Result<Option<Bytes>> {
        let (start, next) = segment.index.around(self.from);
        let stop = segment.index.bound(self.upto).unwrap_or(segment.size_bytes);
        let skipped_bytes = next.unwrap_or(segment.size_bytes) - start;
        // The batch begins at most an index interval further on, so one read has it and what follows, unless it is a large one.
        let wanted_bytes = skipped_bytes.saturating_add(self.bytes_max as u64);
        let buffer_bytes = wanted_bytes.min(stop.saturating_sub(start));
        let mut buffer = vec![0; usize::try_from(buffer_bytes).map_err(|_| io::ErrorKind::OutOfMemory)?];
        file.read_exact_at(&mut buffer, start)?;

        let mut at = 0;
        let first = loop {
            if start + at as u64 >= segment.size_bytes {
                return Ok(None);
            }
            let header = header_at(file, start, &buffer, at)?;
            if header.last_offset() >= self.from {
                break header;
            }
            at += header.batch_bytes;
        };
        if first.last_offset() >= self.upto {
            return Ok(Some(Bytes::new()));
        }
        if first.batch_bytes > self.bytes_max && !self.at_least_one_batch {
            return Ok(Some(Bytes::new()));
        }
        if buffer.len() - at.min(buffer.len()) < first.batch_bytes {
            let position = start + at as u64;
            if first.batch_bytes as u64 > segment.size_bytes - position {
                return Err(not_a_batch());
            }
            let mut batch = vec![0; first.batch_bytes];
            file.read_exact_at(&mut batch, position)?;
            return Ok(Some(batch.into()));
        }
        let mut end = at + first.batch_bytes;
        while let Ok(header) = BatchHeader::parse(&buffer[end..])
            && header.last_offset() < self.upto
            && end + header.batch_bytes <= buffer.len().min(at.saturating_add(self.bytes_max))
        {
            end += header.batch_bytes;
        }
        Ok(Some(Bytes::from(buffer).slice(at..end)))
    }
}

/// The header `at` bytes behind `start`, where the buffer begins. It may be just behind the end of the buffer.
fn header_at(file: &File, start: u64, buffer: &[u8], at: usize) -> io::Result<BatchHeader> {
    if let Some(bytes) = buffer.get(at..at + HEADER_BYTES) {
        return BatchHeader::parse(bytes).map_err(io::Error::other);
    }
    let mut bytes = [0; HEADER_BYTES];
    file.read_exact_at(&mut bytes, start + at as u64)?;
    BatchHeader::parse(&bytes).map_err(io::Error::other)
}

fn not_a_batch() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a batch reaches beyond the end of its segment")
}
