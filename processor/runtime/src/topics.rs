//! The topics of the users from which events come: which ones definitions name, and what the brokers know of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use millrace_partition::UserTopic;
use millrace_schemas::Timestamp;
use millrace_workflow::program::{Beginning, Decoding, EventSource};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::log::{Log, LogError};

/// How often the brokers are asked again: so long may partitions that are added go unnoticed.
const ASK_EVERY: Duration = Duration::from_secs(30);
/// The pause after the first try that found a topic missing, or no broker.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// What definitions say of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    decodings: BTreeSet<Decoding>,
    since: Option<Timestamp>,
}

/// By topic.
pub(crate) type AllWanted = BTreeMap<Arc<str>, Wanted>;

/// What partitions are told; none until everything was asked for once.
pub(crate) type Told = Option<Arc<Vec<UserTopic>>>;

/// Of several definitions that name a topic, the one that begins first decides where.
pub(crate) fn wanted<'p>(sources: impl IntoIterator<Item = (&'p EventSource, Timestamp)>) -> AllWanted {
    let mut all = AllWanted::new();
    for (source, deployed_at) in sources {
        let since = match source.begins {
            Beginning::Earliest => None,
            Beginning::Latest => Some(deployed_at),
        };
        let topic = all
            .entry(Arc::clone(&source.topic))
            .or_insert_with(|| Wanted { decodings: BTreeSet::new(), since });
        topic.decodings.insert(source.decoding.clone());
        // None comes before any time.
        topic.since = topic.since.min(since);
    }
    all
}

/// Asks the brokers for what definitions name, for ever.
pub(crate) struct TopicWatch<L> {
    log: L,
    wanted: watch::Receiver<AllWanted>,
    told: watch::Sender<Told>,
    /// As the brokers have said last; none if a topic is not there.
    partitions: BTreeMap<Arc<str>, Option<u32>>,
}

impl<L: Log> TopicWatch<L> {
    pub(crate) fn new(log: L, wanted: watch::Receiver<AllWanted>) -> (Self, watch::Receiver<Told>) {
        let (told, receiver) = watch::channel(None);
        (Self { log, wanted, told, partitions: BTreeMap::new() }, receiver)
    }

    /// Until the definitions end.
    pub(crate) async fn run(mut self) {
        let mut pause = ASK_AGAIN;
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            let is_complete = self.ask(&wanted).await;
            self.tell(&wanted);
            pause = if is_complete { ASK_EVERY } else { (pause * 2).min(ASK_EVERY) };
            tokio::select! {
                changed = self.wanted.changed() => match changed {
                    Ok(()) => pause = ASK_AGAIN,
                    Err(_) => return,
                },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// False if one is not there, or nobody can say.
    async fn ask(&mut self, wanted: &AllWanted) -> bool {
        self.partitions.retain(|topic, _| wanted.contains_key(topic));
        let mut is_complete = true;
        for topic in wanted.keys() {
            match self.log.topic_partitions(topic).await {
                Ok(count) => {
                    let before = self.partitions.insert(Arc::clone(topic), count);
                    is_complete &= count.is_some();
                    match (before.flatten(), count) {
                        (before, Some(count)) if before != Some(count) => {
                            info!(%topic, partitions = count, "events come from this topic");
                        }
                        (Some(_), None) => {
                            warn!(%topic, "the topic is gone; events come from it once it is back")
                        }
                        (None, None) if before.is_none() => {
                            warn!(%topic, "a definition reads events from a topic that does not exist; they come once it does");
                        }
                        (Some(_) | None, Some(_) | None) => {}
                    }
                }
                // What was known before holds on.
                Err(error) => {
                    is_complete = false;
                    note(topic, &error);
                }
            }
        }
        is_complete
    }

    fn tell(&self, wanted: &AllWanted) {
        let topics = wanted.iter().map(|(topic, it)| UserTopic {
            topic: Arc::clone(topic),
            partitions: self.partitions.get(topic).copied().flatten().unwrap_or(0),
            decodings: it.decodings.iter().cloned().collect(),
            since: it.since,
        });
        let topics: Vec<UserTopic> = topics.collect();
        self.told.send_if_modified(|told| {
            let is_new = told.as_ref().is_none_or(|it| **it != topics);
            if is_new {
                *told = Some(Arc::new(topics));
            }
            is_new
        });
    }
}

fn note(topic: &str, error: &LogError) {
    warn!(topic, error = error as &dyn std::error::Error, "cannot ask for a topic; trying again");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(topic: &str, decoding: Decoding, begins: Beginning) -> EventSource {
        EventSource { topic: topic.into(), decoding, begins }
    }

    #[test]
    fn of_several_definitions_the_one_that_begins_first_decides() {
        let json = |event_type: &str| Decoding::Json { event_type: event_type.into() };
        let old = source("orders", json("a"), Beginning::Latest);
        let same = source("orders", json("a"), Beginning::Latest);
        let other = source("orders", Decoding::CloudEvents, Beginning::Latest);
        let whole = source("scans", json("scan"), Beginning::Earliest);
        let late = source("scans", json("scan"), Beginning::Latest);
        let deployed = [
            (&same, Timestamp(9)),
            (&old, Timestamp(5)),
            (&other, Timestamp(7)),
            (&whole, Timestamp(8)),
            (&late, Timestamp(1)),
        ];
        let wanted = wanted(deployed);
        let orders = Wanted {
            decodings: BTreeSet::from([Decoding::CloudEvents, json("a")]),
            since: Some(Timestamp(5)),
        };
        let scans = Wanted { decodings: BTreeSet::from([json("scan")]), since: None };
        assert_eq!(wanted, AllWanted::from([("orders".into(), orders), ("scans".into(), scans)]));
    }
}
