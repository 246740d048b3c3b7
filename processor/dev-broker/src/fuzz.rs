//! Entry points for fuzzing: what reads bytes that nobody vouches for. No part of the interface of this crate.

use std::io;
use std::path::Path;

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::log::{BatchHeader, Log, LogConfig, Records};
use crate::{journal, wire};

/// A batch with one record.
const ONE_RECORD: &[u8] = b"\0\0\0\0\0\0\0\0\0\0\0\x3a\0\0\0\0\x02\xfe\x91\x7c\xab\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\x01\x10\0\0\0\x02\x6b\x02\x76\0";

/// Decodes `bytes` as they are, and as the body of the API and the version that the first two of them choose: hardly any random
/// bytes have a header that leads further.
pub fn decode_request(bytes: &[u8]) {
    let _ = wire::decode(Bytes::copy_from_slice(bytes));
    let [choice, version, body @ ..] = bytes else { return };
    let (api, min, max) = wire::APIS[usize::from(*choice) % wire::APIS.len()];
    let version = min + i16::from(*version) % (max - min + 1);
    let mut frame = BytesMut::with_capacity(16 + body.len());
    frame.put_i16(api as i16);
    frame.put_i16(version);
    frame.put_i32(1);
    frame.put_i16(-1);
    if api.request_header_version(version) >= 2 {
        // No tagged fields.
        frame.put_u8(0);
    }
    frame.put_slice(body);
    let _ = wire::decode(frame.freeze());
}

/// Reads `bytes` as the journal of the broker.
pub fn read_journal(bytes: &[u8]) {
    if let Ok((_, end)) = journal::read(bytes) {
        assert!(end <= bytes.len(), "it ends where the bytes end, at the latest");
    }
}

/// Opens the files in `dir` as a log, and does with it what a broker does. Panics only if the log is wrong.
pub fn recover_segments(dir: &Path) -> io::Result<()> {
    let config =
        LogConfig { compact: true, delete: false, min_cleanable_dirty_ratio: 0.0, ..LogConfig::default() };
    let (mut log, _) = Log::open(dir, config).map_err(io::Error::other)?;
    let (mut offset, end) = (log.start_offset(), log.end_offset());
    while offset < end {
        let Ok(bytes) = log.read(offset, end, 1 << 20, true) else { break };
        let Some(next) = next_offset(&bytes) else { break };
        assert!(next > offset, "a read gets ahead");
        offset = next;
    }
    let _ = log.offset_for_time(0, end);
    let _ = log.max_timestamp();
    let _ = log.aborted(log.start_offset(), end);
    for now_ms in [0, i64::MAX / 2, i64::MAX] {
        let _ = log.maintain(now_ms);
        log.append(ONE_RECORD, now_ms).map_err(io::Error::other)?;
    }
    let again = Log::open(dir, log.config().clone());
    again.map(|_| ()).map_err(io::Error::other)
}

/// Appends `batches` to an empty log in `dir`.
pub fn append_batches(dir: &Path, batches: &[u8]) -> io::Result<()> {
    let (mut log, _) = Log::open(dir, LogConfig::default()).map_err(io::Error::other)?;
    log.append(batches, 0).map(|_| ()).map_err(io::Error::other)
}

/// Reads `batch` as a record batch with all its records. How many there are.
pub fn read_records(batch: &[u8]) -> io::Result<usize> {
    let header = BatchHeader::parse(batch).map_err(io::Error::other)?;
    if batch.len() < header.batch_bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let records = Records::open(&header, batch, 1 << 20).map_err(io::Error::other)?;
    records.iter().try_fold(0, |count, it| it.map(|_| count + 1)).map_err(io::Error::other)
}

/// Behind the last whole batch.
fn next_offset(mut batches: &[u8]) -> Option<i64> {
    let mut next = None;
    while let Ok(header) = BatchHeader::parse(batches) {
        next = Some(header.last_offset() + 1);
        batches = batches.get(header.batch_bytes..)?;
    }
    next
}
