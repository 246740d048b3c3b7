//! One assigned partition of the processor: restore, cache, batching, timers, write-behind. Pure: inputs in, outputs out.
//!
//! A [`Partition`] is one *incarnation*: it is made when the partition is assigned and dropped when it is revoked, lost or
//! fenced. It never outlives its assignment, and nothing of it is carried over to the next one (state protocol 2.2).
//!
//! It never awaits, never reads a clock, and never names Kafka or CQL: the shell performs its [`Output`]s and brings back what
//! came of them as [`Input`]s.

mod acquiring;
mod attributes;
mod batch;
mod by_id;
mod cache;
mod config;
mod correlating;
mod dirty;
mod flushing;
mod history;
mod hot_keys;
mod inbox;
mod input;
mod newcomers;
mod open;
mod open_tasks;
mod output;
mod pace;
mod partition;
mod processed;
mod processing;
mod quarantine;
mod queries;
mod records;
mod reopening;
mod restore;
mod scheduling;
mod spilling;
mod tail_meter;
mod timer_index;
mod timers;
mod topics;
mod transaction;
mod trimming;
mod write_behind;

pub use attributes::{Attributes, Term};
pub use config::{Config, TailLimit};
pub use input::{
    ChangelogRecord, InboundRecord, Input, LoadedRow, Located, QueryId, SnapshotRow, Source, SourceKind,
};
pub use open_tasks::OpenTasks;
pub use output::{
    FlushId, FlushRequest, HistoryRow, Listing, Locate, Moved, Observation, Output, SnapshotWrite, TimerRow,
};
pub use partition::{Gauges, Owner, Partition, Programs};
pub use processed::{Became, Described, Processed};
pub use processing::DEAD_LETTER_REASONS;
pub use reopening::{ERA_MAX, ERA_WARN, Remains, Reopening, TIMERS_LOOK_BACK};
pub use timer_index::{TimerCursor, TimerEntry, TimerPage, TimerSlice};
pub use topics::UserTopic;
pub use transaction::{OutgoingRecord, Transaction, TransactionId};
