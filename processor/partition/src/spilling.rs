//! A tail that does not fit into memory is restored a portion at a time: what was read is applied and written to the store, with the same
//! stamps as ever, and dropped, before more is read (state protocol 2.3, step 5). It happens after a long outage of the store, or when
//! its checkpoints were lost.
//!
//! No checkpoint is written meanwhile: the positions that belong to it are known only at the end. An owner that dies on the way has
//! lost time, nothing else: rows that are ahead of the checkpoint are skipped by the offset guard.

use millrace_schemas::{Offset, Timestamp};

use crate::flushing::Scope;
use crate::output::Output;
use crate::partition::{Partition, Phase, Programs};

/// A portion is so many times smaller than what may be held.
const PORTIONS: usize = 4;

impl Partition {
    pub(crate) fn read_on(&self, from: Offset, until: Offset) -> Output {
        Output::ReadChangelog { from, until, bytes_max: self.config.restore_bytes_max.div_ceil(PORTIONS) }
    }

    pub(crate) fn changelog_read(&mut self, position: Offset) {
        if let Phase::Restoring(restore) = &mut self.phase {
            restore.is_read = position >= restore.until;
            restore.paused_at = (!restore.is_read).then_some(position);
        }
    }

    /// Asks for the next portion, once there is room for it.
    pub(crate) fn advance_reading(
        &mut self,
        now: Timestamp,
        programs: &impl Programs,
        out: &mut Vec<Output>,
    ) {
        let is_full = self.tail.bytes >= self.config.restore_bytes_max;
        let Phase::Restoring(restore) = &mut self.phase else { return };
        let (Some(position), true) = (restore.paused_at, restore.backlog.is_empty()) else { return };
        restore.is_spilling |= is_full;
        if restore.is_spilling {
            if self.write_behind.in_flight.is_some() {
                return;
            }
            self.load_dirty(out);
            let request = self.flush_request(Scope::All, now, programs);
            if !request.is_empty() {
                return out.push(Output::Flush(request));
            }
            self.write_behind.in_flight = None;
            // What is dirty still is quarantined, by a row that cannot be read: it waits for somebody to mend it, the restore does not.
            if !self.loading.is_empty() {
                return;
            }
        }
        let Phase::Restoring(restore) = &mut self.phase else { return };
        restore.is_spilling = false;
        restore.paused_at = None;
        let until = restore.until;
        out.push(self.read_on(position, until));
    }
}
