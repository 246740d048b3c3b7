//! Bytes to requests, answers to bytes. The messages themselves are those of `kafka-protocol`.

mod guard;
mod request;
mod response;

pub(crate) use request::{APIS, Header, Request, RequestError, decode};
pub(crate) use response::{encode, encode_as, text};

/// An error of the codec, which has no type of its own.
pub(crate) type CodecError = Box<dyn std::error::Error + Send + Sync>;
