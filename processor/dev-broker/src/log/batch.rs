//! The header of a record batch, as a view over bytes: format v2, the only one that brokers still accept (KIP-98, KIP-896).
//!
//! | bytes | | |
//! |---|---|---|
//! | 0..8 | base offset | patched by the broker, so no checksum covers it |
//! | 8..12 | bytes that follow | |
//! | 12..16 | partition leader epoch | patched too; always 0 here |
//! | 16 | magic | 2 |
//! | 17..21 | CRC-32C of everything from byte 21 | |
//! | 21..23 | attributes | see [`Attributes`] |
//! | 23..27 | last offset delta | stays when compaction removes records |
//! | 27..35 | base timestamp, in ms | the delete horizon instead, if the attributes say so (KIP-534) |
//! | 35..43 | max timestamp, in ms | |
//! | 43..51, 51..53, 53..57 | producer id, producer epoch, base sequence | -1 without idempotence |
//! | 57..61 | number of records | 0 after compaction removed all of them |
//! | 61.. | the records, compressed as the attributes say | |

/// Of a batch without its records.
pub(crate) const HEADER_BYTES: usize = 61;

/// A batch that claims to be larger is taken for damage, so that a length field never decides how much memory is asked for.
pub(crate) const BATCH_BYTES_MAX: usize = 128 << 20;

/// Higher offsets are taken for damage: what is left above them is more than anybody appends, so `offset + 1` cannot overflow.
pub(crate) const OFFSET_MAX: i64 = i64::MAX - (1 << 40);

/// In place of a producer id, epoch, sequence or timestamp.
pub(crate) const NONE: i64 = -1;

const LENGTH_AT: usize = 8;
const LEADER_EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const BASE_TIMESTAMP_AT: usize = 27;
const MAX_TIMESTAMP_AT: usize = 35;
const RECORD_COUNT_AT: usize = 57;

/// What precedes the bytes that the length field counts.
const LENGTH_EXCLUDES: usize = 12;

/// The bit set that says how a batch is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attributes(pub(crate) i16);

impl Attributes {
    const COMPRESSION: i16 = 0b111;
    const LOG_APPEND_TIME: i16 = 1 << 3;
    pub(crate) const TRANSACTIONAL: i16 = 1 << 4;
    pub(crate) const CONTROL: i16 = 1 << 5;
    const DELETE_HORIZON: i16 = 1 << 6;

    pub(crate) fn compression_id(self) -> i16 {
        self.0 & Self::COMPRESSION
    }

    pub(crate) fn is_log_append_time(self) -> bool {
        self.0 & Self::LOG_APPEND_TIME != 0
    }

    pub(crate) fn is_transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    pub(crate) fn is_control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    pub(crate) fn has_delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }

    pub(crate) fn with_delete_horizon(self) -> Self {
        Self(self.0 | Self::DELETE_HORIZON)
    }

    pub(crate) fn uncompressed(self) -> Self {
        Self(self.0 & !Self::COMPRESSION)
    }
}

/// The fields of a header whose lengths and offsets make sense. Its checksum is another matter: see [`verify`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub(crate) base_offset: i64,
    /// The whole batch, this header included.
    pub(crate) batch_bytes: usize,
    pub(crate) crc: u32,
    pub(crate) attributes: Attributes,
    pub(crate) last_offset_delta: i32,
    pub(crate) base_timestamp_ms: i64,
    pub(crate) max_timestamp_ms: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) record_count: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`, which may end before the batch does.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        if bytes.len() <= MAGIC_AT {
            return Err(BatchError::Truncated { bytes: bytes.len() });
        }
        // Older formats have the magic at the same place and are shorter, so it is looked at first.
        let magic = i8::from_be_bytes(field(bytes, MAGIC_AT));
        if magic != 2 {
            return Err(BatchError::Magic(magic));
        }
        if bytes.len() < HEADER_BYTES {
            return Err(BatchError::Truncated { bytes: bytes.len() });
        }
        let length = i32::from_be_bytes(field(bytes, LENGTH_AT));
        let batch_bytes = usize::try_from(length).ok().and_then(|it| it.checked_add(LENGTH_EXCLUDES));
        let Some(batch_bytes) = batch_bytes.filter(|it| (HEADER_BYTES..=BATCH_BYTES_MAX).contains(it)) else {
            return Err(BatchError::Length(length));
        };
        let header = Self {
            base_offset: i64::from_be_bytes(field(bytes, 0)),
            batch_bytes,
            crc: u32::from_be_bytes(field(bytes, CRC_AT)),
            attributes: Attributes(i16::from_be_bytes(field(bytes, ATTRIBUTES_AT))),
            last_offset_delta: i32::from_be_bytes(field(bytes, 23)),
            base_timestamp_ms: i64::from_be_bytes(field(bytes, BASE_TIMESTAMP_AT)),
            max_timestamp_ms: i64::from_be_bytes(field(bytes, MAX_TIMESTAMP_AT)),
            producer_id: i64::from_be_bytes(field(bytes, 43)),
            producer_epoch: i16::from_be_bytes(field(bytes, 51)),
            base_sequence: i32::from_be_bytes(field(bytes, 53)),
            record_count: i32::from_be_bytes(field(bytes, RECORD_COUNT_AT)),
        };
        if !(0..OFFSET_MAX).contains(&header.base_offset) || header.last_offset_delta < 0 {
            return Err(BatchError::Offsets {
                base: header.base_offset,
                last_delta: header.last_offset_delta,
            });
        }
        let count_max = i64::from(header.last_offset_delta) + 1;
        if !(0..=count_max).contains(&i64::from(header.record_count)) {
            return Err(BatchError::Count {
                count: header.record_count,
                last_delta: header.last_offset_delta,
            });
        }
        Ok(header)
    }

    pub(crate) fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    pub(crate) fn has_producer(&self) -> bool {
        self.producer_id > NONE
    }

    /// Of the last record, also if compaction has removed it.
    pub(crate) fn last_sequence(&self) -> i32 {
        add_sequence(self.base_sequence, self.last_offset_delta)
    }

    /// Until when tombstones and transaction markers in this batch stay, once compaction has decided it (KIP-534).
    pub(crate) fn delete_horizon_ms(&self) -> Option<i64> {
        self.attributes.has_delete_horizon().then_some(self.base_timestamp_ms)
    }
}

/// The sequence `increment` records later: after the largest number comes 0.
pub(crate) fn add_sequence(sequence: i32, increment: i32) -> i32 {
    if sequence > i32::MAX - increment { increment - (i32::MAX - sequence) - 1 } else { sequence + increment }
}

/// Whether the bytes of a batch are those that its checksum was made of.
pub(crate) fn verify(header: &BatchHeader, batch: &[u8]) -> Result<(), BatchError> {
    let actual = crc32c::crc32c(&batch[ATTRIBUTES_AT..header.batch_bytes]);
    if actual == header.crc { Ok(()) } else { Err(BatchError::Checksum) }
}

/// The checksum over the part of it that is in the header, to be continued with the records.
pub(crate) fn header_crc(header: &[u8; HEADER_BYTES]) -> u32 {
    crc32c::crc32c(&header[ATTRIBUTES_AT..])
}

/// Gives a batch its place in the log. No checksum covers these fields.
pub(crate) fn place(batch: &mut [u8], base_offset: i64) {
    put(batch, 0, base_offset.to_be_bytes());
    put(batch, LEADER_EPOCH_AT, 0_i32.to_be_bytes());
}

/// Makes the time of the append the timestamp of every record of a batch.
pub(crate) fn stamp_append_time(batch: &mut [u8], header: &BatchHeader, now_ms: i64) {
    let attributes = header.attributes.0 | Attributes::LOG_APPEND_TIME;
    put(batch, ATTRIBUTES_AT, attributes.to_be_bytes());
    put(batch, MAX_TIMESTAMP_AT, now_ms.to_be_bytes());
    seal(batch);
}

/// A batch with the fields of `header` and other records; its length and checksum follow from them.
pub(crate) fn build(header: &BatchHeader, records: &[u8]) -> Vec<u8> {
    let mut batch = Vec::with_capacity(HEADER_BYTES + records.len());
    batch.extend(header.base_offset.to_be_bytes());
    batch.extend([0; 8]); // The length and the leader epoch.
    batch.push(2);
    batch.extend([0; 4]); // The checksum.
    batch.extend(header.attributes.0.to_be_bytes());
    batch.extend(header.last_offset_delta.to_be_bytes());
    batch.extend(header.base_timestamp_ms.to_be_bytes());
    batch.extend(header.max_timestamp_ms.to_be_bytes());
    batch.extend(header.producer_id.to_be_bytes());
    batch.extend(header.producer_epoch.to_be_bytes());
    batch.extend(header.base_sequence.to_be_bytes());
    batch.extend(header.record_count.to_be_bytes());
    batch.extend(records);
    seal(&mut batch);
    batch
}

fn seal(batch: &mut [u8]) {
    let length = i32::try_from(batch.len() - LENGTH_EXCLUDES).expect("a batch is far below 2 GiB");
    put(batch, LENGTH_AT, length.to_be_bytes());
    let crc = crc32c::crc32c(&batch[ATTRIBUTES_AT..]);
    put(batch, CRC_AT, crc.to_be_bytes());
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("as long as asked for")
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

/// Why bytes are no record batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BatchError {
    #[error("a record batch ends after {bytes} bytes")]
    Truncated { bytes: usize },
    #[error("record format {0}, where only 2 is supported")]
    Magic(i8),
    #[error("a record batch says that it is {0} bytes long")]
    Length(i32),
    #[error("a record batch with base offset {base} and last offset delta {last_delta}")]
    Offsets { base: i64, last_delta: i32 },
    #[error("a record batch says that it has {count} records with offset deltas up to {last_delta}")]
    Count { count: i32, last_delta: i32 },
    #[error("the checksum of a record batch does not match")]
    Checksum,
    #[error("a record batch at offset {base}, where {lowest} is the lowest that may follow")]
    Overlap { base: i64, lowest: i64 },
    #[error("a record batch reaches offset {last}, but the next segment starts at {next_base}")]
    BeyondSegment { last: i64, next_base: i64 },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> BatchHeader {
        BatchHeader {
            base_offset: 7,
            batch_bytes: HEADER_BYTES + 5,
            crc: 0,
            attributes: Attributes(Attributes::TRANSACTIONAL | 4),
            last_offset_delta: 9,
            base_timestamp_ms: 1_000,
            max_timestamp_ms: 2_000,
            producer_id: 40,
            producer_epoch: 3,
            base_sequence: i32::MAX - 4,
            record_count: 10,
        }
    }

    #[test]
    fn what_was_built_is_parsed() {
        let batch = build(&header(), b"12345");
        let parsed = BatchHeader::parse(&batch).unwrap();
        assert_eq!(parsed, BatchHeader { crc: parsed.crc, ..header() });
        verify(&parsed, &batch).unwrap();
        assert_eq!((parsed.last_offset(), parsed.last_sequence()), (16, 4));
        assert_eq!(parsed.attributes.compression_id(), 4);
        assert_eq!(parsed.delete_horizon_ms(), None);
    }

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(add_sequence(5, 3), 8);
        assert_eq!(add_sequence(i32::MAX, 0), i32::MAX);
        assert_eq!(add_sequence(i32::MAX, 1), 0);
        assert_eq!(add_sequence(i32::MAX - 1, 5), 3);
        assert_eq!(add_sequence(-1, 0), -1);
    }

    #[test]
    fn a_batch_moves_without_a_new_checksum_but_not_in_time() {
        let mut batch = build(&header(), b"12345");
        place(&mut batch, 1 << 40);
        let placed = BatchHeader::parse(&batch).unwrap();
        verify(&placed, &batch).unwrap();
        assert_eq!(placed.base_offset, 1 << 40);
        stamp_append_time(&mut batch, &placed, 9_999);
        let stamped = BatchHeader::parse(&batch).unwrap();
        verify(&stamped, &batch).unwrap();
        assert_ne!(stamped.crc, placed.crc);
        assert!(stamped.attributes.is_log_append_time());
        assert_eq!((stamped.max_timestamp_ms, stamped.base_timestamp_ms), (9_999, 1_000));
    }

    #[test]
    fn headers_that_make_no_sense_are_refused() {
        let refused = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut batch = build(&header(), b"12345");
            change(&mut batch);
            BatchHeader::parse(&batch).unwrap_err()
        };
        assert_eq!(refused(&|it| it.truncate(60)), BatchError::Truncated { bytes: 60 });
        assert_eq!(refused(&|it| it.truncate(16)), BatchError::Truncated { bytes: 16 });
        assert_eq!(refused(&|it| it[16] = 1), BatchError::Magic(1));
        assert_eq!(refused(&|it| put(it, 8, 48_i32.to_be_bytes())), BatchError::Length(48));
        assert_eq!(refused(&|it| put(it, 8, i32::MAX.to_be_bytes())), BatchError::Length(i32::MAX));
        assert_eq!(refused(&|it| put(it, 8, (-1_i32).to_be_bytes())), BatchError::Length(-1));
        assert_eq!(
            refused(&|it| put(it, 0, i64::MAX.to_be_bytes())),
            BatchError::Offsets { base: i64::MAX, last_delta: 9 }
        );
        assert_eq!(
            refused(&|it| put(it, 23, (-1_i32).to_be_bytes())),
            BatchError::Offsets { base: 7, last_delta: -1 }
        );
        assert_eq!(
            refused(&|it| put(it, 57, 11_i32.to_be_bytes())),
            BatchError::Count { count: 11, last_delta: 9 }
        );
    }
}
