//! What an instance is found by (`searchAttributes`): values that its definition computes of its input and `$context`.

use millrace_schemas::event::Event;
use millrace_schemas::{ExecutionId, Payload};
use millrace_workflow::program::ATTRIBUTE_TEXT_BYTES_MAX;
use serde_json::{Map, Value};

use crate::journal::{Journal, Stop};
use crate::variables::View;

impl Journal<'_> {
    /// Records what the instance is found by, if that has changed with its `$context`. It must not have ended.
    pub(crate) fn note_attributes(&mut self) -> Result<(), Stop> {
        let Some(state) = self.instance() else { return Ok(()) };
        let is_current = self.attributes_of.as_ref().is_some_and(|it| *it == state.context);
        if self.program.attributes.is_empty() || state.status.is_terminal() || is_current {
            return Ok(());
        }
        let (context, before) = (state.context.clone(), state.attributes.clone());
        let attributes = self.attributes();
        self.attributes_of = Some(context);
        if before.as_ref() == Some(&attributes) || (before.is_none() && is_empty(&attributes)) {
            return Ok(());
        }
        self.record(Event::AttributesChanged { attributes })
    }

    /// As they are now. Strange data must not fault a workflow for the sake of an index: an expression that fails, and what cannot be an
    /// attribute, leave theirs out.
    fn attributes(&self) -> Payload {
        let input = self.state().input.clone();
        let view = View { input: Some(&input), ..View::of(ExecutionId::ROOT, None, self.at()) };
        let value = |(name, template): (&std::sync::Arc<str>, _)| {
            let value = self.fill(template, input.value(), &view).ok()?;
            Some((name.to_string(), attribute(value.value())?))
        };
        let attributes: Map<String, Value> = self.program.attributes.iter().filter_map(value).collect();
        Payload::from(Value::Object(attributes))
    }
}

fn is_empty(attributes: &Payload) -> bool {
    attributes.value().as_object().is_none_or(Map::is_empty)
}

/// What a value is as an attribute, if it can be one. Texts are neither empty nor long. A number is one number, however it was computed: 2.0 is 2.
fn attribute(value: &Value) -> Option<Value> {
    match value {
        Value::Bool(_) => Some(value.clone()),
        Value::String(text) => (1..=ATTRIBUTE_TEXT_BYTES_MAX).contains(&text.len()).then(|| value.clone()),
        Value::Number(number) => Some(match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < EXACT => {
                Value::from(float as i64)
            }
            _ => value.clone(),
        }),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whole numbers below are exact as floating-point numbers.
const EXACT: f64 = 9_007_199_254_740_992.0;
