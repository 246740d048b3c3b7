Feature: Fork
  Branches, their data and their `$context`.

  Scenario: Outputs are in the order of the branches
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: branches-outputs-are-in-the-order-of-the-branches
      version: '1.0.0'
    do:
      - both:
          fork:
            branches:
              - slow:
                  do:
                    - pause: { wait: { milliseconds: 60 } }
                    - done: { set: { name: slow } }
              - quick:
                  set: { name: quick }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [ { name: slow }, { name: quick } ]
    """
    And quick should run after slow

  Scenario: The first of those that compete wins
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: branches-the-first-of-those-that-compete-wins
      version: '1.0.0'
    do:
      - race:
          fork:
            compete: true
            branches:
              - slow:
                  wait: { minutes: 10 }
              - quick:
                  do:
                    - pause: { wait: { milliseconds: 10 } }
                    - done: { set: { winner: quick } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    winner: quick
    """
    And slow should cancel
    And quick should complete

  Scenario: A branch that faults cancels the others
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: branches-a-branch-that-faults-cancels-the-others
      version: '1.0.0'
    do:
      - both:
          fork:
            branches:
              - slow:
                  do:
                    - pause: { wait: { minutes: 10 } }
              - fail:
                  raise: { error: { type: https://example.com/errors/bad, status: 400 } }
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://example.com/errors/bad
    status: 400
    instance: /do/0/both/fork/branches/1/fail
    """
    And slow should cancel
    And pause should cancel
    And fail should fault
    And both should fault

  Scenario: Each branch has the input of the fork
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: branches-each-branch-has-the-input-of-the-fork
      version: '1.0.0'
    do:
      - both:
          fork:
            branches:
              - one: { set: { sum: '${ .n + 1 }' } }
              - two: { set: { sum: '${ .n + 2 }' } }
    """
    And given the workflow input is:
    """yaml
    n: 10
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [ { sum: 11 }, { sum: 12 } ]
    """

  Scenario: A branch that is skipped gives its input
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: branches-a-branch-that-is-skipped-gives-its-input
      version: '1.0.0'
    do:
      - both:
          fork:
            branches:
              - one: { if: 'false', set: { n: 1 } }
              - two: { set: { n: 2 } }
    """
    And given the workflow input is:
    """yaml
    n: 10
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [ { n: 10 }, { n: 2 } ]
    """

  # The second branch exports long before the first one.
  Scenario: At the join the last export in the order of the branches stays
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: branches-at-the-join-the-last-export-in-the-order-of-the-bra
      version: '1.0.0'
    do:
      - before:
          set: { x: 0 }
          export: { as: '{ by: "before" }' }
      - both:
          fork:
            branches:
              - one:
                  do:
                    - pause: { wait: { milliseconds: 60 } }
                    - export1: { set: { x: 1 }, export: { as: '{ by: "one" }' } }
              - two:
                  do:
                    - export2: { set: { x: 2 }, export: { as: '{ by: "two" }' } }
              - three:
                  set: { x: 3 }
      - tell:
          set: { context: '${ $context }' }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    context: { by: two }
    """

  Scenario: A branch sees its own exports only
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: branches-a-branch-sees-its-own-exports-only
      version: '1.0.0'
    do:
      - before:
          set: { x: 0 }
          export: { as: '{ by: "before" }' }
      - both:
          fork:
            branches:
              - one:
                  do:
                    - export1: { set: { x: 1 }, export: { as: '{ by: "one" }' } }
                    - pause1: { wait: { milliseconds: 40 } }
                    - see1: { set: { saw: '${ $context.by }' } }
              - two:
                  do:
                    - pause2: { wait: { milliseconds: 20 } }
                    - see2: { set: { saw: '${ $context.by }' } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [ { saw: one }, { saw: before } ]
    """

  Scenario: The export of a winner stays, those of losers are gone
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: branches-the-export-of-a-winner-stays-those-of-losers-are-go
      version: '1.0.0'
    do:
      - race:
          fork:
            compete: true
            branches:
              - loser:
                  do:
                    - early: { set: { x: 1 }, export: { as: '{ by: "loser" }' } }
                    - pause: { wait: { minutes: 10 } }
              - winner:
                  do:
                    - rest: { wait: { milliseconds: 20 } }
                    - late: { set: { x: 2 }, export: { as: '{ by: "winner" }' } }
      - tell:
          set: { context: '${ $context }' }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    context: { by: winner }
    """
    And loser should cancel

  Scenario: A fork exports what its branches gave
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: branches-a-fork-exports-what-its-branches-gave
      version: '1.0.0'
    do:
      - both:
          fork:
            branches:
              - one: { set: { n: 1 } }
              - two: { set: { n: 2 } }
          export:
            as: '{ sum: (map(.n) | add) }'
      - tell:
          set: { sum: '${ $context.sum }' }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    sum: 3
    """
