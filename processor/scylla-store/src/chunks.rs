//! Snapshots that are too large for one row: their chunks, before the row that needs them, and the removal of older ones after it.
//!
//! Chunks are never overwritten by others: they stand under the stamp of their snapshot and the checksum of its encoding (another
//! release may encode the same state differently, and chunks of two encodings must not mix). So:
//!
//! - A row that is visible has all of its chunks, because they were acknowledged before the row was sent.
//! - Chunks have their stamp as write timestamp, and so has the removal of all that are older than a row. It covers stamps below its
//!   own only, by the key, so it cannot take chunks of its own or of a newer row, whoever is late.
//! - Older chunks that arrive after the removal are older than it by their timestamp too, so they stay invisible.
//! - A reader whose chunks are gone has an older row: it reads the row again.
//! - Every step may be repeated, and a flush that failed anywhere is: its instance is in the tail of whoever comes next.
//!
//! One thing can stay behind: chunks whose writer ended before it wrote their row, if the instance then shrinks at once. They go with
//! the next large snapshot of that instance.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use millrace_partition::SnapshotWrite;
use millrace_runtime::store::StoreError;
use millrace_schemas::{InstanceId, Stamp};
use scylla::client::session::Session;

use crate::envelope::Manifest;
use crate::error::Failure;
use crate::statements::Statements;
use crate::store::rows;
use crate::write::{at_most, ttl};

/// Of one chunk: a request of its own, far below every limit.
const CHUNK_BYTES: usize = 256 * 1024;

/// Chunks of one snapshot that are written at a time.
const IN_FLIGHT_MAX: usize = 4;

/// Chunks of a row that expires are written before it, perhaps in a try before, and must not expire before it.
const TTL_MARGIN: Duration = Duration::from_secs(3_600);

/// Instances that are remembered, the most; what is forgotten costs disk, until the instance is large again.
const REMEMBERED_MAX: usize = 100_000;

/// Instances that have chunks, as far as this process has seen them, with the greatest stamp seen. An owner reads or writes an
/// instance's row before it writes a newer one, so it knows.
#[derive(Debug, Default)]
pub(crate) struct ChunkedInstances(Mutex<BTreeMap<InstanceId, Stamp>>);

impl ChunkedInstances {
    pub(crate) fn remember(&self, instance: &InstanceId, stamp: Stamp) {
        let mut stamps = self.0.lock().expect("nothing panics while it is held");
        let newest = stamps.entry(instance.clone()).or_insert(stamp);
        *newest = stamp.max(*newest);
        if stamps.len() > REMEMBERED_MAX {
            stamps.pop_first();
        }
    }

    pub(crate) fn contains(&self, instance: &InstanceId) -> bool {
        self.0.lock().expect("nothing panics while it is held").contains_key(instance)
    }

    /// Once everything below `stamp` is removed.
    fn removed(&self, instance: &InstanceId, stamp: Stamp) {
        let mut stamps = self.0.lock().expect("nothing panics while it is held");
        if stamps.get(instance).is_some_and(|it| *it < stamp) {
            stamps.remove(instance);
        }
    }
}

/// Writes the chunks of `write`, whose row must follow only then.
pub(crate) async fn insert(
    session: &Session,
    statements: &Statements,
    write: &SnapshotWrite,
    crc: u32,
    body: &Bytes,
) -> Result<(), StoreError> {
    let (id, stamp) = (write.instance.as_str(), write.stamp.0);
    let ttl = ttl(write.ttl.map(|it| it.saturating_add(TTL_MARGIN)));
    let chunks = body.chunks(CHUNK_BYTES).zip(0_i16..).map(async |(chunk, n)| {
        let row = (id, stamp, crc.cast_signed(), n, chunk, stamp, ttl);
        let result = session.execute_unpaged(&statements.insert_chunk, row).await;
        result.map(|_| ()).map_err(|it| it.while_doing("write a chunk of a large snapshot"))
    });
    at_most(IN_FLIGHT_MAX, chunks.collect()).await
}

/// Removes chunks that are older than `write`, whose row must be written already.
pub(crate) async fn remove_older(
    session: &Session,
    statements: &Statements,
    known: &ChunkedInstances,
    write: &SnapshotWrite,
) -> Result<(), StoreError> {
    let row = (write.stamp.0, write.instance.as_str(), write.stamp.0);
    let result = session.execute_unpaged(&statements.delete_chunks, row).await;
    result.map_err(|it| it.while_doing("remove older chunks of a snapshot"))?;
    known.removed(&write.instance, write.stamp);
    Ok(())
}

/// The chunks that `manifest`, in the row at `stamp`, tells of, in order; fewer if they are gone.
pub(crate) async fn select(
    session: &Session,
    statements: &Statements,
    instance: &InstanceId,
    stamp: Stamp,
    manifest: &Manifest,
) -> Result<Vec<Bytes>, StoreError> {
    const DOING: &str = "read the chunks of a large snapshot";
    let key = (instance.as_str(), stamp.0, manifest.crc.cast_signed());
    let rows = rows::<(Bytes,)>(session, &statements.select_chunks, key, DOING).await?;
    rows.map_ok(|it| it.0).try_collect().await.map_err(|it| it.while_doing(DOING))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_remembered_until_all_of_its_chunks_are_removed() {
        let known = ChunkedInstances::default();
        let id = InstanceId::new("a").unwrap();
        known.remember(&id, Stamp(7));
        known.remember(&id, Stamp(5));
        known.removed(&id, Stamp(6));
        known.removed(&id, Stamp(7));
        assert!(known.contains(&id), "a late and older writer knows nothing of the chunks at 7");
        known.removed(&id, Stamp(8));
        assert!(!known.contains(&id));
    }
}
