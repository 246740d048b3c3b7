//! The topics of a fleet: names, and how they are to be created.

use std::sync::Arc;

const DAY_MS: u64 = 86_400_000;
const WEEK_MS: u64 = 7 * DAY_MS;

/// `max.message.bytes` of the topics whose records wrap records of the inbox, in bytes: twice what Kafka allows by default.
pub const WRAPPING_BYTES_MAX: u64 = 2_097_152;

/// The topics of one fleet. All names derive from one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    prefix: Arc<str>,
}

impl Topics {
    /// The prefix unless configured otherwise.
    pub const DEFAULT_PREFIX: &'static str = "millrace";

    /// Topics with this prefix.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    /// The public inbox.
    #[must_use]
    pub fn events(&self) -> String {
        format!("{}.events", self.prefix)
    }

    /// Forwarded records and fired timers; the group subscribes to this one, so it is the lock.
    #[must_use]
    pub fn internal(&self) -> String {
        format!("{}.internal", self.prefix)
    }

    /// The truth.
    #[must_use]
    pub fn changelog(&self) -> String {
        format!("{}.changelog", self.prefix)
    }

    /// Tasks of one queue.
    #[must_use]
    pub fn commands(&self, queue: &str) -> String {
        format!("{}.commands.{queue}", self.prefix)
    }

    /// Events that workflows emit.
    #[must_use]
    pub fn emitted(&self) -> String {
        format!("{}.emitted", self.prefix)
    }

    /// Admitted definitions, compacted.
    #[must_use]
    pub fn definitions(&self) -> String {
        format!("{}.definitions", self.prefix)
    }

    /// Plans that change the number of partitions, compacted.
    #[must_use]
    pub fn control(&self) -> String {
        format!("{}.control", self.prefix)
    }

    /// Rejections and, later, the language's lifecycle events.
    #[must_use]
    pub fn lifecycle(&self) -> String {
        format!("{}.lifecycle", self.prefix)
    }

    /// Records that cannot be read or admitted.
    #[must_use]
    pub fn dead_letters(&self) -> String {
        format!("{}.dead-letters", self.prefix)
    }

    /// Whether a topic is of this fleet's own, and no source of events for its workflows. What they emit may be one.
    #[must_use]
    pub fn is_internal(&self, topic: &str) -> bool {
        let is_own = topic.strip_prefix(&*self.prefix).is_some_and(|it| it.starts_with('.'));
        is_own && topic != self.emitted()
    }

    /// The processors' consumer group.
    #[must_use]
    pub fn group(&self) -> String {
        format!("{}.processor", self.prefix)
    }

    /// What must exist, for `partitions` partitions and these queues.
    ///
    /// # Errors
    /// When the partition count is not a power of two up to the number of key-groups.
    pub fn specs(&self, partitions: u32, queues: &[String]) -> Result<Vec<TopicSpec>, InvalidPartitionCount> {
        if !partitions.is_power_of_two() || partitions > u32::from(crate::KEY_GROUPS) {
            return Err(InvalidPartitionCount { partitions });
        }
        let week = ("retention.ms", WEEK_MS.to_string());
        // Records of these wrap a record of the inbox, or several payloads, so they may be larger than it.
        let large = ("max.message.bytes", WRAPPING_BYTES_MAX.to_string());
        let spec = |name: String, partitions: u32, settings: &[(&'static str, String)]| TopicSpec {
            name,
            partitions,
            settings: settings.to_vec(),
        };
        let mut specs = vec![
            spec(self.events(), partitions, std::slice::from_ref(&week)),
            spec(self.internal(), partitions, &[week.clone(), large.clone()]),
            spec(self.changelog(), partitions, &[("retention.ms", "-1".to_owned()), large.clone()]),
            spec(self.emitted(), partitions, std::slice::from_ref(&week)),
            spec(self.lifecycle(), partitions, std::slice::from_ref(&week)),
            spec(self.definitions(), 1, &[("cleanup.policy", "compact".to_owned())]),
            spec(self.control(), 1, &[("cleanup.policy", "compact".to_owned())]),
            spec(self.dead_letters(), 1, &[("retention.ms", (30 * DAY_MS).to_string()), large]),
        ];
        specs.extend(self.queue_specs(partitions, queues));
        Ok(specs)
    }

    /// The command topics of these queues.
    #[must_use]
    pub fn queue_specs(&self, partitions: u32, queues: &[String]) -> Vec<TopicSpec> {
        queues.iter().map(|queue| Self::user_spec(&self.commands(queue), partitions)).collect()
    }

    /// A topic that a definition names.
    #[must_use]
    pub fn user_spec(topic: &str, partitions: u32) -> TopicSpec {
        TopicSpec {
            name: topic.to_owned(),
            partitions,
            settings: vec![("retention.ms", WEEK_MS.to_string())],
        }
    }
}

impl Default for Topics {
    fn default() -> Self {
        Self::new(Self::DEFAULT_PREFIX)
    }
}

/// How a topic is to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// In full.
    pub name: String,
    /// How many.
    pub partitions: u32,
    /// Topic settings that differ from the broker's defaults.
    pub settings: Vec<(&'static str, String)>,
}

/// A partition count that does not divide the key-groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{partitions} partitions are not possible: choose a power of two from 1 to 4096, so that every later split refines this one"
)]
pub struct InvalidPartitionCount {
    partitions: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_of_the_fleet_are_no_sources_of_events_but_for_what_workflows_emit() {
        let topics = Topics::new("shop.flows");
        let own = [topics.events(), topics.changelog(), topics.dead_letters(), topics.commands("mail")];
        for topic in own {
            assert!(topics.is_internal(&topic), "{topic}");
        }
        for topic in [&*topics.emitted(), "shop.flows", "shop.flowsheets", "shop.events", "orders"] {
            assert!(!topics.is_internal(topic), "{topic}");
        }
    }
}
