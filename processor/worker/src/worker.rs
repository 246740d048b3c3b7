//! The loop: reads tasks, starts handlers, commits what is done.

use std::collections::{BTreeSet, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use millrace_schemas::Timestamp;
use millrace_schemas::codec::Codec;
use millrace_schemas::task::TaskCommand;
use millrace_schemas::trace;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, TopicPartitionList};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::WorkerBuilder;
use crate::answer::{Answer, Letterhead};
use crate::execute::{Outcome, execute};
use crate::kafka::{Answers, Assigned, WorkerContext, lock, to_list};
use crate::lag;
use crate::metrics::{Ended, QueueMetrics, RunningTask};
use crate::offsets::{Offsets, Receipt};
use crate::router::Router;
use crate::span::{self, Spans};
use crate::status::{Stage, WorkerStatus};
use crate::task::{Task, Trace};

/// How often finished tasks are committed.
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);

/// When no handler ends for so long, fetching is paused, and the loop polls only for rebalances.
const SATURATION_PATIENCE: Duration = Duration::from_secs(1);

/// How often a queue that has no topic yet is looked for: it is created when the first definition that uses it is deployed.
const TOPIC_LOOK: Duration = Duration::from_secs(1);
/// Longest time that one look takes.
const TOPIC_LOOK_MAX: Duration = Duration::from_secs(5);

/// Records of one partition that may wait for a slow one before them. Past this the partition is paused: all of them would
/// run again after a crash, and each takes some bytes.
const WINDOW_MAX: usize = 10_000;

/// How long the last commit and leaving the group may take: longer than a broker that answers needs. With the time that running tasks have, it is
/// less than a container is given to end.
const CLOSING_MAX: Duration = Duration::from_secs(15);

/// A worker of one queue. Built by [`Worker::builder`], run once.
#[derive(Debug)]
pub struct Worker {
    pub(crate) settings: Settings,
    pub(crate) codec: Codec,
    pub(crate) router: Arc<Router>,
    pub(crate) metrics: Arc<QueueMetrics>,
    pub(crate) status: WorkerStatus,
    pub(crate) spans: Spans,
}

#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) queue: String,
    pub(crate) commands: String,
    pub(crate) events: String,
    pub(crate) consumer: ClientConfig,
    pub(crate) producer: ClientConfig,
    pub(crate) concurrency: usize,
    pub(crate) shutdown_limit: Duration,
}

/// Why a worker cannot run, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// A setting is missing or not possible.
    #[error("the worker cannot be built: {problem}")]
    Setting {
        /// What, and what to do.
        problem: String,
    },
    /// Kafka refuses for good. Tasks without an answer run again in the next worker.
    #[error("could not {doing}")]
    Kafka {
        /// What was being done.
        doing: &'static str,
        /// Why not.
        #[source]
        source: KafkaError,
    },
}

impl Worker {
    /// Begins a worker for the Kafka cluster at `bootstrap` (`host:port`, several with commas between them).
    #[must_use]
    pub fn builder(bootstrap: &str) -> WorkerBuilder {
        WorkerBuilder::new(bootstrap)
    }

    /// What the worker counts. Stays readable while it runs.
    #[must_use]
    pub fn metrics(&self) -> Arc<QueueMetrics> {
        self.metrics.clone()
    }

    /// How far it is. Stays readable while it runs.
    #[must_use]
    pub fn status(&self) -> WorkerStatus {
        self.status.clone()
    }

    /// Runs until `shutdown` is ready. Then no new task is begun, running ones may end within the limit, answers and offsets are
    /// written, and the group is left.
    ///
    /// # Errors
    /// When a client cannot be made, or fails for good. Passing troubles of the cluster are waited out.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), WorkerError> {
        let offsets = Arc::new(Mutex::new(Offsets::default()));
        let context = WorkerContext {
            topic: self.settings.commands.clone(),
            offsets: offsets.clone(),
            metrics: self.metrics.clone(),
            assigned: Assigned::none(self.metrics.partitions.clone()),
            status: self.status.clone(),
        };
        let consumer: StreamConsumer<WorkerContext> = self
            .settings
            .consumer
            .create_with_context(context)
            .map_err(|source| WorkerError::Kafka { doing: "create the consumer of the queue", source })?;
        let consumer = Arc::new(consumer);
        let mut shutdown = pin!(shutdown);
        tokio::select! {
            biased;
            () = &mut shutdown => return Ok(()),
            () = until_there_is(&consumer, &self.settings.commands, &self.status) => {}
        }
        self.status.set(Stage::Joining);
        consumer
            .subscribe(&[&self.settings.commands])
            .map_err(|source| WorkerError::Kafka { doing: "subscribe to the queue", source })?;
        let (fatal, failed) = mpsc::channel(1);
        let run = uuid::Uuid::new_v4().simple().to_string();
        let letterhead = Letterhead::new(&self.settings.queue, &run[..12]);
        let answers = Answers::new(
            &self.settings.producer,
            self.settings.events.clone(),
            letterhead,
            self.metrics.clone(),
            fatal,
        )?;
        let executor = Executor {
            router: self.router.clone(),
            metrics: self.metrics.clone(),
            answers: Arc::new(answers),
            offsets: offsets.clone(),
            cut: CancellationToken::new(),
            spans: self.spans.clone(),
        };
        tracing::info!(queue = self.settings.queue, functions = ?self.router, "worker started");
        let running = Running {
            consumer: &consumer,
            topic: &self.settings.commands,
            codec: &self.codec,
            permits: Arc::new(Semaphore::new(self.settings.concurrency)),
            executor: Arc::new(executor),
            offsets: offsets.clone(),
            tasks: TaskTracker::new(),
            failed,
            held: VecDeque::new(),
            spare: None,
            full_since: None,
            saturated: false,
            overlong: BTreeSet::new(),
        };
        let result = running.run(shutdown, self.settings.shutdown_limit, &self.status).await;
        // Both the last commit and leaving the group block their thread.
        let topic = self.settings.commands;
        let (closed, is_closed) = oneshot::channel();
        // A thread of its own: a runtime waits for its blocking threads, and this one may never end.
        let closing = std::thread::Builder::new().name("worker closes".to_owned()).spawn(move || {
            let done = lock(&offsets).take_uncommitted();
            if !done.is_empty()
                && let Err(error) = consumer.commit(&to_list(&topic, &done), CommitMode::Sync)
            {
                tracing::warn!(%error, "the last commit failed: some finished tasks will run again");
            }
            drop(consumer);
            let _ = closed.send(());
        });
        let is_closed = async { closing.is_ok() && is_closed.await.is_ok() };
        if !tokio::time::timeout(CLOSING_MAX, is_closed).await.unwrap_or(false) {
            // The group learns of it by the session's timeout.
            tracing::warn!("the consumer could not be closed in order");
        }
        tracing::info!(queue = self.settings.queue, counts = ?self.metrics.counts(), "worker stopped");
        result
    }
}

/// Waits for the queue's topic. A consumer that subscribes before there is one finds it only at its next refresh of the metadata,
/// minutes later.
async fn until_there_is(consumer: &Arc<StreamConsumer<WorkerContext>>, topic: &str, status: &WorkerStatus) {
    let mut is_told = false;
    loop {
        let (asked, name) = (consumer.clone(), topic.to_owned());
        // The client's call blocks its thread.
        let found = tokio::task::spawn_blocking(move || asked.fetch_metadata(Some(&name), TOPIC_LOOK_MAX));
        match found.await {
            Ok(Ok(metadata)) if metadata.topics().iter().any(|it| !it.partitions().is_empty()) => return,
            Ok(Ok(_)) if !is_told => {
                is_told = true;
                status.set(Stage::WaitingForQueue);
                tracing::info!(
                    topic,
                    "the queue has no topic yet: waiting for the first definition that uses it to be deployed"
                );
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, topic, "the brokers do not say whether the queue has a topic")
            }
            Err(error) => tracing::debug!(%error, "the runtime is going down"),
        }
        sleep(TOPIC_LOOK).await;
    }
}

/// Runs single tasks, beside the loop.
struct Executor {
    router: Arc<Router>,
    metrics: Arc<QueueMetrics>,
    answers: Arc<Answers>,
    offsets: Arc<Mutex<Offsets>>,
    /// Cancelled when the shutdown has taken too long.
    cut: CancellationToken,
    spans: Spans,
}

impl Executor {
    async fn run(&self, receipt: Receipt, task: Task) {
        tokio::select! {
            biased;
            () = self.answer(&task) => lock(&self.offsets).finish(receipt),
            // Not finished: the task is not committed, and runs again.
            () = self.cut.cancelled() => {}
        }
    }

    async fn answer(&self, task: &Task) {
        let began = Instant::now();
        let (task, span) = self.spans.begin(task);
        let task = &task;
        let outcome = execute(&self.router, task, &self.metrics).await;
        let how = span::Ended::of(&outcome);
        let ended = |how| self.metrics.ended(task.function(), how, began.elapsed());
        match outcome {
            Outcome::Answered(answer) => {
                match &answer {
                    Answer::Failed(failure) => {
                        ended(if failure.retriable {
                            Ended::FailedRetriable
                        } else {
                            Ended::FailedPermanent
                        });
                        tracing::debug!(instance = %task.instance(), function = task.function(), %failure, "task failed");
                    }
                    Answer::Completed(_) | Answer::Heartbeat => ended(Ended::Completed),
                }
                self.answers.deliver(task, answer).await;
            }
            Outcome::Late => {
                ended(Ended::Late);
                tracing::info!(instance = %task.instance(), function = task.function(), "the task's deadline is over; no answer");
            }
        }
        self.spans.end(span, task, &how);
    }
}

type Stream<'a> = rdkafka::consumer::MessageStream<'a, WorkerContext>;

/// The state of the loop.
struct Running<'a> {
    consumer: &'a StreamConsumer<WorkerContext>,
    topic: &'a str,
    codec: &'a Codec,
    permits: Arc<Semaphore>,
    executor: Arc<Executor>,
    offsets: Arc<Mutex<Offsets>>,
    tasks: TaskTracker,
    failed: mpsc::Receiver<WorkerError>,
    /// Tasks that came although fetching was paused: a handful, since it is paused again at each.
    held: VecDeque<(Receipt, Task, Timestamp)>,
    /// Room for the next task.
    spare: Option<OwnedSemaphorePermit>,
    /// Since when there is none.
    full_since: Option<Instant>,
    /// All partitions are paused, for want of room.
    saturated: bool,
    /// Partitions that are paused because too many records wait for a slow one.
    overlong: BTreeSet<i32>,
}

impl Running<'_> {
    async fn run(
        mut self,
        shutdown: impl Future<Output = ()>,
        limit: Duration,
        status: &WorkerStatus,
    ) -> Result<(), WorkerError> {
        let mut shutdown = pin!(shutdown);
        let mut stream = self.consumer.stream();
        let mut ticks = interval(COMMIT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let result = loop {
            if self.spare.is_none()
                && let Ok(permit) = self.permits.clone().try_acquire_owned()
            {
                self.gain(permit);
            }
            if self.spare.is_some()
                && let Some((receipt, task, sent_at)) = self.held.pop_front()
            {
                // Its partition may have gone to another worker meanwhile, and the task with it.
                if lock(&self.offsets).is_current(receipt) {
                    self.start(receipt, task, sent_at);
                }
                continue;
            }
            tokio::select! {
                biased;
                () = &mut shutdown => break Ok(()),
                Some(error) = self.failed.recv() => break Err(error),
                _ = ticks.tick() => self.tick(),
                Ok(permit) = self.permits.clone().acquire_owned(), if self.spare.is_none() => self.gain(permit),
                Some(message) = stream.next(), if self.spare.is_some() || self.saturated => match message {
                    Ok(message) => self.receive(&message),
                    Err(error) => if let Err(error) = self.consume_error(error) { break Err(error) },
                },
            }
        };
        status.set(Stage::Stopping);
        // Without a producer no handler can end well.
        let limit = if result.is_ok() { limit } else { Duration::ZERO };
        self.drain(&mut stream, limit).await;
        result
    }

    fn gain(&mut self, permit: OwnedSemaphorePermit) {
        self.spare = Some(permit);
        self.full_since = None;
        if self.saturated && self.held.is_empty() {
            self.saturated = false;
            self.resume(self.assigned().into_iter().filter(|it| !self.overlong.contains(it)));
        }
    }

    fn start(&mut self, receipt: Receipt, task: Task, sent_at: Timestamp) {
        let permit = self.spare.take().expect("the loop starts a task only when there is room");
        let executor = self.executor.clone();
        executor.metrics.begun(lag::since(sent_at));
        let running = RunningTask::new(&executor.metrics);
        self.tasks.spawn(async move {
            executor.run(receipt, task).await;
            drop((permit, running));
        });
    }

    fn receive(&mut self, message: &BorrowedMessage<'_>) {
        let metrics = &self.executor.metrics;
        metrics.received.inc();
        let partition = message.partition();
        let sent_at = Timestamp(message.timestamp().to_millis().unwrap_or_default());
        let (receipt, window) = {
            let mut offsets = lock(&self.offsets);
            (offsets.receive(partition, message.offset(), sent_at), offsets.window_len(partition))
        };
        let Some(payload) = message.payload() else {
            // A lane's, which has ended an aborted transaction anew: only who does not wait for commits sees it.
            tracing::debug!(
                topic = self.topic,
                partition,
                offset = message.offset(),
                "a record without a value is passed over"
            );
            return lock(&self.offsets).finish(receipt);
        };
        match self.codec.decode_task(payload) {
            Ok(command) => {
                let task = self.task(command, message);
                if self.spare.is_some() {
                    self.start(receipt, task, sent_at);
                } else {
                    // It was assigned, or fetched, after the pause.
                    self.held.push_back((receipt, task, sent_at));
                    self.pause([partition]);
                }
            }
            Err(error) => {
                metrics.undecodable.inc();
                tracing::error!(%error, topic = self.topic, partition, offset = message.offset(), "a record is no task; it is skipped");
                lock(&self.offsets).finish(receipt);
            }
        }
        if window >= WINDOW_MAX && self.overlong.insert(partition) {
            tracing::warn!(
                topic = self.topic,
                partition,
                window,
                "many tasks wait for a slow one before them; partition paused"
            );
            self.pause([partition]);
        }
    }

    fn task(&self, command: TaskCommand, message: &BorrowedMessage<'_>) -> Task {
        let read = trace::read(|name| {
            let header = message.headers()?.iter().find(|it| it.key.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(header.value?).ok()
        });
        let trace = read.map_or_else(Trace::default, |(context, state)| Trace {
            parent: Some(context.to_string().into()),
            state: state.map(Into::into),
        });
        let task = Task::new(command, trace, self.executor.answers.clone());
        task.read_at(message.partition(), message.offset())
    }

    /// Commits what is done, and looks after the pauses.
    fn tick(&mut self) {
        self.commit();
        let recovered: Vec<i32> = {
            let offsets = lock(&self.offsets);
            self.overlong.iter().copied().filter(|it| offsets.window_len(*it) < WINDOW_MAX / 2).collect()
        };
        if !recovered.is_empty() {
            self.overlong.retain(|it| !recovered.contains(it));
            // While all are paused, they are resumed with all.
            if !self.saturated {
                let assigned = self.assigned();
                self.resume(recovered.into_iter().filter(|it| assigned.contains(it)));
            }
        }
        if self.spare.is_none() && !self.saturated {
            let since = *self.full_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= SATURATION_PATIENCE {
                self.saturated = true;
                self.pause(self.assigned());
            }
        }
    }

    fn commit(&self) {
        let done = lock(&self.offsets).take_uncommitted();
        if !done.is_empty()
            && let Err(error) = self.consumer.commit(&to_list(self.topic, &done), CommitMode::Async)
        {
            tracing::warn!(%error, "commit failed; it is made again");
            lock(&self.offsets).recommit();
        }
    }

    fn pause(&self, partitions: impl IntoIterator<Item = i32>) {
        self.log_failure("pause", self.consumer.pause(&self.list(partitions)));
    }

    fn resume(&self, partitions: impl IntoIterator<Item = i32>) {
        self.log_failure("resume", self.consumer.resume(&self.list(partitions)));
    }

    fn list(&self, partitions: impl IntoIterator<Item = i32>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(self.topic, partition);
        }
        list
    }

    fn assigned(&self) -> BTreeSet<i32> {
        match self.consumer.assignment() {
            Ok(list) => list.elements().iter().map(|it| it.partition()).collect(),
            Err(error) => {
                tracing::warn!(%error, "the assignment cannot be read");
                BTreeSet::new()
            }
        }
    }

    fn log_failure(&self, doing: &str, result: Result<(), KafkaError>) {
        if let Err(error) = result {
            tracing::warn!(%error, topic = self.topic, "could not {doing} partitions");
        }
    }

    fn consume_error(&self, error: KafkaError) -> Result<(), WorkerError> {
        if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
            return Err(WorkerError::Kafka { doing: "read the queue", source: error });
        }
        let hint = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                "the topic does not exist yet: check queue and prefix, or create it with `millrace topics apply`"
            }
            _ => "going on",
        };
        tracing::warn!(%error, topic = self.topic, hint, "the queue cannot be read");
        Ok(())
    }

    /// Lets running handlers end. Goes on polling, so that the group can rebalance meanwhile.
    async fn drain(mut self, stream: &mut Stream<'_>, limit: Duration) {
        // What was read and not begun is not committed: it runs elsewhere.
        self.held.clear();
        self.pause(self.assigned());
        self.tasks.close();
        let mut limit = pin!(sleep(limit));
        let mut ticks = interval(COMMIT_INTERVAL);
        loop {
            tokio::select! {
                biased;
                () = self.tasks.wait() => break,
                Some(_) = self.failed.recv() => break,
                () = &mut limit => break,
                _ = ticks.tick() => self.commit(),
                Some(_) = stream.next() => {}
            }
        }
        let cut = self.tasks.len();
        if cut > 0 {
            tracing::warn!(tasks = cut, "handlers did not end in time; their tasks will run again");
            self.executor.cut.cancel();
            self.tasks.wait().await;
        }
    }
}
