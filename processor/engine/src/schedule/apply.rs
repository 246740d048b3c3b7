//! What each event does to the state.

use millrace_schemas::schedule::{
    BufferedStart, NextStart, ScheduleEvent, ScheduleState, ScheduleStatus, ScheduledRun,
};
use millrace_schemas::{InstanceId, TimerId, Timestamp};

use crate::Corrupt;

pub(super) fn apply(
    id: &InstanceId,
    state: &mut Option<ScheduleState>,
    event: &ScheduleEvent,
    at: Timestamp,
) -> Result<(), Corrupt> {
    let corrupt = |detail: &str| {
        Err(Corrupt { instance: id.clone(), event: event.name().to_owned(), detail: detail.to_owned() })
    };
    let Some(it) = state else {
        let ScheduleEvent::ScheduleDefined { version, rhythm, overlap } = event else {
            return corrupt("the schedule does not exist");
        };
        *state = Some(ScheduleState {
            version: version.clone(),
            status: ScheduleStatus::Active,
            rhythm: rhythm.clone(),
            overlap: overlap.clone(),
            defined_at: at,
            updated_at: at,
            next: None,
            running: None,
            buffered: None,
            last: None,
            ended_at: None,
            last_error: None,
            decided_until: None,
            started: 0,
            skipped: 0,
            failed: 0,
            next_timer: 0,
            next_run: 0,
        });
        return Ok(());
    };
    match event {
        ScheduleEvent::ScheduleDefined { version, rhythm, overlap } => {
            it.version = version.clone();
            it.rhythm = rhythm.clone();
            it.overlap = overlap.clone();
            it.defined_at = at;
            if it.status == ScheduleStatus::Retired {
                it.status = ScheduleStatus::Active;
            }
        }
        ScheduleEvent::ScheduleRetired { version } => {
            it.version = version.clone();
            it.defined_at = at;
            it.status = ScheduleStatus::Retired;
            stop(it);
        }
        ScheduleEvent::SchedulePaused { .. } if it.status != ScheduleStatus::Active => {
            return corrupt("it starts nothing as it is");
        }
        ScheduleEvent::SchedulePaused { reason } => {
            it.status = ScheduleStatus::Paused { reason: reason.clone() };
            stop(it);
        }
        ScheduleEvent::ScheduleResumed { .. } if !matches!(it.status, ScheduleStatus::Paused { .. }) => {
            return corrupt("it is not paused");
        }
        ScheduleEvent::ScheduleResumed { .. } => it.status = ScheduleStatus::Active,
        ScheduleEvent::NextStartSet { timer, .. } if *timer != TimerId(it.next_timer) => {
            return corrupt("its timers are numbered in order");
        }
        ScheduleEvent::NextStartSet { .. } if it.status != ScheduleStatus::Active => {
            return corrupt("it starts nothing as it is");
        }
        ScheduleEvent::NextStartSet { timer, due } => {
            it.next = Some(NextStart { timer: *timer, due: *due });
            it.next_timer += 1;
        }
        ScheduleEvent::NextStartCleared => it.next = None,
        ScheduleEvent::RunStarted { run, is_awaited, .. }
            if *run != it.next_run || (*is_awaited && it.running.is_some()) =>
        {
            return corrupt("its runs are numbered in order, and one is waited for at a time");
        }
        ScheduleEvent::RunStarted { run, instance, nominal, is_triggered, is_awaited } => {
            let (run, instance, is_triggered) = (*run, instance.clone(), *is_triggered);
            let run = ScheduledRun { run, instance, nominal: *nominal, started_at: at, is_triggered };
            it.next_run += 1;
            it.started += 1;
            if it.buffered.as_ref().is_some_and(|it| it.instance == run.instance) {
                it.buffered = None;
            }
            decided(it, *nominal, is_triggered);
            if *is_awaited {
                it.running = Some(run.clone());
            }
            it.last = Some(run);
        }
        ScheduleEvent::StartBuffered { .. } if it.buffered.is_some() => {
            return corrupt("one start waits already");
        }
        ScheduleEvent::StartBuffered { instance, nominal, is_triggered } => {
            let (instance, is_triggered) = (instance.clone(), *is_triggered);
            it.buffered = Some(BufferedStart { instance, nominal: *nominal, is_triggered });
            decided(it, *nominal, is_triggered);
        }
        ScheduleEvent::StartsSkipped { count, last, .. } => {
            it.skipped = it.skipped.saturating_add(*count);
            decided(it, *last, false);
        }
        ScheduleEvent::RunEnded { run, .. } if it.running.as_ref().is_none_or(|it| it.run != *run) => {
            return corrupt("this run is not waited for");
        }
        ScheduleEvent::RunEnded { error, .. } => {
            it.running = None;
            it.ended_at = Some(at);
            it.failed += u64::from(error.is_some());
            it.last_error = error.clone();
        }
    }
    it.updated_at = at;
    Ok(())
}

/// A nominal time was decided.
fn decided(it: &mut ScheduleState, nominal: Timestamp, is_triggered: bool) {
    if !is_triggered {
        it.decided_until = it.decided_until.max(Some(nominal));
    }
}

/// Nothing starts any more: neither by the clock nor what waits for the end of a run.
fn stop(it: &mut ScheduleState) {
    it.next = None;
    it.skipped += u64::from(it.buffered.take().is_some());
}
