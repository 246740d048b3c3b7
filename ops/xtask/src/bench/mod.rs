//! `bench`: measures a fleet on real servers. Optimised builds always.

mod broker;
mod idle;
mod listens;
mod live;
mod loading;
mod rolling;
mod scaling;
mod system;
mod takeover;
mod timers;
mod w1;

pub(crate) use broker::{Plan as BrokerPlan, broker};
pub(crate) use idle::{Plan as IdlePlan, idle};
pub(crate) use listens::{Plan as ListensPlan, listens};
pub(crate) use rolling::{Plan as RollingPlan, rolling};
pub(crate) use scaling::{Plan as ScalingPlan, scaling};
pub(crate) use takeover::{Plan as TakeoverPlan, takeover};
pub(crate) use timers::{Plan as TimersPlan, timers};
pub(crate) use w1::{Plan as W1Plan, w1};
