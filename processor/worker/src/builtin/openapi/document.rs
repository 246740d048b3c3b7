//! A document: its version, its references, its operations.

use bytes::Bytes;
use reqwest::Url;
use serde_json::{Map, Value};

use super::operation::Operation;
use crate::TaskFailure;
use crate::builtin::resources::{Content, shown};
use crate::builtin::yaml;

/// How many references may lead from one to the next: what is longer goes in a circle.
const HOPS_MAX: usize = 32;

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Which language the document is written in. 3.0 and 3.1 differ in nothing that a call depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Swagger2,
    OpenApi3,
}

/// A document, and where it is.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) root: Value,
    pub(super) version: Version,
    pub(super) url: Url,
}

impl Content for Document {
    fn read(bytes: Bytes, url: Url) -> Result<Self, TaskFailure> {
        let place = shown(&url);
        Self::parse(&bytes, url)
            .map_err(|problem| TaskFailure::configuration(format!("the document {place}: {problem}")))
    }
}

impl Document {
    /// From JSON or YAML.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub(super) fn parse(bytes: &[u8], url: Url) -> Result<Self, String> {
        let root: Value = match serde_json::from_slice(bytes) {
            Ok(root) => root,
            Err(no_json) => {
                let text = std::str::from_utf8(bytes).map_err(|_| "the document is no text".to_owned())?;
                if text.trim_start().starts_with(['{', '[']) {
                    return Err(format!("the document is no JSON: {no_json}"));
                }
                yaml::parse(text)
                    .map_err(|problem| format!("the document is neither JSON nor YAML: {problem}"))?
            }
        };
        let said = |name: &str| match root.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let is =
            |version: &str, wanted: &str| version == wanted || version.starts_with(&format!("{wanted}."));
        let version = match (said("swagger"), said("openapi")) {
            (swagger, _) if is(&swagger, "2") => Version::Swagger2,
            (_, openapi) if is(&openapi, "3.0") || is(&openapi, "3.1") => Version::OpenApi3,
            (swagger, openapi) if swagger.is_empty() && openapi.is_empty() => {
                return Err("the document says of no version of OpenAPI that it is written in".to_owned());
            }
            (swagger, openapi) => {
                return Err(format!(
                    "version {swagger}{openapi} of OpenAPI is not supported: 2.0, 3.0 and 3.1 are"
                ));
            }
        };
        Ok(Self { root, version, url })
    }

    /// The operation of that id.
    ///
    /// # Errors
    /// A permanent failure of the type `configuration`: when there is none, or it cannot be followed to its end.
    pub(super) fn operation(&self, id: &str) -> Result<Operation<'_>, TaskFailure> {
        let paths = self.root.get("paths").and_then(Value::as_object);
        let (mut similar, mut unread) = (None, None);
        for (path, item) in paths.into_iter().flatten().filter(|it| it.0.starts_with('/')) {
            let item = match self.resolve(item) {
                Ok(item) => item,
                // What cannot be followed matters only if the operation is nowhere else.
                Err(failure) => {
                    unread.get_or_insert(failure);
                    continue;
                }
            };
            for method in METHODS {
                let Some(operation) = item.get(method).filter(|it| it.is_object()) else { continue };
                let named = operation.get("operationId").and_then(Value::as_str).unwrap_or_default();
                if named == id {
                    return Ok(Operation { document: self, path, method, item, operation });
                }
                if named.eq_ignore_ascii_case(id) {
                    similar = Some(named);
                }
            }
        }
        if let Some(failure) = unread {
            return Err(failure);
        }
        let problem = format!("the document has no operation `{id}`");
        let failure = TaskFailure::configuration(problem);
        Err(match similar {
            Some(it) => failure.with_detail(format!("it has `{it}`")),
            None => failure.with_detail(format!("it is {}", shown(&self.url))),
        })
    }

    /// The value itself, or what it refers to.
    ///
    /// # Errors
    /// When it refers to what is not there, or not in this document.
    pub(super) fn resolve<'d>(&'d self, value: &'d Value) -> Result<&'d Value, TaskFailure> {
        let mut value = value;
        for _ in 0..HOPS_MAX {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return Ok(value) };
            let Some(pointer) = reference.strip_prefix('#') else {
                return Err(self
                    .wrong(&format!("refers to {reference:?}, outside of it"))
                    .with_detail("references to other documents are not followed: bundle them into one"));
            };
            value = self
                .root
                .pointer(&percent_decoded(pointer))
                .ok_or_else(|| self.wrong(&format!("refers to {reference:?}, which is not there")))?;
        }
        Err(self.wrong("has references that go in a circle"))
    }

    pub(super) fn wrong(&self, problem: &str) -> TaskFailure {
        TaskFailure::configuration(format!("the document {} {problem}", shown(&self.url)))
    }

    /// The mapping's property, resolved; none if it is not there.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub(super) fn get<'d>(&'d self, value: &'d Value, name: &str) -> Result<Option<&'d Value>, TaskFailure> {
        value.get(name).map(|it| self.resolve(it)).transpose()
    }

    /// All properties that a schema tells of, those of its parts (`allOf`) among them, and the names of those that must be there.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub(super) fn properties<'d>(&'d self, schema: &'d Value) -> Result<Properties<'d>, TaskFailure> {
        let mut found = Properties { is_open: true, ..Properties::default() };
        self.collect(schema, 0, &mut found)?;
        Ok(found)
    }

    fn collect<'d>(
        &'d self,
        schema: &'d Value,
        depth: usize,
        found: &mut Properties<'d>,
    ) -> Result<(), TaskFailure> {
        if depth > HOPS_MAX {
            return Err(self.wrong("has references that go in a circle"));
        }
        let schema = self.resolve(schema)?;
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            found.by_name.insert(name.clone(), property.clone());
        }
        let required = schema.get("required").and_then(Value::as_array);
        found.required.extend(required.into_iter().flatten().filter_map(Value::as_str));
        found.is_open &= schema.get("additionalProperties") != Some(&Value::Bool(false));
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.collect(part, depth + 1, found)?;
        }
        Ok(())
    }
}

/// What is in an object, by its schema.
#[derive(Debug, Default)]
pub(super) struct Properties<'d> {
    pub(super) by_name: Map<String, Value>,
    pub(super) required: Vec<&'d str>,
    /// Whether others may be in it, too.
    pub(super) is_open: bool,
}

/// A JSON pointer in a URI's fragment.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3).and_then(|it| u8::from_str_radix(it, 16).ok()))
            .flatten();
        out.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}
