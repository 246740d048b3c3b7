//! Transactions.

#![allow(clippy::print_stdout)] // The figures of the last test.

use std::time::{Duration, Instant};

use crate::support::{
    Member, PATIENCE, aborted, commit, committed, fleet, fleet_by, member, read_changelog, record, share,
    stable_offset, with_both_group_protocols,
};
use millrace_kafka_log::{GroupProtocol, Isolation, Start, Tail, TailSource};
use millrace_placement::PartitionIndex;
use millrace_runtime::log::{CommitOutcome, Lane, Log, LogError, Share};
use millrace_schemas::Offset;
use tokio::time::timeout;

with_both_group_protocols!(
    a_share_of_a_dead_incarnation_aborts_the_whole_transaction,
    a_zombie_cannot_commit_after_another_member_took_its_partition,
);

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_tells_the_exact_offset_of_every_changelog_record() {
    let config = fleet(2).await;
    let mut member = Member::join(&config).await;
    let incarnations = member.assigned().await;
    let mut lane = member.log.lane(0).await.unwrap();
    assert_eq!(lane.transactional_id(), format!("{}-0-0", config.app_id));

    let both =
        vec![share(&config, &incarnations[0], &["a", "b", "c"]), share(&config, &incarnations[1], &["x"])];
    let first = committed(&mut lane, both).await;
    let second = committed(&mut lane, vec![share(&config, &incarnations[0], &["d"])]).await;

    assert_eq!(first, [vec![Offset(0), Offset(1), Offset(2)], vec![Offset(0)]]);
    // The marker of the first transaction is on its way: the record of the second, by the other producer, may be before it.
    let last = second[0][0].0;
    assert!((3..=4).contains(&last), "{second:?}");
    let index = incarnations[0].partition().0;
    let all = read_changelog(&member.log, index, 0, 5).await;
    assert_eq!(all, [(0, "a".into()), (1, "b".into()), (2, "c".into()), (last, "d".into())]);
    member.leave().await;
}

/// Parts go out as they come, where those see them that do not wait for the commit; offsets are told of all parts together.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_takes_in_parts_until_it_is_committed() {
    let config = fleet(2).await;
    let mut member = Member::join(&config).await;
    let incarnations = member.assigned().await;
    let mut lane = member.log.lane(0).await.unwrap();
    let [one, other] = [&incarnations[0], &incarnations[1]];

    lane.append(vec![share(&config, one, &["a"])]);
    lane.append(vec![share(&config, other, &["x", "y"]), share(&config, one, &["b"])]);
    let emitted = config.topics.emitted();
    let sources =
        (0..2).map(|partition| TailSource { topic: emitted.clone(), partition, start: Start::Beginning });
    let sources: Vec<TailSource> = sources.collect();
    let mut ahead = Tail::open(&config, &sources, Isolation::Uncommitted).await.unwrap();
    for _ in 0..3 {
        let seen = timeout(PATIENCE, ahead.next()).await.expect("it is there before the commit").unwrap();
        assert_eq!(seen.value.unwrap(), "emitted");
    }
    let mut waiting = Tail::open(&config, &sources, Isolation::Committed).await.unwrap();
    let seen = timeout(Duration::from_millis(300), waiting.next()).await;
    assert!(seen.is_err(), "{seen:?} is not committed");

    let mut last = share(&config, one, &["c"]);
    last.transaction.internal_offset = Offset(3);
    let offsets = committed(&mut lane, vec![last, share(&config, other, &["z"])]).await;
    assert_eq!(offsets, [[Offset(0), Offset(1), Offset(2)], [Offset(0), Offset(1), Offset(2)]]);
    assert_eq!(stable_offset(&member.log, one.partition().0).await, Some(Offset(3)));
    member.leave().await;
}

/// Whoever has died since has no last part, and takes the whole transaction along.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_an_incarnation_that_has_died_since_aborts_the_transaction() {
    let config = fleet(2).await;
    let mut member = Member::join(&config).await;
    let incarnations = member.assigned().await;
    let (dead, alive) = (&incarnations[0], &incarnations[1]);
    let mut lane = member.log.lane(0).await.unwrap();

    lane.append(vec![share(&config, dead, &["never"]), share(&config, alive, &["again"])]);
    member.log.renew(dead.partition()).unwrap();
    let error = aborted(&mut lane, vec![share(&config, alive, &["last"])]).await;
    assert!(matches!(error, LogError::Fenced { .. }), "{error:?}");

    // What fails on its way is told by the commit, too, and the lane stays usable.
    let huge = "x".repeat(5_000_000);
    lane.append(vec![share(&config, alive, &[&huge])]);
    lane.append(vec![share(&config, alive, &["after"])]);
    aborted(&mut lane, vec![share(&config, alive, &["last"])]).await;
    lane.append(vec![share(&config, alive, &["seen"])]);
    let offsets = committed(&mut lane, vec![share(&config, alive, &["end"])]).await;
    let until = offsets[0].last().unwrap().0 + 1;
    let all = read_changelog(&member.log, alive.partition().0, 0, until).await;
    assert_eq!(all.into_iter().map(|it| it.1).collect::<Vec<_>>(), ["seen", "end"]);
    member.leave().await;
}

/// Markers of one come while the other is under way; of the offsets of `.internal`, the last stands.
#[tokio::test(flavor = "multi_thread")]
async fn the_transactions_of_both_producers_are_one_sequence() {
    let config = fleet(1).await;
    let mut member = Member::join(&config).await;
    let incarnation = member.assigned().await.remove(0);
    let mut lane = member.log.lane(0).await.unwrap();
    let mut expected = Vec::new();
    for round in 0..10 {
        for number in 0..5 {
            let value = format!("{round}-{number}");
            let mut share = share(&config, &incarnation, &[&value]);
            share.transaction.internal_offset = Offset(round * 5 + number);
            let offsets = committed(&mut lane, vec![share]).await;
            expected.push((offsets[0][0].0, value));
        }
        assert_eq!(stable_offset(&member.log, 0).await, Some(Offset(round * 5 + 4)));
    }
    let (_, end) = member.log.changelog_bounds(PartitionIndex(0)).await.unwrap();
    assert_eq!(read_changelog(&member.log, 0, 0, end.0).await, expected);
    member.leave().await;
}

async fn a_share_of_a_dead_incarnation_aborts_the_whole_transaction(protocol: GroupProtocol) {
    let config = fleet_by(protocol, 2).await;
    let mut member = Member::join(&config).await;
    let incarnations = member.assigned().await;
    let (dead, alive) = (&incarnations[0], &incarnations[1]);
    let mut lane = member.log.lane(0).await.unwrap();

    let renewed = member.log.renew(dead.partition()).unwrap();
    assert!(!dead.is_alive() && renewed.is_alive() && !renewed.is_same(dead));
    let shares = vec![share(&config, dead, &["never"]), share(&config, alive, &["again"])];
    let error = aborted(&mut lane, shares).await;
    assert!(matches!(error, LogError::Fenced { .. }), "{error:?}");

    // The aborted record and its marker are there, and nobody sees them.
    let offsets = committed(&mut lane, vec![share(&config, &renewed, &["seen"])]).await;
    assert!(offsets[0][0] >= Offset(2), "{offsets:?}");
    let all = read_changelog(&member.log, renewed.partition().0, 0, offsets[0][0].0 + 1).await;
    assert_eq!(all, [(offsets[0][0].0, "seen".into())]);
    member.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_too_large_aborts_and_leaves_the_lane_usable() {
    let config = fleet(1).await;
    let mut member = Member::join(&config).await;
    let incarnation = member.assigned().await.remove(0);
    let mut lane = member.log.lane(0).await.unwrap();

    let huge = "x".repeat(5_000_000);
    let error = aborted(&mut lane, vec![share(&config, &incarnation, &["small", &huge])]).await;
    assert!(matches!(error, LogError::Fatal { .. }), "{error:?}");

    // Larger than the topic allows, though not than the client does: the broker refuses it.
    let large = incompressible(3_000_000);
    let error = aborted(&mut lane, vec![share(&config, &incarnation, &[&large])]).await;
    assert!(matches!(error, LogError::Fatal { .. }), "{error:?}");

    let offsets = committed(&mut lane, vec![share(&config, &incarnation, &["fine"])]).await;
    let all = read_changelog(&member.log, 0, 0, offsets[0][0].0 + 1).await;
    assert_eq!(all, [(offsets[0][0].0, "fine".into())]);
    member.leave().await;
}

async fn a_zombie_cannot_commit_after_another_member_took_its_partition(protocol: GroupProtocol) {
    let config = fleet_by(protocol, 1).await;
    let mut old = Member::join(&config).await;
    let incarnation = old.assigned().await.remove(0);
    let mut lane = old.log.lane(0).await.unwrap();
    committed(&mut lane, vec![share(&config, &incarnation, &["before"])]).await;
    old.leave().await;
    assert!(!incarnation.is_alive());

    let mut new = Member::join(&member(&config, 1)).await;
    let successor = new.assigned().await.remove(0);
    // The share of somebody who believes to be the owner still, by the last metadata that the old member had: only F1 is left.
    let zombie = Share {
        incarnation: millrace_runtime::log::Incarnation::new(PartitionIndex(0)),
        ..share(&config, &incarnation, &["zombie"])
    };
    aborted(&mut lane, vec![zombie]).await;

    let mut lane = new.log.lane(0).await.unwrap();
    let offsets = committed(&mut lane, vec![share(&config, &successor, &["after"])]).await;
    let all = read_changelog(&new.log, 0, 0, offsets[0][0].0 + 1).await;
    assert_eq!(all.into_iter().map(|it| it.1).collect::<Vec<_>>(), ["before", "after"]);
    new.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_lane_makes_its_producer_anew_and_goes_on() {
    let config = fleet(1).await;
    let mut member = Member::join(&config).await;
    let incarnation = member.assigned().await.remove(0);
    let mut lane = member.log.lane(0).await.unwrap();
    committed(&mut lane, vec![share(&config, &incarnation, &["one"])]).await;

    // The same transactional id once more.
    let mut thief = member.log.lane(0).await.unwrap();
    let lost = commit(&mut lane, vec![share(&config, &incarnation, &["two"])]).await;
    match lost {
        CommitOutcome::Aborted(_) => assert!(incarnation.is_alive()),
        CommitOutcome::Unknown(_) => assert!(!incarnation.is_alive()),
        CommitOutcome::Committed(_) => panic!("a fenced producer committed"),
    }
    let incarnation = member.log.renew(PartitionIndex(0)).unwrap();
    let offsets = committed(&mut lane, vec![share(&config, &incarnation, &["three"])]).await;
    let all = read_changelog(&member.log, 0, 0, offsets[0][0].0 + 1).await;
    assert_eq!(all.into_iter().map(|it| it.1).collect::<Vec<_>>(), ["one", "three"]);
    // Now the thief is the one that is fenced: at once with the producer that was fenced first, soon with the other.
    let until_fenced = async {
        while let CommitOutcome::Committed(_) =
            commit(&mut thief, vec![share(&config, &incarnation, &["four"])]).await
        {}
    };
    timeout(PATIENCE, until_fenced).await.expect("it is fenced");
    member.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn committed_offsets_are_read_back_when_they_are_stable() {
    let config = fleet(1).await;
    let mut member = Member::join(&config).await;
    let incarnation = member.assigned().await.remove(0);
    assert_eq!(member.log.stable_internal_offset(PartitionIndex(0)).await.unwrap(), None);
    let mut lane = member.log.lane(0).await.unwrap();

    let mut moved = share(&config, &incarnation, &["moved"]);
    moved.transaction.internal_offset = Offset(7);
    committed(&mut lane, vec![moved]).await;
    assert_eq!(member.log.stable_internal_offset(PartitionIndex(0)).await.unwrap(), Some(Offset(7)));
    member.leave().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_records_of_a_transaction_arrive_with_key_headers_and_tombstones() {
    let config = fleet(4).await;
    let mut member = Member::join(&config).await;
    let incarnation = member.assigned().await.remove(0);
    let mut lane = member.log.lane(0).await.unwrap();
    let topic = config.topics.commands("work");
    let mut sent = share(&config, &incarnation, &[]);
    sent.transaction.records = vec![record(&topic, Some(3), "a", "one"), {
        let mut tombstone = record(&topic, Some(3), "b", "");
        tombstone.value = None;
        tombstone
    }];
    committed(&mut lane, vec![sent]).await;

    let source = TailSource { topic: topic.clone(), partition: 3, start: Start::Beginning };
    let mut tail = Tail::open(&config, &[source], Isolation::Committed).await.unwrap();
    let one = tail.next_existing().await.unwrap().unwrap();
    assert_eq!((one.key.unwrap(), one.value.unwrap()), ("a".into(), "one".into()));
    assert_eq!(one.headers, [("header".to_owned(), "value".into())]);
    let two = tail.next_existing().await.unwrap().unwrap();
    assert_eq!((two.key.unwrap(), two.value), ("b".into(), None));
    assert_eq!(timeout(crate::support::PATIENCE, tail.next_existing()).await.unwrap().unwrap(), None);
    member.leave().await;
}

/// Letters that look like chance: a linear congruential generator's.
fn incompressible(bytes: usize) -> String {
    let mut state: u64 = 1;
    let letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + u8::try_from((state >> 33) % 90).unwrap())
    };
    std::iter::repeat_with(letter).take(bytes).collect()
}

/// Guards against waits that sum up: rdkafka's flush (100 ms) and librdkafka's default back-off (100 ms) once made it 200.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_takes_milliseconds() {
    let config = fleet(1).await;
    let mut member = Member::join(&config).await;
    let incarnation = member.assigned().await.remove(0);
    let mut lanes = [member.log.lane(0).await.unwrap(), member.log.lane(1).await.unwrap()];
    // One producer waits for the markers of its own transaction before (CONCURRENT_TRANSACTIONS); two that take turns do not.
    for (producers, records) in [(1, 1), (1, 10), (1, 500), (2, 1), (2, 10), (2, 500)] {
        let values = vec![
            "a value of about a hundred bytes, which is what a small event of a workflow takes when it is encoded";
            records
        ];
        let mut took = Vec::new();
        for turn in 0..120 {
            let shares = vec![share(&config, &incarnation, &values)];
            let began = Instant::now();
            committed(&mut lanes[turn % producers], shares).await;
            took.push(began.elapsed());
        }
        took.sort();
        let sum: Duration = took.iter().sum();
        println!(
            "{producers} producers, {records} records: shortest {:?}, median {:?}, 90 % {:?}, longest {:?}, mean {:?}",
            took[0],
            took[60],
            took[108],
            took[119],
            sum / 120
        );
        // A wait that is always there shows in the quickest, too; the rest shows how busy the machine is.
        assert!(took[0] < Duration::from_millis(90), "the quickest takes {:?}", took[0]);
    }
    member.leave().await;
}
