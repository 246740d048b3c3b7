//! What can go wrong. Each variant of [`AppendError`] is one error code of the protocol.

use std::io;
use std::path::{Path, PathBuf};

use crate::log::batch::BatchError;
use crate::log::producers::ProducerError;
use crate::log::records::RecordsError;

/// The storage failed or holds what was never written: `KAFKA_STORAGE_ERROR`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error("could not {doing} {}", path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is damaged at byte {position}", path.display())]
    Damaged {
        path: PathBuf,
        position: u64,
        #[source]
        source: BatchError,
    },
    /// An error came when the files had begun to change, in a compaction or in a write that could not be undone. Opening the log again
    /// completes the one and cuts off the other.
    #[error("an earlier error left the log in {} between two states; it has to be opened again", dir.display())]
    Halted { dir: PathBuf },
    #[error("no offsets are left in {}", dir.display())]
    Exhausted { dir: PathBuf },
}

/// Adds to an I/O error what was being done, and to which file.
pub(crate) trait Doing<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, LogError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, LogError> {
        self.map_err(|source| LogError::Io { doing, path: path.to_owned(), source })
    }
}

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    /// `CORRUPT_MESSAGE`
    #[error("the bytes are not as the producer made them")]
    Corrupt(#[source] BatchError),
    /// `UNSUPPORTED_FOR_MESSAGE_FORMAT`
    #[error("record format {0} is not supported")]
    UnsupportedMagic(i8),
    /// `MESSAGE_TOO_LARGE`
    #[error("a batch of {bytes} bytes, where {bytes_max} are allowed")]
    TooLarge { bytes: usize, bytes_max: usize },
    /// `INVALID_RECORD`
    #[error("{0}")]
    InvalidRecord(&'static str),
    /// `INVALID_RECORD`
    #[error("the records cannot be read")]
    UnreadableRecords(#[source] RecordsError),
    /// `OUT_OF_ORDER_SEQUENCE_NUMBER`, `INVALID_PRODUCER_EPOCH`, `INVALID_TXN_STATE` or `TRANSACTION_COORDINATOR_FENCED`
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// `KAFKA_STORAGE_ERROR`
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// `OFFSET_OUT_OF_RANGE`
    #[error("offset {offset} is not in the log, which has {start} up to {end}")]
    OutOfRange { offset: i64, start: i64, end: i64 },
    /// `KAFKA_STORAGE_ERROR`
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Why no records were deleted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeleteRecordsError {
    /// `OFFSET_OUT_OF_RANGE`
    #[error("offset {offset} is above the high watermark {high_watermark}")]
    OutOfRange { offset: i64, high_watermark: i64 },
    /// `KAFKA_STORAGE_ERROR`
    #[error(transparent)]
    Log(#[from] LogError),
}
