//! `millrace describe FILE`

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::cli::deploy::{self, Admission};
use crate::exit::Exit;
use crate::output::Output;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// A workflow definition, YAML or JSON
    file: PathBuf,
}

#[derive(Serialize)]
struct Document {
    workflow: String,
    digest: String,
    program: String,
}

pub(crate) fn run(output: Output, arguments: &Arguments) -> anyhow::Result<Exit> {
    let (program, _) = match deploy::admit(&arguments.file)? {
        Admission::Admitted { program, definition, .. } => (program, definition),
        Admission::Refused(findings) => return deploy::refuse(output, findings),
    };
    let document = Document {
        workflow: program.workflow.to_string(),
        digest: program.digest.clone(),
        program: program.describe(),
    };
    output.show(&document, || document.program.clone())?;
    Ok(Exit::Success)
}
