//! What was done, and when: a line each in `faults.jsonl`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use serde::Serialize;

use super::kinds::Kind;

#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    start: Instant,
    /// The faults, and when each began in milliseconds since the Unix epoch.
    pub(crate) faults: BTreeMap<Kind, Vec<u64>>,
}

#[derive(Serialize)]
struct Line<'a> {
    at_unix_ms: u64,
    elapsed_s: f64,
    action: &'a str,
    target: &'a str,
}

impl Journal {
    pub(crate) fn create(file: &Path) -> anyhow::Result<Self> {
        let created = File::create(file).with_context(|| format!("could not create {}", file.display()))?;
        Ok(Self { file: created, start: Instant::now(), faults: BTreeMap::new() })
    }

    /// A fault begins.
    pub(crate) fn fault(&mut self, kind: Kind, target: &str) -> anyhow::Result<()> {
        let at = self.write(kind.text(), target)?;
        self.faults.entry(kind).or_default().push(at);
        Ok(())
    }

    /// Something else happened: a fault ended, a processor came back.
    pub(crate) fn note(&mut self, action: &str, target: &str) -> anyhow::Result<()> {
        self.write(action, target).map(drop)
    }

    /// How many faults began.
    pub(crate) fn count(&self) -> usize {
        self.faults.values().map(Vec::len).sum()
    }

    fn write(&mut self, action: &str, target: &str) -> anyhow::Result<u64> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
        let at_unix_ms = u64::try_from(since.as_millis()).context("the clock is far in the future")?;
        let elapsed_s = (self.start.elapsed().as_secs_f64() * 1_000.0).round() / 1_000.0;
        let mut line = serde_json::to_string(&Line { at_unix_ms, elapsed_s, action, target })?;
        line.push('\n');
        self.file.write_all(line.as_bytes()).context("could not write faults.jsonl")?;
        Ok(at_unix_ms)
    }
}
