use std::time::Duration;

use expect_test::expect;

use super::check;
use super::world::World;
use crate::group::*;

#[test]
fn a_generation_from_before_a_restart_is_never_valid_again() {
    check(
        "
        a join v3
        a sync a=0
        a commit t/0=1
        restart
        admin list
        a beat
        a commit t/0=2
        a join
        a join
        a sync a=0
        a commit generation=1 t/0=3
        a commit generation=2 t/0=4
        admin fetch
        ",
        expect![[r#"
            > a join v3
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1:a
            > a sync a=0
                a: synced "0"
            > a commit t/0=1
                + offset t/0=1
            > restart
            > admin list
                g "consumer" Empty
            > a beat
                a: UnknownMemberId
            > a commit t/0=2
                t/0: UnknownMemberId
            > a join
                a: UnknownMemberId a-1
            > a join
                + generation 2 (consumer)
                a: joined 2 as a-6, range, leads a-6:a
            > a sync a=0
                a: synced "0"
            > a commit generation=1 t/0=3
                t/0: IllegalGeneration
            > a commit generation=2 t/0=4
                + offset t/0=4
            > admin fetch
                t/0=4
        "#]],
    );
}

#[test]
fn a_generation_that_was_never_assigned_counts_too() {
    check(
        "
        a join v3
        restart
        a join
        a join
        ",
        expect![[r#"
            > a join v3
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1:a
            > restart
            > a join
                a: UnknownMemberId a-1
            > a join
                + generation 2 (consumer)
                a: joined 2 as a-5, range, leads a-5:a
        "#]],
    );
}

#[test]
fn pending_offsets_survive_a_restart() {
    check(
        "
        admin commit t/0=1
        admin tell 7 t/0=2
        restart
        admin fetch stable t/0
        admin end 7 commit
        restart
        admin fetch stable t/0
        ",
        expect![[r#"
            > admin commit t/0=1
                + offset t/0=1
            > admin tell 7 t/0=2
                + pending of 7: t/0=2
            > restart
            > admin fetch stable t/0
                t/0: UnstableOffsetCommit
            > admin end 7 commit
                + end of 7: committed
            > restart
            > admin fetch stable t/0
                t/0=2
        "#]],
    );
}

#[test]
fn retention_counts_from_the_restart_if_there_were_members() {
    let offsets_retention = Duration::from_secs(1_000);
    let mut world = World::with(GroupConfig { offsets_retention, ..GroupConfig::default() });
    let said = world.run(
        "
        a join session=1800
        a sync a=0
        a commit t/0=1
        wait 1500
        restart
        wait 999
        restart
        wait 999
        restart
        a ask
        a join
        a leave
        wait 999
        restart
        wait 1
        ",
    );
    expect![[r#"
        > a join session=1800
            + generation 1 (consumer)
            a: joined 1 as a-1, range, leads a-1:a
        > a sync a=0
            a: synced "0"
        > a commit t/0=1
            + offset t/0=1
        > wait 1500
        > restart
        > wait 999
        > restart
        > wait 999
        > restart
        > a ask
            a: UnknownMemberId a-1
        > a join
            + generation 2 (consumer)
            a: joined 2 as a-8, range, leads a-8:a
        > a leave
            a-8: ok
            + empty, generation 3
        > wait 999
        > restart
        > wait 1
            [4498 s] + no offset t/0
            [4498 s] + no group
    "#]]
    .assert_eq(&said);
}

#[test]
fn a_snapshot_is_shorter_and_says_the_same() {
    let mut world = World::default();
    world.run(
        "
        admin commit t/0=1 t/1=1
        admin tell 7 t/0=2
        admin commit t/0=3
        a join v3
        a sync a=0
        a commit t/1=2
        a leave
        admin tell 7 t/1=4
        ",
    );
    let snapshot = world.groups.snapshot();
    let lines: Vec<String> = snapshot.iter().map(|it| serde_json::to_string(it).unwrap()).collect();
    expect![[r#"
        {"GenerationStarted":{"group":"g","generation":2,"protocol_type":"consumer"}}
        {"GroupEmptied":{"group":"g","generation":2,"at_ms":1000000000}}
        {"OffsetPending":{"group":"g","producer":7,"partition":{"topic":"t","partition":0},"offset":{"offset":2,"leader_epoch":-1,"metadata":"","at_ms":1000000000}}}
        {"OffsetCommitted":{"group":"g","partition":{"topic":"t","partition":0},"offset":{"offset":3,"leader_epoch":-1,"metadata":"","at_ms":1000000000}}}
        {"OffsetCommitted":{"group":"g","partition":{"topic":"t","partition":1},"offset":{"offset":2,"leader_epoch":-1,"metadata":"","at_ms":1000000000}}}
        {"OffsetPending":{"group":"g","producer":7,"partition":{"topic":"t","partition":1},"offset":{"offset":4,"leader_epoch":-1,"metadata":"","at_ms":1000000000}}}
    "#]].assert_eq(&(lines.join("\n") + "\n"));
    world.journal = snapshot;
    let said = world.run(
        "
        restart
        admin end 7 commit
        admin fetch
        ",
    );
    expect![[r#"
        > restart
        > admin end 7 commit
            + end of 7: committed
        > admin fetch
            t/0=3
            t/1=4
    "#]]
    .assert_eq(&said);
}
