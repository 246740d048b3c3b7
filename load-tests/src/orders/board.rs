//! What the changelog says about each order.

use std::time::Instant;

use millrace_schemas::event::{ChangelogEntry, Event};
use serde_json::Value;

/// How an order's instance ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// With this output.
    Completed(Value),
    /// With an error, or cancelled: this text.
    Failed(String),
}

/// One order's instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Life {
    /// `InstanceStarted` events.
    pub started: u32,
    /// Events that end an instance.
    pub ended: u32,
    /// How it ended first.
    pub end: Option<End>,
}

/// All orders of a run.
#[derive(Debug)]
pub struct Board {
    /// In the order of their numbers.
    pub lives: Vec<Life>,
    /// Orders that have started.
    pub started: usize,
    /// Orders that have ended.
    pub ended: usize,
    /// When the last event of an order was seen.
    pub moved: Instant,
}

impl Board {
    /// Of `count` orders.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self { lives: vec![Life::default(); count], started: 0, ended: 0, moved: Instant::now() }
    }

    /// Takes note of what happened to order `number`.
    pub fn see(&mut self, number: usize, entry: ChangelogEntry) {
        let Some(life) = self.lives.get_mut(number) else { return };
        self.moved = Instant::now();
        for event in entry.events {
            let end = match event {
                Event::InstanceStarted { .. } => {
                    life.started += 1;
                    self.started += usize::from(life.started == 1);
                    continue;
                }
                Event::InstanceCompleted { output } => End::Completed(output.value().clone()),
                Event::InstanceFaulted { error } => {
                    End::Failed(format!("faulted: {} {}", error.error_type, error.title.unwrap_or_default()))
                }
                Event::InstanceCancelled { reason } => End::Failed(format!("cancelled: {reason}")),
                _ => continue,
            };
            life.ended += 1;
            self.ended += usize::from(life.ended == 1);
            life.end.get_or_insert(end);
        }
    }
}
