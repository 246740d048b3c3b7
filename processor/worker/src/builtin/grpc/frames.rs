//! Messages on the wire: each with a byte that says whether it is compressed, and its length in four.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::TaskFailure;

const HEADER_BYTES: usize = 5;

/// One message, to be sent.
///
/// # Errors
/// When it is larger than messages may be.
pub(super) fn framed(message: &[u8], bytes_max: usize) -> Result<Bytes, TaskFailure> {
    let length = u32::try_from(message.len()).ok().filter(|_| message.len() <= bytes_max);
    let length = length.ok_or_else(|| {
        TaskFailure::validation(format!("the message to send has more than {bytes_max} bytes"))
    })?;
    let mut out = BytesMut::with_capacity(HEADER_BYTES + message.len());
    out.put_u8(0);
    out.put_u32(length);
    out.put_slice(message);
    Ok(out.freeze())
}

/// Messages that are received, in pieces of any size.
#[derive(Debug)]
pub(super) struct Frames {
    bytes_max: usize,
    bytes: usize,
    rest: BytesMut,
    messages: Vec<Bytes>,
}

impl Frames {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, rest: BytesMut::new(), messages: Vec::new() }
    }

    /// # Errors
    /// What is wrong with what was received.
    pub(super) fn push(&mut self, data: &[u8]) -> Result<(), String> {
        self.bytes += data.len();
        // The header of a message that is as large as it may be is no message.
        if self.bytes > self.bytes_max + HEADER_BYTES {
            return Err(format!("the answer has more than {} bytes", self.bytes_max));
        }
        self.rest.extend_from_slice(data);
        while let Some(header) = self.rest.first_chunk::<HEADER_BYTES>() {
            let [flag, length @ ..] = *header;
            if flag != 0 {
                return Err("the answer is compressed, which was not asked for".to_owned());
            }
            let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
            if length > self.bytes_max {
                return Err(format!("the answer has more than {} bytes", self.bytes_max));
            }
            if self.rest.len() < HEADER_BYTES + length {
                break;
            }
            self.rest.advance(HEADER_BYTES);
            self.messages.push(self.rest.split_to(length).freeze());
        }
        Ok(())
    }

    /// # Errors
    /// When the last message is not whole.
    pub(super) fn finish(self) -> Result<Vec<Bytes>, String> {
        if self.rest.is_empty() {
            Ok(self.messages)
        } else {
            Err("the answer ends within a message".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn messages_are_found_however_they_are_cut() {
        let wire = [framed(b"one", 10).unwrap(), framed(b"", 10).unwrap(), framed(b"three", 10).unwrap()];
        let wire = wire.concat();
        for size in 1..=wire.len() {
            let mut frames = Frames::new(100);
            wire.chunks(size).for_each(|it| frames.push(it).unwrap());
            assert_eq!(frames.finish().unwrap(), [&b"one"[..], b"", b"three"]);
        }
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let problem = |wire: &[u8]| {
            let mut frames = Frames::new(10);
            frames.push(wire).and_then(|()| frames.finish().map(|_| ())).unwrap_err()
        };
        assert_eq!(problem(&[0, 0, 0, 0, 9, 1]), "the answer ends within a message");
        assert_eq!(problem(&[1, 0, 0, 0, 0]), "the answer is compressed, which was not asked for");
        assert_eq!(problem(&[0, 255, 255, 255, 255]), "the answer has more than 10 bytes");
        assert_eq!(problem(&[0; 100]), "the answer has more than 10 bytes");
        assert!(framed(b"eleven byte", 10).is_err());
    }
}
