//! `setup`: what a machine needs, which `ops/setup.sh` knows: it must work before cargo can build anything.

use std::path::{Path, PathBuf};

use crate::report::Verdict;
use crate::steps;

pub(crate) fn run() -> anyhow::Result<Verdict> {
    let script = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../setup.sh"));
    steps::show("ops/setup.sh", &mut steps::command(script))?;
    Ok(Verdict::new(true, "this machine has what building and testing need"))
}

/// The virtual environment that `ops/setup.sh` makes, whether it is there or not.
pub(crate) fn venv() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(std::env::home_dir()?.join(".cache")));
    cache.unwrap_or_default().join("millrace/venv")
}
