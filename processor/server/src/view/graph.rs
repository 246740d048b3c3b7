//! A definition as a graph, and an instance on it.

use std::collections::{BTreeMap, BTreeSet};

use millrace_engine::{Progress, TaskEnd, TaskProgress};
use millrace_schemas::event::TaskError;
use millrace_workflow::graph::{END, Edge, Graph, Node, START};
use serde::Serialize;
use utoipa::ToSchema;

use super::{InstanceView, TaskErrorSchema, time};

/// The tasks of a definition as nodes, and where the flow can go as edges.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GraphView {
    /// `namespace/name/version`
    pub(crate) workflow: String,
    /// The start, the tasks in the order of the definition, and the end.
    pub(crate) nodes: Vec<NodeView>,
    pub(crate) edges: Vec<EdgeView>,
    /// Of an instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) instance: Option<OnGraphView>,
}

/// The instance whose state the nodes have.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OnGraphView {
    pub(crate) id: String,
    /// `running`, `suspended`, `incident`, `completed`, `faulted` or `cancelled`.
    pub(crate) status: String,
    pub(crate) updated_at: String,
    /// Whether all that has happened is in it: history expires, and a workflow may want none. What is open now is in it in any case.
    pub(crate) is_history_whole: bool,
}

/// A task; or the start, or the end.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NodeView {
    /// JSON pointer of the task; `start`, or `end`.
    id: String,
    /// The node that it is inside of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    parent: Option<String>,
    name: String,
    /// `call do emit extension for fork listen raise run set switch try wait`; `start`, `end`.
    kind: String,
    /// What it does, in a few words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<String>,
    /// `if`
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    condition: Option<String>,
    /// Of an instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    state: Option<NodeState>,
}

/// How a task stands in an instance.
#[derive(Debug, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct NodeState {
    /// `untouched`, `active`, `halted`, `completed`, `faulted`, `cancelled` or `skipped`.
    status: String,
    /// What it is at, of a task that is open: as `state` of `open_tasks`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    activity: Option<String>,
    /// How many executions are open.
    open: u32,
    /// How many times it was entered; the others say how that went.
    entered: u32,
    completed: u32,
    faulted: u32,
    cancelled: u32,
    skipped: u32,
    compensated: u32,
    /// The last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    entered_at: Option<String>,
    /// The last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    ended_at: Option<String>,
    /// The last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = TaskErrorSchema, required = false)]
    error: Option<TaskError>,
}

/// A way that the flow can go.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EdgeView {
    from: String,
    to: String,
    /// `next`, `enter` (into a task's own list), `case`, `then`, `exit`, `catch` or `compensate`.
    kind: String,
    /// The case, or the condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    label: Option<String>,
}

impl GraphView {
    /// Of a definition.
    pub(crate) fn new(workflow: String, graph: &Graph) -> Self {
        Self {
            workflow,
            nodes: graph.nodes.iter().map(NodeView::new).collect(),
            edges: graph.edges.iter().map(EdgeView::new).collect(),
            instance: None,
        }
    }

    /// With an instance on it: how it stands, and how it came there.
    pub(crate) fn with(mut self, instance: &InstanceView, progress: &Progress) -> Self {
        let states = States::new(instance, progress);
        for node in &mut self.nodes {
            node.state = Some(states.of(&node.id));
        }
        self.instance = Some(OnGraphView {
            id: instance.id.clone(),
            status: instance.status.clone(),
            updated_at: instance.updated_at.clone(),
            is_history_whole: progress.is_whole,
        });
        self
    }
}

struct States<'i> {
    instance: &'i InstanceView,
    progress: &'i Progress,
    open: BTreeMap<&'i str, Vec<&'i str>>,
    halted: BTreeSet<&'i str>,
}

impl<'i> States<'i> {
    fn new(instance: &'i InstanceView, progress: &'i Progress) -> Self {
        let mut open: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for task in &instance.open_tasks {
            open.entry(task.task.as_str()).or_default().push(task.state.as_str());
        }
        let halted = instance.halted_tasks.iter().map(|it| it.task.as_str()).collect();
        Self { instance, progress, open, halted }
    }

    fn of(&self, node: &str) -> NodeState {
        let ended = |status: &str| NodeState { status: status.to_owned(), ..NodeState::default() };
        match (node, self.instance.status.as_str()) {
            (START, _) | (END, "completed") => return ended("completed"),
            (END, _) => return ended("untouched"),
            _ => {}
        }
        let nothing = TaskProgress::default();
        let progress = self.progress.tasks.get(node).unwrap_or(&nothing);
        let open = self.open.get(node).map_or(&[][..], Vec::as_slice);
        let status = match progress.last_end {
            // What is so now goes before what was.
            _ if self.halted.contains(node) => "halted",
            _ if !open.is_empty() => "active",
            Some(TaskEnd::Completed) => "completed",
            Some(TaskEnd::Faulted) => "faulted",
            Some(TaskEnd::Cancelled) => "cancelled",
            Some(TaskEnd::Skipped) => "skipped",
            None => "untouched",
        };
        let opened = u32::try_from(open.len()).unwrap_or(u32::MAX);
        NodeState {
            status: status.to_owned(),
            activity: open.first().map(|it| (*it).to_owned()),
            open: opened,
            // What is open was entered, whatever is left of the history.
            entered: progress.entered.max(opened),
            completed: progress.completed,
            faulted: progress.faulted,
            cancelled: progress.cancelled,
            skipped: progress.skipped,
            compensated: progress.compensated,
            entered_at: progress.entered_at.map(time),
            ended_at: progress.ended_at.map(time),
            error: progress.error.clone(),
        }
    }
}

impl NodeView {
    fn new(node: &Node) -> Self {
        Self {
            id: node.id.to_string(),
            parent: node.parent.as_ref().map(ToString::to_string),
            name: node.name.to_string(),
            kind: node.kind.to_owned(),
            detail: node.detail.clone(),
            condition: node.condition.clone(),
            state: None,
        }
    }
}

impl EdgeView {
    fn new(edge: &Edge) -> Self {
        Self {
            from: edge.from.to_string(),
            to: edge.to.to_string(),
            kind: edge.kind.name().to_owned(),
            label: edge.label.clone(),
        }
    }
}
