//! Where a partition begins again whose checkpoint and changelog do not fit together any more: what an operator accepts with
//! `millrace era open` (state protocol 2.6 and 2.7).
//!
//! Two rules decide it. Offsets of one log can be compared, so as long as the log is the same log, the era stays, and the guard of each
//! record by its stamp goes on to hold. And everything below a checkpoint is in the snapshots, so of a log that ends below the
//! checkpoint nothing is to be applied again: the new era begins at its end.
//!
//! Hence a tail never holds records of two eras: a checkpoint is never below the base of its era.

use std::time::Duration;

use millrace_schemas::partition::{Checkpoint, Claim, Positions};
use millrace_schemas::{Offset, Stamp, Timestamp};

use crate::newcomers::Newcomers;

/// Most eras. A store that refuses timestamps of the far future (`restrict_future_timestamp`) takes stamps up to era 407 in 2026, and
/// one more each 51 days (state protocol 2.6).
pub const ERA_MAX: u32 = 400;

/// From this era on, somebody should ask why the log is made anew that often.
pub const ERA_WARN: u32 = ERA_MAX / 2;

/// How far back timers are looked at again. The events that fired them may be lost. The index keeps hours that no owner has left
/// behind; what was handled and is there still is refused.
pub const TIMERS_LOOK_BACK: Duration = Duration::from_secs(7 * 86_400);

/// What is left of a partition.
#[derive(Clone, Debug, Default)]
pub struct Remains {
    /// The write timestamp of the checkpoint row, if there is one, readable or not.
    pub checkpoint_stamp: Option<Stamp>,
    /// The checkpoint, if it can be read.
    pub checkpoint: Option<Checkpoint>,
    /// The write timestamp of the owner row, if there is one.
    pub owner_stamp: Option<Stamp>,
    /// The last claim in the changelog that a restore would read.
    pub claim: Option<Claim>,
    /// First offset that the changelog still holds.
    pub changelog_start: Offset,
    /// Its high watermark.
    pub changelog_end: Offset,
    /// Somebody says that this is not the log that the checkpoint was written for, although it is long enough to be: it was
    /// restored from a copy, or made anew and written to.
    pub is_replaced: bool,
}

/// How a partition begins again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reopening {
    /// A restore finds what it needs.
    NotNeeded,
    /// The log is the same log: its records are applied from `offset` on, so far as the snapshots do not hold them.
    SameLog {
        /// As in the log.
        era: u32,
        /// As in the log.
        base: Offset,
        /// Where a restore begins.
        offset: Offset,
    },
    /// The log is another one, or has lost its end: the snapshots are taken as they are, nothing that is in the log now is applied,
    /// and what comes is newer than all of it.
    NewEra {
        /// The new one.
        era: u32,
        /// Its base, and where a restore begins.
        base: Offset,
    },
}

impl Remains {
    /// The highest era that anything tells of.
    #[must_use]
    pub fn era(&self) -> u32 {
        let rows = [self.checkpoint_stamp, self.owner_stamp].into_iter().flatten().map(Stamp::era);
        let records = [self.checkpoint.as_ref().map(|it| it.era), self.claim.as_ref().map(|it| it.era)];
        rows.chain(records.into_iter().flatten()).max().unwrap_or(1)
    }

    /// What is to be done.
    #[must_use]
    pub fn reopening(&self) -> Reopening {
        let new_era = Reopening::NewEra { era: self.era() + 1, base: self.changelog_end };
        let found = if self.is_replaced { new_era } else { self.found(new_era) };
        match found {
            // It would lose against the row that is there.
            Reopening::SameLog { era, base, offset }
                if self.checkpoint_stamp.is_some_and(|it| it >= Stamp::new(era, base, offset)) =>
            {
                new_era
            }
            found => found,
        }
    }

    fn found(&self, new_era: Reopening) -> Reopening {
        let start = self.changelog_start;
        let of_claim = |it: &Claim| Reopening::SameLog {
            era: it.era,
            base: it.era_base,
            offset: start.max(it.era_base),
        };
        match (&self.checkpoint, &self.claim) {
            (Some(checkpoint), _) if checkpoint.changelog_offset > self.changelog_end => new_era,
            // An era was opened while a processor served the partition: what it wrote has stamps below that era.
            (Some(checkpoint), Some(claim)) if claim.era < checkpoint.era => new_era,
            // The row is of a backup that is older than the era.
            (Some(checkpoint), Some(claim)) if claim.era > checkpoint.era => of_claim(claim),
            (Some(checkpoint), _) if checkpoint.changelog_offset < start => {
                Reopening::SameLog { era: checkpoint.era, base: checkpoint.era_base, offset: start }
            }
            (Some(_), _) => Reopening::NotNeeded,
            // The row is lost. All that was trimmed is in the snapshots.
            (None, Some(claim)) if self.era() > claim.era => new_era,
            (None, Some(claim)) if start == Offset(0) && claim.era_base == Offset(0) => Reopening::NotNeeded,
            (None, Some(claim)) => of_claim(claim),
            // Nobody has owned it yet.
            (None, None) if start == Offset(0) && self.owner_stamp.is_none() => Reopening::NotNeeded,
            (None, None) if start > Offset(0) && self.era() == 1 => {
                Reopening::SameLog { era: 1, base: Offset(0), offset: start }
            }
            (None, None) => new_era,
        }
    }

    /// The checkpoint row that lets the partition begin again, with its stamp; none if it needs none. `positions`: from where the
    /// sources are read, unless the log says more.
    #[must_use]
    pub fn checkpoint(&self, positions: Positions, now: Timestamp) -> Option<(Stamp, Checkpoint)> {
        let (era, era_base, changelog_offset) = match self.reopening() {
            Reopening::NotNeeded => return None,
            Reopening::SameLog { era, base, offset } => (era, base, offset),
            Reopening::NewEra { era, base } => (era, base, base),
        };
        let look_back = i64::try_from(TIMERS_LOOK_BACK.as_millis()).expect("a week");
        let earlier = Timestamp(now.0 - look_back);
        let checkpoint = Checkpoint {
            era,
            era_base,
            changelog_offset,
            positions,
            timers_low_watermark: self
                .checkpoint
                .as_ref()
                .map_or(earlier, |it| it.timers_low_watermark.min(earlier)),
            api_url: None,
            at: now,
            key_groups: Vec::new(),
            released: Vec::new(),
            hot_keys: Vec::new(),
            timers_from: None,
            // What was lost may have used newer ones than any that is known.
            newest_id: Some(Newcomers::assumed(self.checkpoint.as_ref().and_then(|it| it.newest_id), now)),
        };
        Some((Stamp::new(era, era_base, changelog_offset), checkpoint))
    }
}
