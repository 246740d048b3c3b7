//! Ids of work: UUIDs of version 7, as those that Millrace makes itself. Each says what kind of work it is and when it was due, so that
//! nothing need be kept of work under way.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::{Builder, Uuid};

/// Makes and reads the ids of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ids {
    /// Milliseconds since the Unix epoch. With what is due it gives the time of an id, so it also tells one run from another.
    began_ms: u64,
    /// Two runs may begin at once.
    run: u16,
}

impl Ids {
    pub(super) fn of_this_run() -> Self {
        let began = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { began_ms: u64::try_from(began.as_millis()).unwrap_or(u64::MAX), run: rand::random() }
    }

    /// Of the work with that number. Two that are due within one microsecond have different ids if their numbers are less than 1,024 apart.
    pub(super) fn make(self, kind: u8, number: u64, due: Duration) -> String {
        // Ten bits of it: four and six.
        let [high, low] = [number >> 6 & 0xf, number & 0x3f].map(|it| u8::try_from(it).expect("few bits"));
        let due_us = u64::try_from(due.as_micros()).unwrap_or(u64::MAX);
        // The version stands in the upper half of the first byte, and the variant in the upper two bits of the third.
        let mut free = [0; 10];
        free[0] = high;
        free[1] = kind;
        free[2] = low;
        free[3..5].copy_from_slice(&self.run.to_be_bytes());
        free[5..].copy_from_slice(&due_us.to_be_bytes()[3..]);
        Builder::from_unix_timestamp_millis(self.time_of(due), &free).into_uuid().to_string()
    }

    /// The kind of the work with this id, and when it was due; none if it is not of this run.
    pub(super) fn parse(self, id: &str) -> Option<(usize, Duration)> {
        let bytes = Uuid::try_parse(id).ok()?.into_bytes();
        let (time, free) = bytes.split_at(6);
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let due = Duration::from_micros(number(&free[5..]));
        let is_ours = free[3..5] == self.run.to_be_bytes() && number(time) == self.time_of(due);
        is_ours.then(|| (usize::from(free[1]), due))
    }

    fn time_of(self, due: Duration) -> u64 {
        self.began_ms + u64::try_from(due.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeSet;

    use super::*;

    pub(in super::super) const RUN: Ids = Ids { began_ms: 1_800_000_000_000, run: 7 };

    #[test]
    fn an_id_says_what_it_is_and_when_it_was_due() {
        for due in [0, 1_234_567, 86_400_000_000].map(Duration::from_micros) {
            let id = RUN.make(3, 42, due);
            assert_eq!(RUN.parse(&id), Some((3, due)), "{id}");
            assert_eq!(Ids { run: 8, ..RUN }.parse(&id), None);
            assert_eq!(Ids { began_ms: 1_800_000_000_001, ..RUN }.parse(&id), None);
            assert_eq!(Uuid::try_parse(&id).unwrap().get_version_num(), 7);
        }
        assert_eq!(RUN.parse("live-17"), None);
    }

    #[test]
    fn what_is_due_at_once_has_different_ids() {
        let due = Duration::from_secs(1);
        let ids: BTreeSet<String> = (5_000..6_024).map(|it| RUN.make(0, it, due)).collect();
        assert_eq!(ids.len(), 1_024);
    }
}
