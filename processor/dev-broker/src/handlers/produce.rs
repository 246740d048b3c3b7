//! `Produce`: batches of records from clients.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use tracing::{debug, error};

use crate::broker::Broker;
use crate::log::{AppendError, ProducerError};
use crate::topics::{Partition, ProduceError};
use crate::wire::text;

pub(super) fn produce(broker: &Broker, request: ProduceRequest) -> ProduceResponse {
    let responses = request.topic_data.into_iter().map(|topic| {
        let known = broker.topics().get(&topic.name);
        let partitions = topic.partition_data.into_iter().map(|data| {
            let index = data.index;
            match known.as_ref().and_then(|it| it.partition(index)) {
                _ if !matches!(request.acks, -1..=1) => {
                    failed(index, ResponseError::InvalidRequiredAcks, None)
                }
                Some(partition) => append(broker, &topic.name, partition, data),
                None => failed(index, ResponseError::UnknownTopicOrPartition, None),
            }
        });
        let partitions = partitions.collect();
        TopicProduceResponse::default().with_name(topic.name).with_partition_responses(partitions)
    });
    ProduceResponse::default().with_responses(responses.collect())
}

fn append(
    broker: &Broker,
    topic: &str,
    partition: &Partition,
    data: PartitionProduceData,
) -> PartitionProduceResponse {
    let index = data.index;
    let Some(records) = data.records.filter(|it| !it.is_empty()) else {
        return failed(index, ResponseError::CorruptMessage, Some("a batch without records".to_owned()));
    };
    match partition.produce(&records, broker.now_ms()) {
        Ok((appended, start_offset)) => PartitionProduceResponse::default()
            .with_index(index)
            .with_base_offset(appended.base_offset)
            .with_log_append_time_ms(appended.append_time_ms.unwrap_or(-1))
            .with_log_start_offset(start_offset),
        Err(reason) => {
            let error = response_error(&reason);
            let reason: &dyn std::error::Error = &reason;
            if error == ResponseError::KafkaStorageError {
                error!(topic, partition = index, error = reason, "could not append");
            } else {
                debug!(topic, partition = index, error = reason, "records refused");
            }
            failed(index, error, Some(reason.to_string()))
        }
    }
}

fn response_error(error: &ProduceError) -> ResponseError {
    let ProduceError::Append(error) = error else { return ResponseError::InvalidTxnState };
    match error {
        AppendError::Corrupt(_) => ResponseError::CorruptMessage,
        AppendError::UnsupportedMagic(_) => ResponseError::UnsupportedForMessageFormat,
        AppendError::TooLarge { .. } => ResponseError::MessageTooLarge,
        AppendError::InvalidRecord(_) | AppendError::UnreadableRecords(_) => ResponseError::InvalidRecord,
        AppendError::Producer(error) => match error {
            ProducerError::OutOfOrderSequence { .. } => ResponseError::OutOfOrderSequenceNumber,
            ProducerError::InvalidEpoch { .. } => ResponseError::InvalidProducerEpoch,
            ProducerError::InvalidTransactionState { .. } => ResponseError::InvalidTxnState,
            ProducerError::CoordinatorFenced { .. } => ResponseError::TransactionCoordinatorFenced,
        },
        AppendError::Log(_) => ResponseError::KafkaStorageError,
    }
}

fn failed(index: i32, error: ResponseError, message: Option<String>) -> PartitionProduceResponse {
    PartitionProduceResponse::default()
        .with_index(index)
        .with_error_code(error.code())
        .with_base_offset(-1)
        .with_log_append_time_ms(-1)
        .with_log_start_offset(-1)
        .with_error_message(message.map(text))
}
