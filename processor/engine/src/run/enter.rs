//! Entering a task: `if`, `input`, then what its kind does.

use std::sync::Arc;

use millrace_schemas::event::{Activity, Event, TaskError, TimerPurpose};
use millrace_schemas::instance::{Execution, ExecutionState};
use millrace_schemas::{Attempt, ExecutionId, Payload, TimerId, Timestamp};
use millrace_workflow::program::{Flow, Kind, Task, TaskIndex};

use super::{Next, Trouble};
use crate::journal::{Journal, Stop};
use crate::secrets::Secrets;
use crate::variables::View;
use crate::{iteration, problem};

/// A task that is being entered.
pub(super) struct Entering<'p> {
    pub(super) scope: ExecutionId,
    pub(super) task: &'p Task,
    pub(super) iteration: Arc<str>,
    pub(super) attempt: Attempt,
    /// The data of the scope.
    pub(super) raw: Payload,
    /// After `input.from`.
    pub(super) input: Payload,
    /// Where the flow goes after it, when not where the task says.
    pub(super) then: Option<Flow>,
    /// Texts that stand for the secrets which it names, and `$secrets` made of them.
    pub(super) secrets: Secrets,
}

impl Entering<'_> {
    pub(super) fn view(&self, at: Timestamp) -> View<'_> {
        View {
            input: Some(&self.input),
            secrets: self.secrets.variable(),
            ..View::of(self.scope, Some(self.task), at)
        }
    }
}

/// A task that was halted, and is entered again.
pub(super) struct Again {
    /// What it is given, when not what its scope has for it.
    pub(super) input: Option<Payload>,
}

impl<'s> Journal<'s> {
    pub(super) fn enter(
        &mut self,
        scope: ExecutionId,
        index: TaskIndex,
        then: Option<Flow>,
        again: Option<Again>,
    ) -> Result<(), Stop> {
        let task = self.program.task(index);
        self.task = task.reference.clone();
        if let Some(error) = self.exhausted(scope, task) {
            return match self.is_compensating() {
                true => self.halt(None, scope, task, self.flow_text(then), error),
                false => self.fault_instance(error),
            };
        }
        self.entered += 1;
        match self.enter_kind(scope, task, then, again) {
            Ok(()) => Ok(()),
            Err(Trouble::Stop(stop)) => Err(stop),
            Err(Trouble::Task(error)) if self.halts(scope, &error) => {
                self.halt(None, scope, task, self.flow_text(then), error)
            }
            Err(Trouble::Task(error)) => {
                self.record(Event::TaskFaulted {
                    execution: None,
                    task: task.reference.clone(),
                    error: error.clone(),
                })?;
                self.todo.push(Next::Faulted { scope, error, retriable: true });
                Ok(())
            }
        }
    }

    /// Past a bound nothing can be caught: a `try` around an endless loop would run for ever.
    fn exhausted(&self, scope: ExecutionId, task: &Task) -> Option<TaskError> {
        let bounds = self.bounds;
        let reference = &task.reference;
        if self.state().steps >= bounds.steps_max {
            let max = bounds.steps_max;
            return Some(problem::runtime(
                reference,
                format!(
                    "the instance has entered {max} tasks, the most that one instance may enter (steps_max); split the work over several instances, or raise the bound"
                ),
            ));
        }
        if let Some(error) = self.spinning(reference) {
            return Some(error);
        }
        let nests = match task.kind {
            Kind::Do { .. }
            | Kind::For(_)
            | Kind::Fork { .. }
            | Kind::Try(_)
            | Kind::Function(_)
            | Kind::Extended(_) => true,
            Kind::Set { .. }
            | Kind::Switch { .. }
            | Kind::Raise { .. }
            | Kind::Wait { .. }
            | Kind::Emit(_)
            | Kind::Listen(_)
            | Kind::Call(_)
            | Kind::Child(_) => false,
        };
        if nests && iteration::depth(self.state(), Some(scope)) >= bounds.depth_max {
            let max = bounds.depth_max;
            return Some(problem::runtime(
                reference,
                format!(
                    "the task is nested in {max} others, the deepest that is allowed (depth_max); flatten the definition, or raise the bound"
                ),
            ));
        }
        None
    }

    /// The error when this one command has entered too many tasks.
    pub(super) fn spinning(&self, reference: &str) -> Option<TaskError> {
        let max = self.bounds.steps_per_command_max;
        (self.entered >= max).then(|| {
            problem::runtime(
                reference,
                format!("{max} tasks were entered without waiting for anything, the most that is allowed (steps_per_command_max); look for a loop that never ends, put a `wait` into it, or raise the bound"),
            )
        })
    }

    fn enter_kind(
        &mut self,
        scope: ExecutionId,
        task: &'s Task,
        then: Option<Flow>,
        again: Option<Again>,
    ) -> Result<(), Trouble> {
        let parent = self.execution(scope);
        let raw = data(parent).clone();
        // What an extension does before a task is not its input; and whether it runs is known by then.
        let is_extended = self.is_within_its_extension(parent, task);
        let attempt = if again.is_some() { next_attempt(parent) } else { parent.attempt };
        let given = match again.and_then(|it| it.input) {
            Some(input) => input,
            None if is_extended => parent.input.clone(),
            None => raw.clone(),
        };
        let in_fork = matches!(parent.state, ExecutionState::Branches { .. });
        let iteration = iteration::of_child(self.state(), parent);
        let at = self.at();
        let secrets = self.secrets(task);
        let view = View { secrets: secrets.variable(), ..View::of(scope, Some(task), at) };
        if let Some(condition) = task.condition.as_ref().filter(|_| !is_extended)
            && !self.holds(condition, given.value(), &view)?
        {
            if in_fork {
                // A fork counts its branches; one that is skipped gives the input, like a task that does nothing.
                let task = task.reference.clone();
                self.record(Event::TaskRan { parent: scope, task, iteration, output: None, context: None })?;
            }
            self.todo.push(Next::After { scope, task: task.index, flow: Flow::Continue });
            return Ok(());
        }
        if let Some(schema) = &task.input.schema {
            let valid = schema.validate(given.value());
            valid.map_err(|detail| problem::validation(&task.reference, format!("input: {detail}")))?;
        }
        let input = match &task.input.from {
            Some(from) => self.fill(from, given.value(), &view)?,
            None => given,
        };
        let entering = Entering { scope, task, iteration, attempt, raw, input, then, secrets };
        match &task.kind {
            Kind::Do { body } => self.enter_do(entering, body),
            Kind::Set { value } => self.enter_set(&entering, value),
            Kind::Switch { cases } => self.enter_switch(&entering, cases),
            Kind::For(it) => self.enter_for(&entering, it),
            Kind::Fork { branches, .. } => self.enter_fork(&entering, branches),
            Kind::Try(it) => self.enter_try(&entering, it),
            Kind::Raise { error } => self.enter_raise(&entering, error),
            Kind::Wait { duration } => self.enter_wait(&entering, duration),
            Kind::Emit(it) => self.enter_emit(&entering, it),
            Kind::Listen(it) => self.enter_listen(&entering, it),
            Kind::Call(it) => self.enter_call(&entering, it),
            Kind::Function(it) => self.enter_function(entering, it),
            Kind::Extended(it) => self.enter_extended(&entering, it),
            Kind::Child(it) => self.enter_child(&entering, it),
        }
    }

    /// When the task's own `timeout` will strike, if it has one.
    pub(super) fn deadline(&self, entering: &Entering<'_>) -> Result<Option<Timestamp>, TaskError> {
        let Some(timeout) = &entering.task.timeout else { return Ok(None) };
        let view = entering.view(self.at());
        let duration = self.duration(timeout, entering.input.value(), &view)?;
        Ok(Some(self.at().plus(duration)))
    }

    /// Opens an execution, with a timer for `deadline`.
    pub(super) fn open(
        &mut self,
        entering: &Entering<'_>,
        deadline: Option<Timestamp>,
        activity: Activity,
    ) -> Result<ExecutionId, Stop> {
        let execution = ExecutionId(self.state().next_execution);
        self.record(Event::TaskStarted {
            execution,
            parent: entering.scope,
            task: entering.task.reference.clone(),
            iteration: entering.iteration.clone(),
            attempt: entering.attempt,
            input: (!entering.input.is_same(&entering.raw)).then(|| entering.input.clone()),
            activity,
        })?;
        if let Some(due) = deadline {
            self.set_timer(execution, due, TimerPurpose::Timeout)?;
        }
        Ok(execution)
    }

    /// Sets the next timer.
    pub(crate) fn set_timer(
        &mut self,
        execution: ExecutionId,
        due: Timestamp,
        purpose: TimerPurpose,
    ) -> Result<(), Stop> {
        let timer = TimerId(self.state().next_timer);
        self.record(Event::TimerSet { timer, execution, due, purpose })
    }

    /// Clears an execution's timer of one purpose, if it is set.
    pub(crate) fn clear_timer(&mut self, execution: ExecutionId, purpose: TimerPurpose) -> Result<(), Stop> {
        let timers = &self.state().timers;
        let found = timers
            .iter()
            .find(|(_, it)| it.execution == execution && it.purpose == purpose)
            .map(|(id, _)| *id);
        found.map_or(Ok(()), |timer| self.record(Event::TimerCleared { timer }))
    }
}

/// An attempt that nothing in a scope has used.
pub(super) fn next_attempt(scope: &Execution) -> Attempt {
    Attempt(scope.attempt_seen.0 + 1)
}

/// What flows to the next task of a scope.
pub(crate) fn data(scope: &Execution) -> &Payload {
    match &scope.state {
        ExecutionState::Sequence { data, .. }
        | ExecutionState::Loop { data, .. }
        | ExecutionState::Trying { data, .. }
        | ExecutionState::Catching { data, .. }
        | ExecutionState::Gathering { data, .. } => data,
        ExecutionState::Branches { .. }
        | ExecutionState::BackingOff { .. }
        | ExecutionState::Waiting
        | ExecutionState::Listening { .. }
        | ExecutionState::Calling { .. } => &scope.input,
    }
}
