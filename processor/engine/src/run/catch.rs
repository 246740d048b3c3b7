//! `try`: which errors it catches, and what it does with them.

use std::time::Duration;

use millrace_schemas::event::{Activity, Event, TaskError, TimerPurpose};
use millrace_schemas::{ExecutionId, TimerId, Timestamp};
use millrace_workflow::admission::errors::canonical_type;
use millrace_workflow::expression::Expression;
use millrace_workflow::program::{ErrorFilter, Kind, Retry, Try};
use serde_json::Value;

use super::enter::Entering;
use super::{Next, Trouble};
use crate::journal::{Journal, Stop};
use crate::timing;
use crate::variables::{View, error_value};

impl<'s> Journal<'s> {
    pub(super) fn enter_try(&mut self, entering: &Entering<'_>, it: &Try) -> Result<(), Trouble> {
        let limit = self.attempt_deadline(it, entering.input.value(), &entering.view(self.at()))?;
        let deadline = self.deadline(entering)?;
        let scope = self.open(entering, deadline, Activity::Trying)?;
        if let Some(due) = limit {
            self.set_timer(scope, due, TimerPurpose::AttemptTimeout)?;
        }
        self.todo.push(Next::Begin { scope });
        Ok(())
    }

    /// When an attempt that begins now has taken too long, if there is such a limit.
    fn attempt_deadline(
        &self,
        it: &Try,
        input: &Value,
        view: &View<'_>,
    ) -> Result<Option<Timestamp>, TaskError> {
        let limit = it.catch.retry.as_ref().and_then(|it| it.attempt_duration_max.as_ref());
        limit.map(|it| Ok(self.at().plus(self.duration(it, input, view)?))).transpose()
    }

    /// The pause before a retry is over.
    pub(crate) fn retry(&mut self, id: ExecutionId) -> Result<(), Stop> {
        self.record(Event::RetryStarted { execution: id })?;
        let execution = self.execution(id);
        let it = self.try_of(id);
        let view = View::of_open(execution, self.task_of(execution));
        match self.attempt_deadline(it, execution.input.value(), &view) {
            Ok(Some(due)) => self.set_timer(id, due, TimerPurpose::AttemptTimeout)?,
            Ok(None) => {}
            Err(error) => return self.fault(id, error, true),
        }
        self.todo.push(Next::Begin { scope: id });
        Ok(())
    }

    /// A `try` looks at an error: retries, runs `catch.do`, or lets it pass.
    pub(super) fn consider(
        &mut self,
        id: ExecutionId,
        error: TaskError,
        retriable: bool,
        retries: u32,
    ) -> Result<(), Stop> {
        match self.verdict(id, &error, retriable, retries) {
            Err(error) => self.fault(id, error, true),
            Ok(Verdict::Pass) => self.fault(id, error, retriable),
            Ok(Verdict::Retry(due)) => {
                self.clear_timer(id, TimerPurpose::AttemptTimeout)?;
                let timer = TimerId(self.state().next_timer);
                self.record(Event::RetryScheduled { execution: id, error, timer, due })
            }
            Ok(Verdict::Catch) => {
                self.clear_timer(id, TimerPurpose::AttemptTimeout)?;
                self.record(Event::ErrorCaught { execution: id, error })?;
                self.todo.push(Next::Begin { scope: id });
                Ok(())
            }
        }
    }

    fn verdict(
        &mut self,
        id: ExecutionId,
        error: &TaskError,
        retriable: bool,
        retries: u32,
    ) -> Result<Verdict, TaskError> {
        if !self.catches(id, error)? {
            return Ok(Verdict::Pass);
        }
        let Try { catch, .. } = self.try_of(id);
        let execution = self.execution(id).clone();
        let locals = [(catch.as_.clone(), error_value(error))];
        let view = View { locals: &locals, ..View::of_open(&execution, self.task_of(&execution)) };
        let input = execution.input.value();
        let Some(retry) = catch.retry.as_ref().filter(|_| retriable) else { return Ok(Verdict::Catch) };
        if retry.count_max.is_some_and(|max| retries >= max)
            || !self.wanted(retry.when.as_ref(), retry.except_when.as_ref(), input, &view)?
        {
            return Ok(Verdict::Catch);
        }
        let due = self.at().plus(self.pause(retry, retries, input, &view)?);
        if let Some(limit) = &retry.duration_max
            && due > execution.started_at.plus(self.duration(limit, input, &view)?)
        {
            return Ok(Verdict::Catch);
        }
        Ok(Verdict::Retry(due))
    }

    /// Whether a `try` catches an error, to retry its list or to run `catch.do`.
    pub(super) fn catches(&self, id: ExecutionId, error: &TaskError) -> Result<bool, TaskError> {
        let Try { catch, .. } = self.try_of(id);
        if !matches(&catch.with, error) {
            return Ok(false);
        }
        let execution = self.execution(id);
        let locals = [(catch.as_.clone(), error_value(error))];
        let view = View { locals: &locals, ..View::of_open(execution, self.task_of(execution)) };
        self.wanted(catch.when.as_ref(), catch.except_when.as_ref(), execution.input.value(), &view)
    }

    fn wanted(
        &self,
        when: Option<&Expression>,
        except_when: Option<&Expression>,
        input: &Value,
        view: &View<'_>,
    ) -> Result<bool, TaskError> {
        if let Some(when) = when
            && !self.holds(when, input, view)?
        {
            return Ok(false);
        }
        except_when.map_or(Ok(true), |it| Ok(!self.holds(it, input, view)?))
    }

    /// How long to wait before the next retry, jitter included.
    fn pause(
        &mut self,
        retry: &Retry,
        retries: u32,
        input: &Value,
        view: &View<'_>,
    ) -> Result<Duration, TaskError> {
        let delay = match &retry.delay {
            Some(delay) => self.duration(delay, input, view)?,
            None => Duration::ZERO,
        };
        let pause = timing::back_off(retry.backoff, delay, retries);
        let Some((from, to)) = &retry.jitter else { return Ok(pause) };
        let (from, to) = (self.duration(from, input, view)?, self.duration(to, input, view)?);
        let random = timing::draw(self.moment.random, self.draws);
        self.draws += 1;
        Ok(pause.saturating_add(timing::jitter(from, to, random)))
    }

    fn try_of(&self, id: ExecutionId) -> &'s Try {
        let Kind::Try(it) = &self.task_of(self.execution(id)).kind else {
            unreachable!("only a `try` tries");
        };
        it
    }
}

enum Verdict {
    Pass,
    Retry(Timestamp),
    Catch,
}

fn matches(filter: &ErrorFilter, error: &TaskError) -> bool {
    let same = |wanted: &Option<String>, is: Option<&String>| wanted.as_ref().is_none_or(|it| Some(it) == is);
    filter.error_type.as_ref().is_none_or(|it| *it == canonical_type(&error.error_type))
        && filter.status.is_none_or(|it| it == error.status)
        && same(&filter.instance, error.instance.as_ref())
        && same(&filter.title, error.title.as_ref())
        && same(&filter.detail, error.detail.as_ref())
}
