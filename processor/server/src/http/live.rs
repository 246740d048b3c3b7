//! What happens, as it happens: server-sent events of the committed changelog, of one instance or of whole workflows.
//!
//! A stream misses nothing: it is told from the log, and a client that was cut off goes on where it was (`Last-Event-ID`). It holds little: a
//! client that reads slowly is told later what it has not taken.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use millrace_placement::{PartitionIndex, key_group};
use millrace_runtime::store::SnapshotStore as _;
use millrace_schemas::codec::ChangelogRecord;
use millrace_schemas::event::{ChangelogEntry, Event as Fact};
use millrace_schemas::snapshot::SnapshotRecord;
use millrace_schemas::{InstanceId, Offset, Stamp, WorkflowName, WorkflowVersion};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use super::caller::Caller;
use super::document::{Failed, InstanceParam};
use super::extract::{Params, Segments};
use super::filter::workflow_name;
use super::instances::{find, own_instance_id};
use super::{Api, ApiError, code, cursor};
use crate::clients::{Interrupted, Record};
use crate::reading::{self, Stamps};
use crate::requests::{Feed, outcome};
use crate::view::EntryView;

/// A comment is sent when nothing else was for so long: what is between must not take the stream for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A stream ends after this; the client comes back, and shows again who it is.
const LENGTH_MAX: Duration = Duration::from_secs(3_600);
/// How many instances a stream remembers the workflow of.
const KNOWN_MAX: usize = 10_000;
/// Entries of the history that are told at a time.
const PAGE: u32 = 500;

/// Where a stream goes on.
const LAST_EVENT_ID: &str = "last-event-id";

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Following {
    /// Begin behind the entry with this stamp; `Last-Event-ID` goes before. Without either, what happens from now on is told.
    #[param(nullable = false)]
    after: Option<i64>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it says how a parameter looks")]
struct LastEventId {
    /// Where a stream that was cut off goes on: the last `id` that was seen.
    #[param(
        rename = "Last-Event-ID",
        nullable = false,
        min_length = 1,
        max_length = 100_000,
        pattern = "^[!-~]+$"
    )]
    last_event_id: Option<String>,
}

/// Follow an instance
///
/// Each event is called `entry`, and its data is an entry as the history has it; its id is the stamp. A comment comes every 15 seconds when
/// nothing happens. The stream ends after an hour; clients of server-sent events come back by themselves, and go on where they were.
#[utoipa::path(
    get, path = "/v1/instances/{id}/events", tag = "instances", operation_id = "followInstance",
    params(InstanceParam, Following, LastEventId),
    responses((status = 200, description = "Events", body = String, content_type = "text/event-stream"), Failed)
)]
pub(crate) async fn instance(
    State(api): State<Api>,
    Segments(id): Segments<String>,
    Params(Following { after }): Params<Following>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = own_instance_id(&id)?;
    let after = match last_event_id(&headers)? {
        Some(text) => {
            let stamp = text.parse();
            Some(stamp.map_err(|_| ApiError::invalid("Last-Event-ID is none of this stream"))?)
        }
        None => after,
    };
    let follower = InstanceFollower { api: api.clone(), id, last: after.map(Stamp) };
    // Before the answer: what happens after it is not missed.
    let live = follower.subscribe().await.map_err(ApiError::of_fleet)?;
    respond(&api, move |events| async move { follower.run(live, events).await })
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct FollowingAll {
    /// `namespace/name`: only instances of these workflows. May be repeated.
    #[serde(default, rename = "workflow")]
    #[param(required = false, max_items = 32)]
    workflows: Vec<String>,
    /// With the data that flows through the workflow.
    #[serde(default)]
    #[param(required = false)]
    payloads: bool,
}

/// What one command did to one instance.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FollowedView {
    instance: String,
    /// `namespace/name/version`; nothing if it is not known any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    workflow: Option<String>,
    #[serde(flatten)]
    entry: EntryView,
}

/// Follow all instances, or those of some workflows
///
/// Each event is called `entry`, and its data is an entry of the history with the instance and its workflow; `gap` says that the log had been
/// trimmed before a client came back. Ids come by themselves, behind the entries that they stand for: a client that comes back may be told the
/// last ones again.
#[utoipa::path(
    get, path = "/v1/events", tag = "events", operation_id = "followAll", params(FollowingAll, LastEventId),
    responses((status = 200, description = "Events", body = String, content_type = "text/event-stream"), Failed)
)]
pub(crate) async fn all(
    State(api): State<Api>,
    caller: Caller,
    Params(FollowingAll { workflows, payloads }): Params<FollowingAll>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let workflows =
        workflows.iter().map(|it| workflow_name("workflow", it)).collect::<Result<Vec<_>, _>>()?;
    let resumed = last_event_id(&headers)?.map(cursor::decode::<Positions>).transpose()?;
    let mut follower = Follower {
        api: api.clone(),
        caller,
        workflows,
        payloads,
        positions: Positions::default(),
        has_told: false,
        placed_at: Instant::now(),
        stamps: BTreeMap::new(),
        known: BTreeMap::new(),
    };
    let live = follower.begin(resumed).await.map_err(ApiError::of_fleet)?;
    respond(&api, move |events| async move { follower.run(live, events).await })
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let text = value.to_str().map_err(|_| ApiError::invalid("Last-Event-ID is none of this stream"))?;
    Ok(Some(text).filter(|it| !it.is_empty()))
}

/// The stream of what `work` sends, until its end, that of the client, or that of the processor.
fn respond<W: Future<Output = Result<(), Ended>> + Send + 'static>(
    api: &Api,
    work: impl FnOnce(Sender) -> W,
) -> Result<Response, ApiError> {
    let place = Arc::clone(&api.turns.following).try_acquire_owned().map_err(|_| {
        ApiError::new(
            code::BUSY,
            "too many streams are open already; try again later, or ask another processor",
        )
    })?;
    let (events, receiver) = mpsc::channel(16);
    let (sender, closing) = (Sender(events.clone()), api.closing.clone());
    let work = work(sender);
    tokio::spawn(async move {
        let _place = place;
        tokio::select! {
            _ = work => {}
            () = events.closed() => {}
            () = closing.cancelled() => {}
            () = tokio::time::sleep(LENGTH_MAX) => {}
        }
    });
    let events = stream::unfold(receiver, async |mut it| {
        let event: Event = it.recv().await?;
        Some((Ok::<_, Infallible>(event), it))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

struct Sender(mpsc::Sender<Event>);

/// Why a stream ends before its time: the client has gone, or the log cannot be read.
struct Ended;

impl Sender {
    async fn send(&self, event: Event) -> Result<(), Ended> {
        self.0.send(event).await.map_err(|_| Ended)
    }

    /// Says why it ends.
    async fn fail(&self, error: anyhow::Error) -> Ended {
        let ApiError { code, message, .. } = ApiError::of_fleet(error);
        let text = serde_json::json!({ "code": code, "message": message }).to_string();
        let _ = self.send(Event::default().event("error").data(text)).await;
        Ended
    }
}

/// Follows one instance.
struct InstanceFollower {
    api: Api,
    id: InstanceId,
    /// What was told last; none: what happens from now on is told.
    last: Option<Stamp>,
}

impl InstanceFollower {
    async fn subscribe(&self) -> anyhow::Result<(Feed, Stamps)> {
        let (fleet, topic) = (&self.api.fleet, self.api.fleet.topics().changelog());
        let partition = reading::home_of(&self.id, fleet.kafka.partitions(&topic).await?);
        let sources = vec![(topic, i32::try_from(partition.0)?)];
        let feed = fleet.follow(sources, Some(outcome::key(&self.id))).await?;
        let checkpoint = reading::checkpoint(&self.api.store, &fleet.codec, partition).await?;
        Ok((feed, Stamps::new(checkpoint.as_ref(), key_group(self.id.as_str().as_bytes()))))
    }

    async fn run(mut self, live: (Feed, Stamps), events: Sender) -> Result<(), Ended> {
        let (mut feed, mut stamps) = live;
        loop {
            if self.last.is_some() {
                self.catch_up(&events).await?;
            }
            let error = loop {
                match feed.next().await {
                    Ok(record) => self.tell(&record, &mut stamps, &events).await?,
                    Err(error) => break error,
                }
            };
            if error.downcast_ref() != Some(&Interrupted::Lagged) {
                return Err(events.fail(error).await);
            }
            // From the history, then: the subscription comes first, so nothing is between them.
            (feed, stamps) = match self.subscribe().await {
                Ok(live) => live,
                Err(error) => return Err(events.fail(error).await),
            };
        }
    }

    /// What has happened since the last one.
    async fn catch_up(&mut self, events: &Sender) -> Result<(), Ended> {
        loop {
            let api = &self.api;
            let read = {
                let _turn = api.reading_turn().await;
                reading::full_history(&api.fleet, &api.store, &self.id, self.last, PAGE).await
            };
            let (entries, has_more) = match read {
                Ok(read) => read,
                Err(error) => return Err(events.fail(error).await),
            };
            for (stamp, entry) in &entries {
                self.send(*stamp, entry, events).await?;
            }
            if !has_more {
                return Ok(());
            }
        }
    }

    async fn tell(&mut self, record: &Record, stamps: &mut Stamps, events: &Sender) -> Result<(), Ended> {
        let Some(value) = &record.value else { return Ok(()) };
        let read = match self.api.fleet.codec.decode_changelog(value) {
            Ok(read) => read,
            Err(error) => return Err(events.fail(crate::clients::undecodable(record, error).into()).await),
        };
        match stamps.follow(read, record.offset) {
            Some((stamp, entry)) if record.key.is_some() && self.last.is_none_or(|it| stamp > it) => {
                self.send(stamp, &entry, events).await
            }
            _ => Ok(()),
        }
    }

    async fn send(&mut self, stamp: Stamp, entry: &ChangelogEntry, events: &Sender) -> Result<(), Ended> {
        let data = serde_json::to_string(&EntryView::new(stamp, entry)).expect("is plain data");
        events.send(Event::default().id(stamp.0.to_string()).event("entry").data(data)).await?;
        self.last = Some(stamp);
        Ok(())
    }
}

/// Of each partition of the changelog, the next offset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Positions(BTreeMap<i32, i64>);

/// Follows all instances.
struct Follower {
    api: Api,
    caller: Caller,
    /// All, if it is empty.
    workflows: Vec<WorkflowName>,
    payloads: bool,
    positions: Positions,
    /// Whether something was told since the client heard of a place.
    has_told: bool,
    placed_at: Instant,
    stamps: BTreeMap<i32, Stamps>,
    known: BTreeMap<InstanceId, Option<WorkflowVersion>>,
}

impl Follower {
    /// Begins to follow, and says where it stands.
    async fn begin(&mut self, resumed: Option<Positions>) -> anyhow::Result<(Feed, bool)> {
        let topic = self.api.fleet.topics().changelog();
        let count = i32::try_from(self.api.fleet.kafka.partitions(&topic).await?)?;
        let feed = self.subscribe(count).await?;
        for partition in 0..count {
            let index = PartitionIndex(u32::try_from(partition)?);
            let checkpoint = reading::checkpoint(&self.api.store, &self.api.fleet.codec, index).await?;
            // Whose group it is says nothing here: the eras of all that were not handed over are the log's.
            let group = key_group(&partition.to_be_bytes());
            self.stamps.insert(partition, Stamps::new(checkpoint.as_ref(), group));
        }
        let is_resumed = resumed.is_some();
        match resumed {
            Some(positions) => self.positions = positions,
            None => {
                for partition in 0..count {
                    let end = self.api.fleet.kafka.end(&topic, partition).await?;
                    self.positions.0.insert(partition, end.0);
                }
            }
        }
        Ok((feed, is_resumed))
    }

    async fn subscribe(&self, count: i32) -> anyhow::Result<Feed> {
        let topic = self.api.fleet.topics().changelog();
        let sources = (0..count).map(|it| (topic.clone(), it)).collect();
        self.api.fleet.follow(sources, None).await
    }

    async fn run(mut self, live: (Feed, bool), events: Sender) -> Result<(), Ended> {
        let (mut feed, mut is_behind) = live;
        let count = i32::try_from(self.stamps.len()).unwrap_or(i32::MAX);
        // Whoever is cut off before the first entry goes on from here.
        self.tell_place(&events).await?;
        loop {
            if is_behind {
                self.catch_up(&events).await?;
            }
            let error = loop {
                let next = match feed.ready() {
                    Some(record) => Ok(record),
                    None => {
                        // Nothing more is there for now.
                        if self.has_told || self.placed_at.elapsed() > KEEP_ALIVE {
                            self.tell_place(&events).await?;
                        }
                        feed.next().await
                    }
                };
                match next {
                    Ok(record) => self.tell(&record, &events).await?,
                    Err(error) => break error,
                }
            };
            if error.downcast_ref() != Some(&Interrupted::Lagged) {
                return Err(events.fail(error).await);
            }
            is_behind = true;
            feed = match self.subscribe(count).await {
                Ok(feed) => feed,
                Err(error) => return Err(events.fail(error).await),
            };
        }
    }

    async fn tell_place(&mut self, events: &Sender) -> Result<(), Ended> {
        (self.has_told, self.placed_at) = (false, Instant::now());
        events.send(Event::default().id(cursor::encode(&self.positions))).await
    }

    /// From the log, what was not told yet.
    async fn catch_up(&mut self, events: &Sender) -> Result<(), Ended> {
        const RECORDS: usize = 100;
        let topic = self.api.fleet.topics().changelog();
        let kafka = Arc::clone(&self.api.fleet.kafka);
        let mut sources = Vec::new();
        for partition in self.stamps.keys().copied().collect::<Vec<_>>() {
            let (first, end) = match kafka.bounds(&topic, partition).await {
                Ok(bounds) => bounds,
                Err(error) => return Err(events.fail(error).await),
            };
            let position = self.positions.0.entry(partition).or_insert(end.0);
            if *position < first.0 {
                let gap = serde_json::json!({ "partition": partition, "from": *position, "to": first.0 });
                events.send(Event::default().event("gap").data(gap.to_string())).await?;
                *position = first.0;
            }
            if *position < end.0 {
                sources.push((topic.clone(), partition, Offset(*position)));
            }
        }
        if sources.is_empty() {
            return Ok(());
        }
        let mut tail = match kafka.tail_from(&sources).await {
            Ok(tail) => tail,
            Err(error) => return Err(events.fail(error).await),
        };
        let mut told = 0;
        loop {
            match tail.next_existing().await {
                Ok(Some(record)) => self.tell(&record, events).await?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(events.fail(error).await),
            }
            told += 1;
            if told % RECORDS == 0 {
                self.tell_place(events).await?;
            }
        }
    }

    async fn tell(&mut self, record: &Record, events: &Sender) -> Result<(), Ended> {
        let position = self.positions.0.entry(record.partition).or_insert(record.offset.0);
        if record.offset.0 < *position {
            return Ok(());
        }
        *position = record.offset.0 + 1;
        let (Some(value), Some(stamps)) = (&record.value, self.stamps.get_mut(&record.partition)) else {
            return Ok(());
        };
        // What a later release writes is passed over.
        let Ok(read) = self.api.fleet.codec.decode_changelog(value) else { return Ok(()) };
        if let (ChangelogRecord::Entry(_), None) = (&read, &record.key) {
            return Ok(());
        }
        let Some((stamp, entry)) = stamps.follow(read, record.offset) else { return Ok(()) };
        let key = record.key.as_deref().map(String::from_utf8_lossy);
        let Some(Ok(id)) = key.map(|it| InstanceId::new(it.as_ref())) else { return Ok(()) };
        let workflow = self.workflow_of(&id, &entry).await;
        let is_wanted = |it: &WorkflowVersion| self.workflows.contains(&it.workflow);
        if !self.workflows.is_empty() && !workflow.as_ref().is_some_and(is_wanted) {
            return Ok(());
        }
        let view = EntryView::new(stamp, &entry);
        let view = FollowedView {
            instance: id.to_string(),
            workflow: workflow.map(|it| it.to_string()),
            entry: if self.payloads { view } else { view.without_payloads() },
        };
        let data = serde_json::to_string(&view).expect("is plain data");
        self.has_told = true;
        events.send(Event::default().event("entry").data(data)).await
    }

    /// Of an instance: as its start says it, or as whoever knows it.
    async fn workflow_of(&mut self, id: &InstanceId, entry: &ChangelogEntry) -> Option<WorkflowVersion> {
        let started = entry.events.iter().find_map(|it| match it {
            Fact::InstanceStarted { workflow, .. } => Some(workflow.clone()),
            _ => None,
        });
        if started.is_none()
            && let Some(known) = self.known.get(id)
        {
            return known.clone();
        }
        let workflow = match started {
            Some(workflow) => Some(workflow),
            None => self.look_up(id).await,
        };
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(id.clone(), workflow.clone());
        workflow
    }

    async fn look_up(&self, id: &InstanceId) -> Option<WorkflowVersion> {
        if let Ok(Some(state)) = self.api.processor.query(id.clone()).await {
            return Some(state.workflow);
        }
        if let Ok(Some(row)) = self.api.store.load_snapshot(id).await
            && let Ok(SnapshotRecord::Snapshot(snapshot)) =
                self.api.fleet.codec.decode_snapshot_record(&row.value)
        {
            return Some(snapshot.state.workflow);
        }
        // Everything else in the stream would wait with it.
        let found = find(&self.api, &self.caller, id, false, Instant::now()).await.ok()?;
        found.instance.workflow.parse().ok()
    }
}
