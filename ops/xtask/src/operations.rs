//! `ops-check`: the scripts beside what they check, `ops/*/check.sh`. The last line of each is its verdict.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::report::{Verdict, say};
use crate::steps;
use crate::workspace::{Profile, Programs, Workspace};

/// Folders of `ops` with a check of their own, in the order in which they are run.
const FOLDERS: [&str; 2] = ["helm", "prometheus"];

pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<Verdict> {
    workspace
        .with_programs("ops-check", Profile::Dev, |programs, folder| through(workspace, &programs, folder))
}

/// All of them, also when one fails.
pub(crate) fn through(workspace: &Workspace, programs: &Programs, folder: &Path) -> anyhow::Result<Verdict> {
    let scripts: Vec<(&str, PathBuf)> = FOLDERS
        .into_iter()
        .map(|it| (it, workspace.root.join("ops").join(it).join("check.sh")))
        .filter(|(_, script)| script.exists())
        .collect();
    ensure!(!scripts.is_empty(), "no folder of ops has a check.sh");
    let mut said = Vec::new();
    let mut holds = true;
    for (name, script) in scripts {
        let log = folder.join(format!("{name}.log"));
        let mut command = steps::command(&script);
        let result = steps::run(name, command.env("MILLRACE", &programs.millrace), &log);
        if let Err(error) = &result {
            say!("{error:#}");
        }
        let text =
            std::fs::read_to_string(&log).with_context(|| format!("could not read {}", log.display()))?;
        let verdict = text.lines().rfind(|it| !it.trim().is_empty()).unwrap_or_default().to_owned();
        // A script that ends well without a verdict has checked nothing.
        holds &= result.is_ok() && verdict.starts_with("PASS");
        said.push(if verdict.is_empty() { format!("{name}: no verdict") } else { verdict });
    }
    Ok(Verdict::new(holds, said.join("; ")))
}
