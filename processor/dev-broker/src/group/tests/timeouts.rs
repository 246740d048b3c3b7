use expect_test::expect;

use super::check;

#[test]
fn a_silent_member_dies() {
    check(
        "
        a join v3
        b join v3 session=6
        a join
        a sync a=0 b=1
        b sync
        wait 5
        a beat
        wait 5
        a beat
        a join
        a sync a=0,1
        ",
        expect![[r#"
            > a join v3
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1:a
            > b join v3 session=6
                b waits
            > a join
                + generation 2 (consumer)
                a: joined 2 as a-1, range, leads a-1:a b-3:b
                b: joined 2 as b-3, range, led by a-1
            > a sync a=0 b=1
                a: synced "0"
            > b sync
                b: synced "1"
            > wait 5
            > a beat
                a: ok
            > wait 5
            > a beat
                a: RebalanceInProgress
            > a join
                + generation 3 (consumer)
                a: joined 3 as a-1, range, leads a-1:a
            > a sync a=0,1
                a: synced "0,1"
        "#]],
    );
}

#[test]
fn a_leader_that_vanishes_before_it_has_assigned() {
    check(
        "
        a join v3
        b join v3
        a join
        b sync
        wait 10
        b join
        b sync b=0,1
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
            > b sync
                b waits
            > wait 10
                [10 s] b: sync RebalanceInProgress
            > b join
                + generation 3 (consumer)
                b: joined 3 as b-3, range, leads b-3:b
            > b sync b=0,1
                b: synced "0,1"
        "#]],
    );
}

#[test]
fn a_member_that_heartbeats_but_does_not_sync_is_removed() {
    check(
        "
        a join v3 rebalance=12 session=8
        b join v3 rebalance=12 session=8
        a join
        wait 6
        a beat
        b beat
        a sync a=0 b=1
        wait 5
        a beat
        b beat
        wait 1
        b beat
        a beat
        ",
        expect![[r#"
            > a join v3 rebalance=12 session=8
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1:a
            > b join v3 rebalance=12 session=8
                b waits
            > a join
                + generation 2 (consumer)
                a: joined 2 as a-1, range, leads a-1:a b-3:b
                b: joined 2 as b-3, range, led by a-1
            > wait 6
            > a beat
                a: ok
            > b beat
                b: ok
            > a sync a=0 b=1
                a: synced "0"
            > wait 5
            > a beat
                a: ok
            > b beat
                b: ok
            > wait 1
            > b beat
                b: UnknownMemberId
            > a beat
                a: RebalanceInProgress
        "#]],
    );
}

#[test]
fn a_member_that_heartbeats_but_does_not_join_is_left_behind() {
    check(
        "
        a join v3 rebalance=15 session=10
        a sync a=0
        b join v3 rebalance=12
        wait 8
        a beat
        wait 8
        a beat
        b sync b=0
        ",
        expect![[r#"
            > a join v3 rebalance=15 session=10
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1:a
            > a sync a=0
                a: synced "0"
            > b join v3 rebalance=12
                b waits
            > wait 8
            > a beat
                a: RebalanceInProgress
            > wait 8
                [15 s] + generation 2 (consumer)
                [15 s] b: joined 2 as b-4, range, leads b-4:b
            > a beat
                a: UnknownMemberId
            > b sync b=0
                b: synced "0"
        "#]],
    );
}

#[test]
fn waiting_members_do_not_die_but_new_ones_do_not_wait_for_ever() {
    check(
        "
        a join v3 session=1800 rebalance=1000
        b join v3
        a join
        a sync a=0 b=1
        b sync
        c join v3
        b join
        wait 310
        a join
        ",
        expect![[r#"
            > a join v3 session=1800 rebalance=1000
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
            > c join v3
                c waits
            > b join
                b waits
            > wait 310
                [300 s] c: UnknownMemberId c-9
            > a join
                + generation 3 (consumer)
                a: joined 3 as a-1, range, leads a-1:a b-3:b
                b: joined 3 as b-3, range, led by a-1
        "#]],
    );
}

#[test]
fn a_new_member_that_goes_away_before_it_knows_its_id() {
    check(
        "
        a join v3
        a sync a=0
        b join v3
        c join v5
        b gone
        a join
        ",
        expect![[r#"
            > a join v3
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1:a
            > a sync a=0
                a: synced "0"
            > b join v3
                b waits
            > c join v5
                c waits
            > b gone
            > a join
                + generation 2 (consumer)
                a: joined 2 as a-1, range, leads a-1:a c-6:c
                c: joined 2 as c-6, range, led by a-1
        "#]],
    );
}

#[test]
fn a_member_that_goes_away_while_it_waits_has_its_session_to_come_back() {
    check(
        "
        a join v3
        b join v3
        a join
        b sync
        b gone
        wait 9
        a beat
        a sync a=0 b=1
        wait 1
        a beat
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
            > b sync
                b waits
            > b gone
            > wait 9
            > a beat
                a: ok
            > a sync a=0 b=1
                a: synced "0"
            > wait 1
            > a beat
                a: RebalanceInProgress
        "#]],
    );
}
