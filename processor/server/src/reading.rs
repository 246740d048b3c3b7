//! How an instance is found from outside: its owner knows best, the store knows what has been flushed, the changelog knows
//! everything since.

use std::collections::BTreeMap;
use std::time::Duration;

use millrace_engine::{Rewound, rewind};
use millrace_placement::{KeyGroup, PartitionIndex, home, key_group};
use millrace_runtime::store::{SnapshotStore, StoreError};
use millrace_schemas::codec::{ChangelogRecord, Codec, DecodeError};
use millrace_schemas::event::ChangelogEntry;
use millrace_schemas::partition::Checkpoint;
use millrace_schemas::schedule::scheduled_workflow;
use millrace_schemas::snapshot::SnapshotRecord;

use millrace_schemas::{EventId, InstanceId, Offset, Stamp, Timestamp};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::clients::{self, Bearer};
use crate::http::{ApiError, ErrorBody, code};
use crate::requests::Fleet;
use crate::view::{FoundView, InstanceView, ReadFrom, ScheduleView, time};

/// For how long the owner of a partition is looked for: a hand-over takes about half a second.
pub(crate) const OWNER_WITHIN: Duration = Duration::from_secs(2);

/// The pause before the second look for it, and the longest: each is twice as long as the one before.
const OWNER_AGAIN: Duration = Duration::from_millis(25);
const OWNER_AGAIN_MAX: Duration = Duration::from_millis(400);

/// What its owner may say when it is not the owner, or cannot answer just now.
const PASSING: [&str; 4] = [code::NOT_OWNER, code::NO_ANSWER, code::TOO_MANY, code::BUSY];

/// Until when to look for an owner, for whoever has time to wait while a partition changes hands.
pub(crate) fn owner_until() -> Instant {
    Instant::now() + OWNER_WITHIN
}

/// How the processors of the fleet are asked. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    client: reqwest::Client,
    /// In the name of whom.
    bearer: Option<Bearer>,
}

impl Peers {
    pub(crate) fn new(client: reqwest::Client, bearer: Option<Bearer>) -> Self {
        Self { client, bearer }
    }

    /// The same, asking in the name of somebody else.
    pub(crate) fn for_caller(&self, bearer: Option<Bearer>) -> Self {
        Self { client: self.client.clone(), bearer }
    }
}

/// An instance, and who said so.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Its owner: it is so now.
    Owner { url: String, instance: Box<InstanceView> },
    /// The snapshot store, because no owner could be asked, for the reason `why`.
    Store {
        why: String,
        instance: Box<InstanceView>,
        /// When the owner last said how far the store is. What happened since may be missing.
        checkpoint_at: Option<Timestamp>,
    },
    /// Neither knows it.
    Unknown {
        /// Why the owner was not asked, if it was not.
        why: Option<String>,
    },
}

impl Answer {
    /// The same for people and programs; `Err` when nobody knows it, with why its owner was not asked.
    pub(crate) fn found(self) -> Result<FoundView, Option<String>> {
        match self {
            Self::Owner { url, instance } => Ok(FoundView {
                instance: *instance,
                read_from: ReadFrom::Owner,
                owner_url: Some(url),
                complete_until: None,
                note: None,
            }),
            Self::Store { why, instance, checkpoint_at } => {
                let complete_until = checkpoint_at.map(time);
                let age = complete_until.as_deref().map_or_else(
                    || "how old it is, nobody has written down yet".to_owned(),
                    |it| format!("what happened after {it} may be missing"),
                );
                let note = format!("from the snapshot store, {age}; its owner was not reached ({why})");
                Ok(FoundView {
                    instance: *instance,
                    read_from: ReadFrom::Store,
                    owner_url: None,
                    complete_until,
                    note: Some(note),
                })
            }
            Self::Unknown { why } => Err(why),
        }
    }
}

/// Asks the owner, until `until` if it does not answer at once; then the store.
pub(crate) async fn instance(
    peers: &Peers,
    store: &impl SnapshotStore,
    codec: &Codec,
    partition: PartitionIndex,
    id: &InstanceId,
    until: Instant,
) -> anyhow::Result<Answer> {
    let path = ["v1", "instances", id.as_str()];
    let why = match ask_owner(peers, store, partition, &path, &[], until).await? {
        OwnerSaid::Answered { url, answer } => return Ok(Answer::Owner { url, instance: Box::new(answer) }),
        OwnerSaid::Refused { error, .. } if error.code == code::NOT_FOUND => {
            return Ok(Answer::Unknown { why: None });
        }
        OwnerSaid::Refused { url, error } => format!("{url}: {}", error.message),
        OwnerSaid::Unreached { why } => why,
    };
    let Some(row) = store.load_snapshot(id).await? else { return Ok(Answer::Unknown { why: Some(why) }) };
    let snapshot = match codec.decode_snapshot_record(&row.value)? {
        SnapshotRecord::Snapshot(snapshot) => snapshot,
        SnapshotRecord::Parked(parked) => {
            anyhow::bail!(
                "instance {id} is set aside, because its log and the code disagree: {}. Nothing of it is lost; a release that can \
                 read it goes on with it",
                parked.reason
            )
        }
        SnapshotRecord::Schedule(_) => {
            anyhow::bail!("{id} is no instance: it is a schedule; see millrace schedule show")
        }
        SnapshotRecord::Channel(_) => {
            anyhow::bail!("{id} is no instance: it is a channel, where events meet those who listen for them")
        }
    };
    let instance = Box::new(InstanceView::new(id, &snapshot.state));
    let checkpoint = checkpoint(store, codec, partition).await?;
    Ok(Answer::Store { why, instance, checkpoint_at: checkpoint.map(|it| it.at) })
}

/// As [`instance`], of a schedule. None if nobody knows it.
pub(crate) async fn schedule(
    peers: &Peers,
    store: &impl SnapshotStore,
    codec: &Codec,
    partition: PartitionIndex,
    id: &InstanceId,
    until: Instant,
) -> anyhow::Result<Option<ScheduleView>> {
    let Some(workflow) = scheduled_workflow(id) else { return Ok(None) };
    let path = ["v1", "schedules", &*workflow.namespace, &*workflow.name];
    let why = match ask_owner(peers, store, partition, &path, &[], until).await? {
        OwnerSaid::Answered { answer, .. } => return Ok(Some(answer)),
        OwnerSaid::Refused { error, .. } if error.code == code::NOT_FOUND => return Ok(None),
        OwnerSaid::Refused { url, error } => format!("{url}: {}", error.message),
        OwnerSaid::Unreached { why } => why,
    };
    let Some(row) = store.load_snapshot(id).await? else { return Ok(None) };
    match codec.decode_snapshot_record(&row.value)? {
        SnapshotRecord::Schedule(snapshot) => {
            let note = format!("as of its last snapshot; its owner was not reached ({why})");
            let view = ScheduleView::new(id, &snapshot.state, ReadFrom::Store);
            Ok(Some(ScheduleView { note: Some(note), ..view }))
        }
        SnapshotRecord::Parked(parked) => anyhow::bail!(
            "the schedule of {workflow} is set aside, because its log and the code disagree: {}",
            parked.reason
        ),
        SnapshotRecord::Snapshot(_) | SnapshotRecord::Channel(_) => {
            anyhow::bail!("the snapshot store has something else at {id}")
        }
    }
}

/// What came of asking the owner of a partition.
#[derive(Debug)]
pub(crate) enum OwnerSaid<T> {
    Answered {
        url: String,
        answer: T,
    },
    /// It has spoken as the owner, and said no.
    Refused {
        url: String,
        error: ApiError,
    },
    /// No owner has spoken.
    Unreached {
        why: String,
    },
}

/// Asks the owner of a partition for what it has at `path` of its own; again until `until`, for the partition may be changing hands. At
/// least once.
pub(crate) async fn ask_owner<T: DeserializeOwned>(
    peers: &Peers,
    store: &impl SnapshotStore,
    partition: PartitionIndex,
    path: &[&str],
    parameters: &[(&str, String)],
    until: Instant,
) -> Result<OwnerSaid<T>, StoreError> {
    let mut pause = OWNER_AGAIN;
    loop {
        let url = match owner(store, partition).await? {
            Ok(url) => url,
            Err(why) => return Ok(OwnerSaid::Unreached { why }),
        };
        let why = match ask_processor(peers, &url, path, parameters).await {
            Ok(Ok(answer)) => return Ok(OwnerSaid::Answered { url, answer }),
            Ok(Err(error)) if PASSING.contains(&&*error.code) => error.message,
            Ok(Err(error)) => return Ok(OwnerSaid::Refused { url, error }),
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() + pause >= until {
            let why = format!("the owner of partition {} at {url}: {why}", partition.0);
            return Ok(OwnerSaid::Unreached { why });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(OWNER_AGAIN_MAX);
    }
}

/// Where the owner of a partition is reached; if that is not known, why.
pub(crate) async fn owner(
    store: &impl SnapshotStore,
    partition: PartitionIndex,
) -> Result<Result<String, String>, StoreError> {
    let url = store.load_owner(partition).await?.and_then(|it| it.api_url);
    Ok(url.ok_or_else(|| format!("the owner of partition {} has told no address yet", partition.0)))
}

/// What a processor has at `path` of its own, or why it has not.
pub(crate) async fn ask_processor<T: DeserializeOwned>(
    peers: &Peers,
    url: &str,
    path: &[&str],
    parameters: &[(&str, String)],
) -> anyhow::Result<Result<T, ApiError>> {
    let mut url = reqwest::Url::parse(url)?;
    url.path_segments_mut().map_err(|()| anyhow::anyhow!("is no HTTP address"))?.pop_if_empty().extend(path);
    // It is to speak for itself: two that each take the other for the owner would ask each other for ever.
    url.query_pairs_mut().extend_pairs(parameters).append_pair("routed", "true");
    let mut request = peers.client.get(url);
    if let Some(Bearer(token)) = &peers.bearer {
        request = request.bearer_auth(token);
    }
    let response = request.send().await?;
    if response.status().is_success() {
        return Ok(Ok(response.json().await?));
    }
    let status = response.status();
    match response.json::<ErrorBody>().await {
        Ok(ErrorBody { error }) => Ok(Err(error)),
        Err(_) => Err(anyhow::anyhow!("answered {status}, which no processor does")),
    }
}

/// What is asked of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// A jq expression.
    Expression(String),
    /// A query of its definition.
    Named(String),
}

impl Question {
    /// Where a processor answers it.
    pub(crate) fn path<'q>(&'q self, id: &'q InstanceId) -> Vec<&'q str> {
        match self {
            Self::Expression(_) => vec!["v1", "instances", id.as_str(), "query"],
            Self::Named(name) => vec!["v1", "instances", id.as_str(), "queries", name],
        }
    }

    /// What is given with the path.
    pub(crate) fn parameters(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Expression(text) => vec![("expression", text.clone())],
            Self::Named(_) => Vec::new(),
        }
    }
}

/// Why a history cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HistoryError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a row of the history cannot be read")]
    Damaged(#[from] DecodeError),
}

/// What the store has of the history of `id`, at most `limit` entries, and whether there are more.
pub(crate) async fn stored_history(
    store: &impl SnapshotStore,
    codec: &Codec,
    id: &InstanceId,
    after: Option<Stamp>,
    limit: u32,
) -> Result<(Vec<(Stamp, ChangelogEntry)>, bool), HistoryError> {
    let rows = store.load_history(id, after, limit.saturating_add(1)).await?;
    let has_more = rows.len() > limit as usize;
    let mut entries = Vec::with_capacity(rows.len());
    for row in rows.into_iter().take(limit as usize) {
        if let ChangelogRecord::Entry(entry) = codec.decode_changelog(&row.entry)? {
            entries.push((row.stamp, entry));
        }
    }
    Ok((entries, has_more))
}

/// The history of `id` after `after` and up to now, at most `limit` entries, and whether there are more: what the store has, then what the
/// changelog has beyond the checkpoint.
pub(crate) async fn full_history(
    fleet: &Fleet,
    store: &impl SnapshotStore,
    id: &InstanceId,
    after: Option<Stamp>,
    limit: u32,
) -> anyhow::Result<(Vec<(Stamp, ChangelogEntry)>, bool)> {
    // Before the store: what is flushed meanwhile is seen twice, and not missed.
    let checkpoint = checkpoint_of(fleet, store, id).await?;
    let (stored, has_more) = stored_history(store, &fleet.codec, id, after, limit).await?;
    if has_more {
        return Ok((stored, true));
    }
    let mut entries: BTreeMap<Stamp, ChangelogEntry> = stored.into_iter().collect();
    let recent = recent_history(fleet, checkpoint, id).await?;
    entries.extend(recent.into_iter().filter(|(stamp, _)| after.is_none_or(|it| *stamp > it)));
    let has_more = entries.len() > limit as usize;
    Ok((entries.into_iter().take(limit as usize).collect(), has_more))
}

/// Whether the history of `id` has what the event `cause` did.
pub(crate) async fn has_done(
    fleet: &Fleet,
    store: &impl SnapshotStore,
    id: &InstanceId,
    cause: &EventId,
) -> anyhow::Result<bool> {
    const PAGE: u32 = 1_000;
    let is_its = |(_, entry): &(Stamp, ChangelogEntry)| entry.cause == *cause;
    let checkpoint = checkpoint_of(fleet, store, id).await?;
    let mut after = None;
    loop {
        let (page, has_more) = stored_history(store, &fleet.codec, id, after, PAGE).await?;
        if page.iter().any(is_its) {
            return Ok(true);
        }
        after = page.last().map(|it| it.0).or(after);
        if !has_more {
            break;
        }
    }
    Ok(recent_history(fleet, checkpoint, id).await?.iter().any(is_its))
}

async fn checkpoint_of(
    fleet: &Fleet,
    store: &impl SnapshotStore,
    id: &InstanceId,
) -> anyhow::Result<Option<Checkpoint>> {
    let partitions = fleet.kafka.partitions(&fleet.topics().changelog()).await?;
    checkpoint(store, &fleet.codec, home_of(id, partitions)).await
}

/// What the changelog has of the history of `id` beyond the checkpoint.
async fn recent_history(
    fleet: &Fleet,
    checkpoint: Option<Checkpoint>,
    id: &InstanceId,
) -> anyhow::Result<Vec<(Stamp, ChangelogEntry)>> {
    let group = key_group(id.as_str().as_bytes());
    let topic = fleet.topics().changelog();
    let partition = home_of(id, fleet.kafka.partitions(&topic).await?);
    let index = i32::try_from(partition.0).expect("at most 4,096 partitions");
    let from = checkpoint.as_ref().map(|it| it.changelog_offset);
    let mut stamps = Stamps::new(checkpoint.as_ref(), group);
    let mut entries = Vec::new();
    for record in fleet.kafka.read(&topic, index, from).await? {
        let Some(value) = &record.value else { continue };
        let is_ours = record.key.as_deref() == Some(id.as_str().as_bytes());
        if record.key.is_some() && !is_ours {
            continue;
        }
        let read =
            fleet.codec.decode_changelog(value).map_err(|error| clients::undecodable(&record, error))?;
        if let (Some(entry), true) = (stamps.follow(read, record.offset), is_ours) {
            entries.push(entry);
        }
    }
    Ok(entries)
}

/// Gives the entries of a changelog their stamps.
#[derive(Clone, Debug)]
pub(crate) struct Stamps {
    group: KeyGroup,
    era: (u32, Offset),
}

impl Stamps {
    /// For the records beyond `checkpoint`, of instances of this group.
    pub(crate) fn new(checkpoint: Option<&Checkpoint>, group: KeyGroup) -> Self {
        Self { group, era: checkpoint.map_or((0, Offset(0)), |it| it.era_of(group)) }
    }

    /// The entry that a record is, if it is one of an instance.
    pub(crate) fn follow(
        &mut self,
        record: ChangelogRecord,
        offset: Offset,
    ) -> Option<(Stamp, ChangelogEntry)> {
        match record {
            // One that is older than its era is of a log that was lost meanwhile.
            ChangelogRecord::Entry(entry) if offset >= self.era.1 => {
                return Some((Stamp::new(self.era.0, self.era.1, offset), entry));
            }
            ChangelogRecord::Claim(claim) => self.era = claim.era_of(self.group),
            ChangelogRecord::Installed(installed) if installed.key_groups.contains(self.group) => {
                self.era = (installed.era, installed.era_base);
            }
            ChangelogRecord::Entry(_)
            | ChangelogRecord::Positions(_)
            | ChangelogRecord::Adopted(_)
            | ChangelogRecord::Released(_)
            | ChangelogRecord::Installed(_)
            | ChangelogRecord::Channel(_)
            | ChangelogRecord::Schedule(_) => {}
        }
        None
    }
}

/// Why what was is not known any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RewindError {
    #[error(
        "there is no history of {id}: it expires after the retention of the workflow, and a workflow may want none"
    )]
    Absent { id: InstanceId },
    #[error("the history of {id} is not whole: its beginning has expired")]
    Expired { id: InstanceId },
    #[error("the history of {id} has more than {max} entries, the most that are folded for a restart")]
    TooLong { id: InstanceId, max: u32 },
}

/// What the history of `id` says about a restart from `task`.
pub(crate) async fn rewound(
    fleet: &Fleet,
    store: &impl SnapshotStore,
    id: &InstanceId,
    task: &str,
) -> anyhow::Result<Rewound> {
    const ENTRIES_MAX: u32 = 100_000;
    let (entries, has_more) = full_history(fleet, store, id, None, ENTRIES_MAX).await?;
    let id = id.clone();
    if has_more {
        return Err(RewindError::TooLong { id, max: ENTRIES_MAX }.into());
    }
    if entries.is_empty() {
        return Err(RewindError::Absent { id }.into());
    }
    let rewound = rewind(&id, entries.iter().map(|(_, entry)| entry), task);
    rewound.map_err(|_| RewindError::Expired { id }.into())
}

/// The checkpoint row of a partition.
pub(crate) async fn checkpoint(
    store: &impl SnapshotStore,
    codec: &Codec,
    partition: PartitionIndex,
) -> anyhow::Result<Option<Checkpoint>> {
    let row = store.load_checkpoint(partition).await?;
    Ok(row.map(|(_, value)| codec.decode_checkpoint(&value)).transpose()?)
}

pub(crate) fn home_of(id: &InstanceId, partitions: u32) -> PartitionIndex {
    home(key_group(id.as_str().as_bytes()), partitions)
}
