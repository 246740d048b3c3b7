//! From the text of a definition to what can be deployed.

use millrace_schemas::WorkflowVersion;
use millrace_schemas::definition::Definition;
use millrace_workflow::admission::{Admitted, Finding, Severity, admit as admit_text};
use millrace_workflow::bundle::Bundle;
use millrace_workflow::program::Program;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clients;

/// Whether a definition can be deployed.
#[derive(Debug)]
pub(crate) enum Admission {
    Admitted { program: Box<Program>, definition: Box<Definition>, warnings: Vec<Finding> },
    Refused(Vec<Finding>),
}

/// A definition that may be deployed.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// Where its text is from, for people.
    pub(crate) name: String,
    pub(crate) program: Box<Program>,
    pub(crate) definition: Box<Definition>,
}

/// What became of a definition.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct DeployedView {
    /// Where its text is from.
    pub(crate) file: String,
    /// `namespace/name/version`
    pub(crate) workflow: String,
    /// Of its meaning: comments and indentation do not count.
    pub(crate) digest: String,
    /// `checked`, `deployed`, or `unchanged` when the same definition was there.
    pub(crate) outcome: String,
    /// Where its calls go.
    pub(crate) queues: Vec<String>,
}

/// What is wrong with a definition, or worth a thought.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct FindingView {
    /// `error` or `warning`
    pub(crate) severity: String,
    pub(crate) file: String,
    /// From 1.
    pub(crate) line: usize,
    /// From 1.
    pub(crate) column: usize,
    /// JSON pointer in the definition.
    pub(crate) pointer: String,
    pub(crate) message: String,
    /// What to do.
    pub(crate) fix: String,
}

/// Admits a text in which everything is. `name` says where it is from.
pub(crate) fn admit_named(name: &str, text: String) -> Admission {
    match admit_text(name, &text) {
        Ok(admitted) => admitted_as(admitted, text),
        Err(findings) => Admission::Refused(findings),
    }
}

/// Admits what has been written together.
pub(crate) fn admit_bundle(bundle: &Bundle) -> Admission {
    match bundle.admit() {
        Ok(admitted) => admitted_as(admitted, bundle.text()),
        Err(findings) => Admission::Refused(findings),
    }
}

fn admitted_as(admitted: Admitted, text: String) -> Admission {
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

impl Candidate {
    pub(crate) fn view(&self, outcome: &str) -> DeployedView {
        DeployedView {
            file: self.name.clone(),
            workflow: self.program.workflow.to_string(),
            digest: self.definition.digest.clone(),
            outcome: outcome.to_owned(),
            queues: self.program.queues().iter().map(ToString::to_string).collect(),
        }
    }
}

impl From<&Finding> for FindingView {
    fn from(finding: &Finding) -> Self {
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        Self {
            severity: severity.to_owned(),
            file: finding.file.clone(),
            line: finding.line,
            column: finding.column,
            pointer: finding.pointer.clone(),
            message: finding.message.clone(),
            fix: finding.fix.clone(),
        }
    }
}
