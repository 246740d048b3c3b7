Feature: Timeout
  What takes too long ends with an error of the type `timeout`, at the task that has the timeout.

  Scenario: A task takes too long
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: timeout-a-task-takes-too-long
      version: '1.0.0'
    do:
      - slow:
          wait: { minutes: 10 }
          timeout:
            after: { milliseconds: 50 }
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/timeout
    status: 408
    instance: /do/0/slow
    """
    And slow should fault

  Scenario: A task ends in time
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: timeout-a-task-ends-in-time
      version: '1.0.0'
    do:
      - quick:
          do:
            - pause:
                wait: { milliseconds: 10 }
            - done:
                set: { done: true }
          timeout:
            after: { minutes: 10 }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    done: true
    """

  Scenario: A task that has others takes too long
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: timeout-a-task-that-has-others-takes-too-long
      version: '1.0.0'
    do:
      - first:
          set: { begun: true }
      - outer:
          do:
            - inner:
                do:
                  - pause:
                      wait: { minutes: 10 }
          timeout:
            after: { milliseconds: 50 }
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/timeout
    status: 408
    instance: /do/1/outer
    """
    And outer should fault
    And inner should cancel
    And pause should cancel

  Scenario: The innermost timeout strikes first
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: timeout-the-innermost-timeout-strikes-first
      version: '1.0.0'
    do:
      - outer:
          do:
            - inner:
                wait: { minutes: 10 }
                timeout: { after: PT0.05S }
          timeout: { after: PT10M }
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/timeout
    status: 408
    instance: /do/0/outer/do/0/inner
    """
    And inner should fault
    And outer should fault

  Scenario: A loop takes too long
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: timeout-a-loop-takes-too-long
      version: '1.0.0'
    do:
      - loop:
          for: { in: '[range(1000)]' }
          do:
            - pause:
                wait: { minutes: 1 }
          timeout: { after: { milliseconds: 50 } }
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/timeout
    status: 408
    instance: /do/0/loop
    """

  Scenario: A timeout is caught
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: timeout-a-timeout-is-caught
      version: '1.0.0'
    do:
      - guarded:
          try:
            - slow:
                wait: { minutes: 10 }
                timeout: { after: { milliseconds: 50 } }
          catch:
            errors:
              with: { type: https://serverlessworkflow.io/spec/1.0.0/errors/timeout, status: 408 }
            do:
              - tell:
                  set: { at: '${ $error.instance }' }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    at: /do/0/guarded/try/0/slow
    """

  Scenario: A try takes too long, and cannot catch that itself
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: timeout-a-try-takes-too-long-and-cannot-catch-that-itself
      version: '1.0.0'
    do:
      - outer:
          try:
            - inner:
                try:
                  - slow:
                      wait: { minutes: 10 }
                catch:
                  do:
                    - wrong:
                        set: { caught: inner }
                timeout: { after: { milliseconds: 50 } }
          catch:
            do:
              - right:
                  set: { caught: outer, at: '${ $error.instance }' }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    caught: outer
    at: /do/0/outer/try/0/inner
    """

  Scenario: The workflow takes too long
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: timeout-the-workflow-takes-too-long
      version: '1.0.0'
    timeout:
      after: { milliseconds: 50 }
    do:
      - slow:
          wait: { minutes: 10 }
    """
    When the workflow is executed
    Then the workflow should fault
    And the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/timeout
    status: 408
    """
    And slow should cancel

  Scenario: A timeout is used by its name
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: timeout-a-timeout-is-used-by-its-name
      version: '1.0.0'
    use:
      timeouts:
        short:
          after: { milliseconds: 50 }
    do:
      - slow:
          wait: { minutes: 10 }
          timeout: short
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/timeout
    status: 408
    instance: /do/0/slow
    """

  Scenario: A timeout is computed
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: timeout-a-timeout-is-computed
      version: '1.0.0'
    do:
      - slow:
          wait: { minutes: 10 }
          timeout:
            after: ${ "PT\(.seconds)S" }
    """
    And given the workflow input is:
    """yaml
    seconds: 0.05
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/timeout
    status: 408
    instance: /do/0/slow
    """
