//! What is wrong with a definition, and what admission says about it.

use expect_test::{Expect, expect};
use millrace_workflow::admission::{DEPTH_MAX, NESTING_MAX, TASKS_MAX, TEXT_BYTES_MAX, admit};
use proptest::prelude::*;

const HEAD: &str = "document: {dsl: '1.0.3', namespace: test, name: bad, version: '1.0.0'}\n";

/// The findings about a definition with a usual head: the first line of `body` is line 2.
fn check(body: &str, expected: Expect) {
    check_text(&format!("{HEAD}{body}"), expected);
}

fn check_text(text: &str, expected: Expect) {
    let findings = match admit("bad.yaml", text) {
        Ok(admitted) => admitted.warnings,
        Err(findings) => findings,
    };
    let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
    expected.assert_eq(&lines.join("\n"));
}

/// A definition with `history` on line 7.
fn with_history(history: &str) -> String {
    format!(
        "document:\n  dsl: '1.0.3'\n  namespace: test\n  name: h\n  version: '1.0.0'\n  metadata: {{millrace: {{\n    \
         history: {history}}}}}\ndo: [{{a: {{wait: PT1S}}}}]\n"
    )
}

#[test]
fn unknown_kinds_of_tasks_are_named_with_the_nearest_one() {
    check(
        "do:\n  - a: {swich: []}\n  - b: {frobnicate: 1}\n  - c: {http: {}}\n  - d: {}\n  - e: 5\n",
        expect![[r#"
        bad.yaml:3:9: error: `swich` is no kind of task; fix: did you mean `switch`?
        bad.yaml:4:5: error: this task does not say what to do: it has `frobnicate`; fix: the kinds of tasks are `call`, `do`, `emit`, `for`, `fork`, `listen`, `raise`, `run`, `set`, `switch`, `try`, `wait`
        bad.yaml:5:5: error: `http` is no kind of task; fix: write `call: http`
        bad.yaml:6:5: error: this task does not say what to do: it is empty; fix: the kinds of tasks are `call`, `do`, `emit`, `for`, `fork`, `listen`, `raise`, `run`, `set`, `switch`, `try`, `wait`
        bad.yaml:7:5: error: a task must be a mapping; fix: write such as `set: { … }`, indented below the name"#]],
    );
}

#[test]
fn a_task_does_one_thing() {
    check(
        "do:\n  - a: {set: {x: 1}, wait: PT1S}\n  - b: {for: {in: .x}, do: []}\n",
        expect![
            "bad.yaml:3:5: error: a task does one thing; this one has both `set` and `wait`; fix: split it into two tasks"
        ],
    );
}

#[test]
fn wrong_properties_give_one_finding_each() {
    check(
        "do:\n  - a: {set: {x: 1}, thn: end}\n  - b: {wait: {hour: 1}}\n  - c:\n      fork:\n        branch: []\n  - d:\n      try: []\n  - e: {switch: [{x: {when: .a}}]}\n  - f: {emit: {event: {with: {data: 1}}}}\n  - g: {raise: {error: {type: not a uri, status: x}}}\n  - h: {listen: {}}\n",
        expect![[r#"
            bad.yaml:3:5: error: unknown property `thn`; fix: remove it, or correct its name or its indentation
            bad.yaml:4:9: error: unknown property `hour`; fix: remove it, or correct its name or its indentation
            bad.yaml:6:7: error: the property `branches` is missing; fix: add `branches`
            bad.yaml:6:7: error: unknown property `branch`; fix: remove it, or correct its name or its indentation
            bad.yaml:8:5: error: the property `catch` is missing; fix: add `catch`
            bad.yaml:10:19: error: the property `then` is missing; fix: add `then`
            bad.yaml:11:24: error: the property `type` is missing; fix: add `type`
            bad.yaml:12:42: error: "x" is not of type "integer"; fix: see the language's reference for what is allowed here
            bad.yaml:13:5: warning: no way leads to the task `h`; fix: jump to it by a `then`, or remove it
            bad.yaml:13:9: error: the property `to` is missing; fix: add `to`"#]],
    );
}

#[test]
fn expressions_must_compile_and_every_wrong_one_is_reported() {
    check(
        "do:\n  - a: {set: {x: '${ .a | }', y: '${ $nope }'}}\n  - b: {if: '(', set: {x: 1}}\n  - c: {for: {each: pet, in: '.x['}, while: $pets, do: [{d: {set: {x: '${ $pet.id + $index }'}}}]}\n  - e: {set: {x: '${ $pet }'}}\n  - f: {set: {x: '${ env }', y: 1}}\n  - g: {set: .x}\n  - h: {set: {x: '${ $secrets.a }'}}\n",
        expect![[r#"
            bad.yaml:3:15: error: expression `.a |`: expected term at its end; fix: write jq, such as `.order.total > 100`
            bad.yaml:3:31: error: expression `$nope`: there is no variable `$nope` here; fix: the variables here are $context, $input, $output, $authorization, $task, $workflow, $runtime
            bad.yaml:4:9: error: expression `(`: expected closing parenthesis at its end; fix: write jq, such as `.order.total > 100`
            bad.yaml:5:26: error: expression `.x[`: expected closing bracket at its end; fix: write jq, such as `.order.total > 100`
            bad.yaml:5:38: error: expression `$pets`: there is no variable `$pets` here; fix: the variables here are $context, $input, $output, $authorization, $task, $workflow, $runtime, $pet, $index
            bad.yaml:6:15: error: expression `$pet`: there is no variable `$pet` here; fix: the variables here are $context, $input, $output, $authorization, $task, $workflow, $runtime
            bad.yaml:7:15: error: expression `env`: `env` is not available: an expression sees only its data; fix: write jq, such as `.order.total > 100`
            bad.yaml:8:9: error: `set` takes a mapping, or one expression in `${ }`; fix: write such as `set: ${ .order }` or `set: { total: ${ .total } }`
            bad.yaml:9:9: error: `$secrets` is seen only by tasks that a worker does; fix: use it in the `with` or the `input.from` of a `call`, or in a `run` of a process"#]],
    );
}

#[test]
fn the_error_variable_is_seen_in_the_catch_and_nowhere_else() {
    check(
        "do:\n  - a:\n      try: [{b: {set: {x: '${ $error }'}}}]\n      catch:\n        when: $error.status == 500\n        do: [{c: {set: {x: '${ $error.title }'}}}]\n  - d:\n      try: []\n      catch: {as: oops, when: $error.status == 1, exceptWhen: $oops.status == 1}\n",
        expect![[r#"
            bad.yaml:4:24: error: expression `$error`: there is no variable `$error` here; fix: the variables here are $context, $input, $output, $authorization, $task, $workflow, $runtime
            bad.yaml:10:25: error: expression `$error.status == 1`: there is no variable `$error` here; fix: the variables here are $context, $input, $output, $authorization, $task, $workflow, $runtime, $oops"#]],
    );
}

#[test]
fn jumps_stay_in_their_list() {
    check(
        "do:\n  - first: {set: {x: 1}, then: lst}\n  - block:\n      do: [{inner: {set: {x: 1}, then: first}}]\n  - pick:\n      switch:\n        - one: {when: .a, then: nowhere}\n        - other: {then: last}\n  - both:\n      fork:\n        branches:\n          - left: {set: {x: 1}, then: right}\n          - right: {set: {x: 1}}\n  - last: {set: {x: 1}, then: end}\n",
        expect![[r#"
            bad.yaml:3:26: error: there is no task `lst` in this list; fix: did you mean `last`? (a jump stays within its list)
            bad.yaml:5:34: error: there is no task `first` in this list; fix: use one of `inner`, `continue`, `exit`, `end` (a jump stays within its list)
            bad.yaml:8:27: error: there is no task `nowhere` in this list; fix: use one of `block`, `both`, `first`, `last`, `pick`, `continue`, `exit`, `end` (a jump stays within its list)
            bad.yaml:13:33: error: a branch cannot go to `right`: branches run side by side; fix: put tasks that follow one another into a `do` within the branch"#]],
    );
}

#[test]
fn tasks_that_no_way_leads_to_are_pointed_out() {
    check(
        "do:\n  - a: {set: {x: 1}, then: c}\n  - b: {set: {x: 1}}\n  - c: {switch: [{x: {when: .a, then: e}}, {y: {then: exit}}]}\n  - d: {set: {x: 1}}\n  - e: {if: .x, raise: {error: {type: 'https://a.b/c', status: 500}}}\n  - f: {raise: {error: {type: 'https://a.b/c', status: 500}}}\n  - g: {wait: PT1S}\n",
        expect![[r#"
            bad.yaml:4:5: warning: no way leads to the task `b`; fix: jump to it by a `then`, or remove it
            bad.yaml:6:5: warning: no way leads to the task `d`; fix: jump to it by a `then`, or remove it
            bad.yaml:9:5: warning: no way leads to the task `g`; fix: jump to it by a `then`, or remove it"#]],
    );
}

#[test]
fn names_are_unique_in_their_list_and_no_directives() {
    check(
        "do:\n  - a: {set: {x: 1}}\n  - a: {set: {x: 1}}\n  - b: {do: [{a: {set: {x: 1}}}]}\n  - exit: {set: {x: 1}}\n  - {c: {set: {x: 1}}, d: {set: {x: 1}}}\n  - justText\n",
        expect![[r#"
            bad.yaml:4:5: error: the name `a` is taken by another task of this list; fix: rename one of the two
            bad.yaml:6:5: error: `exit` cannot be the name of a task: `then` gives it a meaning; fix: rename the task
            bad.yaml:7:5: error: an entry of a list of tasks is one name with one task; fix: write `- name: { … }`, with the task indented below its name
            bad.yaml:8:5: error: an entry of a list of tasks is one name with one task; fix: write `- name: { … }`, with the task indented below its name"#]],
    );
}

#[test]
fn a_switch_has_one_default_case() {
    check(
        "do:\n  - a:\n      switch:\n        - x: {then: exit}\n        - y: {when: .a, then: end}\n        - z: {then: end}\n  - b: {set: {x: 1}}\n",
        expect![[r#"
            bad.yaml:5:11: warning: the default case `x` stands before others; it is tried last all the same; fix: move it to the end
            bad.yaml:7:11: error: a `switch` has one default case: `z` is a second one without `when`; fix: give it a `when`, or remove it
            bad.yaml:8:5: warning: no way leads to the task `b`; fix: jump to it by a `then`, or remove it"#]],
    );
}

#[test]
fn named_components_must_exist() {
    check(
        "use: {retries: {patient: {delay: PT1S, limit: {attempt: {count: 1}}}}, errors: {}, timeouts: {short: {after: PT1}}}\ndo:\n  - a: {raise: {error: gone}, timeout: long}\n  - b: {try: [], catch: {retry: patent}}\n  - c: {wait: PT1S, timeout: short}\n",
        expect![[r#"
            bad.yaml:2:103: error: "PT1" is no duration; fix: write such as `PT30S`, `P1DT12H` or `{ minutes: 5 }`
            bad.yaml:4:17: error: `use.errors` has no `gone`; fix: remove it (they are defined under `use.errors`)
            bad.yaml:4:31: error: `use.timeouts` has no `long`; fix: use one of `short` (they are defined under `use.timeouts`)
            bad.yaml:5:5: warning: no way leads to the task `b`; fix: jump to it by a `then`, or remove it
            bad.yaml:5:26: error: `use.retries` has no `patent`; fix: did you mean `patient`? (they are defined under `use.retries`)
            bad.yaml:6:5: warning: no way leads to the task `c`; fix: jump to it by a `then`, or remove it"#]],
    );
}

#[test]
fn durations_must_be_durations() {
    check(
        "timeout: {after: 5 minutes}\ndo:\n  - a: {wait: P1Y}\n  - b: {wait: '${ .pause }'}\n  - c: {wait: {days: 99999}}\n  - d: {try: [], catch: {retry: {delay: 3s}}}\n",
        expect![[r#"
            bad.yaml:2:11: error: "5 minutes" is no duration; fix: write such as `PT30S`, `P1DT12H` or `{ minutes: 5 }`
            bad.yaml:4:9: error: "P1Y" is no ISO 8601 duration of days, hours, minutes and seconds, such as P1DT2H or PT0.5S; fix: write such as `PT30S`, `P1DT12H` or `{ minutes: 5 }`
            bad.yaml:6:9: error: a duration must be from 0 to ten years; fix: write such as `PT30S`, `P1DT12H` or `{ minutes: 5 }`
            bad.yaml:7:26: warning: this retries for ever, as long as the error can be retried; fix: set `limit.attempt.count` or `limit.duration`
            bad.yaml:7:34: error: "3s" is no duration; fix: write such as `PT30S`, `P1DT12H` or `{ minutes: 5 }`"#]],
    );
}

#[test]
fn what_is_not_supported_yet_is_refused_as_such() {
    check(
        "schedule: {cron: '* * * * *'}\nuse:\n  functions:\n    http: {call: http, with: {method: get, endpoint: 'https://a.b'}}\n    list: {do: []}\n    ok: {call: real, with: {a: 1}}\n    chain: {call: ok}\n    shaped: {call: real, output: {as: .x}}\ndo:\n  - a: {call: http, with: {}}\n  - b: {call: grpc}\n  - c: {run: {shell: {command: ls}}}\n  - d: {listen: {to: {all: []}}}\n  - e: {listen: {to: {any: [{with: {type: x}}]}}}\n  - f: {listen: {to: {one: {with: {type: x}, correlate: {y: {from: .z}}}}}}\n  - g: {call: 'fn:1.0@catalog'}\n  - h: {set: {x: 1}, input: {schema: {resource: {endpoint: 'https://a.b/c'}}}}\n  - i: {set: {x: 1}, input: {schema: {format: 'avro:1', document: {}}}}\n  - j: {listen: {to: {one: {with: {type: x, data: {a: '${ .b }'}}}}}}\n",
        expect![[r#"
            bad.yaml:5:5: error: `call: http` is a call of the language, and never this function; fix: give the function another name
            bad.yaml:11:21: error: the property `endpoint` is missing; fix: add `endpoint`
            bad.yaml:11:21: error: the property `method` is missing; fix: add `method`
            bad.yaml:12:5: error: the property `with` is missing; fix: add `with`
            bad.yaml:14:23: error: there is no event to listen to; fix: name an event; or listen to `any: []`, which takes every event
            bad.yaml:17:9: error: this function is elsewhere; fix: deploy it by `millrace deploy`, which fetches the function; or write it into `use.functions`, under this name
            bad.yaml:18:39: error: this schema is elsewhere; fix: deploy it by `millrace deploy`, which fetches the schema; or write it inline, as `document`
            bad.yaml:19:39: error: the schema format `avro:1` is not supported yet; fix: use JSON Schema: `format: json`
            bad.yaml:20:45: error: an expression inside of a value to compare with is not supported yet; fix: compare the whole value by one expression"#]],
    );
}

#[test]
fn an_http_call_is_checked_before_it_is_made() {
    check(
        "use:\n  functions:\n    http: {call: greet}\n    pet: {call: http, with: {method: get, endpoint: 'https://a.b/{id}'}}\n    half: {call: http, with: {method: get}}\n    auth: {call: http, with: {method: get, endpoint: {uri: 'https://a.b', authentication: {use: x}}}}\ndo:\n  - a: {call: http, with: {endpoint: 'https://a.b'}}\n  - b: {call: http, with: {method: connect, endpoint: '/pets'}}\n  - c: {call: http, with: {method: trace, endpoint: 'ftp://a.b'}}\n  - d: {call: http, with: {method: get, endpoint: 'https://me:secret@a.b/x@y'}}\n  - e: {call: http, with: {method: get, endpoint: 'https://a.b/{+path}'}}\n  - f: {call: http, with: {method: get, endpoint: {uri: 'https://a.b/{id', authentication: {basic: {username: a, password: b}}}}}\n  - g: {call: http, with: {method: get, endpoint: 'https://a.b', headers: {'a b': x, Host: evil}, query: {x: 1}}}\n  - h: {call: http, with: {method: get, endpoint: 'https://a.b', output: bytes, redirect: 'yes', timeout: 5}}\n  - i: {call: http, with: {method: get, endpoint: '${ .uri | }', body: {x: '${ $nope }'}}}\n  - j: {call: http, with: {method: get, endpoint: 'https://a.b'}, metadata: {millrace: {queue: mine, heartbeat: PT5S}}}\n  - k: {call: greet, metadata: {millrace: {queue: builtin}}}\n  - l: {call: pet, with: {id: 7, redirect: 'yes'}}\n  - m: {call: auth}\n",
        expect![[r#"
            bad.yaml:4:5: error: `call: http` is a call of the language, and never this function; fix: give the function another name
            bad.yaml:6:24: error: the property `endpoint` is missing; fix: add `endpoint`
            bad.yaml:7:92: error: `use.authentications` has no `x`; fix: remove it (they are defined under `use.authentications`)
            bad.yaml:9:21: error: the property `method` is missing; fix: add `method`
            bad.yaml:10:28: error: `connect` is no method to call; fix: use `get`, `post`, `put`, `patch`, `delete`, `head` or `options`
            bad.yaml:10:45: error: "/pets" is no absolute URI; fix: write such as `https://example.com/pets/{petId}`, or `${ … }`
            bad.yaml:11:28: error: `trace` is no method to call; fix: use `get`, `post`, `put`, `patch`, `delete`, `head` or `options`
            bad.yaml:11:43: error: `ftp` is no scheme of HTTP; fix: begin it with `https://` or `http://`
            bad.yaml:12:41: error: a URI with credentials in it is not supported yet; fix: use `authentication`: what is in a URI could be read by everybody
            bad.yaml:13:41: error: this is no URI template: `{+path}` is more than a name; fix: write such as `https://example.com/pets/{petId}`, where `petId` is a property of the task's input
            bad.yaml:14:52: error: this is no URI template: there is a `{` without a `}` after it; fix: write such as `https://example.com/pets/{petId}`, where `petId` is a property of the task's input
            bad.yaml:15:76: error: `a b` cannot be the name of a header; fix: a header's name has letters, digits and `-`
            bad.yaml:15:86: error: the header `Host` is set by the client itself; fix: remove it
            bad.yaml:15:107: error: 1 is not of type "string"; fix: see the language's reference for what is allowed here
            bad.yaml:16:66: error: "bytes" is not one of "raw", "content" or "response"; fix: see the language's reference for what is allowed here
            bad.yaml:16:81: error: "yes" is not of type "boolean"; fix: see the language's reference for what is allowed here
            bad.yaml:17:41: error: expression `.uri |`: expected term at its end; fix: write jq, such as `.order.total > 100`
            bad.yaml:17:73: error: expression `$nope`: there is no variable `$nope` here; fix: the variables here are $context, $input, $output, $authorization, $task, $workflow, $runtime
            bad.yaml:18:89: error: `metadata.millrace.queue` means nothing here; fix: use one of `heartbeat`, `compensate`
            bad.yaml:19:44: error: the queue `builtin` is that of Millrace's own worker; fix: give your workers a queue of another name"#]],
    );
}

#[test]
fn a_policy_is_checked_before_a_call_shows_it() {
    check(
        "use:\n  secrets: [shop, '../x']\n  authentications:\n    shop: {basic: {use: shop}}\n    typo: {bearer: {use: shpo}}\n    person: {oauth2: {authority: 'https://a.b', grant: authorization_code}}\n    odd: {basik: {username: a, password: b}}\ndo:\n  - a: {call: http, with: {method: get, endpoint: {uri: 'https://a.b', authentication: {use: shp}}}}\n  - b: {call: http, with: {method: get, endpoint: {uri: 'https://a.b', authentication: {use: shop}}, headers: {authorization: x}}}\n  - c: {call: http, with: {method: get, endpoint: {uri: 'https://a.b', authentication: {digest: {use: other}}}}}\n  - d: {call: http, with: {method: get, endpoint: {uri: 'https://a.b', authentication: {oauth2: {grant: password, client: {authentication: private_key_jwt}}}}}}\n  - e: {call: http, with: {method: get, endpoint: {uri: 'https://a.b', authentication: {oidc: {authority: 'ftp://a.b', grant: client_credentials}}}}}\n  - f: {call: http, with: {method: get, endpoint: {uri: 'https://a.b', authentication: {basic: {username: '${ . | }', password: '${ $nope }'}}}}}\n  - g: {call: http, with: {method: get, endpoint: {uri: 'https://a.b', authentication: {basic: {username: a}}}}}\n  - h: {call: http, with: {method: get, endpoint: {uri: 'https://a.b', authentication: {bearer: {token: a}, basic: {username: a, password: b}}}}}\n  - i: {call: http, with: {method: get, endpoint: {uri: 'https://a.b', authentication: {ntlm: {}}}}}\n  - i2: {call: http, with: {method: get, endpoint: {uri: 'https://a.b', authentication: {use: shop, basic: {}}}}}\n  - i3: {call: http, with: {method: get, endpoint: {uri: 'https://a.b', authentication: {bearer: {use: shop, token: x}}}}}\n  - i4: {call: http, with: {method: get, endpoint: {uri: 'https://a.b', authentication: {use: '${ .x }'}}}}\n  - i5: {call: http, with: {method: get, endpoint: {uri: 'https://a.b', authentication: {}}}}\n  - i6: {call: http, with: {method: get, endpoint: {uri: 'https://a.b', authentication: {oauth2: {authority: 'a.b', grant: magic, client: {ID: x}}}}}}\n  - j: {call: openapi, with: {document: {endpoint: {uri: 'https://a.b', authentication: {use: shop}}}, operationId: x, authentication: {use: sohp}}}\n  - k: {call: http, with: {method: get, endpoint: {uri: 'https://a.b', authentication: {oauth2: {authority: 'https://a.b', grant: refresh_token}}}}}\n",
        expect![[r#"
            bad.yaml:3:19: error: `../x` cannot be the name of a secret; fix: use letters, digits, `-`, `_` and `.`, and do not begin with `.`
            bad.yaml:6:21: error: `use.secrets` has no `shpo`; fix: did you mean `shop`?
            bad.yaml:7:49: error: the grant `authorization_code` is not supported yet; fix: use a grant that needs no person, such as `client_credentials`
            bad.yaml:8:11: error: `basik` is no way to authenticate; fix: did you mean `basic`?
            bad.yaml:10:89: error: `use.authentications` has no `shp`; fix: did you mean `shop`? (they are defined under `use.authentications`)
            bad.yaml:11:112: error: the header `authorization` is what `authentication` is for; fix: keep one of the two
            bad.yaml:12:98: error: `use.secrets` has no `other`; fix: add it, if this workflow may use it: `use: { secrets: [other] }`
            bad.yaml:13:89: error: this policy needs `authority`, `username`, `password`, `client.assertion`; fix: add `authority`, `username`, `password`, `client.assertion`, or let a secret have it all: `use`
            bad.yaml:14:89: error: this policy needs `client.id`; fix: add `client.id`, or let a secret have it all: `use`
            bad.yaml:14:96: error: `ftp` is no scheme of HTTP; fix: begin it with `https://` or `http://`
            bad.yaml:15:97: error: expression `. |`: expected term at its end; fix: write jq, such as `.order.total > 100`
            bad.yaml:15:119: error: expression `$nope`: there is no variable `$nope` here; fix: the variables here are $context, $input, $output, $secrets, $authorization, $task, $workflow, $runtime
            bad.yaml:16:89: error: the property `password` is missing; fix: add `password`
            bad.yaml:17:72: error: a policy says one way to authenticate; fix: keep one of `basic`, `bearer`, `digest`, `oauth2`, `oidc`
            bad.yaml:18:89: error: `ntlm` is no way to authenticate; fix: use one of `basic`, `bearer`, `digest`, `oauth2`, `oidc`
            bad.yaml:19:101: error: `basic` means nothing beside `use`; fix: keep one of the two
            bad.yaml:20:110: error: `token` means nothing beside `use`; fix: keep one of the two
            bad.yaml:21:90: error: `use.authentications` has no `${ .x }`; fix: use one of `shop`, `typo`, `person`, `odd` (they are defined under `use.authentications`)
            bad.yaml:22:73: error: a policy says one way to authenticate; fix: keep one of `basic`, `bearer`, `digest`, `oauth2`, `oidc`
            bad.yaml:23:99: error: "a.b" is no absolute URI; fix: write such as `https://example.com/pets/{petId}`, or `${ … }`
            bad.yaml:23:117: error: "magic" is not one of "authorization_code", "client_credentials" or 3 other candidates; fix: see the language's reference for what is allowed here
            bad.yaml:23:131: error: unknown property `ID`; fix: remove it, or correct its name or its indentation
            bad.yaml:24:137: error: `use.authentications` has no `sohp`; fix: did you mean `shop`? (they are defined under `use.authentications`)
            bad.yaml:25:89: error: this policy needs `subject`; fix: add `subject`, or let a secret have it all: `use`"#]],
    );
}

#[test]
fn a_call_of_a_document_is_checked_before_it_is_made() {
    check(
        "use:\n  functions:\n    openapi: {call: greet}\n    pet: {call: openapi, with: {document: {endpoint: 'https://a.b/{id}'}, operationId: getPet}}\ndo:\n  - a: {call: openapi}\n  - b: {call: openapi, with: {document: {}, operationId: 5}}\n  - c: {call: openapi, with: {document: {endpoint: 'ftp://a.b'}, operationId: x, parameters: [1]}}\n  - d: {call: openapi, with: {document: {endpoint: 'https://a.b/{'}, operationId: x, output: bytes}}\n  - e: {call: openapi, with: {document: {endpoint: 'https://a.b', uri: x}, operationID: x}}\n  - f: {call: openapi, with: {document: {endpoint: 'https://a.b'}, operationId: x, parameters: {a: '${ $nope }'}}}\n  - g: {call: pet, with: {parameters: {id: '${ .id }'}}}\n  - h: {call: pet, with: {redirect: 5}}\n  - i: {call: openapi, with: {document: {endpoint: 'https://a.b'}, operationId: x}, metadata: {millrace: {queue: mine}}}\n  - j: {openapi: {}}\n",
        expect![[r#"
            bad.yaml:4:5: error: `call: openapi` is a call of the language, and never this function; fix: give the function another name
            bad.yaml:7:5: error: the property `with` is missing; fix: add `with`
            bad.yaml:8:31: error: the property `endpoint` is missing; fix: add `endpoint`
            bad.yaml:8:45: error: 5 is not of type "string"; fix: see the language's reference for what is allowed here
            bad.yaml:9:42: error: `ftp` is no scheme of HTTP; fix: begin it with `https://` or `http://`
            bad.yaml:9:82: error: [1] is not of type "object"; fix: see the language's reference for what is allowed here
            bad.yaml:10:42: error: this is no URI template: there is a `{` without a `}` after it; fix: write such as `https://example.com/pets/{petId}`, where `petId` is a property of the task's input
            bad.yaml:10:86: error: "bytes" is not one of "raw", "content" or "response"; fix: see the language's reference for what is allowed here
            bad.yaml:11:24: error: the property `operationId` is missing; fix: add `operationId`
            bad.yaml:11:31: error: unknown property `uri`; fix: remove it, or correct its name or its indentation
            bad.yaml:12:97: error: expression `$nope`: there is no variable `$nope` here; fix: the variables here are $context, $input, $output, $authorization, $task, $workflow, $runtime
            bad.yaml:15:107: error: `metadata.millrace.queue` means nothing here; fix: use one of `heartbeat`, `compensate`
            bad.yaml:16:5: error: `openapi` is no kind of task; fix: write `call: openapi`"#]],
    );
}

#[test]
fn schemas_must_be_schemas() {
    check(
        "input: {schema: {document: {type: objct}}}\noutput: {schema: {document: {$ref: 'https://a.b/c.json'}}}\ndo: [{a: {wait: PT1S}}]\n",
        expect![[r#"
            bad.yaml:2:18: error: this is no JSON Schema: /type: "objct" is not valid under any of the schemas listed in the 'anyOf' keyword; fix: correct the schema
            bad.yaml:3:19: error: this is no JSON Schema: it refers to another document, or to a part that is not there; fix: correct the schema"#]],
    );
}

#[test]
fn metadata_for_millrace_is_checked() {
    check(
        "do:\n  - a: {call: f, metadata: {millrace: {queu: x, heartbeat: often}}}\n  - b: {emit: {event: {with: {type: t}}}, metadata: {millrace: {topic: a b, queue: q}}}\n  - c: {set: {x: 1}, metadata: {millrace: {queue: q}, other: 1}}\n  - d: {call: f, metadata: {millrace: [1]}}\n",
        expect![[r#"
            bad.yaml:3:40: error: `metadata.millrace.queu` means nothing here; fix: did you mean `queue`?
            bad.yaml:3:49: error: "often" is no ISO 8601 duration of days, hours, minutes and seconds, such as P1DT2H or PT0.5S; fix: write such as `PT30S`
            bad.yaml:4:65: error: "a b" cannot be a part of a topic's name; fix: use 1 to 249 letters, digits, `.`, `_` and `-`
            bad.yaml:4:77: error: `metadata.millrace.queue` means nothing here; fix: use one of `topic`, `compensate`
            bad.yaml:5:44: error: `metadata.millrace.queue` means nothing here; fix: use one of `compensate`
            bad.yaml:6:29: error: `metadata.millrace` must be a mapping; fix: write such as `millrace: { queue: orders }`"#]],
    );
}

/// A definition with `events` on line 7.
fn with_events(events: &str) -> String {
    format!(
        "document:\n  dsl: '1.0.3'\n  namespace: test\n  name: e\n  version: '1.0.0'\n  metadata: {{millrace: {{\n    \
         events: {events}}}}}\ndo: [{{a: {{wait: PT1S}}}}]\n"
    )
}

#[test]
fn topics_of_events_say_what_their_records_are() {
    let text = with_events(
        "[{topic: orders, decoding: json, type: order.placed, from: earliest}, {topic: scans, decoding: avro, type: scan}, {topic: shop.events, decoding: cloudevents}]",
    );
    let program = admit("good.yaml", &text).unwrap().program;
    expect![[r#"
        workflow test/e/1.0.0
          events from orders: JSON, as order.placed, since its oldest record
          events from scans: Avro, as scan, since the deployment
          events from shop.events: CloudEvents, since the deployment
          a: wait 1s
    "#]]
    .assert_eq(&program.describe());
}

#[test]
fn a_topic_that_cannot_be_read_is_refused() {
    let findings: Vec<String> = [
        "orders",
        "[]",
        "[orders]",
        "[{}]",
        "[{topic: orders}]",
        "[{topic: a b, decoding: xml}]",
        "[{topic: orders, decoding: json}]",
        "[{topic: orders, decoding: cloudevents, type: order.placed}]",
        "[{topic: orders, decoding: json, type: io.millrace.instance.start}]",
        "[{topic: orders, decoding: avro, type: '${ .kind }'}]",
        "[{topic: orders, decoding: avro, type: 5}]",
        "[{topic: orders, decodign: json, type: a, from: now}]",
        "[{topic: orders, decoding: cloudevents}, {topic: orders, decoding: json, type: a}]",
    ]
    .into_iter()
    .flat_map(|events| admit("bad.yaml", &with_events(events)).unwrap_err())
    .map(|it| it.to_string())
    .collect();
    expect![[r#"
        bad.yaml:7:5: error: `events` must be a list of 1 to 100 topics; fix: write such as `events: [{ topic: orders, decoding: json, type: order.placed }]`
        bad.yaml:7:5: error: `events` must be a list of 1 to 100 topics; fix: write such as `events: [{ topic: orders, decoding: json, type: order.placed }]`
        bad.yaml:7:14: error: "orders" is no mapping; fix: write such as `events: [{ topic: orders, decoding: json, type: order.placed }]`
        bad.yaml:7:14: error: the topic is missing; fix: write such as `events: [{ topic: orders, decoding: json, type: order.placed }]`
        bad.yaml:7:14: error: `decoding` is missing; fix: write one of `cloudevents`, `json`, `avro`
        bad.yaml:7:14: error: `decoding` is missing; fix: write one of `cloudevents`, `json`, `avro`
        bad.yaml:7:15: error: "a b" cannot be a part of a topic's name; fix: use 1 to 249 letters, digits, `.`, `_` and `-`
        bad.yaml:7:27: error: "xml" is no `decoding`; fix: write one of `cloudevents`, `json`, `avro`
        bad.yaml:7:14: error: the records are no CloudEvents, so something must say of which type they are; fix: add such as `type: order.placed`
        bad.yaml:7:53: error: a CloudEvent says itself of which type it is; fix: remove it, or choose the decoding `json` or `avro`
        bad.yaml:7:46: error: types that begin with `io.millrace.` are Millrace's own; fix: choose another, such as `com.example.order.placed`
        bad.yaml:7:46: error: "${ .kind }" is no type of events; fix: write text, such as `type: order.placed`
        bad.yaml:7:46: error: 5 is no type of events; fix: write text, such as `type: order.placed`
        bad.yaml:7:14: error: `decoding` is missing; fix: write one of `cloudevents`, `json`, `avro`
        bad.yaml:7:30: error: `decodign` means nothing here; fix: did you mean `decoding`?
        bad.yaml:7:55: error: "now" is no `from`; fix: write one of `earliest`, `latest`
        bad.yaml:7:55: error: the topic `orders` is there already; fix: read a topic in one way: remove one of the two"#]].assert_eq(&findings.join("\n"));
}

#[test]
fn a_history_says_how_long_or_off() {
    let findings: Vec<String> = [
        "true",
        "null",
        "none",
        "PT12H",
        "30",
        "[off]",
        "{}",
        "{retain: P30D}",
        "{retentoin: P30D}",
        "{retention: P30D, compress: true}",
        "{retention: 30}",
        "{retention: forevr}",
        "{retention: false}",
        "{retention: P1Y}",
        "{retention: '${ .kept }'}",
        "{retention: {weeks: 2}}",
        "{retention: {}}",
        "{retention: PT59M59.999S}",
        "{retention: P3660DT0.001S}",
    ]
    .into_iter()
    .flat_map(|history| admit("bad.yaml", &with_history(history)).unwrap_err())
    .map(|it| it.to_string())
    .collect();
    expect![[r#"
        bad.yaml:7:5: error: true does not say whether to keep the history, and how long; fix: write `{ retention: P30D }`, `{ retention: forever }` or `off`, or leave it out: then the fleet's default holds
        bad.yaml:7:5: error: null does not say whether to keep the history, and how long; fix: write `{ retention: P30D }`, `{ retention: forever }` or `off`, or leave it out: then the fleet's default holds
        bad.yaml:7:5: error: "none" does not say whether to keep the history, and how long; fix: write `{ retention: P30D }`, `{ retention: forever }` or `off`, or leave it out: then the fleet's default holds
        bad.yaml:7:5: error: "PT12H" does not say whether to keep the history, and how long; fix: write `{ retention: P30D }`, `{ retention: forever }` or `off`, or leave it out: then the fleet's default holds
        bad.yaml:7:5: error: 30 does not say whether to keep the history, and how long; fix: write `{ retention: P30D }`, `{ retention: forever }` or `off`, or leave it out: then the fleet's default holds
        bad.yaml:7:5: error: ["off"] does not say whether to keep the history, and how long; fix: write `{ retention: P30D }`, `{ retention: forever }` or `off`, or leave it out: then the fleet's default holds
        bad.yaml:7:5: error: `history` does not say how long to keep it; fix: write `{ retention: P30D }`, `{ retention: forever }` or `off`, or leave it out: then the fleet's default holds
        bad.yaml:7:15: error: `metadata.millrace.history.retain` means nothing here; fix: use one of `retention`
        bad.yaml:7:15: error: `metadata.millrace.history.retentoin` means nothing here; fix: did you mean `retention`?
        bad.yaml:7:32: error: `metadata.millrace.history.compress` means nothing here; fix: use one of `retention`
        bad.yaml:7:15: error: expected ISO 8601 text such as PT30S, or an object such as {seconds: 30}; fix: write an hour to ten years, such as `P30D` or `{ days: 30 }`, or `forever`
        bad.yaml:7:15: error: "forevr" is no ISO 8601 duration of days, hours, minutes and seconds, such as P1DT2H or PT0.5S; fix: write an hour to ten years, such as `P30D` or `{ days: 30 }`, or `forever`
        bad.yaml:7:15: error: expected ISO 8601 text such as PT30S, or an object such as {seconds: 30}; fix: write an hour to ten years, such as `P30D` or `{ days: 30 }`, or `forever`
        bad.yaml:7:15: error: "P1Y" is no ISO 8601 duration of days, hours, minutes and seconds, such as P1DT2H or PT0.5S; fix: write an hour to ten years, such as `P30D` or `{ days: 30 }`, or `forever`
        bad.yaml:7:15: error: a retention cannot be an expression: it is the same for all instances; fix: write an hour to ten years, such as `P30D` or `{ days: 30 }`, or `forever`
        bad.yaml:7:15: error: `weeks` is no unit: use days, hours, minutes, seconds, milliseconds; fix: write an hour to ten years, such as `P30D` or `{ days: 30 }`, or `forever`
        bad.yaml:7:15: error: {} is too short a retention; fix: write an hour to ten years, such as `P30D` or `{ days: 30 }`, or `forever`
        bad.yaml:7:15: error: "PT59M59.999S" is too short a retention; fix: write an hour to ten years, such as `P30D` or `{ days: 30 }`, or `forever`
        bad.yaml:7:15: error: a duration must be from 0 to ten years; fix: write an hour to ten years, such as `P30D` or `{ days: 30 }`, or `forever`"#]].assert_eq(&findings.join("\n"));
}

#[test]
fn a_history_is_a_matter_of_the_document() {
    check(
        "do:\n  - a: {call: f, metadata: {millrace: {history: off}}}\n  - b: {set: {x: 1}, metadata: {millrace: {history: {retention: P1D}}}}\n",
        expect![[r#"
            bad.yaml:3:40: error: `metadata.millrace.history` means nothing here; fix: use one of `queue`, `heartbeat`, `compensate`
            bad.yaml:4:44: error: `metadata.millrace.history` means nothing here; fix: use one of `compensate`"#]],
    );
    let misspelt = with_history("off").replace("history", "histroy");
    check_text(
        &misspelt,
        expect![
            "bad.yaml:7:5: error: `metadata.millrace.histroy` means nothing here; fix: did you mean `history`?"
        ],
    );
}

#[test]
fn a_history_is_described_if_the_definition_has_one() {
    let described: Vec<String> = [
        "off",
        "false",
        "{retention: forever}",
        "{retention: PT1H}",
        "{retention: P30D}",
        "{retention: {days: 1, hours: 12}}",
        "{retention: P3660D}",
    ]
    .into_iter()
    .map(|history| {
        let program = admit("a", &with_history(history)).unwrap().program;
        format!("{history} => {:?}\n{}", program.history, program.describe())
    })
    .collect();
    expect![[r#"
        off => Off
        workflow test/h/1.0.0
          history off
          a: wait 1s
        false => Off
        workflow test/h/1.0.0
          history off
          a: wait 1s
        {retention: forever} => Keep { retention: None }
        workflow test/h/1.0.0
          history kept for ever
          a: wait 1s
        {retention: PT1H} => Keep { retention: Some(3600s) }
        workflow test/h/1.0.0
          history kept for 3600s
          a: wait 1s
        {retention: P30D} => Keep { retention: Some(2592000s) }
        workflow test/h/1.0.0
          history kept for 2592000s
          a: wait 1s
        {retention: {days: 1, hours: 12}} => Keep { retention: Some(129600s) }
        workflow test/h/1.0.0
          history kept for 129600s
          a: wait 1s
        {retention: P3660D} => Keep { retention: Some(316224000s) }
        workflow test/h/1.0.0
          history kept for 316224000s
          a: wait 1s
    "#]]
    .assert_eq(&described.concat());
    let silent = admit("a", &format!("{HEAD}do: [{{a: {{wait: PT1S}}}}]")).unwrap().program;
    expect![[r#"
        Default
        workflow test/bad/1.0.0
          a: wait 1s
    "#]]
    .assert_eq(&format!("{:?}\n{}", silent.history, silent.describe()));
}

#[test]
fn types_of_events_that_are_millraces_own_are_refused() {
    check(
        "do:\n  - a: {emit: {event: {with: {type: io.millrace.instance.start}}}}\n  - b: {listen: {to: {one: {with: {type: io.millrace.x}}}}}\n",
        expect![[r#"
        bad.yaml:3:31: error: event types that begin with `io.millrace.` are Millrace's own; fix: choose a type in your own name, such as com.example.order.placed
        bad.yaml:4:36: error: event types that begin with `io.millrace.` are Millrace's own; fix: choose a type in your own name, such as com.example.order.placed"#]],
    );
}

#[test]
fn variables_need_names() {
    check(
        "do:\n  - a: {for: {each: $x, in: .x}, do: []}\n  - b: {for: {each: input, in: .x}, do: []}\n  - c: {for: {each: x, at: x, in: .x}, do: []}\n  - d: {try: [], catch: {as: a-b}}\n",
        expect![[r#"
            bad.yaml:3:15: error: `$x` cannot be the name of a variable; fix: use letters, digits and `_`, without `$`
            bad.yaml:4:15: error: `$input` is a variable of the language; fix: choose another name
            bad.yaml:5:9: error: the item and its index are both called `x`; fix: rename one of the two
            bad.yaml:6:26: error: `a-b` cannot be the name of a variable; fix: use letters, digits and `_`, without `$`"#]],
    );
}

#[test]
fn the_document_and_the_top_level_are_checked() {
    check_text(
        "document: {dsl: '2.0.0', namespace: a/b, name: x, version: '1'}\ntimout: {after: PT1S}\ndo: []\n",
        expect![[r#"
        bad.yaml:1:12: error: version 2.0.0 of the language is not supported; fix: write it in version 1.0.3: `dsl: '1.0.3'`
        bad.yaml:1:26: error: "a/b" is not allowed here; fix: use up to 63 letters, digits and `-`, not `-` at an end
        bad.yaml:1:51: error: "1" is not allowed here; fix: write a semantic version in quotes, such as '1.0.0'
        bad.yaml:2:1: error: unknown property `timout`; fix: did you mean `timeout`?
        bad.yaml:3:1: error: there is nothing to do; fix: add a task"#]],
    );
    check_text(
        "do: [{a: {wait: PT1S}}]\n",
        expect!["bad.yaml:1:1: error: the property `document` is missing; fix: add `document`"],
    );
    check_text(
        "[]",
        expect![[
            r#"bad.yaml:1:1: error: [] is not of type "object"; fix: see the language's reference for what is allowed here"#
        ]],
    );
    check_text(
        "",
        expect![
            "bad.yaml:1:1: error: expected one document, found 0; fix: put each definition into a file of its own"
        ],
    );
}

#[test]
fn text_that_is_no_data_is_refused_at_its_place() {
    for (text, expected) in [
        (
            "a: [1",
            expect![
                "bad.yaml:2:1: error: this is no YAML: while parsing a flow sequence, expected ',' or ']'; fix: check the indentation and the quotes here and on the line before"
            ],
        ),
        ("a: 1\na: 2", expect!["bad.yaml:2:1: error: the key `a` is here twice; fix: remove one of the two"]),
        (
            "--- 1\n--- 2",
            expect![
                "bad.yaml:1:1: error: expected one document, found 2; fix: put each definition into a file of its own"
            ],
        ),
        (
            "? [1]\n: 2",
            expect![
                "bad.yaml:1:3: error: a key must be text; fix: write plain YAML: text, numbers, lists, and mappings with text as keys"
            ],
        ),
        (
            "a: .inf",
            expect![
                "bad.yaml:1:1: error: inf is no number in JSON; fix: write plain YAML: text, numbers, lists, and mappings with text as keys"
            ],
        ),
        (
            "{\"do\": tru",
            expect![
                "bad.yaml:2:1: error: this is no YAML: while parsing a flow mapping, did not find expected ',' or '}'; fix: check the indentation and the quotes here and on the line before"
            ],
        ),
        (
            "a: *b",
            expect![
                "bad.yaml:1:4: error: this is no YAML: while parsing node, found unknown anchor; fix: check the indentation and the quotes here and on the line before"
            ],
        ),
    ] {
        check_text(text, expected);
    }
}

#[test]
fn bounds_hold() {
    let first = |text: &str| admit("bad.yaml", text).unwrap_err()[0].to_string();
    let laughs = (1..30)
        .fold("a0: &a0 [x, x]\n".to_owned(), |text, n| format!("{text}a{n}: &a{n} [*a{0}, *a{0}]\n", n - 1));
    let deep = (1..40)
        .fold("a0: &a0 [[[[x]]]]\n".to_owned(), |text, n| format!("{text}a{n}: &a{n} [[[[*a{}]]]]\n", n - 1));
    let nested = format!("{}{}{}", "{do: [{a: ".repeat(NESTING_MAX), "1", "}]}".repeat(NESTING_MAX));
    let many: String = (0..=TASKS_MAX).map(|n| format!("  - t{n}: {{wait: PT0S}}\n")).collect();
    let findings = [
        first(&" ".repeat(TEXT_BYTES_MAX + 1)),
        first(&"[".repeat(100_000)),
        first(&nested),
        first(&laughs),
        first(&deep),
        first(&format!("{HEAD}do:\n{many}")),
    ];
    expect![[r#"
        bad.yaml:1:1: error: the definition has 1048577 bytes; fix: keep it under 1 MiB: split it, or move data into the input
        bad.yaml:1:256: error: lists and mappings are nested more than 100 deep; fix: flatten the definition
        bad.yaml:1:851: error: lists and mappings are nested more than 100 deep; fix: flatten the definition
        bad.yaml:12:12: error: this is no YAML: alias expansion exceeded the maximum node budget (possible billion-laughs attack); fix: check the indentation and the quotes here and on the line before
        bad.yaml:25:15: error: lists and mappings are nested more than 100 deep; fix: flatten the definition
        bad.yaml:10003:5: error: the definition has more than 10000 tasks, those of functions and extensions counted wherever they are used; fix: split it into several workflows, or use a `for`"#]].assert_eq(&findings.join("\n"));
    // Text that nests tasks too deeply nests lists and mappings too deeply, too.
    const { assert!(3 * DEPTH_MAX > NESTING_MAX) };
}

#[test]
fn yaml_and_json_make_the_same_program_and_comments_make_no_difference() {
    let digest = |text: &str| admit("a", text).unwrap().program.digest;
    let yaml = digest(&format!("# A comment.\n{HEAD}do:\n  - a:\n      set:\n        x: 1\n"));
    let json = digest(
        r#"{"do": [{"a": {"set": {"x": 1}}}], "document": {"dsl": "1.0.3", "version": "1.0.0", "namespace": "test", "name": "bad"}}"#,
    );
    assert_eq!(yaml, json);
    assert_ne!(yaml, digest(&format!("{HEAD}do:\n  - a:\n      set:\n        x: 2\n")));
}

#[test]
fn yaml_is_version_1_2() {
    let program = admit(
        "a",
        &format!(
            "{HEAD}do: [{{a: {{set: {{on: yes, date: 2026-01-01, octal: 0o10, version: 1.10, t: true}}}}}}]"
        ),
    )
    .unwrap()
    .program;
    expect![[r#"{"on":"yes","date":"2026-01-01","octal":8,"version":1.1,"t":true}"#]]
        .assert_eq(&program.tasks[0].definition["set"].to_string());
}

#[test]
fn functions_are_tasks_that_are_compiled_where_they_are_called() {
    let text = "use: {functions: {reserve: {call: reserve-stock, with: {a: 1, b: '${ .b }'}, metadata: {millrace: {queue: stock, heartbeat: PT5S}}}}}\n\
        do:\n  - one: {call: reserve}\n  - two: {call: reserve, with: {b: 2}}\n  - three: {call: other}\n";
    let head = "document: {dsl: '1.0.3', namespace: test, name: f, version: '1.0.0', metadata: {millrace: {queue: standard}}}\n";
    let program = admit("a", &format!("{head}{text}")).unwrap().program;
    expect![[r#"
        workflow test/f/1.0.0
          one: call of the function below
            reserve: call reserve-stock with {"a":1,"b":"${ .b }"}, queue stock, heartbeat 5s
          two: call of the function below with {"b":2}
            reserve: call reserve-stock with {"a":1,"b":"${ .b }"}, queue stock, heartbeat 5s
          three: call other, queue standard
    "#]]
    .assert_eq(&program.describe());
}

#[test]
fn the_four_spellings_of_an_error_type_are_one() {
    use millrace_workflow::admission::errors::canonical_type;
    let wanted = "https://serverlessworkflow.io/spec/1.0.0/errors/timeout";
    for host in ["serverlessworkflow.io", "open-workflow-specification.org"] {
        for path in ["spec/1.0.0/errors", "dsl/errors/types"] {
            assert_eq!(canonical_type(&format!("https://{host}/{path}/timeout")), wanted);
        }
    }
    assert_eq!(canonical_type("https://a.b/c"), "https://a.b/c");
}

proptest! {
    #[test]
    fn any_text_is_admitted_or_refused_and_nothing_panics(text in ".{0,300}", yaml in "[a-c:\\- \\n{}\\[\\]&*'\"|>!?#,]{0,120}") {
        let _ = admit("any", &text);
        let _ = admit("any", &yaml);
    }

    /// One bad change to a good definition: a line is dropped, doubled or cut, or an indentation changes.
    #[test]
    fn a_broken_example_never_panics(line in 0_usize..200, how in 0_u8..4, cut in 0_usize..40) {
        let text = include_str!("../../../examples/order.yaml");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let at = line % lines.len();
        match how {
            0 => { lines.remove(at); }
            1 => lines.insert(at, lines[at].clone()),
            2 => lines[at] = lines[at].chars().take(cut).collect(),
            _ => lines[at] = format!("  {}", lines[at]),
        }
        let _ = admit("order.yaml", &lines.join("\n"));
    }
}

/// Functions, extensions and children: what is woven in where, and what can be wrong with it.
#[test]
fn what_a_definition_is_extended_with_is_described_where_it_runs() {
    let text = "document: {dsl: '1.0.3', namespace: test, name: f, version: '1.0.0', metadata: {millrace: {lifecycle: task}}}
use:
  extensions:
    - log: {extend: composite, when: '.x', before: [{told: {emit: {event: {with: {type: a}}}}}], after: [{told: {call: log}}]}
    - mock: {extend: call, before: [{answer: {set: {x: 1}, then: exit}}]}
do:
  - one: {do: [{two: {call: known, then: end}}], then: three}
  - three: {run: {workflow: {namespace: a, name: b, version: latest, input: {x: '${ .x }'}}}}
  - four: {run: {workflow: {namespace: a, name: b, version: '1.0.0'}, await: false}}
  - five: {listen: {to: {any: [{with: {type: a}, correlate: {k: {from: .k}}}, {with: {type: b}}], until: {all: [{with: {type: c}}]}}}}
";
    let program = admit("a", text).unwrap().program;
    expect![[r#"
        workflow test/f/1.0.0
          lifecycle events of instances and tasks
          log: extension when .x
            told: emit {"type":"a"}
            one: do -> three
              mock: extension
                answer: set {"x":1} -> exit
                two: call known, queue default -> end
            after: do | output ${ $input }
              told: call log, queue default
          three: run workflow a/b/newest with {"x":"${ .x }"}
          four: run workflow a/b/1.0.0 with {}, not awaited
          five: listen for type = "a" and the same .k or for type = "b", until there is one for type = "c", read data
    "#]].assert_eq(&program.describe());
}

#[test]
fn functions_extensions_children_and_secrets_are_checked() {
    check(
        "use:\n  secrets: [token]\n  functions:\n    again: {do: [{a: {call: again}}]}\n    jumps: {set: {x: 1}, then: other}\n    http: {set: {x: 1}}\n    wrong: {set: {x: '${ $nope }'}}\n  extensions:\n    - e: {extend: everything}\n    - f: {extend: set, before: [{a: {set: {x: 1}, then: nowhere}}]}\ndo:\n  - a: {call: again, metadata: {millrace: {queue: x}}}\n  - b: {call: x, with: {a: '${ $secrets.tokn }', b: '${ $secrets }'}}\n  - c: {call: x, output: {as: $secrets.token}}\n  - d: {run: {workflow: {namespace: '${ .n }', name: a, version: latest}, return: stdout}}\n  - e: {call: x, with: {a: '${ $secrets.token }'}}\n",
        expect![[r#"
            bad.yaml:5:5: error: the function `again` calls itself, and would never end; fix: use a `for`, a jump back by `then`, or `run: workflow`
            bad.yaml:6:26: error: a function cannot go to `other`: it is one task, in no list; fix: put tasks that follow one another into a `do`
            bad.yaml:7:5: error: `call: http` is a call of the language, and never this function; fix: give the function another name
            bad.yaml:8:19: error: expression `$nope`: there is no variable `$nope` here; fix: the variables here are $context, $input, $output, $authorization, $task, $workflow, $runtime
            bad.yaml:10:11: error: "everything" is not one of "call", "composite" or 10 other candidates; fix: see the language's reference for what is allowed here
            bad.yaml:11:51: error: there is no task `nowhere` in this list; fix: use one of `a`, `continue`, `exit`, `end` (a jump stays within its list)
            bad.yaml:13:44: error: `metadata.millrace.queue` means nothing here; fix: use one of `compensate`
            bad.yaml:14:18: error: `use.secrets` has no `tokn`; fix: did you mean `token`?
            bad.yaml:14:18: error: `$secrets` as a whole cannot be had; fix: name the secret, such as `$secrets.token` or `$secrets.db.password`
            bad.yaml:15:27: error: `$secrets` is seen only by tasks that a worker does; fix: use it in the `with` or the `input.from` of a `call`, or in a `run` of a process
            bad.yaml:16:26: error: "${ .n }" is not allowed here; fix: use up to 63 letters, digits and `-`, not `-` at an end
            bad.yaml:16:75: error: `return` is for processes; a workflow gives its output; fix: remove it"#]],
    );
}

#[test]
fn expressions_are_jq_and_stand_in_their_braces() {
    check("evaluate: {language: jq, mode: strict}\ndo: [{a: {set: {x: 1}}}]\n", expect![[""]]);
    check(
        "evaluate: {language: js, mode: loose, moe: 1}\ndo: [{a: {set: {x: 1}}}]\n",
        expect![[r#"
        bad.yaml:2:12: error: the expression language "js" is not supported yet; fix: write expressions in jq: `language: jq`
        bad.yaml:2:26: error: the mode `loose`, in which any text may be an expression is not supported yet; fix: put expressions into `${ }`: `mode: strict`
        bad.yaml:2:39: error: unknown property `moe`; fix: did you mean `mode`?"#]],
    );
    check(
        "evaluate: jq\ndo: [{a: {set: {x: 1}}}]\n",
        expect![
            "bad.yaml:2:1: error: `evaluate` is a mapping; fix: write `evaluate: { language: jq, mode: strict }`, or remove it"
        ],
    );
}

#[test]
fn what_nests_without_lists_is_bounded_too() {
    let chain: String = (0..1_000).map(|n| format!("    f{n}: {{call: f{}}}\n", n + 1)).collect();
    let first = |text: &str| admit("bad.yaml", text).unwrap_err()[0].to_string();
    let calls = first(&format!("{HEAD}use:\n  functions:\n{chain}do:\n  - a: {{call: f0}}\n"));
    assert!(calls.contains("nested more than 64 deep"), "{calls}");
    let many: String = (0..4_000).map(|n| format!("    - e{n}: {{extend: all}}\n")).collect();
    let extensions = first(&format!("{HEAD}use:\n  extensions:\n{many}do:\n  - a: {{set: {{x: 1}}}}\n"));
    assert!(extensions.contains("nested more than 64 deep"), "{extensions}");
    // Each calls the next one twice.
    let doubled: String = (0..300)
        .map(|n| format!("    g{n}: {{do: [{{a: {{call: g{0}}}}}, {{b: {{call: g{0}}}}}]}}\n", n + 1))
        .collect();
    let used = format!(
        "{HEAD}use:\n  functions:\n{doubled}    g300: {{set: {{x: 1}}}}\ndo:\n  - a: {{call: g300}}\n"
    );
    assert!(admit("good.yaml", &used).is_ok());
    let all = first(&used.replace("call: g300}\n", "call: g0}\n"));
    assert!(all.contains("more than 10000 tasks") || all.contains("nested more than 64 deep"), "{all}");
}

#[test]
fn children_are_named_as_workflows_are_and_secrets_are_few() {
    let secrets: String = (0..101).map(|n| format!("'${{ $secrets.a.b{n} }}', ")).collect();
    check(
        &format!(
            "use: {{secrets: [a]}}\ndo:\n  - a: {{run: {{workflow: {{namespace: 't/x', name: '', version: '1.0'}}}}}}\n  - b: {{call: x, with: {{l: [{secrets}]}}}}\n  - c: {{call: x, with: {{a: '${{ $secrets.a }}', b: '${{ $secrets.a.b }}'}}}}\n"
        ),
        expect![[r#"
            bad.yaml:4:26: error: "t/x" is not allowed here; fix: use up to 63 letters, digits and `-`, not `-` at an end
            bad.yaml:4:44: error: "" is not allowed here; fix: use up to 63 letters, digits and `-`, not `-` at an end
            bad.yaml:4:54: error: "1.0" is not allowed here; fix: write a semantic version in quotes, such as '1.0.0', or `latest`
            bad.yaml:5:5: error: the task names 101 secrets, and 100 may be named; fix: split it into several tasks
            bad.yaml:6:5: error: the task names the secret `a` as a whole, and `a.b` in it; fix: name the properties that are wanted, each by itself"#]],
    );
}

#[test]
fn a_switch_that_goes_on_to_what_it_chooses_between_is_pointed_out() {
    check(
        "timeout: {after: PT1M}\ndo:\n  - a: {switch: [{x: {when: .a, then: c}}, {y: {when: .b, then: d}}]}\n  - c: {set: {x: 1}, then: e}\n  - d: {set: {x: 1}}\n  - e: {switch: [{x: {when: .a, then: a}}, {y: {when: .b, then: exit}}]}\n  - f: {switch: [{x: {when: .a, then: h}}], then: continue}\n  - g: {switch: [{x: {when: .a, then: h}}, {y: {then: end}}]}\n  - h: {do: [{i: {switch: [{x: {when: .a, then: k}}]}}, {j: {set: {x: 1}}}, {k: {set: {x: 1}}}]}\n  - l: {switch: [{x: {when: .a, then: a}}]}\n",
        expect![[r#"
            bad.yaml:4:9: warning: if no case matches, this `switch` goes on to the next task, `c`; fix: add a case without `when` at the end, or say by a `then` of the task where to go (`then: continue` if this is meant)
            bad.yaml:10:19: warning: if no case matches, this `switch` goes on to the next task, `j`; fix: add a case without `when` at the end, or say by a `then` of the task where to go (`then: continue` if this is meant)"#]],
    );
}

#[test]
fn conditions_that_depend_on_nothing_are_pointed_out() {
    check(
        "do:\n  - a: {if: '${ false }', set: {x: 1}}\n  - b: {if: 'true', set: {x: 1}}\n  - c: {switch: [{x: {when: 'false', then: exit}}, {y: {when: '${ true }', then: continue}}, {z: {when: .z, then: end}}, {w: {then: end}}]}\n  - d: {switch: [{x: {when: 'true', then: end}}]}\n  - e: {if: 'null', set: {x: 1}}\n  - f:\n      try: [{g: {set: {x: 1}}}]\n      catch: {when: 'false', exceptWhen: 'false', do: [{h: {set: {x: 1}}}]}\n",
        expect![[r#"
            bad.yaml:3:9: warning: the task `a` never runs: its `if` is always false; fix: correct the condition, or remove the task
            bad.yaml:4:9: warning: this `if` is always true; fix: correct the condition, or remove it
            bad.yaml:5:23: warning: the case `x` is never taken: its `when` is always false; fix: correct the condition, or remove the case
            bad.yaml:5:57: warning: the case `y` is always taken, and none after it ever; fix: correct the condition, or make it the last case, without `when`
            bad.yaml:7:9: warning: the task `e` never runs: its `if` is always false; fix: correct the condition, or remove the task
            bad.yaml:10:15: warning: this `when` is always false: nothing is ever caught; fix: correct the condition, or remove it
            bad.yaml:10:30: warning: this `exceptWhen` is always false, and changes nothing; fix: correct the condition, or remove it"#]],
    );
}

#[test]
fn waiting_without_an_end_is_pointed_out_once() {
    check(
        "use:\n  retries: {short: {limit: {attempt: {count: 3, duration: PT5S}}}}\n  functions:\n    ask: {do: [{asking: {call: person}}]}\n    asked: {call: person, timeout: {after: P1D}}\ndo:\n  - a: {call: f, timeout: {after: PT1S}}\n  - b: {do: [{c: {call: f}}], timeout: {after: PT1S}}\n  - d: {call: ask}\n  - e: {call: ask}\n  - f: {call: asked}\n  - g: {try: [{h: {call: f}}], catch: {retry: short, do: [{i: {listen: {to: {one: {with: {type: x}}}}}}]}}\n  - j: {run: {workflow: {namespace: a, name: b, version: '1.0.0'}}}\n  - k: {run: {await: false, workflow: {namespace: a, name: b, version: '1.0.0'}}}\n  - l: {fork: {branches: [{m: {call: f}}, {n: {wait: PT1S}}]}}\n",
        expect![
            "bad.yaml:5:17: warning: `asking`, `i`, `j`, and 1 more wait for ever if nobody answers: there is no `timeout`; fix: set one on the task, on a task around it, or on the workflow"
        ],
    );
    check("timeout: {after: PT1M}\ndo: [{a: {call: f}}]\n", expect![[""]]);
}

#[test]
fn errors_that_are_swallowed_are_pointed_out() {
    check(
        "do:\n  - a: {try: [{b: {set: {x: 1}}}], catch: {}}\n  - c: {try: [{d: {set: {x: 1}}}], catch: {do: [], retry: {limit: {attempt: {count: 1}}}}}\n  - e: {try: [{f: {set: {x: 1}}}], catch: {do: [{g: {set: {x: 1}}}]}}\n",
        expect![[r#"
            bad.yaml:3:36: warning: the error is swallowed, and the output is the input of the `try`; fix: say in `catch.do` what follows: `set` an output that tells, or `raise` the error
            bad.yaml:4:36: warning: when nothing is retried any more, the error is swallowed, and the output is the input of the `try`; fix: say in `catch.do` what follows: `set` an output that tells, or `raise` the error"#]],
    );
}

#[test]
fn a_schedule_is_checked() {
    for (schedule, expected) in [
        ("{every: PT15M}", expect![""]),
        ("{cron: '*/5 6-18 * JAN,FEB MON-FRI'}", expect![""]),
        ("{cron: '@daily'}", expect![""]),
        ("{after: {seconds: 0}}", expect![""]),
        ("{every: PT15M, on: {any: [{with: {type: x, data: '${ .a > 1 }'}}]}}", expect![""]),
        (
            "{every: PT15M, after: soon, cron: x}",
            expect![[r#"
            bad.yaml:2:26: error: "soon" is no duration; fix: write such as `PT30S`, `P1DT12H` or `{ minutes: 5 }`
            bad.yaml:2:39: error: a schedule has `every` or `cron`, not both; fix: write a workflow for each, which runs a third one
            bad.yaml:2:39: error: `x` is no cron expression: Invalid pattern: Pattern must have 5 fields when seconds are disallowed.; fix: write minute, hour, day, month, weekday, such as `0 6 * * MON-FRI`"#]],
        ),
        (
            "{}",
            expect![
                "bad.yaml:2:1: error: the schedule does not say when; fix: add `every`, `cron`, `after` or `on`; or remove it"
            ],
        ),
        (
            "{every: PT0S}",
            expect![
                "bad.yaml:2:12: error: nothing can start without a pause between; fix: write such as `PT30S`, `P1DT12H` or `{ minutes: 5 }`"
            ],
        ),
        (
            "{after: soon}",
            expect![[
                r#"bad.yaml:2:12: error: "soon" is no duration; fix: write such as `PT30S`, `P1DT12H` or `{ minutes: 5 }`"#
            ]],
        ),
        (
            "{every: '${ .x }'}",
            expect![[
                r#"bad.yaml:2:12: error: "${ .x }" is no ISO 8601 duration of days, hours, minutes and seconds, such as P1DT2H or PT0.5S; fix: write such as `PT30S`, `P1DT12H` or `{ minutes: 5 }`"#
            ]],
        ),
        (
            "{cron: '0 0 * *'}",
            expect![
                "bad.yaml:2:12: error: `0 0 * *` is no cron expression: Invalid pattern: Pattern must have 5 fields when seconds are disallowed.; fix: write minute, hour, day, month, weekday, such as `0 6 * * MON-FRI`"
            ],
        ),
        (
            "{cron: '0 0 0 * * *'}",
            expect![
                "bad.yaml:2:12: error: `0 0 0 * * *` is no cron expression: Invalid pattern: Pattern must have 5 fields when seconds are disallowed.; fix: write minute, hour, day, month, weekday, such as `0 6 * * MON-FRI`"
            ],
        ),
        (
            "{cron: '60 0 * * *'}",
            expect![
                "bad.yaml:2:12: error: `60 0 * * *` is no cron expression: Component error: Number out of bounds.; fix: write minute, hour, day, month, weekday, such as `0 6 * * MON-FRI`"
            ],
        ),
        (
            "{cron: '* * * * XYZ'}",
            expect![
                "bad.yaml:2:12: error: `* * * * XYZ` is no cron expression: Pattern contains illegal characters: CronPattern contains illegal character 'X' in part 'XYZ'; fix: write minute, hour, day, month, weekday, such as `0 6 * * MON-FRI`"
            ],
        ),
        (
            "{cron: '0 0 30 2 *'}",
            expect![
                "bad.yaml:2:1: error: such a time never comes; fix: look for a day that its month does not have"
            ],
        ),
        (
            "{on: {one: {with: {type: io.millrace.x, data: '${ .a | }'}}}}",
            expect![[r#"
            bad.yaml:2:30: error: event types that begin with `io.millrace.` are Millrace's own; fix: choose a type in your own name, such as com.example.order.placed
            bad.yaml:2:51: error: expression `.a |`: expected term at its end; fix: write jq, such as `.order.total > 100`"#]],
        ),
        (
            "{on: {all: []}}",
            expect![
                "bad.yaml:2:17: error: there is no event to listen to; fix: name an event; or listen to `any: []`, which takes every event"
            ],
        ),
        (
            "{on: {}, at: noon}",
            expect!["bad.yaml:2:12: error: the property `one` is missing; fix: add `one`"],
        ),
    ] {
        check(&format!("schedule: {schedule}\ndo: [{{a: {{set: {{x: 1}}}}}}]\n"), expected);
    }
}

#[test]
fn what_instances_are_found_by_and_asked_for_is_checked_and_described() {
    let head = "document:\n  dsl: '1.0.3'\n  namespace: test\n  name: f\n  version: '1.0.0'\n  metadata:\n    millrace:\n";
    let body = "do: [{ a: { wait: PT1S } }]\n";
    let bad = "      searchAttributes: { 1st: 1, list: [1], gone: null, deep: { a: '${ .a }' }, wrong: '${ .a | }', token: '${ $secrets.t }', empty: '' }\n      queries: { 'a b': '.x', wrong: '.x |', other: '$nope' }\n";
    check_text(
        &format!("{head}{bad}{body}"),
        expect![[r#"
        bad.yaml:8:27: error: `1st` cannot be a name among search attributes; fix: begin with a letter, use letters, digits, `_` and `-`, at most 64
        bad.yaml:8:35: error: a search attribute is a text, a number, `true` or `false`; fix: write one, or an expression in `${ }` that gives one
        bad.yaml:8:46: error: a search attribute is a text, a number, `true` or `false`; fix: write one, or an expression in `${ }` that gives one
        bad.yaml:8:58: error: a search attribute is a text, a number, `true` or `false`; fix: write one, or an expression in `${ }` that gives one
        bad.yaml:8:82: error: expression `.a |`: expected term at its end; fix: write jq, such as `.order.total > 100`
        bad.yaml:8:102: error: `$secrets` is seen only by tasks that a worker does; fix: use it in the `with` or the `input.from` of a `call`, or in a `run` of a process
        bad.yaml:8:128: error: the text of a search attribute has from 1 to 256 bytes; fix: write a shorter one
        bad.yaml:9:18: error: `a b` cannot be a name among queries; fix: begin with a letter, use letters, digits, `_` and `-`, at most 64
        bad.yaml:9:31: error: expression `.x |`: expected term at its end; fix: write jq, such as `.order.total > 100`
        bad.yaml:9:46: error: expression `$nope`: there is no variable `$nope` here; fix: the variables here are $context, $input, $output, $authorization, $task, $workflow, $runtime"#]],
    );
    let many: Vec<_> = (0..17).map(|it| format!("a{it}: 1")).collect();
    check_text(
        &format!("{head}      searchAttributes: {{ {} }}\n{body}", many.join(", ")),
        expect![
            "bad.yaml:8:7: error: 17 search attributes, and 16 are allowed; fix: keep those that people ask for"
        ],
    );
    check_text(
        &format!("{head}      searchAttributes: customer\n      queries: [a]\n{body}"),
        expect![[r#"
        bad.yaml:8:7: error: search attributes are a mapping; fix: write such as `searchAttributes: { customer: '${ .customer }' }`
        bad.yaml:9:7: error: queries are a mapping; fix: write such as `queries: { progress: '${ $context.done }' }`"#]],
    );
    let good = "      searchAttributes: { customer: '${ .customer }', big: '${ $context.total > 100 }', kind: order }\n      queries: { progress: '$context.done / $context.total', whole: { is: '${ .status }' } }\n";
    let admitted = admit("good.yaml", &format!("{head}{good}{body}")).unwrap();
    expect![[r#"
        workflow test/f/1.0.0
          found by big ${ $context.total > 100 }, customer ${ .customer }, kind "order"
          queries progress, whole
          a: wait 1s
    "#]]
    .assert_eq(&admitted.program.describe());
}

#[test]
fn the_settings_of_a_schedule_are_checked() {
    for (schedule, settings, expected) in [
        (
            "{cron: '0 6 * * *'}",
            "{timeZone: Europe/Berlin, overlap: skip, catchUpWindow: PT1H, startAt: '2026-01-01T00:00:00+01:00', endAt: '2027-01-01T00:00:00Z', input: {region: eu}}",
            expect![""],
        ),
        (
            "{cron: '0 6 * * *'}",
            "{timeZone: Berlin, overlap: maybe, catchUpWindow: PT1S, startAt: tomorrow, input: 3, at: noon}",
            expect![[r#"
                bad.yaml:6:36: error: there is no time zone `Berlin`; fix: write a name of the IANA database, such as `Europe/Berlin`
                bad.yaml:6:54: error: "maybe" does not say what becomes of a start while the run before is still at it; fix: write `skip`, `bufferOne` or `allow`
                bad.yaml:6:70: error: each start is a little late, and would be skipped; fix: write ten seconds to ten years, such as `PT1H`
                bad.yaml:6:91: error: "tomorrow" is no time; fix: write it with its offset, such as `2026-03-29T01:00:00Z`
                bad.yaml:6:110: error: the input must be a mapping; fix: write such as `{ region: eu }`
                bad.yaml:6:120: error: `metadata.millrace.schedule.at` means nothing here; fix: use one of `timeZone`, `overlap`, `catchUpWindow`, `startAt`, `endAt`, `input`"#]],
        ),
        (
            "{cron: '0 6 * * *'}",
            "{timeZone: 1, catchUpWindow: soon}",
            expect![[r#"
            bad.yaml:6:36: error: 1 is no time zone; fix: write a name of the IANA database, such as `Europe/Berlin`
            bad.yaml:6:49: error: "soon" is no ISO 8601 duration of days, hours, minutes and seconds, such as P1DT2H or PT0.5S; fix: write ten seconds to ten years, such as `PT1H`"#]],
        ),
        (
            "{every: PT1H}",
            "{timeZone: Europe/Berlin, endAt: '1960-01-01T00:00:00Z'}",
            expect![[r#"
            bad.yaml:6:36: error: a time zone makes no difference without `cron`; fix: remove it
            bad.yaml:7:1: error: such a time never comes; fix: write an `endAt` that is later"#]],
        ),
        (
            "{after: PT1H}",
            "{overlap: skip}",
            expect!["bad.yaml:6:36: error: runs of `after` do not overlap; fix: remove it"],
        ),
        (
            "{on: {any: []}}",
            "{overlap: skip}",
            expect![
                "bad.yaml:6:25: error: there is nothing to set: the workflow has no `schedule` by the clock; fix: add `every`, `cron` or `after`; or remove it"
            ],
        ),
        (
            "{every: PT1H}",
            "daily",
            expect![
                "bad.yaml:6:25: error: `metadata.millrace.schedule` must be a mapping; fix: write such as `{ timeZone: Europe/Berlin, overlap: skip }`"
            ],
        ),
    ] {
        let text = format!(
            "document:\n  dsl: '1.0.3'\n  namespace: test\n  name: bad\n  version: '1.0.0'\n  metadata: {{millrace: {{schedule: {settings}}}}}\nschedule: {schedule}\ndo: [{{a: {{set: {{x: 1}}}}}}]\n"
        );
        check_text(&text, expected);
    }
}

#[test]
fn what_undoes_a_task_is_checked_as_tasks_are() {
    check(
        "do:\n  - a: {call: f, metadata: {millrace: {compensate: [{undo: {cal: g}}]}}}\n  - b: {set: {x: 1}, metadata: {millrace: {compensate: {undo: {call: g}}}}}\n  - c: {wait: PT1S, metadata: {millrace: {compensate: []}}}\n  - d:\n      for: {in: '[1]'}\n      do:\n        - e: {call: f, metadata: {millrace: {compensate: [{undo: {call: g, with: {x: '${ $item }'}, metadata: {millrace: {compensate: [{no: {wait: PT1S}}]}}}}]}}}\n  - f: {emit: {event: {with: {type: t}}}, metadata: {millrace: {topic: t, compensate: [{a: {set: {x: 1}, then: b}}, {a: {wait: PT1S}}]}}}\n",
        expect![[r#"
            bad.yaml:3:61: error: `cal` is no kind of task; fix: did you mean `call`?
            bad.yaml:4:44: error: `compensate` is a list with the tasks that undo this one; fix: write such as `compensate: [{ refund: { call: refund-payment } }]`
            bad.yaml:5:43: error: `compensate` is a list with the tasks that undo this one; fix: write such as `compensate: [{ refund: { call: refund-payment } }]`
            bad.yaml:9:83: error: expression `$item`: there is no variable `$item` here; fix: the variables here are $context, $input, $output, $secrets, $authorization, $task, $workflow, $runtime
            bad.yaml:9:123: error: what undoes a task is not undone itself; fix: a `try` around what may fail in it, and its `catch`, say what happens then
            bad.yaml:10:106: error: there is no task `b` in this list; fix: use one of `a`, `continue`, `exit`, `end` (a jump stays within its list)
            bad.yaml:10:118: error: the name `a` is taken by another task of this list; fix: rename one of the two"#]],
    );
}

#[test]
fn what_becomes_of_an_error_is_said_by_the_document() {
    check_text(
        "document:\n  dsl: '1.0.3'\n  namespace: test\n  name: h\n  version: '1.0.0'\n  metadata: {millrace: {onFault: retry, onfault: fault}}\ndo: [{a: {wait: PT1S, metadata: {millrace: {onFault: fault}}}}]\n",
        expect![[r#"
            bad.yaml:6:25: error: "retry" does not say what becomes of an instance with an error that nothing catches; fix: write `fault`, which ends it, or `incident`, which lets it stand still for somebody to look at
            bad.yaml:6:41: error: `metadata.millrace.onfault` means nothing here; fix: did you mean `onFault`?
            bad.yaml:7:45: error: `metadata.millrace.onFault` means nothing here; fix: use one of `compensate`"#]],
    );
}

#[test]
fn what_undoes_a_task_is_described_and_warned_about() {
    let text = format!(
        "{HEAD}do:\n  - a:\n      call: f\n      timeout: {{after: PT1S}}\n      metadata: {{millrace: {{compensate: [{{undo: {{call: g}}}}, {{note: {{set: {{x: 1}}}}}}]}}}}\n"
    );
    let admitted = admit("good.yaml", &text).unwrap();
    expect![[r#"
        workflow test/bad/1.0.0
          a: call f, queue default | timeout 1s
          undone by
            undo: call g, queue default
            note: set {"x":1}
    "#]]
    .assert_eq(&admitted.program.describe());
    let warnings: Vec<String> = admitted.warnings.iter().map(ToString::to_string).collect();
    expect!["good.yaml:6:43: warning: `undo` waits for ever if nobody answers: there is no `timeout`; fix: set one on the task, on a task around it, or on the workflow"].assert_eq(&warnings.join("\n"));
}
