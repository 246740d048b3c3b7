//! What a test leaves behind.

use std::path::Path;

use anyhow::Context;
use serde::Serialize;

/// Writes `report` as JSON, if a file was asked for.
pub(crate) fn write(report: &impl Serialize, file: Option<&Path>) -> anyhow::Result<()> {
    let Some(file) = file else { return Ok(()) };
    let mut text = serde_json::to_string_pretty(report).context("the report cannot be written as JSON")?;
    text.push('\n');
    std::fs::write(file, text).with_context(|| format!("the report cannot be written to {}", file.display()))
}
