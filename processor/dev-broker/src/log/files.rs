//! The files of a log: their names, and the few ways in which they change.
//!
//! | name | |
//! |---|---|
//! | `{base:020}.log` | a segment: record batches, one after another |
//! | `{base:020}.index` | of a closed segment: see [`sidecar`](crate::log::sidecar) |
//! | `{base:020}.producers` | what was known of the producers where the segment begins |
//! | `checkpoint` | what the segments do not say: see [`checkpoint`](crate::log::checkpoint) |
//! | `{base:020}-{end:020}.swap` | compacted, and about to replace the segments from `base` up to `end` |
//! | `*.cleaned`, `*.tmp` | unfinished; removed when the log is opened |
//! | `*.broken` | what recovery took out of the log; never read and never removed |

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::log::batch::OFFSET_MAX;

pub(crate) const CHECKPOINT: &str = "checkpoint";

/// Larger ones are not ours: producers and index entries are bounded far below.
const SEALED_BYTES_MAX: u64 = 256 << 20;

/// What a file in the directory of a log is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Segment { base: i64 },
    Index { base: i64 },
    Producers { base: i64 },
    Swap { base: i64, end: i64 },
    Unfinished,
}

impl FileKind {
    /// `None` for files that the log leaves alone.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (stem, extension) = name.rsplit_once('.')?;
        Some(match extension {
            "log" => Self::Segment { base: parse_offset(stem)? },
            "index" => Self::Index { base: parse_offset(stem)? },
            "producers" => Self::Producers { base: parse_offset(stem)? },
            "swap" => {
                let (base, end) = stem.split_once('-')?;
                Self::Swap { base: parse_offset(base)?, end: parse_offset(end)? }
            }
            "cleaned" => parse_offset(stem).map(|_| Self::Unfinished)?,
            "tmp" if stem == CHECKPOINT || Self::parse(stem).is_some() => Self::Unfinished,
            _ => return None,
        })
    }
}

fn parse_offset(digits: &str) -> Option<i64> {
    let is_ours = digits.len() == 20 && digits.bytes().all(|it| it.is_ascii_digit());
    digits.parse().ok().filter(|it| is_ours && (0..OFFSET_MAX).contains(it))
}

pub(crate) fn segment_path(dir: &Path, base: i64) -> PathBuf {
    dir.join(format!("{base:020}.log"))
}

pub(crate) fn index_path(dir: &Path, base: i64) -> PathBuf {
    dir.join(format!("{base:020}.index"))
}

pub(crate) fn producers_path(dir: &Path, base: i64) -> PathBuf {
    dir.join(format!("{base:020}.producers"))
}

pub(crate) fn cleaned_path(dir: &Path, base: i64) -> PathBuf {
    dir.join(format!("{base:020}.cleaned"))
}

pub(crate) fn swap_path(dir: &Path, base: i64, end: i64) -> PathBuf {
    dir.join(format!("{base:020}-{end:020}.swap"))
}

/// Every file whose name says that it belongs to a log, in no order.
pub(crate) fn list(dir: &Path) -> io::Result<Vec<(FileKind, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if let Some(kind) = entry.file_name().to_str().and_then(FileKind::parse)
            && entry.file_type()?.is_file()
        {
            found.push((kind, entry.path()));
        }
    }
    Ok(found)
}

/// Opens the file of a segment for appends, and makes it if it is not there.
pub(crate) fn open_segment(path: &Path) -> io::Result<File> {
    faults::strike()?;
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

/// Makes a file for output, empty.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    faults::strike()?;
    File::create(path)
}

pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    faults::strike()?;
    fs::rename(from, to)
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    faults::strike()?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Renames a file so that the log no longer knows it and a person can still find it. Its new name.
pub(crate) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let to = free_broken_path(path);
    rename(path, &to)?;
    Ok(to)
}

/// A name for what was at `path`, which no other file has.
pub(crate) fn free_broken_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let candidates = std::iter::once(format!("{name}.broken"))
        .chain((2_u32..).map(|nth| format!("{name}.{nth}.broken")))
        .map(|it| path.with_file_name(it));
    let mut free = candidates.filter(|it| !it.exists());
    free.next().expect("no directory has four billion files")
}

/// Makes renames and removals in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Replaces the file at `path` as a whole: a reader finds the old content or the new one, and knows it by its checksum.
pub(crate) fn write_sealed(path: &Path, body: &[u8], sync: bool) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let unfinished = path.with_file_name(name);
    let mut file = create(&unfinished)?;
    file.write_all(&crc32c::crc32c(body).to_le_bytes())?;
    file.write_all(body)?;
    if sync {
        file.sync_all()?;
    }
    rename(&unfinished, path)?;
    if sync && let Some(dir) = path.parent() {
        sync_dir(dir)?;
    }
    Ok(())
}

/// What [`write_sealed`] wrote; `None` if it is not there or not as it was written.
pub(crate) fn read_sealed(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut bytes = Vec::new();
    file.take(SEALED_BYTES_MAX).read_to_end(&mut bytes)?;
    let Some((crc, body)) = bytes.split_first_chunk() else { return Ok(None) };
    let is_whole = u32::from_le_bytes(*crc) == crc32c::crc32c(body);
    Ok(is_whole.then(|| body.to_vec()))
}

/// Lets a test stop the log at any change to its files, as a crash would.
pub(crate) mod faults {
    use std::io;

    #[cfg(not(test))]
    pub(crate) fn strike() -> io::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    thread_local! {
        static CHANGES_LEFT: std::cell::Cell<u32> = const { std::cell::Cell::new(u32::MAX) };
    }

    /// Lets this many changes happen, and none after them.
    #[cfg(test)]
    pub(crate) fn allow(changes: u32) {
        CHANGES_LEFT.set(changes);
    }

    #[cfg(test)]
    pub(crate) fn strike() -> io::Result<()> {
        match CHANGES_LEFT.get() {
            u32::MAX => Ok(()),
            0 => Err(io::Error::other("no more changes are allowed")),
            left => {
                CHANGES_LEFT.set(left - 1);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_file_is() {
        let dir = Path::new("");
        let kind = |path: PathBuf| FileKind::parse(path.to_str().unwrap());
        assert_eq!(kind(segment_path(dir, 7)), Some(FileKind::Segment { base: 7 }));
        assert_eq!(kind(index_path(dir, 7)), Some(FileKind::Index { base: 7 }));
        assert_eq!(kind(producers_path(dir, 7)), Some(FileKind::Producers { base: 7 }));
        assert_eq!(kind(swap_path(dir, 7, 9)), Some(FileKind::Swap { base: 7, end: 9 }));
        assert_eq!(kind(cleaned_path(dir, 7)), Some(FileKind::Unfinished));
        assert_eq!(kind("00000000000000000007.index.tmp".into()), Some(FileKind::Unfinished));
        assert_eq!(kind("checkpoint.tmp".into()), Some(FileKind::Unfinished));
        for other in [
            "7.log",
            "+0000000000000000007.log",
            "99999999999999999999.log",
            "notes.tmp",
            "x.cleaned",
            "checkpoint",
        ] {
            assert_eq!(kind(other.into()), None, "{other}");
        }
        assert_eq!(kind("00000000000000000007.log.broken".into()), None);
    }

    #[test]
    fn a_sealed_file_is_whole_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoint");
        assert_eq!(read_sealed(&path).unwrap(), None);
        write_sealed(&path, b"state", false).unwrap();
        write_sealed(&path, b"next state", true).unwrap();
        assert_eq!(read_sealed(&path).unwrap().as_deref(), Some(&b"next state"[..]));
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(read_sealed(&path).unwrap(), None);
            let mut flipped = whole.clone();
            flipped[at] ^= 4;
            fs::write(&path, &flipped).unwrap();
            assert_eq!(read_sealed(&path).unwrap(), None);
        }
    }

    #[test]
    fn what_is_set_aside_keeps_what_was_set_aside_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = segment_path(dir.path(), 0);
        for content in ["one", "two", "three"] {
            fs::write(&path, content).unwrap();
            let aside = set_aside(&path).unwrap();
            assert_eq!(fs::read_to_string(aside).unwrap(), content);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }
}
