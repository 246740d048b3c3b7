//! Topics, brokers and groups, for the command line and at start-up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_placement::TopicSpec;
use millrace_runtime::log::LogError;
use millrace_schemas::{Offset, Timestamp};
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::{Offset as KafkaOffset, TopicPartitionList};

use crate::config::KafkaConfig;
use crate::context::{Logging, Remembering};
use crate::error::{blocking, fatal, from_kafka, retriable};

/// One request.
const REQUEST_MAX: Duration = Duration::from_secs(10);

/// How long it may take until all brokers know a new topic, or have loaded what they are to coordinate.
const PROPAGATION_MAX: Duration = Duration::from_secs(15);

/// Administers a cluster. Cheap to clone.
#[derive(Clone)]
pub struct Admin {
    client: Arc<AdminClient<Logging>>,
    /// Has a metadata and watermark call; reads nothing.
    probe: Arc<BaseConsumer<Remembering>>,
    bootstrap: Arc<str>,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("bootstrap", &self.bootstrap).finish_non_exhaustive()
    }
}

/// A cluster as its brokers describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Kafka's own name for it.
    pub id: Option<String>,
    /// The brokers that are up, by id.
    pub brokers: Vec<Broker>,
}

/// A broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// `node.id`
    pub id: i32,
    /// As advertised.
    pub host: String,
    /// As advertised.
    pub port: i32,
}

/// What a topic is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicDifference {
    /// It does not exist.
    Missing(TopicSpec),
    /// It has another number of partitions.
    Partitions {
        /// Which.
        topic: String,
        /// As specified.
        wanted: u32,
        /// As it is.
        found: u32,
    },
    /// A setting has another value.
    Setting {
        /// Which.
        topic: String,
        /// Which setting.
        name: String,
        /// As specified.
        wanted: String,
        /// As it is; none if the broker does not say.
        found: Option<String>,
    },
}

impl Admin {
    /// A client; it connects when it is first used.
    ///
    /// # Errors
    /// When the settings make no sense.
    pub fn new(config: &KafkaConfig) -> Result<Self, LogError> {
        let doing = "create the admin client";
        let client = config.admin().create_with_context(Logging).map_err(|error| from_kafka(doing, error))?;
        let probe = config
            .probe()
            .create_with_context(Remembering::default())
            .map_err(|error| from_kafka(doing, error))?;
        Ok(Self {
            client: Arc::new(client),
            probe: Arc::new(probe),
            bootstrap: config.bootstrap.as_str().into(),
        })
    }

    /// Which brokers are up.
    ///
    /// # Errors
    /// When no broker answers within ten seconds.
    pub async fn cluster(&self) -> Result<Cluster, LogError> {
        self.on_probe(format!("reach Kafka at {}", self.bootstrap), |probe| {
            let metadata = probe.fetch_metadata(None, REQUEST_MAX)?;
            let mut brokers: Vec<Broker> = metadata
                .brokers()
                .iter()
                .map(|it| Broker { id: it.id(), host: it.host().to_owned(), port: it.port() })
                .collect();
            brokers.sort_by_key(|it| it.id);
            Ok(Cluster { id: probe.client().fetch_cluster_id(REQUEST_MAX), brokers })
        })
        .await
    }

    /// How many partitions a topic has; none if there is no such topic.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn partitions(&self, topic: &str) -> Result<Option<u32>, LogError> {
        let topic = topic.to_owned();
        self.on_probe(format!("describe the topic {topic}"), move |probe| {
            let metadata = probe.fetch_metadata(Some(&topic), REQUEST_MAX)?;
            partitions_in(&metadata, &topic)
        })
        .await
    }

    /// First offset and high watermark of a partition, open transactions included.
    ///
    /// # Errors
    /// When there is no such partition, or its leader does not answer.
    pub async fn bounds(&self, topic: &str, partition: i32) -> Result<(Offset, Offset), LogError> {
        let topic = topic.to_owned();
        self.on_probe(format!("ask for the end of {topic}/{partition}"), move |probe| {
            let (start, end) = probe.fetch_watermarks(&topic, partition, REQUEST_MAX)?;
            Ok((Offset(start), Offset(end)))
        })
        .await
    }

    /// Deletes what stands before `before` and before the first record that is as young as `keep_since`. The first offset that is left.
    pub(crate) async fn trim(
        &self,
        topic: &str,
        partition: i32,
        before: Offset,
        keep_since: Timestamp,
    ) -> Result<Offset, LogError> {
        let doing = format!("delete records of {topic}/{partition} before offset {}", before.0);
        let (first, end) = self.bounds(topic, partition).await?;
        if before > end {
            return Err(fatal(
                format!("{doing}: it ends at {}", end.0),
                "the topic was truncated or made anew: restore it, or use another prefix and keyspace",
            ));
        }
        if before <= first {
            return Ok(first);
        }
        let young = self.first_since(topic, partition, keep_since).await?;
        let before = young.map_or(before, |it| before.min(it));
        if before <= first {
            return Ok(first);
        }
        let failed = |error| from_kafka(doing.clone(), error);
        let list = one(topic, partition, before.0).map_err(failed)?;
        let deleted = self.client.delete_records(&list, &options()).await.map_err(failed)?;
        let deleted = deleted.find_partition(topic, partition).expect("the answer names what was asked for");
        deleted.error().map_err(failed)?;
        match deleted.offset() {
            KafkaOffset::Offset(first) => Ok(Offset(first)),
            other => {
                unreachable!("the broker tells the offset that is first after a deletion, not {other:?}")
            }
        }
    }

    /// The first record that is not older than `at`; none if all are.
    pub(crate) async fn first_since(
        &self,
        topic: &str,
        partition: i32,
        at: Timestamp,
    ) -> Result<Option<Offset>, LogError> {
        let topic = topic.to_owned();
        self.on_probe(format!("search {topic}/{partition} by time"), move |probe| {
            let found = probe.offsets_for_times(one(&topic, partition, at.0)?, REQUEST_MAX)?;
            let found = found.find_partition(&topic, partition).expect("the answer names what was asked for");
            found.error()?;
            Ok(match found.offset() {
                KafkaOffset::Offset(offset) => Some(Offset(offset)),
                _ => None,
            })
        })
        .await
    }

    /// How many members a consumer group has: 0 also if there is no such group.
    ///
    /// # Errors
    /// When the brokers do not answer.
    pub async fn group_members(&self, group: &str) -> Result<usize, LogError> {
        let group = group.to_owned();
        self.on_probe(format!("describe the group {group}"), move |probe| {
            let deadline = Instant::now() + PROPAGATION_MAX;
            let list = loop {
                match probe.fetch_group_list(Some(&group), REQUEST_MAX) {
                    // The topic of the groups is as new as the cluster, or has just moved to another broker.
                    Err(error)
                        if error.rdkafka_error_code()
                            == Some(RDKafkaErrorCode::CoordinatorLoadInProgress)
                            && Instant::now() < deadline =>
                    {
                        std::thread::sleep(Duration::from_millis(50));
                    }
                    list => break list?,
                }
            };
            Ok(list.groups().iter().filter(|it| it.name() == group).map(|it| it.members().len()).sum())
        })
        .await
    }

    /// What is missing or differs, in the order of `specs`.
    ///
    /// # Errors
    /// When the brokers do not answer.
    pub async fn plan(&self, specs: &[TopicSpec]) -> Result<Vec<TopicDifference>, LogError> {
        let mut existing = Vec::new();
        let mut differences = Vec::new();
        for spec in specs {
            match self.partitions(&spec.name).await? {
                None => differences.push(TopicDifference::Missing(spec.clone())),
                Some(found) => {
                    if found != spec.partitions {
                        differences.push(TopicDifference::Partitions {
                            topic: spec.name.clone(),
                            wanted: spec.partitions,
                            found,
                        });
                    }
                    existing.push(spec);
                }
            }
        }
        let names: Vec<&str> = existing.iter().map(|it| it.name.as_str()).collect();
        for (spec, settings) in existing.iter().zip(self.settings(&names).await?) {
            for (name, wanted) in &spec.settings {
                let found = settings.get(name).and_then(|it| it.value.clone());
                if found.as_ref() != Some(wanted) {
                    differences.push(TopicDifference::Setting {
                        topic: spec.name.clone(),
                        name: (*name).to_owned(),
                        wanted: wanted.clone(),
                        found,
                    });
                }
            }
        }
        Ok(differences)
    }

    /// Creates what is missing, and waits until it can be used. Topics that exist are left as they are.
    /// Returns the names of those that it created.
    ///
    /// # Errors
    /// When a topic cannot be created.
    pub async fn apply(&self, specs: &[TopicSpec]) -> Result<Vec<String>, LogError> {
        let mut missing = Vec::new();
        for spec in specs {
            if self.partitions(&spec.name).await?.is_none() {
                missing.push(spec);
            }
        }
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let created = self.create(&missing).await?;
        for spec in &missing {
            self.await_topic(&spec.name).await?;
        }
        Ok(created)
    }

    async fn create(&self, specs: &[&TopicSpec]) -> Result<Vec<String>, LogError> {
        let new: Vec<NewTopic<'_>> = specs
            .iter()
            .map(|spec| NewTopic {
                name: &spec.name,
                num_partitions: i32::try_from(spec.partitions).unwrap_or(i32::MAX),
                // The broker's own default.
                replication: TopicReplication::Fixed(-1),
                config: spec.settings.iter().map(|(name, value)| (*name, value.as_str())).collect(),
            })
            .collect();
        let results = self
            .client
            .create_topics(&new, &options())
            .await
            .map_err(|error| from_kafka("create topics", error))?;
        let mut created = Vec::new();
        for result in results {
            match result {
                Ok(topic) => created.push(topic),
                // Another member was faster.
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
                    return Err(from_kafka(format!("create the topic {topic}"), KafkaError::AdminOp(code)));
                }
            }
        }
        Ok(created)
    }

    /// Until every partition has a leader that answers.
    async fn await_topic(&self, topic: &str) -> Result<(), LogError> {
        let topic = topic.to_owned();
        self.on_probe(format!("wait for the new topic {topic}"), move |probe| {
            let deadline = Instant::now() + PROPAGATION_MAX;
            loop {
                match try_topic(probe, &topic) {
                    Err(error) if Instant::now() >= deadline => return Err(error),
                    Err(_) => std::thread::sleep(Duration::from_millis(50)),
                    Ok(()) => return Ok(()),
                }
            }
        })
        .await
    }

    /// The smallest `max.message.bytes` among these topics, in bytes; none without topics.
    ///
    /// # Errors
    /// When a topic is missing, or the brokers do not say.
    pub async fn record_bytes_max(&self, topics: &[&str]) -> Result<Option<usize>, LogError> {
        const SETTING: &str = "max.message.bytes";
        let mut smallest = None;
        for (topic, settings) in topics.iter().zip(self.settings(topics).await?) {
            let value = settings.get(SETTING).and_then(|it| it.value.as_ref()?.parse::<usize>().ok());
            let Some(value) = value else {
                return Err(fatal(
                    format!("read {SETTING} of {topic}"),
                    "allow this user to describe the topic's configuration",
                ));
            };
            smallest = Some(smallest.map_or(value, |it: usize| it.min(value)));
        }
        Ok(smallest)
    }

    /// The names of all topics that begin with `prefix`.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn topics(&self, prefix: &str) -> Result<Vec<String>, LogError> {
        let prefix = prefix.to_owned();
        self.on_probe("list the topics".to_owned(), move |probe| {
            let metadata = probe.fetch_metadata(None, REQUEST_MAX)?;
            let names = metadata.topics().iter().map(|it| it.name());
            Ok(names.filter(|it| it.starts_with(&prefix)).map(ToOwned::to_owned).collect())
        })
        .await
    }

    /// In the order of `topics`.
    async fn settings(&self, topics: &[&str]) -> Result<Vec<ConfigResource>, LogError> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let doing = "read the settings of topics";
        let resources: Vec<_> = topics.iter().map(|it| ResourceSpecifier::Topic(it)).collect();
        let results = self
            .client
            .describe_configs(&resources, &options())
            .await
            .map_err(|error| from_kafka(doing, error))?;
        results
            .into_iter()
            .map(|it| it.map_err(|code| from_kafka(doing, KafkaError::AdminOp(code))))
            .collect()
    }

    async fn on_probe<T: Send + 'static>(
        &self,
        doing: String,
        call: impl FnOnce(&BaseConsumer<Remembering>) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, LogError> {
        let probe = Arc::clone(&self.probe);
        let called = blocking(move || {
            let answer = call(&probe);
            if answer.is_err() {
                hear(&probe);
            }
            answer
        });
        let error = match called.await {
            Err(error) => error,
            Ok(answer) => {
                self.probe.context().forget();
                return Ok(answer);
            }
        };
        match error.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut,
            ) => {
                let doing = format!("{doing}: no broker answers");
                match self.probe.context().failure() {
                    Some(why) => Err(retriable(doing, why)),
                    None => Err(retriable(doing, error)),
                }
            }
            _ => Err(from_kafka(doing, error)),
        }
    }
}

/// Lets the client tell its context what it has to say. There are no records: it reads nothing. Whether there was something to hear, such
/// as a line for the log, cannot be seen, so it is asked as often as it may have something.
fn hear(probe: &BaseConsumer<Remembering>) {
    const EVENTS_MAX: usize = 200;
    for _ in 0..EVENTS_MAX {
        let _ = probe.poll(Duration::ZERO);
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(REQUEST_MAX)).operation_timeout(Some(REQUEST_MAX))
}

/// A list of one partition. librdkafka takes times, too, where it has offsets.
fn one(topic: &str, partition: i32, offset: i64) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, KafkaOffset::Offset(offset))?;
    Ok(list)
}

fn partitions_in(metadata: &Metadata, topic: &str) -> Result<Option<u32>, KafkaError> {
    let Some(found) = metadata.topics().iter().find(|it| it.name() == topic) else { return Ok(None) };
    match found.error().map(RDKafkaErrorCode::from) {
        None => Ok(u32::try_from(found.partitions().len()).ok().filter(|it| *it > 0)),
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(None),
        Some(code) => Err(KafkaError::MetadataFetch(code)),
    }
}

fn try_topic(probe: &BaseConsumer<Remembering>, topic: &str) -> Result<(), KafkaError> {
    let metadata = probe.fetch_metadata(Some(topic), REQUEST_MAX)?;
    let Some(partitions) = partitions_in(&metadata, topic)? else {
        return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition));
    };
    for partition in 0..i32::try_from(partitions).unwrap_or(i32::MAX) {
        probe.fetch_watermarks(topic, partition, REQUEST_MAX)?;
    }
    Ok(())
}
