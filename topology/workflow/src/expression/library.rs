//! The functions that expressions may call.
//!
//! A compiled jq program carries every definition it was compiled with, used or not. Given only those that it can reach, it is a
//! tenth of the size, and a definition may have thousands of expressions.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jaq_core::data::JustLut;
use jaq_core::load::lex::{Lexer, StrPart, Tok, Token};
use jaq_core::load::parse::Def;
use jaq_core::native::Fun;
use jaq_json::Val;

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

pub(super) type Jq = JustLut<Val>;

/// Definitions in jq, in an order in which each knows those before it, with the names that each mentions.
static DEFINITIONS: LazyLock<Vec<(Def<&'static str>, BTreeSet<String>)>> = LazyLock::new(|| {
    jaq_core::defs()
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
    !FORBIDDEN.contains(&name)
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
        let functions = jaq_core::funs::<Jq>().chain(jaq_std::funs::<Jq>()).chain(jaq_json::funs::<Jq>());
        Self { definitions, functions: functions.filter(|it| is_allowed(it.0) && wanted(it.0)).collect() }
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
