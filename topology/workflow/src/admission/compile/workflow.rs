//! The definition as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use millrace_schemas::{WorkflowName, WorkflowVersion};
use serde_json::Value;

use super::{Compiler, Scope, complete};
use crate::admission::canonical::digest;
use crate::admission::report::Report;
use crate::admission::{dsl_schema, spelling};
use crate::expression::{Expression, Template};
use crate::program::{
    Block, DurationSource, EventSource, History, InputModel, Lifecycle, OnFault, OutputModel, Program,
    StartsOn,
};
use crate::schedule::Schedule;

/// The properties of a definition.
const PROPERTIES: [&str; 9] =
    ["document", "input", "use", "do", "timeout", "output", "schedule", "evaluate", "metadata"];

/// Everything of a program but its tasks.
pub(super) struct Head {
    pub(super) workflow: WorkflowVersion,
    pub(super) digest: String,
    pub(super) definition: Arc<Value>,
    pub(super) input: InputModel,
    pub(super) output: OutputModel,
    pub(super) timeout: Option<DurationSource>,
    pub(super) history: History,
    pub(super) lifecycle: Option<Lifecycle>,
    pub(super) starts_on: Option<StartsOn>,
    pub(super) business_key: Option<Expression>,
    pub(super) attributes: BTreeMap<Arc<str>, Template>,
    pub(super) queries: BTreeMap<Arc<str>, Template>,
    pub(super) schedule: Option<Schedule>,
    pub(super) sources: Vec<EventSource>,
    pub(super) on_fault: Option<OnFault>,
    pub(super) body: Block,
}

/// The program, if the definition is complete enough to have one. It may run only if there was no error.
pub(in crate::admission) fn compile(definition: &Value, report: &mut Report<'_>) -> Option<Program> {
    report.violations("", dsl_schema::check_workflow(definition));
    let root = Scope { pointer: String::new(), base: None, locals: Vec::new(), depth: 0 };
    let mut compiler = Compiler {
        report,
        definition,
        tasks: Vec::new(),
        queue: "default".into(),
        is_addressed: false,
        extensions: Compiler::extensions(definition),
        is_adding: false,
        sees_secrets: false,
        is_compensating: false,
        is_checking: false,
        calling: Vec::new(),
    };
    compiler.check_document();
    let metadata = compiler.document_metadata();
    if let Some(queue) = metadata.queue {
        compiler.queue = queue;
    }
    compiler.is_addressed = metadata.addressed.unwrap_or(false);
    compiler.check_use();
    let starts_on = compiler.starts_on(&root);
    let schedule = compiler.schedule(metadata.schedule, &root);
    let input = compiler.input(definition, &root);
    let output = compiler.output(definition, &root);
    let timeout = compiler.timeout(definition, &root);
    let body = compiler.block(definition.get("do").unwrap_or(&Value::Null), &root.below("do"), None);
    if definition.get("do").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        compiler.report.error("/do", "there is nothing to do", "add a task");
    }
    let tasks = complete(compiler.tasks)?;
    let workflow = identity(definition)?;
    let head = Head {
        workflow,
        digest: digest(definition),
        definition: Arc::new(definition.clone()),
        input,
        output,
        timeout,
        history: metadata.history.unwrap_or_default(),
        lifecycle: metadata.lifecycle,
        starts_on,
        business_key: metadata.business_key,
        attributes: metadata.attributes,
        queries: metadata.queries,
        schedule,
        sources: metadata.sources,
        on_fault: metadata.on_fault,
        body,
    };
    Some(Program::assemble(head, tasks))
}

fn identity(definition: &Value) -> Option<WorkflowVersion> {
    let text = |name: &str| Some(definition.get("document")?.get(name)?.as_str()?.into());
    Some(WorkflowVersion {
        workflow: WorkflowName { namespace: text("namespace")?, name: text("name")? },
        version: text("version")?,
    })
}

impl Compiler<'_, '_> {
    fn check_document(&mut self) {
        let Some(entries) = self.definition.as_object() else { return };
        for name in entries.keys().filter(|it| !PROPERTIES.contains(&it.as_str())) {
            let hint = spelling::hint(name, &PROPERTIES);
            self.report.error(
                &format!("/{}", crate::admission::source::escape(name)),
                format!("unknown property `{name}`"),
                hint,
            );
        }
        if let Some(dsl) = entries.get("document").and_then(|it| it.get("dsl")).and_then(Value::as_str)
            && !dsl.starts_with("1.0.")
        {
            let message = format!("version {dsl} of the language is not supported");
            self.report.error("/document/dsl", message, "write it in version 1.0.3: `dsl: '1.0.3'`");
        }
        self.check_evaluate(entries.get("evaluate"));
    }

    /// How expressions are evaluated: what the language has for it is what is done anyway.
    fn check_evaluate(&mut self, evaluate: Option<&Value>) {
        let Some(entries) = evaluate.and_then(Value::as_object) else {
            if evaluate.is_some() {
                let fix = "write `evaluate: { language: jq, mode: strict }`, or remove it";
                self.report.error("/evaluate", "`evaluate` is a mapping", fix);
            }
            return;
        };
        for (name, value) in entries {
            let pointer = format!("/evaluate/{}", crate::admission::source::escape(name));
            match (name.as_str(), value.as_str()) {
                ("language", Some("jq")) | ("mode", Some("strict")) => {}
                ("language", _) => self.report.unsupported(
                    &pointer,
                    &format!("the expression language {value}"),
                    "write expressions in jq: `language: jq`",
                ),
                ("mode", Some("loose")) => self.report.unsupported(
                    &pointer,
                    "the mode `loose`, in which any text may be an expression",
                    "put expressions into `${ }`: `mode: strict`",
                ),
                ("mode", _) => self.report.error(&pointer, format!("{value} is no mode"), "write `strict`"),
                _ => {
                    let hint = spelling::hint(name, &["language", "mode"]);
                    self.report.error(&pointer, format!("unknown property `{name}`"), hint);
                }
            }
        }
    }

    fn check_use(&mut self) {
        self.check_secret_names();
        self.check_authentications();
        self.check_functions();
    }
}
