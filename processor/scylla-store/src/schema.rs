//! The tables, and their creation.

use std::collections::BTreeSet;

use futures_util::TryStreamExt;
use millrace_runtime::store::StoreError;
use scylla::client::session::Session;
use scylla::errors::{DbError, ExecutionError, RequestAttemptError};

use crate::config::ScyllaConfig;
use crate::error::Failure;

/// What we need to know about the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Cassandra,
    /// With its version, such as `2025.1.2` or `6.2.0`.
    Scylla(String),
}

impl Server {
    async fn detect(session: &Session) -> Result<Self, StoreError> {
        // The table is ScyllaDB's own.
        match session.query_unpaged("SELECT version FROM system.versions WHERE key = 'local'", &[]).await {
            Ok(result) => {
                let doing = "read the server's version";
                let rows = result.into_rows_result().map_err(|it| it.while_doing(doing))?;
                let version = rows.maybe_first_row::<(String,)>().map_err(|it| it.while_doing(doing))?;
                Ok(Self::Scylla(version.map_or_else(String::new, |it| it.0)))
            }
            Err(ExecutionError::LastAttemptError(RequestAttemptError::DbError(DbError::Invalid, _))) => {
                Ok(Self::Cassandra)
            }
            Err(error) => Err(error.while_doing("ask the server what it is")),
        }
    }

    /// For rows that are overwritten. Incremental compaction needs less free space, and is there in ScyllaDB Enterprise and, since
    /// the two were merged, in 2025.1 and later; both count in years.
    fn compaction(&self) -> &'static str {
        match self {
            Self::Scylla(version)
                if version.split('.').next().and_then(|it| it.parse::<u32>().ok()) >= Some(2018) =>
            {
                "{'class': 'IncrementalCompactionStrategy'}"
            }
            Self::Scylla(_) | Self::Cassandra => "{'class': 'SizeTieredCompactionStrategy'}",
        }
    }
}

/// Names and definitions of all tables.
///
/// Tables whose rows carry stamps as write timestamps must not have time windows: a stamp is a place in the log and no time.
/// Stamps stay below the clock in microseconds plus three days, as ScyllaDB's `restrict_future_timestamp` demands, for some 400 eras
/// (state protocol 2.6). No cell is ever written both with a stamp and with the server's clock.
///
/// A day is enough for `gc_grace_seconds`: rows expire by the same time to live everywhere, and all that is deleted is chunks that no
/// row tells of, so if a replica misses that for longer, it only keeps what nobody reads until the next removal.
fn tables(server: &Server) -> [(&'static str, String); 9] {
    let compaction = server.compaction();
    let windows = |unit: &str, size: u64| {
        format!(
            "{{'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': '{unit}', 'compaction_window_size': {size}}}"
        )
    };
    [
        (
            "snapshot",
            format!(
                "(instance text PRIMARY KEY, value blob) \
                 WITH compaction = {compaction} AND gc_grace_seconds = 86400"
            ),
        ),
        (
            "snapshot_chunk",
            format!(
                "(instance text, stamp bigint, crc int, n smallint, value blob, PRIMARY KEY (instance, stamp, crc, n)) \
                 WITH compaction = {compaction} AND gc_grace_seconds = 86400"
            ),
        ),
        (
            "checkpoint",
            format!(
                "(home int PRIMARY KEY, value blob) WITH compaction = {compaction} AND gc_grace_seconds = 86400"
            ),
        ),
        (
            "owner",
            format!(
                "(home int PRIMARY KEY, transactional_id text, api_url text) WITH compaction = {compaction} AND gc_grace_seconds = 86400"
            ),
        ),
        (
            "timer_idx",
            format!(
                "(bucket smallint, hour int, due timestamp, instance text, timer bigint, \
                 PRIMARY KEY ((bucket, hour), due, instance, timer)) \
                 WITH compaction = {} AND gc_grace_seconds = 86400",
                windows("HOURS", 6)
            ),
        ),
        (
            "history",
            format!(
                "(instance text, first bigint, last bigint, packed blob, PRIMARY KEY (instance, first, last)) \
                 WITH compaction = {} AND gc_grace_seconds = 86400",
                // Thirty windows for the default retention, five for none too short; workflows differ, and a table has one size.
                windows("DAYS", 1)
            ),
        ),
        (
            "listing",
            format!(
                "(workflow text, day int, shard tinyint, started_at timestamp, instance text, version text, status text, \
                 updated_at timestamp, attributes text, PRIMARY KEY ((workflow, day, shard), started_at, instance)) \
                 WITH CLUSTERING ORDER BY (started_at DESC, instance DESC) \
                 AND compaction = {compaction} AND gc_grace_seconds = 86400"
            ),
        ),
        // Where to look for an attribute with a value. Rows are stamped and end as those of the list, which alone is believed.
        (
            "attribute",
            format!(
                "(workflow text, term text, day int, started_at timestamp, instance text, \
                 PRIMARY KEY ((workflow, term, day), started_at, instance)) \
                 WITH CLUSTERING ORDER BY (started_at DESC, instance DESC) \
                 AND compaction = {compaction} AND gc_grace_seconds = 86400"
            ),
        ),
        // Which days to look at: without it, listing would probe every day of the range asked for.
        (
            "listing_day",
            format!(
                "(workflow text, day int, PRIMARY KEY (workflow, day)) WITH CLUSTERING ORDER BY (day DESC) \
                 AND compaction = {compaction}"
            ),
        ),
    ]
}

/// Creates the keyspace and the tables that are missing; leaves alone what exists.
pub(crate) async fn create(session: &Session, config: &ScyllaConfig) -> Result<(), StoreError> {
    let keyspace = &config.keyspace;
    let server = Server::detect(session).await?;
    // What exists is not asked for again: it needs no rights then, and Cassandra before 5.1 does not settle two concurrent
    // creations of one table.
    if !has_keyspace(session, keyspace).await? {
        let statement = format!(
            "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = {}",
            config.replication.to_cql()
        );
        change(session, statement, || {
            format!("create the keyspace {keyspace} (the user needs the right to create it, or create it yourself and run this again)")
        })
        .await?;
    }
    let existing = tables_of(session, keyspace).await?;
    for (name, definition) in tables(&server) {
        if !existing.contains(name) {
            tracing::info!(keyspace, table = name, ?server, "creating table");
            let statement = format!("CREATE TABLE IF NOT EXISTS {keyspace}.{name} {definition}");
            change(session, statement, || {
                format!(
                    "create the table {keyspace}.{name} (the user needs the right to create tables there)"
                )
            })
            .await?;
        }
    }
    if existing.contains("listing") {
        add_attributes(session, keyspace).await?;
    }
    Ok(())
}

/// The list of earlier releases has no attributes.
async fn add_attributes(session: &Session, keyspace: &str) -> Result<(), StoreError> {
    if has_attributes(session, keyspace).await? {
        return Ok(());
    }
    tracing::info!(keyspace, table = "listing", column = "attributes", "adding column");
    let statement = format!("ALTER TABLE {keyspace}.listing ADD attributes text");
    let added = change(session, statement, || {
        format!(
            "add the column attributes to the table {keyspace}.listing (the user needs the right to alter tables there)"
        )
    })
    .await;
    match added {
        // Another process was as quick.
        Err(_) if has_attributes(session, keyspace).await? => Ok(()),
        added => added,
    }
}

async fn has_attributes(session: &Session, keyspace: &str) -> Result<bool, StoreError> {
    let doing = "look for columns";
    let statement = "SELECT column_name FROM system_schema.columns \
                     WHERE keyspace_name = ? AND table_name = 'listing' AND column_name = 'attributes'";
    let result = session.query_unpaged(statement, (keyspace,)).await.map_err(|it| it.while_doing(doing))?;
    Ok(result.into_rows_result().map_err(|it| it.while_doing(doing))?.rows_num() > 0)
}

/// The driver waits until all nodes agree on the schema.
async fn change(
    session: &Session,
    statement: String,
    doing: impl FnOnce() -> String,
) -> Result<(), StoreError> {
    session.query_unpaged(statement, &[]).await.map(|_| ()).map_err(|it| it.while_doing(doing()))
}

async fn has_keyspace(session: &Session, keyspace: &str) -> Result<bool, StoreError> {
    let doing = "look for the keyspace";
    let statement = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
    let result = session.query_unpaged(statement, (keyspace,)).await.map_err(|it| it.while_doing(doing))?;
    Ok(result.into_rows_result().map_err(|it| it.while_doing(doing))?.rows_num() > 0)
}

async fn tables_of(session: &Session, keyspace: &str) -> Result<BTreeSet<String>, StoreError> {
    let doing = "look for tables";
    let statement = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
    let pager = session.query_iter(statement, (keyspace,)).await.map_err(|it| it.while_doing(doing))?;
    let rows = pager.rows_stream::<(String,)>().map_err(|it| it.while_doing(doing))?;
    rows.map_ok(|it| it.0).try_collect().await.map_err(|it| it.while_doing(doing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scylla_compacts_incrementally_where_it_can() {
        let scylla = |version: &str| Server::Scylla(version.to_owned()).compaction().contains("Incremental");
        assert!(scylla("2025.1.2") && scylla("2024.2.0-rc1") && scylla("2026.1"));
        assert!(!scylla("6.2.0") && !scylla("5.4.9-0.2024") && !scylla("") && !scylla("unknown"));
        assert!(Server::Cassandra.compaction().contains("SizeTiered"));
    }

    #[test]
    fn only_tables_written_by_the_clock_have_time_windows() {
        for server in [Server::Cassandra, Server::Scylla("2025.1".to_owned())] {
            let windowed: Vec<&str> = tables(&server)
                .into_iter()
                .filter(|(_, definition)| definition.contains("TimeWindow"))
                .map(|(name, _)| name)
                .collect();
            assert_eq!(windowed, ["timer_idx", "history"]);
        }
    }
}
