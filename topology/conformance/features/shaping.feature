Feature: Shaping data
  What goes into tasks and out of them, and what expressions see.

  Scenario: Input and output of the workflow are shaped
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: shaping-input-and-output-of-the-workflow-are-shaped
      version: '1.0.0'
    input:
      from: '{ n: .number }'
    output:
      as: '{ result: .n }'
    do:
      - double:
          set: { n: '${ .n * 2 }' }
    """
    And given the workflow input is:
    """yaml
    number: 21
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    result: 42
    """

  Scenario: Input, output and export of a task are shaped in this order
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: shaping-input-output-and-export-of-a-task-are-shaped-in-this
      version: '1.0.0'
    do:
      - shaped:
          input:
            from: .outer
          set: { n: '${ .n + 1 }' }
          output:
            as: .n * 10
          export:
            as: '{ kept: . }'
      - tell:
          set: { input: '${ . }', context: '${ $context }' }
    """
    And given the workflow input is:
    """yaml
    outer: { n: 1 }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    input: 20
    context: { kept: 20 }
    """

  Scenario: An output is shaped with the input at hand
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: shaping-an-output-is-shaped-with-the-input-at-hand
      version: '1.0.0'
    do:
      - pause:
          wait: { milliseconds: 5 }
          output:
            as: '{ before: $input.n, after: .n }'
    """
    And given the workflow input is:
    """yaml
    n: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    before: 1
    after: 1
    """

  Scenario: An export replaces what was exported
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: shaping-an-export-replaces-what-was-exported
      version: '1.0.0'
    do:
      - one: { set: { n: 1 }, export: { as: '{ one: 1 }' } }
      - two: { set: { n: 2 }, export: { as: '{ two: 2 }' } }
      - tell: { set: { context: '${ $context }' } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    context: { two: 2 }
    """

  Scenario: A set replaces, and does not merge
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: shaping-a-set-replaces-and-does-not-merge
      version: '1.0.0'
    do:
      - one: { set: { a: 1 } }
      - two: { set: { b: 2 } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    b: 2
    """

  Scenario: Expressions see the workflow and the task
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: shaping-expressions-see-the-workflow-and-the-task
      version: '1.0.0'
    do:
      - tell:
          set:
            workflow: ${ $workflow.definition.document.name }
            input: ${ $workflow.input.n }
            task: ${ $task.name }
            reference: ${ $task.reference }
    """
    And given the workflow input is:
    """yaml
    n: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    workflow: shaping-expressions-see-the-workflow-and-the-task
    input: 1
    task: tell
    reference: /do/0/tell
    """

  Scenario: Only what is wholly an expression is one
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: shaping-only-what-is-wholly-an-expression-is-one
      version: '1.0.0'
    do:
      - tell:
          set:
            text: Hello ${ .name }
            expression: ${ "Hello \(.name)" }
    """
    And given the workflow input is:
    """yaml
    name: Ada
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    text: Hello ${ .name }
    expression: Hello Ada
    """

  Scenario: What looks like an expression in data is data
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: shaping-what-looks-like-an-expression-in-data-is-data
      version: '1.0.0'
    do:
      - first:
          set: { text: '${ .text }' }
      - second:
          set: '${ . }'
    """
    And given the workflow input is:
    """yaml
    text: '${ .secret }'
    secret: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    text: '${ .secret }'
    """

  Scenario Outline: An output need not be a mapping
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: shaping-an-output-need-not-be-a-mapping
      version: '1.0.0'
    do:
      - tell:
          set: { n: 1 }
          output:
            as: '<as>'
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    <output>
    """

    Examples:
      | as | output |
      | null | null |
      | .n | 1 |
      | .n == 1 | true |
      | [.n, "a"] | [ 1, a ] |

  Scenario: An emitted event has the usual attributes
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: shaping-an-emitted-event-has-the-usual-attributes
      version: '1.0.0'
    do:
      - tell:
          emit:
            event:
              with:
                type: com.example.told
                data: { n: '${ .n }' }
    """
    And given the workflow input is:
    """yaml
    n: 1
    """
    When the workflow is executed
    Then the workflow should complete
    And the workflow output should have properties 'id', 'time', 'source', 'specversion'
    And the workflow output should have a 'data' property with value:
    """yaml
    n: 1
    """
    And the workflow output should have a 'source' property with value:
    """yaml
    /millrace/shaping-an-emitted-event-has-the-usual-attributes/1.0.0
    """
