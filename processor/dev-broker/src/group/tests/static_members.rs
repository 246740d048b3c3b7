use expect_test::expect;

use super::check;
use super::world::World;
use crate::group::GroupConfig;

#[test]
fn a_static_member_bounces_without_a_rebalance() {
    check(
        "
        a join static=x
        b join static=y
        a join
        a sync a=0 b=1
        b sync
        b2 join static=y
        b2 sync
        a beat
        b2 beat
        b beat
        b sync
        b join
        b commit t/0=1
        b leave
        ",
        expect![[r#"
            > a join static=x
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1(x):a
            > b join static=y
                b waits
            > a join
                + generation 2 (consumer)
                a: joined 2 as a-1, range, leads a-1(x):a b-3(y):b
                b: joined 2 as b-3, range, led by a-1
            > a sync a=0 b=1
                a: synced "0"
            > b sync
                b: synced "1"
            > b2 join static=y
                b2: joined 2 as b2-9, range, led by a-1
            > b2 sync
                b2: synced "1"
            > a beat
                a: ok
            > b2 beat
                b2: ok
            > b beat
                b: FencedInstanceId
            > b sync
                b: sync FencedInstanceId
            > b join
                b: FencedInstanceId b-3
            > b commit t/0=1
                t/0: FencedInstanceId
            > b leave
                b-3: FencedInstanceId
        "#]],
    );
}

#[test]
fn a_static_leader_bounces() {
    check(
        "
        a join static=x
        b join static=y
        a join
        a sync a=0 b=1
        b sync
        a2 join static=x
        a2 sync
        a3 join static=x v9
        a3 sync
        a3 beat
        ",
        expect![[r#"
            > a join static=x
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1(x):a
            > b join static=y
                b waits
            > a join
                + generation 2 (consumer)
                a: joined 2 as a-1, range, leads a-1(x):a b-3(y):b
                b: joined 2 as b-3, range, led by a-1
            > a sync a=0 b=1
                a: synced "0"
            > b sync
                b: synced "1"
            > a2 join static=x
                a2: joined 2 as a2-9, range, led by a-1
            > a2 sync
                a2: synced "0"
            > a3 join static=x v9
                a3: joined 2 as a3-12, range, leads a3-12(x):a3 b-3(y):b, nothing to assign
            > a3 sync
                a3: synced "0"
            > a3 beat
                a3: ok
        "#]],
    );
}

#[test]
fn a_static_member_that_changes_the_choice_of_protocol_forces_a_rebalance() {
    check(
        "
        a join static=x protocols=range:a,sticky:a
        b join static=y protocols=range:b,sticky:b
        a join
        a sync a=0 b=1
        b sync
        b2 join static=y protocols=sticky:b
        a beat
        a join
        ",
        expect![[r#"
            > a join static=x protocols=range:a,sticky:a
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1(x):a
            > b join static=y protocols=range:b,sticky:b
                b waits
            > a join
                + generation 2 (consumer)
                a: joined 2 as a-1, range, leads a-1(x):a b-3(y):b
                b: joined 2 as b-3, range, led by a-1
            > a sync a=0 b=1
                a: synced "0"
            > b sync
                b: synced "1"
            > b2 join static=y protocols=sticky:b
                b2 waits
            > a beat
                a: RebalanceInProgress
            > a join
                + generation 3 (consumer)
                a: joined 3 as a-1, sticky, leads a-1(x):a b2-9(y):b
                b2: joined 3 as b2-9, sticky, led by a-1
        "#]],
    );
}

#[test]
fn a_static_member_bounces_while_the_assignment_is_awaited() {
    check(
        "
        a join static=x
        b join static=y
        a join
        b sync
        b2 join static=y
        a sync a=0 b=1
        a join
        ",
        expect![[r#"
            > a join static=x
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1(x):a
            > b join static=y
                b waits
            > a join
                + generation 2 (consumer)
                a: joined 2 as a-1, range, leads a-1(x):a b-3(y):b
                b: joined 2 as b-3, range, led by a-1
            > b sync
                b waits
            > b2 join static=y
                b: sync FencedInstanceId
                b2 waits
            > a sync a=0 b=1
                a: sync RebalanceInProgress
            > a join
                + generation 3 (consumer)
                a: joined 3 as a-1, range, leads a-1(x):a b2-8(y):b2
                b2: joined 3 as b2-8, range, led by a-1
        "#]],
    );
}

#[test]
fn a_static_member_that_is_away_keeps_its_place_for_one_generation() {
    check(
        "
        a join static=x rebalance=8 session=30
        b join static=y rebalance=8 session=30
        a join
        a sync a=0 b=1
        b sync
        a join
        wait 8
        a sync a=0 b=1
        wait 7
        a beat
        wait 1
        b beat
        a beat
        ",
        expect![[r#"
            > a join static=x rebalance=8 session=30
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1(x):a
            > b join static=y rebalance=8 session=30
                b waits
            > a join
                + generation 2 (consumer)
                a: joined 2 as a-1, range, leads a-1(x):a b-3(y):b
                b: joined 2 as b-3, range, led by a-1
            > a sync a=0 b=1
                a: synced "0"
            > b sync
                b: synced "1"
            > a join
                a waits
            > wait 8
                [8 s] + generation 3 (consumer)
                [8 s] a: joined 3 as a-1, range, leads a-1(x):a b-3(y):b
            > a sync a=0 b=1
                a: synced "0"
            > wait 7
            > a beat
                a: ok
            > wait 1
            > b beat
                b: UnknownMemberId
            > a beat
                a: RebalanceInProgress
        "#]],
    );
}

#[test]
fn a_rebalance_of_static_members_that_are_all_away_waits_for_one_of_them() {
    check(
        "
        a join static=x rebalance=8 session=30
        b join static=y rebalance=8 session=20
        a join
        a sync a=0 b=1
        b sync
        c join v3 rebalance=8
        c gone
        wait 19
        b join
        wait 5
        b sync b=0
        ",
        expect![[r#"
            > a join static=x rebalance=8 session=30
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1(x):a
            > b join static=y rebalance=8 session=20
                b waits
            > a join
                + generation 2 (consumer)
                a: joined 2 as a-1, range, leads a-1(x):a b-3(y):b
                b: joined 2 as b-3, range, led by a-1
            > a sync a=0 b=1
                a: synced "0"
            > b sync
                b: synced "1"
            > c join v3 rebalance=8
                c waits
            > c gone
            > wait 19
            > b join
                b waits
            > wait 5
                [24 s] + generation 3 (consumer)
                [24 s] b: joined 3 as b-3, range, leads a-1(x):a b-3(y):b
            > b sync b=0
                b: synced "0"
        "#]],
    );
}

#[test]
fn a_static_member_that_bounces_before_it_has_synced_has_to_sync_all_the_same() {
    check(
        "
        a join static=x rebalance=8 session=30
        b join static=y rebalance=8 session=30
        a join
        a sync a=0 b=1
        b2 join static=y rebalance=8 session=30
        b2 beat
        wait 8
        b2 beat
        a beat
        ",
        expect![[r#"
            > a join static=x rebalance=8 session=30
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1(x):a
            > b join static=y rebalance=8 session=30
                b waits
            > a join
                + generation 2 (consumer)
                a: joined 2 as a-1, range, leads a-1(x):a b-3(y):b
                b: joined 2 as b-3, range, led by a-1
            > a sync a=0 b=1
                a: synced "0"
            > b2 join static=y rebalance=8 session=30
                b2: joined 2 as b2-8, range, led by a-1
            > b2 beat
                b2: ok
            > wait 8
            > b2 beat
                b2: UnknownMemberId
            > a beat
                a: RebalanceInProgress
        "#]],
    );
}

#[test]
fn an_administrator_removes_a_static_member() {
    check(
        "
        a join static=x
        b join static=y
        a join
        a sync a=0 b=1
        b sync
        admin remove y z
        b beat
        a beat
        a join
        ",
        expect![[r#"
            > a join static=x
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1(x):a
            > b join static=y
                b waits
            > a join
                + generation 2 (consumer)
                a: joined 2 as a-1, range, leads a-1(x):a b-3(y):b
                b: joined 2 as b-3, range, led by a-1
            > a sync a=0 b=1
                a: synced "0"
            > b sync
                b: synced "1"
            > admin remove y z
                y: ok
                z: UnknownMemberId
            > b beat
                b: UnknownMemberId
            > a beat
                a: RebalanceInProgress
            > a join
                + generation 3 (consumer)
                a: joined 3 as a-1, range, leads a-1(x):a
        "#]],
    );
}

#[test]
fn two_lives_of_an_instance_at_once() {
    check(
        "
        a join static=x
        b join v3
        a join
        a sync a=0 b=1
        b sync
        a2 join static=x protocols=range:a2
        a2 sync
        b join protocols=range:other
        c join v3
        a3 join static=x
        a2 beat
        ",
        expect![[r#"
            > a join static=x
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1(x):a
            > b join v3
                b waits
            > a join
                + generation 2 (consumer)
                a: joined 2 as a-1, range, leads a-1(x):a b-3:b
                b: joined 2 as b-3, range, led by a-1
            > a sync a=0 b=1
                a: synced "0"
            > b sync
                b: synced "1"
            > a2 join static=x protocols=range:a2
                a2: joined 2 as a2-9, range, led by a-1
            > a2 sync
                a2: synced "0"
            > b join protocols=range:other
                b waits
            > c join v3
                c waits
            > a3 join static=x
                + generation 3 (consumer)
                a3: joined 3 as a3-16, range, leads a3-16(x):a3 b-3:other c-14:c
                b: joined 3 as b-3, range, led by a3-16
                c: joined 3 as c-14, range, led by a3-16
            > a2 beat
                a2: FencedInstanceId
        "#]],
    );
}

#[test]
fn a_restart_in_a_full_group_is_no_new_member() {
    let mut world = World::with(GroupConfig { group_size_max: 1, ..GroupConfig::default() });
    let said = world.run(
        "
        a join static=x
        a sync a=0
        a2 join static=x
        b join static=y
        ",
    );
    expect![[r#"
        > a join static=x
            + generation 1 (consumer)
            a: joined 1 as a-1, range, leads a-1(x):a
        > a sync a=0
            a: synced "0"
        > a2 join static=x
            a2: joined 1 as a2-4, range, led by a-1
        > b join static=y
            b: GroupMaxSizeReached
    "#]]
    .assert_eq(&said);
}
