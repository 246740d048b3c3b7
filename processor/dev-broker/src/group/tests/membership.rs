use std::time::Duration;

use expect_test::expect;

use super::check;
use super::world::World;
use crate::group::GroupConfig;

#[test]
fn two_members_join_one_leaves() {
    check(
        "
        a join
        a sync a=0,1
        b join
        a beat
        a join
        b sync
        a sync a=0 b=1
        a beat
        b leave
        a beat
        a join
        a sync a=0,1
        a leave
        ",
        expect![[r#"
            > a join
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1:a
            > a sync a=0,1
                a: synced "0,1"
            > b join
                b waits
            > a beat
                a: RebalanceInProgress
            > a join
                + generation 2 (consumer)
                a: joined 2 as a-1, range, leads a-1:a b-6:b
                b: joined 2 as b-6, range, led by a-1
            > b sync
                b waits
            > a sync a=0 b=1
                a: synced "0"
                b: synced "1"
            > a beat
                a: ok
            > b leave
                b-6: ok
            > a beat
                a: RebalanceInProgress
            > a join
                + generation 3 (consumer)
                a: joined 3 as a-1, range, leads a-1:a
            > a sync a=0,1
                a: synced "0,1"
            > a leave
                a-1: ok
                + empty, generation 4
        "#]],
    );
}

#[test]
fn a_client_without_an_id_is_given_one_first() {
    check(
        "
        a ask
        admin describe
        a join
        b join v3
        ",
        expect![[r#"
            > a ask
                a: MemberIdRequired a-1
            > admin describe
                Empty
            > a join
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1:a
            > b join v3
                b waits
        "#]],
    );
}

#[test]
fn a_rebalance_waits_for_an_id_that_was_given_out() {
    check(
        "
        a join v3
        a sync a=0
        b ask session=8
        a join
        wait 8
        ",
        expect![[r#"
            > a join v3
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1:a
            > a sync a=0
                a: synced "0"
            > b ask session=8
                b: MemberIdRequired b-4
            > a join
                a waits
            > wait 8
                [8 s] + generation 2 (consumer)
                [8 s] a: joined 2 as a-1, range, leads a-1:a
        "#]],
    );
}

#[test]
fn the_leader_stays_the_leader_and_forces_a_rebalance_by_joining() {
    check(
        "
        b join v3
        a join v3
        b join
        b sync b=0 a=1
        a sync
        a join
        b join
        a beat
        a join
        ",
        expect![[r#"
            > b join v3
                + generation 1 (consumer)
                b: joined 1 as b-1, range, leads b-1:b
            > a join v3
                a waits
            > b join
                + generation 2 (consumer)
                a: joined 2 as a-3, range, led by b-1
                b: joined 2 as b-1, range, leads a-3:a b-1:b
            > b sync b=0 a=1
                b: synced "0"
            > a sync
                a: synced "1"
            > a join
                a: joined 2 as a-3, range, led by b-1
            > b join
                b waits
            > a beat
                a: RebalanceInProgress
            > a join
                + generation 3 (consumer)
                a: joined 3 as a-3, range, led by b-1
                b: joined 3 as b-1, range, leads a-3:a b-1:b
        "#]],
    );
}

#[test]
fn a_follower_that_changes_its_mind_forces_a_rebalance() {
    check(
        "
        a join v3
        b join v3
        a join
        a sync a=0 b=1
        b sync
        b join
        b join protocols=range:other
        a join
        ",
        expect![[r#"
            > a join v3
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1:a
            > b join v3
                b waits
            > a join
                + generation 2 (consumer)
                a: joined 2 as a-1, range, leads a-1:a b-3:b
                b: joined 2 as b-3, range, led by a-1
            > a sync a=0 b=1
                a: synced "0"
            > b sync
                b: synced "1"
            > b join
                b: joined 2 as b-3, range, led by a-1
            > b join protocols=range:other
                b waits
            > a join
                + generation 3 (consumer)
                a: joined 3 as a-1, range, leads a-1:a b-3:other
                b: joined 3 as b-3, range, led by a-1
        "#]],
    );
}

#[test]
fn a_member_that_joins_again_in_a_generation_that_waits_for_its_assignment() {
    check(
        "
        a join v3
        b join v3
        a join
        b join
        a join
        b sync
        b join protocols=range:other
        a sync a=0
        ",
        expect![[r#"
            > a join v3
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1:a
            > b join v3
                b waits
            > a join
                + generation 2 (consumer)
                a: joined 2 as a-1, range, leads a-1:a b-3:b
                b: joined 2 as b-3, range, led by a-1
            > b join
                b: joined 2 as b-3, range, led by a-1
            > a join
                a: joined 2 as a-1, range, leads a-1:a b-3:b
            > b sync
                b waits
            > b join protocols=range:other
                b: sync RebalanceInProgress
                b waits
            > a sync a=0
                a: sync RebalanceInProgress
        "#]],
    );
}

#[test]
fn a_second_request_of_a_member_takes_the_place_of_the_first() {
    check(
        "
        a join v3
        a sync a=0
        b join
        b join
        a join
        b sync
        b sync
        ",
        expect![[r#"
            > a join v3
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1:a
            > a sync a=0
                a: synced "0"
            > b join
                b waits
            > b join
                b: RebalanceInProgress b-4
                b waits
            > a join
                + generation 2 (consumer)
                a: joined 2 as a-1, range, leads a-1:a b-4:b
                b: joined 2 as b-4, range, led by a-1
            > b sync
                b waits
            > b sync
                b: sync RebalanceInProgress
                b waits
        "#]],
    );
}

#[test]
fn the_protocol_with_the_most_votes_is_chosen() {
    check(
        "
        a join v3 protocols=range:a,sticky:a
        b join v3 protocols=sticky:b,range:b
        c join v3 protocols=sticky:c,range:c,other:c
        a join
        b join
        d join v3 protocols=other:d
        ",
        expect![[r#"
            > a join v3 protocols=range:a,sticky:a
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1:a
            > b join v3 protocols=sticky:b,range:b
                b waits
            > c join v3 protocols=sticky:c,range:c,other:c
                c waits
            > a join
                + generation 2 (consumer)
                a: joined 2 as a-1, sticky, leads a-1:a b-3:b c-5:c
                b: joined 2 as b-3, sticky, led by a-1
                c: joined 2 as c-5, sticky, led by a-1
            > b join
                b: joined 2 as b-3, sticky, led by a-1
            > d join v3 protocols=other:d
                d: InconsistentGroupProtocol
        "#]],
    );
}

#[test]
fn a_tie_is_decided_by_the_leader() {
    check(
        "
        a join v3 protocols=sticky:a,range:a
        b join v3 protocols=range:b,sticky:b
        a join
        ",
        expect![[r#"
            > a join v3 protocols=sticky:a,range:a
                + generation 1 (consumer)
                a: joined 1 as a-1, sticky, leads a-1:a
            > b join v3 protocols=range:b,sticky:b
                b waits
            > a join
                + generation 2 (consumer)
                a: joined 2 as a-1, sticky, leads a-1:a b-3:b
                b: joined 2 as b-3, sticky, led by a-1
        "#]],
    );
}

#[test]
fn a_sync_must_agree_with_the_generation() {
    check(
        "
        a join v3
        a sync generation=0
        a sync protocol:sticky
        a sync protocol:range
        b sync
        ",
        expect![[r#"
            > a join v3
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1:a
            > a sync generation=0
                a: sync IllegalGeneration
            > a sync protocol:sticky
                a: sync InconsistentGroupProtocol
            > a sync protocol:range
                a: synced ""
            > b sync
                b: sync UnknownMemberId
        "#]],
    );
}

#[test]
fn a_full_group_takes_nobody_in() {
    let mut world = World::with(GroupConfig { group_size_max: 2, ..GroupConfig::default() });
    let said = world.run(
        "
        a join v3
        b join v3
        a join
        a sync a=0 b=1
        c join v3
        b sync
        a join
        c join
        b join
        ",
    );
    expect![[r#"
        > a join v3
            + generation 1 (consumer)
            a: joined 1 as a-1, range, leads a-1:a
        > b join v3
            b waits
        > a join
            + generation 2 (consumer)
            a: joined 2 as a-1, range, leads a-1:a b-3:b
            b: joined 2 as b-3, range, led by a-1
        > a sync a=0 b=1
            a: synced "0"
        > c join v3
            c: GroupMaxSizeReached
        > b sync
            b: synced "1"
        > a join
            a waits
        > c join
            c waits
        > b join
            + generation 3 (consumer)
            a: joined 3 as a-1, range, leads a-1:a c-13:c
            c: joined 3 as c-13, range, led by a-1
            b: GroupMaxSizeReached b-3
    "#]]
    .assert_eq(&said);
}

#[test]
fn ids_are_not_given_out_without_end() {
    let mut world = World::with(GroupConfig { group_size_max: 2, ..GroupConfig::default() });
    let said = world.run(
        "
        a ask
        b ask
        c ask
        wait 10
        c ask
        ",
    );
    expect![[r#"
        > a ask
            a: MemberIdRequired a-1
        > b ask
            b: MemberIdRequired b-3
        > c ask
            c: GroupMaxSizeReached
        > wait 10
        > c ask
            c: MemberIdRequired c-7
    "#]]
    .assert_eq(&said);
}

#[test]
fn an_empty_group_gathers_members_for_a_while() {
    let initial_rebalance_delay = Duration::from_secs(3);
    let mut world = World::with(GroupConfig { initial_rebalance_delay, ..GroupConfig::default() });
    let said = world.run(
        "
        a join v3
        wait 2
        b join v3
        wait 5
        ",
    );
    expect![[r#"
        > a join v3
            a waits
        > wait 2
        > b join v3
            b waits
        > wait 5
            [6 s] + generation 1 (consumer)
            [6 s] a: joined 1 as a-1, range, leads a-1:a b-3:b
            [6 s] b: joined 1 as b-3, range, led by a-1
    "#]]
    .assert_eq(&said);
}

#[test]
fn requests_that_are_refused_at_once() {
    check(
        "
        a join session=5
        a join session=1801
        admin describe
        a join session=6
        ",
        expect![[r#"
            > a join session=5
                a: InvalidSessionTimeout
            > a join session=1801
                a: InvalidSessionTimeout
            > admin describe
                Dead
            > a join session=6
                + generation 1 (consumer)
                a: joined 1 as a-5, range, leads a-5:a
        "#]],
    );
}

#[test]
fn groups_are_not_made_without_end() {
    let mut world = World::with(GroupConfig { groups_max: 0, ..GroupConfig::default() });
    let said = world.run(
        "
        a join
        admin commit t/0=1
        admin tell 7 t/0=1
        admin list
        ",
    );
    expect![[r#"
        > a join
            a: PolicyViolation
        > admin commit t/0=1
            t/0: PolicyViolation
        > admin tell 7 t/0=1
            t/0: PolicyViolation
        > admin list
    "#]]
    .assert_eq(&said);
}

#[test]
fn a_group_is_listed_and_described() {
    check(
        "
        admin describe
        a join static=x
        admin describe
        a sync a=0
        admin describe
        admin list
        ",
        expect![[r#"
            > admin describe
                Dead
            > a join static=x
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1(x):a
            > admin describe
                CompletingRebalance consumer
                a-1 (x) of a at /127.0.0.1: "" ""
            > a sync a=0
                a: synced "0"
            > admin describe
                Stable consumer range
                a-1 (x) of a at /127.0.0.1: "a" "0"
            > admin list
                g "consumer" Stable
        "#]],
    );
}
