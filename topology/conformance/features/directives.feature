Feature: Flow directives in nested lists
  Where `then` leads, from lists within lists.

  Scenario: `exit` leaves the list that it stands in
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: directives-exit-leaves-the-list-that-it-stands-in
      version: '1.0.0'
    do:
      - outer:
          do:
            - first:
                set: { seen: '${ .seen + ["first"] }' }
                then: exit
            - never:
                set: { seen: '${ .seen + ["never"] }' }
      - second:
          set: { seen: '${ .seen + ["second"] }' }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    seen: [ first, second ]
    """
    And outer should complete
    And second should run last

  Scenario: `exit` of the outermost list ends the workflow
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: directives-exit-of-the-outermost-list-ends-the-workflow
      version: '1.0.0'
    do:
      - first:
          set: { seen: first }
          then: exit
      - never:
          set: { seen: never }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    seen: first
    """
    And first should run last

  Scenario: `end` ends the workflow from within
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: directives-end-ends-the-workflow-from-within
      version: '1.0.0'
    do:
      - outer:
          do:
            - middle:
                do:
                  - last:
                      set: { seen: last }
                      then: end
                  - never:
                      set: { seen: never }
            - neither:
                set: { seen: neither }
      - nor:
          set: { seen: nor }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    seen: last
    """
    And last should run last
    And last should complete

  # The first round leaves the loop: its `exit` ends the list, and the loop with it.
  Scenario: `end` in a loop ends the workflow
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: directives-end-in-a-loop-ends-the-workflow
      version: '1.0.0'
    do:
      - loop:
          for: { each: number, in: '[1, 2, 3]' }
          do:
            - look:
                switch:
                  - found:
                      when: $number == 2
                      then: found
                  - other:
                      then: exit
            - found:
                set: { found: '${ $number }' }
                then: end
      - after:
          set: { after: true }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    after: true
    """

  Scenario: `exit` in a loop ends the loop
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: directives-exit-in-a-loop-ends-the-loop
      version: '1.0.0'
    do:
      - loop:
          for: { each: number, in: '[1, 2, 3]' }
          do:
            - add:
                set: { sum: '${ .sum + $number }' }
            - look:
                switch:
                  - enough:
                      when: $number == 2
                      then: exit
                  - more:
                      then: continue
      - after:
          set: '${ . + { after: true } }'
    """
    And given the workflow input is:
    """yaml
    sum: 0
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    sum: 3
    after: true
    """

  Scenario: A jump back runs a list again
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: directives-a-jump-back-runs-a-list-again
      version: '1.0.0'
    do:
      - count:
          set: { count: '${ .count + 1 }' }
      - look:
          switch:
            - more:
                when: .count < 4
                then: count
            - enough:
                then: done
      - never:
          set: { never: true }
      - done:
          set: '${ . + { done: true } }'
    """
    And given the workflow input is:
    """yaml
    count: 0
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    count: 4
    done: true
    """
    And done should run last

  Scenario: A jump forward leaves out what is between
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: directives-a-jump-forward-leaves-out-what-is-between
      version: '1.0.0'
    do:
      - first:
          set: { seen: [ first ] }
          then: third
      - second:
          set: { seen: '${ .seen + ["second"] }' }
      - third:
          set: { seen: '${ .seen + ["third"] }' }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    seen: [ first, third ]
    """
    And third should run after first

  Scenario: A composite task has a `then` of its own
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: directives-a-composite-task-has-a-then-of-its-own
      version: '1.0.0'
    do:
      - both:
          do:
            - one: { set: { n: 1 } }
            - two: { set: { n: '${ .n + 1 }' } }
          then: last
      - between:
          set: { n: 100 }
      - last:
          set: { n: '${ .n * 10 }' }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n: 20
    """

  Scenario: `end` in a branch ends the workflow
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: directives-end-in-a-branch-ends-the-workflow
      version: '1.0.0'
    do:
      - both:
          fork:
            branches:
              - quick:
                  do:
                    - last:
                        set: { ended: quick }
                        then: end
              - slow:
                  wait: { minutes: 10 }
      - never:
          set: { ended: never }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    ended: quick
    """

  Scenario: `exit` in a branch ends the branch only
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: directives-exit-in-a-branch-ends-the-branch-only
      version: '1.0.0'
    do:
      - both:
          fork:
            branches:
              - one:
                  do:
                    - left: { set: { a: 1 }, then: exit }
                    - never: { set: { a: 2 } }
              - two:
                  set: { b: 1 }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [ { a: 1 }, { b: 1 } ]
    """

  Scenario: `end` in a handler ends the workflow
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: directives-end-in-a-handler-ends-the-workflow
      version: '1.0.0'
    do:
      - guarded:
          try:
            - fail:
                raise:
                  error: { type: https://example.com/errors/bad, status: 400 }
          catch:
            do:
              - stop:
                  set: { stopped: true }
                  then: end
      - never:
          set: { stopped: false }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    stopped: true
    """
    And stop should run last

  Scenario: A case without a match follows the task's own `then`
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: directives-a-case-without-a-match-follows-the-task-s-own-the
      version: '1.0.0'
    do:
      - look:
          switch:
            - never: { when: 'false', then: wrong }
          then: right
      - wrong:
          set: { way: wrong }
      - right:
          set: { way: right }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    way: right
    """
