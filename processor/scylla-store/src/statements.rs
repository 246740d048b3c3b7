//! All statements, prepared.

use millrace_runtime::store::StoreError;
use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;

use crate::error::Failure;

/// Prepared once, when first needed. Each may be repeated by the driver: writing twice is writing once.
///
/// A time to live of 0 is none.
#[derive(Debug)]
pub(crate) struct Statements {
    pub(crate) insert_snapshot: PreparedStatement,
    pub(crate) insert_chunk: PreparedStatement,
    pub(crate) delete_chunks: PreparedStatement,
    pub(crate) insert_checkpoint: PreparedStatement,
    pub(crate) insert_owner: PreparedStatement,
    pub(crate) insert_timer: PreparedStatement,
    pub(crate) insert_history: PreparedStatement,
    pub(crate) insert_listing: PreparedStatement,
    pub(crate) insert_listing_day: PreparedStatement,
    pub(crate) insert_attribute: PreparedStatement,
    pub(crate) select_snapshot: PreparedStatement,
    /// Of several CQL partitions, so the driver finds no token: [`crate::replicas`] does.
    pub(crate) select_snapshots: PreparedStatement,
    pub(crate) select_chunks: PreparedStatement,
    pub(crate) select_checkpoint: PreparedStatement,
    pub(crate) select_owner: PreparedStatement,
    pub(crate) select_timers: PreparedStatement,
    pub(crate) delete_timers: PreparedStatement,
    pub(crate) select_history: PreparedStatement,
    pub(crate) select_listing: PreparedStatement,
    pub(crate) select_listing_days: PreparedStatement,
    pub(crate) select_listed: PreparedStatement,
    pub(crate) select_attribute: PreparedStatement,
}

impl Statements {
    /// # Errors
    /// When the server cannot be asked, or does not have the tables.
    pub(crate) async fn prepare(session: &Session, keyspace: &str) -> Result<Self, StoreError> {
        let prepare = async |statement: &str| {
            let statement = statement.replace("KEYSPACE", keyspace);
            let mut prepared = session.prepare(statement).await.map_err(|error| {
                let doing = if error.is_permanent() {
                    format!("use the tables of keyspace {keyspace} (are they there, and of this version? `millrace topics apply` creates what is missing, and changes nothing that exists)")
                } else {
                    "prepare statements".to_owned()
                };
                error.while_doing(doing)
            })?;
            // The driver takes the token of a request, or of the first row of a batch, from the statement, and sends it to the shard of a
            // replica; where it knows no partition key, to any node, which then forwards it.
            // For reads of several CQL partitions [`crate::replicas`] finds them.
            debug_assert!(
                prepared.is_token_aware() || prepared.get_statement().contains("WHERE instance IN ?"),
                "{}",
                prepared.get_statement()
            );
            prepared.set_is_idempotent(true);
            Ok(prepared)
        };
        // One comparison of tuples on each side: neither server takes a mixture with single columns.
        let select_listing = prepare(
            "SELECT started_at, instance, version, status, updated_at, attributes FROM KEYSPACE.listing \
             WHERE workflow = ? AND day = ? AND shard = ? \
             AND (started_at, instance) >= (?, ?) AND (started_at, instance) < (?, ?)",
        )
        .await?;
        let mut select_attribute = prepare(
            "SELECT started_at, instance FROM KEYSPACE.attribute WHERE workflow = ? AND term = ? AND day = ? \
             AND (started_at, instance) >= (?, ?) AND (started_at, instance) < (?, ?)",
        )
        .await?;
        select_attribute.set_page_size(1_000);
        // Entries may hold whole payloads.
        let mut select_history =
            prepare("SELECT first, packed FROM KEYSPACE.history WHERE instance = ? AND first >= ?").await?;
        select_history.set_page_size(100);
        let mut select_chunks =
            prepare("SELECT value FROM KEYSPACE.snapshot_chunk WHERE instance = ? AND stamp = ? AND crc = ?")
                .await?;
        // A megabyte, which is also where ScyllaDB ends a page.
        select_chunks.set_page_size(4);
        Ok(Self {
            insert_snapshot: prepare(
                "INSERT INTO KEYSPACE.snapshot (instance, value) VALUES (?, ?) USING TIMESTAMP ? AND TTL ?",
            )
            .await?,
            insert_chunk: prepare(
                "INSERT INTO KEYSPACE.snapshot_chunk (instance, stamp, crc, n, value) VALUES (?, ?, ?, ?, ?) \
                 USING TIMESTAMP ? AND TTL ?",
            )
            .await?,
            delete_chunks: prepare(
                "DELETE FROM KEYSPACE.snapshot_chunk USING TIMESTAMP ? WHERE instance = ? AND stamp < ?",
            )
            .await?,
            insert_checkpoint: prepare("INSERT INTO KEYSPACE.checkpoint (home, value) VALUES (?, ?) USING TIMESTAMP ?").await?,
            insert_owner: prepare("INSERT INTO KEYSPACE.owner (home, transactional_id, api_url) VALUES (?, ?, ?) USING TIMESTAMP ?").await?,
            insert_timer: prepare(
                "INSERT INTO KEYSPACE.timer_idx (bucket, hour, due, instance, timer) VALUES (?, ?, ?, ?, ?) USING TTL ?",
            )
            .await?,
            insert_history: prepare("INSERT INTO KEYSPACE.history (instance, first, last, packed) VALUES (?, ?, ?, ?) USING TTL ?").await?,
            insert_listing: prepare(
                "INSERT INTO KEYSPACE.listing (workflow, day, shard, started_at, instance, version, status, updated_at, attributes) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?",
            )
            .await?,
            insert_listing_day: prepare("INSERT INTO KEYSPACE.listing_day (workflow, day) VALUES (?, ?)").await?,
            insert_attribute: prepare(
                "INSERT INTO KEYSPACE.attribute (workflow, term, day, started_at, instance) VALUES (?, ?, ?, ?, ?) \
                 USING TIMESTAMP ? AND TTL ?",
            )
            .await?,
            select_snapshot: prepare(
                "SELECT value, writetime(value) FROM KEYSPACE.snapshot WHERE instance = ?",
            )
            .await?,
            select_snapshots: prepare(
                "SELECT instance, value, writetime(value) FROM KEYSPACE.snapshot WHERE instance IN ?",
            )
            .await?,
            select_chunks,
            select_checkpoint: prepare("SELECT value, writetime(value) FROM KEYSPACE.checkpoint WHERE home = ?").await?,
            select_owner: prepare("SELECT transactional_id, api_url, writetime(api_url) FROM KEYSPACE.owner WHERE home = ?").await?,
            select_timers: prepare(
                "SELECT due, instance, timer FROM KEYSPACE.timer_idx WHERE bucket = ? AND hour = ? \
                 AND (due, instance, timer) > (?, ?, ?) AND (due, instance, timer) < (?, ?, ?) LIMIT ?",
            )
            .await?,
            delete_timers: prepare("DELETE FROM KEYSPACE.timer_idx USING TIMESTAMP ? WHERE bucket = ? AND hour = ?").await?,
            select_history,
            select_listing,
            select_listing_days: prepare("SELECT day FROM KEYSPACE.listing_day WHERE workflow = ? AND day >= ? AND day <= ?")
                .await?,
            select_listed: prepare(
                "SELECT version, status, updated_at, attributes FROM KEYSPACE.listing \
                 WHERE workflow = ? AND day = ? AND shard = ? AND started_at = ? AND instance = ?",
            )
            .await?,
            select_attribute,
        })
    }
}
