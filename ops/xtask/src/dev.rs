//! A running `millrace dev`: broker, store and processor in one process.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::bail;
use serde::Deserialize;

use crate::processes::Process;
use crate::steps;
use crate::workspace::Programs;

/// It must serve within this time.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// It must end in good order within this time.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// What it says when it serves is looked for this often: starts are measured by it.
const LOOK: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(crate) struct Dev {
    pub(crate) process: Process,
    /// Where its broker is.
    pub(crate) bootstrap: String,
    /// Where its API is.
    pub(crate) http: String,
}

/// What is used of the document that it prints once it serves.
#[derive(Deserialize)]
struct Document {
    kafka: String,
    http: String,
}

impl Dev {
    /// Starts it and waits until it serves.
    pub(crate) fn start(
        programs: &Programs,
        name: &str,
        arguments: &[&str],
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let mut command = steps::command(&programs.millrace);
        command.args(["dev", "--output", "json", "--log", "json", "-v"]).args(arguments);
        command.env_remove("MILLRACE_LOG"); // what it says is read here
        let mut process = Process::spawn(name, &mut command, folder)?;
        while begun.elapsed() < READY_WITHIN {
            if let Some(Document { kafka, http }) = document(&process.output) {
                return Ok(Self { process, bootstrap: kafka, http });
            }
            if let Err(error) = process.must_run() {
                steps::show_tail(&process.log)?;
                return Err(error);
            }
            std::thread::sleep(LOOK);
        }
        bail!("{name} does not serve after {} s; log: {}", READY_WITHIN.as_secs(), process.log.display())
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(self) -> anyhow::Result<()> {
        self.process.kill()
    }

    /// Ends it in good order.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        self.process.stop(STOP_WITHIN)
    }
}

fn document(output: &Path) -> Option<Document> {
    serde_json::from_str(&std::fs::read_to_string(output).ok()?).ok()
}
