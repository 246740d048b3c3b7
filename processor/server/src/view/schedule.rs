//! A schedule.

use std::fmt::Write as _;

use millrace_schemas::schedule::{ScheduleState, ScheduleStatus, ScheduledRun, scheduled_workflow};
use millrace_schemas::{InstanceId, WorkflowVersion};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ReadFrom, time};
use crate::output::{shorten, table};

/// One schedule, as it is, and who said so.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, ToSchema)]
pub(crate) struct ScheduleView {
    /// `namespace/name`
    pub(crate) workflow: String,
    /// The version that it follows.
    pub(crate) version: String,
    /// `active`, `paused` or `retired`; `pending` until its owner has seen the definition; `unknown` when nobody could be asked.
    pub(crate) status: String,
    /// Why it is paused.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub(crate) reason: Option<String>,
    /// `every 15m`, `cron 0 6 * * * Europe/Berlin`, `after 5m`
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub(crate) rhythm: String,
    /// `allow`, `skip` or `bufferOne`
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub(crate) overlap: String,
    /// When the next start is due; absent if there is none for now.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub(crate) next_at: Option<String>,
    /// The run whose end is waited for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub(crate) running: Option<RunView>,
    /// The instance that starts when it has ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub(crate) buffered: Option<String>,
    /// The run that was started last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub(crate) last: Option<RunView>,
    /// Why the last run that was waited for did not end well, if so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub(crate) last_error: Option<String>,
    /// Instances that it has started.
    pub(crate) started: u64,
    /// Starts that it has left out.
    pub(crate) skipped: u64,
    /// Runs that it has waited for, and that did not end well.
    pub(crate) failed: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub(crate) read_from: Option<ReadFrom>,
    /// Why the owner did not say so itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub(crate) note: Option<String>,
}

/// An instance that a schedule has started.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, ToSchema)]
pub(crate) struct RunView {
    pub(crate) instance: String,
    /// When it was meant to start.
    pub(crate) scheduled_for: String,
    pub(crate) started_at: String,
    /// Somebody asked for it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    #[schema(required = false)]
    pub(crate) is_triggered: bool,
    /// What `io.millrace.task.completed` must carry as `tasktoken`, of a run that is waited for and whose answer was lost.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(nullable = false)]
    pub(crate) token: Option<String>,
}

/// All of them, by name.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SchedulesView {
    pub(crate) schedules: Vec<ScheduleView>,
}

impl ScheduleView {
    pub(crate) fn new(id: &InstanceId, state: &ScheduleState, read_from: ReadFrom) -> Self {
        let workflow = scheduled_workflow(id).map_or_else(|| id.to_string(), |it| it.to_string());
        let reason = match &state.status {
            ScheduleStatus::Paused { reason } if !reason.is_empty() => Some(reason.clone()),
            ScheduleStatus::Paused { .. } | ScheduleStatus::Active | ScheduleStatus::Retired => None,
        };
        Self {
            workflow,
            version: state.version.version.to_string(),
            status: state.status.name().to_owned(),
            reason,
            rhythm: state.rhythm.to_string(),
            overlap: state.overlap.to_string(),
            next_at: state.next.map(|it| time(it.due)),
            running: state
                .running
                .as_ref()
                .map(|it| RunView { token: Some(format!("{}.1", it.run)), ..RunView::new(it) }),
            buffered: state.buffered.as_ref().map(|it| it.instance.to_string()),
            last: state.last.as_ref().map(RunView::new),
            last_error: state.last_error.clone(),
            started: state.started,
            skipped: state.skipped,
            failed: state.failed,
            read_from: Some(read_from),
            note: None,
        }
    }

    /// One that is deployed, and of which nothing else is known.
    pub(crate) fn without_state(version: &WorkflowVersion, status: &str, note: Option<String>) -> Self {
        Self {
            workflow: version.workflow.to_string(),
            version: version.version.to_string(),
            status: status.to_owned(),
            reason: None,
            rhythm: String::new(),
            overlap: String::new(),
            next_at: None,
            running: None,
            buffered: None,
            last: None,
            last_error: None,
            started: 0,
            skipped: 0,
            failed: 0,
            read_from: None,
            note,
        }
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("schedule  {}\n", self.workflow);
        let mut line = |name: &str, value: &str| {
            if !value.is_empty() {
                // Writing to a `String` cannot fail.
                let _ = writeln!(text, "{name:<8}  {value}");
            }
        };
        let reason = self.reason.as_ref().map_or_else(String::new, |it| format!(": {it}"));
        line("status", &format!("{}{reason}", self.status));
        line("version", &self.version);
        line("rhythm", &self.rhythm);
        line("overlap", &self.overlap);
        line("next", self.next_at.as_deref().unwrap_or("none for now"));
        line("running", &self.running.as_ref().map_or_else(String::new, RunView::text));
        line("buffered", self.buffered.as_deref().unwrap_or_default());
        line("last", &self.last.as_ref().map_or_else(String::new, RunView::text));
        line("error", self.last_error.as_deref().unwrap_or_default());
        line(
            "counts",
            &format!("{} started, {} skipped, {} failed", self.started, self.skipped, self.failed),
        );
        text
    }
}

impl RunView {
    fn new(run: &ScheduledRun) -> Self {
        Self {
            instance: run.instance.to_string(),
            scheduled_for: time(run.nominal),
            started_at: time(run.started_at),
            is_triggered: run.is_triggered,
            token: None,
        }
    }

    fn text(&self) -> String {
        let why = if self.is_triggered { ", triggered" } else { "" };
        format!("{} (started {}{why})", self.instance, self.started_at)
    }
}

impl SchedulesView {
    /// For people.
    pub(crate) fn text(&self) -> String {
        if self.schedules.is_empty() {
            return "no schedules; deploy a definition that has one".to_owned();
        }
        let or_dash = |it: Option<&str>| it.filter(|it| !it.is_empty()).unwrap_or("-").to_owned();
        let row = |it: &ScheduleView| {
            vec![
                it.workflow.clone(),
                it.version.clone(),
                it.status.clone(),
                shorten(&or_dash(Some(&it.rhythm)), 50),
                or_dash(it.next_at.as_deref()),
                or_dash(it.last.as_ref().map(|it| it.scheduled_for.as_str())),
                or_dash(it.running.as_ref().map(|it| it.instance.as_str())),
                it.started.to_string(),
                it.skipped.to_string(),
                it.failed.to_string(),
            ]
        };
        let rows: Vec<_> = self.schedules.iter().map(row).collect();
        let head = [
            "WORKFLOW", "VERSION", "STATUS", "RHYTHM", "NEXT", "LAST", "RUNNING", "STARTED", "SKIPPED",
            "FAILED",
        ];
        table(&head, &rows)
    }
}

#[cfg(test)]
mod tests {
    use millrace_schemas::schedule::{NextStart, schedule_id};
    use millrace_schemas::{TimerId, Timestamp, WorkflowName};

    use super::*;

    fn view() -> ScheduleView {
        let workflow = WorkflowName { namespace: "shop".into(), name: "report".into() };
        let id = schedule_id(&workflow);
        let instance = InstanceId::new("shop.report-2026-03-29T01:00:00Z").expect("an id");
        let at = Timestamp(1_774_746_000_000);
        let run = ScheduledRun { run: 3, instance, nominal: at, started_at: at, is_triggered: false };
        let state = ScheduleState {
            version: WorkflowVersion { workflow, version: "1.2.0".into() },
            status: ScheduleStatus::Paused { reason: "holidays".to_owned() },
            rhythm: "cron 30 2 * * * Europe/Berlin".into(),
            overlap: "skip".into(),
            defined_at: at,
            updated_at: at,
            next: Some(NextStart { timer: TimerId(4), due: Timestamp(1_774_830_600_000) }),
            running: Some(run.clone()),
            buffered: None,
            last: Some(run),
            ended_at: None,
            last_error: Some("card declined".to_owned()),
            decided_until: Some(at),
            started: 4,
            skipped: 7,
            failed: 1,
            next_timer: 5,
            next_run: 4,
        };
        ScheduleView::new(&id, &state, ReadFrom::Owner)
    }

    #[test]
    fn people_see_what_it_does() {
        expect_test::expect![[r#"
            schedule  shop/report
            status    paused: holidays
            version   1.2.0
            rhythm    cron 30 2 * * * Europe/Berlin
            overlap   skip
            next      2026-03-30T00:30:00.000Z
            running   shop.report-2026-03-29T01:00:00Z (started 2026-03-29T01:00:00.000Z)
            last      shop.report-2026-03-29T01:00:00Z (started 2026-03-29T01:00:00.000Z)
            error     card declined
            counts    4 started, 7 skipped, 1 failed
        "#]]
        .assert_eq(&view().text());
        let pending =
            ScheduleView::without_state(&"shop/new/1.0.0".parse().expect("a version"), "pending", None);
        let all = SchedulesView { schedules: vec![pending, view()] };
        expect_test::expect![[r#"
            WORKFLOW     VERSION  STATUS   RHYTHM                         NEXT                      LAST                      RUNNING                           STARTED  SKIPPED  FAILED
            shop/new     1.0.0    pending  -                              -                         -                         -                                 0        0        0
            shop/report  1.2.0    paused   cron 30 2 * * * Europe/Berlin  2026-03-30T00:30:00.000Z  2026-03-29T01:00:00.000Z  shop.report-2026-03-29T01:00:00Z  4        7        1
        "#]].assert_eq(&all.text());
    }

    #[test]
    fn programs_read_what_was_written() {
        let text = serde_json::to_string(&view()).expect("it is JSON");
        let read: ScheduleView = serde_json::from_str(&text).expect("as it was written");
        assert_eq!(read, view());
    }
}
