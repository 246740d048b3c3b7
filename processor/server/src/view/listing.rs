//! The instances of a workflow.

use clap::ValueEnum;
use millrace_runtime::store::ListPage;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::time;
use crate::output::table;

/// What an instance may be listed as.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum StatusName {
    Running,
    Suspended,
    Incident,
    Completed,
    Faulted,
    Cancelled,
}

impl StatusName {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Suspended => "suspended",
            Self::Incident => "incident",
            Self::Completed => "completed",
            Self::Faulted => "faulted",
            Self::Cancelled => "cancelled",
        }
    }
}

/// `customer=acme, total=12`: as they are looked for.
pub(crate) fn attributes_text(attributes: &Map<String, Value>) -> String {
    let one = |(name, value): (&String, &Value)| match value {
        Value::String(text) => format!("{name}={text}"),
        value => format!("{name}={value}"),
    };
    attributes.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// A page of the list, newest start first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ListView {
    pub(crate) instances: Vec<RowView>,
    /// Whether older ones were left out, by the limit.
    pub(crate) has_more: bool,
    /// Of the API: the cursor of the next page, if there may be one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub(crate) next: Option<String>,
}

/// One instance, as of its last snapshot.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RowView {
    pub(crate) id: String,
    pub(crate) workflow: String,
    pub(crate) status: String,
    pub(crate) started_at: String,
    pub(crate) updated_at: String,
    /// What it is found by.
    #[serde(skip_serializing_if = "Map::is_empty", default)]
    #[schema(value_type = Object, required = false)]
    pub(crate) attributes: Map<String, Value>,
}

impl ListView {
    pub(crate) fn new(page: &ListPage) -> Self {
        let row = |row: &millrace_runtime::store::ListRow| RowView {
            id: row.instance.to_string(),
            workflow: row.workflow.to_string(),
            status: row.status.clone(),
            started_at: time(row.started_at),
            updated_at: time(row.updated_at),
            attributes: row.attributes.values().clone(),
        };
        Self { instances: page.rows.iter().map(row).collect(), has_more: page.has_more, next: None }
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        if self.instances.is_empty() {
            return "no instances; a new one is listed a few seconds after its start, see also --since"
                .to_owned();
        }
        let has_attributes = self.instances.iter().any(|it| !it.attributes.is_empty());
        let row = |it: &RowView| {
            let mut row = vec![
                it.id.clone(),
                it.workflow.clone(),
                it.status.clone(),
                it.started_at.clone(),
                it.updated_at.clone(),
            ];
            row.extend(has_attributes.then(|| attributes_text(&it.attributes)));
            row
        };
        let rows: Vec<_> = self.instances.iter().map(row).collect();
        let mut head = vec!["ID", "WORKFLOW", "STATUS", "STARTED", "UPDATED"];
        head.extend(has_attributes.then_some("FOUND BY"));
        let mut text = table(&head, &rows);
        if self.has_more {
            text.push_str("older ones were left out: raise --limit\n");
        }
        text
    }
}
