//! The four codecs of the record format, with a bound on what comes out.
//!
//! A few kilobytes can decompress to gigabytes, so every caller says how much it is ready to hold.

use std::borrow::Cow;
use std::io::{self, Read, Write};

/// The window that a zstd frame may ask for: 64 MiB, which only its `ultra` levels exceed.
const ZSTD_WINDOW_LOG_MAX: u32 = 26;

/// Of zstd, when compaction writes a batch anew. Producers use 3 unless told otherwise.
const ZSTD_LEVEL: i32 = 3;

/// What the Java client puts before snappy blocks; librdkafka writes a bare block instead. The magic is followed by two versions.
const XERIAL_MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
const XERIAL_HEADER_BYTES: usize = 16;

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Codec {
    /// As in the attributes of a batch. `None` if nobody has given the number a meaning.
    pub(crate) fn from_id(id: i16) -> Option<Self> {
        Some(match id {
            0 => Self::None,
            1 => Self::Gzip,
            2 => Self::Snappy,
            3 => Self::Lz4,
            4 => Self::Zstd,
            _ => return None,
        })
    }

    /// Fails with [`io::ErrorKind::FileTooLarge`] if more than `bytes_max` come out.
    pub(crate) fn decompress(self, bytes: &[u8], bytes_max: usize) -> io::Result<Cow<'_, [u8]>> {
        let plain = match self {
            Self::None if bytes.len() > bytes_max => return Err(too_large()),
            Self::None => return Ok(bytes.into()),
            Self::Gzip => read_bounded(flate2::read::MultiGzDecoder::new(bytes), bytes_max)?,
            Self::Snappy => decompress_snappy(bytes, bytes_max)?,
            Self::Lz4 => read_bounded(lz4_flex::frame::FrameDecoder::new(bytes), bytes_max)?,
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                read_bounded(decoder, bytes_max)?
            }
        };
        Ok(plain.into())
    }

    pub(crate) fn compress(self, bytes: &[u8]) -> io::Result<Cow<'_, [u8]>> {
        let compressed = match self {
            Self::None => return Ok(bytes.into()),
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(bytes)?;
                encoder.finish()?
            }
            Self::Snappy => snap::raw::Encoder::new().compress_vec(bytes)?,
            Self::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(bytes)?;
                encoder.finish().map_err(io::Error::other)?
            }
            Self::Zstd => zstd::stream::encode_all(bytes, ZSTD_LEVEL)?,
        };
        Ok(compressed.into())
    }
}

/// The buffer grows with what comes out, never with what the input claims.
fn read_bounded(reader: impl Read, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    reader.take(bytes_max as u64 + 1).read_to_end(&mut plain)?;
    if plain.len() > bytes_max { Err(too_large()) } else { Ok(plain) }
}

fn decompress_snappy(bytes: &[u8], bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    if !bytes.starts_with(XERIAL_MAGIC) {
        append_snappy_block(bytes, bytes_max, &mut plain)?;
        return Ok(plain);
    }
    let mut blocks = bytes.get(XERIAL_HEADER_BYTES..).ok_or(io::ErrorKind::UnexpectedEof)?;
    while !blocks.is_empty() {
        let (length, rest) = blocks.split_first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
        let (block, rest) = rest
            .split_at_checked(u32::from_be_bytes(*length) as usize)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        append_snappy_block(block, bytes_max, &mut plain)?;
        blocks = rest;
    }
    Ok(plain)
}

fn append_snappy_block(block: &[u8], bytes_max: usize, plain: &mut Vec<u8>) -> io::Result<()> {
    let start = plain.len();
    let end = start + snap::raw::decompress_len(block)?;
    if end > bytes_max {
        return Err(too_large());
    }
    plain.resize(end, 0);
    snap::raw::Decoder::new().decompress(block, &mut plain[start..])?;
    Ok(())
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "more comes out than is allowed")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    #[test]
    fn bytes_come_back_if_they_may_be_that_many() {
        let text = b"a line of a log, ".repeat(1_000);
        for codec in CODECS {
            let compressed = codec.compress(&text).unwrap();
            assert_eq!(codec.decompress(&compressed, text.len()).unwrap(), &text[..], "{codec:?}");
            let error = codec.decompress(&compressed, text.len() - 1).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge, "{codec:?}");
            assert_eq!(codec.decompress(&codec.compress(b"").unwrap(), 0).unwrap(), &b""[..], "{codec:?}");
        }
    }

    /// As the Java client wrote it.
    #[test]
    fn snappy_is_read_with_the_xerial_header_and_without() {
        let framed = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\0\0\0\x0f\x0d0\x18\0\0\0\x01\x0csdfdsf\0";
        let plain = b"\x18\0\0\0\x01\x0csdfdsf\0";
        assert_eq!(Codec::Snappy.decompress(framed, 100).unwrap(), &plain[..]);
        assert_eq!(Codec::Snappy.decompress(&framed[20..], 100).unwrap(), &plain[..]);
        let twice = [&framed[..], &framed[16..]].concat();
        assert_eq!(Codec::Snappy.decompress(&twice, 100).unwrap(), plain.repeat(2));
        assert!(Codec::Snappy.decompress(&twice, 25).is_err(), "the bound is on all blocks together");
    }

    #[test]
    fn a_bomb_is_refused() {
        let zeros = vec![0; 32 << 20];
        for codec in CODECS {
            let bomb = codec.compress(&zeros).unwrap();
            let error = codec.decompress(&bomb, 1 << 20).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge, "{codec:?}");
        }
        // A snappy block of ten bytes that claims 4 GiB.
        let claim = b"\xff\xff\xff\xff\x0f12345";
        assert_eq!(Codec::Snappy.decompress(claim, 1 << 20).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn damage_is_an_error() {
        let text = b"a line of a log, ".repeat(1_000);
        for codec in &CODECS[1..] {
            let compressed = codec.compress(&text).unwrap();
            for at in 0..compressed.len() {
                // A frame may end early and not say so; the records in it do.
                if let Ok(plain) = codec.decompress(&compressed[..at], text.len()) {
                    assert!(text.starts_with(&plain), "{codec:?}");
                }
            }
            assert!(codec.decompress(b"no such thing at all", 1 << 20).is_err(), "{codec:?}");
        }
    }
}
