//! How executions hang together.

use std::collections::{BTreeMap, BTreeSet};

use millrace_schemas::ExecutionId;
use millrace_schemas::instance::{Execution, ExecutionState};

/// Which branch of the fork at `fork` the task at `branch` is: the number in `<fork>/fork/branches/<number>/<name>`.
pub(crate) fn branch_index(fork: &str, branch: &str) -> Option<usize> {
    branch.strip_prefix(fork)?.strip_prefix("/fork/branches/")?.split('/').next()?.parse().ok()
}

/// `root` and everything open below it. Children have larger ids than their parents, so one pass finds them.
pub(crate) fn subtree(
    executions: &BTreeMap<ExecutionId, Execution>,
    root: ExecutionId,
) -> BTreeSet<ExecutionId> {
    let mut found = BTreeSet::from([root]);
    if executions.get(&root).is_none_or(|it| is_leaf(&it.state)) {
        return found;
    }
    for (id, execution) in executions.range(root..) {
        if execution.parent.is_some_and(|it| found.contains(&it)) {
            found.insert(*id);
        }
    }
    found
}

fn is_leaf(state: &ExecutionState) -> bool {
    match state {
        ExecutionState::Sequence { .. }
        | ExecutionState::Loop { .. }
        | ExecutionState::Branches { .. }
        | ExecutionState::Trying { .. }
        | ExecutionState::Catching { .. }
        | ExecutionState::Gathering { .. } => false,
        ExecutionState::BackingOff { .. }
        | ExecutionState::Waiting
        | ExecutionState::Listening { .. }
        | ExecutionState::Calling { .. } => true,
    }
}

#[cfg(test)]
mod tests {
    use super::branch_index;

    #[test]
    fn a_branch_is_told_by_its_reference() {
        assert_eq!(branch_index("/do/1/both", "/do/1/both/fork/branches/12/left"), Some(12));
        assert_eq!(branch_index("/do/1/both", "/do/1/both/fork/branches/1/left/do/0/x"), Some(1));
        assert_eq!(branch_index("/do/1/both", "/do/2/other"), None);
    }
}
