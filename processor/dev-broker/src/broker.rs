//! The broker behind the sockets: topics, and under one lock the coordinators and their journal.

mod open;
mod transact;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info};

use crate::config::Config;
use crate::group::{self, Answer, Groups, Outcome, Ticket};
use crate::journal::{Entry, Journal};
use crate::log::{Log, LogError, Maintained};
use crate::server::Budget;
use crate::topics::{self, Catalogue};
use crate::transactions::Transactions;

pub(crate) use open::Lock;
pub use open::OpenError;
pub(crate) use transact::storage_error;

/// Who the broker is, to its clients.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) cluster_id: String,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Identity {
    /// Number of the only node.
    pub(crate) const NODE: i32 = 1;

    pub(crate) fn endpoint(&self) -> String {
        if self.host.contains(':') {
            return format!("[{}]:{}", self.host, self.port);
        }
        format!("{}:{}", self.host, self.port)
    }
}

/// All of it. Shared between connections.
#[derive(Debug)]
pub(crate) struct Broker {
    config: Config,
    identity: Identity,
    topics: Catalogue,
    control: Mutex<Control>,
    clock: Clock,
    budget: Budget,
    /// Tells the ticker to look at its deadlines again.
    deadline_moved: Notify,
    stop: CancellationToken,
    /// Locked while we live, so that no other broker takes the folder.
    _lock: File,
}

/// What is changed under one lock, and written to the journal before anybody hears of it.
#[derive(Debug)]
pub(crate) struct Control {
    journal: Journal,
    pub(crate) transactions: Transactions,
    pub(crate) groups: Groups,
    waiting: BTreeMap<u64, oneshot::Sender<Answer>>,
    next_ticket: u64,
}

/// Wall-clock time that never goes back while the process lives.
#[derive(Clone, Copy, Debug)]
struct Clock {
    started: Instant,
    started_at: Duration,
}

impl Clock {
    fn new() -> Self {
        let started_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_at }
    }

    fn now(&self) -> Duration {
        self.started_at + self.started.elapsed()
    }
}

impl Broker {
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn topics(&self) -> &Catalogue {
        &self.topics
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Ends what waits when the broker stops.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.stop
    }

    /// Since the Unix epoch.
    pub(crate) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// The same in milliseconds, as records have it.
    pub(crate) fn now_ms(&self) -> i64 {
        i64::try_from(self.now().as_millis()).unwrap_or(i64::MAX)
    }

    pub(crate) fn control(&self) -> MutexGuard<'_, Control> {
        // A panic under the lock is a mistake of ours. What was written down holds, so going on is safer than refusing all.
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a change of the topics down and makes it true.
    pub(crate) fn change_topics(&self, control: &mut Control, change: topics::Change) -> io::Result<()> {
        if let topics::Change::Created { name, .. } = &change {
            // Its files first: were they refused, the journal would name a topic that no start can open.
            self.topics.apply(&change).map_err(io::Error::other)?;
            return control.journal.append(&[Entry::Topic(change.clone())]).inspect_err(|_| {
                let _ = self.topics.apply(&topics::Change::Deleted { name: name.clone() });
            });
        }
        control.journal.append(&[Entry::Topic(change.clone())])?;
        self.topics.apply(&change).map_err(io::Error::other)
    }

    /// Deletes a topic together with the offsets that groups have in it: a later topic of that name must not begin at those.
    pub(crate) fn delete_topic(&self, control: &mut Control, name: &str) -> io::Result<()> {
        let deleted = topics::Change::Deleted { name: name.to_owned() };
        let mut entries: Vec<Entry> =
            control.groups.topic_deleted(name).into_iter().map(Entry::Group).collect();
        entries.push(Entry::Topic(deleted.clone()));
        control.journal.append(&entries)?;
        self.topics.apply(&deleted).map_err(io::Error::other)
    }

    /// Writes what a call to the groups has led to down, then answers whoever waited for it.
    pub(crate) fn settle(&self, control: &mut Control, outcome: Outcome) -> io::Result<()> {
        let changes: Vec<Entry> = outcome.changes.into_iter().map(Entry::Group).collect();
        if let Err(error) = control.journal.append(&changes) {
            // Nobody may hear of what is not written. Who waited hears that there is no answer, and asks again.
            for answer in &outcome.answers {
                control.waiting.remove(&answer.ticket().0);
            }
            return Err(error);
        }
        for answer in outcome.answers {
            if let Some(waiting) = control.waiting.remove(&answer.ticket().0) {
                // Who has hung up meanwhile does not hear it.
                let _ = waiting.send(answer);
            }
        }
        self.deadline_moved.notify_one();
        Ok(())
    }

    /// Writes changes of groups down that nobody waits for.
    pub(crate) fn write_groups(&self, control: &mut Control, changes: Vec<group::Change>) -> io::Result<()> {
        self.settle(control, Outcome { answers: Vec::new(), changes })
    }

    /// A request that may have to wait: its name for the groups, and where the answer comes.
    pub(crate) fn wait(&self, control: &mut Control) -> (Ticket, Waiting<'_>) {
        let ticket = control.next_ticket;
        control.next_ticket += 1;
        let (sender, receiver) = oneshot::channel();
        control.waiting.insert(ticket, sender);
        (Ticket(ticket), Waiting { broker: self, ticket, receiver })
    }

    /// Does what is due, and answers how long nothing else is.
    pub(crate) fn tick(&self) -> Option<Duration> {
        let mut control = self.control();
        let outcome = control.groups.tick(self.now());
        self.settle_or_log(&mut control, outcome);
        self.abort_overdue(&mut control);
        self.finish_unfinished(&mut control);
        let now = self.now();
        let deadlines = [control.groups.next_deadline(), control.transactions.next_deadline()];
        let mut next = deadlines.into_iter().flatten().min();
        if !control.transactions.unfinished().is_empty() {
            const RETRY: Duration = Duration::from_secs(1);
            next = Some(next.map_or(now + RETRY, |it| it.min(now + RETRY)));
        }
        let next = next?;
        // Not in a loop without a pause, should a deadline not move.
        const PAUSE: Duration = Duration::from_millis(1);
        Some(next.saturating_sub(now).max(PAUSE))
    }

    /// When the deadline that [`Self::tick`] answered may be wrong.
    pub(crate) async fn deadline_moved(&self) {
        self.deadline_moved.notified().await;
    }

    /// Retention, compaction, and a shorter journal.
    pub(crate) fn maintain(&self) {
        let now_ms = self.now_ms();
        for topic in self.topics.all() {
            for (index, partition) in topic.partitions.iter().enumerate() {
                if self.stop.is_cancelled() {
                    return;
                }
                match partition.maintain(|log| log.maintain(now_ms)) {
                    Ok(maintained) if maintained == Maintained::default() => {}
                    Ok(maintained) => {
                        debug!(topic = %topic.name, partition = index, ?maintained, "kept a log in order")
                    }
                    Err(error) => {
                        let reopened = match &error {
                            LogError::Halted { dir } => partition.reopen(dir).is_ok(),
                            _ => false,
                        };
                        let error = &error as &dyn std::error::Error;
                        error!(topic = %topic.name, partition = index, error, reopened, "could not keep a log in order");
                    }
                }
            }
        }
        let mut control = self.control();
        self.forget_unused(&mut control, now_ms);
        if control.journal.is_long()
            && let Err(error) = self.rewrite_journal(&mut control)
        {
            error!(error = &error as &dyn std::error::Error, "could not shorten the journal");
        }
    }

    /// Everything to the disk. Nothing may be asked of it after that.
    pub(crate) fn close(&self) -> io::Result<()> {
        let mut control = self.control();
        self.rewrite_journal(&mut control)?;
        control.journal.flush()?;
        for topic in self.topics.all() {
            for partition in &topic.partitions {
                partition.maintain(Log::flush).map_err(io::Error::other)?;
            }
        }
        info!("the broker has stopped");
        Ok(())
    }

    fn rewrite_journal(&self, control: &mut Control) -> io::Result<()> {
        let mut entries = vec![Entry::Cluster { id: self.identity.cluster_id.clone() }];
        entries.extend(self.topics.snapshot().into_iter().map(Entry::Topic));
        entries.extend(control.transactions.snapshot().into_iter().map(Entry::Transaction));
        entries.extend(control.groups.snapshot().into_iter().map(Entry::Group));
        control.journal.rewrite(&entries)
    }

    fn settle_or_log(&self, control: &mut Control, outcome: Outcome) {
        if outcome.answers.is_empty() && outcome.changes.is_empty() {
            return;
        }
        if let Err(error) = self.settle(control, outcome) {
            error!(error = &error as &dyn std::error::Error, "could not write to the journal");
        }
    }
}

/// An answer that is awaited. Dropped, the groups forget that anybody waits for it.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    broker: &'a Broker,
    ticket: u64,
    receiver: oneshot::Receiver<Answer>,
}

impl Waiting<'_> {
    /// `None` when it could not be written down, so nobody may hear it.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        (&mut self.receiver).await.ok()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut control = self.broker.control();
        if control.waiting.remove(&self.ticket).is_some() {
            let outcome = control.groups.disconnected(Ticket(self.ticket), self.broker.now());
            self.broker.settle_or_log(&mut control, outcome);
        }
    }
}
