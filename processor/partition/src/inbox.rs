//! Records that wait for their batch, and what the first of them ask for: that is read while the batch before them commits, so that
//! what they need is in memory when their turn comes.

use std::collections::VecDeque;

use millrace_schemas::InstanceId;

use crate::batch::Request;
use crate::input::InboundRecord;

/// Records in the order in which they are handled.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    records: VecDeque<InboundRecord>,
    /// What the first ones ask for.
    ahead: VecDeque<Request>,
}

impl Inbox {
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// All of them, the next one first.
    pub(crate) fn records(&self) -> impl Iterator<Item = &InboundRecord> {
        self.records.iter()
    }

    pub(crate) fn push(&mut self, record: InboundRecord) {
        self.records.push_back(record);
    }

    /// They are handled again, before the others.
    pub(crate) fn put_back(&mut self, records: Vec<InboundRecord>) {
        self.ahead.clear();
        records.into_iter().rev().for_each(|it| self.records.push_front(it));
    }

    pub(crate) fn retain(&mut self, is_wanted: impl Fn(&InboundRecord) -> bool) {
        self.ahead.clear();
        self.records.retain(is_wanted);
    }

    pub(crate) fn clear(&mut self) {
        self.ahead.clear();
        self.records.clear();
    }

    /// Records are not read any more as they were.
    pub(crate) fn forget_ahead(&mut self) {
        self.ahead.clear();
    }

    /// The next record to look at, of the first `max`.
    pub(crate) fn next_ahead(&self, max: usize) -> Option<&InboundRecord> {
        self.records.get(self.ahead.len()).filter(|_| self.ahead.len() < max)
    }

    /// What that one asks for.
    pub(crate) fn push_ahead(&mut self, request: Request) {
        self.ahead.push_back(request);
    }

    /// What the first ones need in memory.
    pub(crate) fn keys_ahead(&self) -> impl Iterator<Item = &InstanceId> {
        self.ahead.iter().filter_map(Request::key)
    }

    /// Takes the first record, and what it asks for if that is known.
    pub(crate) fn pop(&mut self) -> Option<(InboundRecord, Option<Request>)> {
        let record = self.records.pop_front()?;
        // Its schema may have come since.
        let request = self.ahead.pop_front().filter(|it| !matches!(it, Request::NeedsSchema(_)));
        Some((record, request))
    }
}
