//! `InitProducerId`, `AddPartitionsToTxn`, `AddOffsetsToTxn`, `EndTxn`, and what tells of them (KIP-664).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::describe_transactions_response::{self, TopicData};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    DescribeProducersRequest, DescribeProducersResponse, DescribeTransactionsRequest,
    DescribeTransactionsResponse, EndTxnRequest, EndTxnResponse, InitProducerIdRequest,
    InitProducerIdResponse, ListTransactionsRequest, ListTransactionsResponse, ProducerId, TopicName,
    TransactionalId, list_transactions_response,
};

use crate::broker::{Broker, storage_error};
use crate::topics::Partition;
use crate::transactions::{Producer, State, Transaction};
use crate::wire::{Header, text};

use super::code;

const NO_PRODUCER: i64 = -1;

pub(super) fn initialise(
    broker: &Broker,
    header: &Header,
    request: &InitProducerIdRequest,
) -> InitProducerIdResponse {
    let id = request.transactional_id.as_ref().map(|it| it.as_str());
    let timeout = Duration::from_millis(request.transaction_timeout_ms.max(0) as u64);
    let expected = (*request.producer_id != NO_PRODUCER)
        .then_some(Producer { id: *request.producer_id, epoch: request.producer_epoch });
    let mut control = broker.control();
    let initialised = control.transactions.initialise(id, timeout, expected, broker.now_ms());
    let producer = initialised.and_then(|it| {
        let producer = it.producer;
        broker.take_in(&mut control, it).map_err(|error| storage_error(&error))?;
        Ok(producer)
    });
    const FENCED_SINCE: i16 = 4;
    match producer {
        Ok(Producer { id, epoch }) => {
            InitProducerIdResponse::default().with_producer_id(ProducerId(id)).with_producer_epoch(epoch)
        }
        Err(error) => InitProducerIdResponse::default()
            .with_error_code(known_to(header, FENCED_SINCE, error).code())
            .with_producer_id(ProducerId(NO_PRODUCER))
            .with_producer_epoch(-1),
    }
}

pub(super) fn add_partitions(
    broker: &Broker,
    header: &Header,
    request: AddPartitionsToTxnRequest,
) -> AddPartitionsToTxnResponse {
    let id = request.v3_and_below_transactional_id.as_str();
    let producer =
        Producer { id: *request.v3_and_below_producer_id, epoch: request.v3_and_below_producer_epoch };
    // First of all: a topic that is made anew meanwhile has other partitions.
    let mut control = broker.control();
    let topics = &request.v3_and_below_topics;
    let mut known: Vec<(String, i32, std::sync::Arc<Partition>)> = Vec::new();
    let mut missing = BTreeSet::new();
    for topic in topics {
        for &index in &topic.partitions {
            match broker.topics().partition(&topic.name, index) {
                Some(partition) => known.push((topic.name.to_string(), index, partition)),
                None => {
                    missing.insert((topic.name.to_string(), index));
                }
            }
        }
    }
    // All or none of them.
    let added = if missing.is_empty() {
        let partitions = known.iter().map(|(topic, index, _)| (topic.clone(), *index)).collect();
        let joined = control.transactions.add_partitions(id, producer, partitions).and_then(|change| {
            broker
                .change_transactions(&mut control, change.into_iter().collect())
                .map_err(|error| storage_error(&error))
        });
        if joined.is_ok() {
            for (_, _, partition) in &known {
                partition.join_transaction(producer.id, producer.epoch);
            }
        }
        joined
    } else {
        Err(ResponseError::OperationNotAttempted)
    };
    const FENCED_SINCE: i16 = 2;
    let result = added.map_err(|error| known_to(header, FENCED_SINCE, error));
    let results = topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|&index| {
            let result = match missing.contains(&(topic.name.to_string(), index)) {
                true => Err(ResponseError::UnknownTopicOrPartition),
                false => result,
            };
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(index)
                .with_partition_error_code(code(result))
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(partitions.collect())
    });
    AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results.collect())
}

pub(super) fn add_group(
    broker: &Broker,
    header: &Header,
    request: &AddOffsetsToTxnRequest,
) -> AddOffsetsToTxnResponse {
    let producer = Producer { id: *request.producer_id, epoch: request.producer_epoch };
    let mut control = broker.control();
    let change = control.transactions.add_group(&request.transactional_id, producer, &request.group_id);
    let added = change.and_then(|change| {
        broker
            .change_transactions(&mut control, change.into_iter().collect())
            .map_err(|error| storage_error(&error))
    });
    const FENCED_SINCE: i16 = 2;
    let added = added.map_err(|error| known_to(header, FENCED_SINCE, error));
    AddOffsetsToTxnResponse::default().with_error_code(code(added))
}

pub(super) fn end(broker: &Broker, header: &Header, request: &EndTxnRequest) -> EndTxnResponse {
    let producer = Producer { id: *request.producer_id, epoch: request.producer_epoch };
    let mut control = broker.control();
    let decided = control.transactions.end(&request.transactional_id, producer, request.committed);
    let ended = decided.and_then(|decided| match decided {
        Some((decision, ending)) => {
            broker.end_transaction(&mut control, decision, &ending).map_err(|error| storage_error(&error))
        }
        None => Ok(()),
    });
    const FENCED_SINCE: i16 = 2;
    let ended = ended.map_err(|error| known_to(header, FENCED_SINCE, error));
    EndTxnResponse::default()
        .with_error_code(code(ended))
        .with_producer_id(ProducerId(NO_PRODUCER))
        .with_producer_epoch(-1)
}

/// Before KIP-588 a fenced producer heard INVALID_PRODUCER_EPOCH.
fn known_to(header: &Header, fenced_since: i16, error: ResponseError) -> ResponseError {
    match error {
        ResponseError::ProducerFenced if header.version < fenced_since => ResponseError::InvalidProducerEpoch,
        error => error,
    }
}

pub(super) fn describe_producers(
    broker: &Broker,
    request: DescribeProducersRequest,
) -> DescribeProducersResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|&index| {
            let answer = PartitionResponse::default().with_partition_index(index);
            match broker.topics().partition(&topic.name, index) {
                Some(partition) => answer.with_active_producers(producers(&partition)),
                None => answer.with_error_code(ResponseError::UnknownTopicOrPartition.code()),
            }
        });
        let partitions = partitions.collect();
        TopicResponse::default().with_name(topic.name).with_partitions(partitions)
    });
    DescribeProducersResponse::default().with_topics(topics.collect())
}

fn producers(partition: &Partition) -> Vec<ProducerState> {
    partition.read(|log| {
        let states = log.producers().map(|(id, it)| {
            ProducerState::default()
                .with_producer_id(ProducerId(id))
                .with_producer_epoch(i32::from(it.epoch))
                .with_last_sequence(it.last_sequence())
                .with_last_timestamp(it.last_timestamp_ms)
                .with_coordinator_epoch(it.coordinator_epoch)
                .with_current_txn_start_offset(it.transaction_first_offset.unwrap_or(-1))
        });
        states.collect()
    })
}

pub(super) fn describe(
    broker: &Broker,
    request: DescribeTransactionsRequest,
) -> DescribeTransactionsResponse {
    let control = broker.control();
    let states = request.transactional_ids.into_iter().map(|id| match control.transactions.get(&id) {
        Some(transaction) => described(id, transaction),
        None => describe_transactions_response::TransactionState::default()
            .with_error_code(ResponseError::TransactionalIdNotFound.code())
            .with_transactional_id(id),
    });
    let states = states.collect();
    DescribeTransactionsResponse::default().with_transaction_states(states)
}

fn described(
    id: TransactionalId,
    transaction: &Transaction,
) -> describe_transactions_response::TransactionState {
    let none = BTreeSet::new();
    let (partitions, since) = match &transaction.state {
        State::Ongoing { partitions, since, .. } => (partitions, since.as_millis() as i64),
        State::Ending { partitions, .. } => (partitions, -1),
        State::Empty | State::Ended { .. } => (&none, -1),
    };
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, index) in partitions {
        topics.entry(topic).or_default().push(*index);
    }
    let topic = |(name, partitions): (&str, Vec<i32>)| {
        TopicData::default().with_topic(TopicName(text(name))).with_partitions(partitions)
    };
    describe_transactions_response::TransactionState::default()
        .with_transactional_id(id)
        .with_transaction_state(text(transaction.state.name()))
        .with_transaction_timeout_ms(i32::try_from(transaction.timeout.as_millis()).unwrap_or(i32::MAX))
        .with_transaction_start_time_ms(since)
        .with_producer_id(ProducerId(transaction.producer.id))
        .with_producer_epoch(transaction.producer.epoch)
        .with_topics(topics.into_iter().map(topic).collect())
}

pub(super) fn list(broker: &Broker, request: ListTransactionsRequest) -> ListTransactionsResponse {
    let control = broker.control();
    let is_asked = |it: &Transaction| {
        (request.state_filters.is_empty()
            || request.state_filters.iter().any(|name| **name == *it.state.name()))
            && (request.producer_id_filters.is_empty()
                || request.producer_id_filters.contains(&ProducerId(it.producer.id)))
    };
    let listed = control.transactions.all().filter(|(_, it)| is_asked(it)).map(|(id, it)| {
        list_transactions_response::TransactionState::default()
            .with_transactional_id(TransactionalId(text(id.as_str())))
            .with_producer_id(ProducerId(it.producer.id))
            .with_transaction_state(text(it.state.name()))
    });
    ListTransactionsResponse::default().with_transaction_states(listed.collect())
}
