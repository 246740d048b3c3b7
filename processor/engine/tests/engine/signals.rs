//! Events from outside.
#![allow(clippy::unwrap_used)]

use expect_test::expect;
use millrace_engine::{Bounds, Rejection};
use millrace_schemas::command::Command;
use serde_json::json;

use crate::conversation::{Conversation, check, check_within, program, signal};

const TWO: &str = "
do:
  - paid: { listen: { to: { one: { with: { type: paid, data: '${ .order == 1 }' } } } } }
  - sent: { listen: { to: { one: { with: { type: sent } } }, read: envelope }, output: { as: '.[0].data' } }
";

#[test]
fn a_listen_takes_the_event_that_matches() {
    check(
        TWO,
        "start\nsignal paid {\"order\": 2}\nsignal paid {\"order\": 1}\nsignal sent \"now\"",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/paid Listening
              ChannelJoined 1.0 paid/ebb5
              => subscribe 1.0 in paid/ebb5
            > signal paid {"order": 2}
              SignalReceived
              SignalBuffered test 2
            > signal paid {"order": 1}
              SignalReceived
              TaskCompleted 1 -> [{"order":1}]
              TaskStarted 2 in 0 /do/1/sent Listening
              ChannelJoined 2.0 sent/5a6e
              => unsubscribe 1.0 in paid/ebb5
              => subscribe 2.0 in sent/5a6e
            > signal sent "now"
              SignalReceived
              TaskCompleted 2 -> "now"
              InstanceCompleted "now"
              => unsubscribe 2.0 in sent/5a6e
        "#]],
    );
}

#[test]
fn an_event_that_comes_early_waits() {
    check(
        TWO,
        "start\nsignal sent \"now\"\nagain\nstate\nsignal paid {\"order\": 1}",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/paid Listening
              ChannelJoined 1.0 paid/ebb5
              => subscribe 1.0 in paid/ebb5
            > signal sent "now"
              SignalReceived
              SignalBuffered test 2
            > again
              rejected as duplicate: event test 2 waits already for a `listen`
            = running context null
            =   0 /do [] attempt 1: Sequence { data: null, jumps: 0 }
            =   1 /do/0/paid [] attempt 1: Listening
            =   signals 1
            > signal paid {"order": 1}
              SignalReceived
              TaskCompleted 1 -> [{"order":1}]
              TaskStarted 2 in 0 /do/1/sent Listening
              SignalConsumed 2 test 2
              TaskCompleted 2 -> "now"
              InstanceCompleted "now"
              => unsubscribe 1.0 in paid/ebb5
        "#]],
    );
}

#[test]
fn a_filter_that_fails_does_not_match() {
    check(
        TWO,
        "start\nsignal paid 5\nstate",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/paid Listening
              ChannelJoined 1.0 paid/ebb5
              => subscribe 1.0 in paid/ebb5
            > signal paid 5
              SignalReceived
              SignalBuffered test 2
            = running context null
            =   0 /do [] attempt 1: Sequence { data: null, jumps: 0 }
            =   1 /do/0/paid [] attempt 1: Listening
            =   signals 1
        "#]],
    );
}

#[test]
fn only_so_many_events_wait() {
    let bounds = Bounds { signals_max: 1, ..Bounds::default() };
    check_within(
        bounds,
        "do: [{ a: { wait: PT1S } }]",
        "start\nsignal a 1\nsignal b 2\nfire 0\nsignal c 3",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Waiting
              TimerSet 0 Wait of 1 at 1000
            > signal a 1
              SignalReceived
              SignalBuffered test 2
            > signal b 2
              rejected: 1 events wait already for a `listen`, the most that may (signals_max); send fewer events that no task listens to
            > fire 0
              TaskCompleted 1 -> null
              InstanceCompleted null
            > signal c 3
              rejected: instance i has ended (completed); a deliver_signal has no effect
        "#]],
    );
}

#[test]
fn the_listen_entered_first_is_served_first() {
    check(
        "
do:
  - both:
      fork:
        branches:
          - a: { listen: { to: { one: { with: { type: t } } } } }
          - b: { listen: { to: { one: { with: { type: t } } } } }
",
        "start\nsignal t 1\nsignal t 2",
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
            > signal t 1
              SignalReceived
              TaskCompleted 2 -> [1]
              => unsubscribe 2.0 in t/cb98
            > signal t 2
              SignalReceived
              TaskCompleted 3 -> [2]
              TaskCompleted 1 -> [[1],[2]]
              InstanceCompleted [[1],[2]]
              => unsubscribe 3.0 in t/cb98
        "#]],
    );
}

#[test]
fn a_filter_may_compare_with_the_workflows_data() {
    check(
        "do: [{ a: { listen: { to: { one: { with: { subject: '${ $input.order }' , type: t } } } } } }]",
        "start {\"order\": null}\nsignal t 1",
        expect![[r#"
            > start {"order": null}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Listening
              ChannelJoined 1.0 t/cb98
              => subscribe 1.0 in t/cb98 with {"input":{"order":null}}
            > signal t 1
              SignalReceived
              SignalBuffered test 2
        "#]],
    );
}

#[test]
fn another_copy_of_an_event_is_refused_for_a_while() {
    let bounds = Bounds {
        signals_remembered_max: 2,
        duplicate_window: std::time::Duration::from_secs(10),
        ..Bounds::default()
    };
    check_within(
        bounds,
        "do: [{ a: { listen: { to: { any: [{ with: { type: t } }], until: 'false' } } } }]",
        "start\nsignal t 1\nagain\nwait 9999\nagain\nwait 1\nagain\nwait 1\nsignal t 2\nsignal t 3\nagain",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Listening
              ChannelJoined 1.0 t/cb98
              => subscribe 1.0 to all in t/cb98
            > signal t 1
              SignalReceived
              EventHeard 1 by filter 0
            > again
              rejected as duplicate: event test 2 was accepted already; nothing was done again
            > again
              rejected as duplicate: event test 2 was accepted already; nothing was done again
            > again
              SignalReceived, 1 forgotten
              EventHeard 1 by filter 0
            > signal t 2
              SignalReceived
              EventHeard 1 by filter 0
            > signal t 3
              SignalReceived, 1 forgotten
              EventHeard 1 by filter 0
            > again
              rejected as duplicate: event test 4 was accepted already; nothing was done again
        "#]],
    );
}

#[test]
fn an_event_that_was_deferred_is_known_before_and_after_the_resume() {
    check(
        TWO,
        "start\nsuspend\nsignal paid {\"order\": 1}\nagain\nresume",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/paid Listening
              ChannelJoined 1.0 paid/ebb5
              => subscribe 1.0 in paid/ebb5
            > suspend
              InstanceSuspended
            > signal paid {"order": 1}
              SignalReceived
              CommandDeferred deliver_signal
            > again
              rejected as duplicate: event test 3 was accepted already; nothing was done again
            > resume
              InstanceResumed
              DeferredCommandTaken
              TaskCompleted 1 -> [{"order":1}]
              TaskStarted 2 in 0 /do/1/sent Listening
              ChannelJoined 2.0 sent/5a6e
              => unsubscribe 1.0 in paid/ebb5
              => subscribe 2.0 in sent/5a6e
        "#]],
    );
    let mut conversation = Conversation::new(program(TWO));
    conversation.run("start\nsuspend");
    let signal =
        conversation.address(Command::DeliverSignal { event: signal("paid", &json!({ "order": 1 })) });
    conversation.send(&signal).unwrap();
    conversation.run("resume");
    assert!(matches!(conversation.send(&signal), Err(Rejection::Duplicate { .. })));
}

#[test]
fn nothing_is_remembered_of_what_was_refused() {
    let bounds = Bounds { signals_max: 0, ..Bounds::default() };
    check_within(
        bounds,
        "do: [{ a: { wait: PT1S } }, { b: { listen: { to: { one: { with: { type: t } } } } } }]",
        "start\nsignal t 1\nfire 0\nsignal t 1\nagain",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Waiting
              TimerSet 0 Wait of 1 at 1000
            > signal t 1
              rejected: 0 events wait already for a `listen`, the most that may (signals_max); send fewer events that no task listens to
            > fire 0
              TaskCompleted 1 -> null
              TaskStarted 2 in 0 /do/1/b Listening
              ChannelJoined 2.0 t/cb98
              => subscribe 2.0 in t/cb98
            > signal t 1
              SignalReceived
              TaskCompleted 2 -> [1]
              InstanceCompleted [1]
              => unsubscribe 2.0 in t/cb98
            > again
              rejected: instance i has ended (completed); a deliver_signal has no effect
        "#]],
    );
}

#[test]
fn a_sender_is_told_what_became_of_its_event() {
    check(
        TWO,
        "wanted:start\nwanted:signal sent 1\nwanted:signal paid 5\nwanted:suspend\nwanted:signal other\nwanted:resume\nwanted:signal paid {\"order\": 1}",
        expect![[r#"
            > wanted:start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/paid Listening
              ChannelJoined 1.0 paid/ebb5
              => subscribe 1.0 in paid/ebb5
              accepted: done
            > wanted:signal sent 1
              SignalReceived
              SignalBuffered test 2
              accepted: waits
            > wanted:signal paid 5
              SignalReceived
              SignalBuffered test 3
              accepted: waits
            > wanted:suspend
              InstanceSuspended
              accepted: done
            > wanted:signal other
              SignalReceived
              CommandDeferred deliver_signal
              accepted: deferred
            > wanted:resume
              InstanceResumed
              DeferredCommandTaken
              SignalBuffered test 5
              accepted: done
            > wanted:signal paid {"order": 1}
              SignalReceived
              TaskCompleted 1 -> [{"order":1}]
              TaskStarted 2 in 0 /do/1/sent Listening
              SignalConsumed 2 test 2
              TaskCompleted 2 -> 1
              InstanceCompleted 1
              => unsubscribe 1.0 in paid/ebb5
              accepted: taken by /do/0/paid
        "#]],
    );
}

#[test]
fn an_event_that_must_not_wait_is_taken_at_once_or_refused() {
    check(
        TWO,
        "start\nnow:signal sent 1\nnow:signal paid 5\nsuspend\nnow:signal paid {\"order\": 1}\nresume\nnow:signal paid {\"order\": 1}\nagain\nnow:cancel\nnow:signal sent 2",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/paid Listening
              ChannelJoined 1.0 paid/ebb5
              => subscribe 1.0 in paid/ebb5
            > now:signal sent 1
              rejected as not_taken: event test 2 was not taken: no open `listen` takes it: none is open, or the filters refuse it
            > now:signal paid 5
              rejected as not_taken: event test 3 was not taken: no open `listen` takes it: none is open, or the filters refuse it
            > suspend
              InstanceSuspended
            > now:signal paid {"order": 1}
              rejected as not_taken: event test 5 was not taken: the instance stands still; resume it, then send again
            > resume
              InstanceResumed
            > now:signal paid {"order": 1}
              SignalReceived
              TaskCompleted 1 -> [{"order":1}]
              TaskStarted 2 in 0 /do/1/sent Listening
              ChannelJoined 2.0 sent/5a6e
              => unsubscribe 1.0 in paid/ebb5
              => subscribe 2.0 in sent/5a6e
              accepted: taken by /do/0/paid
            > again
              rejected as duplicate: event test 7 was accepted already; nothing was done again
            > now:cancel
              InstanceCancelled
              => unsubscribe 2.0 in sent/5a6e
              accepted: done
            > now:signal sent 2
              rejected: instance i has ended (cancelled); a deliver_signal has no effect
        "#]],
    );
}
