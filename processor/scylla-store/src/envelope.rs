//! The value of a snapshot row as it is stored: a header, then the snapshot, compressed where that pays. A large one is kept in chunks
//! elsewhere (see [`crate::chunks`]), and the row holds only the header, as its manifest.
//!
//! | bytes | |
//! |---|---|
//! | 1 | [`VERSION`] |
//! | 1 | flags: [`COMPRESSED`], [`CHUNKED`], [`LEFTOVERS`] |
//! | 4 | CRC-32C of the two bytes before, of what follows in the header, and of the body, little-endian |
//! | 4 | bytes of the snapshot before compression, little-endian |
//! | 4 | only with [`CHUNKED`]: bytes of the body, little-endian |
//! | rest | the body; none with [`CHUNKED`] |

use bytes::Bytes;
use zstd::bulk::{Compressor, Decompressor};

/// Of the layout. Another one gets another number, and readers keep the old.
const VERSION: u8 = 1;

const COMPRESSED: u8 = 1;
const CHUNKED: u8 = 2;
/// The row replaced one with chunks, and nobody may have removed them yet.
const LEFTOVERS: u8 = 4;

/// Smaller snapshots are not worth the time: the state protocol (2.8) compresses above 1 KB.
const COMPRESSION_BYTES_MIN: usize = 1024;

/// Of zstd. Higher ones take several times as long for a few per cent.
const COMPRESSION_LEVEL: i32 = 1;

/// A larger body goes into chunks. ScyllaDB warns of cells from 1 MB on, and needs each in one piece of memory; a mutation may have
/// 16 MB on either server by default.
const ROW_BYTES_MAX: usize = 512 * 1024;

/// A snapshot, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sealed {
    /// The value of the row.
    Row(Bytes),
    /// For large ones.
    Chunked {
        /// The value of the row.
        manifest: Bytes,
        /// As in the manifest: tells the chunks from those that another encoding of the same state would have.
        crc: u32,
        /// To be cut into chunks.
        body: Bytes,
    },
}

/// Seals snapshots, one after another with the same memory.
pub(crate) struct Sealer(Compressor<'static>);

impl Sealer {
    pub(crate) fn new() -> Self {
        Self(Compressor::new(COMPRESSION_LEVEL).expect("zstd knows level 1"))
    }

    /// `has_leftovers`: whether chunks of an older snapshot may be there.
    pub(crate) fn seal(&mut self, snapshot: &Bytes, has_leftovers: bool) -> Sealed {
        let plain_bytes = u32::try_from(snapshot.len()).expect("states are bounded by megabytes");
        let compressed = (snapshot.len() > COMPRESSION_BYTES_MIN)
            .then(|| self.0.compress(snapshot).expect("the buffer is as large as zstd asks for"))
            .filter(|it| it.len() < snapshot.len());
        let (mut flags, body) = match compressed {
            Some(compressed) => (COMPRESSED, Bytes::from(compressed)),
            None => (0, snapshot.clone()),
        };
        if body.len() > ROW_BYTES_MAX {
            let body_bytes = u32::try_from(body.len()).expect("no larger than the snapshot");
            let header = Header { flags: flags | CHUNKED, plain_bytes, body_bytes: Some(body_bytes) };
            let crc = header.crc(&body);
            return Sealed::Chunked { manifest: header.encode(crc, &[]), crc, body };
        }
        if has_leftovers {
            flags |= LEFTOVERS;
        }
        let header = Header { flags, plain_bytes, body_bytes: None };
        Sealed::Row(header.encode(header.crc(&body), &body))
    }
}

/// The value of a row that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    Row {
        snapshot: Bytes,
        /// Whether chunks of an older snapshot may be there.
        has_leftovers: bool,
    },
    Chunked(Manifest),
}

/// Where the rest of a large snapshot is, and how to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    header: Header,
    pub(crate) crc: u32,
    /// Of all chunks together.
    pub(crate) body_bytes: u32,
}

impl Manifest {
    /// The snapshot, from its chunks in order.
    pub(crate) fn open(&self, chunks: &[Bytes]) -> Result<Bytes, Damaged> {
        let found: usize = chunks.iter().map(Bytes::len).sum();
        if found != self.body_bytes as usize {
            return Err(Damaged::Incomplete { found, expected: self.body_bytes });
        }
        self.header.open(self.crc, chunks.concat().into())
    }
}

/// Reads the value of a row.
pub(crate) fn open(mut value: Bytes) -> Result<Opened, Damaged> {
    let version = take(&mut value)?;
    if version != [VERSION] {
        return Err(Damaged::Unknown { version: version[0] });
    }
    let [flags] = take(&mut value)?;
    let crc = u32::from_le_bytes(take(&mut value)?);
    let plain_bytes = u32::from_le_bytes(take(&mut value)?);
    if flags & CHUNKED != 0 {
        let body_bytes = u32::from_le_bytes(take(&mut value)?);
        let header = Header { flags, plain_bytes, body_bytes: Some(body_bytes) };
        return Ok(Opened::Chunked(Manifest { header, crc, body_bytes }));
    }
    let header = Header { flags, plain_bytes, body_bytes: None };
    Ok(Opened::Row { snapshot: header.open(crc, value)?, has_leftovers: flags & LEFTOVERS != 0 })
}

fn take<const N: usize>(value: &mut Bytes) -> Result<[u8; N], Damaged> {
    if value.len() < N {
        return Err(Damaged::Truncated);
    }
    Ok(value.split_to(N).as_ref().try_into().expect("as long as asked for"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    flags: u8,
    plain_bytes: u32,
    body_bytes: Option<u32>,
}

impl Header {
    fn crc(&self, body: &[u8]) -> u32 {
        let crc = crc32c::crc32c_append(crc32c::crc32c(&[VERSION, self.flags]), &self.sizes());
        crc32c::crc32c_append(crc, body)
    }

    fn sizes(&self) -> Vec<u8> {
        [Some(self.plain_bytes), self.body_bytes].into_iter().flatten().flat_map(u32::to_le_bytes).collect()
    }

    fn encode(&self, crc: u32, body: &[u8]) -> Bytes {
        [&[VERSION, self.flags][..], &crc.to_le_bytes(), &self.sizes(), body].concat().into()
    }

    fn open(&self, crc: u32, body: Bytes) -> Result<Bytes, Damaged> {
        // Before the sizes are believed.
        if self.crc(&body) != crc {
            return Err(Damaged::Checksum);
        }
        if self.flags & COMPRESSED == 0 {
            return Ok(body);
        }
        let snapshot = Decompressor::new()
            .and_then(|mut it| it.decompress(&body, self.plain_bytes as usize))
            .map_err(Damaged::Compression)?;
        Ok(snapshot.into())
    }
}

/// Why a value is no snapshot of ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Damaged {
    #[error("the row ends within its header")]
    Truncated,
    #[error("the row has layout {version}, which a newer release may have written: upgrade this one")]
    Unknown { version: u8 },
    #[error("the checksum does not match")]
    Checksum,
    #[error("the checksum matches, but the value cannot be decompressed")]
    Compression(#[source] std::io::Error),
    #[error("{found} of {expected} bytes of the chunks are there")]
    Incomplete { found: usize, expected: u32 },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that do not compress.
    fn noise(bytes: usize) -> Bytes {
        let mut word = 0x9e37_79b9_7f4a_7c15_u64;
        let next = move || {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            word as u8
        };
        std::iter::repeat_with(next).take(bytes).collect()
    }

    fn seal(snapshot: &Bytes, has_leftovers: bool) -> Sealed {
        Sealer::new().seal(snapshot, has_leftovers)
    }

    fn row(snapshot: &Bytes, has_leftovers: bool) -> Bytes {
        match seal(snapshot, has_leftovers) {
            Sealed::Row(value) => value,
            Sealed::Chunked { .. } => panic!("{} bytes in chunks", snapshot.len()),
        }
    }

    #[test]
    fn rows_come_back_and_large_ones_are_smaller_in_the_store() {
        let text = Bytes::from("{\"order\": \"tea\"}, ".repeat(1_000));
        for snapshot in
            [Bytes::new(), "s".into(), noise(ROW_BYTES_MAX), text.clone(), Bytes::from(vec![0; 8 << 20])]
        {
            for has_leftovers in [false, true] {
                let opened = open(row(&snapshot, has_leftovers)).unwrap();
                assert!(
                    opened == Opened::Row { snapshot: snapshot.clone(), has_leftovers },
                    "{}",
                    snapshot.len()
                );
            }
        }
        assert!(row(&text, false).len() < text.len() / 20);
        assert_eq!(row(&noise(5_000), false).len(), 10 + 5_000, "what does not get smaller stays as it is");
    }

    /// Written down because rows of one release are read by the next.
    #[test]
    fn the_layout_stays() {
        assert_eq!(
            row(&"tea".into(), true)[..],
            [1, 4, 0x4f, 0x27, 0x87, 0x50, 3, 0, 0, 0, b't', b'e', b'a']
        );
    }

    #[test]
    fn a_large_one_needs_all_of_its_chunks() {
        let snapshot = noise(ROW_BYTES_MAX + 1);
        let Sealed::Chunked { manifest, crc, body } = seal(&snapshot, true) else { panic!("not in chunks") };
        let Opened::Chunked(manifest) = open(manifest).unwrap() else { panic!("no manifest") };
        assert_eq!((manifest.crc, manifest.body_bytes as usize), (crc, body.len()));
        let (first, second) = (body.slice(..300_000), body.slice(300_000..));
        assert!(manifest.open(&[first.clone(), second.clone()]).unwrap() == snapshot);
        let wrong = |chunks: &[Bytes]| manifest.open(chunks).unwrap_err().to_string();
        assert_eq!(wrong(&[]), "0 of 524289 bytes of the chunks are there");
        assert_eq!(wrong(std::slice::from_ref(&first)), "300000 of 524289 bytes of the chunks are there");
        assert_eq!(wrong(&[second, first]), "the checksum does not match");
    }

    #[test]
    fn no_damage_passes_for_a_snapshot() {
        for snapshot in [Bytes::from("a small one"), "a large one ".repeat(200).into()] {
            let whole = row(&snapshot, false);
            for at in 0..whole.len() {
                open(whole.slice(..at)).unwrap_err();
                for bit in 0..8 {
                    let mut flipped = whole.to_vec();
                    flipped[at] ^= 1 << bit;
                    // A flipped flag makes a manifest of it, whose chunks are nowhere.
                    match open(flipped.into()) {
                        Err(_) => {}
                        Ok(Opened::Chunked(manifest)) => assert!(manifest.open(&[]).is_err()),
                        Ok(Opened::Row { .. }) => panic!("bit {bit} of byte {at}"),
                    }
                }
            }
        }
    }
}
