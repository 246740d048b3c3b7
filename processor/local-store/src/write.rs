//! What is written, and which of two writes of a row stays. Every call is one transaction, durable when it returns.

use bytes::Bytes;
use millrace_partition::{FlushRequest, HistoryRow, SnapshotWrite, TimerRow};
use millrace_placement::PartitionIndex;
use millrace_runtime::store::OwnerRow;
use millrace_schemas::{Stamp, Timestamp};
use redb::{AccessGuard, Database, ReadableTable, Table, WriteTransaction};

use crate::cell::{Cell, Columns, NEVER, Sealer};
use crate::error::Trouble;
use crate::layout::{
    ATTRIBUTE, AttributeKey, CHECKPOINT, EXPIRY_OF_ATTRIBUTE, EXPIRY_OF_HISTORY, EXPIRY_OF_LISTING,
    EXPIRY_OF_SNAPSHOT, HISTORY, HistoryKey, LATE_TIMER, LISTING, ListingKey, OWNER, SNAPSHOT, TIMER,
    TimerKey,
};
use crate::sweep::{self, Sweep};

/// Writes a flush, and removes some of what has expired.
pub(crate) fn flush(
    database: &Database,
    request: &FlushRequest,
    now: Timestamp,
    sweep: Sweep,
) -> Result<(), Trouble> {
    if request.is_empty() {
        return Ok(());
    }
    let transaction = database.begin_write()?;
    {
        let mut writer = Writer::open(&transaction, now)?;
        for row in &request.timers {
            writer.timer(row)?;
        }
        for row in &request.history {
            writer.history(row)?;
        }
        for write in &request.snapshots {
            writer.snapshot(write)?;
            writer.listing(write)?;
            writer.attributes(write)?;
        }
    }
    sweep::remove_expired(&transaction, now, sweep)?;
    Ok(transaction.commit()?)
}

/// Writes a checkpoint, unless a newer one is there. Of equal stamps the greater bytes stay, as on a CQL server.
pub(crate) fn checkpoint(
    database: &Database,
    partition: PartitionIndex,
    stamp: Stamp,
    value: &Bytes,
) -> Result<(), Trouble> {
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(CHECKPOINT)?;
        let is_kept = table.get(partition.0)?.is_some_and(|old| {
            Cell::open(old.value()).is_ok_and(|old| {
                old.stamp > stamp || old.stamp == stamp && old.body().is_ok_and(|it| it >= value)
            })
        });
        if is_kept {
            return Ok(());
        }
        table.insert(partition.0, &*Sealer::new().seal(stamp, NEVER, value))?;
    }
    Ok(transaction.commit()?)
}

/// Writes who owns a partition, unless a later owner is there.
pub(crate) fn owner(database: &Database, partition: PartitionIndex, owner: &OwnerRow) -> Result<(), Trouble> {
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(OWNER)?;
        if is_newer(table.get(partition.0)?, owner.stamp) {
            return Ok(());
        }
        let url = owner.api_url.as_deref().unwrap_or_default();
        let columns = Columns::default().text(&owner.transactional_id).text(url);
        table.insert(partition.0, &*Sealer::new().seal(owner.stamp, NEVER, columns.bytes()))?;
    }
    Ok(transaction.commit()?)
}

/// Whether a row is there that a write at `stamp` must not replace. A damaged one never is: writing it again mends it.
fn is_newer(row: Option<AccessGuard<'_, &'static [u8]>>, stamp: Stamp) -> bool {
    row.is_some_and(|it| Cell::open(it.value()).is_ok_and(|it| it.stamp > stamp))
}

/// The tables of a flush.
struct Writer<'t> {
    now: Timestamp,
    sealer: Sealer,
    snapshots: Table<'t, &'static str, &'static [u8]>,
    listings: Table<'t, ListingKey, &'static [u8]>,
    attributes: Table<'t, AttributeKey, &'static [u8]>,
    history: Table<'t, HistoryKey, &'static [u8]>,
    timers: Table<'t, TimerKey, ()>,
    late_timers: Table<'t, TimerKey, ()>,
    expiry_of_snapshots: Table<'t, (i64, &'static str), ()>,
    expiry_of_listings: Table<'t, (i64, &'static str, i64, &'static str), ()>,
    expiry_of_attributes: Table<'t, (i64, &'static str, &'static str, i64, &'static str), ()>,
    expiry_of_history: Table<'t, (i64, &'static str, i64), ()>,
}

impl<'t> Writer<'t> {
    fn open(transaction: &'t WriteTransaction, now: Timestamp) -> Result<Self, Trouble> {
        Ok(Self {
            now,
            sealer: Sealer::new(),
            snapshots: transaction.open_table(SNAPSHOT)?,
            listings: transaction.open_table(LISTING)?,
            attributes: transaction.open_table(ATTRIBUTE)?,
            history: transaction.open_table(HISTORY)?,
            timers: transaction.open_table(TIMER)?,
            late_timers: transaction.open_table(LATE_TIMER)?,
            expiry_of_snapshots: transaction.open_table(EXPIRY_OF_SNAPSHOT)?,
            expiry_of_listings: transaction.open_table(EXPIRY_OF_LISTING)?,
            expiry_of_attributes: transaction.open_table(EXPIRY_OF_ATTRIBUTE)?,
            expiry_of_history: transaction.open_table(EXPIRY_OF_HISTORY)?,
        })
    }

    fn timer(&mut self, row: &TimerRow) -> Result<(), Trouble> {
        let key = (row.bucket.0, row.due.0, row.instance.as_str(), row.timer.0);
        self.timers.insert(key, ())?;
        if row.due < sweep::hour(self.now) {
            self.late_timers.insert(key, ())?;
        }
        Ok(())
    }

    fn history(&mut self, row: &HistoryRow) -> Result<(), Trouble> {
        let (id, stamp) = (row.instance.as_str(), row.stamp);
        let expires_at = self.expiry(row.ttl);
        self.history.insert((id, stamp.0), &*self.sealer.seal(stamp, expires_at, &row.entry))?;
        if let Some(at) = sweep::history_removable_at(expires_at) {
            self.expiry_of_history.insert((at.0, id, stamp.0), ())?;
        }
        Ok(())
    }

    fn snapshot(&mut self, write: &SnapshotWrite) -> Result<(), Trouble> {
        let id = write.instance.as_str();
        if is_newer(self.snapshots.get(id)?, write.stamp) {
            return Ok(());
        }
        let expires_at = self.expiry(write.ttl);
        self.snapshots.insert(id, &*self.sealer.seal(write.stamp, expires_at, &write.value))?;
        if let Some(at) = sweep::stamped_removable_at(expires_at) {
            self.expiry_of_snapshots.insert((at.0, id), ())?;
        }
        Ok(())
    }

    fn listing(&mut self, write: &SnapshotWrite) -> Result<(), Trouble> {
        let Some(listing) = &write.listing else { return Ok(()) };
        let workflow = listing.workflow.workflow.to_string();
        let key = (&*workflow, listing.started_at.0, write.instance.as_str());
        if is_newer(self.listings.get(key)?, write.stamp) {
            return Ok(());
        }
        let expires_at = self.expiry(listing.ttl);
        let columns = Columns::default()
            .number(listing.updated_at.0)
            .text(&listing.workflow.version)
            .text(listing.status)
            .text(&listing.attributes.to_json());
        self.listings.insert(key, &*self.sealer.seal(write.stamp, expires_at, columns.bytes()))?;
        if let Some(at) = sweep::stamped_removable_at(expires_at) {
            self.expiry_of_listings.insert((at.0, key.0, key.1, key.2), ())?;
        }
        Ok(())
    }

    /// What the instance is found by from now on, as long as it is listed, and what it is found by no more.
    fn attributes(&mut self, write: &SnapshotWrite) -> Result<(), Trouble> {
        let Some(listing) = &write.listing else { return Ok(()) };
        let now = self.now;
        let terms = listing.attributes.terms();
        let found_by = terms.iter().map(|it| (it, self.expiry(listing.ttl)));
        let retired = listing.retired.iter().map(|it| (it, now));
        let workflow = listing.workflow.workflow.to_string();
        for (term, expires_at) in found_by.chain(retired).collect::<Vec<_>>() {
            let key = (&*workflow, term.as_str(), listing.started_at.0, write.instance.as_str());
            if is_newer(self.attributes.get(key)?, write.stamp) {
                continue;
            }
            self.attributes.insert(key, &*self.sealer.seal(write.stamp, expires_at, &[]))?;
            if let Some(at) = sweep::stamped_removable_at(expires_at) {
                self.expiry_of_attributes.insert((at.0, key.0, key.1, key.2, key.3), ())?;
            }
        }
        Ok(())
    }

    fn expiry(&self, ttl: Option<std::time::Duration>) -> Timestamp {
        ttl.map_or(NEVER, |it| self.now.plus(it))
    }
}
