//! How a call says who it is.
//!
//! Reading order: [`Policy`], what a definition says; `digest`, HTTP Digest; `oauth2`, what is asked of an authority and what its
//! answer means, without I/O; [`Tokens`], who asks, and when.

mod challenge;
pub(super) mod digest;
mod oauth2;
mod policy;
#[cfg(test)]
mod tests;
mod tokens;

pub(super) use policy::{Login, Policy};
pub(super) use tokens::Tokens;
