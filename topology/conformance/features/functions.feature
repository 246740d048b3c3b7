Feature: Functions
  A call of an entry of `use.functions` runs the task there: its input is the call's `with`, its output is the call's.

  Scenario: A function sets
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: functions-a-function-sets
      version: '1.0.0'
    use:
      functions:
        double:
          set: { n: '${ .n * 2 }' }
    do:
      - first: { call: double, with: { n: '${ .x + 1 }' } }
      - second: { call: double, with: { n: '${ .n + 100 }' } }
    """
    And given the workflow input is:
    """yaml
    x: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 208
    """
    And first should run before second

  Scenario: A function without arguments gets the input of its call
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: functions-a-function-without-arguments-gets-the-input-of-its-ca
      version: '1.0.0'
    use:
      functions:
        double:
          set: { n: '${ .n * 2 }' }
    do:
      - once: { call: double }
    """
    And given the workflow input is:
    """yaml
    n: 7
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 14
    """

  Scenario: A function sees the context and not what is around its call
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: functions-a-function-sees-the-context-and-not-what-is-around-it
      version: '1.0.0'
    use:
      functions:
        look:
          set: { given: '${ . }', context: '${ $context }', at: '${ $task.reference }' }
    do:
      - share: { set: { colour: red }, export: { as: . } }
      - ask: { call: look, with: { n: 1 } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    given: { n: 1 }
    context: { colour: red }
    at: /do/1/ask/call/look
    """

  Scenario: What a function exports is the context of what follows
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: functions-what-a-function-exports-is-the-context-of-what-follow
      version: '1.0.0'
    use:
      functions:
        share:
          set: { n: '${ .n + 1 }' }
          export: { as: '{ shared: .n }' }
    do:
      - tell: { call: share, with: { n: 41 } }
      - look: { set: '${ $context }' }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    shared: 42
    """

  Scenario: The input and the output of a call and of its function are shaped by each
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: functions-the-input-and-the-output-of-a-call-and-of-its-functio
      version: '1.0.0'
    use:
      functions:
        add:
          input: { from: '.a + .b' }
          set: { sum: '${ . }' }
          output: { as: '.sum * 10' }
    do:
      - ask:
          call: add
          input: { from: '.numbers' }
          with: { a: '${ .left }', b: '${ .right }' }
          output: { as: '{ result: ., given: $input }' }
    """
    And given the workflow input is:
    """yaml
    numbers: { left: 1, right: 2 }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    result: 30
    given: { a: 1, b: 2 }
    """

  Scenario: A function calls functions
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: functions-a-function-calls-functions
      version: '1.0.0'
    use:
      functions:
        double:
          set: { n: '${ .n * 2 }' }
        plus:
          set: { n: '${ .n + .by }' }
        formula:
          do:
            - twice: { call: double, with: { n: '${ .x }' } }
            - more: { call: plus, with: { n: '${ .n }', by: 1 } }
            - again: { call: double }
    do:
      - ask: { call: formula, with: { x: 5 } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 22
    """
    And ask should run first
    And twice should run before more
    And more should run before again
    And formula should complete

  Scenario: A function loops
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: functions-a-function-loops
      version: '1.0.0'
    use:
      functions:
        total:
          for: { each: it, in: .numbers }
          do:
            - add: { set: { numbers: '${ .numbers }', sum: '${ (.sum // 0) + $it }' } }
    do:
      - ask: { call: total, with: { numbers: '${ .given }' }, output: { as: '{ sum: .sum }' } }
    """
    And given the workflow input is:
    """yaml
    given: [1, 2, 3]
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    sum: 6
    """

  Scenario: A function within a loop is run in each round
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: functions-a-function-within-a-loop-is-run-in-each-round
      version: '1.0.0'
    use:
      functions:
        double:
          set: { n: '${ .n * 2 }' }
    do:
      - loop:
          for: { each: it, in: '[1, 2, 3]' }
          do:
            - ask: { call: double, with: { n: '${ $it }' }, output: { as: '{ got: (($input.got // []) + [.n]) }' }, export: { as: '{ all: (($context.all // []) + [.got[0]]) }' } }
      - look: { set: '${ $context }' }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    all: [2, 4, 6]
    """

  Scenario Outline: A function decides
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: functions-a-function-decides
      version: '1.0.0'
    use:
      functions:
        grade:
          do:
            - pick:
                switch:
                  - good: { when: .points >= 50, then: praise }
                  - bad: { then: blame }
            - praise: { set: { grade: good }, then: exit }
            - blame: { set: { grade: bad } }
    do:
      - ask: { call: grade, with: { points: <points> } }
      - wrap: { set: { was: '${ .grade }' } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    was: <grade>
    """

    Examples:
      | points | grade |
      | 80 | good |
      | 20 | bad |

  Scenario: Functions are branches
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: functions-functions-are-branches
      version: '1.0.0'
    use:
      functions:
        double:
          set: { n: '${ .n * 2 }' }
    do:
      - both:
          fork:
            branches:
              - left: { call: double, with: { n: 1 } }
              - right: { call: double, with: { n: 2 } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    - n: 2
    - n: 4
    """

  Scenario: A function waits and is done in its time
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: functions-a-function-waits-and-is-done-in-its-time
      version: '1.0.0'
    use:
      functions:
        pause:
          do:
            - slow: { wait: { milliseconds: 20 } }
            - tell: { set: { waited: true } }
    do:
      - ask: { call: pause }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    waited: true
    """
    And slow should complete

  Scenario: A function takes too long
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: functions-a-function-takes-too-long
      version: '1.0.0'
    use:
      functions:
        pause:
          wait: { minutes: 10 }
          timeout: { after: { milliseconds: 50 } }
    do:
      - ask: { call: pause }
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/timeout
    status: 408
    instance: /do/0/ask/call/pause
    """
    And ask should fault

  Scenario: A call of a function takes too long
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: functions-a-call-of-a-function-takes-too-long
      version: '1.0.0'
    use:
      functions:
        pause:
          do:
            - slow: { wait: { minutes: 10 } }
    do:
      - ask: { call: pause, timeout: { after: { milliseconds: 50 } } }
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/timeout
    status: 408
    instance: /do/0/ask
    """
    And slow should cancel
    And ask should fault

  Scenario: The input of a function breaks its schema
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: functions-the-input-of-a-function-breaks-its-schema
      version: '1.0.0'
    use:
      functions:
        double:
          input: { schema: { document: { type: object, required: [n] } } }
          set: { n: '${ .n * 2 }' }
    do:
      - ask: { call: double, with: { m: 1 } }
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/validation
    status: 400
    instance: /do/0/ask/call/double
    """
    And ask should fault

  Scenario: The output of a function breaks its schema
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: functions-the-output-of-a-function-breaks-its-schema
      version: '1.0.0'
    use:
      functions:
        double:
          set: { n: two }
          output: { schema: { document: { type: object, properties: { n: { type: number } } } } }
    do:
      - ask: { call: double }
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/validation
    status: 400
    instance: /do/0/ask/call/double
    """

  Scenario: The output of the call breaks the schema of the call
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: functions-the-output-of-the-call-breaks-the-schema-of-the-call
      version: '1.0.0'
    use:
      functions:
        double:
          set: { n: two }
    do:
      - ask: { call: double, output: { schema: { document: { type: object, properties: { n: { type: number } } } } } }
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/validation
    status: 400
    instance: /do/0/ask
    """
    And double should complete

  Scenario: The arguments of a call fail
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: functions-the-arguments-of-a-call-fail
      version: '1.0.0'
    use:
      functions:
        double:
          set: { n: 1 }
    do:
      - ask: { call: double, with: { n: '${ .x.y.z }' } }
    """
    And given the workflow input is:
    """yaml
    x: 1
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/expression
    status: 400
    instance: /do/0/ask
    """

  Scenario: A function within a function faults at its own place
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: functions-a-function-within-a-function-faults-at-its-own-place
      version: '1.0.0'
    use:
      functions:
        inner:
          do:
            - bad: { set: { n: '${ .x.y.z }' } }
        outer:
          do:
            - ask: { call: inner, with: { x: 1 } }
    do:
      - start: { call: outer }
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/expression
    status: 400
    instance: /do/0/start/call/outer/do/0/ask/call/inner/do/0/bad
    """
    And bad should fault
    And inner should fault
    And ask should fault
    And outer should fault
    And start should fault

  Scenario: The error of a function is caught where it is called
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: functions-the-error-of-a-function-is-caught-where-it-is-called
      version: '1.0.0'
    use:
      functions:
        refuse:
          raise: { error: { type: https://example.com/errors/refused, status: 403, title: Refused } }
    do:
      - safe:
          try:
            - ask: { call: refuse }
          catch:
            errors: { with: { type: https://example.com/errors/refused } }
            as: it
            do:
              - tell: { set: { title: '${ $it.title }', at: '${ $it.instance }' } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    title: Refused
    at: /do/0/safe/try/0/ask/call/refuse
    """
    And refuse should fault
    And ask should fault
    And safe should complete

  Scenario: A function catches for itself
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: functions-a-function-catches-for-itself
      version: '1.0.0'
    use:
      functions:
        safe:
          try:
            - bad: { raise: { error: { type: https://example.com/errors/refused, status: 403 } } }
          catch:
            do:
              - instead: { set: { caught: true } }
    do:
      - ask: { call: safe }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    caught: true
    """
    And bad should fault
    And safe should complete
    And ask should complete

  Scenario: A function is tried again
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: functions-a-function-is-tried-again
      version: '1.0.0'
    use:
      functions:
        third:
          do:
            - count: { set: { n: '${ ($context.n // 0) + 1 }' }, export: { as: . } }
            - check:
                switch:
                  - enough: { when: .n >= 3, then: exit }
                  - not: { then: fail }
            - fail: { raise: { error: { type: https://example.com/errors/soon, status: 503 } } }
    do:
      - safe:
          try:
            - ask: { call: third }
          catch:
            retry: { delay: { milliseconds: 10 }, limit: { attempt: { count: 5 } } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 3
    """

  Scenario: An end in a function ends the workflow
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: functions-an-end-in-a-function-ends-the-workflow
      version: '1.0.0'
    use:
      functions:
        stop:
          do:
            - last: { set: { ended: true }, then: end }
            - never: { set: { ended: false } }
    do:
      - ask: { call: stop }
      - after: { set: { ended: never } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    ended: true
    """

  Scenario: A function that is not run
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: functions-a-function-that-is-not-run
      version: '1.0.0'
    use:
      functions:
        double:
          set: { n: '${ .n * 2 }' }
          if: .n > 10
    do:
      - small: { call: double }
      - skipped: { call: double, with: { n: 100 }, if: .n > 10 }
    """
    And given the workflow input is:
    """yaml
    n: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 1
    """
