//! Where the records of a partition stand: `ListOffsets`, `OffsetForLeaderEpoch`, `DeleteRecords`.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse, ListOffsetsRequest, ListOffsetsResponse,
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
};
use tracing::error;

use crate::broker::Broker;
use crate::log::{DeleteRecordsError, Log, LogError};
use crate::topics::Partition;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
/// KIP-734: the record with the largest timestamp.
const MAX_TIMESTAMP: i64 = -3;
const READ_COMMITTED: i8 = 1;
const NONE: i64 = -1;

pub(super) fn list(broker: &Broker, request: ListOffsetsRequest, version: i16) -> ListOffsetsResponse {
    const LEADER_EPOCH_SINCE: i16 = 4;
    let leader_epoch = if version < LEADER_EPOCH_SINCE { -1 } else { 0 };
    let committed_only = request.isolation_level == READ_COMMITTED;
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let answer = ListOffsetsPartitionResponse::default().with_partition_index(asked.partition_index);
            let found = match broker.topics().partition(&topic.name, asked.partition_index) {
                Some(partition) => partition.read(|log| find(log, asked.timestamp, committed_only)),
                None => Err(ResponseError::UnknownTopicOrPartition),
            };
            match found {
                Ok((NONE, timestamp)) => answer.with_offset(NONE).with_timestamp(timestamp),
                Ok((offset, timestamp)) => {
                    answer.with_offset(offset).with_timestamp(timestamp).with_leader_epoch(leader_epoch)
                }
                Err(error) => answer.with_error_code(error.code()).with_offset(NONE).with_timestamp(NONE),
            }
        });
        let partitions = partitions.collect();
        ListOffsetsTopicResponse::default().with_name(topic.name).with_partitions(partitions)
    });
    ListOffsetsResponse::default().with_topics(topics.collect())
}

/// Offset and timestamp; -1 for what there is none of.
fn find(log: &Log, timestamp: i64, committed_only: bool) -> Result<(i64, i64), ResponseError> {
    let end = if committed_only { log.last_stable_offset() } else { log.end_offset() };
    match timestamp {
        LATEST => Ok((end, NONE)),
        EARLIEST => Ok((log.start_offset(), NONE)),
        MAX_TIMESTAMP => found(log.max_timestamp()),
        timestamp if timestamp >= 0 => found(log.offset_for_time(timestamp, end)),
        // Tiered storage has more of them.
        _ => Err(ResponseError::UnsupportedVersion),
    }
}

fn found(found: Result<Option<(i64, i64)>, LogError>) -> Result<(i64, i64), ResponseError> {
    match found {
        Ok(found) => Ok(found.unwrap_or((NONE, NONE))),
        Err(reason) => {
            error!(error = &reason as &dyn std::error::Error, "could not look for a time in a log");
            Err(ResponseError::KafkaStorageError)
        }
    }
}

/// There is one epoch, and it has no end yet.
pub(super) fn for_leader_epoch(
    broker: &Broker,
    request: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let answer = EpochEndOffset::default().with_partition(asked.partition);
            match broker.topics().partition(&topic.topic, asked.partition) {
                None => answer.with_error_code(ResponseError::UnknownTopicOrPartition.code()),
                Some(_) if asked.current_leader_epoch > 0 => {
                    answer.with_error_code(ResponseError::UnknownLeaderEpoch.code())
                }
                Some(_) if asked.leader_epoch > 0 => answer,
                Some(partition) => {
                    answer.with_leader_epoch(0).with_end_offset(partition.read(Log::end_offset))
                }
            }
        });
        let partitions = partitions.collect();
        OffsetForLeaderTopicResult::default().with_topic(topic.topic).with_partitions(partitions)
    });
    OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
}

pub(super) fn delete_records(broker: &Broker, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let answer = DeleteRecordsPartitionResult::default().with_partition_index(asked.partition_index);
            let deleted = match broker.topics().partition(&topic.name, asked.partition_index) {
                Some(partition) => delete(&partition, asked.offset),
                None => Err(ResponseError::UnknownTopicOrPartition),
            };
            match deleted {
                Ok(start) => answer.with_low_watermark(start),
                Err(error) => answer.with_error_code(error.code()).with_low_watermark(NONE),
            }
        });
        let partitions = partitions.collect();
        DeleteRecordsTopicResult::default().with_name(topic.name).with_partitions(partitions)
    });
    DeleteRecordsResponse::default().with_topics(topics.collect())
}

fn delete(partition: &Partition, before: i64) -> Result<i64, ResponseError> {
    partition.change(|log| log.delete_records(before)).map_err(|reason| match reason {
        DeleteRecordsError::OutOfRange { .. } => ResponseError::OffsetOutOfRange,
        DeleteRecordsError::Log(reason) => {
            error!(error = &reason as &dyn std::error::Error, "could not delete records");
            ResponseError::KafkaStorageError
        }
    })
}
