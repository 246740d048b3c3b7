Feature: Child workflows
  `run: workflow`: another instance, whose output is the task's. A scenario has one definition, so each workflow here runs itself.

  Scenario: A countdown
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: children-a-countdown
      version: '1.0.0'
    do:
      - check:
          switch:
            - more: { when: .n > 0, then: next }
            - over: { then: done }
      - next: { run: { workflow: { namespace: millrace, name: children-a-countdown, version: '1.0.0', input: { n: '${ .n - 1 }' } } }, then: count }
      - done: { set: { rounds: 0 }, then: end }
      - count: { set: { rounds: '${ .rounds + 1 }' } }
    """
    And given the workflow input is:
    """yaml
    n: 3
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    rounds: 3
    """
    And next should complete with output:
    """yaml
    rounds: 2
    """

  Scenario: A factorial
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: children-a-factorial
      version: '1.0.0'
    do:
      - check:
          switch:
            - small: { when: .n <= 1, then: one }
            - other: { then: below }
      - one: { set: { result: 1 }, then: end }
      - below:
          run: { workflow: { namespace: millrace, name: children-a-factorial, version: latest, input: { n: '${ .n - 1 }' } } }
          output: { as: '{ n: $context.n, below: .result }' }
          export: { as: . }
      - times: { set: { result: '${ .below * $workflow.input.n }' } }
    """
    And given the workflow input is:
    """yaml
    n: 4
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    result: 24
    """
    And below should run before times

  Scenario: A child without input gets none
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: children-a-child-without-input-gets-none
      version: '1.0.0'
    do:
      - check:
          switch:
            - parent: { when: .parent == true, then: ask }
            - child: { then: answer }
      - answer: { set: { given: '${ $workflow.input }' }, then: end }
      - ask: { run: { workflow: { namespace: millrace, name: children-a-child-without-input-gets-none, version: latest } } }
    """
    And given the workflow input is:
    """yaml
    parent: true
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    given: {}
    """
    And ask should complete

  Scenario: The output of a child is shaped
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: children-the-output-of-a-child-is-shaped
      version: '1.0.0'
    do:
      - check:
          switch:
            - parent: { when: .role == "parent", then: ask }
            - child: { then: answer }
      - answer: { set: { n: '${ .n * 2 }' }, then: end }
      - ask:
          input: { from: .inner }
          run: { workflow: { namespace: millrace, name: children-the-output-of-a-child-is-shaped, version: latest, input: { n: '${ .value }' } } }
          output: { as: '{ doubled: .n }' }
    """
    And given the workflow input is:
    """yaml
    role: parent
    inner: { value: 21 }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    doubled: 42
    """

  Scenario: Children side by side
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: children-children-side-by-side
      version: '1.0.0'
    do:
      - check:
          switch:
            - parent: { when: .role == "parent", then: both }
            - child: { then: answer }
      - answer: { set: { n: '${ .n * 10 }' }, then: end }
      - both:
          fork:
            branches:
              - left: { run: { workflow: { namespace: millrace, name: children-children-side-by-side, version: latest, input: { n: 1 } } } }
              - right: { run: { workflow: { namespace: millrace, name: children-children-side-by-side, version: latest, input: { n: 2 } } } }
    """
    And given the workflow input is:
    """yaml
    role: parent
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    - n: 10
    - n: 20
    """
    And left should complete
    And right should complete

  Scenario: Children one after the other
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: children-children-one-after-the-other
      version: '1.0.0'
    do:
      - check:
          switch:
            - parent: { when: .role == "parent", then: loop }
            - child: { then: answer }
      - answer: { set: { n: '${ .n * 10 }' }, then: end }
      - loop:
          for: { each: it, in: '[1, 2, 3]' }
          do:
            - ask:
                run: { workflow: { namespace: millrace, name: children-children-one-after-the-other, version: latest, input: { n: '${ $it }' } } }
                export: { as: '{ all: (($context.all // []) + [.n]) }' }
      - look: { set: '${ $context }' }
    """
    And given the workflow input is:
    """yaml
    role: parent
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    all: [10, 20, 30]
    """

  Scenario: Nobody waits for a child that is not awaited
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: children-nobody-waits-for-a-child-that-is-not-awaited
      version: '1.0.0'
    do:
      - check:
          switch:
            - parent: { when: .role == "parent", then: ask }
            - child: { then: slow }
      - slow: { wait: { minutes: 10 }, then: end }
      - ask: { run: { workflow: { namespace: millrace, name: children-nobody-waits-for-a-child-that-is-not-awaited, version: latest, input: { role: child } }, await: false } }
      - tell: { set: { role: '${ .role }', gone: on } }
    """
    And given the workflow input is:
    """yaml
    role: parent
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    role: parent
    gone: on
    """
    And ask should complete with output:
    """yaml
    role: parent
    """

  Scenario: The error of a child is passed on
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: children-the-error-of-a-child-is-passed-on
      version: '1.0.0'
    do:
      - check:
          switch:
            - parent: { when: .role == "parent", then: ask }
            - child: { then: refuse }
      - refuse: { raise: { error: { type: https://example.com/errors/refused, status: 403, title: Refused, detail: not today } } }
      - ask: { run: { workflow: { namespace: millrace, name: children-the-error-of-a-child-is-passed-on, version: latest, input: { role: child } } } }
    """
    And given the workflow input is:
    """yaml
    role: parent
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://example.com/errors/refused
    status: 403
    title: Refused
    detail: not today
    instance: /do/2/ask
    """
    And ask should fault

  Scenario: The error of a child is caught
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: children-the-error-of-a-child-is-caught
      version: '1.0.0'
    do:
      - check:
          switch:
            - parent: { when: .role == "parent", then: safe }
            - child: { then: refuse }
      - refuse: { raise: { error: { type: https://example.com/errors/refused, status: 403, title: Refused } } }
      - safe:
          try:
            - ask: { run: { workflow: { namespace: millrace, name: children-the-error-of-a-child-is-caught, version: latest, input: { role: child } } } }
          catch:
            errors: { with: { type: https://example.com/errors/refused } }
            as: it
            do:
              - tell: { set: { title: '${ $it.title }', at: '${ $it.instance }' } }
    """
    And given the workflow input is:
    """yaml
    role: parent
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    title: Refused
    at: /do/2/safe/try/0/ask
    """
    And ask should fault
    And safe should complete

  Scenario: A child that fails is tried again as another one
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: children-a-child-that-fails-is-tried-again-as-another-one
      version: '1.0.0'
    do:
      - check:
          switch:
            - parent: { when: .role == "parent", then: safe }
            - early: { when: .attempt < 3, then: refuse }
            - late: { then: answer }
      - refuse: { raise: { error: { type: https://example.com/errors/soon, status: 503 } } }
      - answer: { set: { attempt: '${ .attempt }' }, then: end }
      - safe:
          try:
            - count: { set: { attempt: '${ ($context.attempt // 0) + 1 }' }, export: { as: . } }
            - ask: { run: { workflow: { namespace: millrace, name: children-a-child-that-fails-is-tried-again-as-another-one, version: latest, input: { role: child, attempt: '${ .attempt }' } } } }
          catch:
            retry: { delay: { milliseconds: 10 }, limit: { attempt: { count: 5 } } }
    """
    And given the workflow input is:
    """yaml
    role: parent
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    attempt: 3
    """

  Scenario: A child whose input breaks its schema
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: children-a-child-whose-input-breaks-its-schema
      version: '1.0.0'
    input: { schema: { document: { type: object, required: [role] } } }
    do:
      - ask: { run: { workflow: { namespace: millrace, name: children-a-child-whose-input-breaks-its-schema, version: latest, input: { other: 1 } } } }
    """
    And given the workflow input is:
    """yaml
    role: parent
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/validation
    status: 400
    instance: /do/0/ask
    """
    And ask should fault

  Scenario: The input of a child fails
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: children-the-input-of-a-child-fails
      version: '1.0.0'
    do:
      - ask: { run: { workflow: { namespace: millrace, name: children-the-input-of-a-child-fails, version: latest, input: { n: '${ .x.y.z }' } } } }
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

  Scenario: A child of a workflow that is not there
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: children-a-child-of-a-workflow-that-is-not-there
      version: '1.0.0'
    do:
      - ask: { run: { workflow: { namespace: millrace, name: nobody-has-deployed-this, version: '1.0.0' } } }
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/configuration
    status: 400
    instance: /do/0/ask
    """
    And ask should fault

  Scenario: A child that takes too long
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: children-a-child-that-takes-too-long
      version: '1.0.0'
    do:
      - check:
          switch:
            - parent: { when: .role == "parent", then: ask }
            - child: { then: slow }
      - slow: { wait: { minutes: 10 }, then: end }
      - ask:
          run: { workflow: { namespace: millrace, name: children-a-child-that-takes-too-long, version: latest, input: { role: child } } }
          timeout: { after: { milliseconds: 100 } }
    """
    And given the workflow input is:
    """yaml
    role: parent
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/timeout
    status: 408
    instance: /do/2/ask
    """
    And ask should fault

  Scenario: A child ends with its own timeout
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: children-a-child-ends-with-its-own-timeout
      version: '1.0.0'
    timeout: { after: '${ if .role == "parent" then "PT10M" else "PT0.1S" end }' }
    do:
      - check:
          switch:
            - parent: { when: .role == "parent", then: ask }
            - child: { then: slow }
      - slow: { wait: { minutes: 10 }, then: end }
      - ask: { run: { workflow: { namespace: millrace, name: children-a-child-ends-with-its-own-timeout, version: latest, input: { role: child } } } }
    """
    And given the workflow input is:
    """yaml
    role: parent
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/timeout
    status: 408
    instance: /do/2/ask
    """

  Scenario: A child that loses a race
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: children-a-child-that-loses-a-race
      version: '1.0.0'
    do:
      - check:
          switch:
            - parent: { when: .role == "parent", then: race }
            - child: { then: slow }
      - slow: { wait: { minutes: 10 }, then: end }
      - race:
          fork:
            compete: true
            branches:
              - child: { run: { workflow: { namespace: millrace, name: children-a-child-that-loses-a-race, version: latest, input: { role: child } } } }
              - quick: { wait: { milliseconds: 100 }, output: { as: '"quick"' } }
    """
    And given the workflow input is:
    """yaml
    role: parent
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    quick
    """
    And child should cancel
    And quick should complete

  Scenario: A grandchild that faults
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: children-a-grandchild-that-faults
      version: '1.0.0'
    do:
      - check:
          switch:
            - more: { when: .n > 0, then: next }
            - over: { then: bad }
      - next: { run: { workflow: { namespace: millrace, name: children-a-grandchild-that-faults, version: latest, input: { n: '${ .n - 1 }' } } }, then: end }
      - bad: { set: { m: '${ .n.y.z }' } }
    """
    And given the workflow input is:
    """yaml
    n: 2
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/expression
    status: 400
    instance: /do/1/next
    """

  Scenario: A function runs a child
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: children-a-function-runs-a-child
      version: '1.0.0'
    use:
      functions:
        below: { run: { workflow: { namespace: millrace, name: children-a-function-runs-a-child, version: latest, input: { n: '${ .n - 1 }' } } } }
    do:
      - check:
          switch:
            - more: { when: .n > 0, then: next }
            - over: { then: done }
      - next: { call: below, with: { n: '${ .n }' }, then: count }
      - done: { set: { rounds: 0 }, then: end }
      - count: { set: { rounds: '${ .rounds + 1 }' } }
    """
    And given the workflow input is:
    """yaml
    n: 2
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    rounds: 2
    """

  Scenario: A mock stands in for a child
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: children-a-mock-stands-in-for-a-child
      version: '1.0.0'
    use:
      extensions:
        - mock:
            extend: run
            before:
              - instead: { set: { mocked: true }, then: exit }
    do:
      - ask: { run: { workflow: { namespace: millrace, name: nobody-has-deployed-this, version: '1.0.0' } } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    mocked: true
    """
    And instead should complete
