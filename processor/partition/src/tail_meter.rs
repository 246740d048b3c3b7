//! How long the tail is: what a restore would read now (state protocol 2.5).

use std::collections::VecDeque;

use millrace_schemas::Offset;

use crate::config::TailLimit;

/// Entries that are counted as one: a stretch goes as a whole, when the checkpoint has passed its end.
const STRETCH: usize = 64;

/// Counts what lies above the checkpoint.
#[derive(Debug, Default)]
pub(crate) struct TailMeter {
    stretches: VecDeque<Stretch>,
    entries: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Stretch {
    end: Offset,
    entries: usize,
    bytes: usize,
}

impl TailMeter {
    /// `entries` with so many bytes were written, the last of them before `end`.
    pub(crate) fn add(&mut self, end: Offset, entries: usize, bytes: usize) {
        self.entries += entries;
        self.bytes += bytes;
        match self.stretches.back_mut() {
            Some(last) if last.entries < STRETCH => {
                last.end = end;
                last.entries += entries;
                last.bytes += bytes;
            }
            _ => self.stretches.push_back(Stretch { end, entries, bytes }),
        }
    }

    /// The checkpoint has moved.
    pub(crate) fn drop_below(&mut self, checkpoint: Offset) {
        while let Some(first) = self.stretches.front().filter(|it| it.end <= checkpoint) {
            self.entries -= first.entries;
            self.bytes -= first.bytes;
            self.stretches.pop_front();
        }
    }

    /// Whether a `part`-th of `limit` is reached.
    pub(crate) fn reaches(&self, limit: TailLimit, part: usize) -> bool {
        self.entries >= limit.entries.div_ceil(part) || self.bytes >= limit.bytes.div_ceil(part)
    }

    pub(crate) fn entries(&self) -> usize {
        self.entries
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}
