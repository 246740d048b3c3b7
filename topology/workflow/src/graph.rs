//! A program as a graph, for pictures: its tasks, what is inside of what, and where the flow can go.
//!
//! A task with tasks of its own is a node around theirs (`parent`). An edge goes between tasks of one list, from such a task into its list, or
//! to an end. Where a list ends and the flow goes on behind the task that it is in, there is no edge: being inside says so.

use std::sync::Arc;

use crate::describe::{duration, filter};
use crate::program::{
    Block, Child, Emit, Extended, Flow, For, Foreach, Function, Kind, Listen, Program, Strategy, Task,
    TaskIndex, Try,
};

/// Where every instance begins. No task is called so: a JSON pointer begins with a slash.
pub const START: &str = "start";
/// Where an instance ends well.
pub const END: &str = "end";

/// A program as nodes and edges, in the order of the definition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// The start, the tasks in preorder, and the end.
    pub nodes: Vec<Node>,
    /// From each node, in the order in which they are looked at.
    pub edges: Vec<Edge>,
}

/// A task; or the start, or the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// JSON pointer of the task; [`START`], or [`END`].
    pub id: Arc<str>,
    /// The node that it is inside of.
    pub parent: Option<Arc<str>>,
    /// The task's name.
    pub name: Arc<str>,
    /// As the language calls it: `call`, `set`, `switch`, `for`, …; `start`, `end`; `extension`, tasks that were added around another.
    pub kind: &'static str,
    /// What it does, in a few words: the function, how long it waits, what it listens for.
    pub detail: Option<String>,
    /// `if`
    pub condition: Option<String>,
}

/// A way that the flow can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// From which node.
    pub from: Arc<str>,
    /// To which node.
    pub to: Arc<str>,
    /// Why.
    pub kind: EdgeKind,
    /// The case, or the condition.
    pub label: Option<String>,
}

/// Why the flow goes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EdgeKind {
    /// It goes on.
    Next,
    /// Into a task's own list, or one of its branches.
    Enter,
    /// A case of a `switch`.
    Case,
    /// `then` names the task, or the end.
    Then,
    /// Out of the list, by `then: exit`.
    Exit,
    /// An error was caught.
    Catch,
    /// It is undone.
    Compensate,
}

impl EdgeKind {
    /// Its name in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Enter => "enter",
            Self::Case => "case",
            Self::Then => "then",
            Self::Exit => "exit",
            Self::Catch => "catch",
            Self::Compensate => "compensate",
        }
    }
}

impl Program {
    /// The program as a graph.
    #[must_use]
    pub fn graph(&self) -> Graph {
        let mut drawing = Drawing { program: self, graph: Graph::default() };
        drawing.point(START);
        match self.body.tasks.first() {
            Some(first) => drawing.edge(START, &self.task(*first).reference, EdgeKind::Next, None),
            None => drawing.edge(START, END, EdgeKind::Next, None),
        }
        drawing.block(&self.body, None);
        drawing.point(END);
        drawing.graph
    }
}

struct Drawing<'p> {
    program: &'p Program,
    graph: Graph,
}

impl Drawing<'_> {
    fn point(&mut self, id: &'static str) {
        let (kind, id) = (id, Arc::from(id));
        self.graph.nodes.push(Node {
            name: Arc::clone(&id),
            id,
            parent: None,
            kind,
            detail: None,
            condition: None,
        });
    }

    fn edge(&mut self, from: &str, to: &str, kind: EdgeKind, label: Option<String>) {
        self.graph.edges.push(Edge { from: from.into(), to: to.into(), kind, label });
    }

    /// The tasks of a list, and the ways between them. `parent`: the task whose list it is.
    fn block(&mut self, block: &Block, parent: Option<&Task>) {
        for (position, index) in block.tasks.iter().enumerate() {
            let task = self.program.task(*index);
            let next = block.tasks.get(position + 1).copied();
            self.task(task, parent, next);
        }
    }

    fn task(&mut self, task: &Task, parent: Option<&Task>, next: Option<TaskIndex>) {
        self.node(task, parent);
        self.inside(task);
        if let Some(compensation) = task.compensation {
            // Nothing comes behind it: the next one to be undone, if any, is another task's.
            let undoing = self.program.task(compensation);
            self.edge(&task.reference, &undoing.reference, EdgeKind::Compensate, None);
            self.node(undoing, parent);
            self.inside(undoing);
        }
        self.ways(task, parent, next);
    }

    fn node(&mut self, task: &Task, parent: Option<&Task>) {
        self.graph.nodes.push(Node {
            id: Arc::clone(&task.reference),
            parent: parent.map(|it| Arc::clone(&it.reference)),
            name: Arc::clone(&task.name),
            kind: kind(&task.kind),
            detail: detail(&task.kind),
            condition: task.condition.as_ref().map(|it| it.text().to_owned()),
        });
    }

    fn inside(&mut self, task: &Task) {
        match &task.kind {
            Kind::Do { body }
            | Kind::For(For { body, .. })
            | Kind::Function(Function { body, .. })
            | Kind::Extended(Extended { body, .. })
            | Kind::Listen(Listen { foreach: Some(Foreach { body, .. }), .. }) => {
                self.enter(task, body, EdgeKind::Enter, None);
            }
            Kind::Fork { branches, .. } => {
                for branch in branches {
                    let branch = self.program.task(*branch);
                    self.edge(&task.reference, &branch.reference, EdgeKind::Enter, None);
                    self.task(branch, Some(task), None);
                }
            }
            Kind::Try(Try { body, catch }) => {
                self.enter(task, body, EdgeKind::Enter, None);
                let with = &catch.with;
                let status = with.status.map(|it| format!("status {it}"));
                self.enter(task, &catch.body, EdgeKind::Catch, with.error_type.clone().or(status));
            }
            Kind::Set { .. }
            | Kind::Switch { .. }
            | Kind::Raise { .. }
            | Kind::Wait { .. }
            | Kind::Emit(_)
            | Kind::Listen(_)
            | Kind::Call(_)
            | Kind::Child(_) => {}
        }
    }

    fn enter(&mut self, task: &Task, block: &Block, kind: EdgeKind, label: Option<String>) {
        if let Some(first) = block.tasks.first() {
            self.edge(&task.reference, &self.program.task(*first).reference, kind, label);
        }
        self.block(block, Some(task));
    }

    /// Where the flow goes behind a task.
    fn ways(&mut self, task: &Task, parent: Option<&Task>, next: Option<TaskIndex>) {
        match &task.kind {
            Kind::Switch { cases } => {
                for case in cases {
                    let when = case.when.as_ref().map(|it| it.text().to_owned());
                    let label =
                        when.map_or_else(|| case.name.to_string(), |it| format!("{}: {it}", case.name));
                    self.way(task, (parent, next), (case.then, EdgeKind::Case), Some(label));
                }
                if cases.iter().all(|it| it.when.is_some()) {
                    self.way(task, (parent, next), (task.then, EdgeKind::Next), None);
                }
            }
            // It ends with an error.
            Kind::Raise { .. } => {}
            Kind::Do { .. }
            | Kind::Function(_)
            | Kind::Extended(_)
            | Kind::Set { .. }
            | Kind::For(_)
            | Kind::Fork { .. }
            | Kind::Try(_)
            | Kind::Wait { .. }
            | Kind::Emit(_)
            | Kind::Listen(_)
            | Kind::Call(_)
            | Kind::Child(_) => self.way(task, (parent, next), (task.then, EdgeKind::Next), None),
        }
        // A task whose condition does not hold is left out, and its `then` with it.
        let goes_on_anyway =
            task.then == Flow::Continue && !matches!(task.kind, Kind::Switch { .. } | Kind::Raise { .. });
        if task.condition.is_some() && !goes_on_anyway {
            self.way(task, (parent, next), (Flow::Continue, EdgeKind::Next), Some("left out".to_owned()));
        }
    }

    fn way(
        &mut self,
        task: &Task,
        (parent, next): (Option<&Task>, Option<TaskIndex>),
        (flow, kind): (Flow, EdgeKind),
        label: Option<String>,
    ) {
        let program = self.program;
        let then = |then: EdgeKind| if kind == EdgeKind::Case { EdgeKind::Case } else { then };
        let from = &task.reference;
        match (flow, next, parent) {
            (Flow::Continue, Some(next), _) => {
                self.edge(from, &program.task(next).reference, kind, label);
            }
            (Flow::Continue, None, None) => self.edge(from, END, kind, label),
            // The list ends, and the flow goes on behind what it is in; a case that does so is worth a line.
            (Flow::Continue, None, Some(parent)) if kind == EdgeKind::Case => {
                self.edge(from, &parent.reference, kind, label);
            }
            (Flow::Continue, None, Some(_)) => {}
            (Flow::Exit, _, None) => self.edge(from, END, then(EdgeKind::Exit), label),
            (Flow::Exit, _, Some(parent)) => self.edge(from, &parent.reference, then(EdgeKind::Exit), label),
            (Flow::End, ..) => self.edge(from, END, then(EdgeKind::Then), label),
            (Flow::Goto(target), ..) => {
                let target = &program.task(outermost(program, target)).reference;
                self.edge(from, target, then(EdgeKind::Then), label);
            }
        }
    }
}

/// What stands in the list: the task, or what extends it.
fn outermost(program: &Program, task: TaskIndex) -> TaskIndex {
    let mut at = task;
    while let Some(around) = program.task(at).extended_by {
        at = around;
    }
    at
}

fn kind(kind: &Kind) -> &'static str {
    match kind {
        Kind::Do { .. } => "do",
        Kind::Function(_) | Kind::Call(_) => "call",
        Kind::Extended(_) => "extension",
        Kind::Set { .. } => "set",
        Kind::Switch { .. } => "switch",
        Kind::For(_) => "for",
        Kind::Fork { .. } => "fork",
        Kind::Try(_) => "try",
        Kind::Raise { .. } => "raise",
        Kind::Wait { .. } => "wait",
        Kind::Emit(_) => "emit",
        Kind::Listen(_) => "listen",
        Kind::Child(_) => "run",
    }
}

fn detail(kind: &Kind) -> Option<String> {
    Some(match kind {
        Kind::Call(call) => call.function.to_string(),
        Kind::Child(Child { workflow, version, .. }) => match version {
            Some(version) => format!("{workflow}/{version}"),
            None => workflow.to_string(),
        },
        Kind::For(For { items, .. }) => items.text().to_owned(),
        Kind::Fork { compete, .. } => if *compete { "the first wins" } else { "all" }.to_owned(),
        Kind::Wait { duration: source } => duration(source),
        Kind::Listen(listen) => listening(listen),
        Kind::Emit(Emit { topic, .. }) => topic.clone()?,
        Kind::Do { .. }
        | Kind::Function(_)
        | Kind::Extended(_)
        | Kind::Set { .. }
        | Kind::Switch { .. }
        | Kind::Try(_)
        | Kind::Raise { .. } => return None,
    })
}

fn listening(listen: &Listen) -> String {
    let filters: Vec<String> =
        listen.filters.iter().map(|it| it.event_type().map_or_else(|| filter(it), str::to_owned)).collect();
    match &listen.strategy {
        Strategy::All => filters.join(" and "),
        Strategy::First | Strategy::UntilTrue(_) => filters.join(" or "),
        Strategy::UntilHeard { first, .. } => {
            let (wanted, ends) = filters.split_at((*first).min(filters.len()));
            format!("{} until {}", wanted.join(" or "), ends.join(", "))
        }
    }
}
