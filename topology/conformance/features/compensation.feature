Feature: Compensation
  As an implementer of the workflow DSL
  I want `metadata.millrace.compensate`, our extension, to undo what has been done
  So that a workflow that comes to a bad end leaves nothing half done

  Scenario: What has ended is undone, the last one first, and the error stays
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: compensation-order
      version: '1.0.0'
    do:
      - flight:
          set: { booking: f-1 }
          metadata: { millrace: { compensate: [{ cancelFlight: { set: '${ .output }' } }] } }
      - hotel:
          set: { booking: h-1 }
          metadata: { millrace: { compensate: [{ cancelHotel: { set: '${ { was: .output.booking, of: .input.booking } }' } }] } }
      - car:
          raise:
            error:
              type: https://example.com/errors/sold-out
              status: 409
              title: Sold out
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://example.com/errors/sold-out
    status: 409
    title: Sold out
    instance: /do/2/car
    """
    And car should fault
    And car should run before cancelHotel
    And cancelHotel should run before cancelFlight
    And cancelFlight should run last
    And cancelHotel should complete with output:
    """yaml
    was: h-1
    of: f-1
    """
    And cancelFlight should complete with output:
    """yaml
    booking: f-1
    """

  Scenario: Nothing is undone when all goes well
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: compensation-not-needed
      version: '1.0.0'
    do:
      - flight:
          set: { booking: f-1 }
          metadata: { millrace: { compensate: [{ cancelFlight: { set: '${ .output }' } }] } }
      - trip:
          try:
            - hotel:
                raise: { error: { type: https://example.com/errors/sold-out, status: 409 } }
          catch:
            do:
              - otherwise:
                  set: { slept: outside }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    slept: outside
    """
    And otherwise should run last

  Scenario: Tasks of loops, branches and tries are undone, each round by itself
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: compensation-nested
      version: '1.0.0'
    do:
      - each:
          for: { each: guest, in: '${ ["ann", "bob"] }' }
          do:
            - both:
                fork:
                  branches:
                    - seat:
                        set: '${ { seat: $guest } }'
                        metadata: { millrace: { compensate: [{ free: { set: '${ .output }' } }] } }
                    - meal:
                        try:
                          - cook:
                              set: '${ { meal: $guest } }'
                              metadata: { millrace: { compensate: [{ uncook: { set: '${ .output }' } }] } }
                        catch: { do: [{ hungry: { set: { meal: none } } }] }
      - full:
          raise: { error: { type: https://example.com/errors/full, status: 409 } }
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://example.com/errors/full
    status: 409
    instance: /do/1/full
    """
    And cook should run before uncook
    And uncook should run before free
    And free should run last
    And free should complete with output:
    """yaml
    seat: ann
    """

  Scenario: What undoes a task tries again before it gives up
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: compensation-tries
      version: '1.0.0'
    do:
      - book:
          set: { booking: b-1 }
          metadata:
            millrace:
              compensate:
                - cancel:
                    try:
                      - ask:
                          call: http
                          with: { method: get, endpoint: 'https://stub.ctk-plus.test/flaky/undone/1' }
                      - said:
                          set: { undone: true }
                    catch:
                      retry: { delay: { milliseconds: 5 }, limit: { attempt: { count: 5 } } }
                      do:
                        - never:
                            raise: { error: { type: https://example.com/errors/never, status: 500 } }
      - fail:
          raise: { error: { type: https://example.com/errors/full, status: 409 } }
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://example.com/errors/full
    status: 409
    instance: /do/1/fail
    """
    And fail should run before ask
    And cancel should complete with output:
    """yaml
    undone: true
    """
