//! `millrace deploy FILE...`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use millrace_placement::Topics;
use millrace_schemas::WorkflowVersion;
use millrace_schemas::codec::Codec;
use millrace_schemas::definition::Definition;
use millrace_workflow::admission::{Admitted, Finding, Severity, admit as admit_text};
use millrace_workflow::bundle::Bundle;
use millrace_workflow::program::Program;
use serde::Serialize;

use crate::bundling::{Bundling, Catalogs};
use crate::clients::{self, Kafka};
use crate::config::Global;
use crate::exit::{Exit, Failure};
use crate::output::{Output, count};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Workflow definitions, YAML or JSON
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Only say what is wrong with them; needs no server
    #[arg(long)]
    check: bool,

    /// Fetch nothing that they refer to by URL: say what would be fetched, and refuse them if it is needed
    #[arg(long)]
    offline: bool,

    #[command(flatten)]
    catalogs: Catalogs,
}

/// Whether a file can be deployed.
pub(crate) enum Admission {
    Admitted { program: Box<Program>, definition: Box<Definition>, warnings: Vec<Finding> },
    Refused(Vec<Finding>),
}

#[derive(Serialize)]
struct Document {
    deployed: Vec<DeployedView>,
    findings: Vec<FindingView>,
}

#[derive(Serialize)]
struct DeployedView {
    file: String,
    workflow: String,
    digest: String,
    /// `checked`, `deployed`, or `unchanged` when the same definition was there.
    outcome: &'static str,
    queues: Vec<String>,
}

#[derive(Serialize)]
struct FindingView {
    /// `error` or `warning`
    severity: &'static str,
    file: String,
    /// From 1.
    line: usize,
    /// From 1.
    column: usize,
    pointer: String,
    message: String,
    fix: String,
}

pub(crate) async fn run(global: &Global, output: Output, arguments: &Arguments) -> anyhow::Result<Exit> {
    let mut admitted = Vec::new();
    let (mut findings, mut is_refused) = (Vec::new(), false);
    let bundling = Bundling { output, catalogs: &arguments.catalogs, is_offline: arguments.offline };
    for file in &arguments.files {
        match admit(file, &bundling).await? {
            Admission::Admitted { program, definition, warnings } => {
                findings.extend(warnings);
                admitted.push(Candidate { file: file.clone(), program, definition });
            }
            Admission::Refused(errors) => {
                findings.extend(errors);
                is_refused = true;
            }
        }
    }
    if is_refused {
        return refuse(output, findings);
    }
    same_version_twice(&admitted)?;
    for finding in &findings {
        output.note(&finding.to_string());
    }
    let outcomes = if arguments.check {
        vec!["checked"; admitted.len()]
    } else {
        output.patiently("deploying", deploy(global, &admitted)).await?
    };
    let deployed: Vec<_> = admitted.iter().zip(outcomes).map(|(it, outcome)| it.view(outcome)).collect();
    let document = Document { deployed, findings: findings.iter().map(FindingView::from).collect() };
    output.show(&document, || {
        let line = |it: &DeployedView| format!("{}: {} {}\n", it.file, it.workflow, it.outcome);
        document.deployed.iter().map(line).collect()
    })?;
    Ok(Exit::Success)
}

/// A definition that may be deployed.
pub(crate) struct Candidate {
    pub(crate) file: PathBuf,
    pub(crate) program: Box<Program>,
    pub(crate) definition: Box<Definition>,
}

impl Candidate {
    fn view(&self, outcome: &'static str) -> DeployedView {
        DeployedView {
            file: self.file.display().to_string(),
            workflow: self.program.workflow.to_string(),
            digest: self.definition.digest.clone(),
            outcome,
            queues: self.program.queues().iter().map(ToString::to_string).collect(),
        }
    }
}

/// Reads one file, writes what it refers to into it, and admits that.
pub(crate) async fn admit(file: &Path, bundling: &Bundling<'_>) -> anyhow::Result<Admission> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::refused(format!("cannot read {name}"), "check the path; the file must be UTF-8")
            .because(error)
    })?;
    admit_file(file, text, bundling).await
}

/// The same with the text of the file.
pub(crate) async fn admit_file(
    file: &Path,
    text: String,
    bundling: &Bundling<'_>,
) -> anyhow::Result<Admission> {
    let mut bundle = match Bundle::read(&file.display().to_string(), text) {
        Ok(bundle) => bundle,
        Err(findings) => return Ok(Admission::Refused(findings)),
    };
    if let Err(findings) = bundling.complete(&mut bundle, file).await? {
        return Ok(Admission::Refused(findings));
    }
    Ok(match bundle.admit() {
        Ok(admitted) => candidate(admitted, bundle.text()),
        Err(findings) => Admission::Refused(findings),
    })
}

/// Admits a text in which everything is. `name` says where it is from.
pub(crate) fn admit_named(name: &str, text: String) -> Admission {
    match admit_text(name, &text) {
        Ok(admitted) => candidate(admitted, text),
        Err(findings) => Admission::Refused(findings),
    }
}

fn candidate(admitted: Admitted, text: String) -> Admission {
    let program = Box::new(admitted.program);
    let WorkflowVersion { workflow, version } = program.workflow.clone();
    let is_json = text.trim_start().starts_with('{');
    let definition = Box::new(Definition {
        namespace: workflow.namespace,
        name: workflow.name,
        version,
        media_type: if is_json { "application/json" } else { "application/yaml" }.to_owned(),
        text,
        // Of the definition's meaning, so that a comment or another indentation is no new version.
        digest: format!("sha256:{}", program.digest),
        deployed_at: clients::now(),
    });
    Admission::Admitted { program, definition, warnings: admitted.warnings }
}

/// Shows the findings like a compiler does: on stderr for people, as the document for programs.
pub(crate) fn refuse(output: Output, findings: Vec<Finding>) -> anyhow::Result<Exit> {
    for finding in &findings {
        output.note(&finding.to_string());
    }
    let errors = findings.iter().filter(|it| it.severity == Severity::Error).count();
    output.note(&format!("refused: {}", count(errors, "error")));
    let document =
        Document { deployed: Vec::new(), findings: findings.iter().map(FindingView::from).collect() };
    output.show(&document, String::new)?;
    Ok(Exit::Refused)
}

impl From<&Finding> for FindingView {
    fn from(finding: &Finding) -> Self {
        Self {
            severity: match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            file: finding.file.clone(),
            line: finding.line,
            column: finding.column,
            pointer: finding.pointer.clone(),
            message: finding.message.clone(),
            fix: finding.fix.clone(),
        }
    }
}

fn same_version_twice(admitted: &[Candidate]) -> anyhow::Result<()> {
    let mut seen: BTreeMap<String, &Candidate> = BTreeMap::new();
    for candidate in admitted {
        let workflow = candidate.program.workflow.to_string();
        match seen.insert(workflow.clone(), candidate) {
            Some(other) if other.definition.digest != candidate.definition.digest => {
                let what = format!(
                    "{} and {} both say {workflow}, and differ",
                    other.file.display(),
                    candidate.file.display()
                );
                return Err(Failure::refused(what, "raise document.version in one of them").into());
            }
            _ => {}
        }
    }
    Ok(())
}

/// Publishes what is not there yet; all or nothing, as far as refusals go.
pub(crate) async fn deploy(global: &Global, admitted: &[Candidate]) -> anyhow::Result<Vec<&'static str>> {
    let topics = global.topics();
    for Candidate { file, program, .. } in admitted {
        if let Some(source) = program.sources.iter().find(|it| topics.is_internal(&it.topic)) {
            let what = format!(
                "{}: /document/metadata/millrace/events: {} is a topic of the fleet's own",
                file.display(),
                source.topic
            );
            let fix = format!(
                "events that are sent to {} are heard anyway; of the fleet's topics, only {} can be read",
                topics.events(),
                topics.emitted()
            );
            return Err(Failure::refused(what, fix).into());
        }
    }
    let (kafka, codec) = (Kafka::new(global), clients::codec(global).await?);
    let known = deployed(&kafka, &topics, &codec).await?;
    for Candidate { file, definition, .. } in admitted {
        let key = definition.workflow().to_string();
        if let Some(Some(other)) = known.get(&key)
            && other.digest != definition.digest
        {
            let what = format!("{key} is deployed already, and {} differs from it", file.display());
            let fix = "raise document.version: a deployed version never changes, since running instances stay on it";
            return Err(Failure::refused(what, fix).into());
        }
    }
    let partitions = kafka.partitions(&topics.internal()).await?;
    let mut specs = Vec::new();
    for Candidate { program, .. } in admitted {
        let queues: Vec<String> = program.queues().iter().map(ToString::to_string).collect();
        specs.extend(topics.queue_specs(partitions, &queues));
        specs.extend(program.emit_topics().iter().map(|topic| Topics::user_spec(topic, partitions)));
    }
    // Definitions share queues, and a broker takes no request that names a topic twice.
    specs.sort_by(|one, other| one.name.cmp(&other.name));
    specs.dedup_by(|one, other| one.name == other.name);
    kafka.create_topics(&specs).await?;
    let mut outcomes = Vec::new();
    for Candidate { definition, .. } in admitted {
        let key = definition.workflow().to_string();
        if matches!(known.get(&key), Some(Some(_))) {
            outcomes.push("unchanged");
            continue;
        }
        let value = codec.encode_definition(definition);
        kafka.send(&topics.definitions(), Some(key.as_bytes()), &[], Some(&value)).await?;
        outcomes.push("deployed");
    }
    Ok(outcomes)
}

/// What the definitions topic holds, by key: none for a version that was deleted, or that cannot be read.
pub(crate) async fn deployed(
    kafka: &Kafka,
    topics: &Topics,
    codec: &Codec,
) -> anyhow::Result<BTreeMap<String, Option<Definition>>> {
    let mut known = BTreeMap::new();
    for record in kafka.read(&topics.definitions(), 0, None).await? {
        let Some(key) = record.key.as_deref().map(String::from_utf8_lossy) else { continue };
        let definition = record.value.as_deref().and_then(|it| codec.decode_definition(it).ok());
        known.insert(key.into_owned(), definition);
    }
    Ok(known)
}
