//! What tests of the log have in common: a builder of client batches, and readers that see what a consumer sees.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use crate::log::batch::{self, Attributes, BatchHeader};
use crate::log::compression::Codec;
use crate::log::files::{self, FileKind};
use crate::log::log::Log;
use crate::log::marker::{Marker, Outcome};
use crate::log::records::Records;
use crate::log::{Appended, LogConfig, varint};

/// A batch as a producer makes it.
#[derive(Clone, Debug)]
pub(crate) struct BatchBuilder {
    header: BatchHeader,
    codec: Codec,
    records: Vec<(Option<String>, Option<String>, i64)>,
}

impl BatchBuilder {
    pub(crate) fn new() -> Self {
        let header = BatchHeader {
            base_offset: 0,
            batch_bytes: 0,
            crc: 0,
            attributes: Attributes(0),
            last_offset_delta: 0,
            base_timestamp_ms: 0,
            max_timestamp_ms: 0,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            record_count: 0,
        };
        Self { header, codec: Codec::None, records: Vec::new() }
    }

    pub(crate) fn record(mut self, key: Option<&str>, value: Option<&str>, timestamp_ms: i64) -> Self {
        self.records.push((key.map(str::to_owned), value.map(str::to_owned), timestamp_ms));
        self
    }

    pub(crate) fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    pub(crate) fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> Self {
        self.header.producer_id = id;
        self.header.producer_epoch = epoch;
        self.header.base_sequence = base_sequence;
        self
    }

    pub(crate) fn transactional(mut self) -> Self {
        self.header.attributes.0 |= Attributes::TRANSACTIONAL;
        self
    }

    pub(crate) fn header(mut self, change: impl FnOnce(&mut BatchHeader)) -> Self {
        change(&mut self.header);
        self
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let mut plain = Vec::new();
        let base_timestamp_ms = self.records.first().map_or(0, |it| it.2);
        for (delta, (key, value, timestamp_ms)) in self.records.iter().enumerate() {
            let mut body = vec![0];
            varint::put(&mut body, timestamp_ms - base_timestamp_ms);
            varint::put(&mut body, delta as i64);
            for part in [key, value] {
                varint::put(&mut body, part.as_ref().map_or(-1, |it| it.len() as i64));
                body.extend(part.as_deref().unwrap_or_default().as_bytes());
            }
            varint::put(&mut body, 1);
            body.extend(b"\x02h\x02v");
            varint::put(&mut plain, body.len() as i64);
            plain.extend(body);
        }
        let codec_id = match self.codec {
            Codec::None => 0,
            Codec::Gzip => 1,
            Codec::Snappy => 2,
            Codec::Lz4 => 3,
            Codec::Zstd => 4,
        };
        let mut header = self.header;
        header.attributes.0 |= codec_id;
        header.record_count += self.records.len() as i32;
        header.last_offset_delta += self.records.len() as i32 - 1;
        header.base_timestamp_ms += base_timestamp_ms;
        header.max_timestamp_ms += self.records.iter().map(|it| it.2).max().unwrap_or(0);
        batch::build(&header, &self.codec.compress(&plain).unwrap())
    }
}

/// A batch of one record with this key and value.
pub(crate) fn one(key: &str, value: &str) -> Vec<u8> {
    BatchBuilder::new().record(Some(key), Some(value), 0).build()
}

/// A record as a consumer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) offset: i64,
    pub(crate) timestamp_ms: i64,
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
}

pub(crate) fn headers_of(mut batches: &[u8]) -> Vec<(BatchHeader, Vec<u8>)> {
    let mut headers = Vec::new();
    while !batches.is_empty() {
        let header = BatchHeader::parse(batches).unwrap();
        batch::verify(&header, batches).unwrap();
        headers.push((header, batches[..header.batch_bytes].to_vec()));
        batches = &batches[header.batch_bytes..];
    }
    headers
}

/// The records of batches, control records included.
pub(crate) fn records_of(batches: &[u8]) -> Vec<Seen> {
    headers_of(batches).iter().flat_map(|(header, batch)| records_of_batch(header, batch)).collect()
}

fn records_of_batch(header: &BatchHeader, batch: &[u8]) -> Vec<Seen> {
    let text = |it: &[u8]| String::from_utf8_lossy(it).into_owned();
    let records = Records::open(header, batch, 64 << 20).unwrap();
    records
        .iter()
        .map(|it| it.unwrap())
        .map(|it| Seen {
            offset: header.base_offset + i64::from(it.offset_delta),
            timestamp_ms: match header.attributes.is_log_append_time() {
                true => header.max_timestamp_ms,
                false => header.base_timestamp_ms + it.timestamp_delta_ms,
            },
            key: it.key.map(text),
            value: it.value.map(text),
        })
        .collect()
}

/// Every batch from `from` up to `upto`, read in portions.
pub(crate) fn read_batches(
    log: &Log,
    mut from: i64,
    upto: i64,
    bytes_max: usize,
) -> Vec<(BatchHeader, Vec<u8>)> {
    let mut batches = Vec::new();
    while from < upto {
        let portion = headers_of(&log.read(from, upto, bytes_max, true).unwrap());
        let Some((last, _)) = portion.last() else { break };
        from = last.last_offset() + 1;
        batches.extend(portion);
    }
    batches
}

/// What a `read_uncommitted` consumer sees.
pub(crate) fn read_all(log: &Log) -> Vec<Seen> {
    let batches = read_batches(log, log.start_offset(), log.end_offset(), 4096);
    batches
        .iter()
        .filter(|(header, _)| !header.attributes.is_control())
        .flat_map(|(header, batch)| records_of_batch(header, batch))
        .collect()
}

/// What a `read_committed` consumer sees that starts at `from`: it leaves out what the fetch responses say is aborted, as clients do.
pub(crate) fn read_committed(log: &Log, from: i64, bytes_max: usize) -> Vec<Seen> {
    let upto = log.last_stable_offset();
    let (mut position, mut seen) = (from, Vec::new());
    while position < upto {
        let portion = headers_of(&log.read(position, upto, bytes_max, true).unwrap());
        let Some((last, _)) = portion.last() else { break };
        // As brokers do: up to where this response ends.
        let mut aborted = log.aborted(position, last.last_offset() + 1);
        aborted.sort_by_key(|it| it.first_offset);
        let mut upcoming = aborted.into_iter().peekable();
        let mut void = HashSet::new();
        for (header, batch) in &portion {
            while let Some(it) = upcoming.next_if(|it| it.first_offset <= header.last_offset()) {
                void.insert(it.producer_id);
            }
            if header.attributes.is_control() {
                if Marker::parse(header, batch).is_some_and(|it| it.outcome == Outcome::Abort) {
                    void.remove(&header.producer_id);
                }
            } else if !(header.attributes.is_transactional() && void.contains(&header.producer_id)) {
                seen.extend(records_of_batch(header, batch).into_iter().filter(|it| it.offset >= from));
            }
        }
        position = last.last_offset() + 1;
    }
    seen
}

/// What the records say of each key in the end; tombstones included.
pub(crate) fn fold(records: &[Seen]) -> BTreeMap<String, (i64, Option<String>)> {
    records.iter().filter_map(|it| Some((it.key.clone()?, (it.offset, it.value.clone())))).collect()
}

/// Without keys whose latest record is a tombstone.
pub(crate) fn live(records: &[Seen]) -> BTreeMap<String, String> {
    fold(records).into_iter().filter_map(|(key, (_, value))| Some((key, value?))).collect()
}

pub(crate) fn append(log: &mut Log, batch: &BatchBuilder) -> Appended {
    log.append(&batch.build(), 0).unwrap()
}

/// A log in a directory that goes with it.
#[derive(Debug)]
pub(crate) struct Fixture {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) config: LogConfig,
}

impl Fixture {
    pub(crate) fn new(change: impl FnOnce(&mut LogConfig)) -> Self {
        let mut config = LogConfig { index_interval_bytes: 200, retention_ms: None, ..LogConfig::default() };
        change(&mut config);
        Self { dir: tempfile::tempdir().unwrap(), config }
    }

    pub(crate) fn open(&self) -> Log {
        self.recover().0
    }

    pub(crate) fn recover(&self) -> (Log, crate::log::recovery::Recovery) {
        Log::open(self.dir.path(), self.config.clone()).unwrap()
    }
}

/// The bytes of the segment files in a directory, by base offset.
pub(crate) fn segment_sizes(dir: &Path) -> BTreeMap<i64, u64> {
    let found = files::list(dir).unwrap().into_iter();
    found
        .filter_map(|(kind, path)| match kind {
            FileKind::Segment { base } => Some((base, path.metadata().unwrap().len())),
            _ => None,
        })
        .collect()
}
