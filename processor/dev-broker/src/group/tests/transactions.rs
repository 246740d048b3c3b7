use expect_test::expect;

use super::check;

#[test]
fn pending_offsets_count_when_the_transaction_commits() {
    check(
        "
        admin commit t/0=1 t/1=1
        a join v3
        a sync a=0
        a tell 7 t/0=5
        admin fetch t/0 t/1
        admin fetch stable t/0 t/1
        admin fetch stable
        admin end 7 commit
        admin fetch stable
        a tell 7 t/0=9
        admin end 7 abort
        admin fetch stable
        admin end 7 commit
        ",
        expect![[r#"
            > admin commit t/0=1 t/1=1
                + offset t/0=1
                + offset t/1=1
            > a join v3
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1:a
            > a sync a=0
                a: synced "0"
            > a tell 7 t/0=5
                + pending of 7: t/0=5
            > admin fetch t/0 t/1
                t/0=1
                t/1=1
            > admin fetch stable t/0 t/1
                t/0: UnstableOffsetCommit
                t/1=1
            > admin fetch stable
                t/0: UnstableOffsetCommit
                t/1=1
            > admin end 7 commit
                + end of 7: committed
            > admin fetch stable
                t/0=5
                t/1=1
            > a tell 7 t/0=9
                + pending of 7: t/0=9
            > admin end 7 abort
                + end of 7: aborted
            > admin fetch stable
                t/0=5
                t/1=1
            > admin end 7 commit
        "#]],
    );
}

#[test]
fn a_transaction_commits_for_members_of_this_generation_only() {
    check(
        "
        a join static=x
        a tell 7 t/0=1
        a sync a=0
        a tell 7 t/0=2
        a tell 7 generation=0 t/0=3
        b tell 7 t/0=4
        b tell 7 generation=1 t/0=5
        a2 join static=x
        a tell 7 t/0=6
        a2 tell 7 t/0=7
        ",
        expect![[r#"
            > a join static=x
                + generation 1 (consumer)
                a: joined 1 as a-1, range, leads a-1(x):a
            > a tell 7 t/0=1
                + pending of 7: t/0=1
            > a sync a=0
                a: synced "0"
            > a tell 7 t/0=2
                + pending of 7: t/0=2
            > a tell 7 generation=0 t/0=3
                t/0: IllegalGeneration
            > b tell 7 t/0=4
                + pending of 7: t/0=4
            > b tell 7 generation=1 t/0=5
                t/0: UnknownMemberId
            > a2 join static=x
                a2: joined 1 as a2-4, range, led by a-1
            > a tell 7 t/0=6
                t/0: FencedInstanceId
            > a2 tell 7 t/0=7
                + pending of 7: t/0=7
        "#]],
    );
}

#[test]
fn the_later_commit_wins_even_if_the_earlier_ends_later() {
    check(
        "
        admin tell 7 t/0=1
        admin commit t/0=2
        admin tell 8 t/0=3
        admin end 8 commit
        admin end 7 commit
        admin fetch
        ",
        expect![[r#"
            > admin tell 7 t/0=1
                + pending of 7: t/0=1
            > admin commit t/0=2
                + offset t/0=2
            > admin tell 8 t/0=3
                + pending of 8: t/0=3
            > admin end 8 commit
                + end of 8: committed
            > admin end 7 commit
                + end of 7: committed
            > admin fetch
                t/0=3
        "#]],
    );
}

#[test]
fn a_group_with_pending_offsets_is_not_forgotten() {
    check(
        "
        admin tell 7 t/0=1
        wait 604900
        admin end 7 commit
        admin fetch
        wait 1
        ",
        expect![[r#"
            > admin tell 7 t/0=1
                + pending of 7: t/0=1
            > wait 604900
            > admin end 7 commit
                + end of 7: committed
            > admin fetch
                t/0=1
            > wait 1
                [604900 s] + no offset t/0
                [604900 s] + no group
        "#]],
    );
}

#[test]
fn pending_offsets_go_with_their_group() {
    check(
        "
        admin tell 7 t/0=1
        admin delete
        admin end 7 commit
        admin fetch stable t/0
        ",
        expect![[r#"
            > admin tell 7 t/0=1
                + pending of 7: t/0=1
            > admin delete
                + no group
            > admin end 7 commit
            > admin fetch stable t/0
                t/0=none
        "#]],
    );
}
