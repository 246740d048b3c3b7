//! Bundling: what a definition refers to elsewhere is written into it, so that what is deployed is whole, and its digest covers
//! all of it.
//!
//! Pure. [`Bundle::wanted`] says what is missing and where it is; the caller gets it, and gives it to [`Bundle::insert`]; again, until
//! nothing is wanted, since a function may refer to others. [`Bundle::admit`] then admits the whole, and says of each finding in
//! which of the texts it is.
//!
//! Reading order: `reference`, what is wanted; `location`, where it is; `insert`, how it is written in.

mod insert;
mod location;
mod reference;

use serde_json::Value;

use crate::admission::{
    Admitted, Finding, Part, Severity, Source, TEXT_BYTES_MAX, compile_value, read_source,
};

pub use location::Location;
pub use reference::{Credentials, Kind, Reference};

/// Most references of a definition that are followed, those of fetched functions included.
pub const REFERENCES_MAX: usize = 256;

/// A definition, and what has been written into it so far.
#[derive(Debug)]
pub struct Bundle {
    file: String,
    text: String,
    /// As its author wrote it.
    source: Source,
    /// With what has been inserted.
    value: Value,
    parts: Vec<Inserted>,
    /// How many references were followed.
    followed: usize,
    /// About the size of the definition, with what has been inserted.
    bytes: usize,
}

/// A text that was written into the definition.
#[derive(Debug)]
struct Inserted {
    part: Part,
    location: Location,
    credentials: Option<Credentials>,
}

impl Bundle {
    /// Reads a definition. `file` says where it is from.
    ///
    /// # Errors
    /// The text is no YAML or JSON, or past a bound.
    pub fn read(file: &str, text: String) -> Result<Self, Vec<Finding>> {
        let source = read_source(file, &text).map_err(|it| vec![it])?;
        let (value, bytes) = (source.value.clone(), text.len());
        Ok(Self { file: file.to_owned(), text, source, value, parts: Vec::new(), followed: 0, bytes })
    }

    /// Whether anything has been written into the definition.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.followed > 0
    }

    /// What is published: the author's own text if nothing was inserted, else JSON.
    #[must_use]
    pub fn text(&self) -> String {
        if !self.is_changed() {
            return self.text.clone();
        }
        let mut value = self.value.clone();
        // Where functions are from is of interest; what lets in there is nobody's business.
        let catalogs = value.pointer_mut("/use/catalogs").and_then(Value::as_object_mut);
        for (_, catalog) in catalogs.into_iter().flatten() {
            if let Some(endpoint) = catalog.get_mut("endpoint").and_then(Value::as_object_mut) {
                endpoint.shift_remove("authentication");
            }
        }
        serde_json::to_string_pretty(&value).expect("JSON can be written")
    }

    /// Checks and compiles the definition with all that has been inserted.
    ///
    /// # Errors
    /// Everything that is wrong, each in the text that it stands in: the definition's, or one that was inserted.
    pub fn admit(&self) -> Result<Admitted, Vec<Finding>> {
        if !self.is_changed() {
            return compile_value(&self.file, &self.source, &self.source.value, &[]);
        }
        // What will be read from the topic is compiled, not what it was made of.
        let text = self.text();
        if text.len() > TEXT_BYTES_MAX {
            return Err(vec![self.too_large("", text.len())]);
        }
        let bundled = read_source(&self.file, &text).map_err(|it| vec![it])?;
        let parts: Vec<&Part> = self.parts.iter().map(|it| &it.part).collect();
        compile_value(&self.file, &self.source, &bundled.value, &parts)
    }

    /// An error about a reference.
    #[must_use]
    pub fn finding(&self, pointer: &str, message: impl Into<String>, fix: impl Into<String>) -> Finding {
        let inserted = self.parts.iter().rev().find(|it| it.part.rest(pointer).is_some());
        let (file, place) = match inserted {
            Some(it) => (&it.part.file, it.part.source.place(it.part.rest(pointer).unwrap_or_default())),
            None => (&self.file, self.source.place(pointer)),
        };
        Finding {
            severity: Severity::Error,
            file: file.clone(),
            line: place.line,
            column: place.column,
            pointer: pointer.to_owned(),
            message: message.into(),
            fix: fix.into(),
        }
    }

    fn too_large(&self, pointer: &str, bytes: usize) -> Finding {
        let message = format!("with what it refers to, the definition has {bytes} bytes");
        let fix = "keep all of it under 1 MiB: split the definition, or refer to large documents by `https://`, so that the worker gets them";
        self.finding(pointer, message, fix)
    }
}
