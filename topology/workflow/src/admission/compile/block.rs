//! Lists of tasks: names, jumps, and what nobody reaches.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::extension::Placed;
use super::flow::Jump;
use super::{Compiler, DEPTH_MAX, Scope, TASKS_MAX};
use crate::admission::spelling;
use crate::program::{Block, Flow, Kind, TaskIndex};

/// Words that `then` gives a meaning to.
const DIRECTIVES: [&str; 3] = ["continue", "exit", "end"];

/// One entry of a list.
struct Item {
    name: Arc<str>,
    /// What stands in the list.
    listed: TaskIndex,
    /// The task itself, without the extensions around it.
    task: TaskIndex,
    pointer: String,
}

impl Compiler<'_, '_> {
    /// The tasks of a list, one after the other.
    pub(super) fn block(&mut self, list: &Value, scope: &Scope, parent: Option<TaskIndex>) -> Block {
        let mut jumps = Vec::new();
        let items = self.items(list, scope, parent, &mut jumps);
        let names: BTreeMap<&str, TaskIndex> = items.iter().map(|it| (&*it.name, it.listed)).collect();
        for jump in jumps {
            self.resolve(&jump, &names);
        }
        self.warn_of_unreachable(&items);
        Block { tasks: items.iter().map(|it| it.listed).collect() }
    }

    /// The branches of a fork. None of them comes before or after another, so none can jump to another.
    pub(super) fn branches(&mut self, list: &Value, scope: &Scope, parent: TaskIndex) -> Vec<TaskIndex> {
        let mut jumps = Vec::new();
        let items = self.items(list, scope, Some(parent), &mut jumps);
        for jump in jumps {
            let message = format!("a branch cannot go to `{}`: branches run side by side", jump.name);
            self.report.error(
                &jump.pointer,
                message,
                "put tasks that follow one another into a `do` within the branch",
            );
        }
        items.iter().map(|it| it.listed).collect()
    }

    fn items(
        &mut self,
        list: &Value,
        scope: &Scope,
        parent: Option<TaskIndex>,
        jumps: &mut Vec<Jump>,
    ) -> Vec<Item> {
        let Some(list) = list.as_array() else { return Vec::new() };
        if self.is_too_deep(scope) {
            return Vec::new();
        }
        let mut items: Vec<Item> = Vec::new();
        for (index, entry) in list.iter().enumerate() {
            let at = scope.below(&index.to_string());
            let Some((name, task)) =
                entry.as_object().filter(|it| it.len() == 1).and_then(|it| it.iter().next())
            else {
                let message = "an entry of a list of tasks is one name with one task";
                self.report.error(
                    &at.pointer,
                    message,
                    "write `- name: { … }`, with the task indented below its name",
                );
                continue;
            };
            if self.is_full(&at) {
                return items;
            }
            let here = Scope { depth: scope.depth + 1, ..at.below(name) };
            if DIRECTIVES.contains(&name.as_str()) {
                self.report.error(
                    &here.pointer,
                    format!("`{name}` cannot be the name of a task: `then` gives it a meaning"),
                    "rename the task",
                );
            }
            if items.iter().any(|it| *it.name == **name) {
                let message = format!("the name `{name}` is taken by another task of this list");
                self.report.error(&here.pointer, message, "rename one of the two");
            }
            let Placed { listed, task } = self.task(name, task, &here, parent, jumps);
            items.push(Item { name: name.as_str().into(), listed, task, pointer: here.pointer });
        }
        items
    }

    /// Whether no task can be nested here any more. Functions and extensions nest tasks, too, without a list.
    pub(super) fn is_too_deep(&mut self, scope: &Scope) -> bool {
        let is_too_deep = scope.depth >= DEPTH_MAX;
        if is_too_deep {
            let message =
                format!("tasks are nested more than {DEPTH_MAX} deep, by functions and extensions too");
            let fix = "flatten the definition, or split it into several workflows";
            self.report.error(&scope.pointer, message, fix);
        }
        is_too_deep
    }

    /// Whether there is no place for another task. Functions and extensions can make many of few.
    pub(super) fn is_full(&mut self, scope: &Scope) -> bool {
        let is_full = self.tasks.len() >= TASKS_MAX;
        if is_full {
            let message = format!(
                "the definition has more than {TASKS_MAX} tasks, those of functions and extensions counted wherever they are used"
            );
            self.report.error(&scope.pointer, message, "split it into several workflows, or use a `for`");
        }
        is_full
    }

    fn resolve(&mut self, jump: &Jump, names: &BTreeMap<&str, TaskIndex>) {
        let Some(target) = names.get(jump.name.as_str()) else {
            let known: Vec<&str> = names.keys().copied().chain(DIRECTIVES).collect();
            let message = format!("there is no task `{}` in this list", jump.name);
            let hint = spelling::hint(&jump.name, &known);
            self.report.error(&jump.pointer, message, format!("{hint} (a jump stays within its list)"));
            return;
        };
        let Some(task) = self.tasks[jump.from.0 as usize].as_mut() else { return };
        match (jump.case, &mut task.kind) {
            (Some(case), Kind::Switch { cases }) => cases[case].then = Flow::Goto(*target),
            (_, _) => task.then = Flow::Goto(*target),
        }
    }

    /// Follows the flow from the first task. What it never meets is dead: most likely a forgotten `then`.
    fn warn_of_unreachable(&mut self, items: &[Item]) {
        let mut reached = vec![false; items.len()];
        let mut open = vec![0];
        while let Some(at) = open.pop() {
            if at >= items.len() || std::mem::replace(&mut reached[at], true) {
                continue;
            }
            // A task that could not be compiled is taken to go on: it has been reported.
            let Some(task) = &self.tasks[items[at].task.0 as usize] else {
                open.push(at + 1);
                continue;
            };
            let mut follow = |flow: Flow| match flow {
                Flow::Continue => open.push(at + 1),
                Flow::Goto(target) => open.extend(items.iter().position(|it| it.listed == target)),
                Flow::Exit | Flow::End => {}
            };
            let mut falls_through = true;
            match &task.kind {
                Kind::Switch { cases } => {
                    cases.iter().for_each(|it| follow(it.then));
                    falls_through = cases.iter().all(|it| it.when.is_some());
                }
                Kind::Raise { .. } => falls_through = false,
                _ => {}
            }
            if falls_through {
                follow(task.then);
            }
            if task.condition.is_some() {
                follow(task.then);
                follow(Flow::Continue);
            }
        }
        for (item, _) in items.iter().zip(&reached).filter(|(_, reached)| !**reached) {
            let message = format!("no way leads to the task `{}`", item.name);
            self.report.warning(&item.pointer, message, "jump to it by a `then`, or remove it");
        }
    }
}
