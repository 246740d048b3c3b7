//! `millrace deploy FILE...`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use millrace_workflow::admission::{Finding, Severity};
use millrace_workflow::bundle::Bundle;
use serde::Serialize;

use crate::bundling::{Bundling, Catalogs};
use crate::config::Global;
use crate::exit::{Exit, Failure};
use crate::output::{Output, count};
use crate::requests::Fleet;
use crate::requests::admission::{Admission, Candidate, DeployedView, FindingView, admit_bundle};
use crate::requests::deployment;

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

#[derive(Serialize)]
struct Document {
    deployed: Vec<DeployedView>,
    findings: Vec<FindingView>,
}

pub(crate) async fn run(global: &Global, output: Output, arguments: &Arguments) -> anyhow::Result<Exit> {
    let mut admitted = Vec::new();
    let (mut findings, mut is_refused) = (Vec::new(), false);
    let bundling = Bundling { output, catalogs: &arguments.catalogs, is_offline: arguments.offline };
    for file in &arguments.files {
        match admit(file, &bundling).await? {
            Admission::Admitted { program, definition, warnings } => {
                findings.extend(warnings);
                admitted.push(Candidate { name: file.display().to_string(), program, definition });
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
    Ok(admit_bundle(&bundle))
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

fn same_version_twice(admitted: &[Candidate]) -> anyhow::Result<()> {
    let mut seen: BTreeMap<String, &Candidate> = BTreeMap::new();
    for candidate in admitted {
        let workflow = candidate.program.workflow.to_string();
        match seen.insert(workflow.clone(), candidate) {
            Some(other) if other.definition.digest != candidate.definition.digest => {
                let what = format!("{} and {} both say {workflow}, and differ", other.name, candidate.name);
                return Err(Failure::refused(what, "raise document.version in one of them").into());
            }
            _ => {}
        }
    }
    Ok(())
}

async fn deploy(global: &Global, admitted: &[Candidate]) -> anyhow::Result<Vec<&'static str>> {
    Ok(deployment::deploy(&Fleet::connect(global).await?, admitted).await?)
}
