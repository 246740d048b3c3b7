//! Definitions of workflows: what is admitted, what becomes of it, and what expressions mean.
#![allow(clippy::unwrap_used)]

mod admission;
mod bundle;
mod cron;
mod examples;
mod expression_parity;
mod expressions;
mod graph;
mod services;
