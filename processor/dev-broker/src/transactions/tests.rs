//! The coordinator's rules, one by one.

use super::*;

use std::collections::BTreeSet;
use std::time::Duration;

use kafka_protocol::ResponseError;

const TIMEOUT: Duration = Duration::from_secs(60);
const NOW: Duration = Duration::from_secs(1_000);

/// A coordinator whose changes go through a journal, as the broker's do.
#[derive(Default)]
struct World {
    transactions: Transactions,
    journal: Vec<Change>,
}

impl World {
    fn change(&mut self, change: Change) {
        self.transactions.apply(&change, NOW);
        self.journal.push(change);
    }

    fn initialise(
        &mut self,
        expected: Option<Producer>,
    ) -> Result<(Producer, Option<Ending>), ResponseError> {
        let it = self.transactions.initialise(Some("tx"), TIMEOUT, expected, 0)?;
        let ending = it.ending.map(|(decision, ending)| {
            self.change(decision);
            self.change(Change::Ended { id: "tx".to_owned() });
            ending
        });
        for change in it.changes {
            self.change(change);
        }
        Ok((it.producer, ending))
    }

    fn producer(&mut self) -> Producer {
        self.initialise(None).expect("is initialised").0
    }

    fn add(&mut self, producer: Producer, partition: i32) -> Result<(), ResponseError> {
        let partitions = BTreeSet::from([("orders".to_owned(), partition)]);
        if let Some(change) = self.transactions.add_partitions("tx", producer, partitions)? {
            self.change(change);
        }
        Ok(())
    }

    fn end(&mut self, producer: Producer, commit: bool) -> Result<Option<Ending>, ResponseError> {
        let Some((decision, ending)) = self.transactions.end("tx", producer, commit)? else {
            return Ok(None);
        };
        self.change(decision);
        self.change(Change::Ended { id: "tx".to_owned() });
        Ok(Some(ending))
    }

    /// What the journal leads to.
    fn restarted(&self) -> Transactions {
        let mut transactions = Transactions::default();
        for change in &self.journal {
            transactions.apply(change, NOW);
        }
        transactions.skip_reserved();
        transactions
    }
}

#[test]
fn a_transaction_ends_with_the_partitions_it_has_touched() {
    let mut world = World::default();
    let producer = world.producer();
    world.add(producer, 0).expect("joins");
    world.add(producer, 3).expect("joins");
    world.add(producer, 3).expect("joins twice");
    let ending = world.end(producer, true).expect("ends").expect("for the first time");
    assert_eq!(ending.partitions, BTreeSet::from([("orders".to_owned(), 0), ("orders".to_owned(), 3)]));
    assert_eq!((ending.producer, ending.commit), (producer, true));
}

#[test]
fn the_end_may_be_asked_for_again_and_not_otherwise() {
    let mut world = World::default();
    let producer = world.producer();
    assert_eq!(world.end(producer, true), Err(ResponseError::InvalidTxnState), "nothing to end");
    world.add(producer, 0).expect("joins");
    assert!(world.end(producer, true).expect("ends").is_some());
    assert_eq!(world.end(producer, true), Ok(None));
    assert_eq!(world.end(producer, false), Err(ResponseError::InvalidTxnState));
}

#[test]
fn a_new_producer_fences_the_one_before_and_aborts_what_it_has_open() {
    let mut world = World::default();
    let old = world.producer();
    world.add(old, 0).expect("joins");
    let (new, ending) = world.initialise(None).expect("is initialised");
    let ending = ending.expect("was open");
    assert!(!ending.commit);
    assert_eq!((new.id, new.epoch), (old.id, old.epoch + 1));
    assert_eq!(ending.producer, new, "so that nothing of the old one can follow its marker");
    assert_eq!(world.add(old, 1), Err(ResponseError::ProducerFenced));
    assert_eq!(world.end(old, true), Err(ResponseError::ProducerFenced));
    world.add(new, 1).expect("joins");
}

#[test]
fn a_producer_raises_its_own_epoch_and_may_ask_again_for_that() {
    let mut world = World::default();
    let first = world.producer();
    let (second, _) = world.initialise(Some(first)).expect("is raised");
    assert_eq!(second.epoch, first.epoch + 1);
    assert_eq!(world.initialise(Some(first)).expect("answers as before").0, second);
    let (third, _) = world.initialise(Some(second)).expect("is raised");
    assert_eq!(world.initialise(Some(first)), Err(ResponseError::ProducerFenced));
    let stranger = Producer { id: third.id + 1, ..third };
    assert_eq!(world.initialise(Some(stranger)), Err(ResponseError::ProducerFenced));
}

#[test]
fn epochs_that_run_out_lead_to_another_producer_id() {
    let mut world = World::default();
    let mut producer = world.producer();
    let first = producer.id;
    for _ in 0..i32::from(i16::MAX) {
        let (newer, _) = world.initialise(None).expect("is initialised");
        assert!(newer.epoch < i16::MAX - 1);
        assert!((newer.id, newer.epoch) > (producer.id, producer.epoch));
        producer = newer;
    }
    assert_eq!(producer.id, first + 1);
}

#[test]
fn what_takes_longer_than_its_timeout_is_aborted_and_its_producer_fenced() {
    let mut world = World::default();
    let producer = world.producer();
    assert_eq!(world.transactions.next_deadline(), None);
    world.add(producer, 0).expect("joins");
    let deadline = NOW + TIMEOUT;
    assert_eq!(world.transactions.next_deadline(), Some(deadline));
    assert!(world.transactions.overdue(deadline - Duration::from_millis(1)).is_empty());
    let overdue = world.transactions.overdue(deadline);
    let [(decision, ending)] = &overdue[..] else { panic!("one is overdue") };
    assert!(!ending.commit);
    world.change(decision.clone());
    assert_eq!(world.end(producer, true), Err(ResponseError::ProducerFenced));
}

#[test]
fn offsets_need_a_group_that_the_transaction_has_named() {
    let mut world = World::default();
    let producer = world.producer();
    let check = |world: &World| world.transactions.check_group("tx", producer, "billing");
    assert_eq!(check(&world), Err(ResponseError::InvalidTxnState));
    let change = world.transactions.add_group("tx", producer, "billing").expect("is taken");
    world.change(change.expect("is new"));
    assert_eq!(check(&world), Ok(()));
    world.end(producer, false).expect("ends");
    assert_eq!(check(&world), Err(ResponseError::InvalidTxnState));
}

#[test]
fn after_a_restart_everything_is_as_before_and_no_producer_id_comes_again() {
    let mut world = World::default();
    let producer = world.producer();
    world.add(producer, 0).expect("joins");
    let (decision, ending) = world.transactions.end("tx", producer, true).expect("ends").expect("is open");
    world.change(decision);
    // Here the broker dies: decided, and no marker written.
    let mut restarted = world.restarted();
    assert_eq!(restarted.unfinished(), [ending]);
    let snapshot = restarted.snapshot();
    let mut rewritten = Transactions::default();
    for change in &snapshot {
        rewritten.apply(change, NOW);
    }
    assert_eq!(rewritten.snapshot(), snapshot);
    let fresh = restarted.initialise(None, TIMEOUT, None, 0).expect("is initialised").producer;
    assert!(fresh.id > producer.id);
}

#[test]
fn what_cannot_be_is_refused() {
    let mut transactions = Transactions::default();
    let mut refused = |id: &str, timeout: Duration| {
        transactions.initialise(Some(id), timeout, None, 0).expect_err("is refused")
    };
    assert_eq!(refused("", TIMEOUT), ResponseError::InvalidRequest);
    assert_eq!(refused("tx", Duration::ZERO), ResponseError::InvalidTransactionTimeout);
    assert_eq!(refused("tx", Duration::from_secs(3_600)), ResponseError::InvalidTransactionTimeout);
    let nobody = Producer { id: 7, epoch: 0 };
    assert_eq!(transactions.end("tx", nobody, true), Err(ResponseError::InvalidProducerIdMapping));
}

#[test]
fn an_id_that_nobody_uses_is_forgotten_after_a_week() {
    const DAY_MS: i64 = 86_400_000;
    let mut world = World::default();
    world.producer();
    assert!(world.transactions.unused(6 * DAY_MS).is_empty());
    let unused = world.transactions.unused(8 * DAY_MS);
    assert_eq!(unused, [Change::Forgotten { id: "tx".to_owned() }]);
}
