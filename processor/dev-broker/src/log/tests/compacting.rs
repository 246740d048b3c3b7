//! Compaction: what stays, for how long, and what a crash leaves.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use kafka_protocol::records::RecordBatchDecoder;
use proptest::prelude::*;

use crate::log::batch::BatchHeader;
use crate::log::compression::Codec;
use crate::log::files::{self, faults};
use crate::log::testing::{
    BatchBuilder, Fixture, Seen, append, fold, live, one, read_all, read_batches, read_committed,
    segment_sizes,
};
use crate::log::{Log, LogConfig, Outcome};

const RETENTION_MS: i64 = 1_000;

fn fixture(change: impl FnOnce(&mut LogConfig)) -> Fixture {
    Fixture::new(|it| {
        it.segment_bytes = 300;
        it.compact = true;
        it.delete = false;
        it.delete_retention_ms = RETENTION_MS;
        it.min_cleanable_dirty_ratio = 0.0;
        change(it);
    })
}

/// Closes the active segment, so that all of the log can be compacted.
fn close_active(log: &mut Log) {
    if log.active.size_bytes > 0 {
        log.roll().unwrap();
    }
}

fn shown(records: &[Seen]) -> Vec<(i64, &str, &str)> {
    let text = |it: &'static str, value: &Option<String>| match value {
        Some(value) => value.clone().leak(),
        None => it,
    };
    records.iter().map(|it| (it.offset, text("-", &it.key), text("-", &it.value))).collect()
}

fn remove_sidecars(dir: &Path) {
    for (kind, path) in files::list(dir).unwrap() {
        if matches!(kind, files::FileKind::Producers { .. } | files::FileKind::Index { .. }) {
            fs::remove_file(path).unwrap();
        }
    }
}

fn tombstone(key: &str) -> Vec<u8> {
    BatchBuilder::new().record(Some(key), None, 0).build()
}

#[test]
fn the_newest_record_of_each_key_stays_where_it_is() {
    let fixture = fixture(|_| {});
    let mut log = fixture.open();
    for (nth, key) in ["a", "b", "a", "c", "b", "a"].into_iter().enumerate() {
        log.append(&one(key, &nth.to_string()), 0).unwrap();
    }
    close_active(&mut log);
    log.append(&one("c", "active"), 0).unwrap();
    let compacted = log.maintain(0).unwrap().compacted.unwrap();
    assert!(compacted.bytes_after < compacted.bytes_before);
    assert_eq!(compacted.cleaned_to, 6);
    let expected = [(3, "c", "3"), (4, "b", "4"), (5, "a", "5"), (6, "c", "active")];
    assert_eq!(shown(&read_all(&log)), expected);
    assert_eq!((log.start_offset(), log.end_offset()), (0, 7));
    assert_eq!(log.maintain(0).unwrap().compacted, None, "nothing is dirty");
    drop(log);
    let mut log = fixture.open();
    assert_eq!(shown(&read_all(&log)), expected);
    assert_eq!(log.maintain(0).unwrap().compacted, None, "nor after a restart");
    close_active(&mut log);
    log.maintain(0).unwrap().compacted.unwrap();
    assert_eq!(shown(&read_all(&log)), [(4, "b", "4"), (5, "a", "5"), (6, "c", "active")]);
}

#[test]
fn batches_lose_records_and_keep_offsets_sequences_and_codec() {
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let fixture = fixture(|it| it.segment_bytes = 1 << 20);
        let mut log = fixture.open();
        let batch = BatchBuilder::new()
            .codec(codec)
            .producer(4, 1, 10)
            .record(Some("a"), Some("0"), 100)
            .record(Some("b"), Some("1"), 300)
            .record(Some("a"), Some("2"), 200)
            .record(Some("b"), Some("3"), 250);
        append(&mut log, &batch);
        let before = read_batches(&log, 0, 4, 1_000).remove(0).0;
        log.append(&one("b", "4"), 0).unwrap();
        close_active(&mut log);
        log.maintain(0).unwrap();
        assert_eq!(shown(&read_all(&log)), [(2, "a", "2"), (4, "b", "4")], "{codec:?}");
        assert_eq!(read_all(&log)[0].timestamp_ms, 200);
        let (after, bytes) = read_batches(&log, 0, 4, 1_000).remove(0);
        let expected = BatchHeader {
            record_count: 1,
            max_timestamp_ms: 200,
            batch_bytes: after.batch_bytes,
            crc: after.crc,
            ..before
        };
        assert_eq!(after, expected);
        if codec == Codec::None {
            let decoded = RecordBatchDecoder::decode(&mut Bytes::from(bytes)).unwrap().records;
            assert_eq!(decoded.len(), 1);
            assert_eq!((decoded[0].offset, decoded[0].sequence, decoded[0].timestamp), (2, 12, 200));
            assert_eq!(decoded[0].headers.len(), 1);
        }
    }
}

#[test]
fn a_tombstone_stays_for_a_while() {
    let fixture = fixture(|_| {});
    let mut log = fixture.open();
    log.append(&one("a", "0"), 0).unwrap();
    log.append(&tombstone("a"), 0).unwrap();
    log.append(&one("b", "2"), 0).unwrap();
    let mut pass = |now_ms, nudge: &str| {
        log.append(&one("nudge", nudge), 0).unwrap();
        close_active(&mut log);
        log.maintain(now_ms).unwrap().compacted.unwrap();
        let records = read_all(&log);
        assert!(records.iter().all(|it| it.timestamp_ms == 0), "the horizon does not show");
        records.iter().filter(|it| it.key.as_deref() != Some("nudge")).map(|it| it.offset).collect::<Vec<_>>()
    };
    assert_eq!(pass(5_000, "1"), [1, 2], "the first pass that met it decides until when");
    assert_eq!(pass(5_999, "2"), [1, 2]);
    assert_eq!(pass(6_000, "3"), [2]);
}

#[test]
fn records_of_aborted_transactions_go_and_their_marker_follows() {
    let fixture = fixture(|_| {});
    let mut log = fixture.open();
    let data = |id, sequence, key: &str, value: &str| {
        BatchBuilder::new().producer(id, 0, sequence).transactional().record(Some(key), Some(value), 0)
    };
    log.append(&one("a", "0"), 0).unwrap();
    append(&mut log, &data(1, 0, "a", "aborted")); // 1
    append(&mut log, &data(2, 0, "b", "committed")); // 2
    log.append_marker(1, 0, 0, Outcome::Abort, 0).unwrap(); // 3
    log.append_marker(2, 0, 0, Outcome::Commit, 0).unwrap(); // 4
    append(&mut log, &data(1, 1, "c", "5")); // 5
    log.append_marker(1, 0, 0, Outcome::Commit, 0).unwrap(); // 6
    append(&mut log, &data(2, 1, "d", "7")); // 7
    log.append_marker(2, 0, 0, Outcome::Commit, 0).unwrap(); // 8
    let expected = [(0, "a", "0"), (2, "b", "committed"), (5, "c", "5"), (7, "d", "7")];
    let mut pass = |now_ms, nudge: &str| {
        log.append(&one("nudge", nudge), 0).unwrap();
        close_active(&mut log);
        log.maintain(now_ms).unwrap().compacted.unwrap();
        for (nth, from) in [0, 1, 2, 3, 4, 5].into_iter().enumerate() {
            let seen = read_committed(&log, from, if nth % 2 == 0 { 1 } else { 1_000 });
            let seen: Vec<_> = seen.into_iter().filter(|it| it.key.as_deref() != Some("nudge")).collect();
            let expected: Vec<_> = expected.iter().filter(|it| it.0 >= from).copied().collect();
            assert_eq!(shown(&seen), expected);
        }
        let batches = read_batches(&log, 0, 9, 1_000);
        let offsets = batches.iter().map(|it| it.0.base_offset).collect::<Vec<_>>();
        (offsets, log.aborted(0, 9).len())
    };
    assert_eq!(pass(5_000, "1"), (vec![0, 2, 3, 4, 5, 6, 7, 8], 1), "a reader may be in the middle");
    assert_eq!(pass(5_000, "2"), (vec![0, 2, 3, 4, 5, 6, 7, 8], 0), "now it has a time to go");
    assert_eq!(pass(5_999, "3").0, [0, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(pass(6_000, "4").0, [0, 2, 4, 5, 6, 7, 8]);
}

#[test]
fn a_producers_last_batch_stays_for_its_sequence_though_it_is_empty() {
    let fixture = fixture(|_| {});
    let mut log = fixture.open();
    for sequence in 0..3 {
        append(&mut log, &BatchBuilder::new().producer(7, 0, sequence).record(Some("a"), Some("v"), 0));
    }
    append(&mut log, &BatchBuilder::new().producer(8, 0, 0).transactional().record(Some("b"), Some("v"), 0));
    log.append_marker(8, 0, 0, Outcome::Abort, 0).unwrap();
    log.append(&one("a", "newest"), 0).unwrap();
    for nudge in ["1", "2", "3"] {
        log.append(&one("nudge", nudge), 0).unwrap();
        close_active(&mut log);
        log.maintain(10_000).unwrap().compacted.unwrap();
    }
    assert_eq!(shown(&read_committed(&log, 0, 1)), [(5, "a", "newest"), (8, "nudge", "3")]);
    let batches = read_batches(&log, 0, 5, 1_000);
    let batches: Vec<_> = batches.iter().map(|it| (it.0.base_offset, it.0.record_count)).collect();
    assert_eq!(
        batches,
        [(2, 0), (3, 0), (4, 1)],
        "the marker too, while a batch of its transaction is there"
    );
    drop(log);
    // Without the snapshots, only the batches can tell.
    remove_sidecars(fixture.dir.path());
    let mut log = fixture.open();
    assert_eq!(log.last_stable_offset(), log.end_offset());
    let batch =
        |id, sequence| BatchBuilder::new().producer(id, 0, sequence).record(Some("k"), None, 0).build();
    assert_eq!(log.append(&batch(7, 2), 0).unwrap().base_offset, 2, "a repeat");
    log.append(&batch(7, 4), 0).unwrap_err();
    log.append(&batch(7, 3), 0).unwrap();
    log.append(&batch(8, 1), 0).unwrap();
}

#[test]
fn only_what_is_closed_decided_and_old_enough_is_compacted() {
    let fixture = fixture(|it| it.min_compaction_lag_ms = 100);
    let mut log = fixture.open();
    let record = |key: &str, time_ms| BatchBuilder::new().record(Some(key), Some("v"), time_ms);
    append(&mut log, &record("a", 10));
    append(&mut log, &record("a", 20));
    close_active(&mut log);
    append(&mut log, &record("a", 30).producer(1, 0, 0).transactional());
    close_active(&mut log);
    append(&mut log, &record("a", 40));
    close_active(&mut log);
    let offsets = |log: &Log| read_all(log).iter().map(|it| it.offset).collect::<Vec<_>>();
    assert_eq!(log.maintain(119).unwrap().compacted, None, "too young");
    log.maintain(120).unwrap().compacted.unwrap();
    assert_eq!(offsets(&log), [1, 2, 3]);
    assert_eq!(log.maintain(10_000).unwrap().compacted, None, "a transaction is open");
    log.append_marker(1, 0, 0, Outcome::Commit, 50).unwrap();
    log.maintain(10_000).unwrap().compacted.unwrap();
    assert_eq!(offsets(&log), [3]);
}

#[test]
fn compaction_waits_until_enough_is_dirty() {
    let fixture = fixture(|it| it.min_cleanable_dirty_ratio = 0.5);
    let mut log = fixture.open();
    for nth in 0..8 {
        log.append(&one(&nth.to_string(), "v"), 0).unwrap();
    }
    close_active(&mut log);
    log.maintain(0).unwrap().compacted.unwrap();
    log.append(&one("0", "w"), 0).unwrap();
    close_active(&mut log);
    assert_eq!(log.maintain(0).unwrap().compacted, None);
    for nth in 0..8 {
        log.append(&one(&nth.to_string(), "x"), 0).unwrap();
    }
    close_active(&mut log);
    log.maintain(0).unwrap().compacted.unwrap();
    assert_eq!(read_all(&log).len(), 8);
}

#[test]
fn small_segments_become_one() {
    let fixture = fixture(|_| {});
    let mut log = fixture.open();
    for nth in 0..40 {
        log.append(&one("k", &nth.to_string()), 0).unwrap();
    }
    close_active(&mut log);
    let before = log.closed.len();
    log.maintain(0).unwrap();
    log.append(&one("k", "last"), 0).unwrap();
    close_active(&mut log);
    log.maintain(0).unwrap();
    assert!(before >= 10 && log.closed.len() == 1, "{before} to {}", log.closed.len());
    assert_eq!(shown(&read_all(&log)), [(40, "k", "last")]);
    assert_eq!(segment_sizes(fixture.dir.path()).into_keys().collect::<Vec<_>>(), [0, 41]);
    drop(log);
    let (log, recovery) = fixture.recover();
    assert_eq!((recovery.segments_scanned, log.closed.len()), (1, 1));
}

#[test]
fn with_more_keys_than_fit_into_memory_it_takes_more_passes() {
    let fixture = fixture(|_| {});
    let mut log = fixture.open();
    for round in 0..3 {
        for key in 0..10 {
            log.append(&one(&key.to_string(), &round.to_string()), 0).unwrap();
        }
    }
    close_active(&mut log);
    let mut passes = 0;
    while log.cleaned_to < log.end_offset() {
        let before = log.cleaned_to;
        let cleanable = log.closed.len();
        log.compact(cleanable, 0, 4).unwrap();
        assert!(log.cleaned_to > before);
        assert_eq!(live(&read_all(&log)).len(), 10);
        assert!(live(&read_all(&log)).values().all(|it| it == "2"));
        passes += 1;
    }
    assert!(passes > 3);
    assert_eq!(read_all(&log).len(), 10);
}

/// It may supersede records of keys that the pass did not learn.
#[test]
fn a_tombstone_that_a_pass_did_not_get_to_stays_whatever_its_age() {
    let fixture = fixture(|it| it.segment_bytes = 1 << 20);
    let mut log = fixture.open();
    for key in ["a", "b", "c", "d"] {
        log.append(&one(key, "v"), 0).unwrap();
    }
    log.append(&tombstone("a"), 0).unwrap();
    close_active(&mut log);
    for (keys_max, now_ms, cleaned_to) in [(2, 0, 2), (1, 5_000, 3), (1, 10_000, 4)] {
        log.compact(1, now_ms, keys_max).unwrap();
        assert_eq!(log.cleaned_to, cleaned_to);
        assert!(!live(&read_all(&log)).contains_key("a"));
    }
    log.compact(1, 15_000, 1).unwrap();
    assert_eq!(shown(&read_all(&log)), [(1, "b", "v"), (2, "c", "v"), (3, "d", "v")]);
}

/// A consumer that reads up to the end of the log would otherwise wait for ever.
#[test]
fn the_last_batch_stays_though_it_is_empty() {
    let fixture = fixture(|_| {});
    let mut log = fixture.open();
    log.append(&one("a", "0"), 0).unwrap();
    log.append(&tombstone("b"), 0).unwrap();
    close_active(&mut log);
    for now_ms in [0, 5_000, 10_000] {
        log.compact(1, now_ms, 10).unwrap();
    }
    assert_eq!(shown(&read_all(&log)), [(0, "a", "0")]);
    let last = read_batches(&log, 0, 2, 1).pop().unwrap().0;
    assert_eq!((last.last_offset(), last.record_count), (1, 0));
}

/// A transaction that was open where a segment begins, of which compaction has left nothing.
#[test]
fn no_transaction_is_open_after_a_restart_whose_marker_is_gone() {
    let fixture = fixture(|it| {
        it.segment_bytes = 1;
        it.producer_expiry_ms = 10;
    });
    let mut log = fixture.open();
    append(&mut log, &BatchBuilder::new().producer(1, 0, 0).transactional().record(Some("a"), Some("0"), 0));
    log.append_marker(1, 0, 0, Outcome::Commit, 0).unwrap();
    log.append(&one("a", "2"), 0).unwrap();
    for (nudge, now_ms) in [("1", 5_000), ("2", 5_000), ("3", 10_000)] {
        log.append(&one("nudge", nudge), 0).unwrap();
        close_active(&mut log);
        log.maintain(now_ms).unwrap().compacted.unwrap();
    }
    assert_eq!(shown(&read_all(&log)), [(2, "a", "2"), (5, "nudge", "3")]);
    assert_eq!(read_batches(&log, 0, 6, 1).len(), 2, "the marker is gone");
    drop(log);
    for (kind, path) in files::list(fixture.dir.path()).unwrap() {
        match kind {
            files::FileKind::Index { .. } => fs::remove_file(path).unwrap(),
            files::FileKind::Producers { base } if base > 1 => fs::remove_file(path).unwrap(),
            _ => {}
        }
    }
    assert_eq!(fixture.open().last_stable_offset(), 6);
}

#[test]
fn records_from_before_the_topic_was_compacted() {
    let fixture = fixture(|it| it.compact = false);
    let mut log = fixture.open();
    log.append(&one("a", "0"), 0).unwrap();
    append(&mut log, &BatchBuilder::new().record(None, Some("keyless"), 0));
    // Its checksum matches, but its records are not what it says.
    let unreadable = BatchBuilder::new().codec(Codec::Gzip).record(Some("a"), Some("2"), 0).build();
    let header = BatchHeader::parse(&unreadable).unwrap();
    log.append(&crate::log::batch::build(&header, b"not gzip"), 0).unwrap();
    log.append(&one("b", "3"), 0).unwrap();
    close_active(&mut log);
    log.set_config(LogConfig { compact: true, ..log.config().clone() });
    log.maintain(0).unwrap().compacted.unwrap();
    let batches = read_batches(&log, 0, log.end_offset(), 1_000);
    assert_eq!(batches.iter().map(|it| it.0.base_offset).collect::<Vec<_>>(), [0, 2, 3]);
}

#[test]
fn damage_stops_a_pass_and_changes_nothing() {
    let fixture = fixture(|_| {});
    let mut log = fixture.open();
    for nth in 0..10 {
        log.append(&one("k", &nth.to_string()), 0).unwrap();
    }
    let path = log.closed[1].path(&log.dir);
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let sizes = segment_sizes(fixture.dir.path());
    log.maintain(0).unwrap_err();
    assert_eq!(segment_sizes(fixture.dir.path()), sizes);
    log.append(&one("k", "v"), 0).unwrap();
}

/// What happens to a log, one step at a time.
#[derive(Clone, Debug)]
enum Step {
    Append {
        producer: Option<i64>,
        records: Vec<(u8, Option<u8>)>,
        codec: Codec,
    },
    End {
        producer: i64,
        outcome: Outcome,
    },
    Roll,
    Compact {
        now_ms: i64,
        keys_max: usize,
    },
    Reopen,
    /// Without sidecars, so that the batches have to tell everything.
    ReopenBare,
}

fn step() -> impl Strategy<Value = Step> {
    let codec = prop_oneof![4 => Just(Codec::None), 1 => Just(Codec::Lz4), 1 => Just(Codec::Snappy)];
    let records = proptest::collection::vec((0..5_u8, proptest::option::weighted(0.7, any::<u8>())), 1..4);
    prop_oneof![
        6 => (proptest::option::of(0..3_i64), records, codec)
            .prop_map(|(producer, records, codec)| Step::Append { producer, records, codec }),
        3 => (0..3_i64, prop_oneof![Just(Outcome::Commit), Just(Outcome::Abort)])
            .prop_map(|(producer, outcome)| Step::End { producer, outcome }),
        1 => Just(Step::Roll),
        2 => (0..4_000_i64, prop_oneof![Just(3_usize), Just(1_000)])
            .prop_map(|(now_ms, keys_max)| Step::Compact { now_ms, keys_max }),
        1 => Just(Step::Reopen),
        1 => Just(Step::ReopenBare),
    ]
}

/// The log, and beside it every record that was committed, as if there were no compaction.
struct World {
    fixture: Fixture,
    log: Option<Log>,
    sequences: BTreeMap<i64, i32>,
    open: BTreeMap<i64, Vec<Seen>>,
    committed: Vec<Seen>,
    now_ms: i64,
}

impl World {
    fn new() -> Self {
        let fixture = fixture(|it| it.segment_bytes = 400);
        let log = Some(fixture.open());
        let (sequences, open) = (BTreeMap::new(), BTreeMap::new());
        Self { fixture, log, sequences, open, committed: Vec::new(), now_ms: 0 }
    }

    fn log(&mut self) -> &mut Log {
        self.log.as_mut().unwrap()
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Append { producer, records, codec } => self.append(*producer, records, *codec),
            Step::End { producer, outcome } => {
                self.log().append_marker(*producer, 0, 0, *outcome, 0).unwrap();
                let records = self.open.remove(producer).unwrap_or_default();
                if *outcome == Outcome::Commit {
                    self.committed.extend(records);
                }
            }
            Step::Roll => close_active(self.log()),
            Step::Compact { now_ms, keys_max } => {
                self.now_ms += now_ms;
                let (now_ms, cleanable) = (self.now_ms, self.cleanable());
                self.log().compact(cleanable, now_ms, *keys_max).unwrap();
            }
            Step::Reopen | Step::ReopenBare => {
                self.log = None;
                if matches!(step, Step::ReopenBare) {
                    remove_sidecars(self.fixture.dir.path());
                }
                let (log, recovery) = self.fixture.recover();
                assert!(recovery.set_aside.is_empty() && recovery.bytes_cut == 0);
                self.log = Some(log);
            }
        }
    }

    fn append(&mut self, producer: Option<i64>, records: &[(u8, Option<u8>)], codec: Codec) {
        let mut batch = BatchBuilder::new().codec(codec);
        let mut seen = Vec::new();
        let base = self.log().end_offset();
        for (nth, (key, value)) in records.iter().enumerate() {
            let (key, value) = (key.to_string(), value.map(|it| it.to_string()));
            batch = batch.record(Some(&key), value.as_deref(), 0);
            seen.push(Seen { offset: base + nth as i64, timestamp_ms: 0, key: Some(key), value });
        }
        match producer {
            Some(id) => {
                let sequence = self.sequences.entry(id).or_default();
                batch = batch.producer(id, 0, *sequence).transactional();
                *sequence += records.len() as i32;
                self.open.entry(id).or_default().extend(seen);
            }
            None => self.committed.extend(seen),
        }
        append(self.log(), &batch);
    }

    fn cleanable(&mut self) -> usize {
        let log = self.log();
        let stable = log.last_stable_offset();
        (0..log.closed.len()).take_while(|it| log.end_of(*it) <= stable).count()
    }

    /// What is stable of the committed records.
    fn stable(&self, log: &Log) -> Vec<Seen> {
        let stable = log.last_stable_offset();
        let mut records: Vec<_> = self.committed.iter().filter(|it| it.offset < stable).cloned().collect();
        records.sort_by_key(|it| it.offset);
        records
    }

    fn check(&self, log: &Log) {
        let expected = self.stable(log);
        let open = self.open.values().flatten().map(|it| it.offset).min();
        assert_eq!(log.last_stable_offset(), open.unwrap_or_else(|| log.end_offset()));
        for bytes_max in [1, 300, 1 << 20] {
            let seen = read_committed(log, 0, bytes_max);
            assert_eq!(live(&seen), live(&expected));
            // Nothing is there that was not committed, and of each key the newest, if it is no tombstone.
            assert!(seen.iter().all(|it| expected.contains(it)), "{seen:?}");
            assert!(seen.is_sorted_by(|a, b| a.offset < b.offset));
        }
        // Readers get to the end, though compaction has removed what was there.
        let reached = read_batches(log, 0, log.end_offset(), 300).last().map(|it| it.0.last_offset() + 1);
        assert_eq!(reached.unwrap_or(0), log.end_offset());
        // A reader that is in the middle, and knows what was before, comes to the same.
        for from in (0..log.end_offset()).step_by(3) {
            let known = expected.iter().filter(|it| it.offset < from).cloned();
            let all: Vec<_> = known.chain(read_committed(log, from, 200)).collect();
            let (ours, theirs) = (fold(&all), fold(&expected));
            for (key, (offset, value)) in &theirs {
                // But for tombstones whose time is over.
                if value.is_some() {
                    assert_eq!(ours.get(key), Some(&(*offset, value.clone())), "from {from}");
                }
            }
        }
    }
}

/// With every number of changes to the files that the last step can make, the log that is opened then is right.
fn crash_in(world: &mut World, keys_max: usize) {
    let (now_ms, cleanable) = (world.now_ms, world.cleanable());
    for changes in 0.. {
        let copy = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(world.fixture.dir.path()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
        let open = || Log::open(copy.path(), world.fixture.config.clone());
        let mut log = open().unwrap().0;
        faults::allow(changes);
        let outcome = log.compact(cleanable, now_ms, keys_max);
        faults::allow(u32::MAX);
        if let Err(error) = &outcome {
            // The log in memory still tells the truth, or says that it cannot.
            match log.read(0, log.end_offset(), 1, true) {
                Ok(_) => world.check(&log),
                Err(_) => assert!(log.is_halted, "{error}"),
            }
        }
        drop(log);
        // It is opened twice, with a crash in the first of them too.
        faults::allow(changes % 3);
        let _ = open();
        faults::allow(u32::MAX);
        let (log, recovery) = open().unwrap();
        assert!(recovery.set_aside.is_empty() && recovery.bytes_cut == 0 && recovery.damage.is_none());
        world.check(&log);
        if outcome.is_ok() {
            return;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_compacted_log_says_the_same(steps in proptest::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
            let log = world.log.take().unwrap();
            world.check(&log);
            world.log = Some(log);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_crash_in_a_pass_leaves_a_log_that_says_the_same(steps in proptest::collection::vec(step(), 20..50)) {
        let mut world = World::new();
        steps.iter().for_each(|it| world.take(it));
        world.take(&Step::Roll);
        crash_in(&mut world, 1_000);
    }
}
