//! Bounds on the text of an expression. jaq reads and runs nested code on the stack, so what is nested without bound, or calls
//! itself, could end the process.

use jaq_core::load::lex::{Lexer, StrPart, Tok, Token};

use super::compile::NOW;
use super::functions;

/// Longest expression, in bytes.
pub(super) const BYTES_MAX: usize = 16 * 1024;
/// Deepest nesting of brackets and strings.
const BRACKETS_MAX: usize = 64;
/// Most operators and keywords around or before one place.
const OPERATORS_MAX: usize = 128;

/// Refuses what is too long or too deep, and definitions.
pub(super) fn check(code: &str) -> Result<(), String> {
    if code.len() > BYTES_MAX {
        return Err(format!("it is longer than {BYTES_MAX} bytes"));
    }
    // Counted on the text first, since the lexer itself goes down with every bracket.
    let mut depth = 0_usize;
    for byte in code.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > BRACKETS_MAX {
            return Err(format!("its brackets are nested more than {BRACKETS_MAX} deep"));
        }
    }
    // What cannot be read is reported, better, by whoever compiles it.
    let Ok(tokens) = Lexer::new(code).lex() else { return Ok(()) };
    if operators(&tokens)? > OPERATORS_MAX {
        return Err(format!("it has more than {OPERATORS_MAX} operators: split it into several tasks"));
    }
    Ok(())
}

/// How many operators and keywords jaq may have on its stack at once.
fn operators(tokens: &[Token<&str>]) -> Result<usize, String> {
    let mut here = 0;
    let mut below = 0;
    for Token(text, kind) in tokens {
        match kind {
            Tok::Word if *text == "def" => {
                return Err("`def` is not available: a function that calls itself would never end".to_owned());
            }
            Tok::Word if matches!(*text, "import" | "include") => {
                return Err("modules are not available".to_owned());
            }
            Tok::Word if functions::HIDDEN.iter().any(|it| it.0 == *text) => {
                return Err(format!("there is no function `{text}` here"));
            }
            Tok::Var if *text == NOW => return Err(format!("there is no variable `{NOW}` here")),
            Tok::Sym if !matches!(*text, "." | ":" | ";" | "?") => here += 1,
            Tok::Word
                if matches!(
                    *text,
                    "if" | "elif" | "try" | "reduce" | "foreach" | "label" | "as" | "and" | "or"
                ) =>
            {
                here += 1
            }
            Tok::Block(inner) => below = below.max(operators(inner)?),
            Tok::Str(parts) => {
                for part in parts {
                    if let StrPart::Term(inner) = part {
                        below = below.max(operators(std::slice::from_ref(inner))?);
                    }
                }
            }
            Tok::Word | Tok::Var | Tok::Fmt | Tok::Num | Tok::Sym => {}
        }
    }
    Ok(here + below)
}
