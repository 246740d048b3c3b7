//! Records, to and from librdkafka.

use bytes::Bytes;
use millrace_schemas::Timestamp;
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Header, Headers, OwnedHeaders};

/// Records of one batch, at most.
pub(crate) const BATCH_RECORDS_MAX: usize = 500;

/// A batch is closed once it has so many bytes.
pub(crate) const BATCH_BYTES_MAX: usize = 1 << 20;

pub(crate) fn key(message: &BorrowedMessage<'_>) -> Option<Bytes> {
    message.key().map(Bytes::copy_from_slice)
}

pub(crate) fn value(message: &BorrowedMessage<'_>) -> Option<Bytes> {
    message.payload().map(Bytes::copy_from_slice)
}

/// A header without a value reads as an empty one.
pub(crate) fn headers(message: &BorrowedMessage<'_>) -> Vec<(String, Bytes)> {
    let Some(headers) = message.headers() else { return Vec::new() };
    headers
        .iter()
        .map(|it| (it.key.to_owned(), it.value.map(Bytes::copy_from_slice).unwrap_or_default()))
        .collect()
}

/// The record's own time; 0 if it has none, which only records of Kafka 0.9 do not.
pub(crate) fn timestamp(message: &BorrowedMessage<'_>) -> Timestamp {
    Timestamp(message.timestamp().to_millis().unwrap_or(0))
}

/// About what the record takes in memory, in bytes.
pub(crate) fn size(message: &BorrowedMessage<'_>) -> usize {
    message.payload_len() + message.key_len() + 64
}

pub(crate) fn owned_headers(headers: &[(String, Bytes)]) -> Option<OwnedHeaders> {
    if headers.is_empty() {
        return None;
    }
    let empty = OwnedHeaders::new_with_capacity(headers.len());
    Some(
        headers
            .iter()
            .fold(empty, |all, (key, value)| all.insert(Header { key, value: Some(value.as_ref()) })),
    )
}
