//! The pure hot paths of the processor, each as something that can be run again and again: timed by `cargo bench`, and counted in
//! instructions by `cargo xtask instructions`, which does not depend on what else the machine does. Nothing here needs a server.

mod core;
mod partition;

/// One path: runs once with each call.
pub type Run = Box<dyn FnMut()>;

/// A path and what one run of it does.
#[derive(Clone, Copy, Debug)]
pub struct HotPath {
    /// Its name: the part of the processor, and what it does there.
    pub name: &'static str,
    /// What one run is.
    pub unit: &'static str,
    /// Of how many things that is: steps, instances, records.
    pub elements: u64,
    /// Prepares it.
    pub prepare: fn() -> Run,
}

/// All of them.
pub const ALL: [HotPath; 11] = [
    HotPath {
        name: "inbox/read-start",
        unit: "one record of the inbox",
        elements: 1,
        prepare: core::read_start,
    },
    HotPath {
        name: "inbox/read-answer",
        unit: "one record of the inbox",
        elements: 1,
        prepare: core::read_answer,
    },
    HotPath { name: "engine/start", unit: "one start of W1", elements: 1, prepare: core::start },
    HotPath { name: "engine/answer", unit: "one answer to a task of W1", elements: 1, prepare: core::answer },
    HotPath {
        name: "engine/steps",
        unit: "one instance of W3: 200 set and switch",
        elements: 200,
        prepare: core::steps,
    },
    HotPath {
        name: "engine/fold",
        unit: "the four entries of a W1 instance",
        elements: 4,
        prepare: core::fold,
    },
    HotPath {
        name: "codec/encode-entry",
        unit: "one changelog entry",
        elements: 1,
        prepare: core::encode_entry,
    },
    HotPath {
        name: "codec/decode-entry",
        unit: "one changelog entry",
        elements: 1,
        prepare: core::decode_entry,
    },
    HotPath {
        name: "codec/encode-snapshot",
        unit: "one snapshot of W1",
        elements: 1,
        prepare: core::encode_snapshot,
    },
    HotPath {
        name: "codec/decode-snapshot",
        unit: "one snapshot of W1",
        elements: 1,
        prepare: core::decode_snapshot,
    },
    HotPath {
        name: "partition/w1",
        unit: "100 W1 instances from start to end",
        elements: 100,
        prepare: partition::w1,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_runs_more_than_once() {
        for path in ALL {
            let mut run = (path.prepare)();
            run();
            run();
        }
    }
}
