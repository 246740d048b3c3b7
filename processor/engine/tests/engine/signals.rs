//! Events from outside.

use expect_test::expect;
use millrace_engine::Bounds;

use crate::conversation::{check, check_within};

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
              SignalBuffered test 2
            > signal paid {"order": 1}
              TaskCompleted 1 -> [{"order":1}]
              TaskStarted 2 in 0 /do/1/sent Listening
              ChannelJoined 2.0 sent/5a6e
              => unsubscribe 1.0 in paid/ebb5
              => subscribe 2.0 in sent/5a6e
            > signal sent "now"
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
              SignalBuffered test 2
            > again
              rejected: event test 2 waits already for a `listen`
            = running context null
            =   0 /do [] attempt 1: Sequence { data: null, jumps: 0 }
            =   1 /do/0/paid [] attempt 1: Listening
            =   signals 1
            > signal paid {"order": 1}
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
              TaskCompleted 2 -> [1]
              => unsubscribe 2.0 in t/cb98
            > signal t 2
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
              SignalBuffered test 2
        "#]],
    );
}
