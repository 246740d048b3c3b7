Feature: Nested scopes
  Scopes within scopes: what each passes on, and how errors find their way out.

  Scenario: A list in a loop in a try in a branch
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: nesting-a-list-in-a-loop-in-a-try-in-a-branch
      version: '1.0.0'
    do:
      - both:
          fork:
            branches:
              - left:
                  do:
                    - guarded:
                        try:
                          - loop:
                              for: { each: number, in: .numbers }
                              do:
                                - step:
                                    do:
                                      - add: { set: { numbers: '${ .numbers }', sum: '${ (.sum // 0) + $number }' } }
                        catch: {}
                    - keep: { set: { sum: '${ .sum }' } }
              - right:
                  set: { count: '${ .numbers | length }' }
    """
    And given the workflow input is:
    """yaml
    numbers: [ 1, 2, 3 ]
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [ { sum: 6 }, { count: 3 } ]
    """

  Scenario: An error deep within is caught far out, and what is between faults
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: nesting-an-error-deep-within-is-caught-far-out-and-what-is-b
      version: '1.0.0'
    do:
      - guarded:
          try:
            - both:
                fork:
                  branches:
                    - right:
                        wait: { minutes: 10 }
                    - left:
                        do:
                          - loop:
                              for: { each: number, in: '[1, 2, 3]' }
                              do:
                                - check:
                                    do:
                                      - fail:
                                          if: $number == 2
                                          raise: { error: { type: https://example.com/errors/two, status: 400, title: '${ "at \($index)" }' } }
          catch:
            errors: { with: { type: https://example.com/errors/two } }
            do:
              - tell: { set: { at: '${ $error.instance }', title: '${ $error.title }' } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    at: /do/0/guarded/try/0/both/fork/branches/1/left/do/0/loop/do/0/check/do/0/fail
    title: at 1
    """
    And right should cancel
    And both should fault
    And guarded should complete

  Scenario: A try in each round of a loop
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: nesting-a-try-in-each-round-of-a-loop
      version: '1.0.0'
    do:
      - loop:
          for: { each: number, in: '[1, 2, 3]' }
          do:
            - guarded:
                try:
                  - odd:
                      if: ($number % 2) == 1
                      raise: { error: { type: https://example.com/errors/odd, status: 400 } }
                  - even: { set: { odd: '${ .odd }', even: '${ .even + [$number] }' } }
                catch:
                  do:
                    - note: { set: { even: '${ .even }', odd: '${ .odd + [$number] }' } }
    """
    And given the workflow input is:
    """yaml
    { odd: [], even: [] }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    odd: [ 1, 3 ]
    even: [ 2 ]
    """

  Scenario: A retry within a loop counts anew in each round
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: nesting-a-retry-within-a-loop-counts-anew-in-each-round
      version: '1.0.0'
    do:
      - loop:
          for: { each: number, in: '[1, 2]' }
          do:
            - again:
                try:
                  - note:
                      set: { noted: true }
                      export: { as: '${ (($context // {}) | .["n\($number)"] = ((.["n\($number)"] // 0) + 1)) }' }
                  - fail:
                      raise: { error: { type: https://example.com/errors/busy, status: 503 } }
                catch:
                  retry: { delay: { milliseconds: 5 }, limit: { attempt: { count: 2 } } }
      - tell:
          set: ${ $context }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    n1: 3
    n2: 3
    """

  Scenario: A fork in each round of a loop
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: nesting-a-fork-in-each-round-of-a-loop
      version: '1.0.0'
    do:
      - loop:
          for: { each: number, in: '[1, 2]' }
          do:
            - both:
                fork:
                  branches:
                    - one: { set: { n: '${ $number * 10 }' } }
                    - two: { set: { n: '${ $number * 100 }' } }
                output:
                  as: '{ all: (($input.all // []) + map(.n)) }'
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    all: [ 10, 100, 20, 200 ]
    """

  Scenario: A wait in a list in a branch in a list
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: nesting-a-wait-in-a-list-in-a-branch-in-a-list
      version: '1.0.0'
    do:
      - outer:
          do:
            - both:
                fork:
                  branches:
                    - one:
                        do:
                          - pause: { wait: PT0.03S }
                          - tell: { set: { one: '${ .given }' } }
                    - two:
                        do:
                          - rest: { wait: { milliseconds: 10 } }
                          - say: { set: { two: '${ .given }' } }
    """
    And given the workflow input is:
    """yaml
    given: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    [ { one: 1 }, { two: 1 } ]
    """
    And outer should run first
