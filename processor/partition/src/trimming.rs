//! Trimming the changelog, and the timer index, behind the checkpoint: only ever below a checkpoint that was read back from the store at a quorum, never
//! below the one in memory, whose write may have been lost (state protocol 2.5).

use millrace_placement::TIMER_BUCKETS;
use millrace_schemas::partition::Checkpoint;
use millrace_schemas::{Offset, Timestamp};

use crate::output::Output;
use crate::partition::Partition;

/// What the index is partitioned by, besides the bucket.
const HOUR_MS: i64 = 3_600_000;

/// Its beginning.
fn hour(at: Timestamp) -> Timestamp {
    Timestamp(at.0.div_euclid(HOUR_MS).saturating_mul(HOUR_MS))
}

/// When to trim, and how far it has gone.
#[derive(Debug, Default)]
pub(crate) struct Trimming {
    /// Nothing below this is there any more, as far as is known.
    trimmed_to: Offset,
    /// When to read the checkpoint back.
    at: Option<Timestamp>,
    is_reading_back: bool,
    /// Hours of the timer index before this are no concern any more.
    timers_dropped_to: Timestamp,
}

impl Trimming {
    /// The changelog begins here.
    pub(crate) fn from(changelog_start: Offset, timers_low_watermark: Timestamp) -> Self {
        // The last owner may not have come to its last hours.
        let timers_dropped_to = Timestamp(hour(timers_low_watermark).0.saturating_sub(3 * HOUR_MS));
        Self { trimmed_to: changelog_start, timers_dropped_to, ..Self::default() }
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
        if let Some(checkpoint) = checkpoint.filter(|it| it.era == self.era) {
            self.drop_timers(checkpoint.timers_low_watermark, out);
        }
        self.schedule_trimming(now);
    }

    /// Whole hours of the index whose timers have long been handled, whoever comes next (state protocol 4.2). Two partitions that share
    /// a bucket do not know of each other's: the store's own limit is left to them.
    fn drop_timers(&mut self, low_watermark: Timestamp, out: &mut Vec<Output>) {
        if self.config.partitions > u32::from(TIMER_BUCKETS) {
            return;
        }
        let (from, until) =
            (self.trimming.timers_dropped_to, hour(Timestamp(low_watermark.0.saturating_sub(HOUR_MS))));
        if until > from {
            self.trimming.timers_dropped_to = until;
            out.push(Output::DropTimers { from, until });
        }
    }
}
