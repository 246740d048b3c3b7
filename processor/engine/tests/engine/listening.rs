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
              ChannelJoined 1.0 a/b860
              ChannelJoined 1.1 b/4e7e
              => subscribe 1.0 in a/b860
              => subscribe 1.1 in b/4e7e
            > signal b 1
              SignalReceived
              EventHeard 1 by filter 1
              ChannelLeft 1.1
              => unsubscribe 1.1 in b/4e7e
            > signal b 2
              SignalReceived
              SignalBuffered test 3
            = running context null
            =   0 /do [] attempt 1: Sequence { data: null, jumps: 0 }
            =   1 /do/0/a [] attempt 1: Listening { heard: [Heard { filter: 1, event: {"specversion":"1.0","id":"s","source":"test","type":"b","data":1} }] }
            =   signals 1
            > signal a 3
              SignalReceived
              EventHeard 1 by filter 0, the last
              ChannelLeft 1.0
              TaskCompleted 1 -> [1,3]
              InstanceCompleted [1,3]
              => unsubscribe 1.0 in a/b860
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
              ChannelJoined 1.0 a/b860
              ChannelJoined 1.1 b/4e7e
              => subscribe 1.0 in a/b860
              => subscribe 1.1 in b/4e7e
            > signal c 1
              SignalReceived
              SignalBuffered test 2
            > signal b 2
              SignalReceived
              TaskCompleted 1 -> [2]
              InstanceCompleted [2]
              => unsubscribe 1.0 in a/b860
              => unsubscribe 1.1 in b/4e7e
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
              ChannelJoined 1.0 */9729
              => subscribe 1.0 to all in */9729
            > signal a {"n": 3}
              SignalReceived
              EventHeard 1 by filter 0
            > signal b {"n": 2}
              SignalReceived
              EventHeard 1 by filter 0
            > signal c {"n": 1}
              SignalReceived
              EventHeard 1 by filter 0, the last
              ChannelLeft 1.0
              TaskCompleted 1 -> [{"n":3},{"n":2},{"n":1}]
              InstanceCompleted [{"n":3},{"n":2},{"n":1}]
              => unsubscribe 1.0 in */9729
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
              ChannelJoined 1.0 */9729
              => subscribe 1.0 to all in */9729
            > signal a 1
              SignalReceived
              EventHeard 1 by filter 0
            > signal a 2
              SignalReceived
              EventHeard 1 by filter 0
            > signal a 3
              SignalReceived
              TaskFaulted 1 /do/0/a expression 400 at /do/0/a: expression `. | keys | add > 1 and (.[0] | startswith("x"))`: cannot use 0 as string
              InstanceFaulted expression 400 at /do/0/a: expression `. | keys | add > 1 and (.[0] | startswith("x"))`: cannot use 0 as string
              => unsubscribe 1.0 in */9729
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
              ChannelJoined 1.0 a/b860
              ChannelJoined 1.1 stop/c433
              => subscribe 1.0 to all in a/b860
              => subscribe 1.1 in stop/c433
            > signal a 1
              SignalReceived
              EventHeard 1 by filter 0
            > signal other 1
              SignalReceived
              SignalBuffered test 3
            > signal a 2
              SignalReceived
              EventHeard 1 by filter 0
            > signal stop null
              SignalReceived
              EventHeard 1 by filter 1, the last
              ChannelLeft 1.0
              ChannelLeft 1.1
              TaskCompleted 1 -> [1,2]
              InstanceCompleted [1,2]
              => unsubscribe 1.0 in a/b860
              => unsubscribe 1.1 in stop/c433
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
              SignalReceived
              SignalBuffered test 2
            > signal a 2
              SignalReceived
              SignalBuffered test 3
            > signal b 3
              SignalReceived
              SignalBuffered test 4
            > fire 0
              TaskCompleted 1 -> null
              TaskStarted 2 in 0 /do/1/a Listening
              SignalConsumed 2 test 2
              EventHeard 2 by filter 0
              ChannelJoined 2.1 b/4e7e
              SignalConsumed 2 test 4
              EventHeard 2 by filter 1, the last
              ChannelLeft 2.1
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
              ChannelJoined 1.0 warm/8f3d
              ChannelJoined 1.1 damp/25d5
              => subscribe 1.0 in warm/8f3d
              => subscribe 1.1 in damp/25d5
            > signal warm {"room": 1}
              SignalReceived
              EventHeard 1 by filter 0
              ChannelLeft 1.0
              ChannelLeft 1.1
              ChannelJoined 1.1 damp/d97e
              => unsubscribe 1.0 in warm/8f3d
              => unsubscribe 1.1 in damp/25d5
              => subscribe 1.1 in damp/d97e
            > signal damp {"room": 2}
              SignalReceived
              SignalBuffered test 3
            > signal warm {"room": 2}
              SignalReceived
              SignalBuffered test 4
            > signal damp {"room": 1}
              SignalReceived
              EventHeard 1 by filter 1, the last
              ChannelLeft 1.1
              TaskCompleted 1 -> [{"room":1},{"room":1}]
              TaskStarted 2 in 0 /do/1/b Listening
              ChannelJoined 2.0 warm/27dc
              => unsubscribe 1.1 in damp/d97e
              => subscribe 2.0 in warm/27dc
            > signal warm {"room": 1}
              SignalReceived
              TaskCompleted 2 -> [{"room":1}]
              InstanceCompleted [{"room":1}]
              => unsubscribe 2.0 in warm/27dc
        "#]],
    );
}

const EACH: &str = "
do:
  - a:
      listen: { to: { any: [{ with: { type: a } }], until: { one: { with: { type: stop } } } } }
      foreach:
        item: event
        at: i
        do:
          - told: { call: tell, with: { n: '${ $event.n }', i: '${ $i }', data: '${ . }' } }
        output: { as: '{ done: . }' }
        export: { as: '[$context, $event.n]' }
";

#[test]
fn tasks_run_for_each_event_one_after_the_other() {
    check(
        EACH,
        "start\nsignal a {\"n\": 1}\nsignal a {\"n\": 2}\nstate\ncomplete 2.1 \"x\"\nsignal stop null\nsignal a {\"n\": 3}\ncomplete 3.1 \"y\"",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Gathering
              ChannelJoined 1.0 a/b860
              ChannelJoined 1.1 stop/c433
              => subscribe 1.0 to all in a/b860
              => subscribe 1.1 in stop/c433
            > signal a {"n": 1}
              SignalReceived
              EventHeard 1 by filter 0
              EventRoundStarted 1 [0] {"n":1}
              TaskStarted 2 in 1 /do/0/a/foreach/do/0/told [0] Call tell with {"n":1,"i":0,"data":{"n":1}}
              TaskDispatched 2.1
              => default: 2.1 tell attempt 1 key i#/do/0/a/foreach/do/0/told#0 {"n":1,"i":0,"data":{"n":1}}
            > signal a {"n": 2}
              SignalReceived
              EventHeard 1 by filter 0
            = running context null
            =   0 /do [] attempt 1: Sequence { data: null, jumps: 0 }
            =   1 /do/0/a [] attempt 1: Gathering { heard: [Heard { filter: 0, event: {"specversion":"1.0","id":"s","source":"test","type":"a","data":{"n":1}} }, Heard { filter: 0, event: {"specversion":"1.0","id":"s","source":"test","type":"a","data":{"n":2}} }], is_done: false, is_busy: true, index: 0, data: {"n":1}, jumps: 0, outputs: [] }
            =   2 /do/0/a/foreach/do/0/told [0] attempt 1: Calling { queue: "default", function: "tell", arguments: Some({"n":1,"i":0,"data":{"n":1}}), deadline: None, dispatch: 1 }
            > complete 2.1 "x"
              TaskCompleted 2 -> "x"
              EventRoundEnded 1 -> {"done":"x"} context [null,1]
              EventRoundStarted 1 [1] {"n":2}
              TaskStarted 3 in 1 /do/0/a/foreach/do/0/told [1] Call tell with {"n":2,"i":1,"data":{"n":2}}
              TaskDispatched 3.1
              => default: 3.1 tell attempt 1 key i#/do/0/a/foreach/do/0/told#1 {"n":2,"i":1,"data":{"n":2}}
            > signal stop null
              SignalReceived
              EventHeard 1 by filter 1, the last
              ChannelLeft 1.0
              ChannelLeft 1.1
              => unsubscribe 1.0 in a/b860
              => unsubscribe 1.1 in stop/c433
            > signal a {"n": 3}
              SignalReceived
              SignalBuffered test 6
            > complete 3.1 "y"
              TaskCompleted 3 -> "y"
              EventRoundEnded 1 -> {"done":"y"} context [[null,1],2]
              TaskCompleted 1 -> [{"done":"x"},{"done":"y"}]
              InstanceCompleted [{"done":"x"},{"done":"y"}]
        "#]],
    );
}

#[test]
fn what_is_heard_when_nothing_is_at_work_ends_it_at_once() {
    check(
        EACH,
        "start\nsignal a {\"n\": 1}\ncomplete 2.1 \"x\"\nstate\nsignal stop null",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Gathering
              ChannelJoined 1.0 a/b860
              ChannelJoined 1.1 stop/c433
              => subscribe 1.0 to all in a/b860
              => subscribe 1.1 in stop/c433
            > signal a {"n": 1}
              SignalReceived
              EventHeard 1 by filter 0
              EventRoundStarted 1 [0] {"n":1}
              TaskStarted 2 in 1 /do/0/a/foreach/do/0/told [0] Call tell with {"n":1,"i":0,"data":{"n":1}}
              TaskDispatched 2.1
              => default: 2.1 tell attempt 1 key i#/do/0/a/foreach/do/0/told#0 {"n":1,"i":0,"data":{"n":1}}
            > complete 2.1 "x"
              TaskCompleted 2 -> "x"
              EventRoundEnded 1 -> {"done":"x"} context [null,1]
            = running context [null,1]
            =   0 /do [] attempt 1: Sequence { data: null, jumps: 0 }
            =   1 /do/0/a [] attempt 1: Gathering { heard: [Heard { filter: 0, event: {"specversion":"1.0","id":"s","source":"test","type":"a","data":{"n":1}} }], is_done: false, is_busy: false, index: 0, data: "x", jumps: 0, outputs: [{"done":"x"}] }
            > signal stop null
              SignalReceived
              EventHeard 1 by filter 1, the last
              ChannelLeft 1.0
              ChannelLeft 1.1
              TaskCompleted 1 -> [{"done":"x"}]
              InstanceCompleted [{"done":"x"}]
              => unsubscribe 1.0 in a/b860
              => unsubscribe 1.1 in stop/c433
        "#]],
    );
}

#[test]
fn an_error_or_an_exit_in_the_tasks_for_an_event_ends_the_listen() {
    check(
        EACH,
        "start\nsignal a {\"n\": 1}\nsignal a {\"n\": 2}\nfail 2.1 {\"type\": \"https://a.b/c\", \"status\": 500}",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Gathering
              ChannelJoined 1.0 a/b860
              ChannelJoined 1.1 stop/c433
              => subscribe 1.0 to all in a/b860
              => subscribe 1.1 in stop/c433
            > signal a {"n": 1}
              SignalReceived
              EventHeard 1 by filter 0
              EventRoundStarted 1 [0] {"n":1}
              TaskStarted 2 in 1 /do/0/a/foreach/do/0/told [0] Call tell with {"n":1,"i":0,"data":{"n":1}}
              TaskDispatched 2.1
              => default: 2.1 tell attempt 1 key i#/do/0/a/foreach/do/0/told#0 {"n":1,"i":0,"data":{"n":1}}
            > signal a {"n": 2}
              SignalReceived
              EventHeard 1 by filter 0
            > fail 2.1 {"type": "https://a.b/c", "status": 500}
              TaskFaulted 2 /do/0/a/foreach/do/0/told c 500 at /do/0/a/foreach/do/0/told: -
              TaskFaulted 1 /do/0/a c 500 at /do/0/a/foreach/do/0/told: -
              InstanceFaulted c 500 at /do/0/a/foreach/do/0/told: -
              => unsubscribe 1.0 in a/b860
              => unsubscribe 1.1 in stop/c433
        "#]],
    );
    check(
        "do: [{ a: { listen: { to: { any: [], until: 'false' } }, foreach: { do: [{ s: { set: '${ $item }', then: exit } }] } } }]",
        "start\nsignal a {\"n\": 1}",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Gathering
              ChannelJoined 1.0 */9729
              => subscribe 1.0 to all in */9729
            > signal a {"n": 1}
              SignalReceived
              EventHeard 1 by filter 0
              EventRoundStarted 1 [0] {"n":1}
              TaskRan in 1 /do/0/a/foreach/do/0/s [0] -> {"n":1}
              EventRoundEnded 1 -> {"n":1}
              TaskCompleted 1 -> [{"n":1}]
              InstanceCompleted [{"n":1}]
              => unsubscribe 1.0 in */9729
        "#]],
    );
}

/// By the channel that a filter was in, and by the one that it has moved to.
#[test]
fn an_event_that_comes_by_two_channels_is_heard_once() {
    check(
        "do: [{ a: { listen: { to: { any: [{ with: { type: t }, correlate: { room: { from: .data.room } } }], until: 'length > 2' } } } }]",
        "start
         deliver 1 0 t {\"room\": 1, \"n\": 1}
         deliver 1 0 t {\"room\": 1, \"n\": 1}
         deliver 1 0 t {\"room\": 1, \"n\": 2}
         deliver 1 0 t {\"room\": 1, \"n\": 3}
         deliver 1 0 t {\"room\": 1, \"n\": 4}",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Listening
              ChannelJoined 1.0 t/cb98
              => subscribe 1.0 to all in t/cb98
            > deliver 1 0 t {"room": 1, "n": 1}
              SignalReceived
              EventHeard 1 by filter 0
              ChannelLeft 1.0
              ChannelJoined 1.0 t/7d2a
              => unsubscribe 1.0 in t/cb98
              => subscribe 1.0 to all in t/7d2a
            > deliver 1 0 t {"room": 1, "n": 1}
              rejected as duplicate: event test t {"room": 1, "n": 1} was accepted already; nothing was done again
            > deliver 1 0 t {"room": 1, "n": 2}
              SignalReceived
              EventHeard 1 by filter 0
            > deliver 1 0 t {"room": 1, "n": 3}
              SignalReceived
              EventHeard 1 by filter 0, the last
              ChannelLeft 1.0
              TaskCompleted 1 -> [{"room":1,"n":1},{"room":1,"n":2},{"room":1,"n":3}]
              InstanceCompleted [{"room":1,"n":1},{"room":1,"n":2},{"room":1,"n":3}]
              => unsubscribe 1.0 in t/7d2a
            > deliver 1 0 t {"room": 1, "n": 4}
              rejected: instance i has ended (completed); a deliver_event has no effect
        "#]],
    );
}

#[test]
fn an_event_that_came_when_its_listen_had_ended_is_not_taken_again_by_the_next_one() {
    check(
        "do:
  - a: { listen: { to: { any: [{ with: { type: t } }, { with: { source: '${ . != null }' } }] } } }
  - b: { listen: { to: { one: { with: { type: t } } } } }",
        "start\ndeliver 1 0 t 1\ndeliver 1 1 t 1\ndeliver 2 0 t 1\ndeliver 2 0 t 2",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Listening
              ChannelJoined 1.0 t/cb98
              ChannelJoined 1.1 */9729
              => subscribe 1.0 in t/cb98
              => subscribe 1.1 in */9729
            > deliver 1 0 t 1
              SignalReceived
              TaskCompleted 1 -> [1]
              TaskStarted 2 in 0 /do/1/b Listening
              ChannelJoined 2.0 t/cb98
              => unsubscribe 1.1 in */9729
              => subscribe 2.0 in t/cb98
            > deliver 1 1 t 1
              rejected as duplicate: event test t 1 was accepted already; nothing was done again
            > deliver 2 0 t 1
              TaskCompleted 2 -> [1]
              InstanceCompleted [1]
            > deliver 2 0 t 2
              rejected: instance i has ended (completed); a deliver_event has no effect
        "#]],
    );
}

/// Its channel has ended its subscription with the match; another branch takes what it refuses by now.
#[test]
fn a_listen_that_refuses_an_event_goes_on_listening() {
    check(
        "do:
  - both:
      fork:
        branches:
          - a: { listen: { to: { one: { with: { type: t, data: '${ . == 2 }' } } } } }
          - b: { listen: { to: { one: { with: { type: t, data: '${ . == 3 }' } } } } }",
        "start\ndeliver 2 0 t 3\ndeliver 2 0 t 4\ndeliver 2 0 t 2",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/both Branches 2
              TaskStarted 2 in 1 /do/0/both/fork/branches/0/a Listening
              ChannelJoined 2.0 t/cb98
              TaskStarted 3 in 1 /do/0/both/fork/branches/1/b Listening
              ChannelJoined 3.0 t/cb98
              => subscribe 2.0 in t/cb98
              => subscribe 3.0 in t/cb98
            > deliver 2 0 t 3
              ChannelLeft 2.0
              ChannelJoined 2.0 t/cb98
              SignalReceived
              TaskCompleted 3 -> [3]
              => subscribe 2.0 in t/cb98
              => unsubscribe 3.0 in t/cb98
            > deliver 2 0 t 4
              ChannelLeft 2.0
              ChannelJoined 2.0 t/cb98
              SignalReceived
              SignalBuffered test t 4
              => subscribe 2.0 in t/cb98
            > deliver 2 0 t 2
              SignalReceived
              TaskCompleted 2 -> [2]
              TaskCompleted 1 -> [[2],[3]]
              InstanceCompleted [[2],[3]]
        "#]],
    );
}
