//! A flush as statements.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use millrace_partition::{FlushRequest, Listing, SnapshotWrite, Term, TimerRow};
use millrace_runtime::store::StoreError;
use millrace_schemas::Timestamp;
use scylla::client::session::Session;
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::CqlTimestamp;
use tokio::sync::Semaphore;

use crate::batch::{Rows, batches, mixed};
use crate::chunks::{self, ChunkedInstances};
use crate::config::ScyllaConfig;
use crate::envelope::{Sealed, Sealer};
use crate::error::Failure;
use crate::history::{self, Packed};
use crate::layout;
use crate::replicas::Replicas;
use crate::statements::Statements;

/// Requests at a time, of all flushes of a process. A server that is busy, or stands still for a second to collect garbage, must have done with
/// what waits before it gives it up (two seconds, by default): what is given up is sent again, and it falls behind for good.
pub(crate) const IN_FLIGHT_MAX: usize = 128;

/// Large snapshots at a time, of one flush.
const LARGE_IN_FLIGHT_MAX: usize = 4;

/// Longer times to live are none: servers refuse them (20 years, or beyond what their 32-bit clock holds).
const TTL_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

// Values in the order of the statement's markers.
type SnapshotValues<'a> = (&'a str, Bytes, i64, i32);
type TimerValues<'a> = (i16, i32, CqlTimestamp, &'a str, i64, i32);
type HistoryValues<'a> = (&'a str, i64, i64, Bytes, i32);
type ListingValues<'a> =
    (String, i32, i8, CqlTimestamp, &'a str, &'a str, &'a str, CqlTimestamp, String, i64, i32);
type AttributeValues<'a> = (String, String, i32, CqlTimestamp, &'a str, i64, i32);
type ListingDayValues = (String, i32);

/// One request: rows of one table that share a CQL partition, or their replicas.
enum Request<'a> {
    Snapshots(Vec<SnapshotValues<'a>>),
    Timers(Vec<TimerValues<'a>>),
    History(Vec<HistoryValues<'a>>),
    Listings(Vec<ListingValues<'a>>),
    ListingDays(Vec<ListingDayValues>),
    Attributes(Vec<AttributeValues<'a>>),
}

/// A snapshot with chunks, or that replaces one with chunks: several requests, in their order.
struct Chunked<'a> {
    write: &'a SnapshotWrite,
    /// The value of the row.
    value: Bytes,
    /// What to write before the row.
    chunks: Option<(u32, Bytes)>,
}

/// Writes flushes.
#[derive(Clone, Copy)]
pub(crate) struct Writer<'a> {
    pub(crate) session: &'a Session,
    pub(crate) statements: &'a Statements,
    pub(crate) config: &'a ScyllaConfig,
    pub(crate) chunked: &'a ChunkedInstances,
    /// Of [`IN_FLIGHT_MAX`], shared by all flushes.
    pub(crate) turns: &'a Semaphore,
}

impl Writer<'_> {
    /// Writes everything, in any order: the partition counts nothing as durable before the whole flush is. But what instances are found
    /// by no more ends first: once their snapshots are written, nobody knows of it.
    /// `new_days` are days of workflows that the list may not know yet.
    pub(crate) async fn flush(
        self,
        request: &FlushRequest,
        new_days: Vec<(String, i32)>,
    ) -> Result<(), StoreError> {
        let (rows, chunked) = self.seal(&request.snapshots).await;
        let retired = batches(request.snapshots.iter().flat_map(retired));
        let retired = self.mixed(retired, &self.statements.insert_attribute, Request::Attributes);
        at_most(IN_FLIGHT_MAX, retired.into_iter().map(|it| self.send(it)).collect()).await?;
        let requests = self.requests(request, rows, new_days);
        at_most(IN_FLIGHT_MAX, requests.into_iter().map(|it| self.send(it)).collect()).await?;
        let large = chunked.into_iter().map(|it| self.send_chunked(it)).collect();
        at_most(LARGE_IN_FLIGHT_MAX, large).await
    }

    /// Snapshots as values of rows; apart, those that have to do with chunks.
    async fn seal<'a>(
        &self,
        writes: &'a [SnapshotWrite],
    ) -> (Vec<(&'a SnapshotWrite, Bytes)>, Vec<Chunked<'a>>) {
        let snapshots: Vec<(Bytes, bool)> =
            writes.iter().map(|it| (it.value.clone(), self.chunked.contains(&it.instance))).collect();
        // Compressing megabytes is not for where other futures wait.
        let sealing = tokio::task::spawn_blocking(move || {
            let mut sealer = Sealer::new();
            let sealed = snapshots
                .into_iter()
                .map(|(snapshot, has_leftovers)| (sealer.seal(&snapshot, has_leftovers), has_leftovers));
            sealed.collect::<Vec<_>>()
        });
        let sealed = sealing.await.expect("sealing a snapshot does not panic");
        let (mut rows, mut chunked) = (Vec::new(), Vec::new());
        for (write, (sealed, has_leftovers)) in writes.iter().zip(sealed) {
            match sealed {
                Sealed::Row(value) if has_leftovers => chunked.push(Chunked { write, value, chunks: None }),
                Sealed::Row(value) => rows.push((write, value)),
                Sealed::Chunked { manifest, crc, body } => {
                    chunked.push(Chunked { write, value: manifest, chunks: Some((crc, body)) });
                }
            }
        }
        (rows, chunked)
    }

    async fn send(self, request: Request<'_>) -> Result<(), StoreError> {
        let (session, statements) = (self.session, self.statements);
        let _turn = self.turns.acquire().await.expect("nobody closes it");
        match request {
            Request::Snapshots(rows) => {
                insert(session, &statements.insert_snapshot, &rows, "write snapshots").await
            }
            Request::Timers(rows) => {
                insert(session, &statements.insert_timer, &rows, "write the timer index").await
            }
            Request::History(rows) => {
                insert(session, &statements.insert_history, &rows, "write history").await
            }
            Request::Listings(rows) => {
                insert(session, &statements.insert_listing, &rows, "write the list of instances").await
            }
            Request::ListingDays(rows) => {
                insert(session, &statements.insert_listing_day, &rows, "write the days of the list").await
            }
            Request::Attributes(rows) => {
                insert(session, &statements.insert_attribute, &rows, "write the index of attributes").await
            }
        }
    }

    async fn send_chunked(self, snapshot: Chunked<'_>) -> Result<(), StoreError> {
        let Chunked { write, value, chunks } = snapshot;
        // One for all of its requests, a few of which go at a time.
        let _turn = self.turns.acquire().await.expect("nobody closes it");
        if let Some((crc, body)) = chunks {
            // Before the first chunk may be there, so that whatever follows a failure removes it.
            self.chunked.remember(&write.instance, write.stamp);
            chunks::insert(self.session, self.statements, write, crc, &body).await?;
        }
        let (_, _, row) = snapshot_row(write, value);
        insert(self.session, &self.statements.insert_snapshot, &[row], "write a large snapshot").await?;
        chunks::remove_older(self.session, self.statements, self.chunked, write).await
    }

    fn requests<'b>(
        &self,
        request: &'b FlushRequest,
        snapshots: Vec<(&'b SnapshotWrite, Bytes)>,
        new_days: Vec<(String, i32)>,
    ) -> Vec<Request<'b>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_millis() as i64);
        let timers = request.timers.iter().map(|it| timer(it, Timestamp(now), self.config.timer_grace));
        let history = history::pack(&request.history).into_iter().map(history_row);
        let days = new_days.into_iter().map(|it| (it.0.clone(), it.0.len(), it));
        let snapshots = snapshots.into_iter().map(|(write, value)| snapshot_row(write, value));
        let listings = request.snapshots.iter().filter_map(listing);
        let attributes = request.snapshots.iter().flat_map(attributes);
        let Statements {
            insert_timer,
            insert_history,
            insert_listing_day,
            insert_snapshot,
            insert_listing,
            insert_attribute,
            ..
        } = self.statements;
        let mut requests = self.mixed(batches(timers), insert_timer, Request::Timers);
        requests.extend(self.mixed(batches(history), insert_history, Request::History));
        requests.extend(self.mixed(batches(days), insert_listing_day, Request::ListingDays));
        requests.extend(self.mixed(batches(snapshots), insert_snapshot, Request::Snapshots));
        requests.extend(self.mixed(batches(listings), insert_listing, Request::Listings));
        requests.extend(self.mixed(batches(attributes), insert_attribute, Request::Attributes));
        requests
    }

    /// What has the same replicas goes together: the driver sends a batch to one of those of its first row, which then has all of it.
    fn mixed<'b, R: SerializeRow>(
        &self,
        batches: impl Iterator<Item = Rows<R>>,
        statement: &PreparedStatement,
        request: impl Fn(Vec<R>) -> Request<'b>,
    ) -> Vec<Request<'b>> {
        let cluster = self.session.get_cluster_state();
        let replicas_of = |row: &R| Replicas::of(&cluster, statement, row).map(|it| it.hosts());
        mixed(batches, replicas_of).into_iter().map(|it| request(it.rows)).collect()
    }
}

/// Runs them all, so many at a time; the first error ends it.
pub(crate) async fn at_most<F>(max: usize, requests: Vec<F>) -> Result<(), StoreError>
where
    F: Future<Output = Result<(), StoreError>>,
{
    let mut requests = requests.into_iter();
    let mut in_flight = FuturesUnordered::new();
    loop {
        in_flight.extend(requests.by_ref().take(max - in_flight.len()));
        match in_flight.next().await {
            Some(result) => result?,
            None => return Ok(()),
        }
    }
}

/// One row on its own, several as an unlogged batch. With one CQL partition that is one mutation, which servers take whole, and their
/// limits on batches (which are about many partitions) do not apply; what is mixed stays below them. Nothing depends on a batch being
/// written whole: a flush counts once all of it is.
async fn insert<R: SerializeRow>(
    session: &Session,
    statement: &PreparedStatement,
    rows: &[R],
    doing: &'static str,
) -> Result<(), StoreError> {
    let result = if let [row] = rows {
        session.execute_unpaged(statement, row).await
    } else {
        let mut batch =
            Batch::new_with_statements(BatchType::Unlogged, vec![statement.clone().into(); rows.len()]);
        batch.set_is_idempotent(true);
        session.batch(&batch, rows).await
    };
    result.map(|_| ()).map_err(|it| it.while_doing(doing))
}

fn snapshot_row(write: &SnapshotWrite, value: Bytes) -> (&str, usize, SnapshotValues<'_>) {
    let id = write.instance.as_str();
    (id, id.len() + value.len(), (id, value, write.stamp.0, ttl(write.ttl)))
}

fn timer(row: &TimerRow, now: Timestamp, grace: Duration) -> ((i16, i32), usize, TimerValues<'_>) {
    let bucket = row.bucket.0.cast_signed();
    let hour = layout::hour(row.due);
    let until_due = Duration::from_millis(row.due.0.saturating_sub(now.0).max(0).unsigned_abs());
    let ttl = ttl(Some(until_due.saturating_add(grace)));
    let id = row.instance.as_str();
    ((bucket, hour), id.len(), (bucket, hour, CqlTimestamp(row.due.0), id, i64::from(row.timer.0), ttl))
}

fn history_row(row: Packed<'_>) -> (&str, usize, HistoryValues<'_>) {
    let id = row.instance.as_str();
    let bytes = id.len() + row.entries.len();
    (id, bytes, (id, row.first.0, row.last.0, row.entries, ttl(row.ttl)))
}

fn listing(write: &SnapshotWrite) -> Option<((String, i32, i8), usize, ListingValues<'_>)> {
    let listing = write.listing.as_ref()?;
    let workflow = listing.workflow.workflow.to_string();
    let (day, shard) = (layout::day(listing.started_at), layout::list_shard(&write.instance));
    let id = write.instance.as_str();
    let values = (
        workflow.clone(),
        day,
        shard,
        CqlTimestamp(listing.started_at.0),
        id,
        &*listing.workflow.version,
        listing.status,
        CqlTimestamp(listing.updated_at.0),
        listing.attributes.to_json(),
        write.stamp.0,
        ttl(listing.ttl),
    );
    let bytes = values.0.len() + id.len() + values.5.len() + values.6.len() + values.8.len();
    Some(((workflow, day, shard), bytes, values))
}

/// Rows of the index, and the CQL partition of each.
type AttributeRow<'a> = ((String, String, i32), usize, AttributeValues<'a>);

/// What an instance is found by, for as long as it is listed.
fn attributes(write: &SnapshotWrite) -> Vec<AttributeRow<'_>> {
    let Some(listing) = &write.listing else { return Vec::new() };
    let row = |term| attribute(write, listing, term, ttl(listing.ttl));
    listing.attributes.terms().iter().map(row).collect()
}

/// What it is found by no more: a row that ends at once, and that no older one can replace.
fn retired(write: &SnapshotWrite) -> Vec<AttributeRow<'_>> {
    const AT_ONCE: i32 = 1;
    let Some(listing) = &write.listing else { return Vec::new() };
    listing.retired.iter().map(|term| attribute(write, listing, term, AT_ONCE)).collect()
}

fn attribute<'a>(write: &'a SnapshotWrite, listing: &Listing, term: &Term, ttl: i32) -> AttributeRow<'a> {
    let (workflow, term) = (listing.workflow.workflow.to_string(), term.to_string());
    let (day, id) = (layout::day(listing.started_at), write.instance.as_str());
    let bytes = workflow.len() + term.len() + id.len();
    let started_at = CqlTimestamp(listing.started_at.0);
    let values = (workflow.clone(), term.clone(), day, started_at, id, write.stamp.0, ttl);
    ((workflow, term, day), bytes, values)
}

/// In whole seconds, at least one; 0 for none.
pub(crate) fn ttl(ttl: Option<Duration>) -> i32 {
    match ttl {
        Some(ttl) if ttl < TTL_MAX => {
            i32::try_from(ttl.as_secs().max(1)).expect("ten years are less than 68")
        }
        Some(_) | None => 0,
    }
}

#[cfg(test)]
mod tests {
    use millrace_placement::TimerBucket;
    use millrace_schemas::{InstanceId, TimerId};

    use super::*;

    #[test]
    fn timers_outlive_their_due_time() {
        const DAY: u64 = 86_400;
        let now = Timestamp(1_700_000_000_000);
        let ttl = |due: Timestamp| {
            let row = TimerRow {
                bucket: TimerBucket(255),
                due,
                instance: InstanceId::new("a").unwrap(),
                timer: TimerId(1),
            };
            timer(&row, now, Duration::from_secs(2 * DAY)).2.5
        };
        assert_eq!(ttl(now), 2 * DAY as i32);
        assert_eq!(ttl(now.plus(Duration::from_millis(1_500))), 2 * DAY as i32 + 1);
        assert_eq!(ttl(Timestamp(0)), 2 * DAY as i32, "what was due long ago still waits to be fired");
        assert_eq!(
            ttl(now.plus(Duration::from_secs(30 * 366 * DAY))),
            0,
            "longer than servers take: for ever"
        );
        assert_eq!(ttl(Timestamp(i64::MAX)), 0);
        assert_eq!(ttl(Timestamp(i64::MIN)), 2 * DAY as i32);
    }

    #[test]
    fn a_time_to_live_is_never_rounded_to_none() {
        assert_eq!(super::ttl(Some(Duration::from_millis(10))), 1);
        assert_eq!(super::ttl(None), 0);
    }
}
