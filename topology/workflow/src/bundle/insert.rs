//! Writing what was fetched into the definition.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::location::beside;
use super::{Bundle, Inserted, Kind, Location, Reference};
use crate::admission::{Finding, Part, TEXT_BYTES_MAX, escape, read_source};

pub(super) fn function_pointer(name: &str) -> String {
    format!("/use/functions/{}", escape(name))
}

impl Bundle {
    /// Writes `content`, which is what `reference` wants, into the definition.
    ///
    /// # Errors
    /// It is not what it should be, or makes the definition too large.
    pub fn insert(&mut self, reference: &Reference, content: &[u8]) -> Result<(), Finding> {
        self.bytes += match reference.kind {
            Kind::Function { .. } | Kind::Schema => content.len(),
            Kind::File => content.len().div_ceil(3) * 4,
        };
        if self.bytes > TEXT_BYTES_MAX {
            return Err(self.too_large(&reference.pointer, self.bytes));
        }
        match &reference.kind {
            Kind::Function { name } => self.insert_function(name, reference, content)?,
            Kind::Schema => self.insert_schema(reference, content)?,
            Kind::File => self.insert_file(reference, content),
        }
        self.followed += 1;
        Ok(())
    }

    fn insert_function(&mut self, name: &str, reference: &Reference, content: &[u8]) -> Result<(), Finding> {
        let part = self.part(reference, content, function_pointer(name))?;
        if !part.source.value.is_object() {
            let message = format!("there is no function at {}", reference.location);
            let fix = "refer to a file with one task in it, such as `function.yaml` with `run: …`";
            return Err(self.finding(&reference.pointer, message, fix));
        }
        let functions = entry(entry(&mut self.value, "use"), "functions");
        *entry(functions, name) = part.source.value.clone();
        self.keep(part, reference);
        Ok(())
    }

    fn insert_schema(&mut self, reference: &Reference, content: &[u8]) -> Result<(), Finding> {
        let part = self.part(reference, content, format!("{}/document", reference.pointer))?;
        if let Some(Value::Object(schema)) = self.value.pointer_mut(&reference.pointer) {
            schema.shift_remove("resource");
            schema.insert("document".to_owned(), part.source.value.clone());
        }
        self.keep(part, reference);
        Ok(())
    }

    /// As a `data:` URI (RFC 2397), in place of the endpoint.
    fn insert_file(&mut self, reference: &Reference, content: &[u8]) {
        let (Location::Url(path) | Location::File(path)) = &reference.location;
        let media_type = match path.rsplit('.').next() {
            Some("json") => "application/json",
            Some("yaml" | "yml") => "application/yaml",
            _ => "text/plain",
        };
        if let Some(endpoint) = self.value.pointer_mut(&reference.pointer) {
            *endpoint = format!("data:{media_type};base64,{}", STANDARD.encode(content)).into();
        }
    }

    fn part(&self, reference: &Reference, content: &[u8], pointer: String) -> Result<Part, Finding> {
        let file = match &reference.location {
            Location::Url(url) => url.clone(),
            // As people see it from where they are, like the definition's own file.
            Location::File(path) => beside(&self.file, path),
        };
        let text = str::from_utf8(content).map_err(|error| {
            let message = format!("{file} is no UTF-8: {error}");
            self.finding(&reference.pointer, message, "refer to a text in YAML or JSON")
        })?;
        let source = read_source(&file, text)?;
        Ok(Part { pointer, file, source })
    }

    fn keep(&mut self, part: Part, reference: &Reference) {
        let (location, credentials) = (reference.location.clone(), reference.credentials.clone());
        self.parts.push(Inserted { part, location, credentials });
    }
}

/// The value `key` of an object. [`Bundle::wanted`] has looked that there are objects.
fn entry<'v>(value: &'v mut Value, key: &str) -> &'v mut Value {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let object = value.as_object_mut().expect("it is an object now");
    object.entry(key).or_insert_with(|| Value::Object(Map::new()))
}
