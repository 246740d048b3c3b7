//! The list of instances: days newest first, the parts of a day merged.

use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use millrace_partition::Attributes;
use millrace_runtime::store::{ListPage, ListQuery, ListRow, StoreError};
use millrace_schemas::{Timestamp, WorkflowVersion};
use scylla::client::pager::TypedRowStream;
use scylla::client::session::Session;
use scylla::value::CqlTimestamp;

use crate::error::Failure;
use crate::layout;
use crate::search::Search;
use crate::statements::Statements;
use crate::store::{instance_id, rows};

pub(crate) const DOING: &str = "list instances";

type StoredRow = (CqlTimestamp, String, String, String, CqlTimestamp, Option<String>);

/// A position in the list; the empty text is before every instance.
pub(crate) type Position = (Timestamp, String);

/// Rows of `query` from the newest on. Days without rows cost nothing; rows that the filter drops cost their reading.
pub(crate) async fn list(
    session: &Session,
    statements: &Statements,
    query: &ListQuery,
) -> Result<ListPage, StoreError> {
    let limit = query.limit as usize;
    let from = (query.from, String::new());
    let mut until = (query.until, String::new());
    if let Some((started_at, instance)) = &query.after {
        until = until.min((*started_at, instance.as_str().to_owned()));
    }
    let mut page = ListPage::default();
    if from >= until || limit == 0 {
        return Ok(page);
    }
    let workflow = query.workflow.to_string();
    let days = (&workflow, layout::day(from.0), layout::day(until.0));
    let mut days = rows::<(i32,)>(session, &statements.select_listing_days, days, DOING).await?;
    if !query.conditions.is_empty() {
        let days =
            days.map_ok(|it| it.0).try_collect::<Vec<_>>().await.map_err(|it| it.while_doing(DOING))?;
        let search = Search { session, statements, query, workflow: &workflow, from, until };
        return search.run(&days).await;
    }
    while let Some((day,)) = days.try_next().await.map_err(|it| it.while_doing(DOING))? {
        let mut merged = Day::open(session, statements, &workflow, day, &from, &until).await?;
        while let Some(row) = merged.next(query).await? {
            if query.status.as_ref().is_some_and(|it| *it != row.status) {
                continue;
            }
            if page.rows.len() == limit {
                page.has_more = true;
                return Ok(page);
            }
            page.rows.push(row);
        }
    }
    Ok(page)
}

/// The parts of one day, each in order, with the next row of each.
struct Day {
    parts: Vec<(StoredRow, TypedRowStream<StoredRow>)>,
}

impl Day {
    async fn open(
        session: &Session,
        statements: &Statements,
        workflow: &str,
        day: i32,
        from: &Position,
        until: &Position,
    ) -> Result<Self, StoreError> {
        let opening = (0..layout::LIST_SHARDS).map(async |shard| {
            let slice =
                (workflow, day, shard, CqlTimestamp(from.0.0), &from.1, CqlTimestamp(until.0.0), &until.1);
            let mut part = rows::<StoredRow>(session, &statements.select_listing, slice, DOING).await?;
            let head = part.try_next().await.map_err(|it| it.while_doing(DOING))?;
            Ok::<_, StoreError>(head.map(|head| (head, part)))
        });
        Ok(Self { parts: try_join_all(opening).await?.into_iter().flatten().collect() })
    }

    /// The newest row left.
    async fn next(&mut self, query: &ListQuery) -> Result<Option<ListRow>, StoreError> {
        let newest = self
            .parts
            .iter()
            .enumerate()
            .max_by(|(_, (a, _)), (_, (b, _))| (a.0.0, &a.1).cmp(&(b.0.0, &b.1)));
        let Some((index, _)) = newest else { return Ok(None) };
        let (head, part) = &mut self.parts[index];
        let row = match part.try_next().await.map_err(|it| it.while_doing(DOING))? {
            Some(next) => std::mem::replace(head, next),
            None => self.parts.swap_remove(index).0,
        };
        let (started_at, instance, version, status, updated_at, attributes) = row;
        Ok(Some(ListRow {
            instance: instance_id(&instance, DOING)?,
            workflow: WorkflowVersion { workflow: query.workflow.clone(), version: version.into() },
            started_at: Timestamp(started_at.0),
            updated_at: Timestamp(updated_at.0),
            status,
            attributes: Attributes::from_json(attributes.as_deref().unwrap_or_default()),
        }))
    }
}
