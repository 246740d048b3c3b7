//! Where the logs and figures of one run are kept: `target/xtask/<name>-<seconds>-<process id>`.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

/// The root of the repository. Commands run here, wherever `cargo xtask` was typed.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("ops/xtask is two levels below the root").to_owned()
}

/// The folder into which cargo builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |it| root().join(it))
}

/// Makes the folder of a run.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn create(name: &str) -> Result<PathBuf> {
    let folder = target().join("xtask").join(unique(name));
    std::fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    Ok(folder)
}

/// A name that no other run on this machine has; also the prefix of the run's topics.
pub(crate) fn unique(name: &str) -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
    format!("{name}-{seconds}-{}", std::process::id())
}
