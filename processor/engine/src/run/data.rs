//! The way out of a task: `output.as`, `output.schema`, `export.as`, `export.schema`.

use millrace_schemas::event::{Event, TaskError};
use millrace_schemas::instance::Execution;
use millrace_schemas::{ExecutionId, Payload};
use millrace_workflow::program::{ExportModel, Flow, OutputModel, Task};

use super::compensation::Done;
use super::enter::Entering;
use super::{Next, Trouble};
use crate::journal::{Journal, Stop};
use crate::problem;
use crate::variables::{View, readable};

/// What leaves a task.
struct Shaped {
    output: Payload,
    context: Option<Payload>,
}

impl Journal<'_> {
    fn shape(&self, task: &Task, raw_output: Payload, view: View<'_>) -> Result<Shaped, TaskError> {
        let (output, context) = self.shape_by(task, &task.output, task.export.as_ref(), raw_output, view)?;
        Ok(Shaped { output, context })
    }

    /// As [`Self::shape`], by other models than the task's own. Gives the output and the new `$context`.
    pub(super) fn shape_by(
        &self,
        task: &Task,
        model: &OutputModel,
        export: Option<&ExportModel>,
        raw_output: Payload,
        view: View<'_>,
    ) -> Result<(Payload, Option<Payload>), TaskError> {
        let view = View { raw_output: Some(&raw_output), ..view };
        let output = match &model.as_ {
            Some(as_) => {
                self.fill(as_, raw_output.value(), &View { output: Some(&raw_output), ..view.clone() })?
            }
            // Forks and listens wrap what they are given.
            None => readable(raw_output.clone(), &task.reference)?,
        };
        if let Some(schema) = &model.schema {
            let valid = schema.validate(output.value());
            valid.map_err(|detail| problem::validation(&task.reference, format!("output: {detail}")))?;
        }
        let Some(export) = export else { return Ok((output, None)) };
        let context = self.fill(&export.as_, output.value(), &View { output: Some(&output), ..view })?;
        if let Some(schema) = &export.schema {
            let valid = schema.validate(context.value());
            valid.map_err(|detail| problem::validation(&task.reference, format!("export: {detail}")))?;
        }
        Ok((output, Some(context)))
    }

    /// A task that ends as soon as it is entered.
    pub(super) fn end_at_once(
        &mut self,
        entering: &Entering<'_>,
        raw_output: Payload,
        flow: Flow,
    ) -> Result<(), Trouble> {
        let Shaped { output, context } = self.shape(entering.task, raw_output, entering.view(self.at()))?;
        self.record(Event::TaskRan {
            parent: entering.scope,
            task: entering.task.reference.clone(),
            iteration: entering.iteration.clone(),
            output: (!output.is_same(&entering.raw)).then_some(output),
            context,
        })?;
        self.keep_compensation(
            entering.task,
            entering.scope,
            Done {
                iteration: entering.iteration.clone(),
                attempt: entering.attempt,
                input: entering.input.clone(),
            },
        )?;
        self.todo.push(Next::After { scope: entering.scope, task: entering.task.index, flow });
        Ok(())
    }

    /// An open task ends well. `joined` is the `$context` that a fork gives to its own `export`, and passes on without one.
    pub(crate) fn finish(
        &mut self,
        id: ExecutionId,
        raw_output: Payload,
        joined: Option<Payload>,
    ) -> Result<(), Stop> {
        self.finish_then(id, raw_output, joined, None)
    }

    /// As [`Self::finish`]; the flow goes where `then` says, if it says so.
    pub(super) fn finish_then(
        &mut self,
        id: ExecutionId,
        raw_output: Payload,
        joined: Option<Payload>,
        then: Option<Flow>,
    ) -> Result<(), Stop> {
        let execution = self.execution(id);
        let Some(scope) = execution.parent else { return self.end_instance(id, raw_output) };
        let task = self.task_of(execution);
        let view = View { context: joined.as_ref(), ..View::of_open(execution, task) };
        let flow = then.or_else(|| self.flow_after(execution)).unwrap_or(task.then);
        match self.shape(task, raw_output, view) {
            Ok(Shaped { output, context }) => {
                let Execution { iteration, attempt, input, .. } = execution;
                let done = Done { iteration: iteration.clone(), attempt: *attempt, input: input.clone() };
                self.record(Event::TaskCompleted { execution: id, output, context: context.or(joined) })?;
                self.keep_compensation(task, scope, done)?;
                self.todo.push(Next::After { scope, task: task.index, flow });
                Ok(())
            }
            Err(error) => self.fault(id, error, true),
        }
    }

    /// The workflow ends well, from within `scope`. What undoes a task is no part of the workflow: it ends by itself.
    pub(super) fn end_instance(&mut self, scope: ExecutionId, raw_output: Payload) -> Result<(), Stop> {
        if self.is_compensating() {
            let compensation = self.compensation_around(scope);
            return self.finish(compensation, raw_output, None);
        }
        match self.instance_output(raw_output) {
            Ok(output) => {
                self.ends_from = Some(scope);
                self.record(Event::InstanceCompleted { output })
            }
            Err(error) => self.fault_instance(error),
        }
    }

    fn instance_output(&self, raw_output: Payload) -> Result<Payload, TaskError> {
        let program = self.program;
        let input = self.state().input.clone();
        let view = View { input: Some(&input), ..View::of(ExecutionId::ROOT, None, self.state().started_at) };
        let output = match &program.output.as_ {
            Some(as_) => self.fill(as_, raw_output.value(), &View { output: Some(&raw_output), ..view })?,
            None => raw_output,
        };
        if let Some(schema) = &program.output.schema {
            let valid = schema.validate(output.value());
            valid.map_err(|detail| problem::validation("/", format!("output of the workflow: {detail}")))?;
        }
        Ok(output)
    }
}
