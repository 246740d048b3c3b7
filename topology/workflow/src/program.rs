//! A compiled definition. Immutable; shared by all instances that run it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use millrace_schemas::{WorkflowName, WorkflowVersion};
use serde_json::Value;

use crate::expression::{Expression, Template};
use crate::schedule::Schedule;
use crate::schema::Schema;

/// Most search attributes of a workflow: each is a row in an index for each of its instances.
pub const ATTRIBUTES_MAX: usize = 16;
/// Longest text of a search attribute, in bytes.
pub const ATTRIBUTE_TEXT_BYTES_MAX: usize = 256;

/// A compiled workflow definition.
#[derive(Debug)]
pub struct Program {
    /// Namespace, name and version, from `document`.
    pub workflow: WorkflowVersion,
    /// SHA-256 of the definition's JSON in its canonical form, in hex: two definitions of one version must not differ.
    pub digest: String,
    /// The whole definition as JSON (`$workflow.definition`).
    pub definition: Arc<Value>,
    /// The workflow's `input`.
    pub input: InputModel,
    /// The workflow's `output`.
    pub output: OutputModel,
    /// The workflow's `timeout`.
    pub timeout: Option<DurationSource>,
    /// `document.metadata.millrace.history`
    pub history: History,
    /// `document.metadata.millrace.lifecycle`; as the fleet is configured, when absent.
    pub lifecycle: Option<Lifecycle>,
    /// `schedule.on`: the events that start an instance.
    pub starts_on: Option<StartsOn>,
    /// `document.metadata.millrace.businessKey`: by what an instance is known besides its id, computed of its input.
    pub business_key: Option<Expression>,
    /// `document.metadata.millrace.searchAttributes`: what its instances are found by.
    pub attributes: BTreeMap<Arc<str>, Template>,
    /// `document.metadata.millrace.queries`: what may be asked of its instances by name.
    pub queries: BTreeMap<Arc<str>, Template>,
    /// `schedule` by the clock, with `document.metadata.millrace.schedule`.
    pub schedule: Option<Schedule>,
    /// `document.metadata.millrace.events`: topics of others from which events come, each named once.
    pub sources: Vec<EventSource>,
    /// `document.metadata.millrace.onFault`; as the fleet is configured, when absent.
    pub on_fault: Option<OnFault>,
    /// The workflow's `do`.
    pub body: Block,
    /// All tasks, in the order of the definition (preorder).
    pub tasks: Vec<Task>,
    /// Task by JSON pointer.
    pub by_reference: HashMap<Arc<str>, TaskIndex>,
}

impl Program {
    /// The task at `index`.
    #[must_use]
    pub fn task(&self, index: TaskIndex) -> &Task {
        &self.tasks[index.0 as usize]
    }

    /// The queues that its calls go to, sorted.
    #[must_use]
    pub fn queues(&self) -> std::collections::BTreeSet<Arc<str>> {
        self.tasks
            .iter()
            .filter_map(|it| match &it.kind {
                Kind::Call(call) => Some(Arc::clone(&call.queue)),
                _ => None,
            })
            .collect()
    }

    /// The topics, in full, that its `emit` tasks name, sorted.
    #[must_use]
    pub fn emit_topics(&self) -> std::collections::BTreeSet<&str> {
        self.tasks
            .iter()
            .filter_map(|it| match &it.kind {
                Kind::Emit(emit) => emit.topic.as_deref(),
                _ => None,
            })
            .collect()
    }

    /// Where in `block` a task stands: itself, or what has it with its extensions.
    #[must_use]
    pub fn position(&self, block: &Block, task: TaskIndex) -> Option<usize> {
        let mut at = Some(task);
        while let Some(index) = at {
            if let Some(position) = block.position(index) {
                return Some(position);
            }
            at = self.task(index).extended_by;
        }
        None
    }

    /// The task with this JSON pointer.
    #[must_use]
    pub fn find(&self, reference: &str) -> Option<&Task> {
        self.by_reference.get(reference).map(|index| self.task(*index))
    }
}

/// Whether the history of a workflow's instances is kept, and how long. The retention rules the list, too: there an ended instance
/// stays as long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum History {
    /// As the fleet is configured: the definition says nothing.
    #[default]
    Default,
    /// No history is written. The list goes by the fleet's configuration.
    Off,
    /// History is written.
    Keep {
        /// How long each row stays, counted from its writing; none for ever. From an hour to ten years.
        retention: Option<Duration>,
    },
}

/// Which lifecycle events of a workflow's instances are published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lifecycle {
    /// None.
    #[default]
    Off,
    /// Of instances: started, suspended, resumed, completed, cancelled, faulted.
    Workflow,
    /// Of their tasks, too.
    Task,
}

/// A topic of somebody else whose records are events for whoever listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSource {
    /// In full.
    pub topic: Arc<str>,
    /// What its records are.
    pub decoding: Decoding,
    /// Where a partition of it that was never read is read from.
    pub begins: Beginning,
}

/// What the records of a topic are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decoding {
    /// CloudEvents, in structured or binary mode.
    CloudEvents,
    /// JSON; each record becomes an event of this type, with the value as its data.
    Json {
        /// `type`
        event_type: Arc<str>,
    },
    /// Avro in the Confluent wire format; as [`Decoding::Json`].
    Avro {
        /// `type`
        event_type: Arc<str>,
    },
}

/// Where a partition that was never read is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// From the oldest record that is there.
    Earliest,
    /// From the first record that is not older than the deployment of the definition.
    Latest,
}

/// What becomes of an instance when nothing catches an error of one of its tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFault {
    /// It ends, after what it has done is undone.
    #[default]
    Fault,
    /// It stands still with the failed task, until somebody says how it goes on.
    Incident,
}

/// Position of a task in [`Program::tasks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskIndex(pub u32);

/// A list of tasks that run one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// In the order of the definition.
    pub tasks: Vec<TaskIndex>,
}

impl Block {
    /// Where in the list a task stands. Tasks are numbered in preorder, so a list is sorted.
    #[must_use]
    pub fn position(&self, task: TaskIndex) -> Option<usize> {
        self.tasks.binary_search(&task).ok()
    }
}

/// One task.
#[derive(Debug)]
pub struct Task {
    /// Its own position in [`Program::tasks`].
    pub index: TaskIndex,
    /// The task whose list (or branches) it is in; none for the workflow's own `do`.
    pub parent: Option<TaskIndex>,
    /// Its name, unique in its list.
    pub name: Arc<str>,
    /// JSON pointer in the definition, such as `/do/0/reserve`, `/do/2/ship/try/0/call`, `/do/1/both/fork/branches/0/left`.
    pub reference: Arc<str>,
    /// The task's definition as JSON (`$task.definition`).
    pub definition: Arc<Value>,
    /// `if`
    pub condition: Option<Expression>,
    /// `input`
    pub input: InputModel,
    /// `output`
    pub output: OutputModel,
    /// `export`
    pub export: Option<ExportModel>,
    /// `timeout`
    pub timeout: Option<DurationSource>,
    /// `then`
    pub then: Flow,
    /// What it does.
    pub kind: Kind,
    /// `metadata.millrace.compensate`: a `do` with the tasks that undo it.
    pub compensation: Option<TaskIndex>,
    /// The task in whose place it stands for `$task`: that which an extension's task was added to.
    pub on_behalf_of: Option<TaskIndex>,
    /// The task with extensions that stands in the list in its place.
    pub extended_by: Option<TaskIndex>,
}

/// `input`: `schema` is checked against the raw input, then `from` transforms it.
#[derive(Debug, Default)]
pub struct InputModel {
    /// `input.schema`
    pub schema: Option<Schema>,
    /// `input.from`
    pub from: Option<Template>,
}

/// `output`: `as` transforms the raw output, then `schema` is checked.
#[derive(Debug, Default)]
pub struct OutputModel {
    /// `output.as`
    pub as_: Option<Template>,
    /// `output.schema`
    pub schema: Option<Schema>,
}

/// `export`: `as` computes the new `$context` from the task's transformed output, then `schema` is checked.
#[derive(Debug)]
pub struct ExportModel {
    /// `export.as`
    pub as_: Template,
    /// `export.schema`
    pub schema: Option<Schema>,
}

/// Where the flow goes after a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// To the next task of the list; after the last one, the scope ends.
    Continue,
    /// Out of the list: the scope ends.
    Exit,
    /// The whole workflow ends well, here.
    End,
    /// To another task of the same list.
    Goto(TaskIndex),
}

/// What a task does.
#[derive(Debug)]
pub enum Kind {
    /// `do`
    Do { body: Block },
    /// `call` of a function that the definition has in `use.functions`.
    Function(Function),
    /// A task with what an extension of `use.extensions` adds before and after it.
    Extended(Extended),
    /// `set`: the value replaces the data.
    Set { value: Template },
    /// `switch`: the first case whose condition holds; without one the task's own `then`.
    Switch { cases: Vec<Case> },
    /// `for`
    For(For),
    /// `fork`: each branch is one task.
    Fork { branches: Vec<TaskIndex>, compete: bool },
    /// `try`
    Try(Try),
    /// `raise`
    Raise { error: ErrorModel },
    /// `wait`
    Wait { duration: DurationSource },
    /// `emit`
    Emit(Emit),
    /// `listen`
    Listen(Listen),
    /// `call`: a task for workers.
    Call(Call),
    /// `run: workflow`
    Child(Child),
}

/// `call` of a function that the definition has in `use.functions`: the function's task, run with the arguments as its input.
#[derive(Debug)]
pub struct Function {
    /// `with`; the task's input when absent.
    pub arguments: Option<Template>,
    /// The function: one task.
    pub body: Block,
}

/// A task with what one extension adds to it. Several extensions are one in the other, the first one outermost.
///
/// Its list is: the tasks before, the task itself, one task with those after. It stands in the list in place of the task.
#[derive(Debug)]
pub struct Extended {
    /// `when`: does the extension apply?
    pub when: Option<Expression>,
    /// The list.
    pub body: Block,
    /// The task itself, or another extension around it.
    pub task: TaskIndex,
    /// The one task with those after, if the extension has any.
    pub after: Option<TaskIndex>,
}

/// `run: workflow`: another instance.
#[derive(Debug)]
pub struct Child {
    /// Which workflow.
    pub workflow: WorkflowName,
    /// Which version; the newest that is deployed when the task is entered, when absent.
    pub version: Option<Arc<str>>,
    /// `input`; none is an empty object.
    pub input: Template,
    /// `await`: does the task end when the child ends, or as soon as it is on its way?
    pub is_awaited: bool,
}

/// One case of a `switch`.
#[derive(Debug)]
pub struct Case {
    /// For people.
    pub name: Arc<str>,
    /// `when`; none for the default case, which admission puts last.
    pub when: Option<Expression>,
    /// `then`
    pub then: Flow,
}

/// `for`
#[derive(Debug)]
pub struct For {
    /// Name of the variable that holds the item, without `$`; `item` by default.
    pub each: Arc<str>,
    /// Name of the variable that holds the index, without `$`; `index` by default.
    pub at: Arc<str>,
    /// `in`: must give an array.
    pub items: Expression,
    /// `while`: checked before each iteration.
    pub condition: Option<Expression>,
    /// `do`
    pub body: Block,
}

/// `try`
#[derive(Debug)]
pub struct Try {
    /// The tasks to try.
    pub body: Block,
    /// `catch`. Boxed, since it is much larger than what other tasks have.
    pub catch: Box<Catch>,
}

/// `catch`
#[derive(Debug)]
pub struct Catch {
    /// `errors.with`: properties that the error must have. An empty filter catches everything.
    pub with: ErrorFilter,
    /// `as`: name of the variable that holds the error, without `$`; `error` by default.
    pub as_: Arc<str>,
    /// `when`: catch only if this holds.
    pub when: Option<Expression>,
    /// `exceptWhen`: do not catch if this holds.
    pub except_when: Option<Expression>,
    /// `retry`, with a named policy resolved.
    pub retry: Option<Retry>,
    /// `do`: runs once, when nothing is retried (any more). Empty: the error is swallowed.
    pub body: Block,
}

/// `catch.errors.with`
#[derive(Debug, Default)]
pub struct ErrorFilter {
    /// Canonical type URI (see `admission::errors::canonical_type`).
    pub error_type: Option<String>,
    /// Exact status.
    pub status: Option<u16>,
    /// JSON pointer of the task.
    pub instance: Option<String>,
    /// Exact title.
    pub title: Option<String>,
    /// Exact detail.
    pub detail: Option<String>,
}

/// A retry policy.
#[derive(Debug)]
pub struct Retry {
    /// `when`: retry only if this holds.
    pub when: Option<Expression>,
    /// `exceptWhen`: do not retry if this holds.
    pub except_when: Option<Expression>,
    /// `delay`: the base pause.
    pub delay: Option<DurationSource>,
    /// `backoff`
    pub backoff: Backoff,
    /// `limit.attempt.count`: how many retries.
    pub count_max: Option<u32>,
    /// `limit.attempt.duration`: longest time of one attempt.
    pub attempt_duration_max: Option<DurationSource>,
    /// `limit.duration`: no retry starts later than this after the task was entered.
    pub duration_max: Option<DurationSource>,
    /// `jitter`: from, to.
    pub jitter: Option<(DurationSource, DurationSource)>,
}

/// How the pause grows. `n` counts the retries before, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backoff {
    /// `delay`
    Constant,
    /// `delay · (n + 1)`
    Linear,
    /// `delay · 2^n`
    Exponential,
}

/// A duration that is fixed in the definition, or computed. `wait: ${ … }` gives ISO 8601 text.
#[derive(Debug)]
pub enum DurationSource {
    /// Known at admission.
    Fixed(Duration),
    /// An expression that gives an ISO 8601 duration or a duration object.
    Computed(Template),
}

/// `raise.error`, with a named error resolved.
#[derive(Debug)]
pub struct ErrorModel {
    /// An object with `type`, `status` and perhaps `title`, `detail`, `instance`; strings may be expressions.
    pub template: Template,
}

/// `emit`
#[derive(Debug)]
pub struct Emit {
    /// `event.with`: CloudEvent attributes and `data`.
    pub event: Template,
    /// Topic in full, from `metadata.millrace.topic`; the fleet's `<prefix>.emitted` when absent.
    pub topic: Option<String>,
}

/// `listen` to events: those that are addressed to the instance by its id, and those that find it by what they say.
#[derive(Debug)]
pub struct Listen {
    /// The filters of `to`, then those of `until`.
    pub filters: Vec<EventFilter>,
    /// How many it takes.
    pub strategy: Strategy,
    /// `read`
    pub read: Read,
    /// `foreach`
    pub foreach: Option<Foreach>,
    /// `metadata.millrace.addressed`: only events that are addressed to the instance are heard.
    pub is_addressed: bool,
}

/// `foreach` of a `listen`: tasks for each event that it takes, one event after the other.
#[derive(Debug)]
pub struct Foreach {
    /// Name of the variable that holds the event as it is read, without `$`; `item` by default.
    pub item: Arc<str>,
    /// Name of the variable that holds its index, without `$`; `index` by default.
    pub at: Arc<str>,
    /// `do`
    pub body: Block,
    /// `output`: of each event.
    pub output: OutputModel,
    /// `export`: after each event.
    pub export: Option<ExportModel>,
}

/// `schedule.on`
#[derive(Debug)]
pub struct StartsOn {
    /// The filters.
    pub filters: Vec<EventFilter>,
    /// Whether an instance needs an event for each filter, or starts with any event that passes one.
    pub needs_all: bool,
}

/// How many events a `listen` takes.
#[derive(Debug)]
pub enum Strategy {
    /// `one`, or `any` without `until`: the first that passes a filter.
    First,
    /// `all`: one for each filter, in any order.
    All,
    /// `any` with an expression as its `until`: those that pass a filter, up to that which makes it true.
    UntilTrue(Expression),
    /// `any` with events as its `until`: those that pass one of the first filters, up to events that pass the filters from `first`
    /// on: all of these, or any one of them.
    UntilHeard {
        /// Where the filters of `until` begin.
        first: usize,
        /// All of them, or any one?
        all: bool,
    },
}

/// `with` and `correlate` of an event filter. Every entry must hold.
#[derive(Debug, Default)]
pub struct EventFilter {
    /// `correlate`
    pub correlations: Vec<Correlation>,
    /// Attribute name, and the value it must have: a constant (strings compare exactly) or an expression over the workflow's
    /// data that computes it. `data` is given as an expression over the event's data that must be true.
    pub attributes: Vec<(String, Matcher)>,
}

impl EventFilter {
    /// The type of the events that can pass, if the filter names one.
    #[must_use]
    pub fn event_type(&self) -> Option<&str> {
        let named = self.attributes.iter().find(|(name, _)| name == "type");
        named.and_then(|(_, matcher)| match matcher {
            Matcher::Equals(it) => it.as_str(),
            Matcher::Expression(_) => None,
        })
    }

    /// The entries of `correlate` by which an event can be found: what they compare is computed of the event alone. Sorted by the text of
    /// `from`, without those that are there twice.
    #[must_use]
    pub fn keys(&self) -> Vec<&Correlation> {
        let mut keys: Vec<_> = self.correlations.iter().filter(|it| it.from.mentions().is_empty()).collect();
        keys.sort_by_key(|it| it.from.text());
        keys.dedup_by_key(|it| it.from.text());
        keys
    }
}

/// One entry of `correlate`.
#[derive(Debug)]
pub struct Correlation {
    /// Its name. Entries of one name agree over all events that one `listen` takes.
    pub name: Arc<str>,
    /// `from`: what is compared, of the whole event.
    pub from: Expression,
    /// `expect`: what it must be; what the first event has, when absent.
    pub expect: Option<Template>,
}

/// What an attribute is compared with.
#[derive(Debug)]
pub enum Matcher {
    /// Equal to this JSON value.
    Equals(Value),
    /// The expression, evaluated with the event's attribute as its input, is `true`, or equals the attribute.
    Expression(Expression),
}

/// What a `listen` gives as its output: an array with one element for the consumed event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// The event's data.
    Data,
    /// The whole event, data decoded.
    Envelope,
    /// The whole event.
    Raw,
}

/// The queue of the built-in worker, which does the calls that the language defines. Nobody else's functions are called there.
pub const BUILT_IN_QUEUE: &str = "builtin";

/// What stands for the queue of a child workflow, which has none. No topic can be called so.
pub const CHILD_QUEUE: &str = "run:workflow";

/// `call` of a named function, or one that the language defines.
#[derive(Debug)]
pub struct Call {
    /// Name the worker knows, with a name from `use.functions` resolved; `http` for `call: http`.
    pub function: Arc<str>,
    /// Queue, from `metadata.millrace.queue` of the task, or of the workflow's document, or `default`; of a call that the language
    /// defines, [`BUILT_IN_QUEUE`].
    pub queue: Arc<str>,
    /// `with`; the task's input when absent.
    pub arguments: Option<Template>,
    /// `metadata.millrace.heartbeat`: a worker must give a sign of life this often.
    pub heartbeat: Option<Duration>,
    /// The secrets that its `with` and its `input.from` name, each as its name and the properties in it.
    pub secrets: Vec<Vec<String>>,
    /// The scheme by which it authenticates, such as `Bearer` (`$authorization`).
    pub scheme: Option<&'static str>,
}
