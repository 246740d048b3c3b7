//! A definition can never stop a partition.

use expect_test::expect;
use millrace_engine::Bounds;

use crate::conversation::{Conversation, check_within, program};

const ENDLESS: &str = "do: [{ t: { try: [{ a: { set: '${ 1 }' } }, { b: { set: '${ 2 }', then: a } }], catch: { retry: {} } } }]";

#[test]
fn a_loop_that_never_waits_faults_and_cannot_be_caught() {
    check_within(
        Bounds { steps_per_command_max: 4, ..Bounds::default() },
        ENDLESS,
        "start",
        expect![[r#"
        > start
          InstanceStarted
          TaskStarted 1 in 0 /do/0/t Trying
          TaskRan in 1 /do/0/t/try/0/a -> 1
          TaskRan in 1 /do/0/t/try/1/b -> 2
          SequenceJumped 1
          TaskRan in 1 /do/0/t/try/0/a [~1@1] -> 1
          InstanceFaulted runtime 500 at /do/0/t/try/1/b: 4 tasks were entered without waiting for anything, the most that is allowed (steps_per_command_max); look for a loop that never ends, put a `wait` into it, or raise the bound
    "#]],
    );
}

#[test]
fn empty_rounds_of_a_loop_count_as_steps() {
    let bounds = Bounds { steps_per_command_max: 4, ..Bounds::default() };
    let definition =
        "do: [{ l: { for: { in: '[range(100)]' }, do: [{ a: { if: 'false', set: '${ 1 }' } }] } }]";
    check_within(
        bounds,
        definition,
        "start",
        expect![[r#"
        > start
          InstanceStarted
          TaskStarted 1 in 0 /do/0/l Loop [0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50,51,52,53,54,55,56,57,58,59,60,61,62,63,64,65,66,67,68,69,70,71,72,73,74,75,76,77,78,79,80,81,82,83,84,85,86,87,88,89,90,91,92,93,94,95,96,97,98,99]
          IterationStarted 1 [1]
          InstanceFaulted runtime 500 at /do/0/l: 4 tasks were entered without waiting for anything, the most that is allowed (steps_per_command_max); look for a loop that never ends, put a `wait` into it, or raise the bound
    "#]],
    );
}

#[test]
fn an_instance_enters_only_so_many_tasks() {
    let definition = "do: [{ a: { wait: PT1S } }, { b: { set: '${ 2 }', then: a } }]";
    check_within(
        Bounds { steps_max: 4, ..Bounds::default() },
        definition,
        "start\nfire 0\nfire 1",
        expect![[r#"
        > start
          InstanceStarted
          TaskStarted 1 in 0 /do/0/a Waiting
          TimerSet 0 Wait of 1 at 1000
        > fire 0
          TaskCompleted 1 -> null
          TaskRan in 0 /do/1/b -> 2
          SequenceJumped 0
          TaskStarted 2 in 0 /do/0/a [~1] Waiting
          TimerSet 1 Wait of 2 at 2000
        > fire 1
          TaskCompleted 2 -> 2
          TaskRan in 0 /do/1/b [~1] -> 2
          SequenceJumped 0
          InstanceFaulted runtime 500 at /do/0/a: the instance has entered 4 tasks, the most that one instance may enter (steps_max); split the work over several instances, or raise the bound
    "#]],
    );
}

#[test]
fn tasks_nest_only_so_deep() {
    let bounds = Bounds { depth_max: 2, ..Bounds::default() };
    check_within(
        bounds,
        "do: [{ a: { do: [{ b: { do: [{ c: { set: '${ 1 }' } }] } }] } }]",
        "start",
        expect![[r#"
        > start
          InstanceStarted
          TaskStarted 1 in 0 /do/0/a Sequence
          InstanceFaulted runtime 500 at /do/0/a/do/0/b: the task is nested in 2 others, the deepest that is allowed (depth_max); flatten the definition, or raise the bound
    "#]],
    );
    check_within(
        bounds,
        "do: [{ a: { do: [{ b: { set: '${ 1 }' } }] } }]",
        "start",
        expect![[r#"
        > start
          InstanceStarted
          TaskStarted 1 in 0 /do/0/a Sequence
          TaskRan in 1 /do/0/a/do/0/b -> 1
          TaskCompleted 1 -> 1
          InstanceCompleted 1
    "#]],
    );
}

#[test]
fn an_instance_holds_only_so_much_data() {
    let bounds = Bounds { state_bytes_max: 1_000, ..Bounds::default() };
    let definition = "do: [{ a: { set: '${ . + . }' } }, { b: { wait: PT1S, then: a } }]";
    check_within(
        bounds,
        definition,
        "start x40\nfire 0\nfire 1\nfire 2",
        expect![[r#"
        > start x40
          InstanceStarted
          TaskRan in 0 /do/0/a -> "x*80"
          TaskStarted 1 in 0 /do/1/b Waiting
          TimerSet 0 Wait of 1 at 1000
        > fire 0
          TaskCompleted 1 -> "x*80"
          SequenceJumped 0
          TaskRan in 0 /do/0/a [~1] -> "x*160"
          TaskStarted 2 in 0 /do/1/b [~1] Waiting
          TimerSet 1 Wait of 2 at 2000
        > fire 1
          TaskCompleted 2 -> "x*160"
          SequenceJumped 0
          TaskRan in 0 /do/0/a [~2] -> "x*320"
          TaskStarted 3 in 0 /do/1/b [~2] Waiting
          TimerSet 2 Wait of 3 at 3000
        > fire 2
          TaskCompleted 3 -> "x*320"
          SequenceJumped 0
          TaskRan in 0 /do/0/a [~3] -> "x*640"
          TaskStarted 4 in 0 /do/1/b [~3] Waiting
          TimerSet 3 Wait of 4 at 4000
          InstanceFaulted runtime 500 at /do/1/b: the instance holds 1414 bytes of data, and 1000 are allowed (state_bytes_max); keep less in the workflow's data and `$context`, pass references to large data, or raise the bound
    "#]],
    );
}

/// JSON is read back to a depth of 127, so what grows deeper must not get into the log.
#[test]
fn data_that_is_wrapped_again_and_again_faults_the_instance() {
    for wrap in ["set: { x: '${ . }' }", "fork: { branches: [{ only: { set: '${ . }' } }] }"] {
        let text = format!(
            "do: [{{ wrap: {{ {wrap} }} }}, {{ again: {{ switch: [{{ on: {{ then: wrap }} }}] }} }}]"
        );
        let transcript = Conversation::new(program(&text)).run("start");
        let end = transcript.lines().last().expect("it ends");
        assert!(
            end.contains("InstanceFaulted runtime") && end.contains("nested more than 120 deep"),
            "{end}"
        );
    }
}

#[test]
fn many_slow_expressions_in_a_row_are_too_many() {
    let mut conversation = Conversation::new(program(
        "do: [{ a: { for: { in: '[range(1000)]' }, do: [{ s: { set: { n: '${ reduce range(100000) as $i (0; . + 1) }' } } }] } }]",
    ));
    let out = conversation.run("start");
    let last = out.lines().last().unwrap_or_default();
    assert!(last.contains("with the others since the workflow last waited for something"), "{last}");
    // The next command begins anew.
    let mut conversation = Conversation::new(program(
        "do: [{ s: { set: { n: '${ reduce range(100000) as $i (0; . + 1) }' } } }]",
    ));
    assert!(conversation.run("start").contains("InstanceCompleted {\"n\":100000}"));
}
