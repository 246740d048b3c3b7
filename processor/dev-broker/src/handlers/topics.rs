//! `CreateTopics`, `DeleteTopics`, `CreatePartitions`.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, TopicName,
};
use uuid::Uuid;

use crate::broker::{Broker, Control, Identity, storage_error};
use crate::topics::{Change, Settings, Topic, refuse_name, refuse_settings};
use crate::wire::text;

use super::configs;

/// An error and what it means here.
type Refusal = (ResponseError, String);

/// What a client may leave out: "the broker's default".
const DEFAULT: i32 = -1;

pub(super) fn create(broker: &Broker, request: CreateTopicsRequest) -> CreateTopicsResponse {
    let mut control = broker.control();
    let results = request.topics.into_iter().map(|topic| {
        let name = topic.name.clone();
        let created = plan(broker, &topic).and_then(|change| {
            if !request.validate_only {
                broker.change_topics(&mut control, change.clone()).map_err(not_written)?;
            }
            Ok(change)
        });
        let result = CreatableTopicResult::default().with_name(name);
        match created {
            Ok(Change::Created { id, partitions, settings, .. }) => result
                .with_topic_id(id)
                .with_error_message(None)
                .with_num_partitions(partitions as i32)
                .with_replication_factor(1)
                .with_configs(Some(configs::of_topic(&settings).map(created_config).collect())),
            Ok(_) => result,
            Err((error, reason)) => result
                .with_error_code(error.code())
                .with_error_message(Some(text(reason)))
                .with_num_partitions(-1)
                .with_replication_factor(-1),
        }
    });
    CreateTopicsResponse::default().with_topics(results.collect())
}

/// A topic that a client has asked for by name only.
pub(super) fn create_by_default(broker: &Broker, name: &TopicName) -> Result<Arc<Topic>, ResponseError> {
    let mut control = broker.control();
    if broker.topics().get(name).is_none() {
        let topic = CreatableTopic::default()
            .with_name(name.clone())
            .with_num_partitions(DEFAULT)
            .with_replication_factor(-1);
        let change = plan(broker, &topic).map_err(|it| it.0)?;
        broker.change_topics(&mut control, change).map_err(|error| storage_error(&error))?;
    }
    broker.topics().get(name).ok_or(ResponseError::UnknownTopicOrPartition)
}

fn plan(broker: &Broker, topic: &CreatableTopic) -> Result<Change, Refusal> {
    if let Some(reason) = refuse_name(&topic.name) {
        return Err((ResponseError::InvalidTopicException, reason));
    }
    if broker.topics().get(&topic.name).is_some() {
        return Err((ResponseError::TopicAlreadyExists, format!("topic {} exists", *topic.name)));
    }
    let partitions = if topic.assignments.is_empty() {
        if !matches!(topic.replication_factor, -1 | 1) {
            let reason = format!("there is one broker, so no {} replicas", topic.replication_factor);
            return Err((ResponseError::InvalidReplicationFactor, reason));
        }
        match topic.num_partitions {
            DEFAULT => broker.config().default_partitions,
            count => u32::try_from(count).unwrap_or(0),
        }
    } else {
        check_assignments(topic)?
    };
    if partitions == 0 {
        let reason = format!("a topic has one partition at least, not {}", topic.num_partitions);
        return Err((ResponseError::InvalidPartitions, reason));
    }
    room_for(broker, partitions as usize)?;
    let settings = topic.configs.iter().filter_map(|it| {
        let value = it.value.as_ref()?;
        Some((it.name.to_string(), value.to_string()))
    });
    let settings: Settings = settings.collect();
    if let Some(reason) = refuse_settings(&settings) {
        return Err((ResponseError::InvalidConfig, reason));
    }
    Ok(Change::Created { name: topic.name.to_string(), id: Uuid::new_v4(), partitions, settings })
}

/// How many partitions are assigned to us, by number from 0 on.
fn check_assignments(topic: &CreatableTopic) -> Result<u32, Refusal> {
    let mut numbers: Vec<i32> = topic.assignments.iter().map(|it| it.partition_index).collect();
    numbers.sort_unstable();
    let is_ours = |ids: &[kafka_protocol::messages::BrokerId]| matches!(ids, [id] if **id == Identity::NODE);
    if !numbers.iter().copied().eq(0..numbers.len() as i32)
        || !topic.assignments.iter().all(|it| is_ours(&it.broker_ids))
    {
        let reason =
            format!("partitions are numbered from 0 on, and broker {} is the only one", Identity::NODE);
        return Err((ResponseError::InvalidReplicaAssignment, reason));
    }
    Ok(numbers.len() as u32)
}

fn room_for(broker: &Broker, more: usize) -> Result<(), Refusal> {
    let max = broker.config().partitions_max as usize;
    if broker.topics().partitions().saturating_add(more) > max {
        let reason = format!("this broker for development holds {max} partitions at most");
        return Err((ResponseError::PolicyViolation, reason));
    }
    Ok(())
}

fn created_config(config: configs::Shown<'_>) -> CreatableTopicConfigs {
    CreatableTopicConfigs::default()
        .with_name(text(config.setting.name))
        .with_value(Some(text(config.value)))
        .with_config_source(config.source)
}

pub(super) fn delete(broker: &Broker, request: DeleteTopicsRequest, version: i16) -> DeleteTopicsResponse {
    const BY_ID_SINCE: i16 = 6;
    let mut control = broker.control();
    let names = request.topic_names.into_iter().map(|name| (Some(name), Uuid::nil()));
    let states = request.topics.into_iter().map(|it| (it.name, it.topic_id));
    let results = names.chain(states).map(|(name, id)| {
        let topic = match &name {
            Some(name) => broker.topics().get(name).ok_or(ResponseError::UnknownTopicOrPartition),
            None => broker.topics().get_by_id(id).ok_or(ResponseError::UnknownTopicId),
        };
        let result = DeletableTopicResult::default();
        match topic.and_then(|topic| delete_one(broker, &mut control, &topic).map(|()| topic)) {
            Ok(topic) => {
                let result = result.with_name(Some(TopicName(text(&*topic.name))));
                if version >= BY_ID_SINCE { result.with_topic_id(topic.id) } else { result }
            }
            Err(error) => result.with_name(name).with_topic_id(id).with_error_code(error.code()),
        }
    });
    DeleteTopicsResponse::default().with_responses(results.collect())
}

fn delete_one(broker: &Broker, control: &mut Control, topic: &Topic) -> Result<(), ResponseError> {
    broker.delete_topic(control, &topic.name).map_err(|error| storage_error(&error))?;
    // Whoever waits for its next record hears that there is none.
    for partition in &topic.partitions {
        partition.change(|_| ());
    }
    Ok(())
}

pub(super) fn create_partitions(
    broker: &Broker,
    request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let mut control = broker.control();
    let results = request.topics.into_iter().map(|topic| {
        let grown = grow(broker, &topic).and_then(|change| match request.validate_only {
            true => Ok(()),
            false => broker.change_topics(&mut control, change).map_err(not_written),
        });
        let result = CreatePartitionsTopicResult::default().with_name(topic.name);
        match grown {
            Ok(()) => result,
            Err((error, reason)) => {
                result.with_error_code(error.code()).with_error_message(Some(text(reason)))
            }
        }
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}

fn grow(broker: &Broker, topic: &CreatePartitionsTopic) -> Result<Change, Refusal> {
    let Some(known) = broker.topics().get(&topic.name) else {
        return Err((ResponseError::UnknownTopicOrPartition, format!("there is no topic {}", *topic.name)));
    };
    let before = known.partitions.len();
    let partitions = u32::try_from(topic.count).unwrap_or(0);
    if partitions as usize <= before {
        let reason = format!("topic {} has {before} partitions, and can only have more", *topic.name);
        return Err((ResponseError::InvalidPartitions, reason));
    }
    room_for(broker, partitions as usize - before)?;
    Ok(Change::Grown { name: topic.name.to_string(), partitions })
}

fn not_written(error: std::io::Error) -> Refusal {
    (storage_error(&error), "the broker could not write to its disk".to_owned())
}
