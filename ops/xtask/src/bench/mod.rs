//! `bench`: measures a fleet on real servers. Optimised builds always.

mod broker;
mod idle;
mod listens;
mod live;
mod loading;
mod rolling;
mod scaling;
mod soak;
mod system;
mod takeover;
mod timers;
mod w1;
mod workloads;

/// Long enough for Java's virtual machines to have compiled what they run: with both cores busy, throughput rose for 150 seconds.
const JAVA_WARMUP_SECONDS: u64 = 150;

pub(crate) use broker::{Plan as BrokerPlan, broker};
pub(crate) use idle::{Plan as IdlePlan, idle};
pub(crate) use listens::{Plan as ListensPlan, listens};
pub(crate) use rolling::{Plan as RollingPlan, rolling};
pub(crate) use scaling::{Plan as ScalingPlan, scaling};
pub(crate) use soak::{Plan as SoakPlan, soak};
pub(crate) use takeover::{Plan as TakeoverPlan, takeover};
pub(crate) use timers::{Plan as TimersPlan, timers};
pub(crate) use w1::{Plan as W1Plan, w1};
pub(crate) use workloads::{Plan as WorkloadsPlan, workloads};
