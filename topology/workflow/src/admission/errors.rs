//! Error types of the language.

/// What the standard error types begin with, as Millrace emits them.
pub const PREFIX: &str = "https://serverlessworkflow.io/spec/1.0.0/errors/";

/// Error types that the standard names, with their statuses.
pub const STANDARD: [(&str, u16); 8] = [
    ("configuration", 400),
    ("validation", 400),
    ("expression", 400),
    ("authentication", 401),
    ("authorization", 403),
    ("timeout", 408),
    ("communication", 500),
    ("runtime", 500),
];

/// The one name of an error type: the standard's errors are written in four ways, depending on the age of the text. Other types
/// are their own name.
#[must_use]
pub fn canonical_type(error_type: &str) -> String {
    let name = ["https://serverlessworkflow.io", "https://open-workflow-specification.org"]
        .iter()
        .filter_map(|host| error_type.strip_prefix(host))
        .find_map(|path| {
            path.strip_prefix("/spec/1.0.0/errors/").or_else(|| path.strip_prefix("/dsl/errors/types/"))
        });
    name.map_or_else(|| error_type.to_owned(), |name| format!("{PREFIX}{name}"))
}
