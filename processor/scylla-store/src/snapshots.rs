//! Reading snapshots, of many instances at a time.
//!
//! A batch of new events needs a hundred rows or more, each alone in its CQL partition. One request for each cost Cassandra 0.1 ms where
//! there is no row and 0.2 to 0.3 ms where there is one; 30 in a request cost 0.03 and 0.04 ms each (`load-tests/PROFILING.md`).

use std::collections::HashMap;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use millrace_partition::SnapshotRow;
use millrace_runtime::store::{LoadedSnapshot, StoreError};
use millrace_schemas::{InstanceId, Stamp};
use scylla::client::session::Session;
use scylla::deserialize::DeserializationError;

use crate::chunks::{self, ChunkedInstances};
use crate::envelope::{self, Opened};
use crate::error::{DamagedSnapshot, Failure};
use crate::replicas::Replicas;
use crate::statements::Statements;
use crate::store::value;

/// Instances in one request. ScyllaDB takes a hundred CQL partitions by default; Cassandra gained little from more than 30.
const IDS_MAX: usize = 30;

/// Requests at a time, of one call.
const IN_FLIGHT_MAX: usize = 16;

/// Large snapshots at a time, of one call.
const LARGE_IN_FLIGHT_MAX: usize = 4;

/// How often a row is read again whose chunks were not there: each time, a newer one must have been written in between.
const CHUNK_READS_MAX: u32 = 10;

const DOING: &str = "read snapshots";

/// A row as it is stored.
type Row = (Bytes, Stamp);

/// Reads snapshots.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) session: &'a Session,
    pub(crate) statements: &'a Statements,
    pub(crate) chunked: &'a ChunkedInstances,
}

impl Reader<'_> {
    /// In the order of `ids`.
    pub(crate) async fn load(self, ids: &[InstanceId]) -> Result<Vec<LoadedSnapshot>, StoreError> {
        let requests = self.requests(ids).into_iter().enumerate();
        let requests: Vec<_> = requests.map(|(turn, ids)| self.fetch(ids, turn)).collect();
        let found = stream::iter(requests).buffer_unordered(IN_FLIGHT_MAX).try_concat().await?;
        let found: HashMap<String, Row> = found.into_iter().collect();
        let opened = ids.iter().map(|id| (id, found.get(id.as_str()).cloned()));
        let opened: Vec<_> = opened.map(|(id, row)| self.open(id, row)).collect();
        stream::iter(opened).buffered(LARGE_IN_FLIGHT_MAX).try_collect().await
    }

    /// What has the same replicas is asked for together.
    fn requests<'b>(&self, ids: &'b [InstanceId]) -> Vec<(Vec<&'b str>, Option<Replicas>)> {
        let cluster = self.session.get_cluster_state();
        let mut full = Vec::new();
        let mut open = HashMap::<_, (Vec<&str>, Option<Replicas>)>::new();
        for id in ids {
            let replicas = Replicas::of(&cluster, &self.statements.select_snapshot, &(id.as_str(),));
            let hosts = replicas.as_ref().map(Replicas::hosts);
            let (ids, _) = open.entry(hosts.clone()).or_insert_with(|| (Vec::new(), replicas));
            ids.push(id.as_str());
            if ids.len() == IDS_MAX {
                full.extend(open.remove(&hosts));
            }
        }
        full.into_iter().chain(open.into_values()).collect()
    }

    async fn fetch(
        self,
        (ids, replicas): (Vec<&str>, Option<Replicas>),
        turn: usize,
    ) -> Result<Vec<(String, Row)>, StoreError> {
        if let [id] = *ids {
            return Ok(self.fetch_one(id).await?.map(|row| (id.to_owned(), row)).into_iter().collect());
        }
        let mut statement = self.statements.select_snapshots.clone();
        statement.set_load_balancing_policy(replicas.map(|it| it.policy(turn)));
        // Not in pages: for those, Cassandra reads one CQL partition after the other.
        let result =
            self.session.execute_unpaged(&statement, (ids,)).await.map_err(|it| it.while_doing(DOING))?;
        let rows = result.into_rows_result().map_err(|it| it.while_doing(DOING))?;
        let rows = rows.rows::<(String, Bytes, i64)>().map_err(|it| it.while_doing(DOING))?;
        let row = |row: Result<(String, Bytes, i64), DeserializationError>| {
            let (id, value, stamp) = row.map_err(|it| it.while_doing(DOING))?;
            Ok((id, (value, Stamp(stamp))))
        };
        rows.map(row).collect()
    }

    async fn fetch_one(self, id: &str) -> Result<Option<Row>, StoreError> {
        value(self.session, &self.statements.select_snapshot, (id,), DOING).await
    }

    /// What is damaged is the trouble of one instance, not of all that are asked for.
    async fn open(self, id: &InstanceId, row: Option<Row>) -> Result<LoadedSnapshot, StoreError> {
        match self.try_open(id, row).await {
            Err(error) if error.is_permanent => Ok(Err(error)),
            other => other.map(Ok),
        }
    }

    async fn try_open(
        self,
        id: &InstanceId,
        mut row: Option<Row>,
    ) -> Result<Option<SnapshotRow>, StoreError> {
        let mut reads = 0;
        loop {
            let Some((value, stamp)) = row else { return Ok(None) };
            let damaged =
                |damage| DamagedSnapshot { instance: id.clone(), stamp: stamp.0, damage }.while_doing(DOING);
            let manifest = match envelope::open(value).map_err(damaged)? {
                Opened::Row { snapshot, has_leftovers } => {
                    if has_leftovers {
                        self.chunked.remember(id, stamp);
                    }
                    return Ok(Some(SnapshotRow { stamp, value: snapshot }));
                }
                Opened::Chunked(manifest) => manifest,
            };
            self.chunked.remember(id, stamp);
            let chunks = chunks::select(self.session, self.statements, id, stamp, &manifest).await?;
            // Megabytes: not where other futures wait.
            let opened = tokio::task::spawn_blocking(move || manifest.open(&chunks)).await;
            match opened.expect("opening a snapshot does not panic") {
                Ok(value) => return Ok(Some(SnapshotRow { stamp, value })),
                // A newer writer has removed them since; its row is there.
                Err(_) if reads < CHUNK_READS_MAX => row = self.fetch_one(id.as_str()).await?,
                Err(damage) => return Err(damaged(damage)),
            }
            reads += 1;
        }
    }
}
