//! Sends numbers: open loop over a number of open keys, each key one record at a time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use millrace_placement::{home, key_group};
use millrace_schemas::cloud_event::{CloudEvent, EventRecord, signal_event, start_event};
use millrace_schemas::{EventId, InstanceId, WorkflowName};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, ProducerContext, ThreadedProducer};
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::board::Board;
use super::plan::{self, Extra, KeyPlan, NUMBER_TYPE, SOURCE, Way};
use crate::publish::to_headers;

/// What is due is sent this often.
const TICK: Duration = Duration::from_millis(2);
/// A record that no broker takes within this is given up by the client, and sent again by us.
const DELIVERY_TIMEOUT_MS: &str = "30000";

/// What is to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) bootstrap: String,
    /// The inbox.
    pub(crate) topic: String,
    pub(crate) partitions: u32,
    pub(crate) workflow: WorkflowName,
    pub(crate) run: String,
    pub(crate) seed: u64,
    /// Records a second: starts and numbers, without copies.
    pub(crate) rate: f64,
    /// Keys that are open at a time.
    pub(crate) keys_open: usize,
    /// Numbers of a key.
    pub(crate) numbers: u32,
    /// After this no key is opened any more, and the next number of each open one is its last.
    pub(crate) duration: Duration,
}

/// How keys and records went.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Fed {
    /// Keys whose records went to their home.
    pub(crate) keys_home: u64,
    /// Keys that librdkafka's partitioner placed.
    pub(crate) keys_misrouted: u64,
    /// Keys that were sent to one wrong partition.
    pub(crate) keys_wrong: u64,
    /// Deliveries that failed, and were tried again.
    pub(crate) failed: u64,
}

/// Tells a delivery from the others.
#[derive(Clone, Copy, Debug)]
struct Ticket {
    slot: usize,
    /// Not a copy of something older.
    is_new: bool,
}

struct Delivered {
    ticket: Ticket,
    error: Option<KafkaError>,
}

struct Deliveries(mpsc::UnboundedSender<Delivered>);

impl ClientContext for Deliveries {
    fn error(&self, error: KafkaError, reason: &str) {
        eprintln!("producer: {error}: {reason}");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Self::DeliveryOpaque) {
        let error = result.as_ref().err().map(|(error, _)| error.clone());
        // The receiver is gone when the test has failed: nobody counts any more.
        let _ = self.0.send(Delivered { ticket: *ticket, error });
    }
}

/// An open key.
struct Slot {
    key: usize,
    id: InstanceId,
    plan: KeyPlan,
    /// For the way `Wrong`.
    partition: Option<i32>,
    /// What is sent next: the start (none), or a number.
    step: Option<u32>,
    last: Option<u32>,
    due: Duration,
    /// Records under way, and those of them that are no copies of something older.
    under_way: u32,
    new_under_way: u32,
    is_delivered: bool,
}

/// Keeps numbers coming.
pub(crate) struct Feed {
    load: Load,
    board: Arc<Mutex<Board>>,
    by_home: ThreadedProducer<Deliveries>,
    by_crc32: ThreadedProducer<Deliveries>,
    delivered: mpsc::UnboundedReceiver<Delivered>,
    slots: Vec<Slot>,
    /// When a slot is due.
    due: BinaryHeap<Reverse<(Duration, usize)>>,
    open: usize,
    fed: Fed,
}

impl Feed {
    pub(crate) fn new(load: Load, board: Arc<Mutex<Board>>) -> anyhow::Result<Self> {
        let (sender, delivered) = mpsc::unbounded_channel();
        let producer = |partitioner: &str| {
            ClientConfig::new()
                .set("bootstrap.servers", &load.bootstrap)
                .set("enable.idempotence", "true")
                // Few and large requests: an idempotent producer has five under way at most, and while a slow broker has them and
                // more is to be sent, librdkafka 2.12 asks its socket again and again without a pause. With the default of 5 ms
                // that took a third of both cores, which made the brokers slower still.
                .set("linger.ms", "50")
                .set("acks", "all")
                .set("partitioner", partitioner)
                .set("message.timeout.ms", DELIVERY_TIMEOUT_MS)
                .set("reconnect.backoff.max.ms", "1000")
                .create_with_context(Deliveries(sender.clone()))
                .context("the producer cannot be made")
        };
        let (by_home, by_crc32) = (producer("murmur2_random")?, producer("consistent_random")?);
        Ok(Self {
            load,
            board,
            by_home,
            by_crc32,
            delivered,
            slots: Vec::new(),
            due: BinaryHeap::new(),
            open: 0,
            fed: Fed::default(),
        })
    }

    /// Sends until the time is over and every open key has its last number.
    pub(crate) async fn run(mut self) -> anyhow::Result<Fed> {
        let start = Instant::now();
        let interval = Duration::from_secs_f64(self.load.keys_open as f64 / self.load.rate);
        for slot in 0..self.load.keys_open {
            let due = interval.mul_f64(slot as f64 / self.load.keys_open as f64);
            let opened = self.new_slot(due)?;
            self.slots.push(opened);
            self.due.push(Reverse((due, slot)));
        }
        self.open = self.slots.len();
        while self.open > 0 {
            let is_over = start.elapsed() >= self.load.duration;
            while let Some(Reverse((due, slot))) = self.due.peek().copied()
                && (is_over || due <= start.elapsed())
            {
                self.due.pop();
                self.send_due(slot, is_over).await?;
            }
            // A delivery makes the next record of its key possible, so it is what is waited for.
            if let Ok(Some(delivered)) = timeout(TICK, self.delivered.recv()).await {
                self.settle(delivered, interval).await?;
                while let Ok(delivered) = self.delivered.try_recv() {
                    self.settle(delivered, interval).await?;
                }
            }
        }
        Ok(self.fed)
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_slot(&mut self, due: Duration) -> anyhow::Result<Slot> {
        let key = self.board().open();
        let id = plan::id_of(&self.load.run, key);
        let plan = KeyPlan::new(self.load.seed, key);
        let partitions = self.load.partitions;
        let home = home(key_group(id.as_bytes()), partitions).0;
        let partition = match plan.way {
            Way::Home => {
                self.fed.keys_home += 1;
                None
            }
            Way::Misrouted => {
                self.fed.keys_misrouted += 1;
                None
            }
            Way::Wrong => {
                self.fed.keys_wrong += 1;
                Some(i32::try_from(plan::wrong_partition(key, home, partitions))?)
            }
        };
        Ok(Slot {
            key,
            id: InstanceId::new(&id).context("--run makes the ids too long")?,
            plan,
            partition,
            step: None,
            last: None,
            due,
            under_way: 0,
            new_under_way: 0,
            is_delivered: false,
        })
    }

    /// Sends what comes next in a key, and what goes along with it.
    async fn send_due(&mut self, index: usize, is_over: bool) -> anyhow::Result<()> {
        let last_number = self.load.numbers - 1;
        let slot = &mut self.slots[index];
        let extra = match slot.step {
            None => Extra::None,
            Some(number) => {
                if is_over || number == last_number {
                    slot.last = Some(number);
                }
                slot.plan.extra(number)
            }
        };
        let step = slot.step;
        if let Extra::Before(older) = extra {
            self.send(index, older, false).await?;
        }
        self.send(index, step, true).await?;
        match extra {
            Extra::AtOnce => self.send(index, step, true).await?,
            Extra::After(older) => self.send(index, older, false).await?,
            Extra::None | Extra::Before(_) => {}
        }
        Ok(())
    }

    async fn send(&mut self, index: usize, step: Option<u32>, is_new: bool) -> anyhow::Result<()> {
        let slot = &mut self.slots[index];
        slot.under_way += 1;
        slot.new_under_way += u32::from(is_new);
        let (key, partition, way) = (slot.key, slot.partition, slot.plan.way);
        let is_last = step.is_some() && slot.last == step;
        let record = event(&self.load.workflow, &slot.id, step, is_last).to_binary();
        match step {
            Some(number) => self.board().sending(key, number, is_last),
            None if !is_new => self.board().starting_again(),
            None => {}
        }
        let producer = if way == Way::Misrouted { &self.by_crc32 } else { &self.by_home };
        hand_over(producer, &self.load.topic, &record, partition, Ticket { slot: index, is_new }).await
    }

    /// A record has arrived, or was given up.
    async fn settle(&mut self, delivered: Delivered, interval: Duration) -> anyhow::Result<()> {
        let Delivered { ticket: Ticket { slot: index, is_new }, error } = delivered;
        if let Some(KafkaError::MessageProduction(RDKafkaErrorCode::Fatal)) = error {
            bail!("the producer cannot go on: it has lost its place in the sequence of its records");
        }
        self.fed.failed += u64::from(error.is_some());
        let slot = &mut self.slots[index];
        slot.under_way -= 1;
        slot.new_under_way -= u32::from(is_new);
        slot.is_delivered |= is_new && error.is_none();
        if slot.under_way > 0 {
            return Ok(());
        }
        if !slot.is_delivered {
            // Nobody knows whether it has arrived: it is sent again before anything that comes after it.
            let step = slot.step;
            return self.send(index, step, true).await;
        }
        slot.is_delivered = false;
        let is_ended = slot.step.is_some() && slot.step == slot.last;
        slot.step = Some(slot.step.map_or(0, |number| number + 1));
        slot.due += interval;
        let due = slot.due;
        if is_ended {
            if due >= self.load.duration {
                self.open -= 1;
                return Ok(());
            }
            self.slots[index] = self.new_slot(due)?;
        }
        self.due.push(Reverse((due, index)));
        Ok(())
    }
}

/// Hands a record to the client; waits only while its queue is full.
async fn hand_over(
    producer: &ThreadedProducer<Deliveries>,
    topic: &str,
    record: &EventRecord,
    partition: Option<i32>,
    ticket: Ticket,
) -> anyhow::Result<()> {
    loop {
        let mut out: BaseRecord<'_, [u8], [u8], Box<Ticket>> =
            BaseRecord::with_opaque_to(topic, Box::new(ticket)).headers(to_headers(record));
        out.key = record.key.as_deref();
        out.payload = record.value.as_deref();
        out.partition = partition;
        match producer.send(out) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => sleep(TICK).await,
            Err((error, _)) => return Err(error).context("a record cannot be sent"),
        }
    }
}

fn event(workflow: &WorkflowName, instance: &InstanceId, step: Option<u32>, is_last: bool) -> CloudEvent {
    let id = EventId { source: SOURCE.to_owned(), id: plan::event_id(instance.as_str(), step) };
    match step {
        None => start_event(id, instance, workflow, None, json!({})),
        Some(number) => {
            signal_event(id, instance, NUMBER_TYPE, Some(json!({ "number": number, "last": is_last })))
        }
    }
}
