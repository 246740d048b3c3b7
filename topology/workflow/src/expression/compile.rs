//! jq by `jaq`: what is in reach, what is not, and how it is run.

use std::sync::Arc;

use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, data, unwrap_valr};
use jaq_json::Val;
use serde_json::Value;

use super::convert::{to_jq, to_json};
use super::{GLOBALS, Variables};

/// Functions that reach out of the expression, or depend on the machine.
const FORBIDDEN: &[&str] = &[
    "halt", "halt_error", "env", "input", "inputs", "debug", "debug_empty", "stderr", "stderr_empty", "localtime",
    "strflocaltime", "now", "input_line_number", "input_filename",
];

/// Holds what `now` gives. Not a name that a definition can use: it is not in `GLOBALS`.
const NOW: &str = "$__now";

type Jq = data::JustLut<Val>;

/// A compiled jq program.
pub(super) struct Filter {
    filter: jaq_core::Filter<Jq>,
    /// The variables that it names, without `$`, in the order in which jaq wants their values.
    names: Vec<String>,
}

impl Filter {
    pub(super) fn compile(code: &str, locals: &[Arc<str>]) -> Result<Self, String> {
        // The innermost of several variables of one name is the last.
        let mut names: Vec<String> = Vec::new();
        for name in GLOBALS.iter().copied().chain(locals.iter().map(|it| &**it)) {
            if super::names(code, name) && !names.iter().any(|it| it == name) {
                names.push(name.to_owned());
            }
        }
        let with_now = format!("def now: {NOW}; {code}");
        let is_allowed = |name: &str| !FORBIDDEN.contains(&name);
        let definitions = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs()).filter(|it| is_allowed(it.name));
        let functions = jaq_core::funs::<Jq>().chain(jaq_std::funs::<Jq>()).chain(jaq_json::funs::<Jq>()).filter(|it| is_allowed(it.0));
        let arena = Arena::default();
        let modules = Loader::new(definitions)
            .load(&arena, File { code: &with_now, path: () })
            .map_err(|errors| describe_load(&errors, code))?;
        let globals: Vec<String> = std::iter::once(NOW.to_owned()).chain(names.iter().map(|it| format!("${it}"))).collect();
        let filter = Compiler::default()
            .with_funs(functions)
            .with_global_vars(globals.iter().map(String::as_str))
            .compile(modules)
            .map_err(|errors| describe_compile(&errors))?;
        Ok(Self { filter, names })
    }

    pub(super) fn first(&self, input: &Value, variables: &impl Variables) -> Result<Value, String> {
        let now = Val::from(variables.at().0 as f64 / 1000.0);
        let values = self.names.iter().map(|it| variables.get(it).map_or(Val::Null, |value| to_jq(&value)));
        let context = Ctx::<Jq>::new(&self.filter.lut, Vars::new(std::iter::once(now).chain(values)));
        let input = to_jq(input);
        // jaq panics on some absurd values, such as a string repeated 2^60 times; that must not end the process.
        let run = || self.filter.id.run((context, input)).map(unwrap_valr).next();
        let Ok(first) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) else {
            return Err("it asks for more than can be computed".to_owned());
        };
        match first {
            None => Err("it gave no value".to_owned()),
            Some(Err(error)) => Err(super::shortened(&error.to_string())),
            Some(Ok(value)) => to_json(&value),
        }
    }
}

fn describe_load(errors: &jaq_core::load::Errors<&str, ()>, code: &str) -> String {
    use jaq_core::load::Error;
    let Some((_, error)) = errors.first() else { return "it cannot be read".to_owned() };
    let at = |rest: &str| {
        if rest.is_empty() { "at its end".to_owned() } else { format!("at `{}`", super::shortened(rest)) }
    };
    match error {
        Error::Io(_) => "modules are not available".to_owned(),
        Error::Lex(errors) => errors.first().map_or_else(String::new, |(expected, rest)| {
            format!("expected {} {}", expected.as_str(), at(rest))
        }),
        Error::Parse(errors) => errors.first().map_or_else(String::new, |(expected, rest)| {
            format!("expected {} {}", expected.as_str(), at(rest))
        }),
    }
    .replace("def now: $__now; ", "")
    .chars()
    .take(code.len() + 200)
    .collect()
}

fn describe_compile(errors: &jaq_core::compile::Errors<&str, ()>) -> String {
    let Some((name, undefined)) = errors.first().and_then(|(_, errors)| errors.first()) else {
        return "it does not compile".to_owned();
    };
    if FORBIDDEN.contains(name) {
        return format!("`{name}` is not available: an expression sees only its data");
    }
    format!("there is no {} `{name}` here", undefined.as_str())
}
