//! Transaction markers: control batches that end a producer's transaction in this partition (KIP-98).

use crate::log::batch::{self, Attributes, BatchHeader, HEADER_BYTES};
use crate::log::records::Records;
use crate::log::varint;

/// Of a whole marker; a control batch that is larger is none.
pub(crate) const MARKER_BYTES_MAX: usize = 1024;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Commit,
    Abort,
}

/// What a marker says beyond the producer and epoch in its batch header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) outcome: Outcome,
    /// Of the transaction coordinator that wrote it; an older one is fenced.
    pub(crate) coordinator_epoch: i32,
}

impl Marker {
    /// The batch that puts this marker into the log.
    pub(crate) fn build(self, producer_id: i64, producer_epoch: i16, offset: i64, now_ms: i64) -> Vec<u8> {
        let kind: i16 = match self.outcome {
            Outcome::Abort => 0,
            Outcome::Commit => 1,
        };
        let key = [[0, 0], kind.to_be_bytes()].concat();
        let value = [&[0, 0][..], &self.coordinator_epoch.to_be_bytes()].concat();
        let mut record = vec![0, 0, 0]; // Attributes, timestamp delta, offset delta.
        for part in [key, value] {
            varint::put(&mut record, part.len() as i64);
            record.extend(part);
        }
        record.push(0); // Headers.
        let mut records = Vec::new();
        varint::put(&mut records, record.len() as i64);
        records.extend(record);
        let header = BatchHeader {
            base_offset: offset,
            batch_bytes: HEADER_BYTES + records.len(),
            crc: 0,
            attributes: Attributes(Attributes::TRANSACTIONAL | Attributes::CONTROL),
            last_offset_delta: 0,
            base_timestamp_ms: now_ms,
            max_timestamp_ms: now_ms,
            producer_id,
            producer_epoch,
            base_sequence: -1,
            record_count: 1,
        };
        batch::build(&header, &records)
    }

    /// `None` for other control records, and where compaction has removed the marker and left the batch.
    pub(crate) fn parse(header: &BatchHeader, batch: &[u8]) -> Option<Self> {
        let records = Records::open(header, batch, MARKER_BYTES_MAX).ok()?;
        let record = records.iter().next()?.ok()?;
        let [_, _, kind @ ..] = record.key? else { return None };
        let outcome = match i16::from_be_bytes(*kind.first_chunk()?) {
            0 => Outcome::Abort,
            1 => Outcome::Commit,
            _ => return None,
        };
        let [_, _, coordinator_epoch @ ..] = record.value? else { return None };
        Some(Self { outcome, coordinator_epoch: i32::from_be_bytes(*coordinator_epoch.first_chunk()?) })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use kafka_protocol::records::RecordBatchDecoder;

    use super::*;

    #[test]
    fn a_marker_is_read_as_it_was_written() {
        for outcome in [Outcome::Commit, Outcome::Abort] {
            let marker = Marker { outcome, coordinator_epoch: 3 };
            let bytes = marker.build(40, 2, 77, 1_000);
            let header = BatchHeader::parse(&bytes).unwrap();
            batch::verify(&header, &bytes).unwrap();
            assert_eq!(Marker::parse(&header, &bytes), Some(marker));
            assert_eq!((header.base_offset, header.producer_id, header.producer_epoch), (77, 40, 2));
        }
    }

    #[test]
    fn clients_read_it() {
        let marker = Marker { outcome: Outcome::Commit, coordinator_epoch: 3 };
        let mut bytes = Bytes::from(marker.build(40, 2, 77, 1_000));
        let records = RecordBatchDecoder::decode(&mut bytes).unwrap().records;
        assert_eq!(records.len(), 1);
        assert!(records[0].control && records[0].transactional);
        assert_eq!((records[0].offset, records[0].timestamp, records[0].producer_epoch), (77, 1_000, 2));
        assert_eq!(records[0].key.as_deref(), Some(&[0, 0, 0, 1][..]));
        assert_eq!(records[0].value.as_deref(), Some(&[0, 0, 0, 0, 0, 3][..]));
    }
}
