//! Text to JSON, with the place of everything in the text. YAML 1.2, of which JSON is a part.

use std::collections::BTreeMap;

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use saphyr_parser::{Event, Parser};
use serde_json::{Map, Number, Value};

/// Largest definition, in bytes.
pub const TEXT_BYTES_MAX: usize = 512 * 1024;
/// Deepest nesting of lists and mappings.
pub const NESTING_MAX: usize = 128;
/// Most values that aliases may add.
const ALIASES_MAX: usize = 10_000;

/// A place in the text, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A definition as data.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) value: Value,
    places: BTreeMap<String, Place>,
}

/// Why a text is no data.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) place: Place,
    pub(super) message: String,
    pub(super) fix: &'static str,
}

impl Source {
    pub(super) fn parse(text: &str) -> Result<Self, Unreadable> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Unreadable {
                place: Place { line: 1, column: 1 },
                message: format!("the definition has {} bytes", text.len()),
                fix: "keep it under 512 KiB: split it, or move data into the input",
            });
        }
        check_nesting(text)?;
        let mut loader = saphyr::YamlLoader::<MarkedYaml<'_>>::default();
        loader.alias_limit(ALIASES_MAX);
        let unreadable = |error: &saphyr::ScanError| Unreadable {
            place: place_of(error.marker()),
            message: format!("this is no YAML: {}", error.info()),
            fix: "check the indentation and the quotes here and on the line before",
        };
        Parser::new_from_str(text).load(&mut loader, true).map_err(|it| unreadable(&it))?;
        if let Some(error) = loader.error() {
            return Err(unreadable(error));
        }
        let documents = loader.into_documents();
        let [document] = documents.as_slice() else {
            return Err(Unreadable {
                place: Place { line: 1, column: 1 },
                message: format!("expected one document, found {}", documents.len()),
                fix: "put each definition into a file of its own",
            });
        };
        let mut places = BTreeMap::new();
        let value = convert(document, &mut String::new(), &mut places)?;
        Ok(Self { value, places })
    }

    /// Where the value at `pointer` stands; the nearest one around it, if it stands nowhere.
    pub(super) fn place(&self, pointer: &str) -> Place {
        let mut pointer = pointer;
        loop {
            if let Some(place) = self.places.get(pointer) {
                return *place;
            }
            match pointer.rfind('/') {
                Some(end) => pointer = &pointer[..end],
                None => return Place { line: 1, column: 1 },
            }
        }
    }
}

/// Before anything is built: what is nested too deeply would exhaust the stack.
fn check_nesting(text: &str) -> Result<(), Unreadable> {
    let mut depth = 0_usize;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Unreadable {
            place: place_of(error.marker()),
            message: format!("this is no YAML: {}", error.info()),
            fix: "check the indentation and the quotes here and on the line before",
        })?;
        match event {
            Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
            Event::SequenceEnd | Event::MappingEnd => depth -= 1,
            _ => {}
        }
        if depth > NESTING_MAX {
            return Err(Unreadable {
                place: place_of(&span.start),
                message: format!("lists and mappings are nested more than {NESTING_MAX} deep"),
                fix: "flatten the definition",
            });
        }
    }
    Ok(())
}

fn place_of(marker: &saphyr::Marker) -> Place {
    Place { line: marker.line(), column: marker.col() + 1 }
}

fn convert(node: &MarkedYaml<'_>, pointer: &mut String, places: &mut BTreeMap<String, Place>) -> Result<Value, Unreadable> {
    let place = place_of(&node.span.start);
    // The key's place was put there already; it says more than the value's.
    places.entry(pointer.clone()).or_insert(place);
    let odd = |message: String| Unreadable { place, message, fix: "write plain YAML: text, numbers, lists, mappings with text as keys" };
    Ok(match &node.data {
        YamlData::Value(scalar) => match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(is) => Value::Bool(*is),
            Scalar::Integer(int) => Value::Number(Number::from(*int)),
            Scalar::FloatingPoint(float) => Value::Number(
                Number::from_f64(float.into_inner()).ok_or_else(|| odd(format!("{float} is no number in JSON")))?,
            ),
            Scalar::String(text) => Value::String(text.clone().into_owned()),
        },
        YamlData::Sequence(items) => {
            let mut array = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                let length = pointer.len();
                pointer.push_str(&format!("/{index}"));
                array.push(convert(item, pointer, places)?);
                pointer.truncate(length);
            }
            Value::Array(array)
        }
        YamlData::Mapping(entries) => {
            let mut object = Map::with_capacity(entries.len());
            for (key, item) in entries {
                let name = match &key.data {
                    YamlData::Value(Scalar::String(text)) => text.clone().into_owned(),
                    other => return Err(odd(format!("a key must be text, this is {other:?}"))),
                };
                let length = pointer.len();
                pointer.push('/');
                pointer.push_str(&escape(&name));
                places.insert(pointer.clone(), place_of(&key.span.start));
                object.insert(name, convert(item, pointer, places)?);
                pointer.truncate(length);
            }
            Value::Object(object)
        }
        YamlData::Tagged(_, node) => convert(node, pointer, places)?,
        YamlData::Alias(_) | YamlData::BadValue | YamlData::Representation(..) => {
            return Err(odd("this value cannot be read".to_owned()));
        }
    })
}

/// A key as a part of a JSON pointer (RFC 6901).
pub(super) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
