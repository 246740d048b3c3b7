//! Reads the tail of a changelog partition, for a restore (state protocol 2.3, steps 3 and 5).

use std::time::{Duration, Instant};

use millrace_partition::ChangelogRecord;
use millrace_runtime::log::{HELD_UP_GRACE, LogError};
use millrace_schemas::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Message, TopicPartitionList};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::context::Logging;
use crate::error::{fatal, from_kafka, retriable};
use crate::record::{self, BATCH_BYTES_MAX, BATCH_RECORDS_MAX};

/// How long to wait for a record that must be there, or for a leader that tells the end.
const PATIENCE: Duration = Duration::from_secs(180);

/// One request to a broker.
const REQUEST_MAX: Duration = Duration::from_secs(5);

/// A stretch of one partition.
pub(crate) struct Read {
    pub(crate) consumer: BaseConsumer<Logging>,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) from: Offset,
    pub(crate) until: Offset,
    /// Of records that are handed on; then the reading stops.
    pub(crate) bytes_max: usize,
    pub(crate) sink: mpsc::Sender<Vec<ChangelogRecord>>,
}

impl Read {
    /// Blocks until the fetch position has reached `until`, or `bytes_max` is. Returns the position.
    ///
    /// rdkafka does not say at which offset the end of a partition was met, and positions do not advance over control records. So the
    /// last stable offset is awaited first, and only then does the reading begin: the first end that it meets lies at `until` or
    /// further.
    pub(crate) fn run(&self) -> Result<Offset, LogError> {
        if self.from >= self.until {
            return Ok(self.from);
        }
        self.await_stable()?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, self.partition, rdkafka::Offset::Offset(self.from.0))
            .and_then(|()| self.consumer.assign(&list))
            .map_err(|error| from_kafka(self.doing(), error))?;
        self.read()
    }

    fn doing(&self) -> String {
        format!("read {}/{} from offset {} to {}", self.topic, self.partition, self.from.0, self.until.0)
    }

    fn gone(&self) -> LogError {
        retriable(self.doing(), "nobody listens any more")
    }

    /// Waits until no open transaction lies below `until`, but not for ever.
    fn await_stable(&self) -> Result<(), LogError> {
        let began = Instant::now();
        let mut held_up_since = None;
        loop {
            // By a read_committed consumer: the last stable offset.
            match self.consumer.fetch_watermarks(&self.topic, self.partition, REQUEST_MAX) {
                Ok((_, stable)) if stable >= self.until.0 => return Ok(()),
                Ok((_, stable)) => {
                    let since = held_up_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= HELD_UP_GRACE {
                        return Err(self.held_up(stable));
                    }
                }
                Err(error) if began.elapsed() >= PATIENCE => return Err(from_kafka(self.doing(), error)),
                Err(error) => {
                    debug!(
                        error = &error as &dyn std::error::Error,
                        "the end of the changelog is not known yet"
                    );
                }
            }
            if self.sink.is_closed() {
                return Err(self.gone());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn held_up(&self, stable: i64) -> LogError {
        LogError::HeldUp {
            doing: self.doing(),
            by: format!(
                "a transaction is open at offset {stable}; the broker aborts it when its time is up, and if it stays, \
                 `kafka-transactions.sh find-hanging` shows it"
            ),
        }
    }

    fn read(&self) -> Result<Offset, LogError> {
        let mut batch = Vec::new();
        let (mut bytes, mut bytes_all) = (0_usize, 0_usize);
        let mut deadline = Instant::now() + PATIENCE;
        loop {
            // What has been fetched is handed on before more is awaited.
            let wait = if batch.is_empty() { Duration::from_millis(100) } else { Duration::ZERO };
            let is_idle = match self.consumer.poll(wait) {
                Some(Ok(message)) if message.offset() >= self.until.0 => {
                    return self.hand_on(&mut batch).map(|()| self.until);
                }
                Some(Ok(message)) => {
                    deadline = Instant::now() + PATIENCE;
                    let size = record::size(&message);
                    bytes += size;
                    bytes_all += size;
                    match record::value(&message) {
                        Some(value) => batch.push(ChangelogRecord {
                            offset: Offset(message.offset()),
                            key: record::key(&message),
                            value,
                        }),
                        None => {
                            warn!(offset = message.offset(), "a changelog record without a value is ignored")
                        }
                    }
                    let next = Offset(message.offset() + 1);
                    if next >= self.until || bytes_all >= self.bytes_max {
                        return self.hand_on(&mut batch).map(|()| next);
                    }
                    false
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    return self.hand_on(&mut batch).map(|()| self.until);
                }
                Some(Err(error)) => {
                    self.judge(error)?;
                    false
                }
                None => true,
            };
            if is_idle || batch.len() >= BATCH_RECORDS_MAX || bytes >= BATCH_BYTES_MAX {
                self.hand_on(&mut batch)?;
                bytes = 0;
            }
            if self.sink.is_closed() {
                return Err(self.gone());
            }
            if Instant::now() >= deadline {
                return Err(fatal(self.doing(), "no record came for three minutes: check the brokers' logs"));
            }
        }
    }

    /// Most errors pass; events that are gone do not come back.
    fn judge(&self, error: KafkaError) -> Result<(), LogError> {
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => Err(LogError::Fatal {
                doing: self.doing(),
                fix: "the changelog was trimmed or truncated in between: restore it, or the store, from a backup".to_owned(),
                source: Some(Box::new(error)),
            }),
            Some(Code::TopicAuthorizationFailed | Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
                Err(from_kafka(self.doing(), error))
            }
            _ => {
                debug!(error = &error as &dyn std::error::Error, "the reader of the changelog goes on");
                Ok(())
            }
        }
    }

    fn hand_on(&self, batch: &mut Vec<ChangelogRecord>) -> Result<(), LogError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.sink.blocking_send(std::mem::take(batch)).map_err(|_| self.gone())
    }
}
