//! `run`, and calls of services: what is wrong with them, and what the built-in worker is given.
#![allow(clippy::unwrap_used)]

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
    let calls = program.tasks.iter().map(|it| match &it.kind {
        Kind::Call(call) => format!("{} {} {}", call.queue, call.function, call.arguments.as_ref().unwrap()),
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
            bad.yaml:5:78: error: `authentication` is not supported yet; fix: let a worker of yours make calls that need credentials: those in a definition could be read by everybody
            bad.yaml:6:15: error: the property `source` is missing; fix: add `source`
            bad.yaml:7:9: error: this has several forms at once; only one is allowed; fix: keep one of them
            bad.yaml:7:9: error: unknown properties `script`, `shell`; fix: remove it, or correct its name or its indentation
            bad.yaml:8:37: error: "everything" is not one of "stdout", "stderr" or 3 other candidates; fix: see the language's reference for what is allowed here
            bad.yaml:9:37: warning: the output of a process that is not awaited is the task's input; fix: remove `return`, or `await: false`
            bad.yaml:10:69: error: "soon" is no duration; fix: write such as `PT30S`, `P1DT12H` or `{ minutes: 5 }`
            bad.yaml:11:69: error: an expression here is not supported yet; fix: write the duration such as `PT30M` or `{ minutes: 30 }`
            bad.yaml:12:39: error: "sometimes" is not one of "ifNotPresent", "always" or "never"; fix: see the language's reference for what is allowed here
            bad.yaml:13:60: error: `metadata.millrace.queue` means nothing here; fix: use one of `heartbeat`
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
