//! The log of one partition, in a directory of its own: segments of record batches, as Apache Kafka keeps them (format v2, KIP-98).
//!
//! A [`Log`] appends what producers send, byte for byte but for the offsets; checks their sequences and epochs; knows which transactions are
//! open and which were aborted; serves reads by offset and by time; and drops what is old or superseded. Opening one after a crash cuts off
//! what was written in part, and keeps all that was acknowledged.
//!
//! It never reads a clock, takes no lock, starts no thread and awaits nothing: the caller passes the time, and calls from one thread at a
//! time. It never trusts a file to be as it was written, and never lets a length that it reads decide how much memory it asks for.

mod config;
mod error;

mod aborted;
mod batch;
mod compression;
mod marker;
mod producers;
mod records;
mod varint;

mod checkpoint;
mod files;
mod index;
mod scan;
mod segment;
mod sidecar;

#[expect(clippy::module_inception, reason = "the module is named after what it holds, as its neighbours are")]
mod log;

mod append;
mod compaction;
mod read;
mod recovery;
mod retention;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub(crate) use append::Appended;
pub(crate) use batch::BatchHeader;
pub(crate) use config::{LogConfig, TimestampType};
pub(crate) use error::{AppendError, DeleteRecordsError, LogError, ReadError};
pub(crate) use log::{Log, Maintained};
pub(crate) use marker::Outcome;
pub(crate) use producers::ProducerError;
pub(crate) use records::Records;
