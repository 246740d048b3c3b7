Feature: Conditions of tasks
  `if` on each kind of task, and what counts as a condition.

  Scenario Outline: A skipped <kind> does nothing
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: conditions-a-skipped
      version: '1.0.0'
    do:
      - first:
          set: { kept: true }
      - skipped: { if: .kept == false, <task> }
      - after:
          set: '${ . + { after: true } }'
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    kept: true
    after: true
    """
    And after should run after first

    Examples:
      | kind | task |
      | set | set: { kept: false } |
      | do | do: [ { inner: { set: { kept: false } } } ] |
      | for | for: { in: "[1]" }, do: [ { inner: { set: { kept: false } } } ] |
      | fork | fork: { branches: [ { inner: { set: { kept: false } } } ] } |
      | switch | switch: [ { case: { then: end } } ] |
      | try | try: [ { inner: { set: { kept: false } } } ], catch: {} |
      | raise | raise: { error: { type: "https://example.com/errors/bad", status: 400 } } |
      | wait | wait: { minutes: 10 } |
      | emit | emit: { event: { with: { source: "https://example.com", type: com.example.never } } } |
      | call | call: http, with: { method: get, endpoint: "https://stub.ctk-plus.test/never" } |

  Scenario: A task whose condition holds runs
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: conditions-a-task-whose-condition-holds-runs
      version: '1.0.0'
    do:
      - run:
          if: ${ .wanted }
          set: { ran: true }
    """
    And given the workflow input is:
    """yaml
    wanted: true
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    ran: true
    """

  Scenario: Nothing counts as no
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: conditions-nothing-counts-as-no
      version: '1.0.0'
    do:
      - skipped:
          if: .absent
          set: { ran: true }
    """
    And given the workflow input is:
    """yaml
    here: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    here: 1
    """

  Scenario: A condition must say yes or no
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: conditions-a-condition-must-say-yes-or-no
      version: '1.0.0'
    do:
      - wrong:
          if: .number
          set: { ran: true }
    """
    And given the workflow input is:
    """yaml
    number: 1
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/expression
    status: 400
    instance: /do/0/wrong
    """
    And wrong should fault

  Scenario: A skipped task has no `then`
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: conditions-a-skipped-task-has-no-then
      version: '1.0.0'
    do:
      - skipped:
          if: "false"
          set: { ran: true }
          then: end
      - after:
          set: { after: true }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    after: true
    """

  Scenario: A condition sees the data before the input is shaped
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: conditions-a-condition-sees-the-data-before-the-input-is-sha
      version: '1.0.0'
    do:
      - run:
          if: .outer.inner == 1
          input:
            from: .outer
          set: { got: '${ .inner }' }
    """
    And given the workflow input is:
    """yaml
    outer: { inner: 1 }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    got: 1
    """
