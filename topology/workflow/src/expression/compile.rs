//! jq by `jaq`: how an expression is compiled and run.

use std::sync::Arc;

use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Vars, unwrap_valr};
use jaq_json::Val;
use serde_json::Value;

use super::convert::{to_jq, to_json};
use super::library::{Jq, Library, Seat, is_allowed, is_endless};
use super::meter;
use super::value::Metered;
use super::{GLOBALS, Variables};

/// Holds what `now` gives. The guard refuses it in definitions.
pub(super) const NOW: &str = "$__now";

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
        let globals: Vec<String> =
            std::iter::once(NOW.to_owned()).chain(names.iter().map(|it| format!("${it}"))).collect();
        // jaq calls some functions by itself; what then is missing, the whole library has.
        let filter = translate(&with_now, Library::for_code(code), &globals)
            .or_else(|_| translate(&with_now, Library::whole(), &globals))?;
        Ok(Self { filter, names })
    }

    pub(super) fn first(&self, input: &Value, variables: &impl Variables) -> Result<Value, String> {
        meter::bounded(|| {
            let now = Metered::from(variables.at().0 as f64 / 1000.0);
            let values = self
                .names
                .iter()
                .map(|it| variables.get(it).map_or_else(|| Metered::plain(Val::Null), |value| to_jq(&value)));
            let variables = Vars::new(std::iter::once(now).chain(values));
            let context = Ctx::<Jq>::new(Seat::new(&self.filter.lut), variables);
            match self.filter.id.run((context, to_jq(input))).map(unwrap_valr).next() {
                None => Err("it gave no value".to_owned()),
                Some(Err(error)) => Err(super::shortened(&error.to_string())),
                Some(Ok(value)) => to_json(value.as_value()),
            }
        })
    }
}

fn translate(code: &str, library: Library, globals: &[String]) -> Result<jaq_core::Filter<Jq>, String> {
    let arena = Arena::default();
    let modules = Loader::new(library.definitions)
        .load(&arena, File { code, path: () })
        .map_err(|errors| describe_load(&errors))?;
    Compiler::default()
        .with_funs(library.functions)
        .with_global_vars(globals.iter().map(String::as_str))
        .compile(modules)
        .map_err(|errors| describe_compile(&errors))
}

fn describe_load(errors: &jaq_core::load::Errors<&str, ()>) -> String {
    use jaq_core::load::Error;
    let at = |rest: &str| {
        if rest.is_empty() { "at its end".to_owned() } else { format!("at `{}`", super::shortened(rest)) }
    };
    let message = match errors.first() {
        Some((_, Error::Lex(errors))) => {
            errors.first().map(|(expected, rest)| format!("expected {} {}", expected.as_str(), at(rest)))
        }
        Some((_, Error::Parse(errors))) => {
            errors.first().map(|(expected, rest)| format!("expected {} {}", expected.as_str(), at(rest)))
        }
        Some((_, Error::Io(_))) | None => None,
    };
    message.unwrap_or_else(|| "it cannot be read".to_owned())
}

fn describe_compile(errors: &jaq_core::compile::Errors<&str, ()>) -> String {
    let Some((name, undefined)) = errors.first().and_then(|(_, errors)| errors.first()) else {
        return "it does not compile".to_owned();
    };
    if is_endless(name) {
        return format!("`{name}` is not available: its time grows with its argument");
    }
    if !is_allowed(name) {
        return format!("`{name}` is not available: an expression sees only its data");
    }
    let kind = if undefined.as_str() == "filter" { "function" } else { undefined.as_str() };
    format!("there is no {kind} `{name}` here")
}
