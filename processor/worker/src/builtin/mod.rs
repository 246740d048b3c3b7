//! The built-in worker: the calls that the workflow language defines itself, done by Millrace. It is a worker like any other: it
//! reads the queue [`QUEUE`], and knows the record contract and nothing of the engine.
//!
//! Reading order: [`Caller`], what all calls by HTTP share; [`Http`], `call: http`; [`OpenApi`], `call: openapi`; `authentication`,
//! how a call says who it is; [`Secrets`], what it knows that no definition says; [`Targets`], which machines it may talk to.

mod authentication;
mod caller;
mod client;
mod http;
mod openapi;
mod rewrite;
mod secrets;
mod shelf;
mod targets;
mod uri;

pub use caller::{Caller, HttpSettings};
pub use http::Http;
pub use openapi::OpenApi;
pub use rewrite::Rewrite;
pub use secrets::Secrets;
pub use targets::Targets;

/// The queue of these calls. Definitions cannot send other functions there.
pub const QUEUE: &str = "builtin";
