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
    /// As text, for people.
    program: String,
}

pub(crate) fn run(output: Output, arguments: &Arguments) -> anyhow::Result<Exit> {
    match deploy::admit(&arguments.file)? {
        Admission::Refused(findings) => deploy::refuse(output, findings),
        Admission::Admitted { program, definition, .. } => {
            let document = Document {
                workflow: program.workflow.to_string(),
                digest: definition.digest.clone(),
                program: program.describe(),
            };
            output.show(&document, || document.program.clone())?;
            Ok(Exit::Success)
        }
    }
}
