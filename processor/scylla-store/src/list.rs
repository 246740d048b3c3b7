//! The list of instances: days newest first, the parts of a day merged.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use millrace_partition::Attributes;
use millrace_runtime::store::{ListPage, ListQuery, ListRow, StoreError};
use millrace_schemas::{Timestamp, WorkflowVersion};
use scylla::client::session::Session;
use scylla::response::PagingState;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::CqlTimestamp;

use crate::error::Failure;
use crate::layout;
use crate::search::Search;
use crate::statements::Statements;
use crate::store::{instance_id, rows};

pub(crate) const DOING: &str = "list instances";

/// Rows that are read at once of a part beyond its share of what is asked for: the shares are not equal. Each further page of a part is twice as long:
/// either the filter drops most rows, or they are unequal indeed.
const PAGE_MORE: usize = 8;

/// Rows of one page of a part.
const PAGE_MAX: usize = 500;

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
        let wanted = limit.saturating_sub(page.rows.len());
        let mut merged = Day::open(
            Reading { session, statement: &statements.select_listing },
            &workflow,
            day,
            &from,
            &until,
            wanted,
        )
        .await?;
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

/// How a part is read.
#[derive(Clone, Copy)]
struct Reading<'s> {
    session: &'s Session,
    statement: &'s PreparedStatement,
}

/// A part of a day: the rows of one CQL partition within the bounds, newest first.
struct Part<'s> {
    reading: Reading<'s>,
    slice: (&'s str, i32, i8, CqlTimestamp, &'s str, CqlTimestamp, &'s str),
    /// How many rows the next page has.
    page: usize,
    /// Where it begins; none behind the last.
    next: Option<PagingState>,
    rows: VecDeque<StoredRow>,
}

impl Part<'_> {
    async fn read(&mut self) -> Result<(), StoreError> {
        let Some(place) = self.next.take() else { return Ok(()) };
        let Reading { session, statement } = self.reading;
        let mut statement = statement.clone();
        statement.set_page_size(i32::try_from(self.page.min(PAGE_MAX)).expect("is small"));
        self.page = self.page.saturating_mul(2);
        let page = session.execute_single_page(&statement, self.slice, place).await;
        let (result, state) = page.map_err(|it| it.while_doing(DOING))?;
        let result = result.into_rows_result().map_err(|it| it.while_doing(DOING))?;
        for row in result.rows::<StoredRow>().map_err(|it| it.while_doing(DOING))? {
            self.rows.push_back(row.map_err(|it| it.while_doing(DOING))?);
        }
        self.next = match state.into_paging_control_flow() {
            ControlFlow::Continue(next) => Some(next),
            ControlFlow::Break(()) => None,
        };
        Ok(())
    }

    /// A page may be empty and not the last.
    async fn fill(&mut self, rows_min: usize) -> Result<(), StoreError> {
        while self.rows.len() < rows_min.max(1) && self.next.is_some() {
            self.read().await?;
        }
        Ok(())
    }
}

/// The parts of one day that have rows left.
struct Day<'s> {
    parts: Vec<Part<'s>>,
}

impl<'s> Day<'s> {
    async fn open(
        reading: Reading<'s>,
        workflow: &'s str,
        day: i32,
        from: &'s Position,
        until: &'s Position,
        wanted: usize,
    ) -> Result<Self, StoreError> {
        let page = wanted / layout::LIST_SHARDS as usize + PAGE_MORE;
        let opening = (0..layout::LIST_SHARDS).map(async |shard| {
            let slice =
                (workflow, day, shard, CqlTimestamp(from.0.0), &*from.1, CqlTimestamp(until.0.0), &*until.1);
            let (next, rows) = (Some(PagingState::start()), VecDeque::new());
            let mut part = Part { reading, slice, page, next, rows };
            part.fill(1).await?;
            Ok::<_, StoreError>(part)
        });
        Ok(Self { parts: try_join_all(opening).await? })
    }

    /// Every part has rows, or none left. When one is to be read, so are those, side by side, that would be soon: they go down evenly.
    async fn fill(&mut self) -> Result<(), StoreError> {
        if self.parts.iter().any(|it| it.rows.is_empty()) {
            try_join_all(self.parts.iter_mut().map(|it| it.fill(it.page.min(PAGE_MAX) / 4))).await?;
            self.parts.retain(|it| !it.rows.is_empty());
        }
        Ok(())
    }

    /// The newest row left.
    async fn next(&mut self, query: &ListQuery) -> Result<Option<ListRow>, StoreError> {
        self.fill().await?;
        let newest = self
            .parts
            .iter()
            .enumerate()
            .map(|(index, part)| (index, part.rows.front().expect("a part without rows has been left out")))
            .max_by(|(_, a), (_, b)| (a.0.0, &a.1).cmp(&(b.0.0, &b.1)));
        let Some((index, _)) = newest else { return Ok(None) };
        let row = self.parts[index].rows.pop_front().expect("it has just been looked at");
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
