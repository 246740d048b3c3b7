//! The list of instances that are found by their attributes: the index says where to look, the list what is there.
//!
//! Rows of the index are never believed: an attribute may have changed since. So each costs a read of its row of the list.

use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use millrace_partition::{Attributes, Term};
use millrace_runtime::store::{ListPage, ListQuery, ListRow, StoreError};
use millrace_schemas::{Timestamp, WorkflowVersion};
use scylla::client::pager::TypedRowStream;
use scylla::client::session::Session;
use scylla::value::CqlTimestamp;

use crate::error::Failure;
use crate::layout;
use crate::list::{DOING, Position};
use crate::statements::Statements;
use crate::store::{instance_id, rows};

/// Days that are looked at together: a rare attribute has nothing in most of them.
const DAYS_AT_ONCE: usize = 16;

/// Rows of the list that are read together.
const PLACES_AT_ONCE: usize = 64;

/// A search in one workflow.
pub(crate) struct Search<'s> {
    pub(crate) session: &'s Session,
    pub(crate) statements: &'s Statements,
    pub(crate) query: &'s ListQuery,
    pub(crate) workflow: &'s str,
    pub(crate) from: Position,
    pub(crate) until: Position,
}

impl Search<'_> {
    /// What is found in these days, newest first.
    pub(crate) async fn run(&self, days: &[i32]) -> Result<ListPage, StoreError> {
        let mut page = ListPage::default();
        let (first, others) = self.query.conditions.split_first().expect("a search has conditions");
        for days in days.chunks(DAYS_AT_ONCE) {
            let opened = try_join_all(days.iter().map(|day| self.open(first, *day))).await?;
            for (day, first) in days.iter().zip(opened) {
                let Some(first) = first else { continue };
                let others = try_join_all(others.iter().map(|it| self.open(it, *day))).await?;
                let Some(others) = others.into_iter().collect::<Option<Vec<_>>>() else { continue };
                let mut places = Places { first: Some(first), others };
                if !self.fill(&mut page, *day, &mut places).await? {
                    return Ok(page);
                }
            }
        }
        Ok(page)
    }

    /// The rows of the index of one day; none if it has none.
    async fn open(&self, term: &Term, day: i32) -> Result<Option<Rows>, StoreError> {
        let ((from, from_id), (until, until_id)) = (&self.from, &self.until);
        let slice = (
            self.workflow,
            term.as_str(),
            day,
            CqlTimestamp(from.0),
            from_id,
            CqlTimestamp(until.0),
            until_id,
        );
        let rest = rows(self.session, &self.statements.select_attribute, slice, DOING).await?;
        Rows { head: (Timestamp(0), String::new()), rest }.next().await
    }

    /// Adds what is found at `places`. False if the page is full.
    async fn fill(&self, page: &mut ListPage, day: i32, places: &mut Places) -> Result<bool, StoreError> {
        loop {
            let mut candidates = Vec::new();
            while candidates.len() < PLACES_AT_ONCE
                && let Some(place) = places.next().await?
            {
                candidates.push(place);
            }
            if candidates.is_empty() {
                return Ok(true);
            }
            let rows = try_join_all(candidates.into_iter().map(|it| self.listed(day, it))).await?;
            for row in rows.into_iter().flatten() {
                if page.rows.len() == self.query.limit as usize {
                    page.has_more = true;
                    return Ok(false);
                }
                page.rows.push(row);
            }
        }
    }

    /// The row of the list, if it is as it was asked for.
    async fn listed(
        &self,
        day: i32,
        (started_at, instance): Position,
    ) -> Result<Option<ListRow>, StoreError> {
        let instance = instance_id(&instance, DOING)?;
        let shard = layout::list_shard(&instance);
        let key = (self.workflow, day, shard, CqlTimestamp(started_at.0), instance.as_str());
        let statement = &self.statements.select_listed;
        let result =
            self.session.execute_unpaged(statement, key).await.map_err(|it| it.while_doing(DOING))?;
        let rows = result.into_rows_result().map_err(|it| it.while_doing(DOING))?;
        let row = rows.maybe_first_row::<(String, String, CqlTimestamp, Option<String>)>();
        let Some((version, status, updated_at, attributes)) = row.map_err(|it| it.while_doing(DOING))? else {
            return Ok(None);
        };
        let attributes = Attributes::from_json(attributes.as_deref().unwrap_or_default());
        let is_other = self.query.status.as_ref().is_some_and(|it| *it != status);
        if is_other || !attributes.have(&self.query.conditions) {
            return Ok(None);
        }
        Ok(Some(ListRow {
            instance,
            workflow: WorkflowVersion { workflow: self.query.workflow.clone(), version: version.into() },
            started_at,
            updated_at: Timestamp(updated_at.0),
            status,
            attributes,
        }))
    }
}

/// Rows of the index of one attribute, newest first.
struct Rows {
    head: Position,
    rest: TypedRowStream<(CqlTimestamp, String)>,
}

impl Rows {
    /// Without its first row; none if that was the last.
    async fn next(mut self) -> Result<Option<Self>, StoreError> {
        let row = self.rest.try_next().await.map_err(|it| it.while_doing(DOING))?;
        let next = |(started_at, instance): (CqlTimestamp, String)| {
            self.head = (Timestamp(started_at.0), instance);
            self
        };
        Ok(row.map(next))
    }

    /// From `place` on.
    async fn skip_to(self, place: &Position) -> Result<Option<Self>, StoreError> {
        let mut at = self;
        while at.head > *place {
            match at.next().await? {
                Some(next) => at = next,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }
}

/// The places that all attributes have.
struct Places {
    /// None when one of them has come to its end.
    first: Option<Rows>,
    others: Vec<Rows>,
}

impl Places {
    async fn next(&mut self) -> Result<Option<Position>, StoreError> {
        'candidates: while let Some(mut first) = self.first.take() {
            for place in 0..self.others.len() {
                let other = self.others.swap_remove(place);
                let Some(other) = other.skip_to(&first.head).await? else { return Ok(None) };
                let head = other.head.clone();
                self.others.push(other);
                let last = self.others.len() - 1;
                self.others.swap(place, last);
                if head < first.head {
                    self.first = first.skip_to(&head).await?;
                    continue 'candidates;
                }
            }
            let place = std::mem::take(&mut first.head);
            self.first = first.next().await?;
            return Ok(Some(place));
        }
        Ok(None)
    }
}
