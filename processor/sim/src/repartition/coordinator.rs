//! The plan: steps S0 to S11. All that counts is in the topics; what the coordinator remembers may be lost at any time.

use millrace_placement::{KeyGroups, PartitionIndex};
use millrace_schemas::handover::{Plan, PlanState, ReleaseRequested};
use millrace_schemas::internal::InternalRecord;
use millrace_schemas::{Offset, PlanId, Timestamp};

use super::Mode;
use super::broker::Broker;
use super::ledger::Ledger;
use super::owner::{CHILD, INBOX_OF_PARENT, PARENT};
use super::producers::Producers;

pub(crate) const PLAN: PlanId = PlanId(1);

/// The key-groups that move.
pub(crate) fn moving() -> KeyGroups {
    KeyGroups::of(PartitionIndex(CHILD as u32), 2).expect("an index of two")
}

/// Who leads the plan. In the fleet, the owner of partition 0.
#[derive(Debug)]
pub(crate) struct Coordinator {
    mode: Mode,
    window: u64,
    starts_at: u64,
    samples: Samples,
}

/// What is remembered between two steps.
#[derive(Debug, Default)]
struct Samples {
    /// High watermark of the parent's public partition, after the window.
    inbox: Option<Offset>,
    /// High watermark of the child's `.internal`, after the parent had read up to `inbox`.
    internal: Option<Offset>,
}

impl Coordinator {
    pub(crate) fn new(mode: Mode, window: u64, starts_at: u64) -> Self {
        Self { mode, window, starts_at, samples: Samples::default() }
    }

    pub(crate) fn forget(&mut self) {
        self.samples = Samples::default();
    }

    /// The next step, if it is time for it.
    pub(crate) fn step(
        &mut self,
        broker: &mut Broker,
        ledger: &Ledger,
        producers: &mut Producers,
        now: u64,
    ) -> Option<&'static str> {
        let at = Timestamp(i64::try_from(now).expect("runs are short"));
        let Some(plan) = broker.plan else {
            if now < self.starts_at {
                return None;
            }
            let started = Plan {
                id: PLAN,
                partitions_from: 1,
                partitions_to: 2,
                state: PlanState::Growing,
                started_at: at,
            };
            broker.plan = Some(started);
            return Some("plan is made");
        };
        let go_to = |broker: &mut Broker, state| broker.plan = Some(Plan { state, ..plan });
        match plan.state {
            PlanState::Growing if broker.internal.len() < 2 => {
                broker.add_index();
                Some("internal topics grow")
            }
            // The parent adopts the new public partition before there is one.
            PlanState::Growing if !ledger.has_adopted() => None,
            PlanState::Growing if broker.events.len() < 2 => {
                broker.add_events_partition();
                producers.grown(now, self.window);
                Some("inbox grows")
            }
            PlanState::Growing => {
                go_to(broker, PlanState::Gating { since: at });
                Some("gates are on")
            }
            PlanState::Gating { since } => {
                if self.mode == Mode::Window && !self.is_drained(broker, ledger, since, now) {
                    return None;
                }
                go_to(broker, PlanState::HandingOver { since });
                Some("hand-over begins")
            }
            PlanState::HandingOver { .. } if !ledger.has_released() => {
                let requested =
                    ReleaseRequested { plan: PLAN, key_groups: moving(), to: PartitionIndex(CHILD as u32) };
                let is_request =
                    |record: &InternalRecord| matches!(record, InternalRecord::ReleaseRequested(_));
                let log = &mut broker.internal[PARENT];
                if log.from(broker.committed[PARENT]).any(|(_, record)| is_request(record)) {
                    return None;
                }
                log.append(InternalRecord::ReleaseRequested(requested));
                Some("release is requested")
            }
            PlanState::HandingOver { .. } if !ledger.has_installed() => None,
            PlanState::HandingOver { since } => {
                // Urgent: gates go off once the child has applied all that the parent had to forward from the time of the window.
                if self.mode == Mode::Urgent {
                    if !self.is_drained(broker, ledger, since, now) {
                        return None;
                    }
                    let end = *self.samples.internal.get_or_insert_with(|| broker.internal[CHILD].end());
                    if broker.committed[CHILD] < end {
                        return None;
                    }
                }
                go_to(broker, PlanState::Done);
                Some("plan is done")
            }
            PlanState::Done | PlanState::Abandoned => None,
        }
    }

    /// S5: the window is over, and the parent has read all that was written to its public partition until then.
    fn is_drained(&mut self, broker: &Broker, ledger: &Ledger, since: Timestamp, now: u64) -> bool {
        if now <= u64::try_from(since.0).expect("times count from 0") + self.window {
            return false;
        }
        let end = *self.samples.inbox.get_or_insert_with(|| broker.events[INBOX_OF_PARENT].end());
        ledger.position(PARENT, INBOX_OF_PARENT) >= end
    }
}
