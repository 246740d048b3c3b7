//! What an expression takes while it runs: memory by a counting allocator, and stack by a small one.
#![allow(clippy::unwrap_used)]

use std::borrow::Cow;
use std::sync::{Mutex, PoisonError};

use expect_test::{ExpectFile, expect_file};
use millrace_schemas::Timestamp;
use millrace_workflow::expression::{BYTES_MAX, Expression, Template, Variables};
use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use serde_json::{Value, json};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

struct Nothing;

impl Variables for Nothing {
    fn get(&self, _: &str) -> Option<Cow<'_, Value>> {
        None
    }

    fn at(&self) -> Timestamp {
        Timestamp(1_700_000_000_250)
    }
}

/// What is stopped before it has used up its steps, or is not stopped.
const QUICK: &[&str] = &[
    "try repeat(error(1) | empty) catch 1",
    "last(foreach range(1e9) as $i (0; ., .; .))",
    ".[range(1e12)]?",
    "\"x\" * 1e12",
    "\"x\" * 1000000000000",
    "\"xx\" * 9000000000000000000000",
    "\"x\" * 5000000",
    "\"\" * 9000000000000000000",
    "reduce range(100) as $i (\"x\"; . + .)",
    "reduce range(1000) as $i (\"x\"; . * 10)",
    "[range(1000) as $i | \"x\" * 1000000]",
    "\"ä\" * 1000000 | @uri | @uri | @uri",
    "reduce range(1e9) as $i (\"x\"; @base64)",
    "reduce range(250) as $i ([1]; [., .]) | flatten(1e9)",
    "reduce range(250) as $i ([1]; [.]) as $x | $x | walk($x | walk($x | walk($x | walk($x | walk($x | walk(.))))))",
    "reduce range(30) as $i ([1]; [., .]) | contains([[[2]]])",
    "reduce range(30) as $i ([1]; [., .]) | [., map(.)] | bsearch([2])",
    "\",\" * 4000000 | split(\"\")",
    "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\" * 50000 | indices(.[:1000000])",
    "\"a\" * 4000000 | ascii_upcase | ascii_downcase | length",
    "\"a\" * 4000000 | reduce range(1e9) as $i (.; ltrimstr(\"a\"))",
    "\"a\" * 4000000 | reduce range(1e9) as $i (.; .[1:])",
    "\"a\" * 4000000 | last(range(1e9) as $i | startswith(\"b\"))",
    "\"a\" * 4000000 | [range(1e9) as $i | .[$i:]] | length",
    "reduce range(100) as $i ([1]; . + .)",
    "reduce range(1e9) as $i ([]; .[$i] = 1)",
    "reduce range(1e9) as $i ([]; .[0:0] = [1])",
    "[range(100000)] | indices([range(1000)])",
    "reduce range(1e6) as $i (null; [.])",
    "reduce range(1e6) as $i (null; {a: .})",
    "reduce range(1e6) as $i (1; [[.]] | .[0])",
    "reduce range(1e6) as $i ([]; .[0:1] = [.])",
    "reduce range(1e6) as $i ({}; .a = .)",
    "reduce range(1e6) as $i ({}; . + {a: .})",
    "reduce range(1e6) as $i ({}; . * {a: .})",
    "reduce range(1e6) as $i ({}; setpath([\"a\"]; .))",
    "reduce range(1e6) as $i ([0]; map_values([.]))",
    "reduce range(1e6) as $i ({}; {a: {b: .}} | to_entries)",
    "\"[\" * 1000 | fromjson",
    "\"[\" * 1000000 | fromjson",
    "\"{\\\"a\\\":\" * 1000000 | fromjson",
    "\"[1,\" * 1000000 | fromjson",
    "\"[{},\" + \"{},\" * 1000000 | fromjson",
    "\"[\" + \"1,\" * 1000000 + \"1]\" | fromjson | length",
    "\"{\" + \"NaN:1,\" * 100000 + \"NaN:1}\" | fromjson | length",
    "\"# \\\"\\n\" + \"[\" * 1000000 | fromjson",
    "null | path(last(recurse(.a)))",
    "null | path(reduce range(1e6) as $i (.; .a))",
    "[] | path(reduce range(1e6) as $i (.; .[0:]))",
    "[] | path(last(recurse(.[1:])))",
    "null | path(last(foreach range(1e6) as $i (.; .a)))",
    "null | path(until(false; .a))",
    "[paths(..)] | path(..)",
    "repeat(.) |= 1",
    "repeat(.) = 1",
    "recurse(.) |= 1",
    "until(false; .) |= 1",
    "(reduce range(1e6) as $i (.; .)) |= 1",
    "(foreach range(1e6) as $i (.; .)) |= 1",
    "[[1]] | recurse(.[0]?, .) |= 1",
    "[1] | (.[0] | repeat(.)) += 1",
    "{} | walk(repeat(.))",
    "limit(1e9; repeat(.)) |= 1",
    "del(repeat(.))",
    "reduce range(1e9) as $i (1; . * 10)",
    "reduce range(1e9) as $i (3; . * .)",
    "[reduce range(10000) as $i (1; . * 7)] | tojson",
    "\"1\" * 100000 | tonumber",
    "\"0.\" + \"1\" * 100000 | tonumber",
    "1e1000000000 | tojson",
    "last(range(1e9) as $i | sin)?",
    "\"\" | test(\"(a{1000}){1000}\")",
    "\"\" | test(\"((((a{50}){50}){50}){50}){50}\")",
    "\"\" | test(\"a{20000}\")",
    "\"\" | test(\"(?x)(aaaaaaaaaa # ( \\n){1000}{1000}\")",
    "\"\" | test(\"(\" * 1000)",
    "\"\" | test(\"a\" * 100000)",
    "\"a\" * 1000000 | [match(\".*b|a\"; \"g\")] | length",
    "\"a\" * 20000 | [match(\".*b|a\"; \"g\")] | length",
    "\"a\" * 4000000 | gsub(\"a\"; \"bb\")",
    "\"a\" * 4000000 | gsub(\"\"; \"bb\")",
    "\"a\" * 100000 | [scan(\"((((((a))))))\")] | length",
    "0 | strftime(\"%255d\" * 100000)",
    "\"%\" * 100000 | strptime(\"%\" * 100000)",
];

/// Loops without an end, and what would catch the stop.
const LOOPS: &[&str] = &[
    "[range(1e12)]",
    "until(false; .)",
    "last(repeat(.))",
    "last(range(1e12))",
    "reduce range(1e10) as $i (0; . + 1)",
    "try [range(1e12)] catch 1",
    "[range(1e12)]?",
    "([range(1e12)] // 1)",
    "first([range(1e12)], 1)",
    "label $out | ([range(1e12)], break $out)",
];

/// What uses up its steps, or many of them.
const SLOW: &[&str] = &[
    "foreach range(1e10) as $i (0; . + 1; empty)",
    "[foreach range(1e10) as $i (0; . + 1)]",
    "[limit(1e9; repeat(1))]",
    "first(range(1e9) | select(false))",
    "first(range(1e12) | empty)",
    "skip(1e12; range(1e12))",
    "nth(1e12; range(1e12))",
    "isempty(range(1e12) | empty)",
    "all(range(1e12); true)",
    "any(range(1e12); false)",
    "add(range(1e12))",
    "[while(true; .)]",
    "last(while(true; .))",
    "last(recurse(.; true))",
    "last(recurse(. + 1))",
    "[recurse(., .)]",
    "last(label $out | repeat(.))",
    "[range(0; 1; 0)]",
    "[range(infinite)]",
    "last(range(0; infinite; 1e-300))",
    "[range(1e5) as $a | range(1e5) as $b | range(1e5) as $c | 1]",
    "[range(1e4)] | [.[] as $a | .[] as $b | $a * $b] | length",
    "[[range(10)], [range(10)], [range(10)], [range(10)], [range(10)], [range(10)], [range(10)], [range(10)]] | [combinations]",
    "[[range(100)] | combinations(50)]",
    "reduce range(1e9) as $i (0; ., .)",
    "reduce range(1e9) as $i (0, 1; .)",
    "[range(1e9)] | sort",
    "[2, 1] | sort_by(range(1e9))",
    "[2, 1] | sort_by(repeat(\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"))",
    "[1] | group_by(repeat(1))",
    "[1] | min_by(repeat(1))",
    "[1] | max_by(repeat([1]))",
    "[1] | unique_by(repeat({a: 1}))",
    "[1] | [.[(range(1e12), range(1e12)):(range(1e12), 2)]] | length",
    "{(range(1e12) | tostring): 1}, 1 | empty",
    "[{(range(1e12) | tostring): range(1e12)}]",
    "[range(1e9) | \"x\" * 100000 | explode]",
    "[range(1e7) | 65] | implode",
    "\"x\" * 4000000 | explode | length",
    "\"'\" * 4000000 | @sh | @html | @uri",
    "\"<\" * 1000000 | @html",
    "\"<\" * 1000000 | @html | @html | @html | @html",
    "reduce range(1e9) as $i (\"x\"; @json)",
    "reduce range(1e9) as $i (\"x\"; tojson)",
    "reduce range(1e9) as $i ([1]; [., .]) | tojson",
    "reduce range(20) as $i ([1]; [., .]) | tojson",
    "reduce range(30) as $i ([1]; [., .]) | tostring",
    "reduce range(30) as $i ([1]; [., .]) | error",
    "try (reduce range(30) as $i ([1]; [., .]) | .a) catch .",
    "try (1 + reduce range(30) as $i ([1]; [., .])) catch .",
    "reduce range(30) as $i ([1]; {a: ., b: .}) | @text",
    "reduce range(30) as $i ([1]; [., .]) | flatten",
    "reduce range(30) as $i ([1]; [., .]) | [..]",
    "reduce range(250) as $i ([1]; [., .]) | [..] | length",
    "reduce range(250) as $i ([1]; [., .]) | last(..)",
    "reduce range(250) as $i ([1]; [., .]) | last(path(..))",
    "reduce range(250) as $i ([1]; [., .]) | .. |= .",
    "reduce range(250) as $i ([1]; [., .]) | flatten",
    "reduce range(250) as $i ([1]; [., .]) | walk(walk(.))",
    "reduce range(250) as $i ([1]; [.]) | walk(walk(walk(walk(walk(walk(.))))))",
    "reduce range(250) as $i ([1]; [.]) | [.., ..] | group_by(.) | tojson | fromjson | tojson | length",
    "reduce range(30) as $i ([1]; [., .]) | [paths]",
    "reduce range(30) as $i ([1]; [., .]) | walk(1)",
    "reduce range(30) as $i ([1]; [., .]) | . == (. | map(.))",
    "reduce range(30) as $i ([1]; [., .]) | . < (. | map(.))",
    "reduce range(30) as $i ([1]; [., .]) | {(tojson): 1}",
    "reduce range(30) as $i ([1]; [., .]) | {(.): 1}",
    "reduce range(30) as $i ([1]; [., .]) | [.] - [.]",
    "reduce range(30) as $i ([1]; [., .]) | tobytes",
    "reduce range(30) as $i ([1]; [., .]) | [., map(.)] | sort",
    "reduce range(30) as $i ([1]; [., .]) | [., map(.)] | unique",
    "reduce range(30) as $i ([1]; [., .])",
    "[limit(100000; repeat(\",\"))] | join(\",\") | split(\",\") | map(. * 1000)",
    "\",\" * 4000000 | split(\",\")",
    "\",\" * 4000000 | indices(\",\")",
    "\"a\" * 4000000 | last(range(1e9) as $i | length)",
    "reduce range(100) as $i ([1]; . + . | map(.))",
    "reduce range(1e9) as $i ([]; . + [$i])",
    "reduce range(1e9) as $i ({}; .[$i | tostring] = 1)",
    "reduce range(1e9) as $i ({}; . + {($i | tostring): 1})",
    "reduce range(1e9) as $i ({}; . * {($i | tostring): {a: 1}})",
    "reduce range(1e9) as $i ({}; . + {(nan): 1})",
    "[range(1e5) | {key: nan, value: 1}] | from_entries",
    "reduce range(1e9) as $i ([]; [1] + .)",
    "[range(30000)] | reduce range(1e9) as $i (.; del(.[0]))",
    "[range(30000)] | reduce range(1e9) as $i (.; . - [$i])",
    "[range(30000)] | [.[] as $i | index($i)]",
    "[range(30000)] | last(range(1e9) as $i | reverse)",
    "[range(30000)] | [. as $a | range(1e9) | $a | map(1)]",
    "[range(30000)] | [range(1e9) as $i | .[$i:]]",
    "[range(30000) | tostring | {key: ., value: .}] | from_entries | [range(1e9) as $i | to_entries]",
    "[range(100) | [range(100)]] | transpose | [repeat(transpose)]",
    "[range(30000)] | last(range(1e9) as $i | keys)",
    "[range(30000)] | map_values(., .) | map_values(., .) | map_values(., .) | map_values(., .) | map_values(., .) | map_values(., .)",
    "[range(30000)] | .[] += 1 | .[] |= (., .) | [paths] | length",
    "[range(30000)] | to_entries | with_entries(.value |= tojson) | pick(.[][][])",
    "[[range(300)] | .[] as $x | [.[] | {a: $x, b: .}]] | flatten | group_by(.a) | map(length)",
    "reduce range(1e6) as $i (null; {(tojson): 1})",
    "[limit(1e6; repeat(\"[\"))] | add | fromjson",
    "\"1 \" * 1000000 | [fromjson] | length",
    "[null] | setpath([limit(1e6; repeat(0))]; 1)",
    "null | getpath([limit(1e6; repeat(\"a\"))])",
    "null | last(path(recurse(.a)))",
    "null | [path(limit(1e6; repeat(.a)))]",
    "(range(1e9) as $i | .) |= .",
    "reduce range(1e5) as $i (\"9\"; . + \"9\") | tonumber",
    "[range(1e9) | -9223372036854775808 * 9223372036854775807]",
    "last(range(1e9) as $i | 1e308 | round)",
    "last(range(1e9) as $i | 1e300 % 3e-300)",
    "last(range(1e9) as $i | fmod(1e308; 3e-300))",
    "last(range(1e9) as $i | 2 | tgamma)",
    "\"a\" * 1000000 | test(\"(a*)*b\")",
    "\"a\" * 100000 | test(\"(a|a|a|a|a|a|a|a|a|a|a|a|a|a|a)*b\")",
    "reduce range(1e9) as $i (\"a\"; gsub(\"a\"; \"aa\"))",
    "\"a\" * 100000 | splits(\"b*\") | empty",
    "last(range(1e9) as $i | \"a\" | test(\"a\"))",
    "last(range(1e9) as $i | \"2020-01-01T00:00:00Z\" | fromdate | todate)",
    "try (try error([range(1e12)]) catch .) catch 2",
];

/// Whether all of them are run. With little optimisation, those that use up all their steps take seconds each.
const ALL: bool = cfg!(not(debug_assertions));

/// What a thread needs of stack, in bytes, of which an evaluation has the most.
const STACK_BYTES: usize = 1024 * 1024;

/// Memory that may be taken besides what is counted, in bytes: jaq's own moves, and the output.
const SLACK_BYTES: usize = 24 * 1024 * 1024;

/// The memory is that of the process, so the tests take turns.
static TURN: Mutex<()> = Mutex::new(());

/// What an expression ends with. Checks the memory that it takes.
fn outcome(code: &str, input: &Value) -> String {
    let expression = Expression::compile(code, &[]).unwrap();
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = expression.evaluate(input, &Nothing);
    let bytes = MEMORY.peak_usage() - before;
    assert!(bytes < BYTES_MAX + SLACK_BYTES, "{code} took {} MiB", bytes / 1024 / 1024);
    let text = match result {
        Ok(value) => value.to_string(),
        Err(error) => format!("! {}", error.detail),
    };
    text.chars().take(200).collect()
}

fn on_a_small_stack<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        thread.spawn_scoped(scope, run).unwrap().join().unwrap()
    })
}

fn check(codes: &[&str], expected: &ExpectFile) {
    let lines = on_a_small_stack(|| {
        codes.iter().map(|code| format!("{code}\n    {}\n", outcome(code, &Value::Null))).collect::<String>()
    });
    expected.assert_eq(&lines);
}

#[test]
fn what_would_take_too_much_is_stopped() {
    check(QUICK, &expect_file!["../testdata/hostile-quick.txt"]);
}

#[test]
fn what_would_never_end_is_stopped() {
    check(LOOPS, &expect_file!["../testdata/hostile-loops.txt"]);
    if ALL {
        check(SLOW, &expect_file!["../testdata/hostile-slow.txt"]);
    }
}

/// Parts that grow, loop and nest.
const PARTS: &[&str] = &[
    ".",
    ".[]?",
    "..",
    "[., .]",
    "[..]",
    ". + .",
    "{a: .}",
    "{(tojson): .}",
    "tojson",
    "tostring",
    "fromjson",
    "@base64",
    "@uri",
    "explode",
    "implode",
    "range(1e9)",
    "repeat(.)",
    "[limit(1000; repeat(.))]",
    "recurse([.])",
    "recurse(., .)",
    "until(false; .)",
    "\"xyz\"",
    "1",
    ". * 1000",
    ". * .",
    "map(.)",
    "map(., .)",
    "map_values(.)",
    "add",
    "flatten",
    "keys",
    "to_entries",
    "with_entries(.)",
    "from_entries",
    "paths",
    "path(..)",
    "walk(.)",
    "walk([.])",
    "del(.[0]?)",
    ".[0] = .",
    ".a = .",
    ".[]? |= [.]",
    ".. |= [.]",
    "sort",
    "sort_by(.)",
    "group_by(.)",
    "unique",
    "transpose",
    "combinations",
    "combinations(9)",
    "[splits(\"x*\")]",
    "gsub(\"\"; \"yy\")",
    "test(\"(.*)*z\")",
    "[scan(\".\")]",
    "split(\"\")",
    "join(\",\")",
    "indices(.)",
    "contains(.)",
    ". == .",
    ". - .",
    "reverse",
    "first",
    "last(.[]?)",
    "error",
    "pick(..)",
    "ascii_downcase",
    "@sh",
    "@html",
    "length",
    "tobytes",
    "min_by(.)",
    "limit(3; ..)",
    "isempty(..)",
    "repeat(.[0]?) |= 1",
];

/// Programs that make much of little.
fn program() -> impl Strategy<Value = String> {
    let part = prop::sample::select(PARTS).prop_map(str::to_owned);
    part.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..5).prop_map(|it| it.join(" | ")),
            inner.clone().prop_map(|it| format!("[{it}]")),
            inner.clone().prop_map(|it| format!("last({it})")),
            inner.clone().prop_map(|it| format!("try ({it}) catch .")),
            inner.clone().prop_map(|it| format!("sort_by({it})")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left}), ({right})")),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| format!("({left}) |= ({right})")),
            inner.clone().prop_map(|it| format!("reduce range(1e9) as $i (.; {it})")),
            inner.clone().prop_map(|it| format!("reduce range(40) as $i (.; {it})")),
            (inner.clone(), inner).prop_map(|(left, right)| format!("[foreach ({left}) as $x (.; {right})]")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 64, ..ProptestConfig::with_cases(if ALL { 500 } else { 16 }) })]

    /// That they end is half of the test.
    #[test]
    fn random_programs_keep_the_bounds(code in program()) {
        let input = json!([1, "a", { "b": [null, "cd"] }, [[2]]]);
        let code = format!("({code})");
        on_a_small_stack(|| if Expression::compile(&code, &[]).is_ok() { outcome(&code, &input); });
    }
}

#[test]
fn a_stop_ends_one_evaluation_and_no_other() {
    let endless = || outcome("[limit(1e9; repeat(1))] | length", &Value::Null);
    on_a_small_stack(|| {
        let first = endless();
        assert_eq!(outcome("[range(1000)] | add", &Value::Null), "499500");
        let others: Vec<_> =
            (0..2).map(|_| std::thread::spawn(endless)).map(|it| it.join().unwrap()).collect();
        assert_eq!(others, [first.clone(), first]);
    });
}

#[test]
fn the_expressions_of_one_mapping_share_their_bounds() {
    let code = "${ [range(2e5)] | length }";
    let template = |count: usize| {
        let template = Template::compile(&vec![code; count].into(), &[]).unwrap();
        template.evaluate(&Value::Null, &Nothing).map_err(|error| error.detail)
    };
    on_a_small_stack(|| {
        assert_eq!(template(2), Ok(json!([200_000, 200_000])));
        assert!(template(100).unwrap_err().starts_with("it takes more than 2000000 steps"));
        assert_eq!(template(2), Ok(json!([200_000, 200_000])));
    });
}
