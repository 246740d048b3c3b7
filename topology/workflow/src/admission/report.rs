//! Collects what is found, with its place in the text.

use super::dsl_schema::Violation;
use super::finding::{Finding, Severity};
use super::source::Source;

/// A text that stands in the definition and is from elsewhere.
#[derive(Debug)]
pub(crate) struct Part {
    /// Where it stands.
    pub(crate) pointer: String,
    /// Where it is from.
    pub(crate) file: String,
    pub(crate) source: Source,
}

impl Part {
    /// What `pointer` is within the part. None if it is not in it.
    pub(crate) fn rest<'p>(&self, pointer: &'p str) -> Option<&'p str> {
        pointer.strip_prefix(&self.pointer).filter(|it| it.is_empty() || it.starts_with('/'))
    }
}

#[derive(Debug)]
pub(super) struct Report<'s> {
    file: &'s str,
    source: &'s Source,
    /// The later ones may be within those before.
    parts: &'s [&'s Part],
    findings: Vec<Finding>,
    /// Where the published schema is violated: what is said there again, in other words, is noise.
    violated: Vec<String>,
}

impl<'s> Report<'s> {
    pub(super) fn new(file: &'s str, source: &'s Source, parts: &'s [&'s Part]) -> Self {
        Self { file, source, parts, findings: Vec::new(), violated: Vec::new() }
    }

    /// What the published schema says about the value at `base`.
    pub(super) fn violations(&mut self, base: &str, violations: Vec<Violation>) {
        for Violation { pointer, message, fix } in violations {
            let pointer = format!("{base}{pointer}");
            self.add(Severity::Error, &pointer, message, fix);
            self.violated.push(pointer);
        }
    }

    /// An error, unless the schema has said already that this value is wrong.
    pub(super) fn error(&mut self, pointer: &str, message: impl Into<String>, fix: impl Into<String>) {
        let is_known = self.violated.iter().any(|it| is_within(it, pointer) || is_within(pointer, it));
        if !is_known {
            self.add(Severity::Error, pointer, message.into(), fix.into());
        }
    }

    /// A feature of the language that this release does not run.
    pub(super) fn unsupported(&mut self, pointer: &str, what: &str, instead: &str) {
        self.error(pointer, format!("{what} is not supported yet"), instead);
    }

    pub(super) fn warning(&mut self, pointer: &str, message: impl Into<String>, fix: impl Into<String>) {
        self.add(Severity::Warning, pointer, message.into(), fix.into());
    }

    fn add(&mut self, severity: Severity, pointer: &str, message: String, fix: String) {
        let part = self.parts.iter().rev().find_map(|it| Some((it, it.rest(pointer)?)));
        let (file, place) = match part {
            Some((part, rest)) => (part.file.as_str(), part.source.place(rest)),
            None => (self.file, self.source.place(pointer)),
        };
        self.findings.push(Finding {
            severity,
            file: file.to_owned(),
            line: place.line,
            column: place.column,
            pointer: pointer.to_owned(),
            message,
            fix,
        });
    }

    pub(super) fn has_errors(&self) -> bool {
        self.findings.iter().any(|it| it.severity == Severity::Error)
    }

    /// In the order of the text, each once: what is used twice is checked twice.
    pub(super) fn into_findings(mut self) -> Vec<Finding> {
        let own = self.file;
        self.findings.sort_by(|one, other| {
            let key = |it: &Finding| (it.file != own, it.file.clone(), it.line, it.column, it.severity);
            key(one).cmp(&key(other))
        });
        let mut seen = std::collections::HashSet::new();
        self.findings.retain(|it| seen.insert((it.pointer.clone(), it.message.clone())));
        self.findings
    }
}

/// Whether the place `inner` is `outer` or somewhere in it. The root is nobody's part: a definition without a `do` may be wrong
/// elsewhere too.
fn is_within(inner: &str, outer: &str) -> bool {
    !outer.is_empty()
        && inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
