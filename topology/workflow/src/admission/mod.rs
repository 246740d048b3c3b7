//! From text to program.
//!
//! Everything that can be wrong with a definition is found here and reported at once, so that a program never surprises the
//! engine: it refuses what this release does not run rather than running half of it.
//!
//! Reading order: `source`, text to data; `dsl_schema`, the published JSON schema of the language; `compile`, data to program and
//! what a schema cannot check; `lint`, what is most likely not meant; [`errors`] and [`duration`], small vocabularies of the language.

pub mod canonical;
mod compile;
mod dsl_schema;
pub mod duration;
pub mod errors;
mod finding;
mod lint;
mod report;
mod reversion;
mod source;
mod spelling;

pub use compile::{DEPTH_MAX, TASKS_MAX};
pub use finding::{Finding, Severity};
pub use reversion::with_version;
pub use source::{NESTING_MAX, TEXT_BYTES_MAX};

pub(crate) use report::Part;
pub(crate) use source::{Source, escape};

use serde_json::Value;

use crate::program::Program;
use report::Report;

/// A definition that may run.
#[derive(Debug)]
pub struct Admitted {
    /// The program.
    pub program: Program,
    /// What somebody should look at, in the order of the text.
    pub warnings: Vec<Finding>,
}

/// Reads, checks and compiles a definition, written in YAML 1.2 or JSON. `file_name` is only used to say where a problem is.
///
/// # Errors
/// Everything that is wrong, warnings included, in the order of the text. At least one finding is an error.
pub fn admit(file_name: &str, text: &str) -> Result<Admitted, Vec<Finding>> {
    let source = read_source(file_name, text).map_err(|it| vec![it])?;
    compile_value(file_name, &source, &source.value, &[])
}

/// A text as data.
pub(crate) fn read_source(file_name: &str, text: &str) -> Result<Source, Finding> {
    Source::parse(text).map_err(|unreadable| Finding {
        severity: Severity::Error,
        file: file_name.to_owned(),
        line: unreadable.place.line,
        column: unreadable.place.column,
        pointer: String::new(),
        message: unreadable.message,
        fix: unreadable.fix.to_owned(),
    })
}

/// Checks and compiles `definition`, which is what `source` says with `parts` in it.
pub(crate) fn compile_value(
    file_name: &str,
    source: &Source,
    definition: &Value,
    parts: &[&Part],
) -> Result<Admitted, Vec<Finding>> {
    let mut report = Report::new(file_name, source, parts);
    let program = compile::compile(definition, &mut report);
    if !report.has_errors() {
        lint::lint(definition, &mut report);
    }
    let findings = report.into_findings();
    match program {
        Some(program) if findings.iter().all(|it| it.severity == Severity::Warning) => {
            Ok(Admitted { program, warnings: findings })
        }
        _ => Err(findings),
    }
}
