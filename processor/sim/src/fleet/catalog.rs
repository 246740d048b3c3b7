//! The workflows of the simulated users. What they do is checked against what their producers have sent.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use millrace_engine::{Routes, Schedules};
use millrace_partition::Programs;
use millrace_schemas::{WorkflowName, WorkflowVersion};
use millrace_workflow::program::Program;

/// Gathers numbered signals until the last one. Its output is what it has seen, in the order in which it has seen it.
const COLLECT: &str = "
document: {dsl: 1.0.3, namespace: sim, name: collect, version: 1.0.0}
do:
  - begin: {set: {seen: []}, export: {as: .}}
  - next:
      listen: {to: {one: {with: {type: n}}}}
      metadata: {millrace: {addressed: true}}
      output: {as: '.[0]'}
      export: {as: '{seen: ($context.seen + [.n])}'}
  - more:
      switch:
        - again: {when: '.last | not', then: next}
        - done: {then: continue}
  - result: {set: {seen: '${ $context.seen }'}}
";

/// Two tasks for workers, one after the other, and two more that race against a timer. Each of the first is undone by a third, if the instance
/// is cancelled with compensation.
const CALL: &str = "
document: {dsl: 1.0.3, namespace: sim, name: call, version: 1.0.0}
do:
  - first: {call: work, with: {n: 1}, metadata: {millrace: {compensate: [{undo: {call: work, with: {n: '${ .output.done }'}}}]}}}
  - second: {call: work, with: {n: 2}, metadata: {millrace: {compensate: [{undo: {call: work, with: {n: '${ .output.done }'}}}]}}}
  - race:
      fork:
        compete: true
        branches:
          - calls: {do: [{third: {call: work, with: {n: 3}}}, {fourth: {call: work, with: {n: 4}}}]}
          - slept: {wait: {milliseconds: 60}}
";

/// Timers: short ones one after the other, within the horizon, beyond it, and one of a branch that loses.
const WAIT: &str = "
document: {dsl: 1.0.3, namespace: sim, name: wait, version: 1.0.0}
do:
  - shortest: {wait: {milliseconds: 300}}
  - shorter: {wait: {seconds: 1}}
  - short: {wait: {seconds: 20}}
  - race:
      fork:
        compete: true
        branches:
          - winner: {wait: {minutes: 4}}
          - loser: {wait: {minutes: 5}}
";

/// Timers that are due at the same instant: many that all count, two of which the first that fires cancels the other while that one is
/// about to fire, and some beyond the horizon.
const HERD: &str = "
document: {dsl: 1.0.3, namespace: sim, name: herd, version: 1.0.0}
do:
  - crowd:
      fork:
        branches:
          - a: {wait: {seconds: 3}}
          - b: {wait: {seconds: 3}}
          - c: {wait: {seconds: 3}}
          - d: {wait: {seconds: 3}}
          - e: {wait: {seconds: 3}}
          - f: {wait: {milliseconds: 3400}}
  - race:
      fork:
        compete: true
        branches:
          - one: {wait: {milliseconds: 700}}
          - other: {wait: {milliseconds: 700}}
  - far:
      fork:
        branches:
          - a: {wait: {minutes: 2}}
          - b: {wait: {minutes: 2}}
          - c: {wait: {minutes: 2}}
          - d: {wait: {seconds: 121}}
";

/// Instances that start others: two that are waited for, one that loses a race and is cancelled, one that nobody waits for.
const FAMILY: &str = "
document: {dsl: 1.0.3, namespace: sim, name: family, version: 1.0.0}
do:
  - both:
      fork:
        branches:
          - calls: {run: {workflow: {namespace: sim, name: call, version: latest}}}
          - once: {run: {workflow: {namespace: sim, name: once, version: 1.0.0}}}
  - race:
      fork:
        compete: true
        branches:
          - winner: {run: {workflow: {namespace: sim, name: nap, version: latest}}}
          - loser: {run: {workflow: {namespace: sim, name: wait, version: latest}}}
  - alone: {run: {workflow: {namespace: sim, name: nap, version: latest}, await: false}}
";

/// A short child.
const NAP: &str = "
document: {dsl: 1.0.3, namespace: sim, name: nap, version: 1.0.0}
do:
  - nap: {wait: {milliseconds: 300}}
";

/// A child that ends as it starts: its answer may be there before anybody expects it.
const ONCE: &str = "
document: {dsl: 1.0.3, namespace: sim, name: once, version: 1.0.0}
do:
  - once: {set: {done: true}}
";

/// As COLLECT, of events that nobody has addressed: they find it by what they say, or by its business key.
const HEAR: &str = "
document: {dsl: 1.0.3, namespace: sim, name: hear, version: 1.0.0, metadata: {millrace: {businessKey: .n}}}
do:
  - begin: {set: {seen: []}, export: {as: .}}
  - next:
      listen: {to: {one: {with: {type: m}, correlate: {of: {from: .data.of, expect: '${ $workflow.input.n }'}}}}}
      output: {as: '.[0]'}
      export: {as: '{seen: ($context.seen + [.n])}'}
  - more:
      switch:
        - again: {when: '.last | not', then: next}
        - done: {then: continue}
  - result: {set: {seen: '${ $context.seen }'}}
";

/// A listener that goes on by itself after a while: the event may come before it listens, while it does, or when it has given up.
const IMPATIENT: &str = "
document: {dsl: 1.0.3, namespace: sim, name: impatient, version: 1.0.0}
do:
  - race:
      fork:
        compete: true
        branches:
          - heard: {listen: {to: {one: {with: {type: q}, correlate: {of: {from: .data.of, expect: '${ $workflow.input.n }'}}}}}}
          - slept: {wait: {milliseconds: 300}}
";

/// Started by an event.
const CALLED: &str = "
document: {dsl: 1.0.3, namespace: sim, name: called, version: 1.0.0}
schedule: {on: {one: {with: {type: go}}}}
do:
  - keep: {set: {ids: '${ [$workflow.input[].id] }'}}
";

/// Started by two events that belong together.
const PAIRED: &str = "
document: {dsl: 1.0.3, namespace: sim, name: paired, version: 1.0.0}
schedule:
  on:
    all:
      - {with: {type: left}, correlate: {of: {from: .data.of}}}
      - {with: {type: right}, correlate: {of: {from: .data.of}}}
do:
  - keep: {set: {ids: '${ [$workflow.input[].id] }'}}
";

/// Started by the clock until it ends, side by side. (The world begins at 2027-01-15T08:00:00Z.)
const TICK: &str = "
document: {dsl: 1.0.3, namespace: sim, name: tick, version: 1.0.0, metadata: {millrace: {schedule: {endAt: '2027-01-15T08:01:40Z'}}}}
schedule: {every: PT20S}
do:
  - nap: {wait: {milliseconds: 300}}
";

/// Started by the clock, but not beside each other: what falls into a run is left out.
const TURN: &str = "
document: {dsl: 1.0.3, namespace: sim, name: turn, version: 1.0.0, metadata: {millrace: {schedule: {overlap: skip, endAt: '2027-01-15T08:01:30Z'}}}}
schedule: {every: PT15S}
do:
  - nap: {wait: PT20S}
";

/// As TURN, but one start waits for the end of the run.
const QUEUE: &str = "
document: {dsl: 1.0.3, namespace: sim, name: queue, version: 1.0.0, metadata: {millrace: {schedule: {overlap: bufferOne, endAt: '2027-01-15T08:01:30Z'}}}}
schedule: {every: PT15S}
do:
  - nap: {wait: PT20S}
";

/// Started again and again, some seconds after each end.
const CHAIN: &str = "
document: {dsl: 1.0.3, namespace: sim, name: chain, version: 1.0.0, metadata: {millrace: {schedule: {endAt: '2027-01-15T08:00:45Z'}}}}
schedule: {after: PT5S}
do:
  - nap: {wait: {milliseconds: 300}}
";

/// Started by a record of the users' topic.
const READ: &str = "
document:
  dsl: 1.0.3
  namespace: sim
  name: read
  version: 1.0.0
  metadata: {millrace: {events: [{topic: readings, decoding: json, type: m, from: earliest}]}}
schedule: {on: {one: {with: {type: m, data: '${ .read != null }'}}}}
do:
  - keep: {set: {read: '${ $workflow.input[0].data.read }'}}
";

/// The users' topic, and the type of the events that its records are.
pub(crate) const TOPIC: &str = "readings";
pub(crate) const TOPIC_TYPE: &str = "m";

/// What processors know from the definitions topic.
#[derive(Debug)]
pub(crate) struct Catalog {
    programs: BTreeMap<WorkflowVersion, Arc<Program>>,
    routes: Arc<Routes>,
    schedules: Arc<Schedules>,
}

const UNSCHEDULED: [&str; 12] =
    [COLLECT, CALL, WAIT, HERD, FAMILY, NAP, ONCE, HEAR, IMPATIENT, CALLED, PAIRED, READ];

/// Compiled once.
static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::new(&UNSCHEDULED));

/// With schedules.
static SCHEDULED: LazyLock<Catalog> =
    LazyLock::new(|| Catalog::new(&[&UNSCHEDULED[..], &[TICK, TURN, QUEUE, CHAIN]].concat()));

/// What is deployed in a world.
pub(crate) fn catalog(has_schedules: bool) -> &'static Catalog {
    if has_schedules { &SCHEDULED } else { &CATALOG }
}

impl Catalog {
    fn new(definitions: &[&str]) -> Self {
        let programs = definitions.iter().map(|text| {
            let admitted = millrace_workflow::admission::admit("sim.yaml", text);
            let program =
                admitted.map_err(|it| format!("{it:?}")).expect("the definitions are valid").program;
            (program.workflow.clone(), Arc::new(program))
        });
        let programs: BTreeMap<_, _> = programs.collect();
        let routes = Arc::new(Routes::new(programs.values(), programs.values()));
        let schedules = Arc::new(Schedules::new(programs.values(), programs.values()));
        Self { programs, routes, schedules }
    }
}

impl Programs for Catalog {
    fn version(&self, version: &WorkflowVersion) -> Option<Arc<Program>> {
        self.programs.get(version).cloned()
    }

    fn newest(&self, workflow: &WorkflowName) -> Option<Arc<Program>> {
        self.programs.values().rfind(|it| it.workflow.workflow == *workflow).cloned()
    }

    fn schedules(&self) -> Arc<Schedules> {
        Arc::clone(&self.schedules)
    }

    fn routes(&self) -> Arc<Routes> {
        Arc::clone(&self.routes)
    }
}

/// The name of one of them.
pub(crate) fn workflow(name: &str) -> WorkflowName {
    WorkflowName { namespace: "sim".into(), name: name.into() }
}
