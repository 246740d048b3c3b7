//! `OffsetCommit`, `OffsetFetch`, `OffsetDelete`, `TxnOffsetCommit`.

use std::collections::BTreeMap;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest,
    OffsetFetchResponse, TopicName, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use kafka_protocol::protocol::StrBytes;

use crate::broker::{Broker, Control, storage_error};
use crate::group::{
    Change, Claim, CommittedOffset, FetchedOffsets, GroupId, NewOffset, PartitionResults, ProducerId,
    TopicPartition,
};
use crate::transactions::Producer;
use crate::wire::text;

use super::code;

/// Results of partitions by topic, in the order of the request.
type ByTopic = Vec<(TopicName, Vec<(i32, i16)>)>;

pub(super) fn commit(broker: &Broker, request: OffsetCommitRequest) -> OffsetCommitResponse {
    let group = GroupId(request.group_id.to_string());
    let claim = Claim::new(
        &request.member_id,
        request.group_instance_id.as_deref(),
        request.generation_id_or_member_epoch,
    );
    let asked = request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|it| {
            let metadata = it.committed_metadata.as_ref();
            new_offset(
                &topic.name,
                it.partition_index,
                it.committed_offset,
                it.committed_leader_epoch,
                metadata,
            )
        })
    });
    let results = commit_known(broker, asked.collect(), |control, offsets| {
        Ok(control.groups.commit_offsets(&group, &claim, offsets, broker.now()))
    });
    let topics = results.into_iter().map(|(name, partitions)| {
        let partition = |(index, code)| {
            OffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(code)
        };
        OffsetCommitResponseTopic::default()
            .with_name(name)
            .with_partitions(partitions.into_iter().map(partition).collect())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

pub(super) fn commit_in_transaction(
    broker: &Broker,
    request: TxnOffsetCommitRequest,
) -> TxnOffsetCommitResponse {
    let group = GroupId(request.group_id.to_string());
    let producer = Producer { id: *request.producer_id, epoch: request.producer_epoch };
    let claim = Claim::new(&request.member_id, request.group_instance_id.as_deref(), request.generation_id);
    let asked = request.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|it| {
            let metadata = it.committed_metadata.as_ref();
            new_offset(
                &topic.name,
                it.partition_index,
                it.committed_offset,
                it.committed_leader_epoch,
                metadata,
            )
        })
    });
    let results = commit_known(broker, asked.collect(), |control, offsets| {
        let checked = control.transactions.check_group(&request.transactional_id, producer, &group.0);
        checked.map_err(|error| match error {
            // This request has no version that knows the newer error.
            ResponseError::ProducerFenced => ResponseError::InvalidProducerEpoch,
            error => error,
        })?;
        Ok(control.groups.add_pending(&group, ProducerId(producer.id), &claim, offsets, broker.now()))
    });
    let topics = results.into_iter().map(|(name, partitions)| {
        let partition = |(index, code)| {
            TxnOffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(code)
        };
        TxnOffsetCommitResponseTopic::default()
            .with_name(name)
            .with_partitions(partitions.into_iter().map(partition).collect())
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

fn new_offset(
    topic: &TopicName,
    partition: i32,
    offset: i64,
    leader_epoch: i32,
    metadata: Option<&StrBytes>,
) -> NewOffset {
    NewOffset {
        partition: TopicPartition { topic: topic.to_string(), partition },
        offset,
        leader_epoch,
        metadata: metadata.map(|it| it.to_string()).unwrap_or_default(),
    }
}

/// Commits those of partitions that exist; the others are unknown.
fn commit_known(
    broker: &Broker,
    asked: Vec<NewOffset>,
    commit: impl FnOnce(&mut Control, Vec<NewOffset>) -> Result<(PartitionResults, Vec<Change>), ResponseError>,
) -> ByTopic {
    // First of all: a topic that is deleted meanwhile must not leave offsets behind.
    let mut control = broker.control();
    let order: Vec<TopicPartition> = asked.iter().map(|it| it.partition.clone()).collect();
    let is_known =
        |it: &NewOffset| broker.topics().partition(&it.partition.topic, it.partition.partition).is_some();
    let (known, unknown): (Vec<_>, Vec<_>) = asked.into_iter().partition(is_known);
    let partitions: Vec<TopicPartition> = known.iter().map(|it| it.partition.clone()).collect();
    let committed = commit(&mut control, known).and_then(|(results, changes)| {
        broker.write_groups(&mut control, changes).map_err(|error| storage_error(&error))?;
        Ok(results)
    });
    let results =
        committed.unwrap_or_else(|error| partitions.into_iter().map(|it| (it, Err(error))).collect());
    let unknown = unknown.into_iter().map(|it| (it.partition, Err(ResponseError::UnknownTopicOrPartition)));
    let results: BTreeMap<TopicPartition, Result<(), ResponseError>> =
        results.into_iter().chain(unknown).collect();
    by_topic(order.iter().map(|it| (it, code(results.get(it).copied().unwrap_or(Ok(()))))))
}

fn by_topic<'a>(results: impl Iterator<Item = (&'a TopicPartition, i16)>) -> ByTopic {
    let mut topics: ByTopic = Vec::new();
    for (partition, code) in results {
        let entry = (partition.partition, code);
        match topics.last_mut() {
            Some((name, partitions)) if ***name == *partition.topic => partitions.push(entry),
            _ => topics.push((TopicName(text(partition.topic.as_str())), vec![entry])),
        }
    }
    topics
}

pub(super) fn fetch(broker: &Broker, request: OffsetFetchRequest, version: i16) -> OffsetFetchResponse {
    const GROUPS_SINCE: i16 = 8;
    let control = broker.control();
    let fetch = |group: &str, asked: Option<Vec<TopicPartition>>| {
        control.groups.fetch_offsets(&GroupId(group.to_owned()), asked, request.require_stable)
    };
    if version < GROUPS_SINCE {
        let asked = request
            .topics
            .as_ref()
            .map(|topics| topics.iter().flat_map(|it| partitions(&it.name, &it.partition_indexes)).collect());
        let topics = grouped(fetch(&request.group_id, asked)).into_iter().map(|(name, partitions)| {
            let partition = |it: Fetched| {
                OffsetFetchResponsePartition::default()
                    .with_partition_index(it.index)
                    .with_committed_offset(it.offset)
                    .with_committed_leader_epoch(it.leader_epoch)
                    .with_metadata(Some(it.metadata))
                    .with_error_code(it.code)
            };
            OffsetFetchResponseTopic::default()
                .with_name(name)
                .with_partitions(partitions.into_iter().map(partition).collect())
        });
        return OffsetFetchResponse::default().with_topics(topics.collect());
    }
    let groups = request.groups.iter().map(|group| {
        let asked = group
            .topics
            .as_ref()
            .map(|topics| topics.iter().flat_map(|it| partitions(&it.name, &it.partition_indexes)).collect());
        let topics = grouped(fetch(&group.group_id, asked)).into_iter().map(|(name, partitions)| {
            let partition = |it: Fetched| {
                OffsetFetchResponsePartitions::default()
                    .with_partition_index(it.index)
                    .with_committed_offset(it.offset)
                    .with_committed_leader_epoch(it.leader_epoch)
                    .with_metadata(Some(it.metadata))
                    .with_error_code(it.code)
            };
            OffsetFetchResponseTopics::default()
                .with_name(name)
                .with_partitions(partitions.into_iter().map(partition).collect())
        });
        OffsetFetchResponseGroup::default()
            .with_group_id(group.group_id.clone())
            .with_topics(topics.collect())
    });
    OffsetFetchResponse::default().with_groups(groups.collect())
}

fn partitions<'a>(topic: &'a TopicName, indexes: &'a [i32]) -> impl Iterator<Item = TopicPartition> + 'a {
    indexes.iter().map(|&partition| TopicPartition { topic: topic.to_string(), partition })
}

/// One partition of an answer, in either form of it.
struct Fetched {
    index: i32,
    offset: i64,
    leader_epoch: i32,
    metadata: StrBytes,
    code: i16,
}

fn grouped(fetched: FetchedOffsets) -> Vec<(TopicName, Vec<Fetched>)> {
    const NONE: CommittedOffset =
        CommittedOffset { offset: -1, leader_epoch: -1, metadata: String::new(), at_ms: 0 };
    let mut topics: Vec<(TopicName, Vec<Fetched>)> = Vec::new();
    for (partition, result) in fetched {
        let (offset, code) = match result {
            Ok(offset) => (offset.unwrap_or(NONE), 0),
            Err(error) => (NONE, error.code()),
        };
        let entry = Fetched {
            index: partition.partition,
            offset: offset.offset,
            leader_epoch: offset.leader_epoch,
            metadata: text(offset.metadata),
            code,
        };
        match topics.last_mut() {
            Some((name, partitions)) if ***name == *partition.topic => partitions.push(entry),
            _ => topics.push((TopicName(text(partition.topic)), vec![entry])),
        }
    }
    topics
}

pub(super) fn delete(broker: &Broker, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let asked = request.topics.iter().flat_map(|topic| {
        topic
            .partitions
            .iter()
            .map(|it| TopicPartition { topic: topic.name.to_string(), partition: it.partition_index })
    });
    let mut control = broker.control();
    let deleted = control.groups.delete_offsets(&GroupId(request.group_id.to_string()), asked.collect());
    let deleted = deleted.and_then(|(results, changes)| {
        broker.write_groups(&mut control, changes).map_err(|error| storage_error(&error))?;
        Ok(results)
    });
    match deleted {
        Err(error) => OffsetDeleteResponse::default().with_error_code(error.code()),
        Ok(results) => {
            let topics = by_topic(results.iter().map(|(partition, result)| (partition, code(*result))));
            let topics = topics.into_iter().map(|(name, partitions)| {
                let partition = |(index, code)| {
                    OffsetDeleteResponsePartition::default().with_partition_index(index).with_error_code(code)
                };
                OffsetDeleteResponseTopic::default()
                    .with_name(name)
                    .with_partitions(partitions.into_iter().map(partition).collect())
            });
            OffsetDeleteResponse::default().with_topics(topics.collect())
        }
    }
}
