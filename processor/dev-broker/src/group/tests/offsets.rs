use std::time::Duration;

use expect_test::expect;

use super::check;
use super::world::{World, g};
use crate::group::*;

#[test]
fn offsets_without_a_group_protocol() {
    check(
        "
        admin fetch t/0
        admin commit t/0=5 t/1=6:note
        admin fetch
        admin fetch t/1 t/2
        admin list
        ",
        expect![[r#"
            > admin fetch t/0
                t/0=none
            > admin commit t/0=5 t/1=6:note
                + offset t/0=5
                + offset t/1=6
            > admin fetch
                t/0=5
                t/1=6 note
            > admin fetch t/1 t/2
                t/1=6 note
                t/2=none
            > admin list
                g "" Empty
        "#]],
    );
}

#[test]
fn members_commit_and_nobody_else() {
    check(
        "
        a join v3
        a commit t/0=1
        a sync a=0
        a commit t/0=2
        admin commit t/0=3
        a commit generation=0 t/0=4
        b commit t/0=5
        b join v3
        a commit t/0=6
        a join
        a commit t/0=7
        a leave
        a commit t/0=8
        b join
        b leave
        admin commit t/0=9
        a commit t/0=10
        admin fetch
        ",
        expect![[r#"
            > a join v3
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1:a
            > a commit t/0=1
                t/0: RebalanceInProgress
            > a sync a=0
                a: synced "0"
            > a commit t/0=2
                + offset t/0=2
            > admin commit t/0=3
                t/0: UnknownMemberId
            > a commit generation=0 t/0=4
                t/0: IllegalGeneration
            > b commit t/0=5
                t/0: UnknownMemberId
            > b join v3
                b waits
            > a commit t/0=6
                + offset t/0=6
            > a join
                + generation 2 (consumer)
                a: joined 2 as a-1, range, leads a-1:a b-4:b
                b: joined 2 as b-4, range, led by a-1
            > a commit t/0=7
                t/0: RebalanceInProgress
            > a leave
                a-1: ok
            > a commit t/0=8
                t/0: UnknownMemberId
            > b join
                + generation 3 (consumer)
                b: joined 3 as b-4, range, leads b-4:b
            > b leave
                b-4: ok
                + empty, generation 4
            > admin commit t/0=9
                + offset t/0=9
            > a commit t/0=10
                t/0: UnknownMemberId
            > admin fetch
                t/0=9
        "#]],
    );
}

#[test]
fn a_commit_is_a_sign_of_life() {
    check(
        "
        a join v3
        a sync a=0
        wait 9
        a commit t/0=1
        wait 9
        a beat
        ",
        expect![[r#"
            > a join v3
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1:a
            > a sync a=0
                a: synced "0"
            > wait 9
            > a commit t/0=1
                + offset t/0=1
            > wait 9
            > a beat
                a: ok
        "#]],
    );
}

#[test]
fn a_generation_of_a_group_that_is_not_there() {
    check(
        "
        a commit generation=3 t/0=1
        a tell 7 generation=3 t/0=1
        admin list
        ",
        expect![[r#"
            > a commit generation=3 t/0=1
                t/0: IllegalGeneration
            > a tell 7 generation=3 t/0=1
                t/0: IllegalGeneration
            > admin list
        "#]],
    );
}

#[test]
fn metadata_has_a_limit() {
    let mut world = World::with(GroupConfig { offset_metadata_bytes_max: 4, ..GroupConfig::default() });
    let said = world.run(
        "
        admin commit t/0=5:four t/1=6:fiver
        admin tell 7 t/0=5:four t/1=6:fiver
        ",
    );
    expect![[r#"
        > admin commit t/0=5:four t/1=6:fiver
            t/1: OffsetMetadataTooLarge
            + offset t/0=5
        > admin tell 7 t/0=5:four t/1=6:fiver
            t/1: OffsetMetadataTooLarge
            + pending of 7: t/0=5
    "#]]
    .assert_eq(&said);
}

#[test]
fn offsets_of_a_group_without_members_expire() {
    let offsets_retention = Duration::from_secs(1_000);
    let mut world = World::with(GroupConfig { offsets_retention, ..GroupConfig::default() });
    let said = world.run(
        "
        a join session=1800
        a sync a=0
        a commit t/0=1
        wait 1500
        admin fetch
        a leave
        wait 500
        admin commit t/1=2
        wait 2000
        admin list
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
        > admin fetch
            t/0=1
        > a leave
            a-1: ok
            + empty, generation 2
        > wait 500
        > admin commit t/1=2
            + offset t/1=2
        > wait 2000
            [2500 s] + no offset t/0
            [3000 s] + no offset t/1
            [3000 s] + no group
        > admin list
    "#]]
    .assert_eq(&said);
}

#[test]
fn a_group_without_offsets_is_forgotten_soon() {
    check(
        "
        a join
        a leave
        wait 600
        b ask
        wait 610
        ",
        expect![[r#"
            > a join
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1:a
            > a leave
                a-1: ok
                + empty, generation 2
            > wait 600
                [600 s] + no group
            > b ask
                b: MemberIdRequired b-5
            > wait 610
                [1200 s] + no group
        "#]],
    );
}

#[test]
fn a_group_is_deleted_only_without_members() {
    check(
        "
        admin delete
        a join
        admin delete
        a sync a=0
        a commit t/0=1
        a leave
        admin delete
        admin fetch
        admin list
        ",
        expect![[r#"
            > admin delete
                GroupIdNotFound
            > a join
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1:a
            > admin delete
                NonEmptyGroup
            > a sync a=0
                a: synced "0"
            > a commit t/0=1
                + offset t/0=1
            > a leave
                a-1: ok
                + empty, generation 2
            > admin delete
                + no group
            > admin fetch
            > admin list
        "#]],
    );
}

#[test]
fn offsets_are_deleted_unless_a_member_subscribes() {
    let mut world = World::default();
    let topics =
        Protocol { name: "range".into(), metadata: b"\0\x01\0\0\0\x02\0\x01t\0\x02uu\0\0\0\0"[..].into() };
    let join = Join {
        group: g(),
        member: None,
        instance: None,
        fresh_member: MemberId("m".into()),
        client_id: "c".into(),
        client_host: "h".into(),
        session_timeout: Duration::from_secs(10),
        rebalance_timeout: Duration::from_secs(10),
        protocol_type: "consumer".into(),
        protocols: vec![topics],
        requires_member_id: false,
        can_skip_assignment: false,
    };
    let said = world.run("admin commit t/0=1 uu/1=1 v/0=1 v/1=1")
        + &{
            let outcome = world.groups.join(join, Ticket(0), Duration::from_secs(1_000_000));
            assert_eq!(outcome.answers.len(), 1);
            world.run("admin delete-offsets t/0 uu/1 v/0 w/0")
        }
        + &world.run("admin fetch");
    expect![[r#"
        > admin commit t/0=1 uu/1=1 v/0=1 v/1=1
            + offset t/0=1
            + offset uu/1=1
            + offset v/0=1
            + offset v/1=1
        > admin delete-offsets t/0 uu/1 v/0 w/0
            t/0: GroupSubscribedToTopic
            uu/1: GroupSubscribedToTopic
            + no offset v/0
        > admin fetch
            t/0=1
            uu/1=1
            v/1=1
    "#]]
    .assert_eq(&said);
}

#[test]
fn offsets_go_with_their_topic() {
    check(
        "
        admin commit t/0=1 t/1=2 u/0=3
        admin tell 7 t/2=4 u/0=5
        admin drop-topic t
        admin end 7 commit
        admin fetch
        ",
        expect![[r#"
            > admin commit t/0=1 t/1=2 u/0=3
                + offset t/0=1
                + offset t/1=2
                + offset u/0=3
            > admin tell 7 t/2=4 u/0=5
                + pending of 7: t/2=4
                + pending of 7: u/0=5
            > admin drop-topic t
                + no offset t/0
                + no offset t/1
                + no offset t/2
            > admin end 7 commit
                + end of 7: committed
            > admin fetch
                u/0=5
        "#]],
    );
}
