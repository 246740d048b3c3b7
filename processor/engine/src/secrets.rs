//! Secrets by markers: an expression is given a text that stands for a secret, and the worker puts the secret in its place. So no secret
//! is in any record, and none can be asked for but by the definition: a marker is drawn when the arguments are computed, and means
//! nothing in any other task.

use millrace_schemas::Payload;
use millrace_schemas::event::SecretMarker;
use millrace_workflow::program::{Kind, Task};
use serde_json::{Map, Value};

use crate::journal::Journal;
use crate::timing;

/// The secrets that a task names.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    markers: Vec<SecretMarker>,
    variable: Option<Value>,
}

impl Secrets {
    /// `$secrets`
    pub(crate) fn variable(&self) -> Option<&Value> {
        self.variable.as_ref()
    }

    /// The markers that are in `arguments`.
    pub(crate) fn used_in(&self, arguments: &Payload) -> Vec<SecretMarker> {
        self.markers.iter().filter(|it| contains(arguments.value(), &it.marker)).cloned().collect()
    }
}

impl Journal<'_> {
    /// Draws a marker for each secret that a call names.
    pub(crate) fn secrets(&mut self, task: &Task) -> Secrets {
        let Kind::Call(call) = &task.kind else { return Secrets::default() };
        if call.secrets.is_empty() {
            return Secrets::default();
        }
        let mut secrets = Secrets::default();
        let mut variable = Value::Object(Map::new());
        for path in &call.secrets {
            let marker = format!("<secret {:016x}>", timing::draw(self.moment.random, self.draws));
            self.draws += 1;
            put(&mut variable, path, &marker);
            secrets.markers.push(SecretMarker { marker, path: path.clone() });
        }
        secrets.variable = Some(variable);
        secrets
    }
}

/// Puts the marker where the expression looks for the secret.
fn put(value: &mut Value, path: &[String], marker: &str) {
    let Some((key, rest)) = path.split_first() else {
        *value = Value::String(marker.to_owned());
        return;
    };
    if !value.is_object() {
        // The whole of a secret was asked for, too; its properties are more.
        *value = Value::Object(Map::new());
    }
    put(&mut value[key.as_str()], rest, marker);
}

fn contains(value: &Value, marker: &str) -> bool {
    match value {
        Value::String(text) => text.contains(marker),
        Value::Array(items) => items.iter().any(|it| contains(it, marker)),
        Value::Object(entries) => {
            entries.iter().any(|(name, it)| name.contains(marker) || contains(it, marker))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
