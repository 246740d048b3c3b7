//! `bench`: measures a fleet on real servers. Optimised builds always.

mod idle;
mod live;
mod page;
mod takeover;
mod w1;

pub(crate) use idle::{Plan as IdlePlan, idle};
pub(crate) use takeover::{Plan as TakeoverPlan, takeover};
pub(crate) use w1::w1;
