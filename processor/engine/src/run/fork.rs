//! `fork`: branches side by side, and their join.

use millrace_schemas::event::{Activity, Event};
use millrace_schemas::instance::ExecutionState;
use millrace_schemas::{ExecutionId, Payload};
use millrace_workflow::program::{Flow, Kind, TaskIndex};
use serde_json::Value;

use super::enter::Entering;
use super::{Next, Trouble};
use crate::apply::branch_index;
use crate::journal::{Journal, Stop};

impl Journal<'_> {
    pub(super) fn enter_fork(
        &mut self,
        entering: &Entering<'_>,
        branches: &[TaskIndex],
    ) -> Result<(), Trouble> {
        if branches.is_empty() {
            let nothing = Payload::from(Value::Array(vec![]));
            return self.end_at_once(entering, nothing, entering.task.then);
        }
        let count = u32::try_from(branches.len()).expect("admission bounds the number of tasks");
        let deadline = self.deadline(entering)?;
        let scope = self.open(entering, deadline, Activity::Branches { count })?;
        self.todo.extend(branches.iter().rev().map(|task| Next::Enter { scope, task: *task, then: None }));
        Ok(())
    }

    /// A branch has ended well. Within a fork, `continue` and `exit` are the same: the branch is one task.
    pub(super) fn branch_ended(
        &mut self,
        fork: ExecutionId,
        task: TaskIndex,
        flow: Flow,
    ) -> Result<(), Stop> {
        let execution = self.execution(fork);
        let ExecutionState::Branches { branches } = &execution.state else {
            unreachable!("a scope that runs no list runs branches");
        };
        let definition = self.task_of(execution);
        let reference = &self.program.task(task).reference;
        let ended = branch_index(&definition.reference, reference).and_then(|it| branches.get(it));
        let ended = ended.expect("a branch of a fork is one of its branches");
        let output = ended.output.clone().expect("a branch that ended has an output");
        match flow {
            Flow::Continue | Flow::Exit => {}
            Flow::End => return self.end_instance(fork, output),
            Flow::Goto(_) => return self.astray(fork, task),
        }
        if matches!(definition.kind, Kind::Fork { compete: true, .. }) {
            let context = ended.context.clone();
            self.cancel_children(fork)?;
            return self.finish(fork, output, context);
        }
        let outputs: Option<Vec<Value>> =
            branches.iter().map(|it| it.output.as_ref().map(|it| it.value().clone())).collect();
        let Some(outputs) = outputs else { return Ok(()) };
        // Exports replace `$context`, in the order of the definition: the last one stays.
        let context = branches.iter().rev().find_map(|it| it.context.clone());
        self.finish(fork, Payload::from(Value::Array(outputs)), context)
    }

    /// Ends what is open directly below a scope, and with it all that is below.
    pub(crate) fn cancel_children(&mut self, scope: ExecutionId) -> Result<(), Stop> {
        let executions = self.state().executions.range(scope..);
        let children: Vec<_> =
            executions.filter(|(_, it)| it.parent == Some(scope)).map(|(id, _)| *id).collect();
        children.into_iter().try_for_each(|execution| self.record(Event::TaskCancelled { execution }))
    }
}
