//! Data on its way through a task, and what expressions see.

use expect_test::expect;

use crate::conversation::check;

#[test]
fn data_takes_its_turns_in_the_order_of_the_language() {
    check(
        "
input: { from: .wrapped }
do:
  - a:
      if: .go
      input: { from: '{ x: .n }' }
      set: { y: '${ .x + $input.x }' }
      output: { as: '{ z: .y, input: $input }' }
      export: { as: '{ kept: .z, output: $output.z, before: $context }' }
  - b: { set: { context: '${ $context }', data: '${ . }' } }
output: { as: '{ out: ., n: $input.n }' }
",
        r#"start {"wrapped": {"go": true, "n": 2}}"#,
        expect![[r#"
            > start {"wrapped": {"go": true, "n": 2}}
              InstanceStarted input {"go":true,"n":2}
              TaskRan in 0 /do/0/a -> {"z":4,"input":{"x":2}} context {"kept":4,"output":4,"before":null}
              TaskRan in 0 /do/1/b -> {"context":{"kept":4,"output":4,"before":null},"data":{"z":4,"input":{"x":2}}}
              InstanceCompleted {"out":{"context":{"kept":4,"output":4,"before":null},"data":{"z":4,"input":{"x":2}}},"n":2}
        "#]],
    );
}

#[test]
fn schemas_are_checked_at_their_turn() {
    let schema = "{ document: { type: object, required: [n] } }";
    check(
        &format!("input: {{ schema: {schema} }}\ndo: [{{ a: {{ set: '${{ 1 }}' }} }}]"),
        "start {}\nagain",
        expect![[r#"
        > start {}
          InstanceStarted
          InstanceFaulted validation 400 at /: input of the workflow: the value: "n" is a required property
        > again
          rejected: instance i exists already (faulted); a start is idempotent, nothing was done
    "#]],
    );
    check(
        &format!("do: [{{ a: {{ input: {{ schema: {schema}, from: '{{n: 1}}' }}, set: '${{ 1 }}' }} }}]"),
        "start {}",
        expect![[r#"
            > start {}
              InstanceStarted
              TaskFaulted /do/0/a validation 400 at /do/0/a: input: the value: "n" is a required property
              InstanceFaulted validation 400 at /do/0/a: input: the value: "n" is a required property
        "#]],
    );
    check(
        &format!("do: [{{ a: {{ call: f, output: {{ as: .r, schema: {schema} }} }} }}]"),
        "start\ncomplete 1.1 {\"r\": {}}",
        expect![[r#"
        > start
          InstanceStarted
          TaskStarted 1 in 0 /do/0/a Call f
          TaskDispatched 1.1
          => default: 1.1 f attempt 1 key i#/do/0/a null
        > complete 1.1 {"r": {}}
          TaskFaulted 1 /do/0/a validation 400 at /do/0/a: output: the value: "n" is a required property
          InstanceFaulted validation 400 at /do/0/a: output: the value: "n" is a required property
    "#]],
    );
    check(
        &format!("do: [{{ a: {{ set: '${{ 1 }}', export: {{ as: '{{}}', schema: {schema} }} }} }}]"),
        "start",
        expect![[r#"
        > start
          InstanceStarted
          TaskFaulted /do/0/a validation 400 at /do/0/a: export: the value: "n" is a required property
          InstanceFaulted validation 400 at /do/0/a: export: the value: "n" is a required property
    "#]],
    );
    check(
        &format!("do: [{{ a: {{ set: '${{ 1 }}' }} }}]\noutput: {{ schema: {schema} }}"),
        "start",
        expect![[r#"
        > start
          InstanceStarted
          TaskRan in 0 /do/0/a -> 1
          InstanceFaulted validation 400 at /: output of the workflow: the value: 1 is not of type "object"
    "#]],
    );
}

#[test]
fn an_expression_that_fails_faults_its_task() {
    check(
        "do: [{ a: { set: '${ .a.b }' } }]",
        r#"start {"a": 1}"#,
        expect![[r#"
        > start {"a": 1}
          InstanceStarted
          TaskFaulted /do/0/a expression 400 at /do/0/a: expression `.a.b`: cannot index 1 with "b"
          InstanceFaulted expression 400 at /do/0/a: expression `.a.b`: cannot index 1 with "b"
    "#]],
    );
    check(
        "do: [{ a: { if: .a, set: '${ 1 }' } }]",
        r#"start {"a": 1}"#,
        expect![[r#"
        > start {"a": 1}
          InstanceStarted
          TaskFaulted /do/0/a expression 400 at /do/0/a: expression `.a`: a condition must give true or false, this gave 1
          InstanceFaulted expression 400 at /do/0/a: expression `.a`: a condition must give true or false, this gave 1
    "#]],
    );
    check(
        "do: [{ a: { set: '${ 1 }', export: { as: '.b.c' }, output: { as: '{b: .}' } } }]",
        "start",
        expect![[r#"
        > start
          InstanceStarted
          TaskFaulted /do/0/a expression 400 at /do/0/a: expression `.b.c`: cannot index 1 with "c"
          InstanceFaulted expression 400 at /do/0/a: expression `.b.c`: cannot index 1 with "c"
    "#]],
    );
    check(
        "input: { from: .a.b }\ndo: [{ a: { set: '${ 1 }' } }]",
        r#"start {"a": 1}"#,
        expect![[r#"
        > start {"a": 1}
          InstanceStarted
          InstanceFaulted expression 400 at /: expression `.a.b`: cannot index 1 with "b"
    "#]],
    );
}

#[test]
fn descriptors_say_where_one_is() {
    check(
        "
do:
  - a:
      input: { from: .n }
      set: { task: '${ $task | del(.definition) }', workflow: '${ $workflow | del(.definition) }', runtime: '${ $runtime.name }' }
      output: { as: '{ in: ., raw: ($task.output == .), definitions: [$task.definition.set.runtime, $workflow.definition.do[0].a.input.from] }' }
",
        "wait 1500\nstart {\"n\": 1}",
        expect![[r#"
            > start {"n": 1}
              InstanceStarted
              TaskRan in 0 /do/0/a -> {"in":{"task":{"name":"a","reference":"/do/0/a","startedAt":{"iso8601":"1970-01-01T00:00:01.5Z","epoch":{"seconds":1,"milliseconds":1500}},"input":{"n":1},"output":null},"workflow":{"id":"i","startedAt":{"iso8601":"1970-01-01T00:00:01.5Z","epoch":{"seconds":1,"milliseconds":1500}},"input":{"n":1}},"runtime":"millrace"},"raw":true,"definitions":["${ $runtime.name }",".n"]}
              InstanceCompleted {"in":{"task":{"name":"a","reference":"/do/0/a","startedAt":{"iso8601":"1970-01-01T00:00:01.5Z","epoch":{"seconds":1,"milliseconds":1500}},"input":{"n":1},"output":null},"workflow":{"id":"i","startedAt":{"iso8601":"1970-01-01T00:00:01.5Z","epoch":{"seconds":1,"milliseconds":1500}},"input":{"n":1}},"runtime":"millrace"},"raw":true,"definitions":["${ $runtime.name }",".n"]}
        "#]],
    );
}

#[test]
fn now_is_the_time_of_the_record() {
    check(
        "do: [{ a: { set: '${ now }' } }]",
        "wait 1500\nstart",
        expect![[r#"
        > start
          InstanceStarted
          TaskRan in 0 /do/0/a -> 1.5
          InstanceCompleted 1.5
    "#]],
    );
}

#[test]
fn expressions_in_data_are_not_evaluated() {
    check(
        "do: [{ a: { set: { it: '${ . }' } } }]",
        r#"start "${ 1 + 1 }""#,
        expect![[r#"
        > start "${ 1 + 1 }"
          InstanceStarted
          TaskRan in 0 /do/0/a -> {"it":"${ 1 + 1 }"}
          InstanceCompleted {"it":"${ 1 + 1 }"}
    "#]],
    );
}

#[test]
fn an_emitted_event_is_the_output_and_names_the_step() {
    check(
        "
do:
  - loop:
      for: { in: '[1]' }
      do:
        - tell: { emit: { event: { with: { type: told, data: '${ $item }' } } } }
  - asYouLike:
      emit: { event: { with: { type: t, source: https://s, id: x, time: never, extra: 1 } } }
      metadata: { millrace: { topic: shop.events } }
",
        "wait 1000\nstart",
        expect![[r#"
            > start
              InstanceStarted
              TaskStarted 1 in 0 /do/0/loop Loop [1]
              TaskRan in 1 /do/0/loop/do/0/tell [0] -> {"specversion":"1.0","id":"i/do/0/loop/do/0/tell/0/1","source":"/test/flow/1.0.0","type":"told","time":"1970-01-01T00:00:01Z","data":1}
              TaskCompleted 1 -> {"specversion":"1.0","id":"i/do/0/loop/do/0/tell/0/1","source":"/test/flow/1.0.0","type":"told","time":"1970-01-01T00:00:01Z","data":1}
              TaskRan in 0 /do/1/asYouLike -> {"specversion":"1.0","id":"x","source":"https://s","type":"t","time":"never","extra":1}
              InstanceCompleted {"specversion":"1.0","id":"x","source":"https://s","type":"t","time":"never","extra":1}
              => emit to -: {"specversion":"1.0","id":"i/do/0/loop/do/0/tell/0/1","source":"/test/flow/1.0.0","type":"told","time":"1970-01-01T00:00:01Z","data":1}
              => emit to shop.events: {"specversion":"1.0","id":"x","source":"https://s","type":"t","time":"never","extra":1}
        "#]],
    );
}
