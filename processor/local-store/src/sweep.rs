//! Rows that have expired are invisible at once; here they are removed, some with each flush, so that no flush waits long for it.
//!
//! What has a stamp stays for [`GRACE`] after its end: a late and older write must find it, or the instance would come back. (A CQL
//! server keeps the tombstone, for as long.) Each row that ends has an entry in a table of ends. It says only when to look: if the row
//! has been replaced since, and ends at another time or never, the entry goes and the row stays.
//!
//! The timer index needs no such table, since its order is that of the due times. Whoever owns a partition says when all timers of an
//! hour have been handled. What nobody speaks of stays until it is surely loaded and fired, as it does on a CQL server: for
//! [`TIMER_GRACE`], and for [`TIMER_LOADING`] after the store was opened, however long it was closed before.
//!
//! The file keeps its size; freed pages are used again.

use std::time::Duration;

use millrace_placement::{TIMER_BUCKETS, TimerBucket};
use millrace_schemas::Timestamp;
use redb::{AccessGuard, Database, ReadableTable, WriteTransaction};

use crate::cell::{Cell, NEVER};
use crate::error::Trouble;
use crate::layout::{
    ATTRIBUTE, EXPIRY_OF_ATTRIBUTE, EXPIRY_OF_HISTORY, EXPIRY_OF_LISTING, EXPIRY_OF_SNAPSHOT, HISTORY,
    LATE_TIMER, LISTING, SNAPSHOT, TIMER,
};

/// For writers that are late.
const GRACE: Duration = Duration::from_secs(86_400);

/// For timers that are due and were not fired.
const TIMER_GRACE: Duration = Duration::from_secs(30 * 86_400);

/// In which every partition has long been restored.
const TIMER_LOADING: Duration = Duration::from_secs(3_600);

/// Rows of each table that one flush removes, the least.
const ROWS_MIN: usize = 500;

/// Rows of the timer index that one transaction removes.
const DROPPED_MAX: usize = 10_000;

/// Buckets of the timer index that one flush looks at: a divisor of all.
const BUCKETS: u16 = 16;

/// What one flush sweeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sweep {
    /// Of each table, at most.
    pub(crate) rows_max: usize,
    /// Flushes so far: each looks at other buckets.
    pub(crate) turn: u64,
    /// How long the store has been open.
    pub(crate) has_run: Duration,
}

impl Sweep {
    /// Sweeps no slower than `rows` are written.
    pub(crate) fn of_flush(rows: usize, turn: u64, has_run: Duration) -> Self {
        Self { rows_max: rows.max(ROWS_MIN), turn, has_run }
    }
}

/// When a row of the history may be removed, if ever.
pub(crate) fn history_removable_at(expires_at: Timestamp) -> Option<Timestamp> {
    (expires_at != NEVER).then_some(expires_at)
}

/// When a row that writers compare stamps with may be removed, if ever.
pub(crate) fn stamped_removable_at(expires_at: Timestamp) -> Option<Timestamp> {
    Some(expires_at.plus(GRACE)).filter(|it| *it != NEVER)
}

/// Removes what may be removed, up to the measure of `sweep`.
pub(crate) fn remove_expired(
    transaction: &WriteTransaction,
    now: Timestamp,
    sweep: Sweep,
) -> Result<(), Trouble> {
    snapshots(transaction, now, sweep.rows_max)?;
    listings(transaction, now, sweep.rows_max)?;
    attributes(transaction, now, sweep.rows_max)?;
    history(transaction, now, sweep.rows_max)?;
    if sweep.has_run >= TIMER_LOADING {
        timers(transaction, now, sweep)?;
    }
    Ok(())
}

fn snapshots(transaction: &WriteTransaction, now: Timestamp, rows_max: usize) -> Result<(), Trouble> {
    let (mut ends, mut rows) =
        (transaction.open_table(EXPIRY_OF_SNAPSHOT)?, transaction.open_table(SNAPSHOT)?);
    for end in ends.extract_from_if(..(after(now), ""), |_, ()| true)?.take(rows_max) {
        let (end, _) = end?;
        let (at, id) = end.value();
        if ends_at(rows.get(id)?, at, stamped_removable_at) {
            rows.remove(id)?;
        }
    }
    Ok(())
}

fn listings(transaction: &WriteTransaction, now: Timestamp, rows_max: usize) -> Result<(), Trouble> {
    let (mut ends, mut rows) = (transaction.open_table(EXPIRY_OF_LISTING)?, transaction.open_table(LISTING)?);
    for end in ends.extract_from_if(..(after(now), "", 0, ""), |_, ()| true)?.take(rows_max) {
        let (end, _) = end?;
        let (at, workflow, started_at, id) = end.value();
        if ends_at(rows.get((workflow, started_at, id))?, at, stamped_removable_at) {
            rows.remove((workflow, started_at, id))?;
        }
    }
    Ok(())
}

fn attributes(transaction: &WriteTransaction, now: Timestamp, rows_max: usize) -> Result<(), Trouble> {
    let (mut ends, mut rows) =
        (transaction.open_table(EXPIRY_OF_ATTRIBUTE)?, transaction.open_table(ATTRIBUTE)?);
    for end in ends.extract_from_if(..(after(now), "", "", 0, ""), |_, ()| true)?.take(rows_max) {
        let (end, _) = end?;
        let (at, workflow, term, started_at, id) = end.value();
        if ends_at(rows.get((workflow, term, started_at, id))?, at, stamped_removable_at) {
            rows.remove((workflow, term, started_at, id))?;
        }
    }
    Ok(())
}

fn history(transaction: &WriteTransaction, now: Timestamp, rows_max: usize) -> Result<(), Trouble> {
    let (mut ends, mut rows) = (transaction.open_table(EXPIRY_OF_HISTORY)?, transaction.open_table(HISTORY)?);
    for end in ends.extract_from_if(..(after(now), "", 0), |_, ()| true)?.take(rows_max) {
        let (end, _) = end?;
        let (at, id, stamp) = end.value();
        if ends_at(rows.get((id, stamp))?, at, history_removable_at) {
            rows.remove((id, stamp))?;
        }
    }
    Ok(())
}

fn timers(transaction: &WriteTransaction, now: Timestamp, sweep: Sweep) -> Result<(), Trouble> {
    let mut rows = transaction.open_table(TIMER)?;
    let mut late = transaction.open_table(LATE_TIMER)?;
    let due_max = now.0.saturating_sub(Timestamp(0).plus(TIMER_GRACE).0);
    let first = (sweep.turn % u64::from(TIMER_BUCKETS / BUCKETS)) as u16 * BUCKETS;
    let mut left = sweep.rows_max;
    for bucket in (0..BUCKETS).map(|it| first + it) {
        let slice = (bucket, i64::MIN, "", 0)..(bucket, due_max, "", 0);
        for row in rows.extract_from_if(slice, |_, ()| true)?.take(left) {
            late.remove(row?.0.value())?;
            left -= 1;
        }
    }
    Ok(())
}

/// Removes what is due in whole hours whose timers have all been handled. A late one may have been written after that was decided, and
/// not be handled yet: it stays until it is swept.
///
/// So many rows in a transaction, for flushes wait meanwhile.
pub(crate) fn drop_timers(
    database: &Database,
    buckets: &[TimerBucket],
    from: Timestamp,
    until: Timestamp,
) -> Result<(), Trouble> {
    let mut buckets = buckets.iter();
    let mut bucket = buckets.next();
    while bucket.is_some() {
        let transaction = database.begin_write()?;
        let mut left = DROPPED_MAX;
        {
            let (mut rows, late) = (transaction.open_table(TIMER)?, transaction.open_table(LATE_TIMER)?);
            while let (Some(TimerBucket(number)), 1..) = (bucket, left) {
                let slice = (*number, from.0, "", 0)..(*number, until.0, "", 0);
                let mut trouble = None;
                let mut dropped = 0;
                let in_time = rows.extract_from_if(slice, |key, ()| match late.get(key) {
                    Ok(it) => it.is_none(),
                    Err(error) => {
                        trouble.get_or_insert(error);
                        false
                    }
                })?;
                for row in in_time.take(left) {
                    row?;
                    dropped += 1;
                }
                if let Some(error) = trouble {
                    return Err(error.into());
                }
                left -= dropped;
                if left > 0 {
                    bucket = buckets.next();
                }
            }
        }
        transaction.commit()?;
    }
    Ok(())
}

/// The beginning of an hour.
pub(crate) fn hour(at: Timestamp) -> Timestamp {
    const HOUR_MS: i64 = 3_600_000;
    Timestamp(at.0.div_euclid(HOUR_MS) * HOUR_MS)
}

/// The first time that has not come.
fn after(now: Timestamp) -> i64 {
    now.0.saturating_add(1)
}

/// Whether the row is still the one that was to be removed at `at`.
fn ends_at(
    row: Option<AccessGuard<'_, &'static [u8]>>,
    at: i64,
    removable_at: fn(Timestamp) -> Option<Timestamp>,
) -> bool {
    row.is_some_and(|it| {
        Cell::open(it.value()).is_ok_and(|it| removable_at(it.expires_at) == Some(Timestamp(at)))
    })
}
