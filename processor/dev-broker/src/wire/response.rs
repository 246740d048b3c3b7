//! Answers as bytes.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::ResponseHeader;
use kafka_protocol::protocol::{Encodable, StrBytes};

use super::{CodecError, Header};

/// A whole frame: length, header, body.
///
/// # Errors
/// When the answer has a field that this version of the API does not have, which is a mistake of ours.
pub(crate) fn encode<R: Encodable>(header: &Header, response: &R) -> Result<Bytes, CodecError> {
    encode_as(header, header.version, response)
}

/// The same in another version than that of the request.
pub(crate) fn encode_as<R: Encodable>(
    header: &Header,
    version: i16,
    response: &R,
) -> Result<Bytes, CodecError> {
    const LENGTH_BYTES: usize = 4;
    let mut frame = BytesMut::with_capacity(LENGTH_BYTES + 16 + response.compute_size(version)?);
    frame.extend_from_slice(&[0; LENGTH_BYTES]);
    ResponseHeader::default()
        .with_correlation_id(header.correlation_id)
        .encode(&mut frame, header.api.response_header_version(version))?;
    response.encode(&mut frame, version)?;
    let length = u32::try_from(frame.len() - LENGTH_BYTES)?;
    frame[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
    Ok(frame.freeze())
}

/// Text as the codec has it.
pub(crate) fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from_string(text.into())
}
