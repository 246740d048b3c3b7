//! What was sent, what came out, and what must never come out.

use std::collections::{BTreeMap, HashMap};

use millrace_schemas::EventId;
use millrace_schemas::event::{ChangelogEntry, Event};
use serde::Serialize;
use serde_json::Value;

use super::plan::{self, ANSWERED_BY_WORKER, WAITS_FOR_TIMER};

/// Violations that are kept with their details.
const VIOLATIONS_SHOWN: usize = 20;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The instance.
    pub key: String,
    /// What was seen, and what should have been.
    pub seen: String,
    /// Topic, partition and offset of the record that shows it.
    pub at: String,
}

/// All keys of a run.
#[derive(Debug, Default)]
pub struct Board {
    keys: Vec<Key>,
    /// Numbers sent for the first time.
    pub sent: u64,
    /// Records sent again: at once, later, or because nobody knew what had become of the first.
    pub copies: u64,
    /// Numbers that came out, each once and in order.
    pub told: u64,
    /// Instances that ended well, with all of their causes in the changelog once.
    pub ended: u64,
    /// Changelog entries of this run.
    pub entries: u64,
    /// Answers of workers and fired timers in the changelog.
    pub others: u64,
    /// Refused commands, by what they were and why.
    pub rejections: BTreeMap<String, u64>,
    /// How many violations.
    pub violations: u64,
    /// The first of them.
    pub shown: Vec<Violation>,
}

/// One key: an instance, and what is known of it.
#[derive(Debug)]
enum Key {
    Open(Box<Open>),
    /// All told and ended; the number is how many it told.
    Closed(u32),
}

#[derive(Debug, Default)]
struct Open {
    /// By number: how often it was sent. A start counts apart.
    sent: Vec<u32>,
    last: Option<u32>,
    /// The number that must come out next.
    told: u32,
    started: u32,
    /// By number: entries of the changelog that it caused.
    entries: Vec<u32>,
    /// Entries that other records caused: answers, timers.
    others: HashMap<EventId, u32>,
    ended: bool,
}

impl Board {
    /// A new key. Answers its number.
    pub fn open(&mut self) -> usize {
        self.keys.push(Key::Open(Box::default()));
        self.keys.len() - 1
    }

    /// Before the `number` of `key` is sent, for the first time or again.
    pub fn sending(&mut self, key: usize, number: u32, last: bool) {
        let Some(Key::Open(open)) = self.keys.get_mut(key) else {
            self.copies += 1; // it has ended meanwhile: the instance will refuse it
            return;
        };
        let number = number as usize;
        if open.sent.len() <= number {
            open.sent.resize(number + 1, 0);
            open.entries.resize(number + 1, 0);
        }
        open.sent[number] += 1;
        if open.sent[number] == 1 {
            self.sent += 1
        } else {
            self.copies += 1
        }
        if last {
            open.last = u32::try_from(number).ok();
        }
    }

    /// Before a start is sent again.
    pub fn starting_again(&mut self) {
        self.copies += 1;
    }

    /// How many keys there are.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.keys.len() as u64
    }

    /// A number came out.
    pub fn told(&mut self, key: usize, id: &str, number: u32, at: &dyn Fn() -> String) {
        let problem = match self.keys.get_mut(key) {
            None => Some("told by a key that was never sent".to_owned()),
            Some(Key::Closed(told)) => Some(format!("number {number} after its end with {told} numbers")),
            Some(Key::Open(open)) if open.told == number && (number as usize) < open.sent.len() => {
                open.told += 1;
                self.told += 1;
                None
            }
            Some(Key::Open(open)) if open.told > number => {
                Some(format!("number {number} again; the next one is {}", open.told))
            }
            Some(Key::Open(open)) if open.told == number => {
                Some(format!("number {number}, which was never sent"))
            }
            Some(Key::Open(open)) => {
                let problem = format!("number {number} before {}", open.told);
                open.told = number + 1; // so that one gap is one violation
                Some(problem)
            }
        };
        match problem {
            Some(problem) => self.violation(id, problem, at()),
            None => self.close(key),
        }
    }

    /// An entry of the changelog.
    pub fn entry(&mut self, key: usize, id: &str, entry: &ChangelogEntry, at: &dyn Fn() -> String) {
        self.entries += 1;
        let problem = match self.keys.get_mut(key) {
            None => Some("an entry of a key that was never sent".to_owned()),
            Some(Key::Closed(_)) => Some(format!("an entry after its end, caused by {}", entry.cause)),
            Some(Key::Open(open)) if open.ended => {
                Some(format!("an entry after its end, caused by {}", entry.cause))
            }
            Some(Key::Open(open)) => {
                let caused = open.cause(id, &entry.cause);
                self.others += u64::from(caused == Ok(Cause::Other));
                caused.err().or_else(|| entry.events.iter().find_map(|event| open.see(event)))
            }
        };
        match problem {
            Some(problem) => self.violation(id, problem, at()),
            None => self.close(key),
        }
    }

    /// A command was refused.
    pub fn rejection(&mut self, id: &str, command: &str, reason: &str, at: &dyn Fn() -> String) {
        *self.rejections.entry(format!("{command}: {reason}")).or_default() += 1;
        // A signal is sent once its key's start is in the log: where there is no instance, the start is lost, or comes later.
        if reason == "not_found" {
            self.violation(id, format!("{command} was refused: there is no such instance"), at());
        }
    }

    /// Something that must not be.
    pub fn violation(&mut self, key: &str, seen: String, at: String) {
        self.violations += 1;
        if self.shown.len() < VIOLATIONS_SHOWN {
            self.shown.push(Violation { key: key.to_owned(), seen, at });
        }
    }

    /// Keys that have not told and ended yet, at most `max` of them: number and what is missing.
    #[must_use]
    pub fn unfinished(&self, max: usize) -> Vec<(usize, String)> {
        let missing = |(key, it): (usize, &Key)| match it {
            Key::Closed(_) => None,
            Key::Open(it) => Some((
                key,
                format!(
                    "sent {}, told {}, started {}, ended {}",
                    it.sent.len(),
                    it.told,
                    it.started,
                    it.ended
                ),
            )),
        };
        self.keys.iter().enumerate().filter_map(missing).take(max).collect()
    }

    /// Lets go of the details of a key about which everything is known and right.
    fn close(&mut self, key: usize) {
        let Some(Key::Open(open)) = self.keys.get(key) else { return };
        let count = open.sent.len() as u32;
        if open.ended && open.told == count && open.last.is_some() {
            self.keys[key] = Key::Closed(count);
            self.ended += 1;
        }
    }
}

/// What caused an entry.
#[derive(Debug, PartialEq, Eq)]
enum Cause {
    Sent,
    Other,
}

impl Open {
    /// Counts the cause of an entry.
    ///
    /// # Errors
    /// When it has caused more entries than records of it were sent.
    fn cause(&mut self, id: &str, cause: &EventId) -> Result<Cause, String> {
        if cause.source != plan::SOURCE {
            let count = self.others.entry(cause.clone()).or_default();
            *count += 1;
            return if *count == 1 {
                Ok(Cause::Other)
            } else {
                Err(format!("{cause} caused {count} entries"))
            };
        }
        let Some(number) = plan::number_of_event(id, &cause.id) else {
            self.started += 1;
            return if self.started == 1 { Ok(Cause::Sent) } else { Err("started again".to_owned()) };
        };
        let (Some(entries), Some(sent)) =
            (self.entries.get_mut(number as usize), self.sent.get(number as usize))
        else {
            return Err(format!("an entry caused by number {number}, which was never sent"));
        };
        *entries += 1;
        if *entries <= *sent {
            Ok(Cause::Sent)
        } else {
            Err(format!("number {number} was sent {sent} times and caused {entries} entries"))
        }
    }

    /// Takes note of an event. Answers what is wrong with it.
    fn see(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::InstanceCompleted { output } => {
                self.ended = true;
                self.judge(output.value())
            }
            Event::InstanceFaulted { error } => {
                let title = error.title.as_deref().unwrap_or_default();
                let detail = error.detail.as_deref().unwrap_or_default();
                Some(format!("faulted: {} {title} {detail}", error.error_type))
            }
            Event::InstanceCancelled { reason } => Some(format!("cancelled: {reason}")),
            Event::IncidentRaised { .. } => Some(format!("an incident: {event:?}")),
            _ => None,
        }
    }

    /// At the end: each number that was sent has caused an entry, and each call and each pause exactly one.
    fn judge(&self, output: &Value) -> Option<String> {
        let count = self.sent.len();
        if self.last.map(|it| it as usize + 1) != Some(count) || output["told"] != count {
            return Some(format!("ended with {output} after {count} numbers were sent"));
        }
        if let Some(missing) = self.entries.iter().position(|it| *it == 0) {
            return Some(format!("ended without an entry that number {missing} caused"));
        }
        let others = (0..count as u32)
            .filter(|it| ANSWERED_BY_WORKER.holds(*it) || WAITS_FOR_TIMER.holds(*it))
            .count();
        (self.others.len() != others).then(|| {
            format!(
                "ended with {} answers and timers instead of {others}: {:?}",
                self.others.len(),
                self.others
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use millrace_schemas::{Payload, Timestamp};
    use serde_json::json;

    use super::*;

    const ID: &str = "sequence-run-0";

    fn at() -> String {
        "topic-0 at 7".to_owned()
    }

    /// A key with so many numbers sent, the last one flagged.
    fn board(count: u32) -> Board {
        let mut board = Board::default();
        let key = board.open();
        (0..count).for_each(|number| board.sending(key, number, number + 1 == count));
        board
    }

    fn entry(source: &str, id: &str, events: Vec<Event>) -> ChangelogEntry {
        let cause = EventId { source: source.to_owned(), id: id.to_owned() };
        ChangelogEntry { at: Timestamp(0), cause, traceparent: None, events }
    }

    fn log(board: &mut Board, id: &str) {
        board.entry(0, ID, &entry(plan::SOURCE, id, Vec::new()), &at);
    }

    fn end(board: &mut Board, last: u32, told: u32) {
        let events = vec![Event::InstanceCompleted { output: Payload::from(json!({ "told": told })) }];
        board.entry(0, ID, &entry(plan::SOURCE, &format!("{ID}/{last}"), events), &at);
    }

    fn seen(board: &Board) -> Vec<&str> {
        board.shown.iter().map(|it| it.seen.as_str()).collect()
    }

    #[test]
    fn a_good_key_closes() {
        let mut board = board(2);
        board.sending(0, 0, false); // a duplicate, which may cause an entry of its own
        for id in [ID, "sequence-run-0/0", "sequence-run-0/0"] {
            log(&mut board, id);
        }
        end(&mut board, 1, 2);
        (0..2).for_each(|number| board.told(0, ID, number, &at));
        assert_eq!((board.sent, board.copies, board.told, board.ended), (2, 1, 2, 1));
        assert_eq!(board.unfinished(1), []);
        assert_eq!(seen(&board), [""; 0]);
        board.told(0, ID, 1, &at);
        log(&mut board, "sequence-run-0/1");
        assert_eq!(
            seen(&board),
            [
                "number 1 after its end with 2 numbers",
                "an entry after its end, caused by /load-tests/sequence sequence-run-0/1"
            ]
        );
    }

    #[test]
    fn repeated_missing_reordered_and_invented_numbers_are_seen() {
        let mut board = board(4);
        for number in [0, 0, 2, 1, 3, 4] {
            board.told(0, ID, number, &at);
        }
        assert_eq!(
            seen(&board),
            [
                "number 0 again; the next one is 1",
                "number 2 before 1",
                "number 1 again; the next one is 3",
                "number 4, which was never sent"
            ]
        );
        assert_eq!(board.shown[0].at, "topic-0 at 7");
        board.told(1, "sequence-run-1", 0, &at);
        assert_eq!(board.violations, 5);
    }

    #[test]
    fn a_cause_has_no_more_entries_than_records() {
        let mut board = board(2);
        for id in [ID, "sequence-run-0/0", ID, "sequence-run-0/0", "sequence-run-0/2"] {
            log(&mut board, id);
        }
        for _ in 0..2 {
            board.entry(0, ID, &entry("millrace:timer", "t", Vec::new()), &at);
        }
        assert_eq!(
            seen(&board),
            [
                "started again",
                "number 0 was sent 1 times and caused 2 entries",
                "an entry caused by number 2, which was never sent",
                "millrace:timer t caused 2 entries"
            ]
        );
    }

    #[test]
    fn an_end_is_judged() {
        let mut board = board(2);
        end(&mut board, 1, 2);
        assert_eq!(seen(&board), ["ended without an entry that number 0 caused"]);

        let mut board = self::board(2);
        log(&mut board, "sequence-run-0/0");
        end(&mut board, 1, 1);
        assert_eq!(seen(&board), [r#"ended with {"told":1} after 2 numbers were sent"#]);

        let mut board = self::board(10);
        (0..9).for_each(|number| log(&mut board, &format!("{ID}/{number}")));
        end(&mut board, 9, 10);
        assert_eq!(seen(&board), ["ended with 0 answers and timers instead of 1: {}"]);
        assert_eq!(board.unfinished(5).len(), 1);
    }

    #[test]
    fn a_signal_without_its_instance_is_seen() {
        let mut board = board(1);
        board.rejection(ID, "complete_task", "invalid_state", &at);
        board.rejection(ID, "deliver_signal", "not_found", &at);
        assert_eq!(seen(&board), ["deliver_signal was refused: there is no such instance"]);
        assert_eq!(board.rejections.len(), 2);
    }
}
