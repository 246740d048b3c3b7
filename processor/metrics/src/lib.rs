//! Metrics that know what they are for: whoever makes one says what it means and when to look at it, and `ops/METRICS.md` is made of that.
//!
//! Reading order: [`Catalogue`], where metrics are made; [`Label`], what tells series apart, and how many there can be; [`Capped`], labels
//! whose values nobody knows beforehand; `buckets`, of histograms; `markdown`, the page.
//!
//! It knows no metric but those that every process has.

pub mod buckets;
mod capped;
mod catalogue;
mod label;
mod markdown;

pub use capped::{Capped, OTHER};
pub use catalogue::{About, Catalogue, Entry, Kind};
pub use label::Label;
pub use markdown::{Part, markdown};
