//! How instances look from outside: the JSON of the HTTP API and of `--output json`, and the text for people. The field names
//! are a contract; they are listed in `processor/server/README.md`.

mod found;
mod graph;
mod history;
mod instance;
mod listing;
mod query;
mod rewound;
mod schedule;

pub(crate) use found::{FoundView, ReadFrom};
pub(crate) use graph::GraphView;
pub(crate) use history::{EntryView, HistoryView};
pub(crate) use instance::{InstanceView, error_text};
pub(crate) use listing::{ListView, StatusName};
pub(crate) use query::QueryView;
pub(crate) use rewound::{EndedView, EnteredView, RewoundView};
pub(crate) use schedule::{ScheduleView, SchedulesView};

use millrace_schemas::Timestamp;
use utoipa::ToSchema;

/// How an error of a task looks: RFC 7807, as `TaskError` writes it.
#[derive(Debug, ToSchema)]
#[schema(as = TaskError)]
#[expect(dead_code, reason = "it says how another type looks in JSON")]
pub(crate) struct TaskErrorSchema {
    /// A URI.
    r#type: String,
    status: u16,
    /// JSON pointer of the task.
    #[schema(required = false)]
    instance: Option<String>,
    #[schema(required = false)]
    title: Option<String>,
    #[schema(required = false)]
    detail: Option<String>,
}

/// RFC 3339, UTC, with milliseconds. A time outside of the years that jiff knows is shown as its number.
pub(crate) fn time(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |it| format!("{it:.3}"))
}
