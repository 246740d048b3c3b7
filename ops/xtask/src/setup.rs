//! `setup`: what a machine needs, which `ops/setup.sh` knows: it must work before cargo can build anything.

use std::path::Path;

use crate::report::Verdict;
use crate::steps;

pub(crate) fn run() -> anyhow::Result<Verdict> {
    let script = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../setup.sh"));
    steps::show("ops/setup.sh", &mut steps::command(script))?;
    Ok(Verdict::new(true, "this machine has what building and testing need"))
}
