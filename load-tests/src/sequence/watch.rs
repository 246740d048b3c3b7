//! Reads what the fleet says: the told numbers, refusals, dead letters. Committed records only, all partitions, without a group.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use millrace_placement::Topics;
use rdkafka::consumer::BaseConsumer;
use rdkafka::message::{BorrowedMessage, Message};
use serde_json::Value;

use super::board::Board;
use super::gaps::Gaps;
use super::plan::key_of;
use crate::follow::{assign_all, ends, reader};

/// The topic that `sequence.yaml` emits to.
pub(crate) const TOLD_TOPIC: &str = "load.sequence";

const POLL: Duration = Duration::from_millis(100);

/// A thread that reads.
#[derive(Debug)]
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// What the thread works with.
struct Reading {
    consumer: BaseConsumer,
    topics: Topics,
    run: String,
    board: Arc<Mutex<Board>>,
    gaps: Arc<Mutex<Gaps>>,
}

impl Watch {
    /// Reads from now on.
    pub(crate) fn start(
        bootstrap: &str,
        topics: &Topics,
        run: &str,
        board: Arc<Mutex<Board>>,
        gaps: Arc<Mutex<Gaps>>,
    ) -> anyhow::Result<Self> {
        let consumer = reader(bootstrap)?;
        let names = [TOLD_TOPIC.to_owned(), topics.lifecycle(), topics.dead_letters()];
        let starts = names.map(|name| ends(bootstrap, &name).map(|start| (name, start)));
        assign_all(&consumer, &starts.into_iter().collect::<anyhow::Result<Vec<_>>>()?)?;
        let reading = Reading { consumer, topics: topics.clone(), run: run.to_owned(), board, gaps };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    match reading.consumer.poll(POLL) {
                        None => {}
                        Some(Ok(message)) => reading.see(&message),
                        // The client finds its way back on its own; a test with a killed broker lives on.
                        Some(Err(error)) => eprintln!("watch: {error}"),
                    }
                }
            })
            .context("no thread to be had")?;
        Ok(Self { stop, thread })
    }

    /// Ends the thread.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the reader has no reason to panic");
    }
}

impl Reading {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn see(&self, message: &BorrowedMessage<'_>) {
        let at = || format!("{}-{} at {}", message.topic(), message.partition(), message.offset());
        let id = String::from_utf8_lossy(message.key().unwrap_or_default());
        if message.topic() == self.topics.dead_letters() {
            return self.board().violation(&id, "a dead letter".to_owned(), at());
        }
        let Some(key) = key_of(&self.run, &id) else { return };
        let value: Value = serde_json::from_slice(message.payload().unwrap_or_default()).unwrap_or_default();
        if message.topic() == TOLD_TOPIC {
            self.gaps.lock().unwrap_or_else(PoisonError::into_inner).note(message.partition());
            match value["number"].as_u64().and_then(|number| u32::try_from(number).ok()) {
                Some(number) => self.board().told(key, &id, number, &at),
                None => self.board().violation(&id, format!("{value} instead of a number"), at()),
            }
        } else {
            let text = |name: &str| value[name].as_str().unwrap_or("?");
            self.board().rejection(&id, text("command"), text("reason"), &at);
        }
    }
}
