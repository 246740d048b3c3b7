//! The async shell around the pure `partition` crate: it awaits, converts and forwards. No rule about workflows is here.
//!
//! Reading order: [`log`] and [`store`], what it needs of the outside; [`processor`], one member of the fleet; `lane`, its event
//! loops; `effects`, the outputs that take time; `programs`, the definitions; `topics`, the users' topics that they name; `metrics`,
//! `spans` and `backlog`, what others see of it.

mod backlog;
mod effects;
mod lane;
pub mod log;
#[cfg(any(test, feature = "memory"))]
pub mod memory;
mod metrics;
mod observe;
pub mod processor;
mod programs;
mod pulse;
mod spans;
pub mod store;
#[cfg(any(test, feature = "store-suite"))]
pub mod store_suite;
mod topics;

pub use backlog::Backlog;
pub use metrics::Metrics;
pub use processor::{Error, PartitionStatus, Processor, ProcessorConfig, ProcessorHandle, QueryError};
