//! Avro, as far as records need it.
//!
//! In reading order: [`binary`], the encoding of what this release writes, by hand, since it is the hot path; [`records`], which
//! types have it; [`schema`], schemas at run time; [`resolve`], from an older schema to today's; [`json`], from anybody's schema
//! to plain JSON.
//!
//! Why not `apache-avro` outside of tests: its values are several times slower; its resolution picks the branch of a union by
//! structure, so that of two events with the same fields the wrong one is read; its fingerprints of schemas with logical
//! types differ from those of Java and Python. The tests hold our bytes against it.

pub(crate) mod binary;
pub(crate) mod json;
mod records;
pub(crate) mod resolve;
pub(crate) mod schema;
