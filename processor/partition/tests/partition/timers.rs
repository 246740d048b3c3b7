//! Many timers: what is in memory is bounded, nothing is lost or early, and a herd leaves room for the rest.

use std::sync::Arc;
use std::time::Duration;

use millrace_partition::{Config, Gauges, Observation};
use millrace_schemas::cloud_event::{cancel_event, start_event};
use millrace_schemas::partition::Checkpoint;
use millrace_schemas::{EventId, InstanceId, Timestamp, WorkflowName};
use serde_json::json;

use crate::world::World;

const WAIT: &str = "
document: {dsl: 1.0.3, namespace: test, name: wait, version: 1.0.0}
do:
  - pause: {wait: {minutes: 5}}
";

const SHORT: &str = "
document: {dsl: 1.0.3, namespace: test, name: short, version: 1.0.0}
do:
  - pause: {wait: {seconds: 2}}
";

const LONG: &str = "
document: {dsl: 1.0.3, namespace: test, name: long, version: 1.0.0}
do:
  - pause: {wait: {hours: 30}}
";

/// Instances of a herd.
const HERD: usize = 60;
/// Timers in memory, in these tests.
const NEAR_MAX: usize = 16;

fn id(text: &str) -> InstanceId {
    InstanceId::new(text).unwrap()
}

fn event_id(text: &str) -> EventId {
    EventId { source: "test".to_owned(), id: text.to_owned() }
}

fn world(change: impl FnOnce(&mut Config)) -> World {
    let mut world = World::new(&[WAIT, SHORT, LONG]);
    let config = Arc::get_mut(&mut world.config).unwrap();
    (config.timers_near_max, config.flush_rows_max) = (NEAR_MAX, 1_000);
    (config.batch_records_max, config.unflushed.entries) = (100, 1_000);
    change(config);
    world.restart();
    world
}

fn start(world: &mut World, instance: &str, workflow: &str) {
    let workflow = WorkflowName { namespace: "test".into(), name: workflow.into() };
    world.produce(&start_event(event_id(instance), &id(instance), &workflow, None, json!({})));
}

/// All wait for the same instant, 300 seconds from now.
fn herd(world: &mut World) {
    (0..HERD).for_each(|n| start(world, &format!("herd-{n:02}"), "wait"));
    world.settle();
}

fn completed(world: &World) -> usize {
    world.folded().values().filter(|it| it.status.name() == "completed").count()
}

fn gauges(world: &World) -> Gauges {
    world.partition.as_ref().unwrap().gauges()
}

fn checkpoint(world: &World) -> Checkpoint {
    world.codec.decode_checkpoint(&world.durable.checkpoint.clone().unwrap().1).unwrap()
}

/// Time passes in small steps, as the shell's ticks do. The most timers that were in memory meanwhile.
fn pass_ms(world: &mut World, ms: i64) -> usize {
    let end = world.now.0 + ms;
    let mut near = gauges(world).timers_near;
    while world.now.0 < end {
        world.now = Timestamp((world.now.0 + 50).min(end));
        world.settle();
        near = near.max(gauges(world).timers_near);
    }
    near
}

#[test]
fn a_herd_is_read_in_pages_and_each_of_it_fires_once() {
    let mut world = world(|_| {});
    herd(&mut world);
    let near = pass_ms(&mut world, 299_900);
    assert_eq!((completed(&world), world.durable.timers.len()), (0, HERD), "none is early, all are indexed");
    let near = near.max(pass_ms(&mut world, 1_000));
    assert_eq!(completed(&world), HERD);
    assert!(near <= NEAR_MAX, "{near} timers were in memory");
    assert!(world.pages.iter().all(|it| *it <= NEAR_MAX / 4), "{:?}", world.pages);
    assert_eq!(world.durable.internal.len(), HERD, "none was proposed twice");
}

#[test]
fn a_herd_that_was_set_just_now_is_not_lost_with_its_owner() {
    for flushed in [false, true] {
        let mut world = world(|_| {});
        herd(&mut world);
        if flushed {
            pass_ms(&mut world, 20_000);
        }
        world.restart();
        pass_ms(&mut world, 150_000);
        world.restart();
        assert!(pass_ms(&mut world, 151_000) <= NEAR_MAX);
        assert_eq!(completed(&world), HERD, "flushed: {flushed}");
    }
}

#[test]
fn an_owner_that_dies_in_the_middle_of_a_herd_leaves_the_rest_to_the_next() {
    let mut world = world(|it| it.timer_fires_per_second = 80);
    herd(&mut world);
    pass_ms(&mut world, 300_000);
    let mut owners = 1;
    while completed(&world) < HERD {
        assert!(owners < 40, "{} of {HERD} after {owners} owners", completed(&world));
        pass_ms(&mut world, 500);
        world.restart();
        owners += 1;
    }
    assert!(owners > 4, "the pace makes it last");
    let fired = world.observed.iter().filter(|it| matches!(it, Observation::TimerFired { .. })).count();
    assert_eq!(fired, HERD);
}

#[test]
fn timers_fire_no_faster_than_the_pace() {
    let mut world = world(|it| it.timer_fires_per_second = 10);
    herd(&mut world);
    pass_ms(&mut world, 300_000);
    for second in 1..=5 {
        pass_ms(&mut world, 1_000);
        let done = completed(&world);
        // It begins slowly, and gets faster while nothing else is to be done.
        assert!((8 * second - 4..=10 * second + 2).contains(&done), "{done} after {second} s");
    }
    pass_ms(&mut world, 3_000);
    assert_eq!(completed(&world), HERD);
}

/// At ten a second, the herd takes six. What others set meanwhile, or have set before for a second after the herd, does not wait for it.
#[test]
fn what_is_due_after_a_herd_does_not_wait_for_it() {
    let mut world = world(|it| it.timer_fires_per_second = 10);
    herd(&mut world);
    pass_ms(&mut world, 2_000);
    start(&mut world, "zz-set-before", "wait");
    pass_ms(&mut world, 298_000);
    start(&mut world, "zz-set-meanwhile", "short");
    world.settle();
    pass_ms(&mut world, 2_300);
    assert_eq!((world.status("zz-set-before"), world.status("zz-set-meanwhile")), ("completed", "completed"));
    let done = completed(&world);
    assert!(done < HERD / 2, "{done} are done: the herd is still under way");
    pass_ms(&mut world, 6_000);
    assert_eq!(completed(&world), HERD + 2);
    let due = world.now;
    pass_ms(&mut world, 20_000);
    assert!(checkpoint(&world).timers_low_watermark >= due, "and is forgotten");
}

#[test]
fn while_records_wait_a_quarter_of_a_batch_is_timers() {
    let mut world = world(|it| it.batch_records_max = 8);
    herd(&mut world);
    pass_ms(&mut world, 299_900);
    world.holds_commits = true;
    (0..40).for_each(|n| start(&mut world, &format!("other-{n}"), "long"));
    world.settle();
    world.now = world.now.plus(Duration::from_millis(100));
    world.commit_held();
    let mut shares = Vec::new();
    while let Some(held) = &world.held {
        let proposals = held.records.iter().filter(|it| it.topic.ends_with(".internal")).count();
        shares.push(proposals);
        world.commit_held();
    }
    assert!(shares[..4] == [2; 4], "{shares:?}");
    world.holds_commits = false;
    pass_ms(&mut world, 1_000);
    assert_eq!(completed(&world), HERD);
}

/// The page was read before the row came, and answered after the flush was.
#[test]
fn a_timer_that_is_indexed_while_a_page_is_read_is_not_missed() {
    let mut world = world(|it| it.timer_horizon = Duration::from_secs(120));
    world.holds_flushes = true;
    start(&mut world, "a", "wait");
    pass_ms(&mut world, 200_000);
    world.holds_timers = true;
    pass_ms(&mut world, 60_000);
    let slice = world.held_slice.take().expect("a slice is wanted");
    let missed = world.load_timers(slice);
    let request = world.held_flush.take().expect("a flush is wanted");
    assert_eq!(request.timers.len(), 1);
    let flushed = world.store(&request);
    world.input(flushed);
    world.input(missed);
    world.holds_timers = false;
    pass_ms(&mut world, 41_000);
    assert_eq!(world.status("a"), "completed");
}

#[test]
fn a_timer_that_is_cancelled_while_it_fires_does_nothing() {
    let mut world = world(|_| {});
    start(&mut world, "a", "wait");
    pass_ms(&mut world, 299_900);
    world.holds_commits = true;
    world.now = world.now.plus(Duration::from_millis(200));
    world.settle();
    assert!(world.held.is_some(), "it is being proposed");
    world.produce(&cancel_event(event_id("cancel"), &id("a"), "test", false));
    world.settle();
    world.holds_commits = false;
    world.commit_held();
    world.settle();
    assert_eq!((world.status("a"), world.durable.internal.len()), ("cancelled", 1));
    assert!(!world.observed.iter().any(|it| matches!(it, Observation::TimerFired { .. })));
}

#[test]
fn a_quiet_partition_asks_seldom_and_a_cancelled_timer_is_never_indexed() {
    let mut world = world(|it| it.timer_horizon = Duration::from_secs(60));
    start(&mut world, "a", "wait");
    world.settle();
    world.produce(&cancel_event(event_id("cancel"), &id("a"), "test", false));
    pass_ms(&mut world, 60_000);
    assert_eq!(world.durable.timers.len(), 0);
    let before = world.pages.len();
    pass_ms(&mut world, 600_000);
    let asked = world.pages.len() - before;
    assert!((19..=21).contains(&asked), "{asked} pages in ten minutes");
}

#[test]
fn hours_that_are_done_are_dropped_once_the_checkpoint_was_read_back() {
    let mut world = world(|_| {});
    start(&mut world, "a", "long");
    let begun = world.now;
    for _ in 0..31 * 60 {
        world.pass(60);
        // Something to checkpoint.
        if world.now.0 % 600_000 == 0 {
            let name = format!("b-{}", world.now.0);
            start(&mut world, &name, "short");
        }
        for (_, until) in &world.dropped {
            assert!(until.0 + 3_600_000 <= world.now.0, "an hour later at the earliest");
        }
    }
    assert_eq!(world.status("a"), "completed");
    let hours = |at: Timestamp| at.0.div_euclid(3_600_000);
    assert!(
        world.dropped.windows(2).all(|it| it[0].1 == it[1].0),
        "no hour is left out: {:?}",
        world.dropped
    );
    let dropped: i64 = world.dropped.iter().map(|it| hours(it.1) - hours(it.0)).sum();
    assert!(hours(world.dropped[0].0) < hours(begun) && (30..=33).contains(&dropped), "{dropped} hours");
}

#[test]
fn time_does_not_run_backwards_under_an_owner_whose_clock_is_behind() {
    let mut world = world(|_| {});
    start(&mut world, "a", "wait");
    world.settle();
    let at = world.folded()[&id("a")].updated_at;
    world.restart();
    world.now = Timestamp(world.now.0 - 2_000);
    world.restart();
    let behind = |it: &Observation| matches!(it, Observation::ClockBehind { by } if by.as_millis() == 2_000);
    assert!(world.observed.iter().any(behind), "{:?}", world.observed);
    world.produce(&cancel_event(event_id("cancel"), &id("a"), "test", false));
    world.settle();
    assert_eq!((world.status("a"), world.folded()[&id("a")].updated_at), ("cancelled", at));
}
