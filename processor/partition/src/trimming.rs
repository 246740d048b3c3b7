//! Trimming the changelog behind the checkpoint: only ever below a checkpoint that was read back from the store at a quorum, never
//! below the one in memory, whose write may have been lost (state protocol 2.5).

use millrace_schemas::partition::Checkpoint;
use millrace_schemas::{Offset, Timestamp};

use crate::output::Output;
use crate::partition::Partition;

/// When to trim, and how far it has gone.
#[derive(Debug, Default)]
pub(crate) struct Trimming {
    /// Nothing below this is there any more, as far as is known.
    trimmed_to: Offset,
    /// When to read the checkpoint back.
    at: Option<Timestamp>,
    is_reading_back: bool,
}

impl Trimming {
    /// The changelog begins here.
    pub(crate) fn from(changelog_start: Offset) -> Self {
        Self { trimmed_to: changelog_start, ..Self::default() }
    }

    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.at
    }

    /// Something may be trimmed: after a while.
    fn schedule(&mut self, checkpoint: Offset, at: Timestamp) {
        if checkpoint > self.trimmed_to && self.at.is_none() && !self.is_reading_back {
            self.at = Some(at);
        }
    }
}

impl Partition {
    pub(crate) fn schedule_trimming(&mut self, now: Timestamp) {
        self.trimming.schedule(self.write_behind.checkpoint_offset, now.plus(self.config.trim_interval));
    }

    pub(crate) fn advance_trimming(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        if self.trimming.at.take_if(|it| *it <= now).is_some() {
            self.trimming.is_reading_back = true;
            out.push(Output::ReadCheckpoint);
        }
    }

    pub(crate) fn checkpoint_read(
        &mut self,
        checkpoint: Option<&Checkpoint>,
        now: Timestamp,
        out: &mut Vec<Output>,
    ) {
        self.trimming.is_reading_back = false;
        // One of another era is about another log.
        let durable = checkpoint.filter(|it| it.era == self.era).map_or(Offset(0), |it| it.changelog_offset);
        if durable > self.trimming.trimmed_to {
            self.trimming.trimmed_to = durable;
            let kept_ms = i64::try_from(self.config.changelog_retention.as_millis()).unwrap_or(i64::MAX);
            let keep_since = Timestamp(now.0.saturating_sub(kept_ms));
            out.push(Output::TrimChangelog { before: durable, keep_since });
        }
        self.schedule_trimming(now);
    }
}
