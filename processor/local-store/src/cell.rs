//! A value as it is stored: a header, then the body, compressed where that pays.
//!
//! | bytes | |
//! |---|---|
//! | 4 | CRC-32C of all that follows, little-endian: the file's own checksums are not looked at when a row is read |
//! | 1 | flags: [`COMPRESSED`] |
//! | 8 | stamp, little-endian |
//! | 8 | when it expires, in milliseconds since the epoch, little-endian; [`NEVER`] |
//! | 4 | only with [`COMPRESSED`]: bytes of the body before compression, little-endian |
//! | rest | the body |

use bytes::Bytes;
use millrace_schemas::{Stamp, Timestamp};
use zstd::bulk::{Compressor, Decompressor};

/// The end of what does not expire.
pub(crate) const NEVER: Timestamp = Timestamp(i64::MAX);

const COMPRESSED: u8 = 1;

/// Smaller bodies are not worth the time: the state protocol (2.8) compresses above 1 KB.
const COMPRESSION_BYTES_MIN: usize = 1024;

/// Of zstd. Higher ones take several times as long for a few per cent.
const COMPRESSION_LEVEL: i32 = 1;

const CRC_BYTES: usize = 4;
const HEADER_BYTES: usize = CRC_BYTES + 1 + 8 + 8;

/// Makes cells, one after another with the same memory.
pub(crate) struct Sealer(Compressor<'static>);

impl Sealer {
    pub(crate) fn new() -> Self {
        Self(Compressor::new(COMPRESSION_LEVEL).expect("zstd knows level 1"))
    }

    pub(crate) fn seal(&mut self, stamp: Stamp, expires_at: Timestamp, body: &[u8]) -> Vec<u8> {
        let compressed = (body.len() > COMPRESSION_BYTES_MIN)
            .then(|| self.0.compress(body).expect("the buffer is as large as zstd asks for"))
            .filter(|it| it.len() + 4 < body.len());
        let flags = if compressed.is_some() { COMPRESSED } else { 0 };
        let mut cell =
            Vec::with_capacity(HEADER_BYTES + compressed.as_ref().map_or(body.len(), |it| it.len() + 4));
        cell.extend([0; CRC_BYTES]);
        cell.push(flags);
        cell.extend(stamp.0.to_le_bytes());
        cell.extend(expires_at.0.to_le_bytes());
        if let Some(compressed) = compressed {
            cell.extend(u32::try_from(body.len()).expect("rows are bounded by megabytes").to_le_bytes());
            cell.extend(compressed);
        } else {
            cell.extend(body);
        }
        let crc = crc32c::crc32c(&cell[CRC_BYTES..]);
        cell[..CRC_BYTES].copy_from_slice(&crc.to_le_bytes());
        cell
    }
}

/// A cell that was read, and is as it was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell<'a> {
    pub(crate) stamp: Stamp,
    pub(crate) expires_at: Timestamp,
    is_compressed: bool,
    body: &'a [u8],
}

impl<'a> Cell<'a> {
    pub(crate) fn open(value: &'a [u8]) -> Result<Self, Damaged> {
        let (crc, rest) = value.split_first_chunk().ok_or(Damaged::Truncated)?;
        // Before anything in it is believed.
        if crc32c::crc32c(rest) != u32::from_le_bytes(*crc) {
            return Err(Damaged::Checksum);
        }
        let ([flags], rest) = rest.split_first_chunk().ok_or(Damaged::Truncated)?;
        let (stamp, rest) = rest.split_first_chunk().ok_or(Damaged::Truncated)?;
        let (expires_at, body) = rest.split_first_chunk().ok_or(Damaged::Truncated)?;
        Ok(Self {
            stamp: Stamp(i64::from_le_bytes(*stamp)),
            expires_at: Timestamp(i64::from_le_bytes(*expires_at)),
            is_compressed: flags & COMPRESSED != 0,
            body,
        })
    }

    /// Whether anybody may see it.
    pub(crate) fn is_alive(&self, now: Timestamp) -> bool {
        self.expires_at > now || self.expires_at == NEVER
    }

    pub(crate) fn body(&self) -> Result<Bytes, Damaged> {
        if !self.is_compressed {
            return Ok(Bytes::copy_from_slice(self.body));
        }
        let (plain_bytes, compressed) = self.body.split_first_chunk().ok_or(Damaged::Truncated)?;
        let body = Decompressor::new()
            .and_then(|mut it| it.decompress(compressed, u32::from_le_bytes(*plain_bytes) as usize))
            .map_err(Damaged::Compression)?;
        Ok(body.into())
    }
}

/// Texts and numbers, one after another: the body of rows that have several columns.
#[derive(Debug, Default)]
pub(crate) struct Columns(Vec<u8>);

impl Columns {
    pub(crate) fn number(mut self, number: i64) -> Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    pub(crate) fn text(mut self, text: &str) -> Self {
        self.0.extend(u32::try_from(text.len()).expect("names are short").to_le_bytes());
        self.0.extend(text.as_bytes());
        self
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Takes a column of 64 bits.
pub(crate) fn take_number(body: &mut Bytes) -> Result<i64, Damaged> {
    take(body, 8).map(|it| i64::from_le_bytes((*it).try_into().expect("as long as asked for")))
}

/// Takes a column of text.
pub(crate) fn take_text(body: &mut Bytes) -> Result<String, Damaged> {
    let bytes = u32::from_le_bytes((*take(body, 4)?).try_into().expect("as long as asked for"));
    String::from_utf8(take(body, bytes as usize)?.into()).map_err(|_| Damaged::Text)
}

fn take(body: &mut Bytes, bytes: usize) -> Result<Bytes, Damaged> {
    if body.len() < bytes {
        return Err(Damaged::Truncated);
    }
    Ok(body.split_to(bytes))
}

/// Why a value is none of ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Damaged {
    #[error("it ends too early")]
    Truncated,
    #[error("the checksum does not match")]
    Checksum,
    #[error("the checksum matches, but the value cannot be decompressed")]
    Compression(#[source] std::io::Error),
    #[error("the checksum matches, but what must be text is none")]
    Text,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(body: &[u8]) -> Vec<u8> {
        Sealer::new().seal(Stamp(7), Timestamp(9), body)
    }

    #[test]
    fn cells_come_back_and_large_ones_are_smaller_in_the_store() {
        let text = "{\"order\": \"tea\"}, ".repeat(1_000);
        for body in [&b""[..], b"s", text.as_bytes(), &[0; 1024], &vec![0; 8 << 20]] {
            let sealed = seal(body);
            let cell = Cell::open(&sealed).unwrap();
            assert_eq!((cell.stamp, cell.expires_at), (Stamp(7), Timestamp(9)));
            assert!(cell.body().unwrap() == body, "{} bytes", body.len());
        }
        assert!(seal(text.as_bytes()).len() < text.len() / 20);
    }

    /// Written down because rows of one release are read by the next.
    #[test]
    fn the_layout_stays() {
        let cell = seal(b"tea");
        assert_eq!(cell[CRC_BYTES..], [0, 7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, b't', b'e', b'a']);
        assert_eq!(cell[..CRC_BYTES], crc32c::crc32c(&cell[CRC_BYTES..]).to_le_bytes());
    }

    #[test]
    fn no_damage_passes_for_a_row() {
        for body in [b"a small one".to_vec(), b"a large one ".repeat(200)] {
            let whole = seal(&body);
            for at in 0..whole.len() {
                Cell::open(&whole[..at]).unwrap_err();
                let mut flipped = whole.clone();
                flipped[at] ^= 0x10;
                Cell::open(&flipped).unwrap_err();
            }
        }
    }

    #[test]
    fn what_never_expires_is_alive_at_any_time() {
        let alive = |expires_at, now| {
            Cell::open(&Sealer::new().seal(Stamp(0), expires_at, b"")).unwrap().is_alive(now)
        };
        assert!(alive(NEVER, NEVER) && alive(Timestamp(5), Timestamp(4)));
        assert!(!alive(Timestamp(5), Timestamp(5)) && !alive(Timestamp(5), NEVER));
    }

    #[test]
    fn columns_come_back_in_their_order_and_no_further() {
        let columns = Columns::default().number(-3).text("").text("né");
        let mut body = Bytes::copy_from_slice(columns.bytes());
        assert_eq!(take_number(&mut body).unwrap(), -3);
        assert_eq!(
            (take_text(&mut body).unwrap().as_str(), take_text(&mut body).unwrap().as_str()),
            ("", "né")
        );
        take_text(&mut body).unwrap_err();
        take_text(&mut Bytes::from_static(&[2, 0, 0, 0, 0xff, 0xfe])).unwrap_err();
        take_text(&mut Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0])).unwrap_err();
    }
}
