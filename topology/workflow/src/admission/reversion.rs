//! Another version for a definition, in its text: everything else stays as it was written, comments included.

use saphyr_parser::{Event, Parser};

/// `text` with `document.version` replaced by `version`. None when the text has no such place; what else is wrong with it,
/// [`super::admit`] says.
#[must_use]
pub fn with_version(text: &str, version: &str) -> Option<String> {
    let mut path: Vec<Level> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.ok()?;
        match event {
            Event::MappingStart(..) => {
                let name = path.last_mut().and_then(Level::take);
                path.push(Level { name, key: None, is_mapping: true });
            }
            Event::SequenceStart(..) => {
                let name = path.last_mut().and_then(Level::take);
                path.push(Level { name, key: None, is_mapping: false });
            }
            Event::MappingEnd | Event::SequenceEnd => {
                path.pop();
            }
            Event::Scalar(value, ..) => {
                let is_document = matches!(&path[..], [_, level] if level.name.as_deref() == Some("document") && level.is_mapping);
                let Some(level) = path.last_mut().filter(|it| it.is_mapping) else { continue };
                match level.take() {
                    None => level.key = Some(value.into_owned()),
                    Some(key) if is_document && key == "version" => {
                        let (start, end) =
                            (byte_of(text, span.start.index())?, byte_of(text, span.end.index())?);
                        let end = start + written_bytes(text.get(start..end)?)?;
                        let (before, after) = (text.get(..start)?, text.get(end..)?);
                        // JSON knows one kind of quotes.
                        let quote = if text.get(start..)?.starts_with('"') { '"' } else { '\'' };
                        return Some(format!("{before}{quote}{version}{quote}{after}"));
                    }
                    Some(_) => {}
                }
            }
            Event::Alias(_) => {
                let _ = path.last_mut().and_then(Level::take);
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
    }
    None
}

/// A list or a mapping that has begun and not ended.
struct Level {
    /// The key that it stands at.
    name: Option<String>,
    /// In a mapping: the key whose value comes next.
    key: Option<String>,
    is_mapping: bool,
}

impl Level {
    fn take(&mut self) -> Option<String> {
        self.key.take()
    }
}

/// How long a version is, with its quotes. What the parser gives goes on to the next line if there are quotes.
fn written_bytes(text: &str) -> Option<usize> {
    match text.chars().next() {
        Some(quote @ ('\'' | '"')) => Some(text[1..].find(quote)? + 2),
        _ => Some(text.len()),
    }
}

/// The parser counts characters.
fn byte_of(text: &str, characters: usize) -> Option<usize> {
    text.char_indices().map(|it| it.0).chain([text.len()]).nth(characters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_version_of_the_document_changes() {
        let text = "# Bestellung für Übermorgen\ndocument:\n  dsl: '1.0.3'\n  name: order # a name\n  version: 1.0.0   # the first\n\
                    do:\n  - version:\n      set: { version: 1.0.0 }\n";
        let changed = with_version(text, "1.0.0+dev.2").expect("has a version");
        assert_eq!(changed, text.replacen("version: 1.0.0 ", "version: '1.0.0+dev.2' ", 1));
        let quoted = text.replacen("version: 1.0.0 ", "version: '1.0.0' ", 1);
        assert_eq!(
            with_version(&quoted, "2.0.0"),
            Some(text.replacen("version: 1.0.0 ", "version: '2.0.0' ", 1))
        );
    }

    #[test]
    fn json_stays_json() {
        let text = r#"{"document": {"dsl": "1.0.3", "version": "1.0.0"}, "do": []}"#;
        let changed = with_version(text, "1.0.0+dev.1").expect("has a version");
        assert_eq!(changed, r#"{"document": {"dsl": "1.0.3", "version": "1.0.0+dev.1"}, "do": []}"#);
    }

    #[test]
    fn a_text_without_it_is_left_alone() {
        for text in
            ["", "do: []", "document: 1.0.0", "document:\n  - version: 1.0.0", "a: [", "document: {name: x}"]
        {
            assert_eq!(with_version(text, "2.0.0"), None, "{text}");
        }
    }
}
