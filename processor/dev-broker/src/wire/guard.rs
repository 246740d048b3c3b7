//! Refuses requests that claim more elements than they have bytes, before the codec believes them.
//!
//! The codec reserves memory for as many elements as an array claims to have, before it reads the first: eight hostile bytes
//! would reserve hundreds of gigabytes, and a failed reservation ends the process. Every element takes a byte at least, so a
//! count above the bytes that remain is a lie. A request is therefore decoded twice: first from a [`Probe`], which shows the
//! codec no count above the bytes that remain, and lets it fail; only then from the bytes themselves.

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::protocol::Decodable;
use kafka_protocol::protocol::buf::ByteBuf;

use super::CodecError;

/// Whether `body` decodes as `R` without a count that cannot be.
pub(crate) fn check<R: Decodable>(body: &Bytes, version: i16) -> Result<(), CodecError> {
    R::decode(&mut Probe { bytes: body.clone(), varint: Varint::default() }, version)?;
    Ok(())
}

/// Bytes whose numbers are no larger than what is left of them.
///
/// A number of four bytes may be a count or may be a timeout: which one, a buffer cannot know. So a larger number is replaced by
/// one more than the bytes that remain: as a count it makes the codec fail at once, and as a timeout nobody looks at it here.
/// Numbers of variable length are counts, sizes or tags only, so a larger one is an error by itself.
#[derive(Debug)]
struct Probe {
    bytes: Bytes,
    varint: Varint,
}

/// What of a number of variable length has been read. A `bool` is read like one of its bytes, which makes the value here larger
/// than what the codec sees, never smaller.
#[derive(Debug, Default)]
struct Varint {
    value: u64,
    bits: u32,
}

impl Varint {
    /// The whole number, once its last byte is there. `Err` when its fifth byte is not the last: no number is longer, and the codec
    /// would take what it has so far for one.
    fn push(&mut self, byte: u8) -> Result<Option<u64>, ()> {
        const BITS_BEFORE_LAST: u32 = 28;
        self.value |= u64::from(byte & 0x7f) << self.bits;
        if byte & 0x80 == 0 {
            return Ok(Some(std::mem::take(self).value));
        }
        if self.bits >= BITS_BEFORE_LAST {
            return Err(());
        }
        self.bits += 7;
        Ok(None)
    }
}

impl Probe {
    fn shortage(&self, requested: usize) -> TryGetError {
        TryGetError { requested, available: self.bytes.len() }
    }

    /// One more than all elements that the rest can hold.
    fn count_max(&self) -> usize {
        self.bytes.len() + 1
    }
}

impl Buf for Probe {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.varint = Varint::default();
        self.bytes.advance(count);
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        self.varint = Varint::default();
        let value = self.bytes.try_get_i32()?;
        Ok(i32::try_from(self.count_max()).map_or(value, |max| value.min(max)))
    }

    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        let byte = self.bytes.try_get_u8()?;
        match self.varint.push(byte) {
            Ok(None) => Ok(byte),
            // The count of a compact array is one more than its elements.
            Ok(Some(value)) if value <= self.count_max() as u64 => Ok(byte),
            Ok(Some(value)) => Err(self.shortage(usize::try_from(value).unwrap_or(usize::MAX))),
            Err(()) => Err(self.shortage(usize::MAX)),
        }
    }
}

impl ByteBuf for Probe {
    fn peek_bytes(&mut self, range: std::ops::Range<usize>) -> Bytes {
        self.bytes.peek_bytes(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.varint = Varint::default();
        self.bytes.get_bytes(size)
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use kafka_protocol::messages::{
        DeleteGroupsRequest, FetchRequest, MetadataRequest, OffsetFetchRequest, TopicName,
    };
    use kafka_protocol::protocol::StrBytes;

    use super::*;

    fn encoded<R: kafka_protocol::protocol::Encodable>(request: &R, version: i16) -> Bytes {
        let mut bytes = BytesMut::new();
        request.encode(&mut bytes, version).expect("is encodable");
        bytes.freeze()
    }

    #[test]
    fn an_honest_request_passes_whatever_its_timeouts() {
        let request = FetchRequest::default().with_max_wait_ms(i32::MAX).with_max_bytes(i32::MAX);
        check::<FetchRequest>(&encoded(&request, 11), 11).expect("passes");
        let topic = kafka_protocol::messages::metadata_request::MetadataRequestTopic::default()
            .with_name(Some(TopicName(StrBytes::from_static_str("orders"))));
        for version in 0..=12 {
            let request = MetadataRequest::default().with_topics(Some(vec![topic.clone(); 300]));
            check::<MetadataRequest>(&encoded(&request, version), version).expect("passes");
        }
    }

    #[test]
    fn a_count_above_the_bytes_that_remain_is_refused() {
        // Classic: the count is a number of four bytes.
        let lie = Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff, 0, 1]);
        check::<MetadataRequest>(&lie, 1).expect_err("is refused");
        // Compact: group id "", then a count of five bytes.
        let lie = Bytes::from_static(&[1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0]);
        check::<OffsetFetchRequest>(&lie, 7).expect_err("is refused");
    }

    #[test]
    fn a_number_that_does_not_end_is_refused() {
        // Found by fuzzing: the codec takes the first five bytes for a number, whether it ends there or not.
        let endless = Bytes::from_static(&[0x95, 0x95, 0x95, 0x95, 0x95, 0xed]);
        check::<DeleteGroupsRequest>(&endless, 2).expect_err("is refused");
    }

    #[test]
    fn a_boolean_does_not_hide_a_count() {
        // A boolean with its highest bit set looks like the first byte of the count that follows: what comes of both is larger than
        // the count alone, or longer than any number.
        let push_all = |bytes: &[u8]| {
            let mut varint = Varint::default();
            bytes.iter().map(|it| varint.push(*it)).last()
        };
        assert_eq!(
            push_all(&[0x80, 0x80, 0x80, 0x80, 0x01]),
            Some(Ok(Some(1 << 28))),
            "1 << 21 without the boolean"
        );
        assert_eq!(push_all(&[0x80, 0x80, 0x80, 0x80, 0x80]), Some(Err(())));
    }
}
