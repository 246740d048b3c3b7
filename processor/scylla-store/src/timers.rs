//! The timer index: read in the order of its entries over many CQL partitions, and dropped by the hour.

use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, TryStreamExt};
use millrace_partition::{TimerCursor, TimerEntry, TimerPage, TimerSlice};
use millrace_placement::TimerBucket;
use millrace_runtime::store::StoreError;
use millrace_schemas::{TimerId, Timestamp};
use scylla::client::session::Session;
use scylla::value::CqlTimestamp;

use crate::error::{Failure, UnexpectedRow};
use crate::layout;
use crate::statements::Statements;
use crate::store::{instance_id, rows};
use crate::write::at_most;

/// CQL partitions that are read, or dropped, at a time.
const IN_FLIGHT_MAX: usize = 64;

/// A page may cost so many times the rows that it holds.
const WASTE_MAX: usize = 4;

/// What sorts before each timer of an instance, and, with no instance, before all that is due at a time.
const NO_TIMER: i64 = -1;

const DOING: &str = "read the timer index";

/// A page. From each bucket a bit more than its share is read. Where a bucket may hold more than that, the page ends: beyond, an entry of
/// it might be missing.
pub(crate) async fn load(
    session: &Session,
    statements: &Statements,
    buckets: &[TimerBucket],
    slice: &TimerSlice,
) -> Result<TimerPage, StoreError> {
    let mut timers = Vec::new();
    if buckets.is_empty() || slice.from.due() >= slice.until {
        return Ok(slice.page(timers, true));
    }
    let share = share(slice.entries_max, buckets.len());
    let last_hour = layout::hour(Timestamp(slice.until.0 - 1));
    // A time may have been without timers, or without anybody to fire them: several hours at once.
    let hours = (WASTE_MAX * slice.entries_max / (share * buckets.len())).max(1);
    let mut hour = layout::hour(slice.from.due());
    loop {
        let last = hour.saturating_add(i32::try_from(hours - 1).unwrap_or(i32::MAX)).min(last_hour);
        let mut lanes = Vec::new();
        for hour in hour..=last {
            lanes.extend(buckets.iter().map(|bucket| (*bucket, hour)));
        }
        let mut lanes = lanes.into_iter();
        let mut reads = FuturesUnordered::new();
        let mut end: Option<TimerEntry> = None;
        loop {
            let free = IN_FLIGHT_MAX - reads.len();
            for (bucket, hour) in lanes.by_ref().take(free) {
                reads.push(one(session, statements, bucket, hour, slice, share));
            }
            let Some(lane) = reads.next().await else { break };
            let lane = lane?;
            if lane.len() >= share {
                let last = lane.last().cloned();
                end = [end, last].into_iter().flatten().min();
            }
            timers.extend(lane);
        }
        timers.sort_unstable();
        if let Some(end) = end {
            timers.truncate(timers.partition_point(|it| *it <= end));
            return Ok(slice.page(timers, false));
        }
        if last >= last_hour || timers.len() >= slice.entries_max {
            return Ok(slice.page(timers, last >= last_hour));
        }
        hour = last + 1;
    }
}

/// What to read of one bucket, so that a page of entries that are spread evenly over the buckets is mostly full.
fn share(entries_max: usize, buckets: usize) -> usize {
    let even = entries_max.div_ceil(buckets);
    even + even / 2 + 8
}

async fn one(
    session: &Session,
    statements: &Statements,
    bucket: TimerBucket,
    hour: i32,
    slice: &TimerSlice,
    limit: usize,
) -> Result<Vec<TimerEntry>, StoreError> {
    let (due, instance, timer) = match &slice.from {
        TimerCursor::Before(due) => (*due, "", NO_TIMER),
        TimerCursor::At(next) => (next.due, next.instance.as_str(), i64::from(next.timer.0) - 1),
        TimerCursor::After(last) => (last.due, last.instance.as_str(), i64::from(last.timer.0)),
    };
    let values = (
        bucket.0.cast_signed(),
        hour,
        CqlTimestamp(due.0),
        instance,
        timer,
        CqlTimestamp(slice.until.0),
        "",
        NO_TIMER,
        i32::try_from(limit).unwrap_or(i32::MAX),
    );
    let rows = rows::<(CqlTimestamp, String, i64)>(session, &statements.select_timers, values, DOING).await?;
    rows.map_err(|it| it.while_doing(DOING))
        .and_then(async |(due, instance, timer)| {
            let timer = u32::try_from(timer)
                .map_err(|_| UnexpectedRow { what: format!("timer {timer}") }.while_doing(DOING))?;
            let (due, instance) = (Timestamp(due.0), instance_id(&instance, DOING)?);
            Ok(TimerEntry { due, instance, timer: TimerId(timer) })
        })
        .try_collect()
        .await
}

/// Whole partitions. With the end of the hour as the time of the deletion, what was written later stays, however late the deletion comes.
pub(crate) async fn drop_hours(
    session: &Session,
    statements: &Statements,
    buckets: &[TimerBucket],
    from: Timestamp,
    until: Timestamp,
) -> Result<(), StoreError> {
    if from >= until {
        return Ok(());
    }
    let mut drops = Vec::new();
    for hour in layout::hour(from)..layout::hour(until) {
        drops.extend(buckets.iter().map(|bucket| drop_hour(session, statements, *bucket, hour)));
    }
    at_most(IN_FLIGHT_MAX, drops).await
}

async fn drop_hour(
    session: &Session,
    statements: &Statements,
    bucket: TimerBucket,
    hour: i32,
) -> Result<(), StoreError> {
    let values = (layout::end_of_hour_us(hour), bucket.0.cast_signed(), hour);
    let result = session.execute_unpaged(&statements.delete_timers, values).await;
    result.map(|_| ()).map_err(|it| it.while_doing("drop old timers"))
}
