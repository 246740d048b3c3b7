//! Timers, by the million: puts instances that wait into a snapshot store, and watches them fire.
//!
//! Ten million starts would take a fleet an hour. So the instances are made here, by the engine, and written as a flush writes them: a
//! snapshot and a row of the timer index each. The store must be one that no fleet has used for these instances, and the changelog must
//! know nothing of them.

mod fill;
mod watch;

pub use fill::{Settings as FillSettings, run as fill};
pub use watch::{Settings as WatchSettings, run as watch};

fn id_of(name: &str, number: u64) -> String {
    format!("{name}-{number}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_definition_is_admitted() {
        let text = include_str!("../../workflows/timer.yaml");
        let admitted = millrace_workflow::admission::admit("timer.yaml", text).expect("is a good definition");
        assert!(admitted.warnings.is_empty(), "{:?}", admitted.warnings);
    }
}
