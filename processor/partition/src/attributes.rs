//! What instances are found by, as a store indexes it.

use std::collections::BTreeSet;
use std::fmt;

use millrace_schemas::Payload;
use serde_json::{Map, Value};

/// The search attributes of an instance: texts, numbers, `true` and `false`, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes(Map<String, Value>);

impl Attributes {
    /// Those that a state has.
    #[must_use]
    pub fn of(attributes: Option<&Payload>) -> Self {
        Self(attributes.and_then(|it| it.value().as_object()).cloned().unwrap_or_default())
    }

    /// As they were written by [`Self::to_json`]; none of a row without them, or that says something else.
    #[must_use]
    pub fn from_json(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap_or_default())
    }

    /// For a row of the list.
    #[must_use]
    pub fn to_json(&self) -> String {
        if self.0.is_empty() { String::new() } else { Value::Object(self.0.clone()).to_string() }
    }

    /// By their names.
    #[must_use]
    pub fn values(&self) -> &Map<String, Value> {
        &self.0
    }

    /// What the index has of them.
    #[must_use]
    pub fn terms(&self) -> BTreeSet<Term> {
        self.0.iter().filter_map(|(name, value)| Term::of(name, value)).collect()
    }

    /// Whether all of these hold.
    #[must_use]
    pub fn have(&self, terms: &[Term]) -> bool {
        let own = self.terms();
        terms.iter().all(|it| own.contains(it))
    }
}

/// An attribute with its value, as it is looked for: `customer=acme`. The value is its text, whatever its type, so that nobody has to
/// know whether an order number is a number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term(String);

impl Term {
    /// Reads `name=value`. None if there is no name, or no value.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, value) = text.split_once('=')?;
        (!name.is_empty() && !value.is_empty()).then(|| Self(text.to_owned()))
    }

    fn of(name: &str, value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self(format!("{name}={text}"))),
            Value::Number(_) | Value::Bool(_) => Some(Self(format!("{name}={value}"))),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// As the index has it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_looked_for_is_the_text_of_a_value_whatever_its_type() {
        let attributes =
            Attributes::of(Some(&json!({"order": 4711, "code": "4711", "paid": true, "a": 1.5}).into()));
        let terms: Vec<_> = attributes.terms().iter().map(ToString::to_string).collect();
        assert_eq!(terms, ["a=1.5", "code=4711", "order=4711", "paid=true"]);
        let parse = |text: &str| Term::parse(text).unwrap();
        assert!(attributes.have(&[parse("order=4711"), parse("paid=true")]));
        assert!(!attributes.have(&[parse("order=4711"), parse("paid=false")]));
        assert!(attributes.have(&[]));
        for text in ["", "a", "=a", "a="] {
            assert_eq!(Term::parse(text), None, "{text}");
        }
        assert_eq!(parse("a=b=c").as_str(), "a=b=c");
    }

    #[test]
    fn a_row_gives_back_what_was_written() {
        let attributes = Attributes::of(Some(&json!({"order": 4711, "name": "é\"="}).into()));
        assert_eq!(Attributes::from_json(&attributes.to_json()), attributes);
        let none = Attributes::default();
        assert_eq!(none.to_json(), "");
        for text in ["", "null", "[1]", "{"] {
            assert_eq!(Attributes::from_json(text), none, "{text}");
        }
    }
}
