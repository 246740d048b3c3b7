//! How a `listen` subscribes to the channels where its events come, and leaves them.
//!
//! Which channel a filter belongs to follows from the type that it names and from those entries of its `correlate` whose value is known:
//! by `expect`, or by the events that the `listen` has taken already. So a filter may change its channel once, with the first event.

use millrace_schemas::channel::{ChannelCommand, Subscription, SubscriptionId};
use millrace_schemas::event::{Event, TaskError};
use millrace_schemas::instance::JoinedChannel;
use millrace_schemas::{EventId, ExecutionId, InstanceId, Payload};
use millrace_workflow::expression::Variables as _;
use millrace_workflow::program::{Correlation, EventFilter, Listen, Matcher, Strategy};
use serde_json::{Map, Value};

use super::listen::{heard, wants};
use crate::channel::{business_key_channel, channel_id};
use crate::journal::{Journal, Stop};
use crate::problem;
use crate::variables::{Sight, View};

impl Journal<'_> {
    /// Subscribes to all that an open `listen` wants. An error when it cannot be said what that is.
    pub(super) fn join_channels(
        &mut self,
        id: ExecutionId,
        listen: &Listen,
    ) -> Result<Result<(), TaskError>, Stop> {
        if listen.is_addressed {
            return Ok(Ok(()));
        }
        for filter in 0..listen.filters.len() {
            if let Err(error) = self.adjust_channel(id, listen, filter)? {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    /// As `join_channels`, once it has taken an event: some filters want no more, others know better what they want.
    pub(super) fn rejoin_channels(
        &mut self,
        id: ExecutionId,
        listen: &Listen,
    ) -> Result<Result<(), TaskError>, Stop> {
        // A channel has ended a subscription by itself when it was for one event.
        if let Some((listener, filter)) = self.delivered
            && listener == id
            && is_once(listen, filter as usize)
            && self.joined(id, filter).is_some()
        {
            self.record(Event::ChannelLeft { execution: id, filter })?;
        }
        self.join_channels(id, listen)
    }

    /// Subscribes the instance, as long as it lives, to what is sent to its business key.
    pub(crate) fn join_by_business_key(&mut self) -> Result<Result<(), TaskError>, Stop> {
        let Some(expression) = &self.program.business_key else { return Ok(Ok(())) };
        let input = self.state().input.clone();
        let view = View { input: Some(&input), ..View::of(ExecutionId::ROOT, None, self.at()) };
        let key = match self.evaluate(expression, input.value(), &view) {
            Ok(Value::String(key)) => key,
            Ok(Value::Number(key)) => key.to_string(),
            Ok(Value::Null) => return Ok(Ok(())),
            Ok(_) => {
                let detail = format!("the business key `{}` must be text or a number", expression.text());
                return Ok(Err(problem::expression("/document/metadata/millrace/businessKey", detail)));
            }
            Err(error) => return Ok(Err(error)),
        };
        let channel = business_key_channel(&self.program.workflow.workflow, &key);
        let execution = ExecutionId::ROOT;
        self.record(Event::ChannelJoined { execution, filter: 0, channel: channel.clone() })?;
        let workflow = self.program.workflow.clone();
        let subscription = Subscription { workflow, task: "/do".into(), variables: None, is_once: false };
        let command = ChannelCommand::Subscribe { id: self.subscription_id(execution, 0), subscription };
        let name = self.name(execution, 0, "subscribe");
        self.send_to_channel(channel, name, command)?;
        Ok(Ok(()))
    }

    fn adjust_channel(
        &mut self,
        id: ExecutionId,
        listen: &Listen,
        filter: usize,
    ) -> Result<Result<(), TaskError>, Stop> {
        let number = u32::try_from(filter).expect("admission bounds the size of a definition");
        let wanted = match self.channel_of(id, listen, filter) {
            Ok(wanted) => wanted,
            Err(error) => return Ok(Err(error)),
        };
        let joined = self.joined(id, number);
        if joined == wanted {
            return Ok(Ok(()));
        }
        if let Some(channel) = joined {
            self.unsubscribe(id, number, channel)?;
            self.record(Event::ChannelLeft { execution: id, filter: number })?;
        }
        if let Some(channel) = wanted {
            let variables = self.variables_of(id, &listen.filters[filter]);
            if variables.as_ref().is_some_and(Payload::is_too_deep_for_inbox) {
                let detail = format!(
                    "the variables that a filter looks at are nested more than {} deep; flatten them",
                    Payload::INBOX_DEPTH_MAX
                );
                return Ok(Err(problem::runtime(&self.execution(id).task, detail)));
            }
            self.record(Event::ChannelJoined { execution: id, filter: number, channel: channel.clone() })?;
            let name = self.name(id, number, "subscribe");
            self.subscribe(id, listen, number, channel, variables, name)?;
        }
        Ok(Ok(()))
    }

    fn subscribe(
        &mut self,
        id: ExecutionId,
        listen: &Listen,
        filter: u32,
        channel: InstanceId,
        variables: Option<Payload>,
        name: String,
    ) -> Result<(), Stop> {
        let execution = self.execution(id);
        let subscription = Subscription {
            workflow: self.program.workflow.clone(),
            task: execution.task.clone(),
            variables,
            is_once: is_once(listen, filter as usize),
        };
        let command = ChannelCommand::Subscribe { id: self.subscription_id(id, filter), subscription };
        self.send_to_channel(channel, name, command)
    }

    /// An event came by a subscription that was for one event, and was not the one: it is subscribed to again. False if it was not.
    pub(crate) fn subscribe_again(
        &mut self,
        id: ExecutionId,
        filter: u32,
        cause: &EventId,
    ) -> Result<bool, Stop> {
        if !self.is_for_one_event(id, filter) || !self.is_listening(id) {
            return Ok(false);
        }
        let (Some(listen), Some(channel)) = (self.listen_of(id), self.joined(id, filter)) else {
            return Ok(false);
        };
        self.record(Event::ChannelLeft { execution: id, filter })?;
        self.record(Event::ChannelJoined { execution: id, filter, channel: channel.clone() })?;
        let name = self.name(id, filter, &format!("again/{}", cause.id));
        let variables = self.variables_of(id, &listen.filters[filter as usize]);
        self.subscribe(id, listen, filter, channel, variables, name)?;
        self.delivered = None;
        Ok(true)
    }

    /// Whether the channel has ended the subscription by which it has delivered an event.
    pub(crate) fn is_for_one_event(&self, id: ExecutionId, filter: u32) -> bool {
        self.is_open(id) && self.listen_of(id).is_some_and(|it| is_once(it, filter as usize))
    }

    /// What ends needs its subscriptions no more. The state forgets them by itself, with what has ended.
    pub(super) fn leave_channels(&mut self, is_ending: impl Fn(ExecutionId) -> bool) -> Result<(), Stop> {
        let Some(state) = self.instance() else { return Ok(()) };
        let leaving: Vec<JoinedChannel> =
            state.channels.iter().filter(|it| is_ending(it.execution)).cloned().collect();
        for JoinedChannel { execution, filter, channel } in leaving {
            self.unsubscribe(execution, filter, channel)?;
        }
        Ok(())
    }

    /// A `listen` takes no more, and stays open for its tasks.
    pub(super) fn forget_channels(&mut self, id: ExecutionId) -> Result<(), Stop> {
        let filters: Vec<u32> =
            self.state().channels.iter().filter(|it| it.execution == id).map(|it| it.filter).collect();
        for filter in filters {
            self.record(Event::ChannelLeft { execution: id, filter })?;
        }
        Ok(())
    }

    fn unsubscribe(&mut self, id: ExecutionId, filter: u32, channel: InstanceId) -> Result<(), Stop> {
        let has_ended = self.delivered == Some((id, filter)) && self.is_for_one_event(id, filter);
        let subscription = self.subscription_id(id, filter);
        if self.unsubscribe_unsent(&subscription) || has_ended {
            return Ok(());
        }
        let name = self.name(id, filter, "unsubscribe");
        self.send_to_channel(channel, name, ChannelCommand::Unsubscribe { id: subscription })
    }

    fn subscription_id(&self, execution: ExecutionId, filter: u32) -> SubscriptionId {
        SubscriptionId { instance: self.id.clone(), execution, filter }
    }

    fn name(&self, id: ExecutionId, filter: u32, what: &str) -> String {
        format!("{}/{}.{filter}/{what}", self.id, id.0)
    }

    fn joined(&self, id: ExecutionId, filter: u32) -> Option<InstanceId> {
        let joined = self.state().channels.iter().find(|it| (it.execution, it.filter) == (id, filter));
        joined.map(|it| it.channel.clone())
    }

    /// Where the events of a filter come; none if it wants no more, or if no event can be found by what it expects.
    fn channel_of(
        &self,
        id: ExecutionId,
        listen: &Listen,
        filter: usize,
    ) -> Result<Option<InstanceId>, TaskError> {
        let execution = self.execution(id);
        let heard = heard(execution);
        if !wants(listen, heard, filter) {
            return Ok(None);
        }
        let view = View::of_open(execution, self.task_of(execution));
        let agreed = self.agreed(listen, heard, &view);
        let filter = &listen.filters[filter];
        let known = |it: &Correlation| it.expect.is_some() || agreed.contains_key(&*it.name);
        let mut keys = filter.keys();
        if !keys.iter().all(|it| known(it)) {
            keys.retain(|it| it.expect.is_some());
        }
        let mut values = Vec::new();
        for key in keys {
            let value = match &key.expect {
                Some(expect) => self.fill(expect, execution.input.value(), &view)?.value().clone(),
                None => agreed[&*key.name].clone(),
            };
            if value.is_null() {
                return Ok(None);
            }
            values.push((key.from.text(), value));
        }
        Ok(Some(channel_id(filter.event_type(), &values)))
    }

    /// The variables that its expressions name, for the channel.
    fn variables_of(&self, id: ExecutionId, filter: &EventFilter) -> Option<Payload> {
        let execution = self.execution(id);
        let view = View::of_open(execution, self.task_of(execution));
        let sight = Sight::new(self, &view);
        let mut variables = Map::new();
        for (_, matcher) in &filter.attributes {
            let Matcher::Expression(expression) = matcher else { continue };
            for name in expression.mentions() {
                if let Some(value) = sight.get(name) {
                    variables.insert(name.to_owned(), value.into_owned());
                }
            }
        }
        (!variables.is_empty()).then(|| Payload::from(Value::Object(variables)))
    }
}

/// Whether a filter wants one event only.
fn is_once(listen: &Listen, filter: usize) -> bool {
    match listen.strategy {
        Strategy::First | Strategy::All => true,
        Strategy::UntilTrue(_) => false,
        Strategy::UntilHeard { first, .. } => filter >= first,
    }
}
