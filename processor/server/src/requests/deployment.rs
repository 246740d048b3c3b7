//! Publishing definitions to the fleet, and reading those that are there.

use std::collections::BTreeMap;

use millrace_placement::Topics;
use millrace_schemas::codec::Codec;
use millrace_schemas::definition::Definition;

use super::Fleet;
use super::admission::Candidate;
use crate::clients::Kafka;
use crate::exit::Failure;

/// Why definitions are not deployed. No error itself: one that holds a [`Failure`] would hide its exit code.
#[derive(Debug)]
pub(crate) enum DeployError {
    /// They cannot be meant: another version, or another topic.
    Refused(Failure),
    /// It could not be done now.
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for DeployError {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<DeployError> for anyhow::Error {
    fn from(error: DeployError) -> Self {
        match error {
            DeployError::Refused(failure) => failure.into(),
            DeployError::Failed(error) => error,
        }
    }
}

/// Publishes what is not there yet; all or nothing, as far as refusals go. What became of each: `deployed` or `unchanged`.
pub(crate) async fn deploy(
    fleet: &Fleet,
    candidates: &[Candidate],
) -> Result<Vec<&'static str>, DeployError> {
    let (kafka, topics) = (&*fleet.kafka, fleet.topics());
    reads_no_topic_of_ours(topics, candidates).map_err(DeployError::Refused)?;
    let known = deployed(kafka, topics, &fleet.codec).await?;
    changes_no_version(&known, candidates).map_err(DeployError::Refused)?;
    let partitions = kafka.partitions(&topics.internal()).await?;
    let mut specs = Vec::new();
    for Candidate { program, .. } in candidates {
        let queues: Vec<String> = program.queues().iter().map(ToString::to_string).collect();
        specs.extend(topics.queue_specs(partitions, &queues));
        specs.extend(program.emit_topics().iter().map(|topic| Topics::user_spec(topic, partitions)));
    }
    // Definitions share queues, and a broker takes no request that names a topic twice.
    specs.sort_by(|one, other| one.name.cmp(&other.name));
    specs.dedup_by(|one, other| one.name == other.name);
    kafka.create_topics(&specs).await?;
    let mut outcomes = Vec::new();
    for Candidate { definition, .. } in candidates {
        let key = definition.workflow().to_string();
        if matches!(known.get(&key), Some(Some(_))) {
            outcomes.push("unchanged");
            continue;
        }
        let value = fleet.codec.encode_definition(definition);
        kafka.send(&topics.definitions(), Some(key.as_bytes()), &[], Some(&value)).await?;
        outcomes.push("deployed");
    }
    Ok(outcomes)
}

fn reads_no_topic_of_ours(topics: &Topics, candidates: &[Candidate]) -> Result<(), Failure> {
    for Candidate { name, program, .. } in candidates {
        if let Some(source) = program.sources.iter().find(|it| topics.is_internal(&it.topic)) {
            let what = format!(
                "{name}: /document/metadata/millrace/events: {} is a topic of the fleet's own",
                source.topic
            );
            let fix = format!(
                "events that are sent to {} are heard anyway; of the fleet's topics, only {} can be read",
                topics.events(),
                topics.emitted()
            );
            return Err(Failure::refused(what, fix));
        }
    }
    Ok(())
}

fn changes_no_version(
    known: &BTreeMap<String, Option<Definition>>,
    candidates: &[Candidate],
) -> Result<(), Failure> {
    for Candidate { name, definition, .. } in candidates {
        let key = definition.workflow().to_string();
        if let Some(Some(other)) = known.get(&key)
            && other.digest != definition.digest
        {
            let what = format!("{key} is deployed already, and {name} differs from it");
            let fix = "raise document.version: a deployed version never changes, since running instances stay on it";
            return Err(Failure::refused(what, fix));
        }
    }
    Ok(())
}

/// What the definitions topic holds, by key: none for a version that was deleted, or that cannot be read.
pub(crate) async fn deployed(
    kafka: &Kafka,
    topics: &Topics,
    codec: &Codec,
) -> anyhow::Result<BTreeMap<String, Option<Definition>>> {
    let mut known = BTreeMap::new();
    for record in kafka.read(&topics.definitions(), 0, None).await? {
        let Some(key) = record.key.as_deref().map(String::from_utf8_lossy) else { continue };
        let definition = record.value.as_deref().and_then(|it| codec.decode_definition(it).ok());
        known.insert(key.into_owned(), definition);
    }
    Ok(known)
}
