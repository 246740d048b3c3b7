//! How the flow goes from task to task.
//!
//! [`Journal::run`] works off a stack of [`Next`]s until nothing moves any more without a command from outside: no recursion,
//! so a long list or a deep nesting costs no stack. A fork puts its branches on the stack, first one on top, so branches run
//! one after the other as far as they get. What lies on the stack for a scope that has gone meanwhile is dropped.

mod call;
mod catch;
mod child;
mod compensation;
mod data;
mod emit;
mod enter;
mod extended;
mod fault;
mod flow;
mod fork;
mod listen;
mod looping;
mod simple;
mod subscribe;

use millrace_schemas::event::TaskError;
use millrace_schemas::{ExecutionId, Payload};
use millrace_workflow::program::{Flow, TaskIndex};

use crate::journal::{Journal, Stop};

pub(crate) use child::child_id;
pub use child::refused_start;
pub(crate) use enter::data;
pub(crate) use listen::{read, wanted};

/// One thing to do next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Enter a task of a scope. `then`: where the flow goes after it, when not where the task says.
    Enter { scope: ExecutionId, task: TaskIndex, then: Option<Flow> },
    /// Enter a task of a scope again: it was halted. With `input` it is given that.
    Again { scope: ExecutionId, task: TaskIndex, then: Option<Flow>, input: Option<Payload> },
    /// Undo the task that has ended last, or end.
    Compensate,
    /// Begin the list of a scope at its first task.
    Begin { scope: ExecutionId },
    /// A task of a scope has ended well and its output has been applied.
    After { scope: ExecutionId, task: TaskIndex, flow: Flow },
    /// A task of a scope has ended with an error.
    Faulted { scope: ExecutionId, error: TaskError, retriable: bool },
}

impl Next {
    fn scope(&self) -> ExecutionId {
        match self {
            Self::Compensate => ExecutionId::ROOT,
            Self::Enter { scope, .. }
            | Self::Again { scope, .. }
            | Self::Begin { scope }
            | Self::After { scope, .. }
            | Self::Faulted { scope, .. } => *scope,
        }
    }
}

/// Why a task could not be entered.
enum Trouble {
    /// It ends with an error.
    Task(TaskError),
    /// The whole decision ends.
    Stop(Stop),
}

impl From<TaskError> for Trouble {
    fn from(error: TaskError) -> Self {
        Self::Task(error)
    }
}

impl From<Stop> for Trouble {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl Journal<'_> {
    /// Goes on until everything open waits for something from outside, or the instance has ended.
    pub(crate) fn run(&mut self) -> Result<(), Stop> {
        while let Some(next) = self.todo.pop() {
            if !self.is_open(next.scope()) {
                continue;
            }
            match next {
                Next::Enter { scope, task, then } => self.enter(scope, task, then, None)?,
                Next::Again { scope, task, then, input } => self.enter_again(scope, task, then, input)?,
                Next::Compensate => self.compensate()?,
                Next::Begin { scope } => self.begin(scope)?,
                Next::After { scope, task, flow } => self.after(scope, task, flow)?,
                Next::Faulted { scope, error, retriable } => self.faulted(scope, error, retriable)?,
            }
        }
        Ok(())
    }
}
