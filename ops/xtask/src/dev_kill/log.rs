//! What `millrace dev` says on stderr: what a kill may leave behind, and what nothing may.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

/// The log of one start.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Partitions whose last batches were written in part, and cut off. A kill may do that.
    pub(crate) torn: usize,
    /// Whether the journal's last entry was. The same.
    pub(crate) is_journal_torn: bool,
    /// How long the broker took to recover.
    pub(crate) broker_open_ms: Option<u64>,
    /// What a kill must not do.
    pub(crate) odd: Vec<String>,
    /// Other warnings, and how often they came.
    pub(crate) warnings: BTreeMap<String, usize>,
}

/// A line: what `tracing` writes as JSON.
#[derive(Deserialize)]
struct Line {
    level: String,
    target: String,
    fields: Fields,
}

#[derive(Deserialize)]
struct Fields {
    #[serde(default)]
    message: String,
    /// What the recovery of a log has found, as Rust shows it.
    recovery: Option<String>,
    took_ms: Option<u64>,
    /// Of the Kafka client: what it is about. Its messages have addresses in them, and no two are the same.
    facility: Option<String>,
}

impl Log {
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(file).with_context(|| format!("could not read {}", file.display()))?;
        Ok(Self::of(&String::from_utf8_lossy(&text)))
    }

    fn of(text: &str) -> Self {
        let mut log = Self::default();
        for line in text.lines() {
            match serde_json::from_str(line) {
                Ok(parsed) => log.take(&parsed, line),
                // Remarks for people stand between the lines. A panic does, too.
                Err(_) if line.contains("panicked at") => log.odd.push(line.to_owned()),
                Err(_) => {}
            }
        }
        log
    }

    fn take(&mut self, line: &Line, text: &str) {
        let Line { level, target, fields: Fields { message, recovery, took_ms, facility } } = line;
        let is_broker = target.starts_with("millrace_dev_broker");
        if is_broker && message == "the broker is open" {
            self.broker_open_ms = *took_ms;
        }
        match (level.as_str(), message.as_str()) {
            ("WARN", "a log was not as it should be") if recovery.as_deref().is_some_and(is_torn) => {
                self.torn += 1;
            }
            ("WARN", "cut a torn end off the journal") => self.is_journal_torn = true,
            ("WARN", _) if !is_broker => {
                let what = facility.as_ref().unwrap_or(message);
                *self.warnings.entry(format!("{target}: {what}")).or_default() += 1;
            }
            ("WARN" | "ERROR", _) => self.odd.push(text.to_owned()),
            _ => {}
        }
    }

    /// Whether it says nothing that a start after a stop in good order would not say.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut complaints = self.odd.clone();
        complaints.extend(self.warnings.keys().cloned());
        if self.torn > 0 || self.is_journal_torn {
            complaints.push(format!("{} torn logs, torn journal: {}", self.torn, self.is_journal_torn));
        }
        complaints
    }
}

/// Whether bytes were cut off an end, and nothing else was wrong.
fn is_torn(recovery: &str) -> bool {
    ["damage: None", "set_aside: []", "is_checkpoint_lost: false"].iter().all(|it| recovery.contains(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(level: &str, target: &str, fields: &str) -> String {
        format!(
            r#"{{"timestamp":"2026-11-26T05:00:00Z","level":"{level}","fields":{{{fields}}},"target":"{target}"}}"#
        ) + "\n"
    }

    fn recovery(details: &str) -> String {
        let fields = format!(
            r#""message":"a log was not as it should be","topic":"t","partition":0,"recovery":"Recovery {{ segments: 1, segments_scanned: 1, bytes_cut: 61, {details} }}""#
        );
        line("WARN", "millrace_dev_broker::topics::catalogue", &fields)
    }

    #[test]
    fn a_torn_end_is_no_damage() {
        let torn = "damage: None, set_aside: [], compactions_completed: 0, is_checkpoint_lost: false";
        let opened = line(
            "INFO",
            "millrace_dev_broker::broker::open",
            r#""message":"the broker is open","took_ms":7"#,
        );
        let journal = line(
            "WARN",
            "millrace_dev_broker::broker::open",
            r#""message":"cut a torn end off the journal","bytes":9"#,
        );
        let log = Log::of(&(recovery(torn) + &journal + &opened + "stopped; nothing is kept\n"));
        assert_eq!((log.torn, log.is_journal_torn, log.broker_open_ms, log.odd.len()), (1, true, Some(7), 0));
        assert_eq!(log.complaints().len(), 1, "after a stop in good order it would be one");
    }

    #[test]
    fn whatever_else_is_wrong_is_odd() {
        for details in [
            r#"damage: Some(Checksum), set_aside: [], is_checkpoint_lost: false"#,
            r#"damage: None, set_aside: [\"/d/0.broken\"], is_checkpoint_lost: false"#,
            r#"damage: None, set_aside: [], is_checkpoint_lost: true"#,
        ] {
            let log = Log::of(&recovery(details));
            assert_eq!((log.torn, log.odd.len()), (0, 1), "{details}");
        }
        let unknown = line(
            "WARN",
            "millrace_dev_broker::broker::open",
            r#""message":"abort an unknown transaction","producer":3"#,
        );
        let error = line("ERROR", "millrace_runtime::lane", r#""message":"no""#);
        let panic = "thread 'main' panicked at processor/x.rs:1:1:\n";
        assert_eq!(Log::of(&(unknown + &error + panic)).odd.len(), 3);
        let warning = line("WARN", "millrace_runtime::lane", r#""message":"fenced""#);
        let log = Log::of(&(warning.clone() + &warning));
        assert_eq!((log.odd.len(), log.warnings["millrace_runtime::lane: fenced"]), (0, 2));
    }
}
