//! Counting changes nothing: what ends within the bounds gives exactly what jaq gives.

use std::borrow::Cow;

use jaq_core::data::JustLut;
use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, unwrap_valr};
use jaq_json::Val;
use millrace_schemas::Timestamp;
use millrace_workflow::expression::{Expression, Variables};
use proptest::prelude::*;
use serde_json::{Value, json};

struct Nothing;

impl Variables for Nothing {
    fn get(&self, _: &str) -> Option<Cow<'_, Value>> {
        None
    }

    fn at(&self) -> Timestamp {
        Timestamp(1_700_000_000_250)
    }
}

type Plain = JustLut<Val>;

/// jaq alone.
fn jaq(code: &str) -> Option<jaq_core::Filter<Plain>> {
    let arena = Arena::default();
    let definitions = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let modules = Loader::new(definitions).load(&arena, File { code, path: () }).ok()?;
    let functions = jaq_core::funs::<Plain>().chain(jaq_std::funs()).chain(jaq_json::funs());
    Compiler::default().with_funs(functions).compile(modules).ok()
}

/// The first output by jaq alone, as JSON text, or its error.
fn by_jaq(filter: &jaq_core::Filter<Plain>, input: &Value) -> Result<String, String> {
    let context = Ctx::<Plain>::new(&filter.lut, Vars::new([]));
    let input = jaq_json::read::parse_single(input.to_string().as_bytes()).unwrap();
    match filter.id.run((context, input)).map(unwrap_valr).next() {
        None => Err("it gave no value".to_owned()),
        Some(Err(error)) => Err(error.to_string()),
        Some(Ok(value)) => Ok(value.to_string()),
    }
}

/// How the errors of what passes a bound begin.
const PAST_A_BOUND: [&str; 6] = ["it takes", "it nests", "it makes", "it follows", "it goes", "its regular"];

/// Compares what the expressions of workflows give, as text, so that it is all of jaq's value.
fn assert_same(code: &str, inputs: &[Value]) {
    let Ok(expression) = Expression::compile(&format!("({code}) | tojson"), &[]) else { return };
    let Some(filter) = jaq(code) else { return };
    for input in inputs {
        let actual = match expression.evaluate(input, &Nothing) {
            Ok(Value::String(text)) => Ok(text),
            Ok(other) => panic!("{code} gave {other}"),
            Err(error) => Err(error.detail),
        };
        // jaq alone might never end, or ask for more memory than there is.
        if actual.as_ref().is_err_and(|it| PAST_A_BOUND.iter().any(|begin| it.starts_with(begin))) {
            continue;
        }
        // Long messages are shortened.
        let short = |it: &Result<String, String>| match it {
            Ok(text) => Ok(text.clone()),
            Err(text) => Err(text.chars().take(150).collect::<String>()),
        };
        assert_eq!(short(&actual), short(&by_jaq(&filter, input)), "{code} on {input}");
    }
}

/// Functions and operators of the whole library, each on every kind of value.
const PARTS: &[&str] = &[
    ".",
    ".[]",
    ".[]?",
    "..",
    ".a",
    ".a?",
    ".b.c",
    ".[0]",
    ".[-1]",
    ".[1:]",
    ".[:-1]",
    ".[1:2]",
    ".[\"a\"]",
    ".[{start: 1}]",
    ".[[1]]",
    ".[[]]",
    "1",
    "-1",
    "0.5",
    "1e3",
    "100000000000000000000",
    "-100000000000000000000",
    "\"ab\"",
    "\"a,b;ä€\"",
    "null",
    "true",
    "[]",
    "{}",
    "[1, [2], {a: 3}, \"x\"]",
    "{a: 1, b: {c: [1, 2]}}",
    "nan",
    "infinite",
    "length",
    "utf8bytelength",
    "not",
    "keys",
    "keys_unsorted",
    "values",
    "type",
    "tojson",
    "fromjson",
    "tostring",
    "tonumber",
    "tobytes",
    "toboolean",
    "ascii_upcase",
    "ascii_downcase",
    "explode",
    "implode",
    "sort",
    "reverse",
    "unique",
    "min",
    "max",
    "add",
    "any",
    "all",
    "flatten",
    "flatten(1)",
    "first",
    "last",
    "to_entries",
    "from_entries",
    "with_entries(.)",
    "transpose",
    "combinations",
    "combinations(2)",
    "paths",
    "floor",
    "round",
    "ceil",
    "sqrt",
    "abs",
    "trim",
    "ltrim",
    "rtrim",
    "isnan",
    "isinfinite",
    "isnormal",
    "isvalid(.)",
    "@json",
    "@text",
    "@sh",
    "@html",
    "@uri",
    "@base64",
    "@base64d",
    "@urid",
    "@htmld",
    "map(.)",
    "map_values(.)",
    "map_values(empty)",
    "map_values(., .)",
    "sort_by(.)",
    "sort_by(.a?, .[0]?)",
    "group_by(.)",
    "group_by(.a?)",
    "unique_by(.a?)",
    "min_by(.)",
    "max_by(.a?)",
    "walk(.)",
    "walk(arrays |= reverse)",
    "del(.a?)",
    "del(.[0]?)",
    "del(.[1:]?)",
    "pick(.a?)",
    "pick(.[0]?)",
    "to_entries[]",
    "has(\"a\")",
    "has(0)",
    "contains(\"a\")",
    "contains([1])",
    "contains({a: 1})",
    "inside([1, 2])",
    "in([1, 2])",
    "indices(1)",
    "indices(\"a\")",
    "indices(\"ä\")",
    "indices([1])",
    "index(\",\")",
    "rindex(\",\")",
    "bsearch(1)",
    "startswith(\"a\")",
    "endswith(\"b\")",
    "ltrimstr(\"a\")",
    "rtrimstr(\"b\")",
    "split(\",\")",
    "split(\"\")",
    "split(\"[,;]\"; null)",
    "splits(\"[,;]\")",
    "join(\"-\")",
    "test(\"a\")",
    "match(\"(?<x>.)b\"; \"g\")",
    "capture(\"(?<x>.)\")",
    "scan(\".\")",
    "sub(\"a\"; \"b\")",
    "gsub(\"(?<x>.)\"; \"<\\(.x)>\")",
    "range(3)",
    "range(5; 0; -2)",
    "limit(2; .[]?)",
    "skip(1; .[]?)",
    "nth(1; .[]?)",
    "first(.[]?)",
    "last(.[]?)",
    "until(true; .)",
    "[while(length > 0; .[1:])]",
    "[repeat(empty)]",
    "recurse",
    "[recurse(.[]?)]",
    "[path(..)]",
    "[paths(type == \"number\")]",
    "getpath([\"a\"])",
    "setpath([\"a\"]; 1)",
    "setpath([0]; 1)",
    "delpaths([[\"a\"]])",
    "error",
    "try error catch .",
    "(.a?, .[0]?) |= 1",
    ".[]? += 1",
    ".a? //= 2",
    ".a = 1",
    ".[0] = 1",
    ".[1:] = [9]",
    ".[:1] |= map(.)",
    ".[0:1] |= \"zz\"",
    ".[-1] |= empty",
    ".. |= .",
    ".[]? |= empty",
    ".a.b.c? = 1",
    "reduce .[]? as $x (0; . + 1)",
    "reduce .[]? as $x (null; [., $x])",
    "foreach .[]? as $x (0; . + 1; [$x, .])",
    "[foreach (1, 2) as $x (0; ., $x)]",
    "label $out | (1, break $out, 2)",
    "if . then 1 else 2 end",
    "[.[]?] as [$a, $b] | {a: $a, b: $b}",
    "{a: .}",
    "{(tojson): .}",
    "[.]",
    "[., .]",
    "[.[]?]",
    "\"<\\(.)>\"",
    "-.",
    "todate",
    "\"2015-03-05T23:51:47Z\" | fromdate",
    "gmtime",
    "mktime",
    "strftime(\"%Y\")",
    "\"2015\" | strptime(\"%Y\")",
    "frexp",
    "ldexp(.; 2)",
    "pow(.; 2)",
    "fma(1; 2; 3)",
    "significand",
    "logb",
    "splits(\"a*\")",
    "ltrimstr(1)",
    "limit(0; error)",
    "isempty(.[]?)",
    "add(.[]?)",
    "any(.[]?; .)",
    "all(.[]?; .)",
    "getpath([\"a\", \"b\"])?",
    "to_entries | from_entries",
    "tojson | fromjson",
    "[.[]?, .[]?] | unique",
    "env.PATH?",
    "input?",
    "ascii?",
    "@json \"x\\(.)\"",
    "getpath([])",
    "paths(..)",
    "isboolean",
    "isnumber",
    "isstring",
    "isarray",
    "isobject",
    "finites",
    "normals",
    "strings",
    "arrays",
    "objects",
    "iterables",
    "scalars",
];

const OPERATORS: &[&str] = &[
    " | ",
    ", ",
    " + ",
    " - ",
    " * ",
    " / ",
    " % ",
    " == ",
    " != ",
    " < ",
    " <= ",
    " > ",
    " >= ",
    " and ",
    " or ",
    " // ",
    " |= ",
    " = ",
    " += ",
    " -= ",
    " *= ",
    " //= ",
    " as $v | $v, ",
];

fn inputs() -> [Value; 12] {
    [
        json!(null),
        json!(true),
        json!(3),
        json!(-2.5),
        json!(18_446_744_073_709_551_615_u64),
        json!("ab,cä;€\"'<&>"),
        json!("[1, {\"a\": null}] 2"),
        json!([3, 1, 2, 1]),
        json!([[1, 2], [1], []]),
        json!([{ "a": 1, "key": "x", "value": 2 }, { "a": 0 }, { "b": 1 }]),
        json!({ "a": { "b": [1, 2, { "c": null }] }, "b": { "c": 5 } }),
        json!({ "a": [1], "z": "x", "b": {} }),
    ]
}

#[test]
fn each_function_gives_what_jaq_gives() {
    for code in PARTS {
        assert_same(&format!("[try ({code}) catch .], [.[]? | try ({code}) catch .]"), &inputs());
        assert_same(code, &inputs());
    }
}

#[test]
fn each_operator_gives_what_jaq_gives() {
    let values = "null, false, 1, -3, 2.5, 1e400, -99999999999999999999, \"a\", \"\", [1, 2, 1], [], {a: {b: 1}}, {a: {c: 2}}, {}, (\"ab\" | tobytes)";
    for operator in ["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">="] {
        let code = format!("[({values}) as $l | ({values}) as $r | try ($l {operator} $r) catch .]");
        assert_same(&code, &[Value::Null]);
    }
    let indices = "0, -1, 5, 1.5, null, \"a\", [1], {start: 0, end: 1}, {start: \"a\"}, 99999999999999999999";
    for code in [
        ".[$i]",
        "has($i)",
        ".[$i] |= [.]",
        ".[$i:] |= .",
        ".[:$i] |= .",
        ".[$i:]",
        ".[:$i]",
        ".[$i:$i]",
        ".[$i] |= empty",
        "indices($i)",
        "del(.[$i])",
    ] {
        assert_same(&format!("[({indices}) as $i | ({values}) | try ({code}) catch .]"), &[Value::Null]);
    }
}

/// Programs of random parts.
fn program() -> impl Strategy<Value = String> {
    let part = prop::sample::select(PARTS).prop_map(str::to_owned);
    part.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), prop::sample::select(OPERATORS), inner.clone())
                .prop_map(|(left, operator, right)| format!("({left}){operator}({right})")),
            inner.clone().prop_map(|it| format!("[{it}]")),
            inner.clone().prop_map(|it| format!("map({it})")),
            inner.clone().prop_map(|it| format!("try ({it}) catch .")),
            (inner.clone(), inner).prop_map(|(left, right)| format!("reduce ({left}) as $x (.; {right})")),
        ]
    })
}

#[test]
fn a_text_that_no_memory_would_hold_is_a_defined_error() {
    let expression = Expression::compile("(type) * (tojson | fromjson)", &[]).unwrap();
    let error = expression.evaluate(&json!(u64::MAX), &Nothing).unwrap_err();
    assert_eq!(error.detail, "it makes a text of more than 4 MiB: give it less data, or repeat less of it");
    assert_same("(type) * (tojson | fromjson)", &inputs());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_programs_give_what_jaq_gives(code in program(), at in 0_usize..12) {
        assert_same(&code, &inputs()[at..=at]);
    }
}
