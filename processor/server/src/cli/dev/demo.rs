//! `--demo`: the example of an order, alive. A shop produces orders as events, workers answer the tasks that follow, and whoever
//! watches sees them come to their end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millrace_schemas::cloud_event::{signal_event, start_event};
use millrace_schemas::codec::{ChangelogRecord, Codec};
use millrace_schemas::event::Event;
use millrace_schemas::{EventId, InstanceId, Timestamp, WorkflowName};
use millrace_worker::{Task, TaskFailure, Worker};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::watch;
use crate::bundling::Catalogs;
use crate::clients::{self, Kafka, Record, Tail};
use crate::config::Global;
use crate::output::Output;

const DEFINITION: &str = include_str!("../../../../../topology/examples/order.yaml");
const WORKFLOW: &str = "shop/order";
const QUEUE: &str = "orders";
/// Between two orders.
const PACE: Duration = Duration::from_millis(400);
/// How long the courier is on the way.
const DELIVERY: Duration = Duration::from_millis(300);
/// What the card of each customer is good for, in cents.
const AMOUNT_COVERED: u64 = 100_000;
/// Each so many orders wants more than that: it is declined, and what was reserved is released.
const DECLINED_EACH: u32 = 4;
/// All of them must have ended after this, or something is wrong.
const ENDED_WITHIN: Duration = Duration::from_secs(60);

/// Returns when all orders have ended; the workers go on until `shutdown`.
pub(crate) async fn run(
    global: &Global,
    output: Output,
    orders: u32,
    tasks: &TaskTracker,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let (catalogs, file) = (Catalogs::default(), Path::new("order.yaml"));
    let line = watch::deploy(global, output, &catalogs, file, DEFINITION.to_owned()).await?;
    output.note(&line);
    let kafka = Arc::new(Kafka::new(global));
    let workers = workers(global, &kafka)?;
    tasks.spawn(async move {
        if let Err(error) = workers.run(async move { shutdown.cancelled().await }).await {
            output.note(&format!("the workers of the demo have stopped: {error}"));
        }
    });

    let sources: Vec<_> = partitions(global, &kafka).await?;
    let tail = kafka.tail_from_end(&sources).await?;
    let run = clients::now().0 / 1_000 % 1_000_000;
    let id = |number: u32| format!("order-{run}-{number}");
    let all: Vec<String> = (1..=orders).map(id).collect();
    output.note(&format!("a shop takes {orders} orders, {} … {}:", all[0], all[all.len() - 1]));
    let mut progress = Progress::new(output, &all, clients::codec(global).await?);
    tokio::try_join!(produce(&kafka, &all), progress.follow(tail))?;
    output.note(&format!(
        "\nAll orders have ended; the shop is closed, and its workers wait. Look around:\n\n  \
         millrace list {WORKFLOW}\n  millrace history {}\n  \
         millrace start {WORKFLOW} --wait --input '{{\"orderId\": \"mine\", \"amount\": 700, \"items\": [{{\"sku\": \"tea\"}}]}}'\n",
        id(DECLINED_EACH.min(orders)),
    ));
    Ok(())
}

async fn partitions(global: &Global, kafka: &Kafka) -> anyhow::Result<Vec<(String, i32)>> {
    let changelog = global.topics().changelog();
    let partitions = i32::try_from(kafka.partitions(&changelog).await?)?;
    Ok((0..partitions).map(|partition| (changelog.clone(), partition)).collect())
}

async fn produce(kafka: &Kafka, orders: &[String]) -> anyhow::Result<()> {
    let workflow = WorkflowName { namespace: "shop".into(), name: "order".into() };
    for (number, order) in (1_u32..).zip(orders) {
        let id = InstanceId::new(order.as_str())?;
        let event = EventId { source: "/shop/checkout".to_owned(), id: order.clone() };
        let declined = number.is_multiple_of(DECLINED_EACH);
        let input = json!({
            "orderId": order,
            "amount": if declined { 10 * AMOUNT_COVERED } else { u64::from(900 + 100 * number) },
            "items": [{ "sku": if declined { "gold" } else { "tea" }, "quantity": number }],
        });
        kafka.send_event(start_event(event, &id, &workflow, None, input)).await?;
        tokio::time::sleep(PACE).await;
    }
    Ok(())
}

/// One worker with all functions of the example. A worker of one's own may be in any language: see the README.
fn workers(global: &Global, kafka: &Arc<Kafka>) -> anyhow::Result<Worker> {
    let courier = Arc::clone(kafka);
    let worker = Worker::builder(&global.bootstrap)
        .prefix(&global.prefix)
        .queue(QUEUE)
        .tracer(global.traces.tracer())
        .function("reserve-stock", async |task: Task| Ok(json!({ "reservation": task.idempotency_key() })))
        .function("release-stock", async |_: Task| Ok(json!({ "released": true })))
        .function("charge-payment", charge)
        .function("refund-payment", async |task: Task| {
            Ok(json!({ "refunded": task.argument::<Option<u64>>("charged")?.unwrap_or_default() }))
        })
        .function("request-courier", move |task: Task| {
            let courier = Arc::clone(&courier);
            async move {
                let instance = task.instance().clone();
                tokio::spawn(async move { deliver(&courier, &instance).await });
                Ok::<Value, TaskFailure>(json!({ "courier": "on the way" }))
            }
        });
    Ok(worker.shutdown_limit(Duration::from_secs(2)).build()?)
}

async fn charge(task: Task) -> Result<Value, TaskFailure> {
    let amount: u64 = task.argument("amount")?;
    // By what is asked for, and not by who asks: a reader's own order goes through.
    if amount > AMOUNT_COVERED {
        return Err(TaskFailure::permanent("card declined")
            .with_type("https://shop.example/errors/declined")
            .with_status(402));
    }
    Ok(json!({ "charged": amount }))
}

/// The courier rings: an event from outside, addressed to the instance.
async fn deliver(kafka: &Kafka, instance: &InstanceId) {
    tokio::time::sleep(DELIVERY).await;
    let id = EventId { source: "/shop/courier".to_owned(), id: format!("{instance}-delivered") };
    let event =
        signal_event(id, instance, "shop.courier.delivered", Some(json!({ "signedBy": "a neighbour" })));
    if let Err(error) = kafka.send_event(event).await {
        tracing::warn!(%instance, error = &*error, "the courier could not tell");
    }
}

/// What is printed while orders go their way.
struct Progress {
    output: Output,
    codec: Codec,
    /// When each was started, until it has ended.
    open: BTreeMap<String, Option<Timestamp>>,
    ended: usize,
}

impl Progress {
    fn new(output: Output, orders: &[String], codec: Codec) -> Self {
        Self { output, codec, open: orders.iter().map(|it| (it.clone(), None)).collect(), ended: 0 }
    }

    async fn follow(&mut self, mut tail: Tail) -> anyhow::Result<()> {
        let all = self.open.len();
        let deadline = Instant::now() + ENDED_WITHIN + PACE * u32::try_from(all)?;
        while !self.open.is_empty() {
            let record = tokio::time::timeout_at(deadline, tail.next()).await.map_err(|_| {
                anyhow::anyhow!(
                    "{} of {all} orders have not ended; see: millrace list {WORKFLOW}",
                    self.open.len()
                )
            })??;
            for line in self.lines(&record)? {
                self.output.note(&line);
            }
        }
        Ok(())
    }

    fn lines(&mut self, record: &Record) -> anyhow::Result<Vec<String>> {
        let Some(key) = record.key.as_deref().and_then(|it| std::str::from_utf8(it).ok()) else {
            return Ok(Vec::new());
        };
        let Some(value) = record.value.as_ref().filter(|_| self.open.contains_key(key)) else {
            return Ok(Vec::new());
        };
        let entry = match self.codec.decode_changelog(value) {
            Ok(ChangelogRecord::Entry(entry)) => entry,
            Ok(_) => return Ok(Vec::new()),
            Err(error) => return Err(clients::undecodable(record, error).into()),
        };
        let mut lines = Vec::new();
        for event in &entry.events {
            match event {
                Event::InstanceStarted { .. } => {
                    self.open.insert(key.to_owned(), Some(entry.at));
                    lines.push(format!("  {key}  started"));
                }
                Event::TaskFaulted { task, error, .. } => {
                    let task = task.rsplit('/').next().unwrap_or_default();
                    let title = error.title.as_deref().unwrap_or("without a title");
                    lines.push(format!("  {key}  {task} failed: {title}"));
                }
                Event::InstanceCompleted { output } => {
                    let output = output.value();
                    let text = |name: &str| output[name].as_str().unwrap_or_default().to_owned();
                    let euros = |name: &str| output[name].as_f64().unwrap_or_default() / 100.0;
                    lines.push(format!(
                        "  {key}  {} after {} ms, charged {:.2}, refunded {:.2}{}",
                        text("status"),
                        self.open.get(key).copied().flatten().map_or(0, |it| entry.at.0 - it.0),
                        euros("charged"),
                        euros("refunded"),
                        self.end(key),
                    ));
                }
                Event::InstanceFaulted { error } => {
                    let title = error.title.as_deref().unwrap_or("without a title");
                    lines.push(format!("  {key}  faulted: {title}{}", self.end(key)));
                }
                Event::InstanceCancelled { .. } => lines.push(format!("  {key}  cancelled{}", self.end(key))),
                _ => {}
            }
        }
        Ok(lines)
    }

    /// How many are left, behind the line of one that has ended.
    fn end(&mut self, key: &str) -> String {
        self.open.remove(key);
        self.ended += 1;
        format!("   ({} of {})", self.ended, self.ended + self.open.len())
    }
}
