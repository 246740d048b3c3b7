//! The records of a batch: where each one is, and what the log needs to know about it.

use std::borrow::Cow;
use std::io;

use crate::log::batch::{BatchHeader, HEADER_BYTES};
use crate::log::compression::Codec;
use crate::log::varint;

/// One record, as it is in the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// All of it, with its length in front.
    pub(crate) raw: &'a [u8],
    attributes: u8,
    /// From the base timestamp of the batch, in ms.
    pub(crate) timestamp_delta_ms: i64,
    /// From the base offset of the batch.
    pub(crate) offset_delta: i32,
    pub(crate) key: Option<&'a [u8]>,
    /// A record with a key and no value is a tombstone.
    pub(crate) value: Option<&'a [u8]>,
    /// What comes after the timestamp.
    rest: &'a [u8],
}

impl Record<'_> {
    /// Appends this record to `bytes`, with another timestamp delta.
    pub(crate) fn write_at(&self, timestamp_delta_ms: i64, bytes: &mut Vec<u8>) {
        let mut body = Vec::with_capacity(self.rest.len() + 11);
        body.push(self.attributes);
        varint::put(&mut body, timestamp_delta_ms);
        body.extend(self.rest);
        varint::put(bytes, body.len() as i64);
        bytes.extend(body);
    }
}

/// The decompressed records of one batch.
#[derive(Debug)]
pub(crate) struct Records<'a> {
    plain: Cow<'a, [u8]>,
    last_offset_delta: i32,
    record_count: i32,
}

impl<'a> Records<'a> {
    /// `batch` is all of the batch that `header` describes. At most `bytes_max` of records are decompressed.
    pub(crate) fn open(
        header: &BatchHeader,
        batch: &'a [u8],
        bytes_max: usize,
    ) -> Result<Self, RecordsError> {
        let id = header.attributes.compression_id();
        let codec = Codec::from_id(id).ok_or(RecordsError::Codec(id))?;
        // Compaction leaves nothing, not an empty frame, where it has removed every record.
        let plain = if header.record_count == 0 {
            Cow::Borrowed(&[][..])
        } else {
            codec.decompress(&batch[HEADER_BYTES..header.batch_bytes], bytes_max)?
        };
        Ok(Self { plain, last_offset_delta: header.last_offset_delta, record_count: header.record_count })
    }

    /// Ends after the first error.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Result<Record<'_>, RecordsError>> {
        let mut rest = &self.plain[..];
        let mut left = self.record_count;
        let mut lowest = 0;
        std::iter::from_fn(move || {
            if left == 0 {
                let is_garbage = !std::mem::take(&mut rest).is_empty();
                return is_garbage.then_some(Err(RecordsError::Malformed));
            }
            let record = parse(&mut rest)
                // Offsets rise, or compaction and consumers would disagree on which record is the newest.
                .filter(|it| (lowest..=self.last_offset_delta).contains(&it.offset_delta))
                .ok_or(RecordsError::Malformed);
            match &record {
                Ok(record) => {
                    lowest = record.offset_delta.saturating_add(1);
                    left -= 1;
                }
                Err(_) => (left, rest) = (0, &[]),
            }
            Some(record)
        })
    }
}

fn parse<'a>(bytes: &mut &'a [u8]) -> Option<Record<'a>> {
    let start = *bytes;
    let length = varint::take_length(bytes)??;
    let (mut body, after) = bytes.split_at(length);
    let raw = &start[..start.len() - after.len()];
    *bytes = after;
    let attributes = *body.split_off_first()?;
    let timestamp_delta_ms = varint::take(&mut body)?;
    let rest = body;
    let offset_delta = i32::try_from(varint::take(&mut body)?).ok()?;
    let key = take_bytes(&mut body)?;
    let value = take_bytes(&mut body)?;
    for _ in 0..u32::try_from(varint::take(&mut body)?).ok()? {
        take_bytes(&mut body)??;
        take_bytes(&mut body)?;
    }
    body.is_empty().then_some(Record { raw, attributes, timestamp_delta_ms, offset_delta, key, value, rest })
}

/// Takes off a byte string that may be null: `None` is an error, `Some(None)` is null.
fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let Some(length) = varint::take_length(bytes)? else { return Some(None) };
    bytes.split_off(..length).map(Some)
}

/// Why the records of a batch cannot be read. Its checksum may match nonetheless: producers can send anything.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordsError {
    #[error("compression {0} is unknown")]
    Codec(i16),
    #[error("the records cannot be decompressed")]
    Compression(#[from] io::Error),
    #[error("the records are not laid out as the batch says")]
    Malformed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::batch::{self, Attributes};
    use crate::log::testing::{BatchBuilder, records_of};

    #[test]
    fn records_are_found_in_each_codec() {
        for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let bytes = BatchBuilder::new()
                .codec(codec)
                .record(Some("k"), Some("v"), 1_000)
                .record(None, Some(""), 1_003)
                .record(Some(""), None, 999)
                .build();
            let found: Vec<_> = records_of(&bytes)
                .into_iter()
                .map(|it| (it.offset, it.key.as_deref().map(str::to_owned), it.value, it.timestamp_ms))
                .collect();
            let expected = [
                (0, Some("k".into()), Some("v".into()), 1_000),
                (1, None, Some("".into()), 1_003),
                (2, Some("".into()), None, 999),
            ];
            assert_eq!(found, expected, "{codec:?}");
        }
    }

    #[test]
    fn a_record_moves_in_time_and_stays_the_same_otherwise() {
        let bytes = BatchBuilder::new().record(Some("key"), Some("value"), 5).build();
        let header = BatchHeader::parse(&bytes).unwrap();
        let records = Records::open(&header, &bytes, 1_000).unwrap();
        let record = records.iter().next().unwrap().unwrap();
        let mut moved = Vec::new();
        record.write_at(-1_000_000_000_000, &mut moved);
        let again = parse(&mut &moved[..]).unwrap();
        assert_eq!(again.raw, moved);
        assert_eq!(
            (again.timestamp_delta_ms, again.offset_delta, again.key, again.value),
            (-1_000_000_000_000, 0, Some(&b"key"[..]), Some(&b"value"[..]))
        );
        let mut same = Vec::new();
        record.write_at(record.timestamp_delta_ms, &mut same);
        assert_eq!(same, record.raw);
    }

    #[test]
    fn no_change_of_a_byte_panics_and_no_prefix_is_complete() {
        let bytes =
            BatchBuilder::new().record(Some("key"), Some("value"), 5).record(Some("k"), None, 6).build();
        let header = BatchHeader::parse(&bytes).unwrap();
        for at in HEADER_BYTES..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ 1] {
                let mut changed = bytes.clone();
                changed[at] = value;
                let records = Records::open(&header, &changed, 1_000).unwrap();
                assert!(records.iter().count() <= 3);
            }
            let cut = batch::build(&header, &bytes[HEADER_BYTES..at]);
            let header = BatchHeader::parse(&cut).unwrap();
            let records = Records::open(&header, &cut, 1_000).unwrap();
            assert!(records.iter().any(|it| it.is_err()), "cut at {at}");
        }
    }

    #[test]
    fn an_unknown_codec_is_an_error() {
        let bytes = BatchBuilder::new().record(None, None, 0).build();
        let header = BatchHeader { attributes: Attributes(7), ..BatchHeader::parse(&bytes).unwrap() };
        assert!(matches!(Records::open(&header, &bytes, 1_000), Err(RecordsError::Codec(7))));
    }
}
