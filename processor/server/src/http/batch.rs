//! The same for many instances: a filter as in the list, and what is asked of each that it finds.
//!
//! The answer is a stream of JSON lines, one for each instance, and it goes no faster than it is taken: who stops reading stops the batch.
//! A batch that was cut off goes on where the last line says that it was.

use std::time::Duration;

use axum::body::{Body as HttpBody, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt as _};
use millrace_schemas::command::{Answer, Command};
use millrace_schemas::{EventId, InstanceId};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use utoipa::ToSchema;
use uuid::Uuid;

use super::asking::{self, Naming, Until, Waiting};
use super::caller::{Admin, Caller};
use super::document::Failed;
use super::extract::{Body, IdempotencyKey};
use super::filter::Filter;
use super::instances::StatusSchema;
use super::verbs::note_reason;
use super::{Api, ApiError, code, cursor};
use crate::requests::commands;
use crate::requests::selection::{Place, Selection};
use crate::traces::requests::{cause, for_cause};

/// Most instances of one batch.
const INSTANCES_MAX: u32 = 100_000;
/// Most instances of one page of it.
const PAGE: u32 = 200;
/// Most events a second.
const RATE_MAX: u32 = 1_000;
/// How many outcomes are waited for side by side.
const AT_ONCE: usize = 16;
/// How long each is waited for.
const OUTCOME_MAX: &str = "30s";

/// What to do with whom.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchRequest {
    filter: BatchFilter,
    action: Action,
    /// Only say which instances are meant.
    #[serde(default)]
    #[schema(required = false)]
    dry_run: bool,
    /// At most so many instances; 1,000 unless said.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100_000)]
    limit: Option<u32>,
    /// At most so many events a second; 50 unless said.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1_000)]
    rate: Option<u32>,
    /// Wait for each until it is accepted or refused, and say so.
    #[serde(default)]
    #[schema(required = false)]
    wait: bool,
    /// Where to go on: `cursor` of the last line of a batch that was cut off.
    #[serde(default)]
    cursor: Option<String>,
}

/// Which instances, as of their last snapshots.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BatchFilter {
    /// `namespace/name`, all versions of it.
    #[schema(example = "shop/order")]
    workflow: String,
    /// How they stand.
    #[serde(default)]
    #[schema(value_type = Option<StatusSchema>)]
    status: Option<String>,
    /// Started at this time or after it (RFC 3339).
    #[serde(default)]
    since: Option<String>,
    /// Started before this time (RFC 3339).
    #[serde(default)]
    until: Option<String>,
    /// `NAME=VALUE`: found by these search attributes, by all of them.
    #[serde(default)]
    #[schema(required = false, max_items = 16)]
    r#where: Vec<String>,
}

/// What is asked of each.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
enum Action {
    /// End it.
    Cancel {
        /// For people.
        #[serde(default)]
        #[schema(required = false)]
        reason: String,
        /// Undo first what it has done.
        #[serde(default)]
        #[schema(required = false)]
        compensate: bool,
    },
    /// Hold it.
    Suspend {
        /// For people.
        #[serde(default)]
        #[schema(required = false)]
        reason: String,
    },
    /// Let it go on.
    Resume {
        /// For people.
        #[serde(default)]
        #[schema(required = false)]
        reason: String,
    },
    /// Begin its failed tasks again.
    Retry {
        /// Who asks; behind a token, whoever the caller acts for.
        #[serde(default)]
        by: Option<String>,
        /// For people.
        #[serde(default)]
        #[schema(required = false)]
        reason: String,
    },
}

impl Action {
    fn command(self, caller: &Caller) -> Command {
        match self {
            Self::Cancel { reason, compensate } => Command::Cancel { reason, compensate },
            Self::Suspend { reason } => Command::Suspend { reason },
            Self::Resume { reason } => Command::Resume { reason },
            Self::Retry { by, reason } => {
                Command::Retry { task: None, input: None, by: caller.by(by.as_deref()), reason }
            }
        }
    }
}

/// A line of the answer: one for each instance, and one at the end.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum BatchLine {
    /// An instance that is meant.
    Instance {
        id: String,
        /// `planned` in a dry run, `sent`, `accepted`, `refused`, `timed_out`, or `failed`: then the batch ends.
        outcome: String,
        /// Why it was refused, or has failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        error: Option<ApiError>,
        /// Where a batch would go on behind this one.
        cursor: String,
    },
    /// The last line of a batch that was not cut off.
    End {
        /// How many instances were meant.
        instances: u32,
        accepted: u32,
        refused: u32,
        /// Whether more are meant than the limit; the last cursor says where to go on.
        has_more: bool,
        /// Why it ended before its end.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schema(nullable = false)]
        error: Option<ApiError>,
    },
}

/// Do the same with many instances
///
/// The answer comes line by line (JSON lines), as fast as it is read: who stops reading stops the batch. With the same `Idempotency-Key` the
/// events have the same names again.
#[utoipa::path(
    post, path = "/v1/batch", tag = "instances", operation_id = "runBatch",
    params(super::document::KeyHeader), request_body = BatchRequest,
    responses(
        (status = 200, description = "A line for each instance, then one at the end", body = BatchLine, content_type = "application/x-ndjson"),
        Failed,
    )
)]
pub(crate) async fn run(
    State(api): State<Api>,
    Admin(caller): Admin,
    key: Option<IdempotencyKey>,
    Body(request): Body<BatchRequest>,
) -> Result<Response, ApiError> {
    let BatchRequest { filter, action, dry_run, limit, rate, wait, cursor } = request;
    let limit = limit.unwrap_or(1_000);
    let rate = rate.unwrap_or(50);
    for (name, number, max) in [("limit", limit, INSTANCES_MAX), ("rate", rate, RATE_MAX)] {
        if !(1..=max).contains(&number) {
            return Err(ApiError::invalid(format!("{name}={number} is not between 1 and {max}")));
        }
    }
    let selection = Filter {
        workflow: Some(&filter.workflow),
        status: filter.status.as_deref(),
        since: filter.since.as_deref(),
        until: filter.until.as_deref(),
        conditions: &filter.r#where,
    }
    .selection(&api)?;
    let after = cursor.as_deref().map(cursor::decode::<Place>).transpose()?;
    let command = action.command(&caller);
    note_reason(&caller, &command);
    let batch = key.as_ref().map_or_else(|| Uuid::now_v7().to_string(), |it| it.0.clone());
    caller.about(|it| {
        it.subject = Some(filter.workflow.clone());
        it.event = Some(format!("{} {batch}", caller.source()));
        it.outcome = Some(if dry_run { "dry run" } else { command.name() }.to_owned());
    });
    if api.turns.batches.available_permits() == 0 {
        return Err(ApiError::new(code::BUSY, "too many batches run already; try again later"));
    }
    let naming = Naming::of(key.as_ref());
    let batch = Batch { api, caller, selection, command, batch, naming, dry_run, limit, rate, wait };
    let (lines, receiver) = mpsc::channel(1);
    // A task of its own knows of no request.
    tokio::spawn(for_cause(cause(), batch.run(after, lines)));
    let body = stream::unfold(receiver, async |mut it| {
        let line: BatchLine = it.recv().await?;
        let mut text = serde_json::to_vec(&line).expect("a line is plain data");
        text.push(b'\n');
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(text)), it))
    });
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((headers, HttpBody::from_stream(body)).into_response())
}

/// One that runs.
struct Batch {
    api: Api,
    caller: Caller,
    selection: Selection,
    command: Command,
    /// Begins the names of its events.
    batch: String,
    naming: Naming,
    dry_run: bool,
    limit: u32,
    rate: u32,
    wait: bool,
}

/// How many of what so far.
#[derive(Debug, Default)]
struct Counts {
    instances: u32,
    accepted: u32,
    refused: u32,
}

/// What became of one instance.
struct Done {
    outcome: &'static str,
    error: Option<ApiError>,
}

impl Batch {
    async fn run(self, after: Option<Place>, lines: mpsc::Sender<BatchLine>) {
        let _turn = self.api.turns.batches.acquire().await.expect("it is never closed");
        let mut counts = Counts::default();
        let ended = self.pages(after, &lines, &mut counts).await;
        let (has_more, error) = match ended {
            Ok(has_more) => (has_more, None),
            Err(error) => (true, error),
        };
        let Counts { instances, accepted, refused } = counts;
        // Whoever has gone hears nothing more.
        let _ = lines.send(BatchLine::End { instances, accepted, refused, has_more, error }).await;
    }

    /// Whether there are more than the limit. The error is why it stops early; none when nobody reads.
    async fn pages(
        &self,
        mut after: Option<Place>,
        lines: &mpsc::Sender<BatchLine>,
        counts: &mut Counts,
    ) -> Result<bool, Option<ApiError>> {
        let mut pace = Pace::new(self.rate);
        loop {
            let left = self.limit - counts.instances;
            if left == 0 {
                return Ok(true);
            }
            let page = self.selection.page(&self.api.store, after.clone(), left.min(PAGE)).await;
            let page = page.map_err(|error| Some(ApiError::of_store(error)))?;
            let rows = page.rows.iter().map(|it| (it.started_at, it.instance.clone()));
            let work: Vec<(Place, Instant)> = rows.map(|it| (it, pace.next(!self.dry_run))).collect();
            let mut doing = stream::iter(work)
                .map(|(place, at)| async move {
                    sleep_until(at).await;
                    let done = self.one(&place.1).await;
                    (place, done)
                })
                .buffered(if self.wait { AT_ONCE } else { 1 });
            while let Some((place, Done { outcome, error })) = doing.next().await {
                counts.instances += 1;
                counts.accepted += u32::from(outcome == "accepted");
                counts.refused += u32::from(outcome == "refused");
                let failed = (outcome == "failed").then(|| error.clone()).flatten();
                let line = BatchLine::Instance {
                    id: place.1.to_string(),
                    outcome: outcome.to_owned(),
                    error,
                    cursor: cursor::encode(&place),
                };
                after = Some(place);
                lines.send(line).await.map_err(|_| None)?;
                if failed.is_some() {
                    return Err(failed);
                }
                if self.api.closing.is_cancelled() {
                    let message = "this processor stops; ask another one to go on behind the last cursor";
                    return Err(Some(ApiError::new(code::BUSY, message)));
                }
            }
            if !page.has_more {
                return Ok(false);
            }
        }
    }

    async fn one(&self, id: &InstanceId) -> Done {
        if self.dry_run {
            return Done { outcome: "planned", error: None };
        }
        let source = self.caller.source();
        let event_id = EventId { source, id: format!("{}/{id}", self.batch) };
        let event = commands::event(event_id, id, &self.command);
        let wait = self.wait.then_some(Until::Accepted);
        let waiting = Waiting { wait, timeout: Some(OUTCOME_MAX.to_owned()) };
        // What the audit log has is about the batch.
        let caller = Caller::new(self.caller.name.clone(), self.caller.role, None);
        let asked =
            asking::ask(&self.api, &caller, id, event, self.naming, (Answer::Outcome, &waiting)).await;
        match asked {
            Ok(view) => Done { outcome: view.answer.map_or("sent", asking::AnswerName::name), error: None },
            Err(error) if error.status().is_server_error() => Done { outcome: "failed", error: Some(error) },
            Err(error) => Done { outcome: "refused", error: Some(error) },
        }
    }
}

/// When the next event may be sent.
struct Pace {
    next: Instant,
    between: Duration,
}

impl Pace {
    fn new(rate: u32) -> Self {
        Self { next: Instant::now(), between: Duration::from_secs(1) / rate }
    }

    fn next(&mut self, counts: bool) -> Instant {
        let at = self.next.max(Instant::now());
        if counts {
            self.next = at + self.between;
        }
        at
    }
}
