//! `metadata.millrace.compensate`: the tasks that undo a task.

use std::sync::Arc;

use serde_json::{Value, json};

use super::metadata::COMPENSATE;
use super::{Compiler, Scope};
use crate::program::{Kind, Task, TaskIndex};

impl Compiler<'_, '_> {
    /// What is wrong with it, apart from its tasks.
    pub(super) fn check_compensation(&mut self, list: &Value, pointer: &str) {
        if self.is_compensating {
            let fix = "a `try` around what may fail in it, and its `catch`, say what happens then";
            self.report.error(pointer, "what undoes a task is not undone itself", fix);
        } else if list.as_array().is_none_or(Vec::is_empty) {
            let fix = "write such as `compensate: [{ refund: { call: refund-payment } }]`";
            self.report.error(pointer, "`compensate` is a list with the tasks that undo this one", fix);
        }
    }

    /// The tasks that undo `task`, as one `do`. It runs by itself, when all that was around the task is gone.
    pub(super) fn compensation(
        &mut self,
        task: &Value,
        scope: &Scope,
        parent: TaskIndex,
    ) -> Option<TaskIndex> {
        let list = task.get("metadata")?.get("millrace")?.get(COMPENSATE)?;
        if self.is_compensating || list.as_array().is_none_or(Vec::is_empty) || self.is_full(scope) {
            return None;
        }
        let scope = Scope {
            // It sees what the task was given and has given, not the loops around it.
            locals: Vec::new(),
            depth: scope.depth + 1,
            ..scope.below("metadata").below("millrace").below(COMPENSATE)
        };
        let index = self.place();
        self.is_compensating = true;
        let body = self.block(list, &scope, Some(index));
        self.is_compensating = false;
        self.tasks[index.0 as usize] = Some(Task {
            index,
            parent: Some(parent),
            name: COMPENSATE.into(),
            reference: scope.reference().into(),
            definition: Arc::new(json!({ "do": list })),
            kind: Kind::Do { body },
            ..Task::empty()
        });
        Some(index)
    }
}
