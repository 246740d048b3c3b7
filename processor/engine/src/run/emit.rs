//! `emit`

use millrace_schemas::Payload;
use millrace_workflow::program::Emit;
use serde_json::{Map, Value};

use super::Trouble;
use super::enter::Entering;
use crate::journal::Journal;
use crate::{problem, timing};

impl Journal<'_> {
    pub(super) fn enter_emit(&mut self, entering: &Entering<'_>, it: &Emit) -> Result<(), Trouble> {
        let with = self.fill(&it.event, entering.input.value(), &entering.view(self.at()))?;
        let Value::Object(with) = with.value() else {
            let detail = "`emit.event.with` must give an object of CloudEvent attributes".to_owned();
            return Err(problem::expression(&entering.task.reference, detail).into());
        };
        let event = Payload::from(Value::Object(self.cloud_event(entering, with)));
        self.emit(it.topic.as_deref().map(Into::into), event.clone())?;
        self.end_at_once(entering, event, entering.task.then)
    }

    /// Fills in what the definition leaves out. The id names the step, so it is the same however often it is decided.
    fn cloud_event(&self, entering: &Entering<'_>, with: &Map<String, Value>) -> Map<String, Value> {
        let given = |name: &str| with.get(name).filter(|it| !it.is_null()).cloned();
        let mut event = Map::new();
        event.insert("specversion".to_owned(), given("specversion").unwrap_or_else(|| "1.0".into()));
        event.insert("id".to_owned(), given("id").unwrap_or_else(|| self.event_id(entering).into()));
        let source = given("source").unwrap_or_else(|| format!("/{}", self.program.workflow).into());
        event.insert("source".to_owned(), source);
        event.insert("type".to_owned(), given("type").unwrap_or(Value::Null));
        event.insert("time".to_owned(), given("time").unwrap_or_else(|| timing::rfc3339(self.at()).into()));
        for (name, value) in with {
            if !value.is_null() {
                event.insert(name.clone(), value.clone());
            }
        }
        event
    }

    fn event_id(&self, entering: &Entering<'_>) -> String {
        let Entering { task, iteration, .. } = entering;
        let steps = self.state().steps;
        let slash = if iteration.is_empty() { "" } else { "/" };
        format!("{}{}{slash}{iteration}/{steps}", self.id, task.reference)
    }
}
