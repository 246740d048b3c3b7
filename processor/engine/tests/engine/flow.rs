//! From task to task: lists, jumps, conditions and loops.

use expect_test::expect;

use crate::conversation::check;

#[test]
fn set_replaces_the_data() {
    check(
        "
do:
  - a: { set: { n: '${ .n + 1 }', is: 'a' } }
  - b: { set: { n: '${ .n + 1 }' } }
",
        r#"start {"n": 1, "other": true}"#,
        expect![[r#"
            > start {"n": 1, "other": true}
              InstanceStarted
              TaskRan in 0 /do/0/a -> {"n":2,"is":"a"}
              TaskRan in 0 /do/1/b -> {"n":3}
              InstanceCompleted {"n":3}
        "#]],
    );
}

#[test]
fn a_switch_takes_the_first_case_that_holds_or_its_own_then() {
    let definition = "
do:
  - which:
      switch:
        - red: { when: '.color == \"red\"', then: setRed }
        - green: { when: '.color == \"green\"', then: exit }
      then: setOther
  - setRed: { set: { is: red }, then: end }
  - setOther: { set: { is: other } }
";
    check(
        definition,
        r#"start {"color": "red"}"#,
        expect![[r#"
        > start {"color": "red"}
          InstanceStarted
          TaskRan in 0 /do/0/which
          TaskRan in 0 /do/1/setRed -> {"is":"red"}
          InstanceCompleted {"is":"red"}
    "#]],
    );
    check(
        definition,
        r#"start {"color": "green"}"#,
        expect![[r#"
        > start {"color": "green"}
          InstanceStarted
          TaskRan in 0 /do/0/which
          InstanceCompleted {"color":"green"}
    "#]],
    );
    check(
        definition,
        r#"start {"color": "blue"}"#,
        expect![[r#"
        > start {"color": "blue"}
          InstanceStarted
          TaskRan in 0 /do/0/which
          TaskRan in 0 /do/2/setOther -> {"is":"other"}
          InstanceCompleted {"is":"other"}
    "#]],
    );
}

#[test]
fn a_default_case_has_no_condition() {
    check(
        "
do:
  - which: { switch: [{ one: { when: '.n == 1', then: exit } }, { otherwise: { then: last } }] }
  - skipped: { set: { is: skipped } }
  - last: { set: { is: last } }
",
        r#"start {"n": 2}"#,
        expect![[r#"
            > start {"n": 2}
              InstanceStarted
              TaskRan in 0 /do/0/which
              TaskRan in 0 /do/2/last -> {"is":"last"}
              InstanceCompleted {"is":"last"}
        "#]],
    );
}

#[test]
fn a_task_that_is_skipped_leaves_no_trace_and_has_no_then() {
    check(
        "
do:
  - a: { if: .yes, set: { is: a }, then: end }
  - b: { set: { is: b } }
",
        r#"start {"yes": false}"#,
        expect![[r#"
            > start {"yes": false}
              InstanceStarted
              TaskRan in 0 /do/1/b -> {"is":"b"}
              InstanceCompleted {"is":"b"}
        "#]],
    );
}

#[test]
fn a_jump_back_is_counted_in_the_iteration() {
    check(
        "
do:
  - add: { set: { n: '${ .n + 1 }' } }
  - enough: { switch: [{ no: { when: .n < 3, then: add } }], then: ask }
  - never: { set: '${ \"never\" }' }
  - ask: { call: ask }
",
        "start {\"n\": 0}",
        expect![[r#"
            > start {"n": 0}
              InstanceStarted
              TaskRan in 0 /do/0/add -> {"n":1}
              TaskRan in 0 /do/1/enough
              SequenceJumped 0
              TaskRan in 0 /do/0/add [~1] -> {"n":2}
              TaskRan in 0 /do/1/enough [~1]
              SequenceJumped 0
              TaskRan in 0 /do/0/add [~2] -> {"n":3}
              TaskRan in 0 /do/1/enough [~2]
              TaskStarted 1 in 0 /do/3/ask [~2] Call ask
              TaskDispatched 1.1
              => default: 1.1 ask attempt 1 key i#/do/3/ask#~2 {"n":3}
        "#]],
    );
}

#[test]
fn rounds_of_nested_lists_have_iterations_of_their_own() {
    // A jump in the loop's list, and one in the `do` in it, must not lead to the same key.
    check(
        "
do:
  - loop:
      for: { in: .items }
      do:
        - inner:
            do:
              - ask: { call: ask }
              - again: { switch: [{ yes: { when: .inner, then: ask } }] }
        - back: { switch: [{ yes: { when: .outer, then: inner } }] }
",
        r#"
start {"items": [1]}
complete 3.1 {"inner": true}
complete 4.1 {"outer": true}
complete 6.1 {"inner": true}
complete 7.1 {}
"#,
        expect![[r#"
            > start {"items": [1]}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/loop Loop [1]
              TaskStarted 2 in 1 /do/0/loop/do/0/inner [0] Sequence
              TaskStarted 3 in 2 /do/0/loop/do/0/inner/do/0/ask [0] Call ask
              TaskDispatched 3.1
              => default: 3.1 ask attempt 1 key i#/do/0/loop/do/0/inner/do/0/ask#0 {"items":[1]}
            > complete 3.1 {"inner": true}
              TaskCompleted 3 -> {"inner":true}
              TaskRan in 2 /do/0/loop/do/0/inner/do/1/again [0]
              SequenceJumped 2
              TaskStarted 4 in 2 /do/0/loop/do/0/inner/do/0/ask [0~1@2] Call ask
              TaskDispatched 4.1
              => default: 4.1 ask attempt 1 key i#/do/0/loop/do/0/inner/do/0/ask#0~1@2 {"inner":true}
            > complete 4.1 {"outer": true}
              TaskCompleted 4 -> {"outer":true}
              TaskRan in 2 /do/0/loop/do/0/inner/do/1/again [0~1@2]
              TaskCompleted 2 -> {"outer":true}
              TaskRan in 1 /do/0/loop/do/1/back [0]
              SequenceJumped 1
              TaskStarted 5 in 1 /do/0/loop/do/0/inner [0~1@1] Sequence
              TaskStarted 6 in 5 /do/0/loop/do/0/inner/do/0/ask [0~1@1] Call ask
              TaskDispatched 6.1
              => default: 6.1 ask attempt 1 key i#/do/0/loop/do/0/inner/do/0/ask#0~1@1 {"outer":true}
            > complete 6.1 {"inner": true}
              TaskCompleted 6 -> {"inner":true}
              TaskRan in 5 /do/0/loop/do/0/inner/do/1/again [0~1@1]
              SequenceJumped 5
              TaskStarted 7 in 5 /do/0/loop/do/0/inner/do/0/ask [0~1@1~1@2] Call ask
              TaskDispatched 7.1
              => default: 7.1 ask attempt 1 key i#/do/0/loop/do/0/inner/do/0/ask#0~1@1~1@2 {"inner":true}
            > complete 7.1 {}
              TaskCompleted 7 -> {}
              TaskRan in 5 /do/0/loop/do/0/inner/do/1/again [0~1@1~1@2]
              TaskCompleted 5 -> {}
              TaskRan in 1 /do/0/loop/do/1/back [0~1@1]
              TaskCompleted 1 -> {}
              InstanceCompleted {}
        "#]],
    );
}

#[test]
fn a_loop_hands_its_data_from_round_to_round() {
    check(
        "
do:
  - colors:
      for: { each: color, at: i, in: .colors }
      do:
        - mark: { set: { seen: '${ (.seen // []) + [$color, $i] }' } }
",
        r#"start {"colors": ["red", "green"]}"#,
        expect![[r#"
            > start {"colors": ["red", "green"]}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/colors Loop ["red","green"]
              TaskRan in 1 /do/0/colors/do/0/mark [0] -> {"seen":["red",0]}
              IterationStarted 1 [1]
              TaskRan in 1 /do/0/colors/do/0/mark [1] -> {"seen":["red",0,"green",1]}
              TaskCompleted 1 -> {"seen":["red",0,"green",1]}
              InstanceCompleted {"seen":["red",0,"green",1]}
        "#]],
    );
}

#[test]
fn a_loop_goes_on_while_its_condition_holds() {
    let definition = "
do:
  - loop:
      for: { in: '[1, 2, 3]' }
      while: '. != $item - 1 | not'
      do:
        - step: { set: '${ if $item == 2 then 9 else . + 1 end }' }
";
    check(
        definition,
        "start 0",
        expect![[r#"
        > start 0
          InstanceStarted
          TaskStarted 1 in 0 /do/0/loop Loop [1,2,3]
          TaskRan in 1 /do/0/loop/do/0/step [0] -> 1
          IterationStarted 1 [1]
          TaskRan in 1 /do/0/loop/do/0/step [1] -> 9
          TaskCompleted 1 -> 9
          InstanceCompleted 9
    "#]],
    );
    check(
        definition,
        "start 5",
        expect![[r#"
        > start 5
          InstanceStarted
          TaskStarted 1 in 0 /do/0/loop Loop [1,2,3]
          TaskCompleted 1 -> 5
          InstanceCompleted 5
    "#]],
    );
}

#[test]
fn exit_ends_the_loop_and_nothing_else() {
    check(
        "
do:
  - loop:
      for: { in: '[1, 2, 3]' }
      do:
        - stop: { switch: [{ now: { when: $item == 2, then: exit } }] }
        - step: { set: '${ $item }' }
  - after: { set: { last: '${ . }' } }
",
        "start",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/loop Loop [1,2,3]
              TaskRan in 1 /do/0/loop/do/0/stop [0]
              TaskRan in 1 /do/0/loop/do/1/step [0] -> 1
              IterationStarted 1 [1]
              TaskRan in 1 /do/0/loop/do/0/stop [1]
              TaskCompleted 1 -> 1
              TaskRan in 0 /do/1/after -> {"last":1}
              InstanceCompleted {"last":1}
        "#]],
    );
}

#[test]
fn what_is_looped_over_must_be_an_array() {
    check(
        "do: [{ loop: { for: { in: .n }, do: [{ a: { set: '${ 1 }' } }] } }]",
        r#"start {"n": 3}"#,
        expect![[r#"
        > start {"n": 3}
          InstanceStarted
          TaskFaulted /do/0/loop expression 400 at /do/0/loop: `for.in` must give an array, and gave a number
          InstanceFaulted expression 400 at /do/0/loop: `for.in` must give an array, and gave a number
    "#]],
    );
}

#[test]
fn end_completes_the_workflow_from_any_depth() {
    check(
        "
do:
  - both:
      fork:
        branches:
          - slow: { call: slow }
          - fast: { do: [{ loop: { for: { in: '[1]' }, do: [{ done: { set: '${ \"done\" }', then: end } }] } }] }
  - never: { set: '${ \"never\" }' }
output: { as: '{ result: . }' }
",
        "start\ncomplete 2.1",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/both Branches 2
              TaskStarted 2 in 1 /do/0/both/fork/branches/0/slow Call slow
              TaskDispatched 2.1
              TaskStarted 3 in 1 /do/0/both/fork/branches/1/fast Sequence
              TaskStarted 4 in 3 /do/0/both/fork/branches/1/fast/do/0/loop Loop [1]
              TaskRan in 4 /do/0/both/fork/branches/1/fast/do/0/loop/do/0/done [0] -> "done"
              InstanceCompleted {"result":"done"}
            > complete 2.1
              rejected: instance i has ended (completed); a complete_task has no effect
        "#]],
    );
}

#[test]
fn an_empty_list_gives_its_input() {
    check(
        "do: [{ nothing: { do: [] } }]",
        "start 5",
        expect![[r#"
        > start 5
          InstanceStarted
          TaskRan in 0 /do/0/nothing
          InstanceCompleted 5
    "#]],
    );
}

#[test]
fn a_long_list_needs_no_stack() {
    let tasks: Vec<_> = (0..5_000).map(|i| format!("  - t{i}: {{ set: {{ n: {i} }} }}\n")).collect();
    let mut conversation = crate::conversation::Conversation::new(crate::conversation::program(&format!(
        "do:\n{}",
        tasks.concat()
    )));
    let out = conversation.run("start");
    assert!(out.ends_with("InstanceCompleted {\"n\":4999}\n"));
}
