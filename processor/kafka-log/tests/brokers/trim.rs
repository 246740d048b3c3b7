//! Trimming of the changelog.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::{Member, committed, fleet, read_changelog, share};
use millrace_placement::PartitionIndex;
use millrace_runtime::log::{Log, LogError};
use millrace_schemas::{Offset, Timestamp};

const INDEX: PartitionIndex = PartitionIndex(0);

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(i64::try_from(since.as_millis()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_changelog_is_trimmed_before_the_checkpoint_and_never_what_is_young() {
    let config = fleet(1).await;
    let mut member = Member::join(&config).await;
    let incarnation = member.assigned().await.remove(0);
    let mut lane = member.log.lane(0).await.unwrap();
    let old = committed(&mut lane, vec![share(&config, &incarnation, &["a", "b"])]).await;
    // The marker is a little younger than the commit.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let between = now();
    let young = committed(&mut lane, vec![share(&config, &incarnation, &["c", "d"])]).await;
    let (b, c, d) = (old[0][1], young[0][0], young[0][1]);
    let for_ever = Timestamp(0);
    let future = Timestamp(now().0 + 3_600_000);
    let log = &member.log;

    assert_eq!(log.trim_changelog(INDEX, d, for_ever).await.unwrap(), Offset(0), "all are young");
    assert_eq!(log.trim_changelog(INDEX, Offset(0), future).await.unwrap(), Offset(0), "none is below");
    assert_eq!(log.trim_changelog(INDEX, b, future).await.unwrap(), b, "the checkpoint is the limit");
    assert_eq!(log.changelog_bounds(INDEX).await.unwrap().0, b);

    let first = log.trim_changelog(INDEX, d, between).await.unwrap();
    assert!(first > b && first <= c, "{first:?}: age is the limit");
    let left = read_changelog(log, 0, first.0, d.0 + 1).await;
    assert_eq!(left, [(c.0, "c".into()), (d.0, "d".into())]);

    // A checkpoint of long ago moves nothing back.
    assert_eq!(log.trim_changelog(INDEX, b, future).await.unwrap(), first);
    let (_, end) = log.changelog_bounds(INDEX).await.unwrap();
    let error = log.trim_changelog(INDEX, Offset(end.0 + 100), future).await.unwrap_err();
    assert!(matches!(error, LogError::Fatal { .. }), "{error:?}");
    member.leave().await;
}
