//! A dashboard, as far as it asks Prometheus.

use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::report::read_json;

/// How long a window is in which a rate is taken, here.
const RATE_WINDOW: &str = "30s";

#[derive(Debug)]
pub(super) struct Board {
    pub(super) title: String,
    pub(super) variables: Vec<Variable>,
    pub(super) panels: Vec<Panel>,
}

/// A variable whose values are those of a label.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) label: String,
    /// The series that have it.
    pub(super) selector: String,
}

#[derive(Debug)]
pub(super) struct Panel {
    pub(super) title: String,
    /// With all values of the variables.
    pub(super) queries: Vec<String>,
}

impl Board {
    /// All dashboards of a folder.
    pub(super) fn all(folder: &Path) -> anyhow::Result<Vec<Self>> {
        let files =
            std::fs::read_dir(folder).with_context(|| format!("could not read {}", folder.display()))?;
        let mut files: Vec<_> =
            files.collect::<Result<Vec<_>, _>>()?.into_iter().map(|it| it.path()).collect();
        files.retain(|it| it.extension().is_some_and(|it| it == "json"));
        files.sort();
        ensure!(!files.is_empty(), "{} has no dashboards", folder.display());
        files.iter().map(|file| Self::of(&read_json(file)?)).collect()
    }

    fn of(document: &Value) -> anyhow::Result<Self> {
        let title = text(document, "title")?;
        let mut variables = Vec::new();
        for variable in list(&document["templating"], "list")? {
            if variable["type"] == "query" {
                let query = text(&variable["query"], "query")?;
                let inner = query.strip_prefix("label_values(").and_then(|it| it.strip_suffix(')'));
                let inner = inner.with_context(|| format!("{title}: {query} is not label_values(…)"))?;
                let (selector, label) = inner.rsplit_once(", ").context("label_values has two arguments")?;
                variables.push(Variable {
                    name: text(variable, "name")?,
                    label: label.to_owned(),
                    selector: chosen(selector),
                });
            }
        }
        let mut panels = Vec::new();
        for panel in list(document, "panels")? {
            let Some(targets) = panel["targets"].as_array() else { continue };
            let title = text(panel, "title")?;
            ensure!(!targets.is_empty(), "the panel {title} asks nothing");
            let queries = targets.iter().map(|it| Ok(chosen(&text(it, "expr")?)));
            panels.push(Panel { title, queries: queries.collect::<anyhow::Result<_>>()? });
        }
        Ok(Self { title, variables, panels })
    }
}

/// The query when nobody has chosen anything: all values, as the dashboards' variables say it.
fn chosen(query: &str) -> String {
    let mut text = String::new();
    let mut parts = query.split("\"$");
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let rest = part.trim_start_matches(|it: char| it.is_ascii_alphanumeric() || it == '_');
        text.push_str("\".*");
        text.push_str(rest);
    }
    text.replace("$__rate_interval", RATE_WINDOW)
}

fn text(value: &Value, field: &str) -> anyhow::Result<String> {
    Ok(value[field].as_str().with_context(|| format!("a dashboard lacks {field}"))?.to_owned())
}

fn list<'v>(value: &'v Value, field: &str) -> anyhow::Result<&'v Vec<Value>> {
    value[field].as_array().with_context(|| format!("a dashboard lacks {field}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_stand_for_all_their_values() {
        let query = r#"sum(rate(a_total{namespace=~"$namespace", job=~"$job", x="y"}[$__rate_interval]))"#;
        assert_eq!(chosen(query), r#"sum(rate(a_total{namespace=~".*", job=~".*", x="y"}[30s]))"#);
    }

    #[test]
    fn the_dashboards_of_the_repository_can_be_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../grafana");
        let boards = Board::all(&folder).expect("they can be read");
        assert!(boards.len() >= 4);
        let queries = boards.iter().flat_map(|it| &it.panels).flat_map(|it| &it.queries);
        assert!(queries.clone().all(|it| !it.contains('$')), "a variable is left");
        assert!(boards.iter().all(|it| !it.variables.is_empty() && it.panels.len() > 10));
    }
}
