//! Every state, every request.

use std::fmt::Write;

use expect_test::expect;

use super::world::World;

/// How a group comes into each state. Where there are members, `a` leads, and `b` follows.
const STATES: [(&str, &str); 5] = [
    ("Dead", ""),
    ("Empty", "a join v3\n a leave\n admin commit t/0=1"),
    ("PreparingRebalance", "a join v3\n b join v3\n a join\n a sync a=0 b=1\n b sync\n c join v3"),
    ("CompletingRebalance", "a join v3\n b join v3\n a join"),
    ("Stable", "a join v3\n b join v3\n a join\n a sync a=0 b=1\n b sync"),
];

const REQUESTS: [&str; 20] = [
    "n ask",
    "n ask v3",
    "n ask static=x",
    "a ask",
    "b ask",
    "b ask protocols=range:other",
    "b ask protocols=unknown:b",
    "a sync a=2 b=3",
    "b sync",
    "b sync generation=0",
    "b beat",
    "b beat generation=0",
    "b leave",
    "admin remove x",
    "b commit t/0=2",
    "admin commit t/0=2",
    "b tell 7 t/0=2",
    "admin tell 7 t/0=2",
    "admin fetch stable t/0",
    "admin delete",
];

#[test]
fn every_state_and_every_request() {
    let mut table = String::new();
    for (state, script) in STATES {
        writeln!(table, "{state}").unwrap();
        for request in REQUESTS {
            let mut world = World::default();
            world.run(script);
            let found = world.say("admin describe").remove(0);
            assert!(found.starts_with(state), "{found} instead of {state}");
            let replies = world.say(request).join("; ");
            let next = world.say("admin describe").remove(0);
            let next = next.split(' ').next().unwrap();
            let moved = if next == state { String::new() } else { format!("  -> {next}") };
            writeln!(table, "    {request:<28}{replies}{moved}").unwrap();
        }
    }
    expect![[r#"
        Dead
            n ask                       n: MemberIdRequired n-1  -> Empty
            n ask v3                    + generation 1 (consumer); n: joined 1 as n-1, range, leads n-1:n  -> CompletingRebalance
            n ask static=x              + generation 1 (consumer); n: joined 1 as n-1, range, leads n-1(x):n  -> CompletingRebalance
            a ask                       a: MemberIdRequired a-1  -> Empty
            b ask                       b: MemberIdRequired b-1  -> Empty
            b ask protocols=range:other b: MemberIdRequired b-1  -> Empty
            b ask protocols=unknown:b   b: MemberIdRequired b-1  -> Empty
            a sync a=2 b=3              a: sync UnknownMemberId
            b sync                      b: sync UnknownMemberId
            b sync generation=0         b: sync UnknownMemberId
            b beat                      b: UnknownMemberId
            b beat generation=0         b: UnknownMemberId
            b leave                     : UnknownMemberId
            admin remove x              x: UnknownMemberId
            b commit t/0=2              + offset t/0=2  -> Empty
            admin commit t/0=2          + offset t/0=2  -> Empty
            b tell 7 t/0=2              + pending of 7: t/0=2  -> Empty
            admin tell 7 t/0=2          + pending of 7: t/0=2  -> Empty
            admin fetch stable t/0      t/0=none
            admin delete                GroupIdNotFound
        Empty
            n ask                       n: MemberIdRequired n-3
            n ask v3                    + generation 3 (consumer); n: joined 3 as n-3, range, leads n-3:n  -> CompletingRebalance
            n ask static=x              + generation 3 (consumer); n: joined 3 as n-3, range, leads n-3(x):n  -> CompletingRebalance
            a ask                       a: UnknownMemberId a-1
            b ask                       b: MemberIdRequired b-3
            b ask protocols=range:other b: MemberIdRequired b-3
            b ask protocols=unknown:b   b: MemberIdRequired b-3
            a sync a=2 b=3              a: sync UnknownMemberId
            b sync                      b: sync UnknownMemberId
            b sync generation=0         b: sync UnknownMemberId
            b beat                      b: UnknownMemberId
            b beat generation=0         b: UnknownMemberId
            b leave                     : UnknownMemberId
            admin remove x              x: UnknownMemberId
            b commit t/0=2              + offset t/0=2
            admin commit t/0=2          + offset t/0=2
            b tell 7 t/0=2              + pending of 7: t/0=2
            admin tell 7 t/0=2          + pending of 7: t/0=2
            admin fetch stable t/0      t/0=1
            admin delete                + no group  -> Dead
        PreparingRebalance
            n ask                       n: MemberIdRequired n-11
            n ask v3                    n waits
            n ask static=x              n waits
            a ask                       a waits
            b ask                       b waits
            b ask protocols=range:other b waits
            b ask protocols=unknown:b   b: InconsistentGroupProtocol b-3
            a sync a=2 b=3              a: sync RebalanceInProgress
            b sync                      b: sync RebalanceInProgress
            b sync generation=0         b: sync IllegalGeneration
            b beat                      b: RebalanceInProgress
            b beat generation=0         b: IllegalGeneration
            b leave                     b-3: ok
            admin remove x              x: UnknownMemberId
            b commit t/0=2              + offset t/0=2
            admin commit t/0=2          t/0: UnknownMemberId
            b tell 7 t/0=2              + pending of 7: t/0=2
            admin tell 7 t/0=2          + pending of 7: t/0=2
            admin fetch stable t/0      t/0=none
            admin delete                NonEmptyGroup
        CompletingRebalance
            n ask                       n: MemberIdRequired n-7
            n ask v3                    n waits  -> PreparingRebalance
            n ask static=x              n waits  -> PreparingRebalance
            a ask                       a: joined 2 as a-1, range, leads a-1:a b-3:b
            b ask                       b: joined 2 as b-3, range, led by a-1
            b ask protocols=range:other b waits  -> PreparingRebalance
            b ask protocols=unknown:b   b: InconsistentGroupProtocol b-3
            a sync a=2 b=3              a: synced "2"  -> Stable
            b sync                      b waits
            b sync generation=0         b: sync IllegalGeneration
            b beat                      b: ok
            b beat generation=0         b: IllegalGeneration
            b leave                     b-3: ok  -> PreparingRebalance
            admin remove x              x: UnknownMemberId
            b commit t/0=2              t/0: RebalanceInProgress
            admin commit t/0=2          t/0: UnknownMemberId
            b tell 7 t/0=2              + pending of 7: t/0=2
            admin tell 7 t/0=2          + pending of 7: t/0=2
            admin fetch stable t/0      t/0=none
            admin delete                NonEmptyGroup
        Stable
            n ask                       n: MemberIdRequired n-9
            n ask v3                    n waits  -> PreparingRebalance
            n ask static=x              n waits  -> PreparingRebalance
            a ask                       a waits  -> PreparingRebalance
            b ask                       b: joined 2 as b-3, range, led by a-1
            b ask protocols=range:other b waits  -> PreparingRebalance
            b ask protocols=unknown:b   b: InconsistentGroupProtocol b-3
            a sync a=2 b=3              a: synced "0"
            b sync                      b: synced "1"
            b sync generation=0         b: sync IllegalGeneration
            b beat                      b: ok
            b beat generation=0         b: IllegalGeneration
            b leave                     b-3: ok  -> PreparingRebalance
            admin remove x              x: UnknownMemberId
            b commit t/0=2              + offset t/0=2
            admin commit t/0=2          t/0: UnknownMemberId
            b tell 7 t/0=2              + pending of 7: t/0=2
            admin tell 7 t/0=2          + pending of 7: t/0=2
            admin fetch stable t/0      t/0=none
            admin delete                NonEmptyGroup
    "#]].assert_eq(&table);
}
