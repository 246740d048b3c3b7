Feature: Errors
  The standard errors, as definitions raise them and as they come about, each with the pointer of its task.

  Scenario Outline: A definition raises <name>
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: errors-a-definition-raises
      version: '1.0.0'
    do:
      - outer:
          do:
            - fail:
                raise:
                  error:
                    type: https://serverlessworkflow.io/spec/1.0.0/errors/<name>
                    status: <status>
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/<name>
    status: <status>
    instance: /do/0/outer/do/0/fail
    """
    And fail should fault
    And outer should fault

    Examples:
      | name | status |
      | configuration | 400 |
      | validation | 400 |
      | expression | 400 |
      | authentication | 401 |
      | authorization | 403 |
      | timeout | 408 |
      | communication | 500 |
      | runtime | 500 |

  Scenario: Parts of an error are computed
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: errors-parts-of-an-error-are-computed
      version: '1.0.0'
    do:
      - fail:
          raise:
            error:
              type: https://example.com/errors/limit
              status: 422
              title: ${ "Limit of \(.limit)" }
              detail: ${ "\(.amount) is too much" }
    """
    And given the workflow input is:
    """yaml
    { limit: 10, amount: 11 }
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://example.com/errors/limit
    status: 422
    title: Limit of 10
    detail: 11 is too much
    instance: /do/0/fail
    """

  Scenario: An error is used by its name
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: errors-an-error-is-used-by-its-name
      version: '1.0.0'
    use:
      errors:
        outOfStock:
          type: https://example.com/errors/out-of-stock
          status: 409
          title: Out of stock
    do:
      - fail:
          raise: { error: outOfStock }
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://example.com/errors/out-of-stock
    status: 409
    title: Out of stock
    instance: /do/0/fail
    """

  Scenario: An expression fails
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: errors-an-expression-fails
      version: '1.0.0'
    do:
      - list:
          do:
            - fail:
                set: { sum: '${ .text + 1 }' }
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
    instance: /do/0/list/do/0/fail
    """

  Scenario: An expression gives nothing
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: errors-an-expression-gives-nothing
      version: '1.0.0'
    do:
      - fail:
          set: { nothing: '${ empty }' }
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/expression
    status: 400
    instance: /do/0/fail
    """

  Scenario: A call is answered with an error
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: errors-a-call-is-answered-with-an-error
      version: '1.0.0'
    do:
      - ask:
          call: http
          with:
            method: get
            endpoint: https://stub.ctk-plus.test/missing
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/communication
    status: 404
    instance: /do/0/ask
    """
    And ask should fault

  # There, clouds serve credentials.
  Scenario: A call goes where none may go
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: errors-a-call-goes-where-none-may-go
      version: '1.0.0'
    do:
      - ask:
          call: http
          with:
            method: get
            endpoint: http://169.254.169.254/latest/meta-data
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/authorization
    status: 403
    instance: /do/0/ask
    """

  Scenario: A call cannot be sent
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: errors-a-call-cannot-be-sent
      version: '1.0.0'
    do:
      - ask:
          call: http
          with:
            method: get
            endpoint: https://stub.ctk-plus.test/flaky/sent/0
            headers:
              X-Name: ${ .name }
    """
    And given the workflow input is:
    """yaml
    name: "two\nlines"
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/validation
    status: 400
    instance: /do/0/ask
    """

  Scenario: A workflow that never ends is ended
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: errors-a-workflow-that-never-ends-is-ended
      version: '1.0.0'
    do:
      - round:
          set: { round: true }
          then: round
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/runtime
    status: 500
    instance: /do/0/round
    """
