Feature: Extensions
  What comes before and after each task of a kind. What an extension computes changes nothing else.

  Scenario: Tasks before and after
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: extensions-tasks-before-and-after
      version: '1.0.0'
    use:
      extensions:
        - log:
            extend: set
            before:
              - begins: { emit: { event: { with: { source: https://example.com, type: com.example.begins, data: { task: '${ $task.name }' } } } } }
            after:
              - ended: { emit: { event: { with: { source: https://example.com, type: com.example.ended, data: '${ . }' } } } }
    do:
      - first: { set: { n: '${ .n + 1 }' } }
    """
    And given the workflow input is:
    """yaml
    n: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 2
    """
    And begins should run first
    And begins should run before first
    And ended should run after first
    And ended should run last
    And begins should complete
    And ended should complete

  Scenario: What an extension sets stays in it
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: extensions-what-an-extension-sets-stays-in-it
      version: '1.0.0'
    use:
      extensions:
        - noise:
            extend: set
            before:
              - loud: { set: { noise: true, n: 100 } }
            after:
              - louder: { set: { noise: more } }
    do:
      - first: { set: { n: '${ .n + 1 }' } }
      - second: { set: { n: '${ .n * 10 }' } }
    """
    And given the workflow input is:
    """yaml
    n: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 20
    """

  Scenario Outline: Only tasks of the kind are extended
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: extensions-only-tasks-of-the-kind-are-extended
      version: '1.0.0'
    use:
      extensions:
        - mark:
            extend: <kind>
            before:
              - share: { set: { by: '${ $task.name }' }, export: { as: '{ seen: (($context.seen // []) + [$task.name]) }' } }
    do:
      - prepare: { set: { n: 1 } }
      - pause: { wait: { milliseconds: 1 } }
      - list:
          do:
            - inner: { set: { n: 2 } }
      - look: { emit: { event: { with: { source: https://example.com, type: com.example.seen } } }, output: { as: '$context' } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    <seen>
    """

    Examples:
      | kind | seen |
      | set | seen: [prepare, inner] |
      | wait | seen: [pause] |
      | composite | seen: [list] |
      | all | seen: [prepare, pause, list, inner, look] |
      | raise | null |

  Scenario: A condition decides
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: extensions-a-condition-decides
      version: '1.0.0'
    use:
      extensions:
        - mark:
            extend: set
            when: $task.name != "quiet"
            after:
              - told: { set: { x: 1 }, export: { as: '{ told: (($context.told // []) + [$task.name]) }' } }
    do:
      - loud: { set: { n: 1 } }
      - quiet: { set: { n: 2 } }
      - last: { set: { n: 3 } }
      - look: { wait: { milliseconds: 1 }, output: { as: '$context' } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    told: [loud, last]
    """

  Scenario: A mock stands in for a task
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: extensions-a-mock-stands-in-for-a-task
      version: '1.0.0'
    use:
      extensions:
        - mock:
            extend: call
            when: ($task.with.endpoint // "") | startswith("https://mocked.example")
            before:
              - response: { set: { mocked: true, name: Milou }, then: exit }
            after:
              - never: { raise: { error: { type: https://example.com/errors/never, status: 500 } } }
    do:
      - ask: { call: http, with: { method: get, endpoint: 'https://mocked.example/pets' } }
      - tell: { set: { name: '${ .name }', mocked: '${ .mocked }' } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    name: Milou
    mocked: true
    """
    And response should run first
    And tell should run last

  Scenario Outline: A mock for some
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: extensions-a-mock-for-some
      version: '1.0.0'
    use:
      extensions:
        - mock:
            extend: set
            before:
              - pick:
                  switch:
                    - known: { when: .n == 1, then: instead }
                    - other: { then: done }
              - instead: { set: { n: mocked }, then: exit }
              - done: { set: { unseen: true } }
    do:
      - real: { set: { n: '${ .n * 2 }' } }
    """
    And given the workflow input is:
    """yaml
    n: <n>
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: <result>
    """

    Examples:
      | n | result |
      | 1 | mocked |
      | 4 | 8 |

  Scenario: Several extensions are around one another
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: extensions-several-extensions-are-around-one-another
      version: '1.0.0'
    use:
      extensions:
        - outer:
            extend: all
            when: $task.name == "it"
            before:
              - one: { set: { x: 1 } }
            after:
              - five: { set: { x: 5 } }
        - inner:
            extend: set
            when: $task.name == "it"
            before:
              - two: { set: { x: 2 } }
            after:
              - four: { set: { x: 4 } }
    do:
      - it: { set: { n: 3 } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 3
    """
    And one should run first
    And one should run before two
    And two should run before it
    And it should run before four
    And four should run before five
    And five should run last

  Scenario: A jump is made when the extension is done
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: extensions-a-jump-is-made-when-the-extension-is-done
      version: '1.0.0'
    use:
      extensions:
        - mark:
            extend: switch
            before:
              - ahead: { set: { x: 1 } }
            after:
              - behind: { set: { x: 2 }, export: { as: '{ behind: . }' } }
    do:
      - pick:
          switch:
            - one: { when: .n == 1, then: right }
            - other: { then: end }
      - wrong: { set: { taken: wrong } }
      - right: { set: { taken: right, context: '${ $context }' } }
    """
    And given the workflow input is:
    """yaml
    n: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    taken: right
    context: { behind: { x: 2 } }
    """
    And ahead should run before pick
    And pick should run before behind
    And behind should run before right

  Scenario: A jump comes to what is before its target
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: extensions-a-jump-comes-to-what-is-before-its-target
      version: '1.0.0'
    use:
      extensions:
        - mark:
            extend: set
            before:
              - ahead: { emit: { event: { with: { source: https://example.com, type: com.example.ahead } } } }
    do:
      - go: { wait: { milliseconds: 1 }, then: target }
      - wrong: { wait: { minutes: 10 } }
      - target: { set: { n: 1 } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 1
    """
    And go should run before ahead
    And ahead should run before target
    And ahead should complete

  Scenario: An end comes after what is after it
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: extensions-an-end-comes-after-what-is-after-it
      version: '1.0.0'
    use:
      extensions:
        - mark:
            extend: set
            after:
              - behind: { wait: { milliseconds: 1 } }
    do:
      - last: { set: { n: 1 }, then: end }
      - never: { wait: { minutes: 10 } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 1
    """
    And behind should run last
    And behind should complete

  Scenario: Branches are extended each
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: extensions-branches-are-extended-each
      version: '1.0.0'
    use:
      extensions:
        - mark:
            extend: set
            after:
              - behind: { wait: { milliseconds: 1 } }
    do:
      - both:
          fork:
            branches:
              - left: { set: { n: 1 } }
              - right: { set: { n: 2 } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    - n: 1
    - n: 2
    """
    And both should complete
    And left should complete
    And right should complete

  Scenario: A fork is composite
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: extensions-a-fork-is-composite
      version: '1.0.0'
    use:
      extensions:
        - mark:
            extend: composite
            before:
              - ahead: { set: { x: 1 } }
            after:
              - behind: { set: { x: 2 } }
    do:
      - both:
          fork:
            branches:
              - left: { set: { n: 1 } }
              - right: { set: { n: 2 } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    - n: 1
    - n: 2
    """
    And ahead should run first
    And behind should run last

  Scenario: Tasks in a loop are extended in each round
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: extensions-tasks-in-a-loop-are-extended-in-each-round
      version: '1.0.0'
    use:
      extensions:
        - count:
            extend: set
            after:
              - add: { wait: { milliseconds: 1 }, export: { as: '{ count: (($context.count // 0) + 1) }' } }
    do:
      - loop:
          for: { each: it, in: '[1, 2, 3]' }
          do:
            - round: { set: { last: '${ $it }' } }
      - look: { wait: { milliseconds: 1 }, output: { as: '{ last: .last, count: $context.count }' } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    last: 3
    count: 3
    """

  Scenario: Tasks of a function are extended where it is called
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: extensions-tasks-of-a-function-are-extended-where-it-is-called
      version: '1.0.0'
    use:
      functions:
        double:
          set: { n: '${ .n * 2 }' }
      extensions:
        - count:
            extend: set
            after:
              - add: { wait: { milliseconds: 1 }, export: { as: '{ at: $task.reference }' } }
    do:
      - ask: { call: double }
      - look: { wait: { milliseconds: 1 }, output: { as: '{ n: .n, at: $context.at }' } }
    """
    And given the workflow input is:
    """yaml
    n: 2
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 4
    at: /do/0/ask/call/double
    """

  Scenario: A task that is not run is not extended
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: extensions-a-task-that-is-not-run-is-not-extended
      version: '1.0.0'
    use:
      extensions:
        - mark:
            extend: set
            before:
              - ahead: { raise: { error: { type: https://example.com/errors/never, status: 500 } } }
    do:
      - skipped: { set: { n: 2 }, if: .n > 10 }
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

  Scenario: A task before faults
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: extensions-a-task-before-faults
      version: '1.0.0'
    use:
      extensions:
        - check:
            extend: set
            before:
              - bad: { set: { x: '${ .n.y.z }' } }
    do:
      - first: { set: { n: 2 } }
    """
    And given the workflow input is:
    """yaml
    n: 1
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/expression
    status: 400
    instance: /do/0/first/extensions/0/before/0/bad
    """
    And bad should fault

  Scenario: A task after faults
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: extensions-a-task-after-faults
      version: '1.0.0'
    use:
      extensions:
        - check:
            extend: set
            after:
              - bad: { raise: { error: { type: https://example.com/errors/late, status: 418 } } }
    do:
      - first: { set: { n: 2 } }
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://example.com/errors/late
    status: 418
    instance: /do/0/first/extensions/0/after/0/bad
    """
    And first should complete
    And bad should fault

  Scenario: The condition fails
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: extensions-the-condition-fails
      version: '1.0.0'
    use:
      extensions:
        - check:
            extend: set
            when: .n.y.z
            before:
              - ahead: { set: { x: 1 } }
    do:
      - first: { set: { n: 2 } }
    """
    And given the workflow input is:
    """yaml
    n: 1
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/expression
    status: 400
    instance: /do/0/first/extensions/0
    """

  Scenario: An extended task faults at its own place
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: extensions-an-extended-task-faults-at-its-own-place
      version: '1.0.0'
    use:
      extensions:
        - mark:
            extend: set
            before:
              - ahead: { wait: { milliseconds: 1 } }
            after:
              - behind: { wait: { minutes: 10 } }
    do:
      - safe:
          try:
            - bad: { set: { n: '${ .n.y.z }' } }
          catch:
            as: it
            do:
              - tell: { wait: { milliseconds: 1 }, output: { as: '{ at: $it.instance }' } }
    """
    And given the workflow input is:
    """yaml
    n: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    at: /do/0/safe/try/0/bad
    """
    And bad should fault
    And safe should complete
    And tell should complete

  Scenario: The input of an extended task breaks its schema
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: extensions-the-input-of-an-extended-task-breaks-its-schema
      version: '1.0.0'
    use:
      extensions:
        - mark:
            extend: set
            before:
              - ahead: { set: { n: text } }
    do:
      - first:
          input: { schema: { document: { type: object, properties: { n: { type: string } } } } }
          set: { n: 1 }
    """
    And given the workflow input is:
    """yaml
    n: 1
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/validation
    status: 400
    instance: /do/0/first
    """
    And first should fault

  Scenario: An extended task takes too long
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: extensions-an-extended-task-takes-too-long
      version: '1.0.0'
    use:
      extensions:
        - mark:
            extend: wait
            before:
              - ahead: { set: { x: 1 } }
    do:
      - slow: { wait: { minutes: 10 }, timeout: { after: { milliseconds: 50 } } }
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/timeout
    status: 408
    instance: /do/0/slow
    """
    And ahead should complete
    And slow should fault

  Scenario: A retry comes to the extension again
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: extensions-a-retry-comes-to-the-extension-again
      version: '1.0.0'
    use:
      extensions:
        - count:
            extend: raise
            before:
              - add: { wait: { milliseconds: 1 }, export: { as: '{ count: (($context.count // 0) + 1) }' } }
    do:
      - safe:
          try:
            - bad: { raise: { error: { type: https://example.com/errors/soon, status: 503 } } }
          catch:
            retry: { delay: { milliseconds: 10 }, limit: { attempt: { count: 2 } } }
            do:
              - tell: { set: { count: '${ $context.count }' } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    count: 3
    """
