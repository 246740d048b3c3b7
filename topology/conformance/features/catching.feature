Feature: Catch
  Which errors a `try` catches, and what its handler sees.

  Scenario Outline: The filter <filter> is met
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: catching-the-filter
      version: '1.0.0'
    do:
      - outer:
          try:
            - inner:
                try:
                  - fail:
                      raise:
                        error:
                          type: https://example.com/errors/out-of-stock
                          status: 409
                          title: Out of stock
                          detail: no apples
                catch:
                  errors: { with: <filter> }
                  do:
                    - within:
                        set: { caught: inner }
          catch:
            do:
              - without:
                  set: { caught: outer }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    caught: inner
    """

    Examples:
      | filter |
      | { type: https://example.com/errors/out-of-stock } |
      | { status: 409 } |
      | { title: Out of stock } |
      | { details: no apples } |
      | { instance: /do/0/outer/try/0/inner/try/0/fail } |
      | { type: https://example.com/errors/out-of-stock, status: 409 } |

  Scenario Outline: The filter <filter> is not met
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: catching-the-filter
      version: '1.0.0'
    do:
      - outer:
          try:
            - inner:
                try:
                  - fail:
                      raise:
                        error:
                          type: https://example.com/errors/out-of-stock
                          status: 409
                          title: Out of stock
                          detail: no apples
                catch:
                  errors: { with: <filter> }
                  do:
                    - within:
                        set: { caught: inner }
          catch:
            do:
              - without:
                  set: { caught: outer }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    caught: outer
    """
    And inner should fault
    And outer should complete

    Examples:
      | filter |
      | { type: https://example.com/errors/other } |
      | { status: 404 } |
      | { title: Sold out } |
      | { details: no pears } |
      | { instance: /do/0/outer/try/0/inner } |
      | { type: https://example.com/errors/out-of-stock, status: 404 } |

  Scenario Outline: `when` decides
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: catching-when-decides
      version: '1.0.0'
    do:
      - outer:
          try:
            - inner:
                try:
                  - fail:
                      raise:
                        error:
                          type: https://example.com/errors/out-of-stock
                          status: 409
                          title: Out of stock
                          detail: no apples
                catch:
                  when: $error.status == <status>
                  do:
                    - within:
                        set: { caught: inner }
          catch:
            do:
              - without:
                  set: { caught: outer }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    caught: <by>
    """

    Examples:
      | status | by |
      | 409 | inner |
      | 404 | outer |

  Scenario Outline: `exceptWhen` decides
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: catching-exceptwhen-decides
      version: '1.0.0'
    do:
      - outer:
          try:
            - inner:
                try:
                  - fail:
                      raise:
                        error:
                          type: https://example.com/errors/out-of-stock
                          status: 409
                          title: Out of stock
                          detail: no apples
                catch:
                  as: problem
                  exceptWhen: $problem.status == <status>
                  do:
                    - within:
                        set: { caught: inner }
          catch:
            do:
              - without:
                  set: { caught: outer }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    caught: <by>
    """

    Examples:
      | status | by |
      | 409 | outer |
      | 404 | inner |

  Scenario: `when` sees the input of the try
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: catching-when-sees-the-input-of-the-try
      version: '1.0.0'
    do:
      - guarded:
          try:
            - change: { set: { lenient: false } }
            - fail: { raise: { error: { type: https://example.com/errors/bad, status: 400 } } }
          catch:
            when: .lenient
            do:
              - tell: { set: { lenient: '${ .lenient }' } }
    """
    And given the workflow input is:
    """yaml
    lenient: true
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    lenient: true
    """

  Scenario: The error has the name that `as` gives it
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: catching-the-error-has-the-name-that-as-gives-it
      version: '1.0.0'
    do:
      - guarded:
          try:
            - fail: { raise: { error: { type: https://example.com/errors/bad, status: 400, title: Bad, detail: very } } }
          catch:
            as: problem
            do:
              - tell: { set: { problem: '${ $problem }' } }
    """
    When the workflow is executed
    Then the workflow output should have a 'problem' property with value:
    """yaml
    type: https://example.com/errors/bad
    status: 400
    title: Bad
    detail: very
    instance: /do/0/guarded/try/0/fail
    """

  Scenario: What a handler raises goes on
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: catching-what-a-handler-raises-goes-on
      version: '1.0.0'
    do:
      - guarded:
          try:
            - fail: { raise: { error: { type: https://example.com/errors/first, status: 400 } } }
          catch:
            do:
              - worse: { raise: { error: { type: https://example.com/errors/second, status: 500 } } }
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://example.com/errors/second
    status: 500
    instance: /do/0/guarded/catch/do/0/worse
    """
    And guarded should fault

  Scenario: A handler raises again what it has caught
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: catching-a-handler-raises-again-what-it-has-caught
      version: '1.0.0'
    do:
      - guarded:
          try:
            - fail: { raise: { error: { type: https://example.com/errors/first, status: 418, title: Teapot } } }
          catch:
            do:
              - again:
                  raise:
                    error:
                      type: ${ $error.type }
                      status: 418
                      title: '${ "again: " + $error.title }'
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://example.com/errors/first
    status: 418
    title: 'again: Teapot'
    instance: /do/0/guarded/catch/do/0/again
    """

  Scenario: After a caught error the flow goes on
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: catching-after-a-caught-error-the-flow-goes-on
      version: '1.0.0'
    do:
      - guarded:
          try:
            - fail: { raise: { error: { type: https://example.com/errors/bad, status: 400 } } }
            - never: { set: { ran: true } }
          catch:
            do:
              - tell: { set: { told: '${ $error.status }' } }
      - after:
          set: '${ . + { after: true } }'
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    told: 400
    after: true
    """
    And guarded should complete
    And fail should fault
    And after should run after tell

  Scenario: An error of an expression is caught
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: catching-an-error-of-an-expression-is-caught
      version: '1.0.0'
    do:
      - guarded:
          try:
            - fail: { set: { x: '${ .text + 1 }' } }
          catch:
            errors: { with: { type: https://serverlessworkflow.io/spec/1.0.0/errors/expression } }
            do:
              - tell: { set: { at: '${ $error.instance }' } }
    """
    And given the workflow input is:
    """yaml
    text: abc
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    at: /do/0/guarded/try/0/fail
    """
