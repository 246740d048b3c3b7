//! The store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use millrace_partition::{FlushRequest, TimerPage, TimerSlice};
use millrace_placement::{PartitionIndex, TimerBucket};
use millrace_runtime::store::{
    HistoryEntry, ListPage, ListQuery, LoadedSnapshot, OwnerRow, SnapshotStore, StoreError,
};
use millrace_schemas::{InstanceId, Stamp, Timestamp};
use redb::Database;

use crate::clock::Clock;
use crate::database::{LocalDatabase, Opener};
use crate::error::{Panicked, Trouble};
use crate::sweep::Sweep;
use crate::{read, sweep, write};

/// An open folder; clones share it. It is closed, and free for another process, when the last clone is dropped and what they have
/// begun is done.
#[derive(Clone, Debug)]
pub struct LocalStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    database: LocalDatabase,
    clock: Clock,
    /// So far.
    flushes: AtomicU64,
}

impl LocalStore {
    /// Opens the store in `folder`, and creates what is missing. Blocks while it reads the whole file, 2 to 4 ms
    /// for each MB, after a crash as after an orderly end.
    ///
    /// # Errors
    /// When the folder is in use by another process, damaged, or of a newer release (all permanent), or the disk refuses.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(folder.as_ref(), |builder, path| builder.open(path))
    }

    fn open_with(folder: &Path, opener: Opener) -> Result<Self, StoreError> {
        let database = LocalDatabase::open(folder, opener)
            .map_err(|it| it.while_doing(format!("open the snapshot store in {}", folder.display())))?;
        let (clock, flushes) = (Clock::start(), AtomicU64::new(0));
        Ok(Self { inner: Arc::new(Inner { folder: folder.to_owned(), database, clock, flushes }) })
    }

    /// Does `work` where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Database, Timestamp) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.inner);
        let now = inner.clock.now();
        let task = tokio::task::spawn_blocking(move || inner.database.with(|it| work(it, now)));
        let result = task.await.unwrap_or_else(|error| {
            // Cancelled before it began, or redb has read nonsense.
            Err(error.try_into_panic().map_or(Trouble::Ending, |it| Panicked::new(&*it).into()))
        });
        result.map_err(|it| self.error(it, doing))
    }

    fn error(&self, trouble: Trouble, doing: &str) -> StoreError {
        trouble.while_doing(format!("{doing} (of the snapshot store in {})", self.inner.folder.display()))
    }
}

impl SnapshotStore for LocalStore {
    async fn load_snapshots(&self, instances: &[InstanceId]) -> Result<Vec<LoadedSnapshot>, StoreError> {
        const DOING: &str = "read snapshots";
        let instances = instances.to_vec();
        let rows = self.blocking(DOING, move |it, now| read::snapshots(it, &instances, now)).await?;
        Ok(rows.into_iter().map(|row| row.map_err(|it| self.error(it, DOING))).collect())
    }

    async fn flush(&self, request: &FlushRequest) -> Result<(), StoreError> {
        let request = request.clone();
        let rows = request.snapshots.len() + request.timers.len() + request.history.len();
        let turn = self.inner.flushes.fetch_add(1, Ordering::Relaxed);
        let sweep = Sweep::of_flush(rows, turn, self.inner.clock.has_run());
        self.blocking("write a flush", move |it, now| write::flush(it, &request, now, sweep)).await
    }

    async fn load_checkpoint(&self, partition: PartitionIndex) -> Result<Option<(Stamp, Bytes)>, StoreError> {
        self.blocking("read a checkpoint", move |it, _| read::checkpoint(it, partition)).await
    }

    async fn save_checkpoint(
        &self,
        partition: PartitionIndex,
        stamp: Stamp,
        value: Bytes,
    ) -> Result<(), StoreError> {
        self.blocking("write a checkpoint", move |it, _| write::checkpoint(it, partition, stamp, &value))
            .await
    }

    async fn load_owner(&self, partition: PartitionIndex) -> Result<Option<OwnerRow>, StoreError> {
        self.blocking("read who owns a partition", move |it, _| read::owner(it, partition)).await
    }

    async fn save_owner(&self, partition: PartitionIndex, owner: &OwnerRow) -> Result<(), StoreError> {
        let owner = owner.clone();
        self.blocking("write who owns a partition", move |it, _| write::owner(it, partition, &owner)).await
    }

    async fn load_timers(
        &self,
        buckets: &[TimerBucket],
        slice: &TimerSlice,
    ) -> Result<TimerPage, StoreError> {
        let (buckets, slice) = (buckets.to_vec(), slice.clone());
        self.blocking("read the timer index", move |it, _| read::timers(it, &buckets, &slice)).await
    }

    async fn drop_timers(
        &self,
        buckets: &[TimerBucket],
        from: Timestamp,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let buckets = buckets.to_vec();
        self.blocking("drop old timers", move |it, _| sweep::drop_timers(it, &buckets, from, until)).await
    }

    async fn load_history(
        &self,
        instance: &InstanceId,
        after: Option<Stamp>,
        limit: u32,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        let instance = instance.clone();
        self.blocking("read history", move |it, now| read::history(it, &instance, after, limit, now)).await
    }

    async fn list(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        let query = query.clone();
        self.blocking("list instances", move |it, now| read::list(it, &query, now)).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs::OpenOptions;
    use std::io;
    use std::sync::atomic::AtomicBool;
    use std::time::Duration;

    use millrace_partition::{Attributes, FlushId, HistoryRow, Listing, SnapshotWrite, Term, TimerRow};
    use millrace_schemas::{TimerId, WorkflowName, WorkflowVersion};
    use redb::backends::FileBackend;
    use redb::{Builder, DatabaseError, ReadableDatabase, ReadableTableMetadata, StorageBackend};

    use super::*;
    use crate::cell::{Columns, NEVER, Sealer};
    use crate::layout::{
        ATTRIBUTE, EXPIRY_OF_ATTRIBUTE, EXPIRY_OF_HISTORY, EXPIRY_OF_LISTING, EXPIRY_OF_SNAPSHOT, HISTORY,
        LISTING, META, SNAPSHOT, TIMER,
    };

    const SECOND: Duration = Duration::from_secs(1);
    const DAY: Duration = Duration::from_secs(86_400);

    fn id(n: usize) -> InstanceId {
        InstanceId::new(format!("order-{n}")).unwrap()
    }

    fn empty() -> FlushRequest {
        FlushRequest { id: FlushId(1), snapshots: Vec::new(), timers: Vec::new(), history: Vec::new() }
    }

    fn snapshot(n: usize, stamp: i64, ttl: Option<Duration>) -> SnapshotWrite {
        let workflow = WorkflowName { namespace: "shop".into(), name: "order".into() };
        let listing = Listing {
            workflow: WorkflowVersion { workflow, version: "1.0.0".into() },
            started_at: Timestamp(0),
            updated_at: Timestamp(stamp),
            status: "running",
            attributes: Attributes::default(),
            retired: BTreeSet::new(),
            ttl,
        };
        SnapshotWrite {
            instance: id(n),
            stamp: Stamp(stamp),
            value: "state".into(),
            ttl,
            listing: Some(listing),
        }
    }

    fn history(n: usize, ttl: Option<Duration>) -> HistoryRow {
        HistoryRow { instance: id(n), stamp: Stamp(1), entry: "entry".into(), ttl }
    }

    /// A flush that writes one row for ever, always the same.
    async fn flush_something(store: &LocalStore) {
        store.flush(&FlushRequest { history: vec![history(1_000_000, None)], ..empty() }).await.unwrap();
    }

    /// Rows of the snapshots, the list, the history and the timer index, and their ends.
    fn rows(store: &LocalStore) -> [u64; 5] {
        let count = |database: &Database| {
            let it = database.begin_read()?;
            let ends = it.open_table(EXPIRY_OF_SNAPSHOT)?.len()?
                + it.open_table(EXPIRY_OF_LISTING)?.len()?
                + it.open_table(EXPIRY_OF_HISTORY)?.len()?;
            let rows = [it.open_table(SNAPSHOT)?.len()?, it.open_table(LISTING)?.len()?];
            Ok([rows[0], rows[1], it.open_table(HISTORY)?.len()?, it.open_table(TIMER)?.len()?, ends])
        };
        store.inner.database.with(count).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_expired_is_removed_a_part_with_each_flush() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(folder.path()).unwrap();
        let ttl = Some(10 * SECOND);
        let request = FlushRequest {
            snapshots: (0..700).map(|n| snapshot(n, 1, ttl)).collect(),
            history: (0..1_200).map(|n| history(n, ttl)).collect(),
            ..empty()
        };
        store.flush(&request).await.unwrap();
        assert_eq!(rows(&store), [700, 700, 1_200, 0, 2_600]);
        tokio::time::advance(11 * SECOND).await;
        assert_eq!(store.load_history(&id(5), None, 10).await.unwrap(), []);
        assert_eq!(store.load_snapshot(&id(5)).await.unwrap(), None);
        flush_something(&store).await;
        assert_eq!(
            rows(&store),
            [700, 700, 701, 0, 2_100],
            "the least that a flush removes, and one row more"
        );
        flush_something(&store).await;
        flush_something(&store).await;
        assert_eq!(rows(&store), [700, 700, 1, 0, 1_400], "stamps stay for those that are late");
        tokio::time::advance(DAY).await;
        flush_something(&store).await;
        assert_eq!(rows(&store), [200, 200, 1, 0, 400]);
        flush_something(&store).await;
        assert_eq!(rows(&store), [0, 0, 1, 0, 0]);
    }

    /// An instance that is found by `term`, and no more by `retired`.
    fn found_by(n: usize, stamp: i64, ttl: Option<Duration>, term: &str, retired: &[&str]) -> SnapshotWrite {
        let (name, value) = term.split_once('=').unwrap();
        let mut write = snapshot(n, stamp, ttl);
        let listing = write.listing.as_mut().unwrap();
        listing.attributes = Attributes::from_json(&format!("{{\"{name}\":\"{value}\"}}"));
        listing.retired = retired.iter().map(|it| Term::parse(it).unwrap()).collect();
        write
    }

    async fn found(store: &LocalStore, term: &str) -> Vec<String> {
        let query = ListQuery {
            workflow: WorkflowName { namespace: "shop".into(), name: "order".into() },
            status: None,
            conditions: vec![Term::parse(term).unwrap()],
            from: Timestamp(0),
            until: Timestamp(1),
            after: None,
            limit: 10,
        };
        let page = store.list(&query).await.unwrap();
        page.rows.iter().map(|it| it.instance.to_string()).collect()
    }

    fn index_rows(store: &LocalStore) -> [u64; 2] {
        let count = |database: &Database| {
            let it = database.begin_read()?;
            Ok([it.open_table(ATTRIBUTE)?.len()?, it.open_table(EXPIRY_OF_ATTRIBUTE)?.len()?])
        };
        store.inner.database.with(count).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_nothing_is_found_by_any_more_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(folder.path()).unwrap();
        let flush = async |write| {
            store.flush(&FlushRequest { snapshots: vec![write], ..empty() }).await.unwrap();
        };
        flush(found_by(1, 1, None, "step=one", &[])).await;
        flush(found_by(1, 2, None, "step=two", &["step=one"])).await;
        flush(found_by(2, 1, Some(3 * DAY), "step=two", &[])).await;
        assert_eq!((found(&store, "step=two").await.len(), index_rows(&store)), (2, [3, 2]));
        tokio::time::advance(2 * DAY).await;
        flush_something(&store).await;
        assert_eq!((found(&store, "step=two").await.len(), index_rows(&store)), (2, [2, 1]));
        tokio::time::advance(3 * DAY).await;
        flush_something(&store).await;
        assert_eq!(
            (found(&store, "step=two").await, index_rows(&store)),
            (vec!["order-1".to_owned()], [1, 0])
        );
    }

    #[tokio::test]
    async fn a_folder_of_an_earlier_release_gets_the_index_when_it_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(folder.path()).unwrap();
        store.flush(&FlushRequest { snapshots: vec![snapshot(1, 1, None)], ..empty() }).await.unwrap();
        let downgrade = |database: &Database| {
            let transaction = database.begin_write()?;
            transaction.delete_table(ATTRIBUTE)?;
            transaction.delete_table(EXPIRY_OF_ATTRIBUTE)?;
            // A row as it was.
            let columns = Columns::default().number(1).text("1.0.0").text("running");
            let cell = Sealer::new().seal(Stamp(1), NEVER, columns.bytes());
            transaction.open_table(LISTING)?.insert(("shop/order", 0, "order-1"), &*cell)?;
            Ok(transaction.commit()?)
        };
        store.inner.database.with(downgrade).unwrap();
        drop(store);
        let store = LocalStore::open(folder.path()).unwrap();
        assert_eq!(found(&store, "step=one").await, Vec::<String>::new());
        let all = ListQuery {
            workflow: WorkflowName { namespace: "shop".into(), name: "order".into() },
            status: None,
            conditions: vec![],
            from: Timestamp(0),
            until: Timestamp(1),
            after: None,
            limit: 10,
        };
        let page = store.list(&all).await.unwrap();
        assert_eq!(
            (page.rows[0].status.as_str(), &page.rows[0].attributes),
            ("running", &Attributes::default())
        );
        store
            .flush(&FlushRequest { snapshots: vec![found_by(1, 2, None, "step=one", &[])], ..empty() })
            .await
            .unwrap();
        assert_eq!(found(&store, "step=one").await, ["order-1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_replaced_in_time_stays() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(folder.path()).unwrap();
        let flush = async |snapshot, ttl| {
            let request =
                FlushRequest { snapshots: vec![snapshot], history: vec![history(1, ttl)], ..empty() };
            store.flush(&request).await.unwrap();
        };
        flush(snapshot(1, 1, Some(SECOND)), Some(SECOND)).await;
        flush(snapshot(1, 2, Some(3 * DAY)), Some(3 * DAY)).await;
        tokio::time::advance(2 * DAY).await;
        flush_something(&store).await;
        assert_eq!(rows(&store), [1, 1, 2, 0, 3]);
        assert!(store.load_snapshot(&id(1)).await.unwrap().is_some());
        flush(snapshot(1, 3, None), None).await;
        tokio::time::advance(9 * DAY).await;
        flush_something(&store).await;
        assert_eq!(rows(&store), [1, 1, 2, 0, 0]);
        assert!(store.load_snapshot(&id(1)).await.unwrap().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn timers_stay_until_they_are_surely_fired() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(folder.path()).unwrap();
        let now = store.inner.clock.now();
        let due = |days: i64| Timestamp(now.0 + days * 86_400_000);
        let timer = |(n, days)| TimerRow {
            bucket: TimerBucket(u16::try_from(n).unwrap() * 85),
            due: due(days),
            instance: id(n),
            timer: TimerId(1),
        };
        let timers = [-400, -31, -29, 1].into_iter().enumerate().map(timer).collect();
        store.flush(&FlushRequest { timers, ..empty() }).await.unwrap();
        let flush_all_around = async || {
            for _ in 0..16 {
                flush_something(&store).await;
            }
            rows(&store)[3]
        };
        assert_eq!(flush_all_around().await, 4, "the folder was closed for long: nobody has loaded them yet");
        tokio::time::advance(3_601 * SECOND).await;
        assert_eq!(flush_all_around().await, 2);
        tokio::time::advance(2 * DAY).await;
        assert_eq!(flush_all_around().await, 1);
    }

    #[tokio::test]
    async fn a_folder_of_a_newer_release_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open(folder.path()).unwrap();
        let upgrade = |database: &Database| {
            let transaction = database.begin_write()?;
            transaction.open_table(META)?.insert("layout", 2)?;
            Ok(transaction.commit()?)
        };
        store.inner.database.with(upgrade).unwrap();
        drop(store);
        let error = LocalStore::open(folder.path()).unwrap_err();
        assert!(error.is_permanent && error.source.to_string().contains("upgrade"), "{}", error.source);
    }

    /// A file on a disk that refuses when told to.
    #[derive(Debug)]
    struct Refusing(FileBackend);

    static REFUSES: AtomicBool = AtomicBool::new(false);

    impl Refusing {
        fn open(builder: &Builder, path: &Path) -> Result<Database, DatabaseError> {
            let file = OpenOptions::new().read(true).write(true).open(path)?;
            builder.create_with_backend(Self(FileBackend::new(file)?))
        }

        fn check() -> io::Result<()> {
            if REFUSES.load(Ordering::Relaxed) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }
    }

    impl StorageBackend for Refusing {
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.read(offset, out)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            Self::check()?;
            self.0.set_len(len)
        }

        fn sync_data(&self) -> io::Result<()> {
            Self::check()?;
            self.0.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            Self::check()?;
            self.0.write(offset, data)
        }

        fn close(&self) -> io::Result<()> {
            self.0.close()
        }
    }

    #[tokio::test]
    async fn after_a_full_disk_the_store_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::open_with(folder.path(), Refusing::open).unwrap();
        let flush = async |n| {
            let request = FlushRequest { snapshots: vec![snapshot(n, 1, None)], ..empty() };
            store.flush(&request).await
        };
        flush(1).await.unwrap();
        for _ in 0..2 {
            REFUSES.store(true, Ordering::Relaxed);
            for _ in 0..3 {
                let error = flush(2).await.unwrap_err();
                assert!(!error.is_permanent, "{error}: {}", error.source);
            }
            REFUSES.store(false, Ordering::Relaxed);
            assert!(store.load_snapshot(&id(1)).await.unwrap().is_some());
            assert_eq!(store.load_snapshot(&id(2)).await.unwrap(), None);
        }
        flush(2).await.unwrap();
        assert!(store.load_snapshot(&id(2)).await.unwrap().is_some());
    }
}
