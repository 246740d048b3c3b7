//! The store keeps what every store must keep.

use millrace_local_store::LocalStore;
use millrace_runtime::store_suite;

/// Rows end by tokio's clock, which is paused and jumps to whatever is waited for.
#[tokio::test(start_paused = true)]
async fn keeps_what_every_store_must_keep() {
    let folder = tempfile::tempdir().unwrap();
    store_suite::all(&LocalStore::open(folder.path()).unwrap()).await;
}
