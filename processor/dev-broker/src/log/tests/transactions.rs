//! Transactions: what is stable, and what was aborted.

use crate::log::producers::ProducerError;
use crate::log::testing::{BatchBuilder, Fixture, append, headers_of, read_committed};
use crate::log::{AppendError, Log, Outcome};

fn data(producer_id: i64, sequence: i32, value: &str) -> BatchBuilder {
    BatchBuilder::new().producer(producer_id, 0, sequence).transactional().record(Some("k"), Some(value), 0)
}

fn end(log: &mut Log, producer_id: i64, outcome: Outcome) -> i64 {
    log.append_marker(producer_id, 0, 0, outcome, 0).unwrap()
}

fn values(log: &Log, from: i64) -> Vec<String> {
    let seen = read_committed(log, from, 1 << 20);
    // Responses of any size tell the same.
    for bytes_max in [1, 150] {
        assert_eq!(read_committed(log, from, bytes_max), seen);
    }
    seen.into_iter().map(|it| it.value.unwrap()).collect()
}

#[test]
fn interleaved_transactions_are_seen_when_they_are_committed_and_never_when_aborted() {
    for segment_bytes in [1 << 20, 200] {
        let fixture = Fixture::new(|it| it.segment_bytes = segment_bytes);
        let mut log = fixture.open();
        append(&mut log, &data(1, 0, "1a")); // 0
        append(&mut log, &data(2, 0, "2a")); // 1
        append(&mut log, &BatchBuilder::new().record(None, Some("plain"), 0)); // 2
        append(&mut log, &data(1, 1, "1b")); // 3
        assert_eq!(log.last_stable_offset(), 0);
        assert_eq!(values(&log, 0), [""; 0]);
        assert_eq!(end(&mut log, 1, Outcome::Abort), 4);
        assert_eq!(log.last_stable_offset(), 1);
        append(&mut log, &data(1, 2, "1c")); // 5
        assert_eq!(end(&mut log, 2, Outcome::Commit), 6);
        assert_eq!(log.last_stable_offset(), 5);
        assert_eq!(values(&log, 0), ["2a", "plain"]);
        append(&mut log, &data(2, 1, "2b")); // 7
        append(&mut log, &data(3, 0, "3a")); // 8
        end(&mut log, 1, Outcome::Commit); // 9
        end(&mut log, 3, Outcome::Abort); // 10
        assert_eq!(log.last_stable_offset(), 7);
        end(&mut log, 2, Outcome::Abort); // 11
        assert_eq!(log.last_stable_offset(), 12);
        assert_eq!(values(&log, 0), ["2a", "plain", "1c"]);
        assert_eq!(values(&log, 1), ["2a", "plain", "1c"]);
        assert_eq!(values(&log, 3), ["1c"]);
        assert_eq!(values(&log, 7), [""; 0]);

        drop(log);
        let log = fixture.open();
        assert_eq!(values(&log, 0), ["2a", "plain", "1c"]);
        assert_eq!((log.last_stable_offset(), log.open_transactions().count()), (12, 0));
    }
}

#[test]
fn an_open_transaction_is_open_after_a_restart() {
    for segment_bytes in [1 << 20, 200] {
        let fixture = Fixture::new(|it| it.segment_bytes = segment_bytes);
        let mut log = fixture.open();
        for value in 0..4 {
            append(&mut log, &data(1, value, "1"));
            append(&mut log, &data(2, value, "2"));
        }
        end(&mut log, 1, Outcome::Commit);
        let producers = log.producers.clone();
        drop(log);
        let mut log = fixture.open();
        assert_eq!(log.producers, producers);
        let open: Vec<_> = log.open_transactions().map(|it| (it.producer_id, it.first_offset)).collect();
        assert_eq!((open, log.last_stable_offset()), (vec![(2, 1)], 1));
        end(&mut log, 2, Outcome::Abort);
        assert_eq!(values(&log, 0), ["1"; 4]);
    }
}

#[test]
fn a_marker_without_a_transaction_is_written_and_aborts_nothing() {
    let fixture = Fixture::new(|_| {});
    let mut log = fixture.open();
    assert_eq!(end(&mut log, 1, Outcome::Abort), 0);
    assert_eq!(end(&mut log, 1, Outcome::Abort), 1);
    assert_eq!(log.aborted(0, 2), []);
    assert_eq!((log.end_offset(), log.last_stable_offset()), (2, 2));
    let markers = headers_of(&log.read(0, 2, 1_000, true).unwrap());
    assert!(markers.iter().all(|(header, _)| header.attributes.is_control()));
}

#[test]
fn a_batch_outside_of_the_open_transaction_is_refused() {
    let fixture = Fixture::new(|_| {});
    let mut log = fixture.open();
    append(&mut log, &data(1, 0, "in"));
    let outside = BatchBuilder::new().producer(1, 0, 1).record(None, None, 0).build();
    assert!(matches!(
        log.append(&outside, 0),
        Err(AppendError::Producer(ProducerError::InvalidTransactionState { producer_id: 1 }))
    ));
    end(&mut log, 1, Outcome::Commit);
    log.append(&outside, 0).unwrap();
}

#[test]
fn a_newer_epoch_ends_the_transaction_of_an_older_one() {
    let fixture = Fixture::new(|_| {});
    let mut log = fixture.open();
    append(&mut log, &data(1, 0, "zombie"));
    log.append_marker(1, 1, 0, Outcome::Abort, 0).unwrap();
    assert!(matches!(
        log.append(&data(1, 1, "zombie").build(), 0),
        Err(AppendError::Producer(ProducerError::InvalidEpoch { epoch: 0, current: 1, .. }))
    ));
    append(&mut log, &data(1, 0, "new").producer(1, 1, 0));
    log.append_marker(1, 1, 0, Outcome::Commit, 0).unwrap();
    assert_eq!(values(&log, 0), ["new"]);
}

#[test]
fn an_older_coordinator_is_fenced() {
    let fixture = Fixture::new(|_| {});
    let mut log = fixture.open();
    append(&mut log, &data(1, 0, "v"));
    log.append_marker(1, 0, 5, Outcome::Commit, 0).unwrap();
    assert!(matches!(
        log.append_marker(1, 0, 4, Outcome::Commit, 0),
        Err(AppendError::Producer(ProducerError::CoordinatorFenced { current: 5, .. }))
    ));
    log.append_marker(1, 0, 5, Outcome::Commit, 0).unwrap();
}
