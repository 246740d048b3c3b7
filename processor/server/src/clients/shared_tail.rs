//! One reader of the fleet's topics for all requests that wait for something to happen, whatever their number: it reads the partitions
//! that somebody wants, from the moment on that somebody wants them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::warn;

use super::kafka::{Kafka, Record, Tail};

/// A partition of a topic.
pub(crate) type Source = (String, i32);

/// How long a partition is read on after the last one who wanted it has gone: the next one comes soon, as a rule.
const LINGER: Duration = Duration::from_secs(10);

/// Most records that wait for one subscriber. One that is slower has lost its place.
const WAITING_MAX: usize = 1_024;

/// Most bytes of them.
const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Cheap to clone. The reader ends with the last clone.
#[derive(Clone, Debug)]
pub(crate) struct SharedTail {
    orders: mpsc::UnboundedSender<Order>,
}

enum Order {
    Join { wants: Wants, done: oneshot::Sender<anyhow::Result<Subscription>> },
    Leave(u64),
}

/// What a subscriber is told.
#[derive(Clone, Debug)]
pub(crate) struct Wants {
    pub(crate) sources: Vec<Source>,
    /// Only records with this key, and those without any; none: all records.
    pub(crate) key: Option<Bytes>,
}

/// Why no more records come.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Interrupted {
    /// The subscriber was too slow, and has missed some.
    #[error("records came faster than they were taken")]
    Lagged,
    /// The reader has stopped, and may be asked again.
    #[error("the reader of the topics has stopped: {0}")]
    Stopped(String),
}

/// The records that a subscriber wants, from its subscription on. Nothing committed after it began is missed.
#[derive(Debug)]
pub(crate) struct Subscription {
    records: mpsc::Receiver<Arc<Record>>,
    shared: Arc<Shared>,
    number: u64,
    orders: mpsc::UnboundedSender<Order>,
}

/// Between a subscriber and the reader.
#[derive(Debug, Default)]
struct Shared {
    waiting_bytes: AtomicUsize,
    has_lagged: AtomicBool,
}

impl SharedTail {
    pub(crate) fn new(kafka: Arc<Kafka>) -> Self {
        let (orders, received) = mpsc::unbounded_channel();
        let reader = Reader {
            kafka,
            tail: None,
            read: BTreeMap::new(),
            subscribers: BTreeMap::new(),
            number: 0,
            own: orders.downgrade(),
        };
        tokio::spawn(reader.run(received));
        Self { orders }
    }

    /// Begins to follow.
    pub(crate) async fn subscribe(&self, wants: Wants) -> anyhow::Result<Subscription> {
        let stopped = || anyhow::anyhow!("the reader of the topics has stopped");
        let (done, result) = oneshot::channel();
        self.orders.send(Order::Join { wants, done }).map_err(|_| stopped())?;
        result.await.map_err(|_| stopped())?
    }
}

impl Subscription {
    /// The next record; waits for it. Nothing is lost if the future is dropped.
    pub(crate) async fn next(&mut self) -> Result<Arc<Record>, Interrupted> {
        match self.records.recv().await {
            Some(record) => {
                self.shared.waiting_bytes.fetch_sub(size(&record), Ordering::Relaxed);
                Ok(record)
            }
            None if self.shared.has_lagged.load(Ordering::Relaxed) => Err(Interrupted::Lagged),
            None => Err(Interrupted::Stopped("see the log".to_owned())),
        }
    }

    /// The next record, if one is there.
    pub(crate) fn ready(&mut self) -> Option<Arc<Record>> {
        let record = self.records.try_recv().ok()?;
        self.shared.waiting_bytes.fetch_sub(size(&record), Ordering::Relaxed);
        Some(record)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // A reader that has stopped needs no orders.
        let _ = self.orders.send(Order::Leave(self.number));
    }
}

fn size(record: &Record) -> usize {
    record.value.as_ref().map_or(0, Bytes::len) + record.key.as_ref().map_or(0, Bytes::len)
}

struct Reader {
    kafka: Arc<Kafka>,
    tail: Option<Tail>,
    /// What is read, and since when nobody wants it, if nobody does.
    read: BTreeMap<Source, Option<Instant>>,
    subscribers: BTreeMap<u64, Subscriber>,
    number: u64,
    own: mpsc::WeakUnboundedSender<Order>,
}

struct Subscriber {
    wants: Wants,
    records: mpsc::Sender<Arc<Record>>,
    shared: Arc<Shared>,
}

impl Reader {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            let lingers_until = self.read.values().flatten().min().map(|it| *it + LINGER);
            let tail = self.tail.as_mut();
            tokio::select! {
                biased; // An order comes before what it may make obsolete.
                order = orders.recv() => match order {
                    Some(Order::Join { wants, done }) => {
                        let joined = self.join(wants).await;
                        if joined.is_err() {
                            self.note_unwanted();
                        }
                        let _ = done.send(joined);
                    }
                    Some(Order::Leave(number)) => {
                        self.subscribers.remove(&number);
                        self.note_unwanted();
                    }
                    None => return,
                },
                () = until(lingers_until) => self.forget_unwanted(),
                record = next(tail) => match record {
                    Ok(record) => self.deal(&Arc::new(record)),
                    Err(error) => {
                        warn!(error = format!("{error:#}"), "cannot follow the topics any more");
                        // Whoever waits hears of it, and may begin anew.
                        self.tail = None;
                        self.read.clear();
                        self.subscribers.clear();
                    }
                },
            }
        }
    }

    async fn join(&mut self, wants: Wants) -> anyhow::Result<Subscription> {
        let mut new = Vec::new();
        for (topic, partition) in wants.sources.iter().collect::<BTreeSet<_>>() {
            let source = (topic.clone(), *partition);
            if let Some(unwanted_since) = self.read.get_mut(&source) {
                *unwanted_since = None;
            } else {
                new.push((source.0, source.1, self.kafka.end(topic, *partition).await?));
            }
        }
        if self.tail.is_none() {
            self.tail = Some(self.kafka.idle_tail()?);
        }
        if let (false, Some(tail)) = (new.is_empty(), self.tail.as_mut()) {
            tail.add(&new).await?;
            self.read.extend(new.into_iter().map(|(topic, partition, _)| ((topic, partition), None)));
        }
        let orders = self.own.upgrade().ok_or_else(|| anyhow::anyhow!("nobody is there any more"))?;
        self.number += 1;
        let (sender, records) = mpsc::channel(WAITING_MAX);
        let shared = Arc::new(Shared::default());
        self.subscribers
            .insert(self.number, Subscriber { wants, records: sender, shared: Arc::clone(&shared) });
        Ok(Subscription { records, shared, number: self.number, orders })
    }

    fn deal(&mut self, record: &Arc<Record>) {
        let bytes = size(record);
        self.subscribers.retain(|_, it| !it.wants.has(record) || it.take(record, bytes));
    }

    fn note_unwanted(&mut self) {
        let wanted: BTreeSet<&Source> =
            self.subscribers.values().flat_map(|it| it.wants.sources.iter()).collect();
        let now = Instant::now();
        for (source, unwanted_since) in &mut self.read {
            if unwanted_since.is_none() && !wanted.contains(source) {
                *unwanted_since = Some(now);
            }
        }
    }

    fn forget_unwanted(&mut self) {
        let now = Instant::now();
        let is_over = |since: &Option<Instant>| since.is_some_and(|it| it + LINGER <= now);
        let over: Vec<Source> =
            self.read.iter().filter(|(_, since)| is_over(since)).map(|(source, _)| source.clone()).collect();
        for source in &over {
            self.read.remove(source);
        }
        if let Some(tail) = self.tail.as_mut()
            && let Err(error) = tail.remove(&over)
        {
            warn!(error = format!("{error:#}"), "cannot stop following partitions");
        }
    }
}

impl Wants {
    fn has(&self, record: &Record) -> bool {
        let is_its_key = |key: &Bytes| record.key.as_ref().is_none_or(|it| it == key);
        self.key.as_ref().is_none_or(is_its_key)
            && self.sources.iter().any(|it| it.1 == record.partition && it.0 == record.topic)
    }
}

impl Subscriber {
    /// False if it is lost.
    fn take(&self, record: &Arc<Record>, bytes: usize) -> bool {
        let waiting = self.shared.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        // One record may always wait, however large.
        let fits = waiting == 0 || waiting + bytes <= WAITING_BYTES_MAX;
        let is_taken = fits && self.records.try_send(Arc::clone(record)).is_ok();
        if !is_taken {
            self.shared.has_lagged.store(true, Ordering::Relaxed);
        }
        is_taken
    }
}

async fn next(tail: Option<&mut Tail>) -> anyhow::Result<Record> {
    match tail {
        Some(tail) => tail.next().await,
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
