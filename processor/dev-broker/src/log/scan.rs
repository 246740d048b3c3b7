//! Reads a segment from front to back, with a buffer of fixed size.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::log::batch::{self, BatchError, BatchHeader, HEADER_BYTES};
use crate::log::error::{Doing, LogError};
use crate::log::marker::{MARKER_BYTES_MAX, Marker};

const BUFFER_BYTES: usize = 64 * 1024;

/// The batches of a segment from a position on.
#[derive(Debug)]
pub(crate) struct Scan {
    path: PathBuf,
    reader: BufReader<File>,
    /// Of the next batch.
    position: u64,
    end: u64,
}

/// A batch that is not as it was written: where it begins, and what is wrong.
#[derive(Debug)]
pub(crate) struct Damage {
    pub(crate) position: u64,
    pub(crate) error: BatchError,
}

impl Scan {
    /// Up to `end`, in bytes, which is where a batch ends.
    pub(crate) fn open(path: &Path, position: u64, end: u64) -> Result<Self, LogError> {
        let file = File::open(path).doing("open", path)?;
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, file);
        io::Seek::seek(&mut reader, io::SeekFrom::Start(position)).doing("read", path)?;
        Ok(Self { path: path.to_owned(), reader, position, end })
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The next batch whose header `is_wanted`, whole and verified in `batch`, which is used again.
    pub(crate) fn next_batch(
        &mut self,
        batch: &mut Vec<u8>,
        is_wanted: impl Fn(&BatchHeader) -> bool,
    ) -> Result<Option<BatchHeader>, LogError> {
        loop {
            let Some((head, header)) = self.next_header()?.map_err(|it| self.damaged(it))? else {
                return Ok(None);
            };
            let rest_bytes = header.batch_bytes - HEADER_BYTES;
            if !is_wanted(&header) {
                self.reader.seek_relative(rest_bytes as i64).doing("read", &self.path)?;
                self.position += header.batch_bytes as u64;
                continue;
            }
            batch.clear();
            batch.extend(head);
            batch.resize(header.batch_bytes, 0);
            self.reader.read_exact(&mut batch[HEADER_BYTES..]).doing("read", &self.path)?;
            batch::verify(&header, batch)
                .map_err(|error| self.damaged(Damage { position: self.position, error }))?;
            self.position += header.batch_bytes as u64;
            return Ok(Some(header));
        }
    }

    /// Checks the next batch without holding it, and reads the marker that it may be.
    pub(crate) fn next_checked(&mut self) -> Result<Result<Option<CheckedBatch>, Damage>, LogError> {
        let (head, header) = match self.next_header()? {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(Ok(None)),
            Err(damage) => return Ok(Err(damage)),
        };
        let is_marker = header.attributes.is_control() && header.batch_bytes <= MARKER_BYTES_MAX;
        let mut kept = if is_marker { head.to_vec() } else { Vec::new() };
        let mut crc = batch::header_crc(&head);
        let mut left = header.batch_bytes - HEADER_BYTES;
        let mut buffer = [0; 8 * 1024];
        while left > 0 {
            let part = &mut buffer[..left.min(8 * 1024)];
            self.reader.read_exact(part).doing("read", &self.path)?;
            crc = crc32c::crc32c_append(crc, part);
            if is_marker {
                kept.extend_from_slice(part);
            }
            left -= part.len();
        }
        if crc != header.crc {
            return Ok(Err(Damage { position: self.position, error: BatchError::Checksum }));
        }
        self.position += header.batch_bytes as u64;
        let marker = if is_marker { Marker::parse(&header, &kept) } else { None };
        Ok(Ok(Some((header, marker))))
    }

    /// Of a batch that ends before the segment does.
    fn next_header(&mut self) -> Result<Result<Option<NextHeader>, Damage>, LogError> {
        let left = self.end - self.position;
        let damage = |error| Ok(Err(Damage { position: self.position, error }));
        let truncated = BatchError::Truncated { bytes: usize::try_from(left).unwrap_or(usize::MAX) };
        if left == 0 {
            return Ok(Ok(None));
        }
        if left < HEADER_BYTES as u64 {
            return damage(truncated);
        }
        let mut head = [0; HEADER_BYTES];
        self.reader.read_exact(&mut head).doing("read", &self.path)?;
        match BatchHeader::parse(&head) {
            Ok(header) if header.batch_bytes as u64 > left => damage(truncated),
            Ok(header) => Ok(Ok(Some((head, header)))),
            Err(error) => damage(error),
        }
    }

    fn damaged(&self, Damage { position, error }: Damage) -> LogError {
        LogError::Damaged { path: self.path.clone(), position, source: error }
    }
}

/// With the marker that it holds, if it is a control batch.
pub(crate) type CheckedBatch = (BatchHeader, Option<Marker>);

/// As bytes and as read.
type NextHeader = ([u8; HEADER_BYTES], BatchHeader);
