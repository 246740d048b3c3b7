//! `listen` to several events.

use expect_test::expect;

use crate::conversation::check;

#[test]
fn all_takes_one_event_for_each_filter_in_any_order() {
    check(
        "do: [{ a: { listen: { to: { all: [{ with: { type: a } }, { with: { type: b } }] } } } }]",
        "start\nsignal b 1\nsignal b 2\nstate\nsignal a 3",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Listening
            > signal b 1
              EventHeard 1 by filter 1
            > signal b 2
              SignalBuffered test 3
            = running context null
            =   0 /do [] attempt 1: Sequence { data: null, jumps: 0 }
            =   1 /do/0/a [] attempt 1: Listening { heard: [Heard { filter: 1, event: {"specversion":"1.0","id":"s","source":"test","type":"b","data":1} }] }
            =   signals 1
            > signal a 3
              EventHeard 1 by filter 0
              TaskCompleted 1 -> [1,3]
              InstanceCompleted [1,3]
        "#]],
    );
}

#[test]
fn any_takes_the_first_event_that_passes_a_filter() {
    check(
        "do: [{ a: { listen: { to: { any: [{ with: { type: a } }, { with: { type: b } }] } } } }]",
        "start\nsignal c 1\nsignal b 2",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Listening
            > signal c 1
              SignalBuffered test 2
            > signal b 2
              TaskCompleted 1 -> [2]
              InstanceCompleted [2]
        "#]],
    );
}

#[test]
fn any_goes_on_until_a_condition_holds_for_what_it_took() {
    check(
        "do: [{ a: { listen: { to: { any: [], until: '(map(.n) | add) > 5' } } } }]",
        "start\nsignal a {\"n\": 3}\nsignal b {\"n\": 2}\nsignal c {\"n\": 1}",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Listening
            > signal a {"n": 3}
              EventHeard 1 by filter 0
            > signal b {"n": 2}
              EventHeard 1 by filter 0
            > signal c {"n": 1}
              EventHeard 1 by filter 0
              TaskCompleted 1 -> [{"n":3},{"n":2},{"n":1}]
              InstanceCompleted [{"n":3},{"n":2},{"n":1}]
        "#]],
    );
}

#[test]
fn a_condition_that_fails_is_an_error_of_the_task() {
    check(
        "do: [{ a: { listen: { to: { any: [], until: '. | keys | add > 1 and (.[0] | startswith(\"x\"))' } } } }]",
        "start\nsignal a 1\nsignal a 2\nsignal a 3",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Listening
            > signal a 1
              EventHeard 1 by filter 0
            > signal a 2
              EventHeard 1 by filter 0
            > signal a 3
              EventHeard 1 by filter 0
              TaskFaulted 1 /do/0/a expression 400 at /do/0/a: expression `. | keys | add > 1 and (.[0] | startswith("x"))`: cannot use 0 as string
              InstanceFaulted expression 400 at /do/0/a: expression `. | keys | add > 1 and (.[0] | startswith("x"))`: cannot use 0 as string
        "#]],
    );
}

#[test]
fn any_goes_on_until_an_event_ends_it() {
    check(
        "do: [{ a: { listen: { to: { any: [{ with: { type: a } }], until: { one: { with: { type: stop } } } } } } }]",
        "start\nsignal a 1\nsignal other 1\nsignal a 2\nsignal stop null",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Listening
            > signal a 1
              EventHeard 1 by filter 0
            > signal other 1
              SignalBuffered test 3
            > signal a 2
              EventHeard 1 by filter 0
            > signal stop null
              EventHeard 1 by filter 1
              TaskCompleted 1 -> [1,2]
              InstanceCompleted [1,2]
        "#]],
    );
}

#[test]
fn events_that_came_early_are_taken_in_their_order() {
    check(
        "
do:
  - pause: { wait: PT1S }
  - a: { listen: { to: { all: [{ with: { type: a } }, { with: { type: b } }] } } }
  - b: { listen: { to: { one: { with: { type: a } } } } }
",
        "start\nsignal a 1\nsignal a 2\nsignal b 3\nfire 0",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/pause Waiting
              TimerSet 0 Wait of 1 at 1000
            > signal a 1
              SignalBuffered test 2
            > signal a 2
              SignalBuffered test 3
            > signal b 3
              SignalBuffered test 4
            > fire 0
              TaskCompleted 1 -> null
              TaskStarted 2 in 0 /do/1/a Listening
              SignalConsumed 2 test 2
              EventHeard 2 by filter 0
              SignalConsumed 2 test 4
              EventHeard 2 by filter 1
              TaskCompleted 2 -> [1,3]
              TaskStarted 3 in 0 /do/2/b Listening
              SignalConsumed 3 test 3
              TaskCompleted 3 -> [2]
              InstanceCompleted [2]
        "#]],
    );
}

#[test]
fn correlated_events_agree_with_each_other_or_with_what_is_expected() {
    check(
        "
do:
  - a:
      listen:
        to:
          all:
            - { with: { type: warm }, correlate: { room: { from: .data.room } } }
            - { with: { type: damp }, correlate: { room: { from: .data.room } } }
  - b: { listen: { to: { one: { with: { type: warm }, correlate: { room: { from: .data.room, expect: '${ .[0].room }' } } } } } }
",
        "start\nsignal warm {\"room\": 1}\nsignal damp {\"room\": 2}\nsignal warm {\"room\": 2}\nsignal damp {\"room\": 1}\nsignal warm {\"room\": 1}",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Listening
            > signal warm {"room": 1}
              EventHeard 1 by filter 0
            > signal damp {"room": 2}
              SignalBuffered test 3
            > signal warm {"room": 2}
              SignalBuffered test 4
            > signal damp {"room": 1}
              EventHeard 1 by filter 1
              TaskCompleted 1 -> [{"room":1},{"room":1}]
              TaskStarted 2 in 0 /do/1/b Listening
            > signal warm {"room": 1}
              TaskCompleted 2 -> [{"room":1}]
              InstanceCompleted [{"room":1}]
        "#]],
    );
}
