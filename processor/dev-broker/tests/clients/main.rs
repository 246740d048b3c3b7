//! Unmodified clients, each a process of its own: kcat (librdkafka) and the console tools of Apache Kafka (the Java client). What they
//! print is the same on both brokers: here, and on the Apache Kafka that `KAFKA_BOOTSTRAP` names.
//!
//! A tool that is missing is said to be missing, and its tests are left out; with `MILLRACE_TEST_TOOLS=required` they fail.
//! `ops/setup.sh` installs both.

#![allow(clippy::unwrap_used)]

mod java;
mod kcat;
mod tools;
mod transactions;
