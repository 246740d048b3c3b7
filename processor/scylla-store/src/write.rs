//! A flush as statements.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use millrace_partition::{FlushRequest, HistoryRow, SnapshotWrite, TimerRow};
use millrace_runtime::store::StoreError;
use millrace_schemas::Timestamp;
use scylla::client::session::Session;
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::CqlTimestamp;

use crate::batch::batches;
use crate::config::ScyllaConfig;
use crate::error::Failure;
use crate::layout;
use crate::statements::Statements;

/// Requests at a time, of one flush.
const IN_FLIGHT_MAX: usize = 128;

/// Longer times to live are none: servers refuse them (20 years, or beyond what their 32-bit clock holds).
const TTL_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

// Values in the order of the statement's markers.
type SnapshotValues<'a> = (i16, i8, &'a str, &'a Bytes, i64, i32);
type TimerValues<'a> = (i16, i32, CqlTimestamp, &'a str, i64, i32);
type HistoryValues<'a> = (&'a str, i64, &'a Bytes, i32);
type ListingValues<'a> = (String, i32, i8, CqlTimestamp, &'a str, &'a str, &'a str, CqlTimestamp, i64, i32);
type ListingDayValues = (String, i32);

/// One request: rows of one table that share a CQL partition.
enum Request<'a> {
    Snapshots(Vec<SnapshotValues<'a>>),
    Timers(Vec<TimerValues<'a>>),
    History(Vec<HistoryValues<'a>>),
    Listings(Vec<ListingValues<'a>>),
    ListingDays(Vec<ListingDayValues>),
}

/// Writes everything, in any order: the partition counts nothing as durable before the whole flush is.
/// `new_days` are days of workflows that the list may not know yet.
pub(crate) async fn flush(
    session: &Session,
    statements: &Statements,
    config: &ScyllaConfig,
    request: &FlushRequest,
    new_days: Vec<(String, i32)>,
) -> Result<(), StoreError> {
    let mut requests = requests(config, request, new_days).into_iter();
    let mut in_flight = FuturesUnordered::new();
    loop {
        in_flight.extend(
            requests.by_ref().take(IN_FLIGHT_MAX - in_flight.len()).map(|it| send(session, statements, it)),
        );
        match in_flight.next().await {
            Some(result) => result?,
            None => return Ok(()),
        }
    }
}

fn requests<'a>(
    config: &ScyllaConfig,
    request: &'a FlushRequest,
    new_days: Vec<(String, i32)>,
) -> Vec<Request<'a>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_millis() as i64);
    let timers = request.timers.iter().map(|it| timer(it, Timestamp(now), config.timer_grace));
    let history = request.history.iter().map(history);
    let days = new_days.into_iter().map(|it| (it.0.clone(), it.0.len(), it));
    let snapshots = request.snapshots.iter().map(snapshot);
    let listings = request.snapshots.iter().filter_map(listing);
    batches(timers)
        .map(Request::Timers)
        .chain(batches(history).map(Request::History))
        .chain(batches(days).map(Request::ListingDays))
        .chain(batches(snapshots).map(Request::Snapshots))
        .chain(batches(listings).map(Request::Listings))
        .collect()
}

async fn send(session: &Session, statements: &Statements, request: Request<'_>) -> Result<(), StoreError> {
    match request {
        Request::Snapshots(rows) => {
            insert(session, &statements.insert_snapshot, &rows, "write snapshots").await
        }
        Request::Timers(rows) => {
            insert(session, &statements.insert_timer, &rows, "write the timer index").await
        }
        Request::History(rows) => insert(session, &statements.insert_history, &rows, "write history").await,
        Request::Listings(rows) => {
            insert(session, &statements.insert_listing, &rows, "write the list of instances").await
        }
        Request::ListingDays(rows) => {
            insert(session, &statements.insert_listing_day, &rows, "write the days of the list").await
        }
    }
}

/// One row on its own, several as an unlogged batch: with one CQL partition that is one mutation, so servers take it whole, and their
/// limits on batches (which are about many partitions) do not apply.
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

fn snapshot(write: &SnapshotWrite) -> ((i16, i8), usize, SnapshotValues<'_>) {
    let (kg, b) = layout::snapshot(&write.instance);
    let id = write.instance.as_str();
    ((kg, b), id.len() + write.value.len(), (kg, b, id, &write.value, write.stamp.0, ttl(write.ttl)))
}

fn timer(row: &TimerRow, now: Timestamp, grace: Duration) -> ((i16, i32), usize, TimerValues<'_>) {
    let bucket = row.bucket.0.cast_signed();
    let hour = layout::hour(row.due);
    let until_due = Duration::from_millis(row.due.0.saturating_sub(now.0).max(0).unsigned_abs());
    let ttl = ttl(Some(until_due.saturating_add(grace)));
    let id = row.instance.as_str();
    ((bucket, hour), id.len(), (bucket, hour, CqlTimestamp(row.due.0), id, i64::from(row.timer.0), ttl))
}

fn history(row: &HistoryRow) -> (&str, usize, HistoryValues<'_>) {
    let id = row.instance.as_str();
    (id, id.len() + row.entry.len(), (id, row.stamp.0, &row.entry, ttl(row.ttl)))
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
        write.stamp.0,
        ttl(listing.ttl),
    );
    Some(((workflow, day, shard), values.0.len() + id.len() + values.5.len() + values.6.len(), values))
}

/// In whole seconds, at least one; 0 for none.
fn ttl(ttl: Option<Duration>) -> i32 {
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
