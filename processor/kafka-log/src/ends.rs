//! The ends of the sources, without asking for them: each answer to a fetch tells them, and librdkafka's statistics pass that on, once a
//! second. A source that is paused is not fetched; whoever pauses it must ask ([`Ends::moved`]).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millrace_runtime::log::LogEnd;
use millrace_schemas::Offset;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use serde::Deserialize;
use tracing::debug;

use crate::context;

/// How often librdkafka tells.
pub(crate) const TOLD_EVERY_MS: &str = "1000";

type Known = HashMap<String, HashMap<i32, LogEnd>>;

/// What is known. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ends {
    known: Arc<Mutex<Known>>,
}

/// What is used of the statistics (librdkafka's STATISTICS.md).
#[derive(Deserialize)]
struct Statistics {
    topics: HashMap<String, Topic>,
}

#[derive(Deserialize)]
struct Topic {
    partitions: HashMap<i32, Partition>,
}

#[derive(Deserialize)]
struct Partition {
    fetch_state: String,
    /// Messages that the application has not taken yet; of all partitions that share the queue.
    fetchq_cnt: i64,
    /// Next offset to fetch: beyond markers and what was aborted, too.
    next_offset: i64,
    /// High watermark by the last answer.
    hi_offset: i64,
}

impl Ends {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn of(&self, topic: &str, partition: i32) -> Option<LogEnd> {
        self.known().get(topic)?.get(&partition).copied()
    }

    /// The broker was asked.
    pub(crate) fn moved(&self, topic: &str, partition: i32, end: Offset) {
        if let Some(known) = self.known().get_mut(topic).and_then(|it| it.get_mut(&partition))
            && end > known.end
        {
            *known = LogEnd { end, is_read: false };
        }
    }

    fn learn(&self, statistics: &[u8]) -> serde_json::Result<()> {
        let told: Statistics = serde_json::from_slice(statistics)?;
        let mut known = self.known();
        let mut before = std::mem::take(&mut *known);
        for (name, topic) in told.topics {
            let mut before = before.remove(&name).unwrap_or_default();
            let ends = topic.partitions.into_iter().filter_map(|(partition, it)| {
                let is_followed = it.fetch_state == "active" && it.hi_offset >= 0;
                let end = Offset(it.hi_offset);
                let told = LogEnd { end, is_read: it.fetchq_cnt == 0 && it.next_offset >= it.hi_offset };
                // Of a paused source, the answer to a question may be younger.
                let asked = before.remove(&partition).filter(|it| it.end > end);
                is_followed.then_some((partition, asked.unwrap_or(told)))
            });
            known.insert(name, ends.collect());
        }
        Ok(())
    }
}

/// The reader's context: logs, as all others do, and learns the ends.
#[derive(Clone, Debug)]
pub(crate) struct Learning(pub(crate) Ends);

impl ClientContext for Learning {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        context::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        context::debug_error(&error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        if let Err(error) = self.0.learn(statistics) {
            debug!(error = &error as &dyn std::error::Error, "the client's statistics cannot be read");
        }
    }
}

impl ConsumerContext for Learning {}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(fetch_state: &str, fetchq_cnt: i64, next_offset: i64, hi_offset: i64) -> String {
        format!(
            r#"{{"name": "r", "topics": {{"events": {{"topic": "events", "partitions": {{
                "3": {{"partition": 3, "fetch_state": "{fetch_state}", "fetchq_cnt": {fetchq_cnt},
                       "next_offset": {next_offset}, "hi_offset": {hi_offset}, "ls_offset": 9}},
                "-1": {{"partition": -1, "fetch_state": "none", "fetchq_cnt": 0, "next_offset": -1001, "hi_offset": -1001}}
            }}}}}}}}"#
        )
    }

    fn learnt(texts: &[String]) -> Option<LogEnd> {
        let ends = Ends::default();
        texts.iter().for_each(|it| ends.learn(it.as_bytes()).expect("it can be read"));
        assert_eq!(ends.of("events", -1), None);
        ends.of("events", 3)
    }

    fn end(end: i64, is_read: bool) -> Option<LogEnd> {
        Some(LogEnd { end: Offset(end), is_read })
    }

    #[test]
    fn a_source_is_read_when_nothing_is_left_to_fetch_or_to_take() {
        assert_eq!(learnt(&[statistics("active", 0, 12, 12)]), end(12, true));
        assert_eq!(learnt(&[statistics("active", 0, 11, 12)]), end(12, false));
        assert_eq!(learnt(&[statistics("active", 1, 12, 12)]), end(12, false));
    }

    #[test]
    fn nothing_is_known_of_what_is_not_followed() {
        assert_eq!(learnt(&[statistics("none", 0, 12, 12)]), None);
        assert_eq!(learnt(&[statistics("active", 0, 12, -1001)]), None);
        assert_eq!(learnt(&[statistics("active", 0, 12, 12), statistics("stopped", 0, 12, 12)]), None);
    }

    #[test]
    fn an_answer_holds_until_a_fetch_tells_more() {
        let ends = Ends::default();
        let learn = |text: String| ends.learn(text.as_bytes()).expect("it can be read");
        learn(statistics("active", 0, 12, 12));
        ends.moved("events", 3, Offset(500));
        assert_eq!(ends.of("events", 3), end(500, false));
        learn(statistics("active", 0, 12, 12));
        assert_eq!(ends.of("events", 3), end(500, false));
        learn(statistics("active", 0, 500, 500));
        assert_eq!(ends.of("events", 3), end(500, true));
    }
}
