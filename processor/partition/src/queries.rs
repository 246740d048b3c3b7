//! Looking at an instance, or at a schedule. Answers show what is committed, never what a transaction is about to make true.
//!
//! While the lane commits, nobody here knows which of the two it is, and somebody else may: whoever was told of a start reads the outcome from the
//! log, and may ask before the lane has heard of it. So questions about what is being committed wait for the outcome.

use millrace_engine::Entity;
use millrace_schemas::InstanceId;

use crate::input::QueryId;
use crate::output::Output;
use crate::partition::{Partition, Phase};

impl Partition {
    pub(crate) fn answer_queries(&mut self, out: &mut Vec<Output>) {
        if !matches!(self.phase, Phase::Active) || self.queries.is_empty() {
            return;
        }
        let mut load = Vec::new();
        for (query, id) in std::mem::take(&mut self.queries) {
            let sealed = self.open.as_ref().filter(|it| it.is_sealed);
            if sealed.is_some_and(|it| it.work.entities.contains_key(&id)) {
                self.queries.push((query, id));
            } else if let Some(cached) = self.cache.get(&id) {
                out.push(answer(query, Some(&cached.entity), &id));
            } else if self.quarantine.contains(&id) {
                out.push(answer(query, None, &id));
            } else {
                if self.loading.insert(id.clone()) {
                    load.push(id.clone());
                }
                self.queries.push((query, id));
            }
        }
        if !load.is_empty() {
            out.push(Output::LoadSnapshots(load));
        }
    }
}

fn answer(query: QueryId, entity: Option<&Entity>, id: &InstanceId) -> Output {
    match entity {
        Some(Entity::Schedule(it)) => {
            Output::AnswerSchedule { query, state: it.state().cloned().map(Box::new) }
        }
        None if id.is_schedule() => Output::AnswerSchedule { query, state: None },
        Some(Entity::Instance(it)) => Output::Answer { query, state: it.state().cloned().map(Box::new) },
        Some(Entity::Channel(_)) | None => Output::Answer { query, state: None },
    }
}
