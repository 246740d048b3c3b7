//! Text to JSON, with the place of everything in the text. YAML 1.2, of which JSON is a part.

use std::collections::{BTreeMap, BTreeSet};

use saphyr::{MarkedYaml, Scalar, YamlData};
use saphyr_parser::{Event, Parser};
use serde_json::{Map, Number, Value};

/// Largest definition, in bytes.
pub const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// Deepest nesting of lists and mappings, aliases expanded.
pub const NESTING_MAX: usize = 100;
/// Most values that aliases may add.
const ALIASES_MAX: usize = 10_000;

/// A place in the text, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A definition as data.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) value: Value,
    spot: Spot,
}

/// Where a value stands, and its parts in their order. A tree like the value's own: a map from pointers would hold every key
/// once for everything below it.
#[derive(Debug, Default)]
struct Spot {
    place: Place,
    parts: Vec<Spot>,
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
                fix: "keep it under 1 MiB: split it, or move data into the input",
            });
        }
        check_shape(text)?;
        let mut loader = saphyr::YamlLoader::<MarkedYaml<'_>>::default();
        loader.alias_limit(ALIASES_MAX);
        Parser::new_from_str(text).load(&mut loader, true).map_err(|it| not_yaml(&it))?;
        if let Some(error) = loader.error() {
            return Err(not_yaml(error));
        }
        let documents = loader.into_documents();
        let [document] = documents.as_slice() else {
            return Err(Unreadable {
                place: Place { line: 1, column: 1 },
                message: format!("expected one document, found {}", documents.len()),
                fix: "put each definition into a file of its own",
            });
        };
        let (value, spot) = convert(document, place_of(&document.span.start))?;
        Ok(Self { value, spot })
    }

    /// Where the value at `pointer` stands, its key if it has one; the nearest one around it, if it stands nowhere.
    pub(crate) fn place(&self, pointer: &str) -> Place {
        let (mut value, mut spot) = (&self.value, &self.spot);
        for part in pointer.split('/').skip(1) {
            let key = part.replace("~1", "/").replace("~0", "~");
            let index = match value {
                Value::Object(entries) => entries.keys().position(|it| *it == key),
                Value::Array(_) => key.parse().ok(),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
            };
            let inner = match value {
                Value::Object(entries) => entries.get(&key),
                Value::Array(items) => index.and_then(|it: usize| items.get(it)),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
            };
            match (inner, index.and_then(|it| spot.parts.get(it))) {
                (Some(inner), Some(part)) => (value, spot) = (inner, part),
                _ => break,
            }
        }
        spot.place
    }
}

/// A list or a mapping that has begun and not ended.
#[derive(Default)]
struct Open {
    anchor: usize,
    /// How deeply what is in it is nested.
    height: usize,
    /// The keys so far; none in a list.
    keys: Option<BTreeSet<String>>,
    /// In a mapping: whether a key comes next.
    key_next: bool,
}

/// Before anything is built: what is nested too deeply, by itself or by its aliases, would exhaust the stack, and of two entries
/// with one key only one would be seen.
fn check_shape(text: &str) -> Result<(), Unreadable> {
    let mut open: Vec<Open> = Vec::new();
    let mut heights: BTreeMap<usize, usize> = BTreeMap::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| not_yaml(&error))?;
        let place = place_of(&span.start);
        let is_key = open.last().is_some_and(|it| it.keys.is_some() && it.key_next);
        let height = match event {
            Event::SequenceStart(anchor, _) => {
                open.push(Open { anchor, ..Open::default() });
                check_depth(open.len(), place)?;
                continue;
            }
            Event::MappingStart(anchor, _) => {
                open.push(Open { anchor, keys: Some(BTreeSet::new()), key_next: true, ..Open::default() });
                check_depth(open.len(), place)?;
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let ended = open.pop().unwrap_or_default();
                heights.insert(ended.anchor, ended.height + 1);
                ended.height + 1
            }
            Event::Alias(anchor) => heights.get(&anchor).copied().unwrap_or_default(),
            Event::Scalar(ref key, ..) if is_key => {
                let keys = open.last_mut().and_then(|it| it.keys.as_mut());
                if keys.is_some_and(|it| !it.insert(key.to_string())) {
                    return Err(Unreadable {
                        place,
                        message: format!("the key `{key}` is here twice"),
                        fix: "remove one of the two",
                    });
                }
                0
            }
            Event::Scalar(..) => 0,
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => continue,
        };
        if let Some(around) = open.last_mut() {
            around.height = around.height.max(height);
            around.key_next = !around.key_next;
        }
        check_depth(open.len() + height, place)?;
    }
    Ok(())
}

fn check_depth(depth: usize, place: Place) -> Result<(), Unreadable> {
    if depth <= NESTING_MAX {
        return Ok(());
    }
    Err(too_deep(place))
}

fn too_deep(place: Place) -> Unreadable {
    Unreadable {
        place,
        message: format!("lists and mappings are nested more than {NESTING_MAX} deep"),
        fix: "flatten the definition",
    }
}

fn not_yaml(error: &saphyr::ScanError) -> Unreadable {
    // The parser has a limit of its own, above ours, for lists and mappings in one line.
    if error.info() == "recursion limit exceeded" {
        return too_deep(place_of(error.marker()));
    }
    Unreadable {
        place: place_of(error.marker()),
        message: format!("this is no YAML: {}", error.info()),
        fix: "check the indentation and the quotes here and on the line before",
    }
}

fn place_of(marker: &saphyr::Marker) -> Place {
    Place { line: marker.line(), column: marker.col() + 1 }
}

/// `place` is where the value stands, as people see it: at its key, if it has one.
fn convert(node: &MarkedYaml<'_>, place: Place) -> Result<(Value, Spot), Unreadable> {
    let odd = |place: Place, message: String| Unreadable {
        place,
        message,
        fix: "write plain YAML: text, numbers, lists, and mappings with text as keys",
    };
    let mut parts = Vec::new();
    let value = match &node.data {
        YamlData::Value(Scalar::Null) => Value::Null,
        YamlData::Value(Scalar::Boolean(is)) => Value::Bool(*is),
        YamlData::Value(Scalar::Integer(int)) => Value::Number(Number::from(*int)),
        YamlData::Value(Scalar::FloatingPoint(float)) => {
            let float = float.into_inner();
            Value::Number(
                Number::from_f64(float).ok_or_else(|| odd(place, format!("{float} is no number in JSON")))?,
            )
        }
        YamlData::Value(Scalar::String(text)) => Value::String(text.clone().into_owned()),
        YamlData::Sequence(items) => {
            let mut array = Vec::with_capacity(items.len());
            for item in items {
                let (item, spot) = convert(item, place_of(&item.span.start))?;
                array.push(item);
                parts.push(spot);
            }
            Value::Array(array)
        }
        YamlData::Mapping(entries) => {
            let mut object = Map::with_capacity(entries.len());
            for (key, item) in entries {
                let place = place_of(&key.span.start);
                let YamlData::Value(Scalar::String(name)) = &key.data else {
                    return Err(odd(place, "a key must be text".to_owned()));
                };
                let (item, spot) = convert(item, place)?;
                object.insert(name.clone().into_owned(), item);
                parts.push(spot);
            }
            Value::Object(object)
        }
        YamlData::Tagged(_, node) => return convert(node, place),
        YamlData::Alias(_) | YamlData::BadValue | YamlData::Representation(..) => {
            return Err(odd(place, "this value cannot be read".to_owned()));
        }
    };
    Ok((value, Spot { place, parts }))
}

/// A key as a part of a JSON pointer (RFC 6901).
pub(crate) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
