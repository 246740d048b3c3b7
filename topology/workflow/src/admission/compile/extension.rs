//! `use.extensions`: tasks that are added before and after every task of a kind.
//!
//! What an extension adds is woven in here, so the engine knows one kind of task more and nothing of extensions: [`Extended`], a list
//! with the tasks before, the task itself, and those after, which stands in the list in place of the task.

use std::sync::Arc;

use serde_json::{Value, json};

use super::flow::Jump;
use super::{Compiler, Rebase, Scope};
use crate::expression::{Expression, Template};
use crate::program::{Block, Extended, Flow, InputModel, Kind, OutputModel, Task, TaskIndex};

/// One entry of `use.extensions`.
#[derive(Debug)]
pub(super) struct Extension {
    name: Arc<str>,
    /// The kind of task, or `all`.
    extend: String,
    definition: Value,
    /// Of the definition.
    pointer: String,
}

impl Extension {
    fn extends(&self, keyword: &str) -> bool {
        let kind = if matches!(keyword, "do" | "fork") { "composite" } else { keyword };
        self.extend == "all" || self.extend == kind
    }
}

/// Where a task has come to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    /// What stands in the list.
    pub(super) listed: TaskIndex,
    /// The task itself.
    pub(super) task: TaskIndex,
}

/// What is compiled, and where.
pub(super) struct Item<'i> {
    pub(super) name: &'i str,
    pub(super) keyword: &'static str,
    pub(super) task: &'i Value,
    pub(super) scope: &'i Scope,
}

impl Compiler<'_, '_> {
    /// The extensions of the definition, in its order.
    pub(super) fn extensions(definition: &Value) -> Vec<Arc<Extension>> {
        let entries = definition.get("use").and_then(|it| it.get("extensions")).and_then(Value::as_array);
        let entry = |(index, entry): (usize, &Value)| {
            let (name, definition) = entry.as_object()?.iter().next()?;
            Some(Arc::new(Extension {
                name: name.as_str().into(),
                extend: definition.get("extend")?.as_str()?.to_owned(),
                definition: definition.clone(),
                pointer: format!("/use/extensions/{index}/{}", crate::admission::source::escape(name)),
            }))
        };
        entries.into_iter().flatten().enumerate().filter_map(entry).collect()
    }

    /// A task with the extensions that apply to it. What an extension adds is not extended itself.
    pub(super) fn extended(
        &mut self,
        item: &Item<'_>,
        parent: Option<TaskIndex>,
        jumps: &mut Vec<Jump>,
    ) -> Placed {
        let extensions = if self.is_adding { Vec::new() } else { self.extensions.clone() };
        let extensions: Vec<_> = extensions.into_iter().filter(|it| it.extends(item.keyword)).collect();
        self.wrapped(&extensions, 0, item, parent, jumps)
    }

    fn wrapped(
        &mut self,
        extensions: &[Arc<Extension>],
        number: usize,
        item: &Item<'_>,
        parent: Option<TaskIndex>,
        jumps: &mut Vec<Jump>,
    ) -> Placed {
        let Some((extension, others)) = extensions.split_first() else {
            let task = self.compile_task(item, parent, jumps);
            return Placed { listed: task, task };
        };
        if self.is_full(item.scope) || self.is_too_deep(item.scope) {
            let task = self.place();
            return Placed { listed: task, task };
        }
        let index = self.place();
        let reference = format!("{}/extensions/{number}", item.scope.reference());
        let base = Rebase { length: extension.pointer.len(), reference: reference.clone() };
        let scope = Scope {
            pointer: extension.pointer.clone(),
            base: Some(Arc::new(base)),
            locals: item.scope.locals.clone(),
            depth: item.scope.depth + 1,
        };
        let when = self.expression(&extension.definition, "when", &scope);
        let first = self.tasks.len();
        let before = self.added(&extension.definition, "before", &scope, index);
        let before_end = self.tasks.len();
        let deeper = Scope { depth: item.scope.depth + 1, ..item.scope.clone() };
        let inner = self.wrapped(others, number + 1, &Item { scope: &deeper, ..*item }, Some(index), jumps);
        let after_first = self.tasks.len();
        let after = self.after(extension, &scope, index);
        for added in (first..before_end).chain(after_first..self.tasks.len()) {
            if let Some(task) = &mut self.tasks[added] {
                task.on_behalf_of = Some(inner.task);
            }
        }
        let mut body = before.unwrap_or_default();
        body.tasks.push(inner.listed);
        body.tasks.extend(after);
        let condition = self.tasks[inner.task.0 as usize].as_ref().and_then(|it| it.condition.clone());
        if let Some(task) = &mut self.tasks[inner.listed.0 as usize] {
            task.extended_by = Some(index);
        }
        self.tasks[index.0 as usize] = Some(Task {
            index,
            parent,
            name: Arc::clone(&extension.name),
            reference: reference.into(),
            definition: Arc::new(extension.definition.clone()),
            condition,
            on_behalf_of: Some(inner.task),
            kind: Kind::Extended(Extended { when, body, task: inner.listed, after }),
            ..Task::empty()
        });
        Placed { listed: index, task: inner.task }
    }

    /// One list of the extension.
    fn added(&mut self, extension: &Value, key: &str, scope: &Scope, index: TaskIndex) -> Option<Block> {
        let list = extension.get(key)?;
        let was_adding = std::mem::replace(&mut self.is_adding, true);
        let block = self.block(list, &scope.below(key), Some(index));
        self.is_adding = was_adding;
        Some(block).filter(|it| !it.tasks.is_empty())
    }

    /// The tasks after, as one task that gives what it was given.
    fn after(&mut self, extension: &Extension, scope: &Scope, parent: TaskIndex) -> Option<TaskIndex> {
        let list =
            extension.definition.get("after").filter(|it| it.as_array().is_some_and(|it| !it.is_empty()))?;
        let index = self.place();
        let body = self.added(&extension.definition, "after", scope, index).unwrap_or_default();
        let input = Expression::compile("$input", &[]).expect("a variable that is always there");
        self.tasks[index.0 as usize] = Some(Task {
            index,
            parent: Some(parent),
            name: "after".into(),
            reference: scope.below("after").reference().into(),
            definition: Arc::new(json!({ "do": list })),
            output: OutputModel { as_: Some(Template::of_expression(input)), schema: None },
            kind: Kind::Do { body },
            ..Task::empty()
        });
        Some(index)
    }
}

impl Task {
    /// What a task has that was not in the definition.
    pub(super) fn empty() -> Self {
        Self {
            index: TaskIndex(0),
            parent: None,
            name: "".into(),
            reference: "".into(),
            definition: Arc::new(Value::Null),
            condition: None,
            input: InputModel::default(),
            output: OutputModel::default(),
            export: None,
            timeout: None,
            then: Flow::Continue,
            kind: Kind::Do { body: Block::default() },
            compensation: None,
            on_behalf_of: None,
            extended_by: None,
        }
    }
}
