Feature: Schemas
  Data is checked against the schemas of `input`, `output` and `export`; an error has the pointer of its task.

  Scenario: The input of the workflow breaks its schema
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: schemas-the-input-of-the-workflow-breaks-its-schema
      version: '1.0.0'
    input:
      schema: { document: { type: object, required: [ name ], properties: { name: { type: string } } } }
    do:
      - never:
          set: { ran: true }
    """
    And given the workflow input is:
    """yaml
    name: 1
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/validation
    status: 400
    instance: /
    """

  # The schema is that of the input as it came.
  Scenario: The input of the workflow keeps its schema
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: schemas-the-input-of-the-workflow-keeps-its-schema
      version: '1.0.0'
    input:
      schema: { document: { type: object, required: [ name ], properties: { name: { type: string } } } }
      from: .name
    do:
      - greet:
          set: { greeting: '${ "Hello \(.)" }' }
    """
    And given the workflow input is:
    """yaml
    name: Ada
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    greeting: Hello Ada
    """

  Scenario: The output of the workflow breaks its schema
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: schemas-the-output-of-the-workflow-breaks-its-schema
      version: '1.0.0'
    output:
      schema: { document: { type: object, required: [ name ], properties: { name: { type: string } } } }
    do:
      - last:
          set: { other: true }
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/validation
    status: 400
    instance: /
    """
    And last should complete

  Scenario: The output of the workflow is checked after it is shaped
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: schemas-the-output-of-the-workflow-is-checked-after-it-is-sh
      version: '1.0.0'
    output:
      as: '{ name: .other }'
      schema: { document: { type: object, required: [ name ], properties: { name: { type: string } } } }
    do:
      - last:
          set: { other: Ada }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    name: Ada
    """

  Scenario: The input of a task breaks its schema
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: schemas-the-input-of-a-task-breaks-its-schema
      version: '1.0.0'
    do:
      - outer:
          do:
            - strict:
                input:
                  schema: { document: { type: object, required: [ name ], properties: { name: { type: string } } } }
                set: { other: true }
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/validation
    status: 400
    instance: /do/0/outer/do/0/strict
    """
    And strict should fault
    And outer should fault

  Scenario: The output of a task breaks its schema
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: schemas-the-output-of-a-task-breaks-its-schema
      version: '1.0.0'
    do:
      - outer:
          do:
            - strict:
                output:
                  schema: { document: { type: object, required: [ name ], properties: { name: { type: string } } } }
                set: { other: true }
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/validation
    status: 400
    instance: /do/0/outer/do/0/strict
    """
    And strict should fault
    And outer should fault

  Scenario: The export of a task breaks its schema
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: schemas-the-export-of-a-task-breaks-its-schema
      version: '1.0.0'
    do:
      - outer:
          do:
            - strict:
                export:
                  as: ${ . }
                  schema: { document: { type: object, required: [ name ], properties: { name: { type: string } } } }
                set: { other: true }
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    type: https://serverlessworkflow.io/spec/1.0.0/errors/validation
    status: 400
    instance: /do/0/outer/do/0/strict
    """
    And strict should fault
    And outer should fault

  Scenario: The input, output and export of a task keep their schemas
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: schemas-the-input-output-and-export-of-a-task-keep-their-sch
      version: '1.0.0'
    do:
      - strict:
          input:
            schema: { document: { type: object, required: [ name ], properties: { name: { type: string } } } }
          output:
            schema: { document: { type: object, required: [ name ], properties: { name: { type: string } } } }
          export:
            as: '{ name: (.name + "!") }'
            schema: { document: { type: object, required: [ name ], properties: { name: { type: string } } } }
          set: { name: '${ .name }' }
      - tell:
          set: { told: '${ $context.name }' }
    """
    And given the workflow input is:
    """yaml
    name: Ada
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    told: Ada!
    """

  Scenario: A list that breaks its schema is caught
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: millrace
      name: schemas-a-list-that-breaks-its-schema-is-caught
      version: '1.0.0'
    do:
      - guarded:
          try:
            - strict:
                do:
                  - inner: { set: { other: true } }
                output:
                  schema: { document: { type: object, required: [ name ], properties: { name: { type: string } } } }
          catch:
            errors: { with: { type: https://serverlessworkflow.io/spec/1.0.0/errors/validation } }
            do:
              - tell: { set: { at: '${ $error.instance }' } }
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    at: /do/0/guarded/try/0/strict
    """
    And inner should complete
    And strict should fault
