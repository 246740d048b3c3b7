Feature: For
  What a loop runs over, and what its tasks see.

  Scenario: Names of the item and its index
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: loops-names-of-the-item-and-its-index
      version: '1.0.0'
    do:
      - loop:
          for: { each: fruit, at: place, in: .fruits }
          do:
            - take:
                set: '${ . + { taken: ((.taken // []) + ["\($place):\($fruit)"]) } }'
    """
    And given the workflow input is:
    """yaml
    fruits: [ apple, pear ]
    """
    When the workflow is executed
    Then the workflow output should have a 'taken' property with value:
    """yaml
    [ "0:apple", "1:pear" ]
    """

  Scenario: The usual names
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: loops-the-usual-names
      version: '1.0.0'
    do:
      - loop:
          for: { in: .fruits }
          do:
            - take:
                set: '${ . + { taken: ((.taken // []) + ["\($index):\($item)"]) } }'
    """
    And given the workflow input is:
    """yaml
    fruits: [ apple, pear ]
    """
    When the workflow is executed
    Then the workflow output should have a 'taken' property with value:
    """yaml
    [ "0:apple", "1:pear" ]
    """

  Scenario: `while` is asked before each round
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: loops-while-is-asked-before-each-round
      version: '1.0.0'
    do:
      - loop:
          for: { each: number, in: '[1, 2, 3, 4, 5]' }
          while: .sum < 5
          do:
            - add:
                set: { sum: '${ .sum + $number }' }
    """
    And given the workflow input is:
    """yaml
    sum: 0
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    sum: 6
    """

  Scenario: `while` sees the item and its index
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: loops-while-sees-the-item-and-its-index
      version: '1.0.0'
    do:
      - loop:
          for: { each: number, at: place, in: '[5, 4, 3, 2, 1]' }
          while: $number > 2 and $place < 10
          do:
            - count:
                set: { count: '${ .count + 1 }' }
    """
    And given the workflow input is:
    """yaml
    count: 0
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    count: 3
    """

  Scenario: `while` may end a loop before it begins
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: loops-while-may-end-a-loop-before-it-begins
      version: '1.0.0'
    do:
      - loop:
          for: { in: '[1, 2]' }
          while: "false"
          do:
            - never:
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
    And loop should complete
    And loop should run last

  Scenario: A loop over nothing gives its input
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: loops-a-loop-over-nothing-gives-its-input
      version: '1.0.0'
    do:
      - loop:
          for: { in: '[]' }
          do:
            - never:
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

  Scenario: A loop over something else than a list is an error
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: loops-a-loop-over-something-else-than-a-list-is-an-error
      version: '1.0.0'
    do:
      - loop:
          for: { in: .text }
          do:
            - never:
                set: { ran: true }
    """
    And given the workflow input is:
    """yaml
    text: abc
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/expression
    status: 400
    instance: /do/0/loop
    """

  Scenario: The list is what it was when the loop began
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: loops-the-list-is-what-it-was-when-the-loop-began
      version: '1.0.0'
    do:
      - loop:
          for: { each: number, in: .numbers }
          do:
            - grow:
                set: { numbers: '${ .numbers + [$number * 10] }' }
    """
    And given the workflow input is:
    """yaml
    numbers: [ 1, 2 ]
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    numbers: [ 1, 2, 10, 20 ]
    """

  Scenario: A loop within a loop sees both items
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: loops-a-loop-within-a-loop-sees-both-items
      version: '1.0.0'
    do:
      - rows:
          for: { each: row, in: '["a", "b"]' }
          do:
            - columns:
                for: { each: column, in: '[1, 2]' }
                do:
                  - cell:
                      set: { cells: '${ .cells + ["\($row)\($column)"] }' }
    """
    And given the workflow input is:
    """yaml
    cells: []
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    cells: [ a1, a2, b1, b2 ]
    """

  Scenario: The output of a loop is shaped once
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: loops-the-output-of-a-loop-is-shaped-once
      version: '1.0.0'
    do:
      - loop:
          for: { each: number, in: '[1, 2, 3]' }
          do:
            - add:
                set: { sum: '${ .sum + $number }' }
          output:
            as: .sum
    """
    And given the workflow input is:
    """yaml
    sum: 0
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    6
    """
