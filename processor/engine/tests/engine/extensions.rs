//! Functions and extensions of the definition.

use expect_test::expect;

use crate::conversation::check;

#[test]
fn a_function_of_the_definition_runs_with_the_arguments_as_its_input() {
    check(
        "
use:
  functions:
    double:
      input: { schema: { document: { type: object, required: [n] } } }
      set: { n: '${ .n * 2 }' }
    twice:
      do:
        - once: { call: double, with: { n: '${ .n }' } }
        - more: { call: worker-knows, with: { n: '${ .n }' } }
do:
  - a: { call: twice, with: { n: '${ .x + 1 }' }, output: { as: '{ n: ., given: $input }' } }
  - b: { call: double }
",
        "start {\"x\": 1}\ncomplete 4.1 5\ncomplete 9.1 6",
        expect![[r#"
            > start {"x": 1}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a Sequence input {"n":2}
              TaskStarted 2 in 1 /do/0/a/call/twice Sequence
              TaskStarted 3 in 2 /do/0/a/call/twice/do/0/once Sequence input {"n":2}
              TaskRan in 3 /do/0/a/call/twice/do/0/once/call/double -> {"n":4}
              TaskCompleted 3 -> {"n":4}
              TaskStarted 4 in 2 /do/0/a/call/twice/do/1/more Call worker-knows with {"n":4}
              TaskDispatched 4.1
              => default: 4.1 worker-knows attempt 1 key i#/do/0/a/call/twice/do/1/more {"n":4}
            > complete 4.1 5
              TaskCompleted 4 -> 5
              TaskCompleted 2 -> 5
              TaskCompleted 1 -> {"n":5,"given":{"n":2}}
              TaskStarted 5 in 0 /do/1/b Sequence
              TaskRan in 5 /do/1/b/call/double -> {"n":10}
              TaskCompleted 5 -> {"n":10}
              InstanceCompleted {"n":10}
            > complete 9.1 6
              rejected: instance i has ended (completed); a complete_task has no effect
        "#]],
    );
}

const LOG: &str = "
use:
  extensions:
    - log:
        extend: all
        when: $task.name != \"quiet\"
        before: [{ told: { emit: { event: { with: { type: before, data: '${ $task.reference }' } } } } }]
        after: [{ told: { call: log, with: { was: '${ . }', of: '${ $task.set }' } } }]
";

#[test]
fn what_an_extension_does_changes_nothing_for_the_task() {
    check(
        &format!(
            "{LOG}\ndo:\n  - a: {{ set: {{ x: '${{ .n + 1 }}' }}, export: {{ as: . }} }}\n  - quiet: {{ set: {{ y: '${{ .x }}' }} }}\n"
        ),
        "start {\"n\": 1}\ncomplete 3.1 null",
        expect![[r#"
            > start {"n": 1}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a/extensions/0 Sequence
              TaskRan in 1 /do/0/a/extensions/0/before/0/told -> {"specversion":"1.0","id":"i/do/0/a/extensions/0/before/0/told/1","source":"/test/flow/1.0.0","type":"before","time":"1970-01-01T00:00:00Z","data":"/do/0/a"}
              TaskRan in 1 /do/0/a -> {"x":2} context {"x":2}
              TaskStarted 2 in 1 /do/0/a/extensions/0/after Sequence
              TaskStarted 3 in 2 /do/0/a/extensions/0/after/0/told Call log with {"was":{"x":2},"of":{"x":"${ .n + 1 }"}}
              TaskDispatched 3.1
              => emit to -: {"specversion":"1.0","id":"i/do/0/a/extensions/0/before/0/told/1","source":"/test/flow/1.0.0","type":"before","time":"1970-01-01T00:00:00Z","data":"/do/0/a"}
              => default: 3.1 log attempt 1 key i#/do/0/a/extensions/0/after/0/told {"was":{"x":2},"of":{"x":"${ .n + 1 }"}}
            > complete 3.1 null
              TaskCompleted 3 -> null
              TaskCompleted 2 -> {"x":2}
              TaskCompleted 1 -> {"x":2}
              TaskRan in 0 /do/1/quiet -> {"y":2}
              InstanceCompleted {"y":2}
        "#]],
    );
}

#[test]
fn a_jump_of_a_task_is_made_when_its_extensions_are_done() {
    check(
        &format!(
            "{LOG}\ndo:\n  - pick: {{ switch: [{{ one: {{ when: .n == 1, then: quiet }} }}, {{ other: {{ then: exit }} }}] }}\n  - skipped: {{ set: {{ z: 1 }} }}\n  - quiet: {{ set: {{ y: 1 }}, then: end }}\n"
        ),
        "start {\"n\": 1}\nstate\ncomplete 3.1 null",
        expect![[r#"
            > start {"n": 1}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/pick/extensions/0 Sequence
              TaskRan in 1 /do/0/pick/extensions/0/before/0/told -> {"specversion":"1.0","id":"i/do/0/pick/extensions/0/before/0/told/1","source":"/test/flow/1.0.0","type":"before","time":"1970-01-01T00:00:00Z","data":"/do/0/pick"}
              TaskRan in 1 /do/0/pick -> {"n":1}
              TaskStarted 2 in 1 /do/0/pick/extensions/0/after Sequence then /do/2/quiet/extensions/0
              TaskStarted 3 in 2 /do/0/pick/extensions/0/after/0/told Call log with {"was":{"n":1},"of":null}
              TaskDispatched 3.1
              => emit to -: {"specversion":"1.0","id":"i/do/0/pick/extensions/0/before/0/told/1","source":"/test/flow/1.0.0","type":"before","time":"1970-01-01T00:00:00Z","data":"/do/0/pick"}
              => default: 3.1 log attempt 1 key i#/do/0/pick/extensions/0/after/0/told {"was":{"n":1},"of":null}
            = running context null
            =   0 /do [] attempt 1: Sequence { data: {"n":1}, jumps: 0 }
            =   1 /do/0/pick/extensions/0 [] attempt 1: Sequence { data: {"n":1}, jumps: 0 }
            =   2 /do/0/pick/extensions/0/after [] attempt 1: Sequence { data: {"n":1}, jumps: 0, then: Some("/do/2/quiet/extensions/0") }
            =   3 /do/0/pick/extensions/0/after/0/told [] attempt 1: Calling { queue: "default", function: "log", arguments: Some({"was":{"n":1},"of":null}), deadline: None, dispatch: 1 }
            > complete 3.1 null
              TaskCompleted 3 -> null
              TaskCompleted 2 -> {"n":1}
              TaskCompleted 1 -> {"n":1}
              TaskRan in 0 /do/2/quiet -> {"y":1}
              InstanceCompleted {"y":1}
        "#]],
    );
}

#[test]
fn an_extension_may_leave_in_place_of_the_task() {
    check(
        "
use:
  extensions:
    - mock:
        extend: call
        when: ($task.with.endpoint // \"\") | startswith(\"https://mocked\")
        before: [{ response: { set: { mocked: true }, then: exit } }]
        after: [{ never: { raise: { error: { type: 'https://a.b/c', status: 500 } } } }]
    - outer:
        extend: all
        after: [{ told: { emit: { event: { with: { type: after, data: '${ . }' } } } } }]
do:
  - a: { call: http, with: { method: get, endpoint: 'https://mocked.example' }, if: .go }
  - b: { call: http, with: { method: get, endpoint: 'https://real.example' }, if: .stop }
  - c:
      fork:
        branches:
          - left: { set: { l: 1 } }
          - right: { call: x, if: .stop }
",
        "start {\"go\": true}",
        expect![[r#"
            > start {"go": true}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a/extensions/0 Sequence
              TaskRan in 1 /do/0/a/extensions/0/before/0/response -> {"mocked":true}
              TaskCompleted 1 -> {"mocked":true}
              TaskStarted 2 in 0 /do/2/c/extensions/0 Sequence
              TaskStarted 3 in 2 /do/2/c Branches 2
              TaskStarted 4 in 3 /do/2/c/fork/branches/0/left/extensions/0 Sequence
              TaskRan in 4 /do/2/c/fork/branches/0/left -> {"l":1}
              TaskStarted 5 in 4 /do/2/c/fork/branches/0/left/extensions/0/after Sequence
              TaskRan in 5 /do/2/c/fork/branches/0/left/extensions/0/after/0/told -> {"specversion":"1.0","id":"i/do/2/c/fork/branches/0/left/extensions/0/after/0/told/7","source":"/test/flow/1.0.0","type":"after","time":"1970-01-01T00:00:00Z","data":{"l":1}}
              TaskCompleted 5 -> {"l":1}
              TaskCompleted 4 -> {"l":1}
              TaskRan in 3 /do/2/c/fork/branches/1/right/extensions/0
              TaskCompleted 3 -> [{"l":1},{"mocked":true}]
              TaskStarted 6 in 2 /do/2/c/extensions/0/after Sequence
              TaskRan in 6 /do/2/c/extensions/0/after/0/told -> {"specversion":"1.0","id":"i/do/2/c/extensions/0/after/0/told/10","source":"/test/flow/1.0.0","type":"after","time":"1970-01-01T00:00:00Z","data":[{"l":1},{"mocked":true}]}
              TaskCompleted 6 -> [{"l":1},{"mocked":true}]
              TaskCompleted 2 -> [{"l":1},{"mocked":true}]
              InstanceCompleted [{"l":1},{"mocked":true}]
              => emit to -: {"specversion":"1.0","id":"i/do/2/c/fork/branches/0/left/extensions/0/after/0/told/7","source":"/test/flow/1.0.0","type":"after","time":"1970-01-01T00:00:00Z","data":{"l":1}}
              => emit to -: {"specversion":"1.0","id":"i/do/2/c/extensions/0/after/0/told/10","source":"/test/flow/1.0.0","type":"after","time":"1970-01-01T00:00:00Z","data":[{"l":1},{"mocked":true}]}
        "#]],
    );
}

#[test]
fn the_error_of_an_extended_task_names_the_task_and_skips_what_comes_after() {
    check(
        &format!(
            "{LOG}\ndo:\n  - safe:\n      try: [{{ bad: {{ set: '${{ .x.y.z }}' }} }}]\n      catch: {{ as: it, do: [{{ quiet: {{ set: '${{ $it.instance }}' }} }}] }}\n"
        ),
        "start {\"x\": 1}\ncomplete 5.1 null",
        expect![[r#"
            > start {"x": 1}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/safe/extensions/0 Sequence
              TaskRan in 1 /do/0/safe/extensions/0/before/0/told -> {"specversion":"1.0","id":"i/do/0/safe/extensions/0/before/0/told/1","source":"/test/flow/1.0.0","type":"before","time":"1970-01-01T00:00:00Z","data":"/do/0/safe"}
              TaskStarted 2 in 1 /do/0/safe Trying input {"x":1}
              TaskStarted 3 in 2 /do/0/safe/try/0/bad/extensions/0 Sequence
              TaskRan in 3 /do/0/safe/try/0/bad/extensions/0/before/0/told -> {"specversion":"1.0","id":"i/do/0/safe/try/0/bad/extensions/0/before/0/told/4","source":"/test/flow/1.0.0","type":"before","time":"1970-01-01T00:00:00Z","data":"/do/0/safe/try/0/bad"}
              TaskFaulted /do/0/safe/try/0/bad expression 400 at /do/0/safe/try/0/bad: expression `.x.y.z`: cannot index 1 with "y"
              TaskFaulted 3 /do/0/safe/try/0/bad/extensions/0 expression 400 at /do/0/safe/try/0/bad: expression `.x.y.z`: cannot index 1 with "y"
              ErrorCaught 2 expression 400 at /do/0/safe/try/0/bad: expression `.x.y.z`: cannot index 1 with "y"
              TaskRan in 2 /do/0/safe/catch/do/0/quiet -> "/do/0/safe/try/0/bad"
              TaskCompleted 2 -> "/do/0/safe/try/0/bad"
              TaskStarted 4 in 1 /do/0/safe/extensions/0/after Sequence
              TaskStarted 5 in 4 /do/0/safe/extensions/0/after/0/told Call log with {"was":"/do/0/safe/try/0/bad","of":null}
              TaskDispatched 5.1
              => emit to -: {"specversion":"1.0","id":"i/do/0/safe/extensions/0/before/0/told/1","source":"/test/flow/1.0.0","type":"before","time":"1970-01-01T00:00:00Z","data":"/do/0/safe"}
              => emit to -: {"specversion":"1.0","id":"i/do/0/safe/try/0/bad/extensions/0/before/0/told/4","source":"/test/flow/1.0.0","type":"before","time":"1970-01-01T00:00:00Z","data":"/do/0/safe/try/0/bad"}
              => default: 5.1 log attempt 1 key i#/do/0/safe/extensions/0/after/0/told {"was":"/do/0/safe/try/0/bad","of":null}
            > complete 5.1 null
              TaskCompleted 5 -> null
              TaskCompleted 4 -> "/do/0/safe/try/0/bad"
              TaskCompleted 1 -> "/do/0/safe/try/0/bad"
              InstanceCompleted "/do/0/safe/try/0/bad"
        "#]],
    );
}

#[test]
fn an_extension_that_does_not_apply_stands_in_no_ones_way() {
    check(
        "
use:
  extensions:
    - outer: { extend: set, before: [{ logged: { call: log, with: { is: '${ $task.input }' } } }] }
    - inner: { extend: set, when: 'false', before: [{ never: { raise: { error: { type: 'https://a.b/c', status: 500 } } } }] }
do:
  - a: { set: { got: '${ . }', raw: '${ $task.input }' } }
",
        "start {\"n\": 5}\ncomplete 2.1 {\"logged\": true}",
        expect![[r#"
            > start {"n": 5}
              InstanceStarted
              TaskStarted 1 in 0 /do/0/a/extensions/0 Sequence
              TaskStarted 2 in 1 /do/0/a/extensions/0/before/0/logged Call log with {"is":{"n":5}}
              TaskDispatched 2.1
              => default: 2.1 log attempt 1 key i#/do/0/a/extensions/0/before/0/logged {"is":{"n":5}}
            > complete 2.1 {"logged": true}
              TaskCompleted 2 -> {"logged":true}
              TaskRan in 1 /do/0/a -> {"got":{"n":5},"raw":{"n":5}}
              TaskCompleted 1 -> {"got":{"n":5},"raw":{"n":5}}
              InstanceCompleted {"got":{"n":5},"raw":{"n":5}}
        "#]],
    );
}
