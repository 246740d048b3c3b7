//! The data of events by which an operator steps in: retry, edit, skip, restart.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::inbox::InboxError;
use super::types;
use crate::Payload;
use crate::command::Command;
use crate::event::{Compensation, Reopening};

/// The command that an event of one of these types asks for. Who asks is the event's source, if its data does not say.
pub(super) fn read(event_type: &str, data: Option<Value>, source: String) -> Result<Command, InboxError> {
    let mut data = match data {
        None | Some(Value::Null) => Fields(Map::new()),
        Some(Value::Object(data)) => Fields(data),
        Some(_) => return Err(unreadable("expected an object".to_owned())),
    };
    let by = data.text("by")?.unwrap_or(source);
    let reason = data.text("reason")?.unwrap_or_default();
    Ok(match event_type {
        types::RETRY => {
            Command::Retry { task: data.reference("task")?, input: data.payload("input"), by, reason }
        }
        types::EDIT => Command::Edit { task: data.task()?, input: data.must("input")?, by, reason },
        types::SKIP => {
            Command::Skip { task: data.reference("task")?, output: data.must("output")?, by, reason }
        }
        _ => Command::Restart {
            task: data.task()?,
            input: data.must("input")?,
            context: data.payload("context"),
            number: data.number("number")?,
            reopening: data.reopening()?,
            by,
            reason,
        },
    })
}

/// The type and the data of the event that asks for `command`.
pub(super) fn write(command: &Command) -> Option<(&'static str, Value)> {
    let mut data = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            data.insert(name.to_owned(), value);
        }
    };
    let value = |payload: &Payload| payload.value().clone();
    let (event_type, by, reason) = match command {
        Command::Retry { task, input, by, reason } => {
            put("task", task.as_deref().map(Value::from));
            put("input", input.as_ref().map(value));
            (types::RETRY, by, reason)
        }
        Command::Edit { task, input, by, reason } => {
            put("task", Some((**task).into()));
            put("input", Some(value(input)));
            (types::EDIT, by, reason)
        }
        Command::Skip { task, output, by, reason } => {
            put("task", task.as_deref().map(Value::from));
            put("output", Some(value(output)));
            (types::SKIP, by, reason)
        }
        Command::Restart { task, input, context, number, reopening, by, reason } => {
            put("task", Some((**task).into()));
            put("input", Some(value(input)));
            put("context", context.as_ref().map(value));
            put("number", number.map(Value::from));
            put("reopening", reopening.as_ref().map(written));
            (types::RESTART, by, reason)
        }
        Command::Start { .. }
        | Command::CompleteTask { .. }
        | Command::FailTask { .. }
        | Command::RecordHeartbeat { .. }
        | Command::FireTimer { .. }
        | Command::DeliverSignal { .. }
        | Command::DeliverEvent { .. }
        | Command::Cancel { .. }
        | Command::Suspend { .. }
        | Command::Resume { .. } => return None,
    };
    put("by", Some(by.as_str().into()));
    put("reason", Some(reason.as_str().into()));
    Some((event_type, Value::Object(data)))
}

fn written(reopening: &Reopening) -> Value {
    let compensations = reopening.compensations.iter().map(|it| {
        json!({
            "task": &*it.task,
            "iteration": &*it.iteration,
            "input": it.input.value(),
            "output": it.output.value(),
        })
    });
    json!({
        "rawInput": reopening.raw_input.value(),
        "input": reopening.input.value(),
        "compensations": compensations.collect::<Vec<_>>(),
    })
}

/// A boolean of the data, which may be missing.
pub(super) fn flag(data: Option<&Value>, name: &str) -> Result<bool, InboxError> {
    match data.and_then(|it| it.get(name)) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(it)) => Ok(*it),
        Some(_) => Err(unreadable(format!("{name} is no boolean"))),
    }
}

struct Fields(Map<String, Value>);

impl Fields {
    fn text(&mut self, name: &str) -> Result<Option<String>, InboxError> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(unreadable(format!("{name} is no string"))),
        }
    }

    fn reference(&mut self, name: &str) -> Result<Option<Arc<str>>, InboxError> {
        Ok(self.text(name)?.map(Into::into))
    }

    fn task(&mut self) -> Result<Arc<str>, InboxError> {
        let rule = "task is missing: the JSON pointer of a task, such as /do/2/charge";
        self.reference("task")?.ok_or_else(|| unreadable(rule.to_owned()))
    }

    fn payload(&mut self, name: &str) -> Option<Payload> {
        self.0.remove(name).map(Payload::from)
    }

    fn must(&mut self, name: &str) -> Result<Payload, InboxError> {
        self.payload(name).ok_or_else(|| unreadable(format!("{name} is missing")))
    }

    fn number(&mut self, name: &str) -> Result<Option<u32>, InboxError> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(it) => {
                let number = it.as_u64().and_then(|it| u32::try_from(it).ok());
                number.map(Some).ok_or_else(|| unreadable(format!("{name} is no whole number below 2^32")))
            }
        }
    }

    fn object(value: Value, what: &str) -> Result<Self, InboxError> {
        let Value::Object(fields) = value else { return Err(unreadable(format!("{what} is no object"))) };
        Ok(Self(fields))
    }

    fn reopening(&mut self) -> Result<Option<Reopening>, InboxError> {
        let Some(value) = self.0.remove("reopening").filter(|it| !it.is_null()) else { return Ok(None) };
        let mut fields = Self::object(value, "reopening")?;
        let compensations = match fields.0.remove("compensations") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => {
                items.into_iter().map(Self::compensation).collect::<Result<_, _>>()?
            }
            Some(_) => return Err(unreadable("compensations is no array".to_owned())),
        };
        Ok(Some(Reopening {
            raw_input: fields.must("rawInput")?,
            input: fields.must("input")?,
            compensations,
        }))
    }

    fn compensation(value: Value) -> Result<Compensation, InboxError> {
        let mut fields = Self::object(value, "a compensation")?;
        Ok(Compensation {
            task: fields.task()?,
            iteration: fields.text("iteration")?.unwrap_or_default().into(),
            input: fields.must("input")?,
            output: fields.must("output")?,
        })
    }
}

fn unreadable(detail: String) -> InboxError {
    InboxError::UnreadableData { detail }
}
