//! The built-in worker: the calls that the workflow language defines itself, done by Millrace. It is a worker like any other: it
//! reads the queue [`QUEUE`], and knows the record contract and nothing of the engine.
//!
//! Reading order: [`Http`], `call: http`; [`Targets`], which machines it may talk to; [`Resources`], what definitions refer to;
//! [`Grpc`], `call: grpc`; [`AsyncApi`], `call: asyncapi`;
//! [`Script`] and [`Shell`], `run: script` and `run: shell`, with [`Processes`], which runs them; [`Container`], `run: container`.

mod asyncapi;
mod container;
mod grpc;
mod http;
mod process;
mod resources;
mod targets;
mod yaml;

pub use asyncapi::{AsyncApi, AsyncApiSettings};
pub use container::{Container, ContainerSettings};
pub use grpc::{Grpc, GrpcSettings};
pub use http::{Http, HttpSettings};
pub use process::{ProcessLimits, ProcessSettings, Processes, Script, Shell};
pub use resources::Resources;
pub use targets::Targets;

/// The queue of these calls. Definitions cannot send other functions there.
pub const QUEUE: &str = "builtin";
