//! The store.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use millrace_partition::{FlushRequest, TimerPage, TimerSlice};
use millrace_placement::{PartitionIndex, TimerBucket};
use millrace_runtime::store::{
    HistoryEntry, ListPage, ListQuery, LoadedSnapshot, OwnerRow, SnapshotStore, StoreError,
};
use millrace_schemas::{InstanceId, Stamp, Timestamp};
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::pager::TypedRowStream;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::deserialize::row::DeserializeRow;
use scylla::deserialize::value::DeserializeValue;
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;
use tokio::sync::{OnceCell, Semaphore};

use crate::chunks::ChunkedInstances;
use crate::config::{Consistency, ScyllaConfig};
use crate::error::{Failure, UnexpectedRow, UnknownDatacenter};
use crate::statements::Statements;
use crate::{history, layout, list, schema, snapshots, timers, write};

/// Days of workflows that are remembered as known to the list, before it starts over.
const KNOWN_DAYS_MAX: usize = 100_000;

/// A session with the server; clones share it.
#[derive(Clone, Debug)]
pub struct ScyllaStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    session: Session,
    config: ScyllaConfig,
    /// Prepared when first needed, since the tables may have yet to be created.
    statements: OnceCell<Statements>,
    /// Rows of `listing_day` that are written.
    known_days: Mutex<BTreeSet<(String, i32)>>,
    chunked: ChunkedInstances,
    /// Turns of the requests of flushes.
    writing: Semaphore,
}

impl ScyllaStore {
    /// Connects. The keyspace and its tables may be missing still: see [`Self::create_schema`].
    ///
    /// # Errors
    /// When no contact point answers or the server refuses us; permanent if a setting, the user or the password is wrong.
    pub async fn connect(config: ScyllaConfig) -> Result<Self, StoreError> {
        config.validate().map_err(|it| it.while_doing("use the settings of the snapshot store"))?;
        let consistency = match config.consistency {
            Consistency::LocalQuorum => scylla::statement::Consistency::LocalQuorum,
            Consistency::Quorum => scylla::statement::Consistency::Quorum,
        };
        // The driver's default policy repeats idempotent requests once, on another node, where that may help at once. Everything
        // slower is for the caller's back-off.
        let profile = ExecutionProfile::builder()
            .consistency(consistency)
            .request_timeout(Some(config.request_timeout))
            .build();
        let mut builder = SessionBuilder::new()
            .known_nodes(&config.contact_points)
            .keyspaces_to_fetch([&config.keyspace])
            .default_execution_profile_handle(profile.into_handle());
        if let Some(credentials) = &config.credentials {
            builder = builder.user(&credentials.user, &credentials.password);
        }
        if let Some(tls) = &config.tls {
            let tls = tls.client_config();
            let tls = tls.map_err(|it| it.while_doing("set up TLS to the snapshot store"))?;
            builder = builder.tls_context(Some(tls));
        }
        if let Some(datacenter) = &config.datacenter {
            builder = builder.prefer_datacenter(datacenter.clone());
        }
        // Boxed: a connection with TLS is a large future, and this one is part of many.
        let session = Box::pin(builder.build()).await.map_err(|error| {
            let contact_points = config.contact_points.join(", ");
            let hint = match (error.is_permanent(), &config.tls) {
                (true, _) => "check the user and the password",
                (false, Some(_)) => {
                    "check that a CQL server with TLS listens there, and that its certificates are by an authority that we trust and \
                     for these addresses"
                }
                (false, None) => {
                    "check that a CQL server listens there, that it does not want TLS, and that nothing lies between"
                }
            };
            error.while_doing(format!("connect to the snapshot store at {contact_points} ({hint})"))
        })?;
        if let Some(datacenter) = &config.datacenter {
            // The driver would say so only at the first request, and not which there are.
            let cluster = session.get_cluster_state();
            let known: BTreeSet<&str> =
                cluster.get_nodes_info().iter().filter_map(|it| it.datacenter.as_deref()).collect();
            if !known.contains(&**datacenter) {
                let known = known.into_iter().collect::<Vec<_>>().join(", ");
                let error = UnknownDatacenter { datacenter: datacenter.clone(), known };
                return Err(error.while_doing("use the settings of the snapshot store"));
            }
        }
        let (statements, known_days) = (OnceCell::new(), Mutex::default());
        let chunked = ChunkedInstances::default();
        let writing = Semaphore::new(write::IN_FLIGHT_MAX);
        Ok(Self { inner: Arc::new(Inner { session, config, statements, known_days, chunked, writing }) })
    }

    /// Creates the keyspace and the tables, so far as they are missing. What exists stays as it is.
    ///
    /// # Errors
    /// When the server cannot be asked, or the user may not create what is missing.
    pub async fn create_schema(&self) -> Result<(), StoreError> {
        schema::create(&self.inner.session, &self.inner.config).await
    }

    async fn statements(&self) -> Result<&Statements, StoreError> {
        let Inner { session, config, statements, .. } = &*self.inner;
        statements.get_or_try_init(|| Statements::prepare(session, &config.keyspace)).await
    }

    /// Days that this flush needs in the list and that are not known to be there.
    fn new_days(&self, request: &FlushRequest) -> BTreeSet<(String, i32)> {
        let listings = request.snapshots.iter().filter_map(|it| it.listing.as_ref());
        let mut days: BTreeSet<_> =
            listings.map(|it| (it.workflow.workflow.to_string(), layout::day(it.started_at))).collect();
        let known = self.inner.known_days.lock().expect("nothing panics while it is held");
        days.retain(|it| !known.contains(it));
        days
    }

    fn learn_days(&self, days: BTreeSet<(String, i32)>) {
        let mut known = self.inner.known_days.lock().expect("nothing panics while it is held");
        if known.len() > KNOWN_DAYS_MAX {
            known.clear();
        }
        known.extend(days);
    }
}

impl SnapshotStore for ScyllaStore {
    async fn load_snapshots(&self, instances: &[InstanceId]) -> Result<Vec<LoadedSnapshot>, StoreError> {
        let statements = self.statements().await?;
        let Inner { session, chunked, .. } = &*self.inner;
        snapshots::Reader { session, statements, chunked }.load(instances).await
    }

    async fn flush(&self, request: &FlushRequest) -> Result<(), StoreError> {
        let statements = self.statements().await?;
        let days = self.new_days(request);
        let Inner { session, config, chunked, writing: turns, .. } = &*self.inner;
        let write = write::Writer { session, statements, config, chunked, turns };
        write.flush(request, days.iter().cloned().collect()).await?;
        self.learn_days(days);
        Ok(())
    }

    async fn load_checkpoint(&self, partition: PartitionIndex) -> Result<Option<(Stamp, Bytes)>, StoreError> {
        let statement = &self.statements().await?.select_checkpoint;
        let key = (partition.0.cast_signed(),);
        let row = value(&self.inner.session, statement, key, "read a checkpoint").await?;
        Ok(row.map(|(value, stamp)| (stamp, value)))
    }

    async fn save_checkpoint(
        &self,
        partition: PartitionIndex,
        stamp: Stamp,
        value: Bytes,
    ) -> Result<(), StoreError> {
        let statement = &self.statements().await?.insert_checkpoint;
        let row = (partition.0.cast_signed(), value, stamp.0);
        let result = self.inner.session.execute_unpaged(statement, row).await;
        result.map(|_| ()).map_err(|it| it.while_doing("write a checkpoint"))
    }

    async fn load_owner(&self, partition: PartitionIndex) -> Result<Option<OwnerRow>, StoreError> {
        const DOING: &str = "read who owns a partition";
        let statement = &self.statements().await?.select_owner;
        let key = (partition.0.cast_signed(),);
        let result =
            self.inner.session.execute_unpaged(statement, key).await.map_err(|it| it.while_doing(DOING))?;
        let rows = result.into_rows_result().map_err(|it| it.while_doing(DOING))?;
        let row = rows.maybe_first_row::<(String, String, i64)>().map_err(|it| it.while_doing(DOING))?;
        Ok(row.map(|(transactional_id, url, stamp)| OwnerRow {
            stamp: Stamp(stamp),
            transactional_id,
            api_url: Some(url).filter(|it| !it.is_empty()),
        }))
    }

    async fn save_owner(&self, partition: PartitionIndex, owner: &OwnerRow) -> Result<(), StoreError> {
        let statement = &self.statements().await?.insert_owner;
        // Never null: that would delete the cell, and its stamp with it.
        let url = owner.api_url.as_deref().unwrap_or_default();
        let row = (partition.0.cast_signed(), &*owner.transactional_id, url, owner.stamp.0);
        let result = self.inner.session.execute_unpaged(statement, row).await;
        result.map(|_| ()).map_err(|it| it.while_doing("write who owns a partition"))
    }

    async fn load_timers(
        &self,
        buckets: &[TimerBucket],
        slice: &TimerSlice,
    ) -> Result<TimerPage, StoreError> {
        timers::load(&self.inner.session, self.statements().await?, buckets, slice).await
    }

    async fn drop_timers(
        &self,
        buckets: &[TimerBucket],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        timers::drop_hours(&self.inner.session, self.statements().await?, buckets, from, until).await
    }

    async fn load_history(
        &self,
        instance: &InstanceId,
        after: Option<Stamp>,
        limit: u32,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        history::load(&self.inner.session, self.statements().await?, instance, after, limit).await
    }

    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        list::list(&self.inner.session, self.statements().await?, query).await
    }
}

/// The one row of a table of values, with its write timestamp.
pub(crate) async fn value<V>(
    session: &Session,
    statement: &PreparedStatement,
    key: impl SerializeRow,
    doing: &'static str,
) -> Result<Option<(V, Stamp)>, StoreError>
where
    V: for<'frame, 'metadata> DeserializeValue<'frame, 'metadata>,
{
    let result = session.execute_unpaged(statement, key).await.map_err(|it| it.while_doing(doing))?;
    let rows = result.into_rows_result().map_err(|it| it.while_doing(doing))?;
    let row = rows.maybe_first_row::<(V, i64)>().map_err(|it| it.while_doing(doing))?;
    Ok(row.map(|(value, stamp)| (value, Stamp(stamp))))
}

/// The rows of a query, page after page.
pub(crate) async fn rows<R>(
    session: &Session,
    statement: &PreparedStatement,
    values: impl SerializeRow,
    doing: &'static str,
) -> Result<TypedRowStream<R>, StoreError>
where
    R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
{
    let pager = session.execute_iter(statement.clone(), values).await.map_err(|it| it.while_doing(doing))?;
    pager.rows_stream().map_err(|it| it.while_doing(doing))
}

pub(crate) fn instance_id(text: &str, doing: &'static str) -> Result<InstanceId, StoreError> {
    InstanceId::new(text).map_err(|it| UnexpectedRow { what: it.to_string() }.while_doing(doing))
}
