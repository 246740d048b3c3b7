//! The page that a bench leaves for people.

use std::path::Path;

use anyhow::Context as _;

use crate::report::Verdict;
use crate::workspace::Workspace;

/// Writes title, verdict, table and circumstances.
pub(crate) fn write(
    workspace: &Workspace,
    file: &Path,
    title: &str,
    verdict: &Verdict,
    table: &str,
) -> anyhow::Result<()> {
    let verdict = format!("**{}**: {}.", if verdict.holds { "PASS" } else { "FAIL" }, verdict.detail);
    let circumstances: String =
        workspace.circumstances()?.iter().map(|(name, value)| format!("- {name}: {value}\n")).collect();
    let page = format!("# {title}\n\n{verdict}\n\n{table}\n{circumstances}");
    let file = workspace.root.join(file);
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&file, page).with_context(|| format!("could not write {}", file.display()))
}
