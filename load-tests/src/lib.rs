//! Load tests: they act as a fleet's users do, on real Kafka, and check what comes out.
//!
//! [`orders`] is about being right: a shop whose books must balance whatever fails. [`sequence`] is about order: for each key what comes
//! out is what went in, once and in order, while servers and processors fail. [`mix`] is about being fast: throughput and
//! latency of whatever a file asks for; [`bare_loop`] moves as many records by plain Kafka. [`live`] makes
//! instances that wait, by the million. [`listens`] is about events that find one of a million listeners. All know the public records
//! only; the truth is read from the changelog.
//! [`timers`] alone knows the snapshot store, too: it fills one with millions of instances that wait. [`broker`] needs no
//! fleet: it measures and checks a Kafka broker alone.
//!
//! Never here: starting or killing servers, creating Millrace's topics, deploying definitions. A harness does that around.

pub mod bare_loop;
pub mod broker;
mod follow;
pub mod listens;
pub mod live;
pub mod mix;
pub mod orders;
mod progress;
mod publish;
mod report;
pub mod sequence;
pub mod timers;
