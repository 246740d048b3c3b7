//! Where `dev` keeps what it keeps.

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;

use crate::exit::Failure;

/// A folder that is kept, or one that is deleted when this is dropped.
#[derive(Debug)]
pub(crate) enum Folder {
    Kept(PathBuf),
    Ephemeral(tempfile::TempDir),
}

impl Folder {
    /// The one that was asked for, else that of the user.
    pub(crate) fn new(given: Option<&Path>, ephemeral: bool) -> anyhow::Result<Self> {
        if ephemeral {
            let folder = tempfile::Builder::new().prefix("millrace-dev-").tempdir();
            return folder.map(Self::Ephemeral).map_err(|error| {
                Failure::new(
                    "no folder can be made for temporary files",
                    "check TMPDIR, and the room on its disk",
                )
                .because(error)
                .into()
            });
        }
        let folder = match given {
            Some(given) => given.to_owned(),
            None => etcetera::choose_base_strategy()
                .map_err(|error| {
                    Failure::refused(
                        "this user has no home directory",
                        "give a folder with --data, or --ephemeral",
                    )
                    .because(error)
                })?
                .data_dir()
                .join("millrace")
                .join("dev"),
        };
        std::fs::create_dir_all(&folder).map_err(|error| {
            let fix = "give another folder with --data, or --ephemeral";
            Failure::refused(format!("the folder {} cannot be made", folder.display()), fix).because(error)
        })?;
        Ok(Self::Kept(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Kept(folder) => folder,
            Self::Ephemeral(folder) => folder.path(),
        }
    }

    /// What becomes of it.
    pub(crate) fn farewell(&self) -> String {
        match self {
            Self::Kept(folder) => {
                format!("stopped; the next start goes on with {}", folder.display())
            }
            Self::Ephemeral(_) => "stopped; nothing is kept".to_owned(),
        }
    }
}
