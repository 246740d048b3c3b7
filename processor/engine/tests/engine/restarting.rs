//! Restarts: the flow is put back to a task, of an instance that is open or has ended.

use expect_test::expect;

use crate::conversation::check;

const LIST: &str = "
do:
  - a: { set: '${ . + 1 }', export: { as: '${ [$context, .] }' }, metadata: { millrace: { compensate: [{ undo: { set: '${ 1 }' } }] } } }
  - b: { call: b }
  - c: { set: '${ [., $context] }', export: { as: '${ [$context, .] }' } }
  - d: { call: d }
";

#[test]
fn an_instance_runs_again_from_a_task() {
    check(
        LIST,
        "start 1\ncomplete 1.1 5\nstate\nreopen /do/1/b\nstate\ncomplete 2.1\ncomplete 3.1 6\ncomplete 4.1 7",
        expect![[r#"
            > start 1
              InstanceStarted
              TaskRan in 0 /do/0/a -> 2 context [null,2]
              CompensationAdded in 0 /do/0/a 1
              TaskStarted 1 in 0 /do/1/b Call b
              TaskDispatched 1.1
              => default: 1.1 b attempt 1 key i#/do/1/b 2
            > complete 1.1 5
              TaskCompleted 1 -> 5
              TaskRan in 0 /do/2/c -> [5,[null,2]] context [[null,2],[5,[null,2]]]
              TaskStarted 2 in 0 /do/3/d Call d
              TaskDispatched 2.1
              => default: 2.1 d attempt 1 key i#/do/3/d [5,[null,2]]
            = running context [[null,2],[5,[null,2]]]
            =   0 /do [] attempt 1: Sequence { data: [5,[null,2]], jumps: 0 }
            =   2 /do/3/d [] attempt 1: Calling { queue: "default", function: "d", arguments: None, deadline: None, dispatch: 1 }
            =   undo /do/0/a: 1 -> 2
            > reopen /do/1/b
              InstanceRestarted in 0 /do/1/b by ann with 2 context [null,2]
              TaskStarted 3 in 0 /do/1/b [!1] Call b
              TaskDispatched 3.1
              => default: 3.1 b attempt 1 key i#/do/1/b#!1 2
            = running context [null,2]
            =   0 /do [!1] attempt 1: Sequence { data: 2, jumps: 0 }
            =   3 /do/1/b [!1] attempt 1: Calling { queue: "default", function: "b", arguments: None, deadline: None, dispatch: 1 }
            =   undo /do/0/a: 1 -> 2
            > complete 2.1
              rejected: task 2.1 is not open: answered twice, late, or cancelled
            > complete 3.1 6
              TaskCompleted 3 -> 6
              TaskRan in 0 /do/2/c [!1] -> [6,[null,2]] context [[null,2],[6,[null,2]]]
              TaskStarted 4 in 0 /do/3/d [!1] Call d
              TaskDispatched 4.1
              => default: 4.1 d attempt 1 key i#/do/3/d#!1 [6,[null,2]]
            > complete 4.1 7
              TaskCompleted 4 -> 7
              InstanceCompleted 7
        "#]],
    );
}

#[test]
fn one_that_has_completed_is_opened_again() {
    check(
        LIST,
        "start 1\ncomplete 1.1 5\ncomplete 2.1 6\nreopen /do/2/c\nstate\nreopen /do/1/b\ncomplete 4.1 5",
        expect![[r#"
            > start 1
              InstanceStarted
              TaskRan in 0 /do/0/a -> 2 context [null,2]
              CompensationAdded in 0 /do/0/a 1
              TaskStarted 1 in 0 /do/1/b Call b
              TaskDispatched 1.1
              => default: 1.1 b attempt 1 key i#/do/1/b 2
            > complete 1.1 5
              TaskCompleted 1 -> 5
              TaskRan in 0 /do/2/c -> [5,[null,2]] context [[null,2],[5,[null,2]]]
              TaskStarted 2 in 0 /do/3/d Call d
              TaskDispatched 2.1
              => default: 2.1 d attempt 1 key i#/do/3/d [5,[null,2]]
            > complete 2.1 6
              TaskCompleted 2 -> 6
              InstanceCompleted 6
            > reopen /do/2/c
              InstanceRestarted in 0 /do/2/c by ann with 5 context [null,2]
              TaskRan in 0 /do/2/c [!1] -> [5,[null,2]] context [[null,2],[5,[null,2]]]
              TaskStarted 3 in 0 /do/3/d [!1] Call d
              TaskDispatched 3.1
              => default: 3.1 d attempt 1 key i#/do/3/d#!1 [5,[null,2]]
            = running context [[null,2],[5,[null,2]]]
            =   0 /do [!1] attempt 1: Sequence { data: [5,[null,2]], jumps: 0 }
            =   3 /do/3/d [!1] attempt 1: Calling { queue: "default", function: "d", arguments: None, deadline: None, dispatch: 1 }
            =   undo /do/0/a: 1 -> 2
            > reopen /do/1/b
              InstanceRestarted in 0 /do/1/b by ann with 2 context [null,2]
              TaskStarted 4 in 0 /do/1/b [!2] Call b
              TaskDispatched 4.1
              => default: 4.1 b attempt 1 key i#/do/1/b#!2 2
            > complete 4.1 5
              TaskCompleted 4 -> 5
              TaskRan in 0 /do/2/c [!2] -> [5,[null,2]] context [[null,2],[5,[null,2]]]
              TaskStarted 5 in 0 /do/3/d [!2] Call d
              TaskDispatched 5.1
              => default: 5.1 d attempt 1 key i#/do/3/d#!2 [5,[null,2]]
        "#]],
    );
}

#[test]
fn one_that_has_faulted_is_opened_again_and_nothing_is_undone_twice() {
    check(
        LIST,
        "start 1\nfail 1.1\nreopen /do/1/b\nstate\nfail 3.1\nreopen /do/0/a\nstate",
        expect![[r#"
        > start 1
          InstanceStarted
          TaskRan in 0 /do/0/a -> 2 context [null,2]
          CompensationAdded in 0 /do/0/a 1
          TaskStarted 1 in 0 /do/1/b Call b
          TaskDispatched 1.1
          => default: 1.1 b attempt 1 key i#/do/1/b 2
        > fail 1.1
          TaskFaulted 1 /do/1/b communication 500 at /do/1/b: the worker gave no reason
          CompensationStarted, will fault: communication 500 at /do/1/b: the worker gave no reason
          TaskStarted 2 in 0 /do/0/a/metadata/millrace/compensate Sequence input {"input":1,"output":2}
          TaskRan in 2 /do/0/a/metadata/millrace/compensate/0/undo -> 1
          TaskCompleted 2 -> 1
          TaskCompensated /do/0/a
          InstanceFaulted communication 500 at /do/1/b: the worker gave no reason
        > reopen /do/1/b
          InstanceRestarted in 0 /do/1/b by ann with 2 context [null,2]
          TaskStarted 3 in 0 /do/1/b [!1] Call b
          TaskDispatched 3.1
          => default: 3.1 b attempt 1 key i#/do/1/b#!1 2
        = running context [null,2]
        =   0 /do [!1] attempt 1: Sequence { data: 2, jumps: 0 }
        =   3 /do/1/b [!1] attempt 1: Calling { queue: "default", function: "b", arguments: None, deadline: None, dispatch: 1 }
        > fail 3.1
          TaskFaulted 3 /do/1/b communication 500 at /do/1/b: the worker gave no reason
          InstanceFaulted communication 500 at /do/1/b: the worker gave no reason
        > reopen /do/0/a
          InstanceRestarted in 0 /do/0/a by ann with 1 context null
          TaskRan in 0 /do/0/a [!2] -> 2 context [null,2]
          CompensationAdded in 0 /do/0/a [!2] 1
          TaskStarted 4 in 0 /do/1/b [!2] Call b
          TaskDispatched 4.1
          => default: 4.1 b attempt 1 key i#/do/1/b#!2 2
        = running context [null,2]
        =   0 /do [!2] attempt 1: Sequence { data: 2, jumps: 0 }
        =   4 /do/1/b [!2] attempt 1: Calling { queue: "default", function: "b", arguments: None, deadline: None, dispatch: 1 }
        =   undo /do/0/a [!2]: 1 -> 2
    "#]],
    );
}

#[test]
fn one_that_was_cancelled_is_opened_again_and_can_be_undone() {
    check(
        LIST,
        "start 1\ncancel\nreopen /do/1/b\nundo",
        expect![[r#"
        > start 1
          InstanceStarted
          TaskRan in 0 /do/0/a -> 2 context [null,2]
          CompensationAdded in 0 /do/0/a 1
          TaskStarted 1 in 0 /do/1/b Call b
          TaskDispatched 1.1
          => default: 1.1 b attempt 1 key i#/do/1/b 2
        > cancel
          InstanceCancelled
        > reopen /do/1/b
          InstanceRestarted in 0 /do/1/b by ann with 2 context [null,2]
          TaskStarted 2 in 0 /do/1/b [!1] Call b
          TaskDispatched 2.1
          => default: 2.1 b attempt 1 key i#/do/1/b#!1 2
        > undo
          CompensationStarted, will be cancelled
          TaskStarted 3 in 0 /do/0/a/metadata/millrace/compensate Sequence input {"input":1,"output":2}
          TaskRan in 3 /do/0/a/metadata/millrace/compensate/0/undo -> 1
          TaskCompleted 3 -> 1
          TaskCompensated /do/0/a
          InstanceCancelled
    "#]],
    );
}

#[test]
fn a_restart_that_comes_twice_is_refused() {
    check(
        LIST,
        "start 1\nreopen /do/1/b\nagain",
        expect![[r#"
        > start 1
          InstanceStarted
          TaskRan in 0 /do/0/a -> 2 context [null,2]
          CompensationAdded in 0 /do/0/a 1
          TaskStarted 1 in 0 /do/1/b Call b
          TaskDispatched 1.1
          => default: 1.1 b attempt 1 key i#/do/1/b 2
        > reopen /do/1/b
          InstanceRestarted in 0 /do/1/b by ann with 2 context [null,2]
          TaskStarted 2 in 0 /do/1/b [!1] Call b
          TaskDispatched 2.1
          => default: 2.1 b attempt 1 key i#/do/1/b#!1 2
        > again
          rejected: instance i was restarted meanwhile, 1 times by now; look at it, and restart it again if it is still to be
    "#]],
    );
}

#[test]
fn what_stands_still_goes_on_with_the_restart() {
    check(
        LIST,
        "start 1\nsuspend\nsignal t 1\nreopen /do/1/b\nstate",
        expect![[r#"
            > start 1
              InstanceStarted
              TaskRan in 0 /do/0/a -> 2 context [null,2]
              CompensationAdded in 0 /do/0/a 1
              TaskStarted 1 in 0 /do/1/b Call b
              TaskDispatched 1.1
              => default: 1.1 b attempt 1 key i#/do/1/b 2
            > suspend
              InstanceSuspended
            > signal t 1
              SignalReceived
              CommandDeferred deliver_signal
            > reopen /do/1/b
              InstanceResumed
              InstanceRestarted in 0 /do/1/b by ann with 2 context [null,2]
              TaskStarted 2 in 0 /do/1/b [!1] Call b
              TaskDispatched 2.1
              DeferredCommandTaken
              SignalBuffered test 3
              => default: 2.1 b attempt 1 key i#/do/1/b#!1 2
            = running context [null,2]
            =   0 /do [!1] attempt 1: Sequence { data: 2, jumps: 0 }
            =   2 /do/1/b [!1] attempt 1: Calling { queue: "default", function: "b", arguments: None, deadline: None, dispatch: 1 }
            =   undo /do/0/a: 1 -> 2
            =   signals 1
        "#]],
    );
}

#[test]
fn a_list_in_an_open_task_can_be_run_again_and_what_is_beside_it_goes_on() {
    check(
        "
do:
  - both:
      fork:
        branches:
          - left: { do: [{ a: { set: '${ 1 }', export: { as: '${ . }' } } }, { b: { call: b } }] }
          - right: { for: { in: '[1, 2]' }, do: [{ c: { call: c } }, { d: { call: d } }] }
          - third: { try: [{ e: { call: e } }], catch: { do: [{ f: { call: f } }] } }
",
        "start 0\ncomplete 5.1 7\nfail 7.1\nreopen /do/0/both/fork/branches/1/right/do/0/c\nreopen /do/0/both/fork/branches/0/left/do/0/a\nreopen /do/0/both/fork/branches/2/third/try/0/e\nreopen /do/0/both/fork/branches/2/third/catch/do/0/f\nreopen /do/0/both/fork/branches/1/right\nrestart /do/0/none\nstate",
        expect![[r#"
            > start 0
              InstanceStarted
              TaskStarted 1 in 0 /do/0/both Branches 3
              TaskStarted 2 in 1 /do/0/both/fork/branches/0/left Sequence
              TaskRan in 2 /do/0/both/fork/branches/0/left/do/0/a -> 1 context 1
              TaskStarted 3 in 2 /do/0/both/fork/branches/0/left/do/1/b Call b
              TaskDispatched 3.1
              TaskStarted 4 in 1 /do/0/both/fork/branches/1/right Loop [1,2]
              TaskStarted 5 in 4 /do/0/both/fork/branches/1/right/do/0/c [0] Call c
              TaskDispatched 5.1
              TaskStarted 6 in 1 /do/0/both/fork/branches/2/third Trying
              TaskStarted 7 in 6 /do/0/both/fork/branches/2/third/try/0/e Call e
              TaskDispatched 7.1
              => default: 3.1 b attempt 1 key i#/do/0/both/fork/branches/0/left/do/1/b 1
              => default: 5.1 c attempt 1 key i#/do/0/both/fork/branches/1/right/do/0/c#0 0
              => default: 7.1 e attempt 1 key i#/do/0/both/fork/branches/2/third/try/0/e 0
            > complete 5.1 7
              TaskCompleted 5 -> 7
              TaskStarted 8 in 4 /do/0/both/fork/branches/1/right/do/1/d [0] Call d
              TaskDispatched 8.1
              => default: 8.1 d attempt 1 key i#/do/0/both/fork/branches/1/right/do/1/d#0 7
            > fail 7.1
              TaskFaulted 7 /do/0/both/fork/branches/2/third/try/0/e communication 500 at /do/0/both/fork/branches/2/third/try/0/e: the worker gave no reason
              ErrorCaught 6 communication 500 at /do/0/both/fork/branches/2/third/try/0/e: the worker gave no reason
              TaskStarted 9 in 6 /do/0/both/fork/branches/2/third/catch/do/0/f Call f
              TaskDispatched 9.1
              => default: 9.1 f attempt 1 key i#/do/0/both/fork/branches/2/third/catch/do/0/f 0
            > reopen /do/0/both/fork/branches/1/right/do/0/c
              InstanceRestarted in 4 /do/0/both/fork/branches/1/right/do/0/c by ann with 0 context null
              TaskStarted 10 in 4 /do/0/both/fork/branches/1/right/do/0/c [0~1@2] Call c
              TaskDispatched 10.1
              => default: 10.1 c attempt 1 key i#/do/0/both/fork/branches/1/right/do/0/c#0~1@2 0
            > reopen /do/0/both/fork/branches/0/left/do/0/a
              InstanceRestarted in 2 /do/0/both/fork/branches/0/left/do/0/a by ann with 0 context null
              TaskRan in 2 /do/0/both/fork/branches/0/left/do/0/a [~1@2] -> 1 context 1
              TaskStarted 11 in 2 /do/0/both/fork/branches/0/left/do/1/b [~1@2] Call b
              TaskDispatched 11.1
              => default: 11.1 b attempt 1 key i#/do/0/both/fork/branches/0/left/do/1/b#~1@2 1
            > reopen /do/0/both/fork/branches/2/third/try/0/e
              rejected: task /do/0/both/fork/branches/2/third/try/0/e stands in /do/0/both/fork/branches/2/third, which does not run it now; restart from that task, or from one around it
            > reopen /do/0/both/fork/branches/2/third/catch/do/0/f
              InstanceRestarted in 6 /do/0/both/fork/branches/2/third/catch/do/0/f by ann with 0 context null
              TaskStarted 12 in 6 /do/0/both/fork/branches/2/third/catch/do/0/f [~1@2] Call f
              TaskDispatched 12.1
              => default: 12.1 f attempt 1 key i#/do/0/both/fork/branches/2/third/catch/do/0/f#~1@2 0
            > reopen /do/0/both/fork/branches/1/right
              rejected: task /do/0/both/fork/branches/1/right is a branch, and runs beside others; restart from a task in it, or from the fork /do/0/both
            > restart /do/0/none
              rejected: workflow test/flow/1.0.0 has no task /do/0/none
            = running context null
            =   0 /do [] attempt 1: Sequence { data: 0, jumps: 0 }
            =   1 /do/0/both [] attempt 1: Branches { branches: [Branch { output: None, context: Some(1) }, Branch { output: None, context: Some(null) }, Branch { output: None, context: Some(null) }] }
            =   2 /do/0/both/fork/branches/0/left [] attempt 1: Sequence { data: 1, jumps: 1 }
            =   4 /do/0/both/fork/branches/1/right [] attempt 1: Loop { items: [1,2], index: 0, data: 0, jumps: 1 }
            =   6 /do/0/both/fork/branches/2/third [] attempt 1: Catching { error: TaskError { error_type: "https://serverlessworkflow.io/spec/1.0.0/errors/communication", status: 500, instance: Some("/do/0/both/fork/branches/2/third/try/0/e"), title: Some("Communication Error"), detail: Some("the worker gave no reason") }, data: 0, jumps: 1 }
            =   10 /do/0/both/fork/branches/1/right/do/0/c [0~1@2] attempt 1: Calling { queue: "default", function: "c", arguments: None, deadline: None, dispatch: 1 }
            =   11 /do/0/both/fork/branches/0/left/do/1/b [~1@2] attempt 1: Calling { queue: "default", function: "b", arguments: None, deadline: None, dispatch: 1 }
            =   12 /do/0/both/fork/branches/2/third/catch/do/0/f [~1@2] attempt 1: Calling { queue: "default", function: "f", arguments: None, deadline: None, dispatch: 1 }
        "#]],
    );
}

#[test]
fn a_task_with_extensions_is_run_again_with_them() {
    check(
        "
use:
  extensions: [{ log: { extend: call, before: [{ note: { set: '${ \"noted\" }' } }], after: [{ note: { set: '${ \"noted\" }' } }] } }]
do:
  - a: { call: a, input: { from: '${ [.] }' } }
  - b: { call: b }
",
        "start 1\ncomplete 2.1 5\nreopen /do/0/a\ncomplete 6.1 6",
        expect![[r#"
            > start 1
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a/extensions/0 Sequence
              TaskRan in 1 /do/0/a/extensions/0/before/0/note -> "noted"
              TaskStarted 2 in 1 /do/0/a Call a input [1]
              TaskDispatched 2.1
              => default: 2.1 a attempt 1 key i#/do/0/a [1]
            > complete 2.1 5
              TaskCompleted 2 -> 5
              TaskStarted 3 in 1 /do/0/a/extensions/0/after Sequence
              TaskRan in 3 /do/0/a/extensions/0/after/0/note -> "noted"
              TaskCompleted 3 -> 5
              TaskCompleted 1 -> 5
              TaskStarted 4 in 0 /do/1/b/extensions/0 Sequence
              TaskRan in 4 /do/1/b/extensions/0/before/0/note -> "noted"
              TaskStarted 5 in 4 /do/1/b Call b input 5
              TaskDispatched 5.1
              => default: 5.1 b attempt 1 key i#/do/1/b 5
            > reopen /do/0/a
              InstanceRestarted in 0 /do/0/a by ann with 1 context null
              TaskStarted 6 in 0 /do/0/a/extensions/0 [!1] Sequence
              TaskRan in 6 /do/0/a/extensions/0/before/0/note [!1] -> "noted"
              TaskStarted 7 in 6 /do/0/a [!1] Call a input [1]
              TaskDispatched 7.1
              => default: 7.1 a attempt 1 key i#/do/0/a#!1 [1]
            > complete 6.1 6
              rejected: task 6.1 is not open: answered twice, late, or cancelled
        "#]],
    );
}

#[test]
fn only_the_workflows_own_list_is_there_once_it_has_ended() {
    check(
        "
do:
  - a: { do: [{ x: { set: '${ 1 }' } }] }
",
        "start 1\nreopen /do/0/a/do/0/x\nreopen /do/0/a\nrestart /do/0/a",
        expect![[r#"
            > start 1
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Sequence
              TaskRan in 1 /do/0/a/do/0/x -> 1
              TaskCompleted 1 -> 1
              InstanceCompleted 1
            > reopen /do/0/a/do/0/x
              rejected: instance i has ended, and task /do/0/a/do/0/x stands in another one, which is not open any more; restart from /do/0/a
            > reopen /do/0/a
              InstanceRestarted in 0 /do/0/a by ann with 1 context null
              TaskStarted 2 in 0 /do/0/a [!1] Sequence
              TaskRan in 2 /do/0/a/do/0/x [!1] -> 1
              TaskCompleted 2 -> 1
              InstanceCompleted 1
            > restart /do/0/a
              rejected: instance i has ended (completed), and the restart does not bring what it needs to be open again; `millrace restart` sends that
        "#]],
    );
}

#[test]
fn the_timeout_of_the_workflow_begins_anew() {
    check(
        "
timeout: { after: PT5S }
do:
  - a: { call: a }
",
        "start 1\nfire 0\nreopen /do/0/a\nstate",
        expect![[r#"
            > start 1
              InstanceStarted
              TimerSet 0 Timeout of 0 at 5000
              TaskStarted 1 in 0 /do/0/a Call a
              TaskDispatched 1.1
              => default: 1.1 a attempt 1 key i#/do/0/a 1
            > fire 0
              TaskCancelled 1
              InstanceFaulted timeout 408 at /do: the workflow did not end by 1970-01-01T00:00:05Z; it was entered at 1970-01-01T00:00:00Z
            > reopen /do/0/a
              InstanceRestarted in 0 /do/0/a by ann with 1 context null
              TimerSet 1 Timeout of 0 at 10000
              TaskStarted 2 in 0 /do/0/a [!1] Call a
              TaskDispatched 2.1
              => default: 2.1 a attempt 1 key i#/do/0/a#!1 1
            = running context null
            =   0 /do [!1] attempt 1: Sequence { data: 1, jumps: 0 }
            =   2 /do/0/a [!1] attempt 1: Calling { queue: "default", function: "a", arguments: None, deadline: None, dispatch: 1 }
            =   timer 1 Timeout of 0 at 10000
        "#]],
    );
}

#[test]
fn what_failed_while_it_was_entered_can_be_restarted() {
    check(
        "
do:
  - a: { do: [{ x: { set: '${ .y.z }' } }] }
",
        "start {\"y\":1}\nrestart /do/0/a 1\nreopen /do/0/a",
        expect![[r#"
            > start {"y":1}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Sequence
              TaskFaulted /do/0/a/do/0/x expression 400 at /do/0/a/do/0/x: expression `.y.z`: cannot index 1 with "z"
              TaskFaulted 1 /do/0/a expression 400 at /do/0/a/do/0/x: expression `.y.z`: cannot index 1 with "z"
              InstanceFaulted expression 400 at /do/0/a/do/0/x: expression `.y.z`: cannot index 1 with "z"
            > restart /do/0/a 1
              rejected: instance i has ended (faulted), and the restart does not bring what it needs to be open again; `millrace restart` sends that
            > reopen /do/0/a
              InstanceRestarted in 0 /do/0/a by ann with {"y":1} context null
              TaskStarted 2 in 0 /do/0/a [!1] Sequence
              TaskFaulted /do/0/a/do/0/x expression 400 at /do/0/a/do/0/x: expression `.y.z`: cannot index 1 with "z"
              TaskFaulted 2 /do/0/a expression 400 at /do/0/a/do/0/x: expression `.y.z`: cannot index 1 with "z"
              InstanceFaulted expression 400 at /do/0/a/do/0/x: expression `.y.z`: cannot index 1 with "z"
        "#]],
    );
}

#[test]
fn an_instance_that_undoes_does_not_run_again() {
    check(
        "
do:
  - a: { call: a, metadata: { millrace: { compensate: [{ undo: { call: undo } }] } } }
  - b: { call: b }
",
        "start 1\ncomplete 1.1\nundo\nreopen /do/1/b",
        expect![[r#"
            > start 1
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Call a
              TaskDispatched 1.1
              => default: 1.1 a attempt 1 key i#/do/0/a 1
            > complete 1.1
              TaskCompleted 1 -> null
              CompensationAdded in 0 /do/0/a 1
              TaskStarted 2 in 0 /do/1/b Call b
              TaskDispatched 2.1
              => default: 2.1 b attempt 1 key i#/do/1/b null
            > undo
              CompensationStarted, will be cancelled
              TaskStarted 3 in 0 /do/0/a/metadata/millrace/compensate Sequence input {"input":1,"output":null}
              TaskStarted 4 in 3 /do/0/a/metadata/millrace/compensate/0/undo Call undo
              TaskDispatched 4.1
              => default: 4.1 undo attempt 1 key i#/do/0/a/metadata/millrace/compensate/0/undo {"input":1,"output":null}
            > reopen /do/1/b
              rejected: instance i undoes what it has done, and does not run again before it has ended
        "#]],
    );
}
