//! Progress: for people on stderr, for a harness in a file.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;

const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// Shows where a run is.
#[derive(Debug)]
pub(crate) struct Progress {
    file: Option<File>,
    shown: Option<Instant>,
    is_terminal: bool,
}

impl Progress {
    /// Progress that also goes to `file`, a JSON object a line.
    pub(crate) fn new(file: Option<&Path>) -> anyhow::Result<Self> {
        let open = |path: &Path| {
            File::create(path)
                .with_context(|| format!("the progress file {} cannot be written", path.display()))
        };
        Ok(Self {
            file: file.map(open).transpose()?,
            shown: None,
            is_terminal: std::io::stderr().is_terminal(),
        })
    }

    /// Writes `state` to the file, each time; shows `line` to people, once a second.
    pub(crate) fn update(
        &mut self,
        state: &impl Serialize,
        line: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        if let Some(file) = &mut self.file {
            let mut text = serde_json::to_string(state).context("the progress cannot be written as JSON")?;
            text.push('\n');
            // One write, so that a reader never sees half a line.
            file.write_all(text.as_bytes()).context("the progress file cannot be written")?;
        }
        if self.shown.is_none_or(|shown| shown.elapsed() >= LINE_INTERVAL) {
            self.shown = Some(Instant::now());
            if self.is_terminal {
                eprint!("\r\x1b[K{}", line());
            } else {
                eprintln!("{}", line());
            }
        }
        Ok(())
    }

    /// Leaves the line that was shown last.
    pub(crate) fn end(&self) {
        if self.is_terminal {
            eprintln!();
        }
    }
}
