//! `run: script` and `run: shell`: programs that a definition brings along, each in a process of its own.
//!
//! Whoever may deploy a workflow may then run anything on the worker's machine, as the worker's user. So no program is run unless the
//! operator allows it, and the limits below are against accidents, not against malice: who needs a wall runs the worker in one.
//!
//! Reading order: `arguments`, what a definition says; [`Processes`], which starts programs; `running`, one that was started, and its
//! end; `outcome`, what its end means; [`Script`] and [`Shell`].

mod arguments;
mod outcome;
mod processes;
mod running;
mod script;
mod shell;
#[cfg(test)]
mod tests;

pub use processes::{ProcessLimits, ProcessSettings, Processes};
pub use script::Script;
pub use shell::Shell;

pub(super) use arguments::{Arguments, environment, text};
pub(super) use processes::Program;
