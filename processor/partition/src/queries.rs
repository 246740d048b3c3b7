//! Looking at an instance. Answers show what is committed, never what a transaction is about to make true.

use millrace_engine::Instance;

use crate::output::Output;
use crate::partition::{Partition, Phase};

impl Partition {
    pub(crate) fn answer_queries(&mut self, out: &mut Vec<Output>) {
        if !matches!(self.phase, Phase::Active) || self.queries.is_empty() {
            return;
        }
        let mut load = Vec::new();
        for (query, id) in std::mem::take(&mut self.queries) {
            if let Some(cached) = self.cache.get(&id) {
                let state = cached.entity.as_instance().and_then(Instance::state).cloned().map(Box::new);
                out.push(Output::Answer { query, state });
            } else if self.quarantine.contains(&id) {
                out.push(Output::Answer { query, state: None });
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
