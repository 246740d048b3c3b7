//! What can be asked of a fleet, for the command line and for the HTTP API alike: definitions to deploy, events and commands to send,
//! dead letters to redrive; and to be told what became of it. Everything that changes something goes through Kafka, so any member will do.
//!
//! Reading order: [`admission`] and [`deployment`], definitions; [`commands`] and [`events`], what is sent; [`restart`], what must be known for
//! one of them; [`outcome`] and [`ending`], what becomes of it; [`dead_letters`].

pub(crate) mod admission;
pub(crate) mod commands;
pub(crate) mod dead_letters;
pub(crate) mod deployment;
pub(crate) mod ending;
pub(crate) mod events;
pub(crate) mod outcome;
pub(crate) mod restart;
pub(crate) mod selection;

use std::sync::Arc;

use bytes::Bytes;
use millrace_placement::Topics;
use millrace_schemas::codec::Codec;

use crate::clients::{self, Kafka, Record, SharedTail, Subscription, Tail, Wants};
use crate::config::Global;

/// A fleet, as whoever asks something of it sees it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Fleet {
    pub(crate) kafka: Arc<Kafka>,
    pub(crate) codec: Codec,
    /// Of a process that asks often.
    shared: Option<SharedTail>,
}

impl Fleet {
    /// For a command, which asks once.
    pub(crate) async fn connect(global: &Global) -> anyhow::Result<Self> {
        Ok(Self { kafka: Arc::new(Kafka::new(global)), codec: clients::codec(global).await?, shared: None })
    }

    /// For a process that asks often.
    pub(crate) fn of_a_member(kafka: Arc<Kafka>, codec: Codec) -> Self {
        let shared = Some(SharedTail::new(Arc::clone(&kafka)));
        Self { kafka, codec, shared }
    }

    pub(crate) fn topics(&self) -> &Topics {
        self.kafka.topics()
    }

    /// Follows partitions from their present ends; with a key, perhaps only records of it and those without one.
    pub(crate) async fn follow(
        &self,
        sources: Vec<(String, i32)>,
        key: Option<Bytes>,
    ) -> anyhow::Result<Feed> {
        Ok(match &self.shared {
            Some(shared) => Feed::Shared(shared.subscribe(Wants { sources, key }).await?),
            None => Feed::Own(self.kafka.tail_from_end(&sources).await?),
        })
    }
}

/// Records as they come.
#[derive(Debug)]
pub(crate) enum Feed {
    Own(Tail),
    Shared(Subscription),
}

impl Feed {
    /// The next record; waits for it. Nothing is lost if the future is dropped.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Arc<Record>> {
        match self {
            Self::Own(tail) => Ok(Arc::new(tail.next().await?)),
            Self::Shared(subscription) => Ok(subscription.next().await?),
        }
    }

    /// The next record, if it is known to be there.
    pub(crate) fn ready(&mut self) -> Option<Arc<Record>> {
        match self {
            Self::Own(_) => None,
            Self::Shared(subscription) => subscription.ready(),
        }
    }
}
