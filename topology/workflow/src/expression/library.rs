//! The functions that expressions may call.
//!
//! A compiled jq program carries every definition it was compiled with, used or not. Given only those that it can reach, it is a
//! tenth of the size, and a definition may have thousands of expressions.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jaq_core::data::{DataT, HasLut};
use jaq_core::load::lex::{Lexer, StrPart, Tok, Token};
use jaq_core::load::parse::Def;
use jaq_core::native::Fun;

use super::functions;
use super::meter::{self, Place};
use super::value::Metered;

/// Functions that reach out of the expression, or depend on the machine.
const FORBIDDEN: &[&str] = &[
    "halt",
    "halt_error",
    "env",
    "input",
    "inputs",
    "debug",
    "debug_empty",
    "stderr",
    "stderr_empty",
    "localtime",
    "strflocaltime",
    "now",
    "input_line_number",
    "input_filename",
];

/// Functions of Bessel: their time grows with their argument, and no workflow needs them.
const ENDLESS: &[&str] = &["jn", "yn"];

/// jaq, on values that are counted.
pub(super) struct Jq;

impl DataT for Jq {
    type V<'a> = Metered;
    type Data<'a> = Seat<'a>;
}

/// What each of jaq's contexts holds. jaq asks for its program at every step, so here the steps are counted.
#[derive(Clone)]
pub(super) struct Seat<'a> {
    program: &'a jaq_core::Lut<Jq>,
    _place: Place,
}

impl<'a> Seat<'a> {
    pub(super) fn new(program: &'a jaq_core::Lut<Jq>) -> Self {
        Self { program, _place: Place::new() }
    }
}

impl<'a> HasLut<'a, Jq> for Seat<'a> {
    fn lut(&self) -> &'a jaq_core::Lut<Jq> {
        meter::step();
        self.program
    }
}

/// Definitions in jq, in an order in which each knows those before it, with the names that each mentions.
static DEFINITIONS: LazyLock<Vec<(Def<&'static str>, BTreeSet<String>)>> = LazyLock::new(|| {
    let ours = jaq_core::load::parse(functions::DEFINITIONS, |it| it.defs()).unwrap_or_default();
    jaq_core::defs()
        .chain(ours)
        .chain(jaq_std::defs())
        .chain(jaq_json::defs())
        .filter(|it| is_allowed(it.name))
        .map(|it| {
            // jaq keeps some types of its syntax tree to itself, so nobody else can walk it; its debug text shows all names.
            let text = format!("{:?}", it.body);
            let names = text.split('"').skip(1).step_by(2).map(str::to_owned).collect();
            (it, names)
        })
        .collect()
});

pub(super) fn is_allowed(name: &str) -> bool {
    !FORBIDDEN.contains(&name) && !is_endless(name)
}

pub(super) fn is_endless(name: &str) -> bool {
    ENDLESS.contains(&name)
}

/// What a program may call.
pub(super) struct Library {
    pub(super) definitions: Vec<Def<&'static str>>,
    pub(super) functions: Vec<Fun<Jq>>,
}

impl Library {
    /// Everything there is.
    pub(super) fn whole() -> Self {
        Self::of(|_| true)
    }

    /// What `code` can reach.
    pub(super) fn for_code(code: &str) -> Self {
        let mut reached = BTreeSet::new();
        if let Ok(tokens) = Lexer::new(code).lex() {
            words(&tokens, &mut reached);
        }
        let mut open: Vec<String> = reached.iter().cloned().collect();
        while let Some(name) = open.pop() {
            for (_, names) in DEFINITIONS.iter().filter(|it| it.0.name == name) {
                open.extend(names.iter().filter(|it| reached.insert((*it).clone())).cloned());
            }
        }
        Self::of(|name| reached.contains(name))
    }

    fn of(wanted: impl Fn(&str) -> bool) -> Self {
        let definitions = DEFINITIONS.iter().filter(|it| wanted(it.0.name)).map(|it| it.0.clone()).collect();
        let hidden = |(name, arguments, native): Fun<Jq>| {
            let hidden = functions::HIDDEN.iter().find(|it| it.1 == name).map_or(name, |it| it.0);
            (hidden, arguments, native)
        };
        let natives =
            jaq_core::funs::<Jq>().chain(jaq_std::funs::<Jq>().map(hidden)).chain(functions::functions());
        Self { definitions, functions: natives.filter(|it| is_allowed(it.0) && wanted(it.0)).collect() }
    }
}

/// The names in `tokens`.
fn words(tokens: &[Token<&str>], found: &mut BTreeSet<String>) {
    for Token(text, kind) in tokens {
        match kind {
            Tok::Word | Tok::Fmt => {
                found.insert((*text).to_owned());
            }
            Tok::Block(inner) => words(inner, found),
            Tok::Str(parts) => {
                for part in parts {
                    if let StrPart::Term(inner) = part {
                        words(std::slice::from_ref(inner), found);
                    }
                }
            }
            Tok::Var | Tok::Num | Tok::Sym => {}
        }
    }
}
