//! Labels whose values come from outside: names of workflows, queues, functions. The first ones get series of their own, and all others share
//! one, so that whoever may deploy cannot make a scrape, or Prometheus, grow without bound.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// The value that all share beyond the cap.
pub const OTHER: &str = "other";

/// The series of a metric, or of several that go together, by the value of a label. Cheap to clone: clones share them.
#[derive(Debug)]
pub struct Capped<K, S> {
    max: usize,
    series: Arc<Mutex<HashMap<K, S>>>,
}

impl<K, S> Clone for Capped<K, S> {
    fn clone(&self) -> Self {
        Self { max: self.max, series: Arc::clone(&self.series) }
    }
}

impl<K: Clone + Display + Eq + Hash, S: Clone> Capped<K, S> {
    /// For so many values.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { max, series: Arc::default() }
    }

    /// The series of `key`, which `make` makes for a value of the label.
    pub fn of(&self, key: &K, make: impl FnOnce(&str) -> S) -> S {
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = series.get(key) {
            return known.clone();
        }
        if series.len() >= self.max {
            return make(OTHER);
        }
        let made = make(&key.to_string());
        series.insert(key.clone(), made.clone());
        made
    }

    /// Something of each that has series of its own.
    pub fn values<T>(&self, of: impl FnMut(&S) -> T) -> Vec<T> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner).values().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{IntCounterVec, Opts};

    use super::*;

    #[test]
    fn the_first_values_have_series_and_all_others_share_one() {
        let counters = IntCounterVec::new(Opts::new("millrace_test_total", "A test."), &["workflow"])
            .expect("it is valid");
        let capped = Capped::new(100);
        for round in 1..=3_u64 {
            for number in 0..10_000 {
                let workflow = format!("load/w{number}");
                capped.of(&workflow, |value| counters.with_label_values(&[value])).inc();
            }
            assert_eq!(capped.series.lock().expect("nobody panics").len(), 100);
            assert_eq!(counters.with_label_values(&["load/w99"]).get(), round);
            assert_eq!(counters.with_label_values(&[OTHER]).get(), round * 9_900);
        }
        let series = prometheus::core::Collector::collect(&counters)[0].get_metric().len();
        assert_eq!(series, 101);
    }
}
