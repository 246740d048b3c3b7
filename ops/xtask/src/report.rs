//! What is printed: lines of progress, a table, and the verdict.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Map, Value, json};

/// Prints a line on stdout. A closed pipe is no reason to end: what runs goes on to its verdict.
macro_rules! say {
    ($($argument:tt)*) => { $crate::report::line(&format!($($argument)*)) };
}
pub(crate) use say;

pub(crate) fn line(text: &str) {
    let mut stdout = std::io::stdout().lock();
    // Nobody reads any more: there is nobody to tell.
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

/// Whether a check holds, in one line, with its figures.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) holds: bool,
    /// One line: what was seen, or what is wrong and where the logs are.
    pub(crate) detail: String,
    pub(crate) figures: Map<String, Value>,
}

impl Verdict {
    pub(crate) fn new(holds: bool, detail: impl Into<String>) -> Self {
        Self { holds, detail: detail.into(), figures: Map::new() }
    }

    pub(crate) fn fails(detail: impl Into<String>) -> Self {
        Self::new(false, detail)
    }

    pub(crate) fn figure(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.figures.insert(name.to_owned(), value.into());
        self
    }

    /// Takes in the figures of a report that a program wrote: a JSON object.
    pub(crate) fn figures_of(mut self, report: Value) -> Self {
        if let Value::Object(figures) = report {
            self.figures.extend(figures);
        }
        self
    }
}

/// Writes the figures, then prints the verdict.
///
/// # Errors
/// When the figures cannot be written; the verdict then says so, and fails.
pub(crate) fn conclude(
    name: &str,
    verdict: &Verdict,
    took: Duration,
    json: Option<&Path>,
) -> anyhow::Result<()> {
    let written = json.map_or(Ok(()), |file| write_figures(file, name, verdict, took));
    match &written {
        Ok(()) => {
            say!("{} {name}: {}", if verdict.holds { "PASS" } else { "FAIL" }, one_line(&verdict.detail))
        }
        Err(error) => say!("FAIL {name}: {error:#}"),
    }
    written
}

fn write_figures(file: &Path, name: &str, verdict: &Verdict, took: Duration) -> anyhow::Result<()> {
    let own = [
        ("check", json!(name)),
        ("holds", json!(verdict.holds)),
        ("detail", json!(verdict.detail)),
        ("seconds", json!(rounded(took))),
    ];
    let mut document: Map<String, Value> =
        own.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    for (name, value) in &verdict.figures {
        // Ours stands: the report of a program may have a word of its own on whether it holds.
        document.entry(name).or_insert_with(|| value.clone());
    }
    let text = serde_json::to_string_pretty(&document).context("could not write the figures as JSON")?;
    std::fs::write(file, text + "\n").with_context(|| format!("could not write {}", file.display()))
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|it| !it.is_empty()).collect::<Vec<_>>().join("; ")
}

/// Seconds with one decimal.
pub(crate) fn rounded(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}

/// A file that a program wrote: JSON.
pub(crate) fn read_json(file: &Path) -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(file).with_context(|| format!("could not read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_beside_the_verdict() {
        let file = std::env::temp_dir().join(format!("xtask-figures-{}.json", std::process::id()));
        let verdict = Verdict::new(true, "fine")
            .figures_of(json!({ "p99_ms": 7, "holds": false }))
            .figure("workflows_per_s", 12.5);
        conclude("bench w1", &verdict, Duration::from_millis(1_234), Some(&file)).expect("can be written");
        let document = read_json(&file).expect("was written");
        std::fs::remove_file(&file).expect("was written");
        let expected = json!({
            "check": "bench w1", "holds": true, "detail": "fine", "seconds": 1.2, "p99_ms": 7, "workflows_per_s": 12.5,
        });
        assert_eq!(document, expected);
    }

    #[test]
    fn a_verdict_is_one_line() {
        assert_eq!(one_line("it broke\n\n  see x.log\n"), "it broke; see x.log");
    }
}
