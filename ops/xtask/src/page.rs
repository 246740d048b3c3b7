//! The page that a check leaves for people.

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
    write_without(&[], workspace, file, title, verdict, table)
}

/// The same; of `millrace dev`, nothing about servers.
pub(crate) fn write_served(
    workspace: &Workspace,
    file: &Path,
    embedded: bool,
    title: &str,
    verdict: &Verdict,
    table: &str,
) -> anyhow::Result<()> {
    let absent: &[&str] = if embedded { &["Kafka", "Cassandra"] } else { &[] };
    write_without(absent, workspace, file, title, verdict, table)
}

/// The same, and nothing about servers that had no part in it.
pub(crate) fn write_without(
    absent: &[&str],
    workspace: &Workspace,
    file: &Path,
    title: &str,
    verdict: &Verdict,
    table: &str,
) -> anyhow::Result<()> {
    let verdict = format!("**{}**: {}.", if verdict.holds { "PASS" } else { "FAIL" }, verdict.detail);
    let about = workspace.circumstances()?;
    let present = about.iter().filter(|(name, _)| !absent.contains(name));
    let circumstances: String = present.map(|(name, value)| format!("- {name}: {value}\n")).collect();
    let page = format!("# {title}\n\n{verdict}\n\n{table}\n{circumstances}");
    let file = workspace.root.join(file);
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&file, page).with_context(|| format!("could not write {}", file.display()))
}
