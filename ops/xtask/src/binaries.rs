//! Building the programs that a run needs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::processes;
use crate::run_folder::target;
use crate::steps::run_logged;

/// How the programs are built.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Profile {
    /// Quick to build; for a look.
    Dev,
    /// For anything that is measured or has many records.
    Release,
}

/// The programs of a run.
#[derive(Clone, Debug)]
pub(crate) struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// Builds them, with the log in `folder`.
    ///
    /// # Errors
    /// When they do not build.
    pub(crate) fn build(profile: Profile, folder: &Path) -> Result<Self> {
        let mut build = cargo();
        build.args(["build", "--package", "millrace", "--package", "millrace-load-tests", "--bins"]);
        let output = match profile {
            Profile::Dev => "debug",
            Profile::Release => {
                build.arg("--release");
                "release"
            }
        };
        run_logged(&mut build, &folder.join("build.log"))?;
        Ok(Self { folder: target().join(output) })
    }

    pub(crate) fn millrace(&self) -> Command {
        processes::command(self.folder.join("millrace"))
    }

    pub(crate) fn load_tests(&self) -> Command {
        processes::command(self.folder.join("millrace-load-tests"))
    }
}

/// The cargo that runs us, else the one on the path.
pub(crate) fn cargo() -> Command {
    processes::command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}
