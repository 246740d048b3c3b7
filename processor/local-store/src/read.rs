//! What is read. Every call sees one moment: what is committed meanwhile it does not see.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Bound;

use bytes::Bytes;
use millrace_partition::{Attributes, SnapshotRow, Term, TimerCursor, TimerEntry, TimerPage, TimerSlice};
use millrace_placement::{PartitionIndex, TimerBucket};
use millrace_runtime::store::{HistoryEntry, ListPage, ListQuery, ListRow, OwnerRow};
use millrace_schemas::{InstanceId, Stamp, TimerId, Timestamp, WorkflowVersion};
use redb::{Database, Range, ReadableDatabase};

use crate::cell::{Cell, Damaged, take_number, take_text};
use crate::error::Trouble;
use crate::layout::{
    ATTRIBUTE, AttributeKey, CHECKPOINT, HISTORY, LISTING, OWNER, SNAPSHOT, TIMER, TimerKey,
};

/// In the order of `instances`. What is damaged is the trouble of one instance, not of all that are asked for.
pub(crate) fn snapshots(
    database: &Database,
    instances: &[InstanceId],
    now: Timestamp,
) -> Result<Vec<Result<Option<SnapshotRow>, Trouble>>, Trouble> {
    let table = database.begin_read()?.open_table(SNAPSHOT)?;
    let mut rows = Vec::with_capacity(instances.len());
    for instance in instances {
        let Some(value) = table.get(instance.as_str())? else {
            rows.push(Ok(None));
            continue;
        };
        let read = || {
            let cell = Cell::open(value.value())?;
            let row = || Ok(SnapshotRow { stamp: cell.stamp, value: cell.body()? });
            cell.is_alive(now).then(row).transpose()
        };
        rows.push(read().map_err(damaged("snapshot", || instance.to_string())));
    }
    Ok(rows)
}

pub(crate) fn checkpoint(
    database: &Database,
    partition: PartitionIndex,
) -> Result<Option<(Stamp, Bytes)>, Trouble> {
    let table = database.begin_read()?.open_table(CHECKPOINT)?;
    let Some(value) = table.get(partition.0)? else { return Ok(None) };
    let read = || {
        let cell = Cell::open(value.value())?;
        Ok(Some((cell.stamp, cell.body()?)))
    };
    read().map_err(damaged("checkpoint", || partition.0.to_string()))
}

pub(crate) fn owner(database: &Database, partition: PartitionIndex) -> Result<Option<OwnerRow>, Trouble> {
    let table = database.begin_read()?.open_table(OWNER)?;
    let Some(value) = table.get(partition.0)? else { return Ok(None) };
    let read = || {
        let cell = Cell::open(value.value())?;
        let mut columns = cell.body()?;
        Ok(Some(OwnerRow {
            stamp: cell.stamp,
            transactional_id: take_text(&mut columns)?,
            api_url: Some(take_text(&mut columns)?).filter(|it| !it.is_empty()),
        }))
    };
    read().map_err(damaged("owner", || partition.0.to_string()))
}

pub(crate) fn timers(
    database: &Database,
    buckets: &[TimerBucket],
    slice: &TimerSlice,
) -> Result<TimerPage, Trouble> {
    let table = database.begin_read()?.open_table(TIMER)?;
    let next = |rows: &mut Range<'_, TimerKey, ()>| -> Result<Option<TimerEntry>, Trouble> {
        let Some(row) = rows.next() else { return Ok(None) };
        let (key, _) = row?;
        let (_, due, instance, timer) = key.value();
        let (due, instance) = (Timestamp(due), instance_id(instance)?);
        Ok(Some(TimerEntry { due, instance, timer: TimerId(timer) }))
    };
    // The first entry of each bucket that is not taken yet.
    let (mut heads, mut rest) = (BinaryHeap::new(), Vec::new());
    for bucket in buckets.iter().filter(|_| slice.from.due() < slice.until) {
        let end = Bound::Excluded((bucket.0, slice.until.0, "", 0));
        let begin = match &slice.from {
            TimerCursor::Before(due) => Bound::Included((bucket.0, due.0, "", 0)),
            TimerCursor::At(next) => Bound::Included(key(*bucket, next)),
            TimerCursor::After(last) => Bound::Excluded(key(*bucket, last)),
        };
        let mut rows = table.range::<(u16, i64, &str, u32)>((begin, end))?;
        if let Some(entry) = next(&mut rows)? {
            heads.push(Reverse((entry, rest.len())));
            rest.push(rows);
        }
    }
    let mut timers = Vec::new();
    while timers.len() < slice.entries_max
        && let Some(Reverse((entry, number))) = heads.pop()
    {
        heads.extend(next(&mut rest[number])?.map(|it| Reverse((it, number))));
        timers.push(entry);
    }
    Ok(slice.page(timers, heads.is_empty()))
}

fn key(bucket: TimerBucket, entry: &TimerEntry) -> (u16, i64, &str, u32) {
    (bucket.0, entry.due.0, entry.instance.as_str(), entry.timer.0)
}

pub(crate) fn history(
    database: &Database,
    instance: &InstanceId,
    after: Option<Stamp>,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<HistoryEntry>, Trouble> {
    let table = database.begin_read()?.open_table(HISTORY)?;
    let id = instance.as_str();
    let Some(from) = after.map_or(Some(i64::MIN), |it| it.0.checked_add(1)) else { return Ok(Vec::new()) };
    let mut entries = Vec::new();
    for row in table.range((id, from)..=(id, i64::MAX))? {
        if entries.len() == limit as usize {
            break;
        }
        let (key, value) = row?;
        let stamp = Stamp(key.value().1);
        let read = || {
            let cell = Cell::open(value.value())?;
            let entry = || Ok(HistoryEntry { stamp, entry: cell.body()? });
            cell.is_alive(now).then(entry).transpose()
        };
        entries.extend(read().map_err(damaged("history", || format!("{instance} at stamp {}", stamp.0)))?);
    }
    Ok(entries)
}

/// From the newest on. Rows that the filter drops, or that have expired, cost their reading.
pub(crate) fn list(database: &Database, query: &ListQuery, now: Timestamp) -> Result<ListPage, Trouble> {
    let mut page = ListPage::default();
    let workflow = query.workflow.to_string();
    let from = (query.from, "");
    let until = match &query.after {
        Some((started_at, instance)) => (query.until, "").min((*started_at, instance.as_str())),
        None => (query.until, ""),
    };
    if from >= until || query.limit == 0 {
        return Ok(page);
    }
    let transaction = database.begin_read()?;
    let table = transaction.open_table(LISTING)?;
    if !query.conditions.is_empty() {
        let index = Index { table: transaction.open_table(ATTRIBUTE)?, workflow: &workflow, now };
        let mut below = (until.0.0, until.1.to_owned());
        let from = (from.0.0, from.1);
        while let Some((started_at, instance)) = index.newest(&query.conditions, from, below)? {
            if let Some(value) = table.get((&*workflow, started_at, &*instance))?
                && !add(&mut page, query, started_at, &instance, value.value(), now)?
            {
                break;
            }
            below = (started_at, instance);
        }
        return Ok(page);
    }
    let slice = (&*workflow, from.0.0, from.1)..(&*workflow, until.0.0, until.1);
    for row in table.range(slice)?.rev() {
        let (key, value) = row?;
        let (_, started_at, instance) = key.value();
        if !add(&mut page, query, started_at, instance, value.value(), now)? {
            break;
        }
    }
    Ok(page)
}

/// Adds a row to the page, if it is one of those that are wanted. False if the page is full.
fn add(
    page: &mut ListPage,
    query: &ListQuery,
    started_at: i64,
    instance: &str,
    value: &[u8],
    now: Timestamp,
) -> Result<bool, Trouble> {
    let found = listing(value, now)
        .map_err(damaged("listing", || format!("{instance} of {}", query.workflow)))?
        .filter(|it| query.status.as_ref().is_none_or(|wanted| *wanted == it.status))
        .filter(|it| it.attributes.have(&query.conditions));
    let Some(Listed { version, status, updated_at, attributes }) = found else { return Ok(true) };
    if page.rows.len() == query.limit as usize {
        page.has_more = true;
        return Ok(false);
    }
    page.rows.push(ListRow {
        instance: instance_id(instance)?,
        workflow: WorkflowVersion { workflow: query.workflow.clone(), version: version.into() },
        started_at: Timestamp(started_at),
        updated_at: Timestamp(updated_at),
        status,
        attributes,
    });
    Ok(true)
}

/// What a row of the list says.
struct Listed {
    version: String,
    status: String,
    updated_at: i64,
    attributes: Attributes,
}

/// None if the row has expired.
fn listing(value: &[u8], now: Timestamp) -> Result<Option<Listed>, Damaged> {
    let cell = Cell::open(value)?;
    if !cell.is_alive(now) {
        return Ok(None);
    }
    let mut columns = cell.body()?;
    let updated_at = take_number(&mut columns)?;
    let (version, status) = (take_text(&mut columns)?, take_text(&mut columns)?);
    // Rows of earlier releases end here.
    let attributes = if columns.is_empty() { String::new() } else { take_text(&mut columns)? };
    Ok(Some(Listed { version, status, updated_at, attributes: Attributes::from_json(&attributes) }))
}

/// The index of attributes, of one workflow.
struct Index<'i> {
    table: redb::ReadOnlyTable<AttributeKey, &'static [u8]>,
    workflow: &'i str,
    now: Timestamp,
}

impl Index<'_> {
    /// The newest place from `from` on and before `below` that all `terms` have. Each step goes to where the next term has one, so that it
    /// costs as much as the rarest of them.
    fn newest(
        &self,
        terms: &[Term],
        from: (i64, &str),
        below: (i64, String),
    ) -> Result<Option<(i64, String)>, Trouble> {
        let (mut end, mut agreed) = (Bound::Excluded(below), 0);
        for term in terms.iter().cycle() {
            let Some(place) = self.last(term, from, &end)? else { return Ok(None) };
            let is_same = matches!(&end, Bound::Included(it) if *it == place);
            agreed = if is_same { agreed + 1 } else { 1 };
            if agreed == terms.len() {
                return Ok(Some(place));
            }
            end = Bound::Included(place);
        }
        Ok(None)
    }

    fn last(
        &self,
        term: &Term,
        from: (i64, &str),
        end: &Bound<(i64, String)>,
    ) -> Result<Option<(i64, String)>, Trouble> {
        let key = |started_at: i64, instance| (self.workflow, term.as_str(), started_at, instance);
        let end = end.as_ref().map(|(started_at, instance)| key(*started_at, instance.as_str()));
        let start = Bound::Included(key(from.0, from.1));
        for row in self.table.range::<(&str, &str, i64, &str)>((start, end))?.rev() {
            let (place, value) = row?;
            let (_, _, started_at, instance) = place.value();
            let is_alive = Cell::open(value.value()).map(|it| it.is_alive(self.now));
            if is_alive.map_err(damaged("attribute", || format!("{term} of {instance}")))? {
                return Ok(Some((started_at, instance.to_owned())));
            }
        }
        Ok(None)
    }
}

fn damaged(table: &'static str, key: impl Fn() -> String) -> impl Fn(Damaged) -> Trouble {
    move |damage| Trouble::Row { table, key: key(), damage }
}

fn instance_id(text: &str) -> Result<InstanceId, Trouble> {
    InstanceId::new(text).map_err(|it| Trouble::File(it.into()))
}
