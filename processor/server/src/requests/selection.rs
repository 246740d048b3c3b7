//! Which instances are meant: what the list shows, and what is stepped in with at once.

use std::cmp::Reverse;

use millrace_partition::Term;
use millrace_runtime::store::{ListPage, ListQuery, ListRow, SnapshotStore, StoreError};
use millrace_schemas::{InstanceId, Timestamp, WorkflowName};
use millrace_workflow::program::ATTRIBUTES_MAX;
use tokio::task::JoinSet;

/// Most conditions: as many as there may be attributes.
pub(crate) const CONDITIONS_MAX: usize = ATTRIBUTES_MAX;

/// How many workflows are listed side by side.
const AT_ONCE: usize = 8;

/// Instances of these workflows that are like this, as of their last snapshots.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    pub(crate) workflows: Vec<WorkflowName>,
    pub(crate) status: Option<String>,
    /// All of which hold.
    pub(crate) conditions: Vec<Term>,
    /// Started at or after.
    pub(crate) from: Timestamp,
    /// Started before.
    pub(crate) until: Timestamp,
}

/// Where a page ended.
pub(crate) type Place = (Timestamp, InstanceId);

impl Selection {
    /// At most `limit` of them, the newest start first, beyond `after`.
    pub(crate) async fn page(
        &self,
        store: &impl SnapshotStore,
        after: Option<Place>,
        limit: u32,
    ) -> Result<ListPage, StoreError> {
        let (mut rows, mut has_more) = (Vec::new(), false);
        for some in self.workflows.chunks(AT_ONCE) {
            let mut listing = JoinSet::new();
            for workflow in some {
                let (store, query) = (store.clone(), self.query(workflow, after.clone(), limit));
                listing.spawn(async move { store.list(&query).await });
            }
            for page in listing.join_all().await {
                let page = page?;
                rows.extend(page.rows);
                has_more |= page.has_more;
            }
        }
        rows.sort_by_cached_key(order);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        has_more |= rows.len() > limit;
        rows.truncate(limit);
        Ok(ListPage { rows, has_more })
    }

    fn query(&self, workflow: &WorkflowName, after: Option<Place>, limit: u32) -> ListQuery {
        ListQuery {
            workflow: workflow.clone(),
            status: self.status.clone(),
            conditions: self.conditions.clone(),
            from: self.from,
            until: self.until,
            after,
            limit,
        }
    }
}

/// The order of a store's list: the newest start first, and of those at one time the last id.
fn order(row: &ListRow) -> Reverse<Place> {
    Reverse((row.started_at, row.instance.clone()))
}

/// Where the page after these rows begins.
pub(crate) fn place_after(page: &ListPage) -> Option<Place> {
    page.rows.last().filter(|_| page.has_more).map(|it| (it.started_at, it.instance.clone()))
}
