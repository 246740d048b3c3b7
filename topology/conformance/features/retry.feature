Feature: Retry
  How often and after what pause a `try` runs its tasks again. Each attempt notes in `$context` when it began; `$context` outlives the
  attempt, the data of the attempt does not.

  Scenario: A constant back-off pauses equally long
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: retry-a-constant-back-off-pauses-equally-long
      version: '1.0.0'
    do:
      - again:
          try:
            - note:
                set: { noted: true }
                export:
                  as: '${ { at: (($context.at // []) + [now]) }  }'
            - fail:
                if: ($context.at | length) <= 3
                raise:
                  error: { type: https://example.com/errors/busy, status: 503, title: Busy }
            - done:
                set: { tries: '${ $context.at | length }' }
          catch:
            retry:
              delay: { milliseconds: 30 }
              backoff: { constant: {} }
              limit: { attempt: { count: 3 } }
      - pauses:
          set:
            tries: ${ $context.at | length }
            kept: '${ $context.at as $at | [range(1; $at | length) | $at[.] - $at[. - 1]] | [.[0] >= 0.03, .[1] >= 0.03, .[2] >= 0.03] }'
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    tries: 4
    kept: [ true, true, true ]
    """

  Scenario: A linear back-off grows by the delay
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: retry-a-linear-back-off-grows-by-the-delay
      version: '1.0.0'
    do:
      - again:
          try:
            - note:
                set: { noted: true }
                export:
                  as: '${ { at: (($context.at // []) + [now]) }  }'
            - fail:
                if: ($context.at | length) <= 3
                raise:
                  error: { type: https://example.com/errors/busy, status: 503, title: Busy }
            - done:
                set: { tries: '${ $context.at | length }' }
          catch:
            retry:
              delay: { milliseconds: 20 }
              backoff: { linear: {} }
              limit: { attempt: { count: 3 } }
      - pauses:
          set:
            tries: ${ $context.at | length }
            kept: '${ $context.at as $at | [range(1; $at | length) | $at[.] - $at[. - 1]] | [.[0] >= 0.02, .[1] >= 0.04, .[2] >= 0.06] }'
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    tries: 4
    kept: [ true, true, true ]
    """

  Scenario: An exponential back-off doubles
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: retry-an-exponential-back-off-doubles
      version: '1.0.0'
    do:
      - again:
          try:
            - note:
                set: { noted: true }
                export:
                  as: '${ { at: (($context.at // []) + [now]) }  }'
            - fail:
                if: ($context.at | length) <= 3
                raise:
                  error: { type: https://example.com/errors/busy, status: 503, title: Busy }
            - done:
                set: { tries: '${ $context.at | length }' }
          catch:
            retry:
              delay: { milliseconds: 20 }
              backoff: { exponential: {} }
              limit: { attempt: { count: 3 } }
      - pauses:
          set:
            tries: ${ $context.at | length }
            kept: '${ $context.at as $at | [range(1; $at | length) | $at[.] - $at[. - 1]] | [.[0] >= 0.02, .[1] >= 0.04, .[2] >= 0.08] }'
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    tries: 4
    kept: [ true, true, true ]
    """

  Scenario: Jitter only makes a pause longer
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: retry-jitter-only-makes-a-pause-longer
      version: '1.0.0'
    do:
      - again:
          try:
            - note:
                set: { noted: true }
                export:
                  as: '${ { at: (($context.at // []) + [now]) }  }'
            - fail:
                if: ($context.at | length) <= 3
                raise:
                  error: { type: https://example.com/errors/busy, status: 503, title: Busy }
            - done:
                set: { tries: '${ $context.at | length }' }
          catch:
            retry:
              delay: { milliseconds: 10 }
              backoff: { constant: {} }
              jitter:
                from: { milliseconds: 10 }
                to: { milliseconds: 20 }
              limit: { attempt: { count: 3 } }
      - pauses:
          set:
            tries: ${ $context.at | length }
            kept: '${ $context.at as $at | [range(1; $at | length) | $at[.] - $at[. - 1]] | [.[0] >= 0.02, .[1] >= 0.02, .[2] >= 0.02] }'
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    tries: 4
    kept: [ true, true, true ]
    """

  # `count` is of retries: the first attempt is none.
  Scenario: The attempts that may be made again are counted, and then the handler runs
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: retry-the-attempts-that-may-be-made-again-are-counted-and-th
      version: '1.0.0'
    do:
      - again:
          try:
            - note:
                set: { noted: true }
                export:
                  as: '${ { at: (($context.at // []) + [now]) }  }'
            - fail:
                if: ($context.at | length) <= 100
                raise:
                  error: { type: https://example.com/errors/busy, status: 503, title: Busy }
            - done:
                set: { tries: '${ $context.at | length }' }
          catch:
            retry:
              delay: { milliseconds: 5 }
              limit: { attempt: { count: 4 } }
            do:
              - giveUp:
                  set:
                    tries: ${ $context.at | length }
                    title: ${ $error.title }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    tries: 5
    title: Busy
    """
    And giveUp should run last

  Scenario: No retry is allowed
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: retry-no-retry-is-allowed
      version: '1.0.0'
    do:
      - again:
          try:
            - note:
                set: { noted: true }
                export:
                  as: '${ { at: (($context.at // []) + [now]) }  }'
            - fail:
                if: ($context.at | length) <= 100
                raise:
                  error: { type: https://example.com/errors/busy, status: 503, title: Busy }
            - done:
                set: { tries: '${ $context.at | length }' }
          catch:
            retry:
              limit: { attempt: { count: 0 } }
            do:
              - giveUp:
                  set: { tries: '${ $context.at | length }' }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    tries: 1
    """

  Scenario: The time of all attempts is limited
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: retry-the-time-of-all-attempts-is-limited
      version: '1.0.0'
    do:
      - again:
          try:
            - note:
                set: { noted: true }
                export:
                  as: '${ { at: (($context.at // []) + [now]) }  }'
            - fail:
                if: ($context.at | length) <= 1000
                raise:
                  error: { type: https://example.com/errors/busy, status: 503, title: Busy }
            - done:
                set: { tries: '${ $context.at | length }' }
          catch:
            retry:
              delay: { milliseconds: 60 }
              limit:
                duration: { milliseconds: 200 }
            do:
              - giveUp:
                  set:
                    few: ${ ($context.at | length) <= 4 }
                    late: ${ $error.title }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    few: true
    late: Busy
    """

  Scenario: The time of each attempt is limited
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: retry-the-time-of-each-attempt-is-limited
      version: '1.0.0'
    do:
      - again:
          try:
            - note:
                set: { noted: true }
                export:
                  as: '${ { tries: (($context.tries // 0) + 1) } }'
            - slow:
                if: $context.tries < 3
                wait: { minutes: 10 }
            - done:
                set: { tries: '${ $context.tries }' }
          catch:
            errors:
              with: { type: https://serverlessworkflow.io/spec/1.0.0/errors/timeout }
            retry:
              delay: { milliseconds: 5 }
              limit:
                attempt: { count: 3, duration: { milliseconds: 50 } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    tries: 3
    """
    And again should complete

  Scenario: An attempt that takes too long is an error of the try itself
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: retry-an-attempt-that-takes-too-long-is-an-error-of-the-try
      version: '1.0.0'
    do:
      - once:
          try:
            - slow:
                wait: { minutes: 10 }
          catch:
            retry:
              limit:
                attempt: { count: 0, duration: { milliseconds: 30 } }
            do:
              - tell:
                  set: { instance: '${ $error.instance }', status: '${ $error.status }' }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    instance: /do/0/once
    status: 408
    """
    And slow should cancel

  Scenario: Nothing is tried again unless `when` holds
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: retry-nothing-is-tried-again-unless-when-holds
      version: '1.0.0'
    do:
      - again:
          try:
            - note:
                set: { noted: true }
                export:
                  as: '${ { at: (($context.at // []) + [now]) }  }'
            - fail:
                if: ($context.at | length) <= 100
                raise:
                  error: { type: https://example.com/errors/busy, status: 503, title: Busy }
            - done:
                set: { tries: '${ $context.at | length }' }
          catch:
            retry:
              when: $error.status == 500
              delay: { milliseconds: 5 }
              limit: { attempt: { count: 3 } }
            do:
              - giveUp:
                  set: { tries: '${ $context.at | length }' }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    tries: 1
    """

  Scenario: It is tried again while `when` holds
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: retry-it-is-tried-again-while-when-holds
      version: '1.0.0'
    do:
      - again:
          try:
            - note:
                set: { noted: true }
                export:
                  as: '${ { at: (($context.at // []) + [now]) }  }'
            - fail:
                if: ($context.at | length) <= 2
                raise:
                  error: { type: https://example.com/errors/busy, status: 503, title: Busy }
            - done:
                set: { tries: '${ $context.at | length }' }
          catch:
            retry:
              when: $error.status == 503
              delay: { milliseconds: 5 }
              limit: { attempt: { count: 3 } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    tries: 3
    """

  Scenario: Nothing is tried again if `exceptWhen` holds
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: retry-nothing-is-tried-again-if-exceptwhen-holds
      version: '1.0.0'
    do:
      - again:
          try:
            - note:
                set: { noted: true }
                export:
                  as: '${ { at: (($context.at // []) + [now]) }  }'
            - fail:
                if: ($context.at | length) <= 100
                raise:
                  error: { type: https://example.com/errors/busy, status: 503, title: Busy }
            - done:
                set: { tries: '${ $context.at | length }' }
          catch:
            as: problem
            retry:
              exceptWhen: $problem.title == "Busy"
              delay: { milliseconds: 5 }
              limit: { attempt: { count: 3 } }
            do:
              - giveUp:
                  set: { tries: '${ $context.at | length }' }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    tries: 1
    """

  Scenario: A policy is used by its name
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: retry-a-policy-is-used-by-its-name
      version: '1.0.0'
    use:
      retries:
        patient:
          delay: { milliseconds: 5 }
          backoff: { exponential: {} }
          limit: { attempt: { count: 3 } }
    do:
      - again:
          try:
            - note:
                set: { noted: true }
                export:
                  as: '${ { at: (($context.at // []) + [now]) }  }'
            - fail:
                if: ($context.at | length) <= 2
                raise:
                  error: { type: https://example.com/errors/busy, status: 503, title: Busy }
            - done:
                set: { tries: '${ $context.at | length }' }
          catch:
            retry: patient
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    tries: 3
    """

  # The output of the `try` is its input then.
  Scenario: Without a handler, what is given up is swallowed
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: retry-without-a-handler-what-is-given-up-is-swallowed
      version: '1.0.0'
    do:
      - again:
          try:
            - change:
                set: { changed: true }
            - fail:
                raise:
                  error: { type: https://example.com/errors/busy, status: 503 }
          catch:
            retry:
              delay: { milliseconds: 5 }
              limit: { attempt: { count: 1 } }
      - after:
          set: '${ . + { after: true } }'
    """
    And given the workflow input is:
    """yaml
    given: 1
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    given: 1
    after: true
    """

  Scenario: Each attempt begins with the input of the try
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: retry-each-attempt-begins-with-the-input-of-the-try
      version: '1.0.0'
    do:
      - again:
          try:
            - add:
                set: { sum: '${ .sum + 1 }' }
                export:
                  as: '${ { tries: (($context.tries // 0) + 1) } }'
            - fail:
                if: $context.tries < 3
                raise:
                  error: { type: https://example.com/errors/busy, status: 503 }
          catch:
            retry:
              delay: { milliseconds: 5 }
              limit: { attempt: { count: 5 } }
    """
    And given the workflow input is:
    """yaml
    sum: 10
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    sum: 11
    """

  Scenario: A call that fails for a while is made again
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: retry-a-call-that-fails-for-a-while-is-made-again
      version: '1.0.0'
    do:
      - again:
          try:
            - ask:
                call: http
                with:
                  method: get
                  endpoint: { uri: https://stub.ctk-plus.test/flaky/retried/2 }
          catch:
            errors:
              with: { type: https://serverlessworkflow.io/spec/1.0.0/errors/communication, status: 503 }
            retry:
              delay: { milliseconds: 5 }
              limit: { attempt: { count: 5 } }
    """
    When the workflow is executed
    Then the workflow should complete
    And the workflow output should have properties 'calls'
    And ask should complete

  # The worker says of a 404 that it is permanent.
  Scenario: A call that cannot get better is not made again
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: retry-a-call-that-cannot-get-better-is-not-made-again
      version: '1.0.0'
    do:
      - once:
          try:
            - note:
                set: { noted: true }
                export:
                  as: '${ { tries: (($context.tries // 0) + 1) } }'
            - ask:
                call: http
                with:
                  method: get
                  endpoint: { uri: https://stub.ctk-plus.test/missing }
          catch:
            retry:
              delay: { milliseconds: 5 }
              limit: { attempt: { count: 5 } }
            do:
              - tell:
                  set: { status: '${ $error.status }', tries: '${ $context.tries }' }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    status: 404
    tries: 1
    """
