//! The tables. Fixed for ever, as far as [`LAYOUT`] says the same: folders of one release are opened by the next.
//!
//! Keys are typed, so their order is that of the values: instances by text, times and stamps as numbers. All values are
//! [`cell`](crate::cell)s, but those of the timer index, which has none.

use redb::TableDefinition;

/// Of the tables and their values. Another one gets another number.
pub(crate) const LAYOUT: u32 = 1;

/// Facts about the file, under their names: `layout`.
pub(crate) const META: TableDefinition<'static, &str, u32> = TableDefinition::new("meta");

/// By instance.
pub(crate) const SNAPSHOT: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("snapshot");

/// By partition.
pub(crate) const CHECKPOINT: TableDefinition<'static, u32, &[u8]> = TableDefinition::new("checkpoint");

/// By partition.
pub(crate) const OWNER: TableDefinition<'static, u32, &[u8]> = TableDefinition::new("owner");

/// By bucket, due time, instance and timer.
pub(crate) const TIMER: TableDefinition<'static, TimerKey, ()> = TableDefinition::new("timer_idx");
pub(crate) type TimerKey = (u16, i64, &'static str, u32);

/// Those of [`TIMER`] that were written after their hour had ended.
pub(crate) const LATE_TIMER: TableDefinition<'static, TimerKey, ()> = TableDefinition::new("late_timer");

/// By instance and stamp.
pub(crate) const HISTORY: TableDefinition<'static, HistoryKey, &[u8]> = TableDefinition::new("history");
pub(crate) type HistoryKey = (&'static str, i64);

/// By workflow (`namespace/name`), start and instance.
pub(crate) const LISTING: TableDefinition<'static, ListingKey, &[u8]> = TableDefinition::new("listing");
pub(crate) type ListingKey = (&'static str, i64, &'static str);

/// By workflow, term (`name=value`), start and instance. A row says only where to look: that of the list decides.
pub(crate) const ATTRIBUTE: TableDefinition<'static, AttributeKey, &[u8]> = TableDefinition::new("attribute");
pub(crate) type AttributeKey = (&'static str, &'static str, i64, &'static str);

/// Rows to look at once a time has come: that time, and the row's key. An entry is a hint, the row's own end decides
/// (see [`sweep`](crate::sweep)).
pub(crate) const EXPIRY_OF_SNAPSHOT: TableDefinition<'static, (i64, &str), ()> =
    TableDefinition::new("expiry_of_snapshot");
pub(crate) const EXPIRY_OF_HISTORY: TableDefinition<'static, (i64, &str, i64), ()> =
    TableDefinition::new("expiry_of_history");
pub(crate) const EXPIRY_OF_LISTING: TableDefinition<'static, (i64, &str, i64, &str), ()> =
    TableDefinition::new("expiry_of_listing");
pub(crate) const EXPIRY_OF_ATTRIBUTE: TableDefinition<'static, (i64, &str, &str, i64, &str), ()> =
    TableDefinition::new("expiry_of_attribute");
