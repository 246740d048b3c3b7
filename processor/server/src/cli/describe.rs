//! `millrace describe FILE`

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::bundling::{Bundling, Catalogs};
use crate::cli::deploy;
use crate::exit::Exit;
use crate::output::Output;
use crate::requests::admission::Admission;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// A workflow definition, YAML or JSON
    file: PathBuf,

    #[command(flatten)]
    catalogs: Catalogs,
}

#[derive(Serialize)]
struct Document {
    workflow: String,
    digest: String,
    /// As text, for people.
    program: String,
}

pub(crate) async fn run(output: Output, arguments: &Arguments) -> anyhow::Result<Exit> {
    let bundling = Bundling { output, catalogs: &arguments.catalogs, is_offline: false };
    match deploy::admit(&arguments.file, &bundling).await? {
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
