//! `run`, and calls of services: what is wrong with them, and what the built-in worker is given.

use expect_test::{Expect, expect};
use millrace_workflow::admission::admit;
use millrace_workflow::program::Kind;

const HEAD: &str = "document: {dsl: '1.0.3', namespace: test, name: it, version: '1.0.0'}\n";

/// The findings about a definition with a usual head: the first line of `body` is line 2.
fn check(body: &str, expected: Expect) {
    let findings = match admit("bad.yaml", &format!("{HEAD}{body}")) {
        Ok(admitted) => admitted.warnings,
        Err(findings) => findings,
    };
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    expected.assert_eq(&lines.join("\n"));
}

/// Queue, function and arguments of the calls of a definition.
fn check_calls(body: &str, expected: Expect) {
    let program = admit("good.yaml", &format!("{HEAD}{body}")).unwrap().program;
    let calls = program.tasks.iter().filter_map(|it| match &it.kind {
        Kind::Call(call) => {
            Some(format!("{} {} {}", call.queue, call.function, call.arguments.as_ref().unwrap()))
        }
        // What it calls is a task, too.
        Kind::Function(_) => None,
        other => panic!("{other:?}"),
    });
    expected.assert_eq(&calls.collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_process_is_checked_before_it_is_run() {
    check(
        "do:\n  - a: {run: {shell: {command: ls, arguments: ['${ .x | }'], timeout: 5}}}\n  - b: {run: {script: {language: cobol, code: x}}}\n  - c: {run: {script: {language: js, source: {endpoint: {uri: 'ftp://a.b/c', authentication: {use: x}}}}}}\n  - d: {run: {script: {language: js}}}\n  - e: {run: {script: {language: js, code: x}, shell: {command: ls}}}\n  - f: {run: {shell: {command: ls}, return: everything}}\n  - g: {run: {shell: {command: ls}, return: all, await: false}}\n  - h: {run: {container: {image: x, lifetime: {cleanup: eventually, after: soon}}}}\n  - i: {run: {container: {image: x, lifetime: {cleanup: eventually, after: '${ .after }'}}}}\n  - j: {run: {container: {command: x, pullPolicy: sometimes}}}\n  - k: {run: {shell: {command: ls}}, metadata: {millrace: {queue: mine, heartbeat: PT5S}}}\n  - l: {run: {}}\n",
        expect![[r#"
            bad.yaml:3:15: error: unknown property `timeout`; fix: remove it, or correct its name or its indentation
            bad.yaml:4:24: error: `cobol` is no language of scripts; fix: write `javascript` or `python`
            bad.yaml:5:58: error: `ftp` is no scheme of HTTP; fix: begin it with `https://` or `http://`
            bad.yaml:5:95: error: `use.authentications` has no `x`; fix: remove it (they are defined under `use.authentications`)
            bad.yaml:6:15: error: the property `source` is missing; fix: add `source`
            bad.yaml:7:9: error: this has several forms at once; only one is allowed; fix: keep one of them
            bad.yaml:7:9: error: unknown properties `script`, `shell`; fix: remove it, or correct its name or its indentation
            bad.yaml:8:37: error: "everything" is not one of "stdout", "stderr" or 3 other candidates; fix: see the language's reference for what is allowed here
            bad.yaml:9:37: warning: the output of a process that is not awaited is the task's input; fix: remove `return`, or `await: false`
            bad.yaml:10:69: error: "soon" is no duration; fix: write such as `PT30S`, `P1DT12H` or `{ minutes: 5 }`
            bad.yaml:11:69: error: an expression here is not supported yet; fix: write the duration such as `PT30M` or `{ minutes: 30 }`
            bad.yaml:12:15: error: the property `image` is missing; fix: add `image`
            bad.yaml:12:15: warning: the container is kept when it has ended, as the language has it without `lifetime`; fix: add `lifetime: { cleanup: always }`
            bad.yaml:12:39: error: "sometimes" is not one of "ifNotPresent", "always" or "never"; fix: see the language's reference for what is allowed here
            bad.yaml:13:60: error: `metadata.millrace.queue` means nothing here; fix: use one of `heartbeat`, `compensate`
            bad.yaml:14:9: error: the property `workflow` is missing; fix: add `workflow`"#]],
    );
}

#[test]
fn a_process_becomes_a_task_of_the_built_in_worker() {
    check_calls(
        "do:\n  - a: {run: {shell: {command: 'ls \"$1\"', arguments: ['${ .folder }']}, return: all}}\n  - b: {run: {script: {language: js, source: {endpoint: 'https://a.b/{name}.js'}}, await: false}}\n  - c: {run: {container: {image: x, lifetime: {cleanup: eventually, after: {minutes: 2}}}}}\n",
        expect![[r#"
            builtin shell {"shell":{"command":"ls \"$1\"","arguments":["${ .folder }"]},"return":"all"}
            builtin script {"script":{"language":"js","source":{"endpoint":"https://a.b/{name}.js"}},"await":false,"input":"${ . }"}
            builtin container {"container":{"image":"x","lifetime":{"cleanup":"eventually","after":120000}}}"#]],
    );
}

#[test]
fn a_call_of_a_service_is_checked_before_it_is_made() {
    check(
        "use:\n  functions:\n    grpc: {call: greet}\n    half: {call: grpc, with: {method: Say}}\n    hello: {call: grpc, with: {proto: {endpoint: 'https://a.b/c.proto'}, service: {name: G, host: a.b}, method: Say}}\ndo:\n  - a: {call: grpc, with: {proto: {endpoint: 'file://a.proto'}, service: {name: G, host: 'a b', port: 99999}}}\n  - b: {call: grpc, with: {proto: {endpoint: 'https://a.b/c'}, service: {name: G, host: a, authentication: {use: x}}, method: Say, arguments: {x: '${ $nope }'}}}\n  - c: {call: hello, with: {metod: Say}}\n  - d: {call: asyncapi, with: {document: {endpoint: 'https://a.b/c'}, operation: o}}\n  - e: {call: asyncapi, with: {document: {endpoint: 'https://a.b/c'}, operation: o, message: {payload: {a: '${ .a | }'}}, protocol: smoke, authentication: {basic: {username: a, password: b}}}}\n  - f: {call: asyncapi, with: {document: {endpoint: 'https://a.b/c'}, operation: o, subscription: {filter: '${ .x | }', consume: {until: '${ $nope }', for: soon}, foreach: {do: []}}}}\n  - g: {call: asyncapi, with: {document: {endpoint: 'https://a.b/c'}, operation: o, subscription: {consume: {amount: 5, for: '${ .x }'}}}, metadata: {millrace: {queue: mine}}}\n",
        expect![[r#"
            bad.yaml:4:5: error: `call: grpc` is a call of the language, and never this function; fix: give the function another name
            bad.yaml:5:24: error: the property `proto` is missing; fix: add `proto`
            bad.yaml:5:24: error: the property `service` is missing; fix: add `service`
            bad.yaml:8:21: error: the property `method` is missing; fix: add `method`
            bad.yaml:8:84: error: "a b" does not match "^[a-zA-Z0-9](?:[a-zA-Z0-9-.]{0,61}[a-zA-Z0-9])?$"; fix: see the language's reference for what is allowed here
            bad.yaml:8:97: error: 99999 is greater than the maximum of 65535; fix: see the language's reference for what is allowed here
            bad.yaml:9:109: error: `use.authentications` has no `x`; fix: remove it (they are defined under `use.authentications`)
            bad.yaml:9:144: error: expression `$nope`: there is no variable `$nope` here; fix: the variables here are $context, $input, $output, $authorization, $task, $workflow, $runtime
            bad.yaml:11:25: error: the property `subscription` is missing; fix: add `subscription`
            bad.yaml:12:105: error: expression `.a |`: expected term at its end; fix: write jq, such as `.order.total > 100`
            bad.yaml:12:123: error: "smoke" is not one of "amqp", "amqp1" or 17 other candidates; fix: see the language's reference for what is allowed here
            bad.yaml:13:100: error: expression `.x |`: expected term at its end; fix: write jq, such as `.order.total > 100`
            bad.yaml:13:131: error: expression `$nope`: there is no variable `$nope` here; fix: the variables here are $context, $input, $output, $secrets, $authorization, $task, $workflow, $runtime
            bad.yaml:13:152: error: "soon" is no duration; fix: write such as `PT30S`, `P1DT12H` or `{ minutes: 5 }`
            bad.yaml:13:164: error: `foreach` of a subscription is not supported yet; fix: let a `for` over the task's output follow, or `listen` to events in a loop
            bad.yaml:14:121: error: an expression here is not supported yet; fix: write the duration such as `PT30M` or `{ minutes: 30 }`
            bad.yaml:14:162: error: `metadata.millrace.queue` means nothing here; fix: use one of `heartbeat`, `compensate`"#]],
    );
}

#[test]
fn a_call_of_a_service_becomes_a_task_of_the_built_in_worker() {
    check_calls(
        "use:\n  functions:\n    hello: {call: grpc, with: {proto: {endpoint: 'https://a.b/c.proto'}, service: {name: G, host: a.b, port: 50051}, method: Say, arguments: {a: 1}}}\ndo:\n  - a: {call: grpc, with: {proto: {endpoint: 'https://a.b/{file}'}, service: {name: G, host: a.b}, method: Say, arguments: {x: '${ .x }'}}}\n  - b: {call: hello, with: {arguments: {b: '${ .b }'}}}\n  - c: {call: asyncapi, with: {document: {endpoint: 'https://a.b/c'}, operation: o, server: {name: s, variables: {v: '${ .v }'}}, message: {payload: {id: '${ .id }'}}}}\n  - d: {call: asyncapi, with: {document: {endpoint: 'https://a.b/c'}, channel: c, protocol: kafka, subscription: {filter: '${ .payload.id == $context.id and $input.x }', consume: {while: '${ length < 5 }', for: {minutes: 5}}}}}\n  - e: {call: asyncapi, with: {document: {endpoint: 'https://a.b/c'}, channel: c, subscription: {consume: {amount: 3}}}}\n",
        expect![[r#"
            builtin grpc {"proto":{"endpoint":"https://a.b/{file}"},"service":{"name":"G","host":"a.b"},"method":"Say","arguments":{"x":"${ .x }"}}
            builtin grpc {"proto":{"endpoint":"https://a.b/c.proto"},"service":{"name":"G","host":"a.b","port":50051},"method":"Say","arguments":{"a":1}}
            builtin asyncapi {"document":{"endpoint":"https://a.b/c"},"operation":"o","server":{"name":"s","variables":{"v":"${ .v }"}},"message":{"payload":{"id":"${ .id }"}}}
            builtin asyncapi {"document":{"endpoint":"https://a.b/c"},"channel":"c","protocol":"kafka","subscription":{"consume":{"while":"length < 5","for":300000},"filter":".payload.id == $context.id and $input.x","variables":{"context":"${ $context }","input":"${ $input }"}}}
            builtin asyncapi {"document":{"endpoint":"https://a.b/c"},"channel":"c","subscription":{"consume":{"amount":3}}}"#]],
    );
}

#[test]
fn a_policy_stands_beside_what_it_lets_in_to() {
    check_calls(
        "use:\n  secrets: [shop]\n  authentications:\n    me: {bearer: {token: '${ .token }'}}\ndo:\n  - a: {call: grpc, with: {proto: {endpoint: {uri: 'https://a.b/c.proto', authentication: {basic: {use: shop}}}}, service: {name: G, host: a.b, authentication: {use: me}}, method: Say}}\n  - b: {call: asyncapi, with: {document: {endpoint: {uri: 'https://a.b/c', authentication: {use: me}}}, operation: o, message: {payload: {}}, authentication: {basic: {use: shop}}, protocol: kafka}}\n  - c: {run: {script: {language: js, source: {name: it, endpoint: {uri: '${ .uri }', authentication: {use: me}}}}}}\n",
        expect![[r#"
            builtin grpc {"proto":{"endpoint":"https://a.b/c.proto","authentication":{"basic":{"use":"shop"}}},"authentication":{"bearer":{"token":"${ .token }"}},"service":{"name":"G","host":"a.b"},"method":"Say"}
            builtin asyncapi {"document":{"endpoint":"https://a.b/c","authentication":{"bearer":{"token":"${ .token }"}}},"operation":"o","protocol":"kafka","message":{"payload":{}},"authentication":{"basic":{"use":"shop"}}}
            builtin script {"script":{"language":"js","source":{"endpoint":"${ .uri }","authentication":{"bearer":{"token":"${ .token }"}}}}}"#]],
    );
    check(
        "use:\n  authentications:\n    asked: {digest: {username: a, password: b}}\ndo:\n  - a: {call: grpc, with: {proto: {endpoint: 'https://a.b/c'}, service: {name: G, host: a, authentication: {use: asked}}, method: Say}}\n  - b: {call: asyncapi, with: {document: {endpoint: 'https://a.b/c'}, operation: o, message: {payload: {}}, authentication: {use: asked}, protocol: kafka}}\n  - c: {call: asyncapi, with: {document: {endpoint: 'https://a.b/c'}, operation: o, message: {payload: {}}, authentication: {use: asked}, protocol: http}}\n  - d: {call: grpc, with: {proto: {endpoint: 'https://a.b/c'}, service: {name: G, host: a, authentication: {bearer: {use: hidden}}}, method: Say}}\n",
        expect![[r#"
            bad.yaml:6:92: error: `digest` answers a challenge of HTTP, which gRPC does not have; fix: use `basic`, `bearer`, `oauth2` or `oidc`
            bad.yaml:7:109: warning: a Kafka broker is not shown `digest`: the call will fail; fix: use `basic`, which is SASL/PLAIN
            bad.yaml:9:118: error: `use.secrets` has no `hidden`; fix: add it, if this workflow may use it: `use: { secrets: [hidden] }`"#]],
    );
}

#[test]
fn a_resource_may_stand_in_the_definition() {
    check_calls(
        "do:\n  - a: {call: grpc, with: {proto: {endpoint: 'data:,message{}%7B'}, service: {name: G, host: a.b}, method: Say}}\n  - b: {run: {script: {language: python, source: {endpoint: {uri: 'data:text/x-python;base64,cHJpbnQoMSk='}}}}}\n  - c: {call: openapi, with: {document: {endpoint: 'DATA:,{}'}, operationId: o}}\n",
        expect![[r#"
            builtin grpc {"proto":{"endpoint":"data:,message{}%7B"},"service":{"name":"G","host":"a.b"},"method":"Say"}
            builtin script {"script":{"language":"python","source":{"endpoint":"data:text/x-python;base64,cHJpbnQoMSk="}}}
            builtin openapi {"document":{"endpoint":"DATA:,{}"},"operationId":"o"}"#]],
    );
    check(
        "do:\n  - a: {call: http, with: {method: get, endpoint: 'data:,x'}}\n  - b: {run: {script: {language: js, source: {endpoint: 'data:;base64,?'}}}}\n  - c: {run: {script: {language: js, source: {endpoint: {uri: 'data:,x', authentication: {basic: {username: a, password: b}}}}}}}\n  - d: {run: {script: {language: js, source: {endpoint: 'script.js'}}}}\n",
        expect![[r#"
            bad.yaml:3:41: error: "data:,x" is no absolute URI; fix: write such as `https://example.com/pets/{petId}`, or `${ … }`
            bad.yaml:4:47: error: this `data:` URI cannot be used: it says `;base64`, and its content is none; fix: write such as `data:text/plain;base64,SGVsbG8=`, or refer to where it is
            bad.yaml:5:74: error: what is in a `data:` URI is had without credentials; fix: remove `authentication`
            bad.yaml:6:47: error: "script.js" is no absolute URI; fix: write such as `https://example.com/pets/{petId}`, or `${ … }`"#]],
    );
    let long = format!(
        "do:\n  - a: {{run: {{script: {{language: js, source: {{endpoint: 'data:,{}'}}}}}}}}\n",
        "x".repeat(600_000)
    );
    check(
        &long,
        expect![
            "bad.yaml:3:47: error: this `data:` URI cannot be used: it has more than 524288 bytes; fix: write such as `data:text/plain;base64,SGVsbG8=`, or refer to where it is"
        ],
    );
}
