//! `Fetch`: batches of records to clients, at once or as soon as there are some.
//!
//! There are no fetch sessions (KIP-227): the answer names session 0, and the client sends all its partitions each time.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse, ProducerId};
use tokio::time::{Instant, timeout_at};
use tracing::error;

use crate::broker::Broker;
use crate::log::{BatchHeader, Log, ReadError};
use crate::server::Share;
use crate::topics::Waiter;

/// The longest that a client waits, whatever it asks for.
const WAIT_MAX: Duration = Duration::from_secs(300);
const READ_COMMITTED: i8 = 1;
/// The only epoch that a leader has here.
const LEADER_EPOCH: i32 = 0;

pub(super) async fn fetch(broker: &Broker, request: FetchRequest) -> (FetchResponse, Option<Share>) {
    const SESSION_NEW: i32 = 0;
    if request.session_epoch > SESSION_NEW {
        let error = ResponseError::FetchSessionIdNotFound;
        return (FetchResponse::default().with_error_code(error.code()), None);
    }
    let wait = Duration::from_millis(request.max_wait_ms.max(0) as u64).min(WAIT_MAX);
    let deadline = Instant::now() + wait;
    let bytes_max = usize::try_from(request.max_bytes).unwrap_or(0).min(broker.config().fetch_bytes_max);
    let bytes_min = usize::try_from(request.min_bytes).unwrap_or(0).min(bytes_max);
    let reader = Reader { broker, request: &request, bytes_max };
    // Most fetches find something, so only one that does not has itself told.
    let mut waiter = None;
    loop {
        let share = match reader.has_more_than_nothing() {
            true => Some(broker.budget().take(bytes_max.min(reader.asked_bytes())).await),
            false => None,
        };
        let read = reader.read(waiter.as_ref(), share.is_some());
        let is_over = Instant::now() >= deadline || broker.stopping().is_cancelled();
        if read.has_skipped && !is_over {
            // They came between the two looks; whoever brought them has told those who waited before us.
            continue;
        }
        if read.is_final || read.bytes >= bytes_min || is_over {
            return (FetchResponse::default().with_responses(read.topics), share);
        }
        drop(share);
        let Some(waiter) = &waiter else {
            waiter = Some(Waiter::default());
            continue;
        };
        tokio::select! {
            // Whether told or too late, it looks once more.
            _ = timeout_at(deadline, waiter.notified()) => {}
            () = broker.stopping().cancelled() => {}
        }
    }
}

struct Reader<'a> {
    broker: &'a Broker,
    request: &'a FetchRequest,
    bytes_max: usize,
}

struct Read {
    topics: Vec<FetchableTopicResponse>,
    bytes: usize,
    /// There are records, and no memory was taken for them.
    has_skipped: bool,
    /// Something else than records is to be told, and at once.
    is_final: bool,
}

impl Reader<'_> {
    /// Whether any partition has records for it. Asked before memory is taken for them.
    fn has_more_than_nothing(&self) -> bool {
        self.request.topics.iter().any(|topic| {
            let Some(known) = self.broker.topics().get(&topic.topic) else { return false };
            topic.partitions.iter().any(|it| {
                known
                    .partition(it.partition)
                    .is_some_and(|partition| partition.read(|log| it.fetch_offset < self.end(log)))
            })
        })
    }

    /// What the partitions are asked for together, in bytes.
    fn asked_bytes(&self) -> usize {
        let partitions = self.request.topics.iter().flat_map(|it| &it.partitions);
        partitions.fold(0, |sum, it| sum.saturating_add(usize::try_from(it.partition_max_bytes).unwrap_or(0)))
    }

    fn read(&self, waiter: Option<&Waiter>, with_records: bool) -> Read {
        let mut read = Read { topics: Vec::new(), bytes: 0, is_final: false, has_skipped: false };
        for topic in &self.request.topics {
            let known = self.broker.topics().get(&topic.topic);
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for asked in &topic.partitions {
                let data = match known.as_ref().and_then(|it| it.partition(asked.partition)) {
                    None => Err(ResponseError::UnknownTopicOrPartition),
                    Some(_) if asked.current_leader_epoch > LEADER_EPOCH => {
                        Err(ResponseError::UnknownLeaderEpoch)
                    }
                    Some(partition) => {
                        let look = |log: &Log| self.look(log, asked, read.bytes, with_records);
                        match waiter {
                            Some(waiter) => partition.read_and_wait(waiter, look),
                            None => partition.read(look),
                        }
                    }
                };
                let data = data.unwrap_or_else(|error| {
                    read.is_final = true;
                    failed(asked.partition, error)
                });
                read.is_final |= data.error_code != 0;
                read.has_skipped |=
                    !with_records && data.error_code == 0 && asked.fetch_offset < self.end_of(&data);
                read.bytes += data.records.as_ref().map_or(0, Bytes::len);
                partitions.push(data);
            }
            read.topics.push(
                FetchableTopicResponse::default().with_topic(topic.topic.clone()).with_partitions(partitions),
            );
        }
        read
    }

    fn look(
        &self,
        log: &Log,
        asked: &FetchPartition,
        bytes_before: usize,
        with_records: bool,
    ) -> Result<PartitionData, ResponseError> {
        let end = self.end(log);
        let from = asked.fetch_offset;
        let mut data = PartitionData::default()
            .with_partition_index(asked.partition)
            .with_high_watermark(log.end_offset())
            .with_last_stable_offset(log.last_stable_offset())
            .with_log_start_offset(log.start_offset())
            .with_preferred_read_replica(BrokerId(-1))
            // Who reads everything is not told.
            .with_aborted_transactions(None)
            .with_records(Some(Bytes::new()));
        if from < log.start_offset() || from > log.end_offset() {
            return Ok(data.with_error_code(ResponseError::OffsetOutOfRange.code()));
        }
        let bytes_left = self.bytes_max.saturating_sub(bytes_before);
        let bytes_max = usize::try_from(asked.partition_max_bytes).unwrap_or(0).min(bytes_left);
        // The first partition with records gives one batch at least, however large, or the client would never move (KIP-74).
        let is_first = bytes_before == 0;
        if with_records && from < end && (bytes_max > 0 || is_first) {
            data.records = Some(log.read(from, end, bytes_max, is_first).map_err(|error| match error {
                ReadError::OutOfRange { .. } => ResponseError::OffsetOutOfRange,
                ReadError::Log(reason) => {
                    error!(error = &reason as &dyn std::error::Error, "could not read");
                    ResponseError::KafkaStorageError
                }
            })?);
        }
        if self.request.isolation_level == READ_COMMITTED {
            let upto = data.records.as_ref().map_or(from, |it| end_of(it).unwrap_or(from));
            let aborted = log.aborted(from, upto).into_iter().map(|it| {
                AbortedTransaction::default()
                    .with_producer_id(ProducerId(it.producer_id))
                    .with_first_offset(it.first_offset)
            });
            data.aborted_transactions = Some(aborted.collect());
        }
        Ok(data)
    }

    /// The same, of what a partition has answered.
    fn end_of(&self, data: &PartitionData) -> i64 {
        match self.request.isolation_level {
            READ_COMMITTED => data.last_stable_offset,
            _ => data.high_watermark,
        }
    }

    /// Where records end for this reader.
    fn end(&self, log: &Log) -> i64 {
        match self.request.isolation_level {
            READ_COMMITTED => log.last_stable_offset(),
            _ => log.end_offset(),
        }
    }
}

/// The offset behind the last of these batches, which come from a log.
fn end_of(batches: &[u8]) -> Option<i64> {
    let mut rest = batches;
    let mut end = None;
    while let Ok(header) = BatchHeader::parse(rest) {
        end = Some(header.last_offset() + 1);
        rest = rest.get(header.batch_bytes..)?;
    }
    end
}

fn failed(partition: i32, error: ResponseError) -> PartitionData {
    PartitionData::default()
        .with_partition_index(partition)
        .with_error_code(error.code())
        .with_high_watermark(-1)
        .with_last_stable_offset(-1)
        .with_log_start_offset(-1)
        .with_preferred_read_replica(BrokerId(-1))
        .with_records(Some(Bytes::new()))
}
