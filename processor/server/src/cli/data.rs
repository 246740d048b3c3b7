//! JSON on the command line: the text itself, `@file`, or `-` for stdin.

use std::io::Read as _;

use millrace_schemas::Payload;
use serde_json::Value;

use crate::exit::Failure;

/// Reads an argument that holds JSON.
pub(crate) fn read(option: &str, argument: &str) -> anyhow::Result<Value> {
    let (place, text) = if argument == "-" {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|error| {
            Failure::refused(format!("{option}: cannot read stdin"), "pipe UTF-8 text into it").because(error)
        })?;
        ("stdin".to_owned(), text)
    } else if let Some(path) = argument.strip_prefix('@') {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::refused(format!("{option}: cannot read {path}"), "check the path behind the @")
                .because(error)
        })?;
        (path.to_owned(), text)
    } else {
        ("the argument".to_owned(), argument.to_owned())
    };
    serde_json::from_str(&text).map_err(|error| {
        if error.to_string().starts_with("recursion limit exceeded") {
            let what = format!("{option}: {place} is nested too deep");
            let fix = format!(
                "flatten it: workflows take data that is nested up to {} deep",
                Payload::INBOX_DEPTH_MAX
            );
            return Failure::refused(what, fix).because(error).into();
        }
        let fix = "give JSON (text in double quotes too: '\"text\"'), @file, or - for stdin";
        Failure::refused(format!("{option}: {place} is not JSON"), fix).because(error).into()
    })
}
