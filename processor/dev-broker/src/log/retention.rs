//! Retention: what is deleted because of its age, its size, or on request. Always whole segments, the oldest first, so that what a crash
//! leaves is a log that begins later.

use std::time::UNIX_EPOCH;

use crate::log::error::{DeleteRecordsError, Doing, LogError};
use crate::log::files;
use crate::log::log::Log;
use crate::log::segment::Segment;

/// In place of an offset in [`Log::delete_records`].
const HIGH_WATERMARK: i64 = -1;

impl Log {
    /// Makes `before` the start of the log, if it begins earlier, and removes the segments that are below it as a whole (KIP-107). Lasts
    /// when this returns. -1 is the high watermark. The start of the log, as it is then.
    ///
    /// Like Apache Kafka this may delete records of an open transaction, whose marker then decides about nothing. Whether the topic's
    /// cleanup policy allows it is for the caller to say.
    pub(crate) fn delete_records(&mut self, before: i64) -> Result<i64, DeleteRecordsError> {
        self.check_usable()?;
        let high_watermark = self.next_offset;
        let before = if before == HIGH_WATERMARK { high_watermark } else { before };
        if !(0..=high_watermark).contains(&before) {
            return Err(DeleteRecordsError::OutOfRange { offset: before, high_watermark });
        }
        if before > self.start_offset {
            self.write_checkpoint(before, self.cleaned_to)?;
            self.start_offset = before;
            let below = (0..self.closed.len()).take_while(|it| self.end_of(*it) <= before).count();
            self.delete_segments(below)?;
        }
        Ok(self.start_offset)
    }

    /// By `retention.ms` and `retention.bytes`. How many segments and bytes. The active segment goes too if all of it is old.
    pub(in crate::log) fn delete_old_segments(&mut self, now_ms: i64) -> Result<(usize, u64), LogError> {
        let deletable = self.segments().filter(|it| it.size_bytes > 0 || it.base_offset < self.next_offset);
        let is_old = |it: &&Segment| match self.config.retention_ms {
            Some(retention_ms) => now_ms.saturating_sub(self.age_from_ms(it)) > retention_ms,
            None => false,
        };
        let old = deletable.clone().take_while(is_old).count();
        let mut excess_bytes =
            self.config.retention_bytes.map_or(0, |it| self.size_bytes().saturating_sub(it));
        let excess = deletable.take_while(|it| {
            let is_excess = excess_bytes > 0 && excess_bytes >= it.size_bytes;
            excess_bytes = excess_bytes.saturating_sub(it.size_bytes);
            is_excess
        });
        let deleted = old.max(excess.count());
        if deleted > self.closed.len() {
            self.roll()?;
        }
        let deleted_bytes = self.closed.iter().take(deleted).map(|it| it.size_bytes).sum();
        self.delete_segments(deleted)?;
        Ok((deleted, deleted_bytes))
    }

    /// Removes this many closed segments, oldest first. After an error some files may be left, which the next opening finds.
    fn delete_segments(&mut self, count: usize) -> Result<(), LogError> {
        let deleted: Vec<_> = self.closed.drain(..count).collect();
        let first_base = self.closed.front().unwrap_or(&self.active).base_offset;
        self.start_offset = self.start_offset.max(first_base);
        self.cleaned_to = self.cleaned_to.max(first_base);
        self.aborted.forget_below(self.start_offset);
        for segment in deleted {
            let path = segment.path(&self.dir);
            files::remove(&path).doing("remove", &path)?;
            for path in [
                files::index_path(&self.dir, segment.base_offset),
                files::producers_path(&self.dir, segment.base_offset),
            ] {
                files::remove(&path).doing("remove", &path)?;
            }
        }
        Ok(())
    }

    /// The newest timestamp of a segment; without any, when its file was last written.
    fn age_from_ms(&self, segment: &Segment) -> i64 {
        if let Some(newest) = segment.newest {
            return newest.timestamp_ms;
        }
        let modified = segment.path(&self.dir).metadata().and_then(|it| it.modified()).ok();
        let age_from = modified.and_then(|it| it.duration_since(UNIX_EPOCH).ok());
        age_from.and_then(|it| i64::try_from(it.as_millis()).ok()).unwrap_or(i64::MAX)
    }
}
