//! Which observations are worth a log line.

use millrace_partition::{Moved, Observation};
use millrace_placement::PartitionIndex;
use tracing::{debug, error, warn};

pub(crate) fn log(partition: PartitionIndex, observation: &Observation) {
    let partition = partition.0;
    match observation {
        Observation::DeadLettered { source, offset, reason, detail } => {
            warn!(partition, ?source, offset = offset.0, reason, detail, "record sent to the dead letters");
        }
        Observation::IncidentRaised { instance, kind } => {
            warn!(partition, %instance, kind, "incident raised: look at the instance, then resume it");
        }
        Observation::InstanceQuarantined { instance, detail } => {
            error!(partition, %instance, detail, "instance quarantined: its log and the code disagree");
        }
        Observation::ClockBehind { by } => warn!(
            partition,
            by_ms = by.as_millis(),
            "the changelog has entries of the future: the clock of this processor is behind, or that of the last owner was ahead; check NTP on both"
        ),
        Observation::CommandRejected { command, reason } => {
            debug!(partition, command, reason, "command refused")
        }
        Observation::SourceMoved { source, moved, from, to } => {
            let why = match moved {
                Moved::Trimmed => "records of a topic were deleted before they were read",
                Moved::MadeAnew => "a topic ends before what was read of it: it was deleted and made anew",
            };
            warn!(partition, ?source, from = from.0, to = to.0, "{why}; going on with the oldest record");
        }
        Observation::InstanceStarted { .. }
        | Observation::InstanceEnded { .. }
        | Observation::CommandDecided { .. }
        | Observation::Forwarded
        | Observation::EventPublished
        | Observation::EventDelivered { .. }
        | Observation::EventKept
        | Observation::RunScheduled
        | Observation::StartsSkipped { .. }
        | Observation::RecordsPassedOver { .. }
        | Observation::BatchCommitted { .. }
        | Observation::TaskDispatched { .. }
        | Observation::TaskEnded { .. }
        | Observation::TimerFired { .. } => {}
    }
}
