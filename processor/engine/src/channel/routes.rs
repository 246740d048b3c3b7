//! Where an event belongs that is addressed to nobody: to channels, and to workflows that it starts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millrace_schemas::channel::Gather;
use millrace_schemas::{EventId, InstanceId, Payload, Timestamp, WorkflowName};
use millrace_workflow::expression::{self, Expression};
use millrace_workflow::program::{EventFilter, Kind, Listen, Program, StartsOn};
use serde_json::Value;

use super::decide::start;
use super::filter::{Sent, passes};
use super::key::{channel_id, gathering_id};
use crate::Effect;

/// What the deployed definitions listen for. Made anew when they change.
#[derive(Debug, Default)]
pub struct Routes {
    /// By the type of the event.
    typed: BTreeMap<Arc<str>, Vec<Shape>>,
    /// Of filters that name no type.
    untyped: Vec<Shape>,
    /// Workflows that events start.
    starts: Vec<Arc<Program>>,
}

/// What the channel of an event is made of, besides its type: the values of these expressions, sorted by their texts.
type Shape = Vec<Expression>;

/// Where an event goes.
#[derive(Clone, Debug, PartialEq)]
pub enum Destination {
    /// To whoever listens there.
    Channel {
        /// Its id.
        id: InstanceId,
        /// It is one of several that start an instance.
        gather: Option<Gather>,
    },
    /// It starts an instance.
    Start {
        /// Which.
        instance: InstanceId,
        /// The start.
        effect: Effect,
    },
}

impl Routes {
    /// Of all versions that are deployed, since their instances may listen; `newest` of each workflow are those that are started.
    pub fn new<'p>(
        versions: impl IntoIterator<Item = &'p Arc<Program>>,
        newest: impl IntoIterator<Item = &'p Arc<Program>>,
    ) -> Self {
        let mut routes = Self::default();
        for program in versions {
            for task in &program.tasks {
                if let Kind::Listen(listen) = &task.kind {
                    routes.add(listen);
                }
            }
        }
        routes.starts = newest.into_iter().filter(|it| it.starts_on.is_some()).map(Arc::clone).collect();
        routes.starts.sort_by(|one, other| one.workflow.cmp(&other.workflow));
        routes
    }

    fn add(&mut self, listen: &Listen) {
        if listen.is_addressed {
            return;
        }
        for filter in &listen.filters {
            let keys = filter.keys();
            let shape = |is_used: &dyn Fn(bool) -> bool| -> Shape {
                keys.iter().filter(|it| is_used(it.expect.is_some())).map(|it| it.from.clone()).collect()
            };
            // What is expected is known from the beginning, the rest with the first event.
            for shape in [shape(&|is_expected| is_expected), shape(&|_| true)] {
                let shapes = match filter.event_type() {
                    Some(event_type) => self.typed.entry(event_type.into()).or_default(),
                    None => &mut self.untyped,
                };
                let is_same =
                    |it: &Shape| it.iter().map(Expression::text).eq(shape.iter().map(Expression::text));
                if !shapes.iter().any(is_same) {
                    shapes.push(shape);
                }
            }
        }
    }

    /// Whether any definition listens for events of its type.
    #[must_use]
    pub fn hears(&self, event: &Payload) -> bool {
        let event_type = event.value().get("type").and_then(Value::as_str).unwrap_or_default();
        let starts = |it: &EventFilter| it.event_type().is_none_or(|it| it == event_type);
        !self.untyped.is_empty()
            || self.typed.contains_key(event_type)
            || self
                .starts
                .iter()
                .filter_map(|it| it.starts_on.as_ref())
                .any(|it| it.filters.iter().any(starts))
    }

    /// Where an event goes, in an order that does not change. Nowhere if no definition listens for it.
    #[must_use]
    pub fn of_event(&self, event: &Payload, cause: &EventId, at: Timestamp) -> Vec<Destination> {
        // Many slow expressions hold up no more than one slow command does.
        expression::for_command(|| self.destinations(event, cause, at))
    }

    fn destinations(&self, event: &Payload, cause: &EventId, at: Timestamp) -> Vec<Destination> {
        let event_type = event.value().get("type").and_then(Value::as_str);
        let typed = event_type.and_then(|it| self.typed.get(it)).map_or(&[][..], Vec::as_slice);
        let typed = typed.iter().map(|it| (event_type, it));
        let mut ids = BTreeSet::new();
        for (event_type, shape) in typed.chain(self.untyped.iter().map(|it| (None, it))) {
            let keys = shape.iter().map(|it| Some((it.text(), value(it, event, at)?)));
            if let Some(keys) = keys.collect::<Option<Vec<_>>>() {
                ids.insert(channel_id(event_type, &keys));
            }
        }
        let channels = ids.into_iter().map(|id| Destination::Channel { id, gather: None });
        channels.chain(self.starts.iter().filter_map(|it| started(it, event, cause, at))).collect()
    }
}

/// The channel of all instances of a workflow that are known by a key.
#[must_use]
pub fn business_key_channel(workflow: &WorkflowName, key: &str) -> InstanceId {
    super::key::business_key_id(&workflow.to_string(), key)
}

/// A value that events are found by; none if it is not there.
fn value(expression: &Expression, event: &Payload, at: Timestamp) -> Option<Value> {
    expression.evaluate(event.value(), &Sent { variables: None, at }).ok().filter(|it| !it.is_null())
}

fn started(program: &Program, event: &Payload, cause: &EventId, at: Timestamp) -> Option<Destination> {
    let StartsOn { filters, needs_all } = program.starts_on.as_ref()?;
    let is_passed = |it: &EventFilter| passes(it, event, &Sent { variables: None, at });
    let filter = filters.iter().position(is_passed)?;
    if !needs_all {
        let events = std::iter::once(event.clone());
        let (instance, effect) = start(&program.workflow, cause, events).ok()?;
        return Some(Destination::Start { instance, effect });
    }
    let keys = filters[filter].correlations.iter().map(|it| Some((&*it.name, value(&it.from, event, at)?)));
    let mut keys = keys.collect::<Option<Vec<_>>>()?;
    keys.sort_by(|one, other| one.0.cmp(other.0));
    let number = |it: usize| u32::try_from(it).expect("admission bounds the size of a definition");
    let workflow = program.workflow.clone();
    let on = program.definition.get("schedule").and_then(|it| it.get("on")).unwrap_or(&Value::Null);
    let id = gathering_id(&workflow.workflow.to_string(), on, &keys);
    let gather = Gather { workflow, filter: number(filter), filters: number(filters.len()) };
    Some(Destination::Channel { id, gather: Some(gather) })
}
