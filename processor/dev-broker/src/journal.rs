//! What the broker must know again after a restart and no partition's log says: topics, producer ids, transactions, groups.
//!
//! A file of frames, each a length, a CRC-32C and a JSON array of entries that hold together or not at all. It is written before
//! the change is acknowledged, and rewritten as what it comes to when it has grown to several times that.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::group;
use crate::topics;
use crate::transactions;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry {
    /// The first one of a new folder: the id of the cluster.
    Cluster {
        id: String,
    },
    Topic(topics::Change),
    Transaction(transactions::Change),
    Group(group::Change),
}

/// Length and checksum before the entries, in bytes.
const HEADER_BYTES: usize = 8;
/// No frame is larger, so a larger length is no frame, in bytes.
const FRAME_BYTES_MAX: usize = 64 << 20;
/// It is rewritten when it is larger than this, in bytes, and several times as large as after the last time.
const REWRITE_BYTES_MIN: u64 = 4 << 20;
const REWRITE_FACTOR: u64 = 4;

/// The journal, open for writing.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    size_bytes: u64,
    size_bytes_rewritten: u64,
    fsync: bool,
    /// Its end is torn, and could not be cut off.
    is_broken: bool,
}

/// What was found when it was opened.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) entries: Vec<Entry>,
    /// What stood after the last whole frame, in bytes: written half when the process or the machine ended.
    pub(crate) cut_bytes: u64,
}

impl Journal {
    /// Reads all of it and cuts a torn end off.
    ///
    /// # Errors
    /// When the file cannot be read or written, or a whole frame holds what this version does not know.
    pub(crate) fn open(folder: &Path, fsync: bool) -> io::Result<(Self, Found)> {
        let path = folder.join("journal");
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(&path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (entries, length) = read(&bytes).map_err(|error| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} was written by another version: {error}", path.display()),
            )
        })?;
        if length < bytes.len() {
            file.set_len(length as u64)?;
        }
        let size_bytes = length as u64;
        let journal =
            Self { path, file, size_bytes, size_bytes_rewritten: size_bytes, fsync, is_broken: false };
        Ok((journal, Found { entries, cut_bytes: bytes.len() as u64 - size_bytes }))
    }

    /// Writes these together. Nothing for none.
    ///
    /// # Errors
    /// When they could not be written; then nothing of them counts.
    pub(crate) fn append(&mut self, entries: &[Entry]) -> io::Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let frame = frame(entries)?;
        if self.is_broken {
            return Err(io::Error::other("an earlier write has left the journal torn; it is rewritten"));
        }
        let written = self.file.write_all(&frame).and_then(|()| match self.fsync {
            true => self.file.sync_data(),
            false => Ok(()),
        });
        if let Err(error) = written {
            // What follows a torn frame would be cut with it, so nothing may.
            self.is_broken = self.file.set_len(self.size_bytes).is_err();
            return Err(error);
        }
        self.size_bytes += frame.len() as u64;
        Ok(())
    }

    /// Whether it has grown so much that [`Self::rewrite`] is worth while.
    pub(crate) fn is_long(&self) -> bool {
        self.is_broken || self.size_bytes > REWRITE_BYTES_MIN.max(REWRITE_FACTOR * self.size_bytes_rewritten)
    }

    /// Replaces it by `entries`, which come to the same.
    ///
    /// # Errors
    /// When the new one could not be written; then the old one stays.
    pub(crate) fn rewrite(&mut self, entries: &[Entry]) -> io::Result<()> {
        const ENTRIES_PER_FRAME: usize = 1_000;
        let new = self.path.with_extension("new");
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // The same handle before and after: nothing can fail once the new one is in its place.
        let mut file = OpenOptions::new().append(true).create_new(true).open(&new)?;
        let mut size_bytes = 0;
        for entries in entries.chunks(ENTRIES_PER_FRAME) {
            let frame = frame(entries)?;
            file.write_all(&frame)?;
            size_bytes += frame.len() as u64;
        }
        file.sync_all()?;
        std::fs::rename(&new, &self.path)?;
        self.file = file;
        self.is_broken = false;
        self.size_bytes = size_bytes;
        self.size_bytes_rewritten = size_bytes;
        Ok(())
    }

    /// To the disk, so that it survives a loss of power from here on.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

fn frame(entries: &[Entry]) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; HEADER_BYTES];
    serde_json::to_writer(&mut frame, entries)?;
    let length = frame.len() - HEADER_BYTES;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{length} bytes in one frame of the journal"),
        ));
    }
    let checksum = crc32c::crc32c(&frame[HEADER_BYTES..]);
    frame[..4].copy_from_slice(&(length as u32).to_be_bytes());
    frame[4..HEADER_BYTES].copy_from_slice(&checksum.to_be_bytes());
    Ok(frame)
}

/// All whole frames, and where they end.
pub(crate) fn read(bytes: &[u8]) -> Result<(Vec<Entry>, usize), serde_json::Error> {
    let mut entries = Vec::new();
    let mut end = 0;
    while let Some((payload, next)) = next_frame(bytes, end) {
        entries.append(&mut serde_json::from_slice::<Vec<Entry>>(payload)?);
        end = next;
    }
    Ok((entries, end))
}

fn next_frame(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let header: &[u8; HEADER_BYTES] = bytes.get(at..)?.first_chunk()?;
    let length = u32::from_be_bytes(*header.first_chunk()?) as usize;
    let checksum = u32::from_be_bytes(*header.last_chunk()?);
    let start = at + HEADER_BYTES;
    // An empty frame is never written; eight zero bytes would be one.
    let payload =
        bytes.get(start..start.checked_add(length).filter(|_| (1..=FRAME_BYTES_MAX).contains(&length))?)?;
    (crc32c::crc32c(payload) == checksum).then_some((payload, start + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: usize) -> Entry {
        Entry::Cluster { id: format!("cluster-{id}") }
    }

    #[test]
    fn what_was_appended_is_read_back_from_every_torn_end() {
        let folder = tempfile::tempdir().expect("has a folder");
        let (mut journal, found) = Journal::open(folder.path(), false).expect("opens");
        assert!(found.entries.is_empty());
        let mut ends = vec![0];
        for id in 0..5 {
            journal.append(&[entry(2 * id), entry(2 * id + 1)]).expect("appends");
            ends.push(journal.size_bytes);
        }
        drop(journal);
        let path = folder.path().join("journal");
        let whole = std::fs::read(&path).expect("is there");
        for length in 0..=whole.len() {
            std::fs::write(&path, &whole[..length]).expect("writes");
            let (mut journal, found) = Journal::open(folder.path(), false).expect("opens");
            let frames = ends.iter().filter(|&&end| end <= length as u64).count() - 1;
            assert_eq!(found.entries, (0..2 * frames).map(entry).collect::<Vec<_>>(), "{length} bytes");
            journal.append(&[entry(99)]).expect("appends behind the cut");
            let (_, found) = Journal::open(folder.path(), false).expect("opens");
            assert_eq!(found.entries.last(), Some(&entry(99)));
        }
    }

    #[test]
    fn a_flipped_byte_ends_it_there() {
        let bytes = [frame(&[entry(1)]).expect("fits"), frame(&[entry(2)]).expect("fits")].concat();
        let first = bytes.len() / 2;
        for at in first..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x40;
            let (entries, end) = read(&bytes).expect("reads");
            assert_eq!((entries, end), (vec![entry(1)], first), "byte {at}");
        }
    }

    #[test]
    fn it_is_rewritten_as_what_it_comes_to() {
        let folder = tempfile::tempdir().expect("has a folder");
        let (mut journal, _) = Journal::open(folder.path(), false).expect("opens");
        journal.append(&[entry(1)]).expect("appends");
        journal.rewrite(&[entry(2), entry(3)]).expect("rewrites");
        journal.append(&[entry(4)]).expect("appends");
        let (_, found) = Journal::open(folder.path(), false).expect("opens");
        assert_eq!(found.entries, [entry(2), entry(3), entry(4)]);
    }
}
