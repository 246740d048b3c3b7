//! Branches side by side.

use expect_test::expect;

use crate::conversation::check;

const BOTH: &str = "
do:
  - both:
      fork:
        branches:
          - left: { call: left, output: { as: .l } }
          - right: { call: right }
  - after: { set: { got: '${ . }' } }
";

#[test]
fn a_fork_waits_for_all_branches_and_keeps_their_order() {
    check(
        BOTH,
        "start {\"n\": 1}\ncomplete 3.1 \"r\"\nstate\ncomplete 2.1 {\"l\": \"l\"}",
        expect![[r#"
        > start {"n": 1}
          InstanceStarted
          TaskStarted 1 in 0 /do/0/both Branches 2
          TaskStarted 2 in 1 /do/0/both/fork/branches/0/left Call left
          TaskDispatched 2.1
          TaskStarted 3 in 1 /do/0/both/fork/branches/1/right Call right
          TaskDispatched 3.1
          => default: 2.1 left attempt 1 key i#/do/0/both/fork/branches/0/left {"n":1}
          => default: 3.1 right attempt 1 key i#/do/0/both/fork/branches/1/right {"n":1}
        > complete 3.1 "r"
          TaskCompleted 3 -> "r"
        = running context null
        =   0 /do [] attempt 1: Sequence { data: {"n":1}, jumps: 0 }
        =   1 /do/0/both [] attempt 1: Branches { branches: [Branch { output: None, context: None }, Branch { output: Some("r"), context: None }] }
        =   2 /do/0/both/fork/branches/0/left [] attempt 1: Calling { queue: "default", function: "left", arguments: None, deadline: None, dispatch: 1 }
        > complete 2.1 {"l": "l"}
          TaskCompleted 2 -> "l"
          TaskCompleted 1 -> ["l","r"]
          TaskRan in 0 /do/1/after -> {"got":["l","r"]}
          InstanceCompleted {"got":["l","r"]}
    "#]],
    );
}

#[test]
fn branches_that_end_at_once_or_are_skipped_count() {
    check(
        "do: [{ both: { fork: { branches: [{ a: { set: '${ 1 }' } }, { b: { if: 'false', set: '${ 2 }' } }, { c: { wait: PT1S } }] } } }]",
        "start 0\nfire 0",
        expect![[r#"
            > start 0
              InstanceStarted
              TaskStarted 1 in 0 /do/0/both Branches 3
              TaskRan in 1 /do/0/both/fork/branches/0/a -> 1
              TaskRan in 1 /do/0/both/fork/branches/1/b
              TaskStarted 2 in 1 /do/0/both/fork/branches/2/c Waiting
              TimerSet 0 Wait of 2 at 1000
            > fire 0
              TaskCompleted 2 -> 0
              TaskCompleted 1 -> [1,0,0]
              InstanceCompleted [1,0,0]
        "#]],
    );
}

#[test]
fn the_first_of_competing_branches_wins() {
    let definition = "
do:
  - race:
      fork:
        compete: true
        branches:
          - left: { call: left, export: { as: '\"left\"' } }
          - right: { do: [{ ask: { call: right, timeout: { after: PT5S } } }] }
";
    check(
        definition,
        "start\ncomplete 2.1 \"l\"\ncomplete 4.1 \"r\"\nfire 0",
        expect![[r#"
        > start
          InstanceStarted
          TaskStarted 1 in 0 /do/0/race Branches 2
          TaskStarted 2 in 1 /do/0/race/fork/branches/0/left Call left
          TaskDispatched 2.1
          TaskStarted 3 in 1 /do/0/race/fork/branches/1/right Sequence
          TaskStarted 4 in 3 /do/0/race/fork/branches/1/right/do/0/ask Call right by 5000
          TimerSet 0 Timeout of 4 at 5000
          TaskDispatched 4.1
          => default: 2.1 left attempt 1 key i#/do/0/race/fork/branches/0/left null
          => default: 4.1 right attempt 1 key i#/do/0/race/fork/branches/1/right/do/0/ask null
        > complete 2.1 "l"
          TaskCompleted 2 -> "l" context "left"
          TaskCancelled 3
          TaskCompleted 1 -> "l" context "left"
          InstanceCompleted "l"
        > complete 4.1 "r"
          rejected: instance i has ended (completed); a complete_task has no effect
        > fire 0
          rejected: instance i has ended (completed); a fire_timer has no effect
    "#]],
    );
    check(
        definition,
        "start\ncomplete 4.1 \"r\"",
        expect![[r#"
        > start
          InstanceStarted
          TaskStarted 1 in 0 /do/0/race Branches 2
          TaskStarted 2 in 1 /do/0/race/fork/branches/0/left Call left
          TaskDispatched 2.1
          TaskStarted 3 in 1 /do/0/race/fork/branches/1/right Sequence
          TaskStarted 4 in 3 /do/0/race/fork/branches/1/right/do/0/ask Call right by 5000
          TimerSet 0 Timeout of 4 at 5000
          TaskDispatched 4.1
          => default: 2.1 left attempt 1 key i#/do/0/race/fork/branches/0/left null
          => default: 4.1 right attempt 1 key i#/do/0/race/fork/branches/1/right/do/0/ask null
        > complete 4.1 "r"
          TaskCompleted 4 -> "r"
          TaskCompleted 3 -> "r"
          TaskCancelled 2
          TaskCompleted 1 -> "r"
          InstanceCompleted "r"
    "#]],
    );
}

#[test]
fn a_race_that_is_won_at_once_does_not_enter_the_others() {
    check(
        "do: [{ race: { fork: { compete: true, branches: [{ a: { set: '${ \"red\" }' } }, { b: { call: b } }] } } }]",
        "start",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/race Branches 2
              TaskRan in 1 /do/0/race/fork/branches/0/a -> "red"
              TaskCompleted 1 -> "red"
              InstanceCompleted "red"
        "#]],
    );
}

#[test]
fn an_error_in_a_branch_cancels_the_others() {
    check(
        BOTH,
        "start\nfail 2.1 {\"detail\": \"no\"}\ncomplete 3.1",
        expect![[r#"
        > start
          InstanceStarted
          TaskStarted 1 in 0 /do/0/both Branches 2
          TaskStarted 2 in 1 /do/0/both/fork/branches/0/left Call left
          TaskDispatched 2.1
          TaskStarted 3 in 1 /do/0/both/fork/branches/1/right Call right
          TaskDispatched 3.1
          => default: 2.1 left attempt 1 key i#/do/0/both/fork/branches/0/left null
          => default: 3.1 right attempt 1 key i#/do/0/both/fork/branches/1/right null
        > fail 2.1 {"detail": "no"}
          TaskFaulted 2 /do/0/both/fork/branches/0/left communication 500 at /do/0/both/fork/branches/0/left: no
          TaskCancelled 3
          TaskFaulted 1 /do/0/both communication 500 at /do/0/both/fork/branches/0/left: no
          InstanceFaulted communication 500 at /do/0/both/fork/branches/0/left: no
        > complete 3.1
          rejected: instance i has ended (faulted); a complete_task has no effect
    "#]],
    );
}

#[test]
fn a_call_that_is_cancelled_in_the_same_step_is_not_sent() {
    check(
        "
do: 
  - t:
      try: [{ both: { fork: { branches: [{ a: { call: a } }, { b: { raise: { error: { type: https://x, status: 400 } } } }] } } }]
      catch: { do: [{ c: { call: c } }] }
",
        "start",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/t Trying
              TaskStarted 2 in 1 /do/0/t/try/0/both Branches 2
              TaskStarted 3 in 2 /do/0/t/try/0/both/fork/branches/0/a Call a
              TaskDispatched 3.1
              TaskFaulted /do/0/t/try/0/both/fork/branches/1/b x 400 at /do/0/t/try/0/both/fork/branches/1/b: -
              TaskCancelled 3
              TaskFaulted 2 /do/0/t/try/0/both x 400 at /do/0/t/try/0/both/fork/branches/1/b: -
              ErrorCaught 1 x 400 at /do/0/t/try/0/both/fork/branches/1/b: -
              TaskStarted 4 in 1 /do/0/t/catch/do/0/c Call c
              TaskDispatched 4.1
              => default: 4.1 c attempt 1 key i#/do/0/t/catch/do/0/c null
        "#]],
    );
}

#[test]
fn each_branch_has_its_own_context_and_exports_meet_at_the_join() {
    check(
        "
do:
  - first: { set: '${ 0 }', export: { as: '{ at: \"start\" }' } }
  - both:
      fork:
        branches:
          - left: { do: [{ a: { set: '${ 1 }', export: { as: '$context + { l: 1 }' } } }, { b: { call: b, with: { is: '${ $context }' } } }] }
          - right: { do: [{ c: { call: c, with: { is: '${ $context }' }, export: { as: '$context + { r: 1 }' } } }, { d: { set: '${ $context }' } }] }
  - after: { set: '${ $context }' }
",
        "start\nstate\ncomplete 5.1\ncomplete 3.1",
        expect![[r#"
            > start
              InstanceStarted
              TaskRan in 0 /do/0/first -> 0 context {"at":"start"}
              TaskStarted 1 in 0 /do/1/both Branches 2
              TaskStarted 2 in 1 /do/1/both/fork/branches/0/left Sequence
              TaskRan in 2 /do/1/both/fork/branches/0/left/do/0/a -> 1 context {"at":"start","l":1}
              TaskStarted 3 in 2 /do/1/both/fork/branches/0/left/do/1/b Call b with {"is":{"at":"start","l":1}}
              TaskDispatched 3.1
              TaskStarted 4 in 1 /do/1/both/fork/branches/1/right Sequence
              TaskStarted 5 in 4 /do/1/both/fork/branches/1/right/do/0/c Call c with {"is":{"at":"start"}}
              TaskDispatched 5.1
              => default: 3.1 b attempt 1 key i#/do/1/both/fork/branches/0/left/do/1/b {"is":{"at":"start","l":1}}
              => default: 5.1 c attempt 1 key i#/do/1/both/fork/branches/1/right/do/0/c {"is":{"at":"start"}}
            = running context {"at":"start"}
            =   0 /do [] attempt 1: Sequence { data: 0, jumps: 0 }
            =   1 /do/1/both [] attempt 1: Branches { branches: [Branch { output: None, context: Some({"at":"start","l":1}) }, Branch { output: None, context: None }] }
            =   2 /do/1/both/fork/branches/0/left [] attempt 1: Sequence { data: 1, jumps: 0 }
            =   3 /do/1/both/fork/branches/0/left/do/1/b [] attempt 1: Calling { queue: "default", function: "b", arguments: Some({"is":{"at":"start","l":1}}), deadline: None, dispatch: 1 }
            =   4 /do/1/both/fork/branches/1/right [] attempt 1: Sequence { data: 0, jumps: 0 }
            =   5 /do/1/both/fork/branches/1/right/do/0/c [] attempt 1: Calling { queue: "default", function: "c", arguments: Some({"is":{"at":"start"}}), deadline: None, dispatch: 1 }
            > complete 5.1
              TaskCompleted 5 -> null context {"at":"start","r":1}
              TaskRan in 4 /do/1/both/fork/branches/1/right/do/1/d -> {"at":"start","r":1}
              TaskCompleted 4 -> {"at":"start","r":1}
            > complete 3.1
              TaskCompleted 3 -> null
              TaskCompleted 2 -> null
              TaskCompleted 1 -> [null,{"at":"start","r":1}] context {"at":"start","r":1}
              TaskRan in 0 /do/2/after -> {"at":"start","r":1}
              InstanceCompleted {"at":"start","r":1}
        "#]],
    );
}

#[test]
fn a_fork_exports_on_top_of_what_its_branches_exported() {
    check(
        "
do:
  - both:
      fork: { branches: [{ a: { set: '${ 1 }', export: { as: '{ a: . }' } } }] }
      export: { as: '{ joined: $context, data: . }' }
  - after: { set: '${ $context }' }
",
        "start",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/both Branches 1
              TaskRan in 1 /do/0/both/fork/branches/0/a -> 1 context {"a":1}
              TaskCompleted 1 -> [1] context {"joined":{"a":1},"data":[1]}
              TaskRan in 0 /do/1/after -> {"joined":{"a":1},"data":[1]}
              InstanceCompleted {"joined":{"a":1},"data":[1]}
        "#]],
    );
}

#[test]
fn forks_nest() {
    check(
        "
do:
  - outer:
      fork:
        branches:
          - a: { fork: { branches: [{ x: { call: x } }, { y: { set: '${ \"y\" }' } }] } }
          - b: { wait: PT1S }
",
        "start\nfire 0\ncomplete 3.1 \"x\"",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/outer Branches 2
              TaskStarted 2 in 1 /do/0/outer/fork/branches/0/a Branches 2
              TaskStarted 3 in 2 /do/0/outer/fork/branches/0/a/fork/branches/0/x Call x
              TaskDispatched 3.1
              TaskRan in 2 /do/0/outer/fork/branches/0/a/fork/branches/1/y -> "y"
              TaskStarted 4 in 1 /do/0/outer/fork/branches/1/b Waiting
              TimerSet 0 Wait of 4 at 1000
              => default: 3.1 x attempt 1 key i#/do/0/outer/fork/branches/0/a/fork/branches/0/x null
            > fire 0
              TaskCompleted 4 -> null
            > complete 3.1 "x"
              TaskCompleted 3 -> "x"
              TaskCompleted 2 -> ["x","y"]
              TaskCompleted 1 -> [["x","y"],null]
              InstanceCompleted [["x","y"],null]
        "#]],
    );
}
