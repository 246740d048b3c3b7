//! Expressions: what they see, what they may not do, and the short cut for plain paths.

use std::borrow::Cow;
use std::sync::Arc;

use expect_test::{Expect, expect};
use millrace_schemas::Timestamp;
use millrace_workflow::expression::{Expression, Template, Variables};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Variables from a JSON object.
struct Object(Value);

impl Variables for Object {
    fn get(&self, name: &str) -> Option<Cow<'_, Value>> {
        self.0.get(name).map(Cow::Borrowed)
    }

    fn at(&self) -> Timestamp {
        Timestamp(1_700_000_000_250)
    }
}

fn run(code: &str, input: &Value) -> Result<Value, String> {
    let variables =
        Object(json!({ "context": { "a": [1, 2] }, "input": "raw", "item": { "id": 7 }, "inputs": 1 }));
    let locals: [Arc<str>; 1] = ["item".into()];
    let expression = Expression::compile(code, &locals).map_err(|error| format!("refused: {error}"))?;
    expression.evaluate(input, &variables).map_err(|error| format!("failed: {error}"))
}

fn check(codes: &[&str], input: Value, expected: Expect) {
    let lines: Vec<String> = codes
        .iter()
        .map(|code| match run(code, &input) {
            Ok(value) => format!("{code} => {value}"),
            Err(error) => error,
        })
        .collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn expressions_see_their_input_and_the_variables() {
    check(
        &[
            ".",
            ".user.name",
            "${ .user.age + 1 }",
            "$context.a",
            "$context.a | length",
            "$item.id",
            "[$item.id, $input]",
            ".missing.deeper",
            "$output",
            "now",
            ".user | {name, old: (.age > 30)}",
            "10 / 4",
            "10 / 5",
            ".user.def",
            ".big",
            ".float",
        ],
        json!({ "user": { "name": "Ann", "age": 41, "def": 1 }, "big": 18_446_744_073_709_551_615_u64, "float": 0.5 }),
        expect![[r#"
            . => {"user":{"name":"Ann","age":41,"def":1},"big":18446744073709551615,"float":0.5}
            .user.name => "Ann"
            ${ .user.age + 1 } => 42
            $context.a => [1,2]
            $context.a | length => 2
            $item.id => 7
            [$item.id, $input] => [7,"raw"]
            .missing.deeper => null
            $output => null
            now => 1700000000.25
            .user | {name, old: (.age > 30)} => {"name":"Ann","old":true}
            10 / 4 => 2.5
            10 / 5 => 2
            .user.def => 1
            .big => 18446744073709551615
            .float => 0.5"#]],
    );
}

#[test]
fn nothing_outside_of_the_data_is_in_reach() {
    check(
        &[
            "env",
            "$ENV",
            "$ENV.PATH",
            "halt",
            "halt_error",
            "input",
            "[inputs]",
            "debug",
            "stderr",
            "input_filename",
            "localtime",
            "strflocaltime(\"%H\")",
            "import \"a\" as a; .",
            "include \"a\"; .",
            "def f: f; f",
            "import \"a\" as $x; .",
            "$__now",
            "$nowhere",
            "nothing(1)",
            "$it",
            "get_search_list",
            "jn(2; 1)",
            "__matches(\"a\"; \"\")",
        ],
        json!(null),
        expect![[r#"
            refused: expression `env`: `env` is not available: an expression sees only its data
            refused: expression `$ENV`: there is no variable `$ENV` here
            refused: expression `$ENV.PATH`: there is no variable `$ENV` here
            refused: expression `halt`: `halt` is not available: an expression sees only its data
            refused: expression `halt_error`: `halt_error` is not available: an expression sees only its data
            refused: expression `input`: `input` is not available: an expression sees only its data
            refused: expression `[inputs]`: `inputs` is not available: an expression sees only its data
            refused: expression `debug`: `debug` is not available: an expression sees only its data
            refused: expression `stderr`: `stderr` is not available: an expression sees only its data
            refused: expression `input_filename`: `input_filename` is not available: an expression sees only its data
            refused: expression `localtime`: `localtime` is not available: an expression sees only its data
            refused: expression `strflocaltime("%H")`: `strflocaltime` is not available: an expression sees only its data
            refused: expression `import "a" as a; .`: modules are not available
            refused: expression `include "a"; .`: modules are not available
            refused: expression `def f: f; f`: `def` is not available: a function that calls itself would never end
            refused: expression `import "a" as $x; .`: modules are not available
            refused: expression `$__now`: there is no variable `$__now` here
            refused: expression `$nowhere`: there is no variable `$nowhere` here
            refused: expression `nothing(1)`: there is no function `nothing` here
            refused: expression `$it`: there is no variable `$it` here
            refused: expression `get_search_list`: there is no function `get_search_list` here
            refused: expression `jn(2; 1)`: `jn` is not available: its time grows with its argument
            refused: expression `__matches("a"; "")`: there is no function `__matches` here"#]],
    );
}

#[test]
fn failures_say_what_failed() {
    check(
        &[
            "empty",
            ".a.b",
            ".[0]",
            "1 / \"x\"",
            "error(\"why\")",
            "error({a: 1})",
            ".a.b | .c",
            "(1",
            "1 +",
            "",
            "}",
            "nan",
            "infinite",
            "{(1|tostring): 2}",
            "{a: 1} | tobytes",
            "first(range(10; 20))",
            "1, 2",
            "\"xx\" * 9000000000000000000",
            "[limit(300000; repeat(\"abcdef\"))]",
            "reduce range(200) as $i (0; [.])",
            ".a } and ${ .b",
        ],
        json!({ "a": 5 }),
        expect![[r#"
            failed: expression `empty`: it gave no value
            failed: expression `.a.b`: cannot index 5 with "b"
            .[0] => null
            failed: expression `1 / "x"`: cannot calculate 1 / "x"
            failed: expression `error("why")`: "why"
            failed: expression `error({a: 1})`: {"a":1}
            failed: expression `.a.b | .c`: cannot index 5 with "b"
            refused: expression `(1`: expected closing parenthesis at its end
            refused: expression `1 +`: expected term at its end
            refused: expression ``: expected term at its end
            refused: expression `}`: expected token at `}`
            failed: expression `nan`: its output holds NaN, which is no JSON number
            failed: expression `infinite`: its output holds Infinity, which is no JSON number
            {(1|tostring): 2} => {"1":2}
            failed: expression `{a: 1} | tobytes`: "cannot convert {\"a\":1} to bytes"
            first(range(10; 20)) => 10
            1, 2 => 1
            failed: expression `"xx" * 9000000000000000000`: it makes a text of more than 4 MiB: give it less data, or repeat less of it
            failed: expression `[limit(300000; repeat("abcdef"))]`: its output is larger than 1048576 bytes
            failed: expression `reduce range(200) as $i (0; [.])`: its output is nested more than 100 deep
            refused: expression `.a } and ${ .b`: expected token at `} and ${ .b`"#]],
    );
}

#[test]
fn what_is_too_long_or_too_deep_is_refused_before_it_can_exhaust_the_stack() {
    let refused = |code: String| Expression::compile(&code, &[]).unwrap_err().detail;
    let texts = [
        refused("(".repeat(5_000)),
        refused("[".repeat(5_000) + &"]".repeat(5_000)),
        refused(format!("{}1", "-".repeat(5_000))),
        refused(format!("1{}", "+1".repeat(5_000))),
        refused(format!("1{}", "|1".repeat(5_000))),
        refused(format!("{}1", "try ".repeat(2_000))),
        refused(format!("\"{}\"", "\\(".repeat(1_000))),
        refused("x".repeat(20_000)),
    ];
    expect![[r#"
        its brackets are nested more than 64 deep
        its brackets are nested more than 64 deep
        it has more than 128 operators: split it into several tasks
        it has more than 128 operators: split it into several tasks
        it has more than 128 operators: split it into several tasks
        it has more than 128 operators: split it into several tasks
        its brackets are nested more than 64 deep
        it is longer than 16384 bytes"#]]
    .assert_eq(&texts.join("\n"));
}

#[test]
fn at_the_bounds_everything_works_on_a_small_stack() {
    let code = [
        format!("1{}", "+1".repeat(127)),
        format!("{}1{}", "[".repeat(64), "]".repeat(64)),
        format!("{}1", "-".repeat(127)),
    ];
    for code in code {
        Expression::compile(&code, &[]).unwrap().evaluate(&json!(null), &Object(json!({}))).unwrap();
    }
}

#[test]
fn conditions_are_true_false_or_null() {
    let is_true = |code: &str| {
        Expression::compile(code, &[]).unwrap().is_true(&json!({ "yes": true }), &Object(json!({})))
    };
    assert_eq!(is_true(".yes"), Ok(true));
    assert_eq!(is_true(".yes | not"), Ok(false));
    assert_eq!(is_true(".missing"), Ok(false));
    expect!["expression `1`: a condition must give true or false, this gave 1"]
        .assert_eq(&is_true("1").unwrap_err().to_string());
}

#[test]
fn templates_evaluate_what_is_wholly_an_expression_in_the_definition_and_nothing_in_the_data() {
    let template = Template::compile(
        &json!({ "a": "${ .x }", "b": ["${ .y }", "Hello ${ .x }"], "c": { "d": 1 }, " e": " ${ .x }\n" }),
        &[],
    );
    let value = template.unwrap().evaluate(&json!({ "x": "${ .y }", "y": 2 }), &Object(json!({}))).unwrap();
    expect![[r#"{"a":"${ .y }","b":[2,"Hello ${ .x }"],"c":{"d":1}," e":"${ .y }"}"#]]
        .assert_eq(&value.to_string());
    let constant = json!({ "a": [1, { "b": "text" }] });
    assert_eq!(Template::compile(&constant, &[]).unwrap().constant(), Some(&constant));
}

#[test]
fn a_template_reports_all_that_does_not_compile() {
    let errors = Template::compile(&json!({ "a/b": ["${ ( }"], "c": "${ $x }" }), &[]).unwrap_err();
    let pointers: Vec<&str> = errors.iter().map(|it| it.0.as_str()).collect();
    assert_eq!(pointers, ["/a~1b/0", "/c"]);
}

/// JSON without whole floats: jq writes 5.0 as 5.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1000_i32..1000).prop_map(|it| json!(f64::from(it) + 0.5)),
        "[a-c]{0,3}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-c]", inner, 0..4).prop_map(|it| it.into_iter().collect()),
        ]
    })
}

proptest! {
    /// In brackets it is no plain path any more, so jq itself computes it.
    #[test]
    fn plain_paths_give_what_jq_gives(
        input in value(),
        context in value(),
        keys in prop::collection::vec("[a-c]", 0..4),
        from_context in any::<bool>(),
    ) {
        let root = if from_context { "$context" } else if keys.is_empty() { "." } else { "" };
        let path = keys.iter().fold(root.to_owned(), |path, key| format!("{path}.{key}"));
        let variables = Object(json!({ "context": context }));
        let evaluate = |code: &str| Expression::compile(code, &[]).unwrap().evaluate(&input, &variables);
        prop_assert_eq!(evaluate(&path).map_err(|it| it.detail), evaluate(&format!("({path})")).map_err(|it| it.detail));
    }

    #[test]
    fn compiling_any_text_never_panics(code in ".{0,200}", jq in "[.a$|()\\[\\]{}\"0-9+,:;?@ \\\\-]{0,60}") {
        let _ = Expression::compile(&code, &[]);
        let _ = Expression::compile(&jq, &[]).map(|it| it.evaluate(&json!({ "a": [1, "x"] }), &Object(json!({}))));
    }
}
