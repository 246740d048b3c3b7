//! Which schedules there should be, by the definitions that are deployed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use millrace_schemas::schedule::schedule_id;
use millrace_schemas::{InstanceId, WorkflowVersion};
use millrace_workflow::program::Program;

/// The newest version of each workflow that has a schedule, in that or in another version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedules {
    newest: BTreeMap<InstanceId, WorkflowVersion>,
}

impl Schedules {
    /// Of all versions, and of the newest of each workflow.
    pub fn new<'p>(
        versions: impl Iterator<Item = &'p Arc<Program>>,
        newest: impl Iterator<Item = &'p Arc<Program>>,
    ) -> Self {
        let scheduled: BTreeSet<_> =
            versions.filter(|it| it.schedule.is_some()).map(|it| &it.workflow.workflow).collect();
        let newest = newest.map(|it| &it.workflow).filter(|it| scheduled.contains(&it.workflow));
        Self { newest: newest.map(|it| (schedule_id(&it.workflow), it.clone())).collect() }
    }

    /// The ids of the schedules, and the version that each should follow.
    pub fn iter(&self) -> impl Iterator<Item = (&InstanceId, &WorkflowVersion)> {
        self.newest.iter()
    }
}
