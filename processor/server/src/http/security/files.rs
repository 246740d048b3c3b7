//! Files that are read again when they change: tokens, keys, certificates. A file that cannot be read, or is wrong, changes nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::exit::Failure;

/// Between two looks. What changes a file, such as a mounted secret, replaces it in one step.
const LOOK: Duration = Duration::from_secs(2);

/// Largest file that is read.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

pub(super) async fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::refused(format!("cannot read {}", path.display()), "check the path and its rights")
            .because(error)
    };
    let size = tokio::fs::metadata(path).await.map_err(failed)?.len();
    if size > BYTES_MAX {
        let what = format!("{} has {size} bytes; {BYTES_MAX} are read at most", path.display());
        return Err(Failure::refused(what, "check the path"));
    }
    tokio::fs::read(path).await.map_err(failed)
}

/// Files that belong together, and what was in them when they were read last.
#[derive(Debug)]
pub(super) struct Files {
    paths: Vec<PathBuf>,
    contents: Vec<Vec<u8>>,
}

impl Files {
    /// Reads them for the first time.
    pub(super) async fn read(paths: Vec<PathBuf>) -> Result<Self, Failure> {
        let contents = read_all(&paths).await?;
        Ok(Self { paths, contents })
    }

    pub(super) fn contents(&self) -> &[Vec<u8>] {
        &self.contents
    }

    /// Hands their contents on whenever they have changed, until `closing`. `take` says what is wrong with them.
    pub(super) fn follow(
        mut self,
        closing: CancellationToken,
        take: impl Fn(&[Vec<u8>]) -> Result<(), Failure> + Send + Sync + 'static,
    ) {
        tokio::spawn(async move {
            let mut complaint = None;
            while closing.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
                let taken = match read_all(&self.paths).await {
                    Ok(contents) if contents == self.contents => continue,
                    Ok(contents) => take(&contents).map(|()| self.contents = contents),
                    Err(error) => Err(error),
                };
                let name =
                    || self.paths.iter().map(|it| it.display().to_string()).collect::<Vec<_>>().join(", ");
                match taken {
                    Ok(()) => {
                        complaint = None;
                        info!(files = name(), "read again, since they have changed");
                    }
                    Err(error) => {
                        let text = format!("{error}: {}", error.fix);
                        // Once: it is looked at every other second.
                        if complaint.as_ref() != Some(&text) {
                            warn!(files = name(), error = text, "cannot be used; what was read before stays");
                            complaint = Some(text);
                        }
                    }
                }
            }
        });
    }
}

async fn read_all(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, Failure> {
    let mut contents = Vec::new();
    for path in paths {
        contents.push(read(path).await?);
    }
    Ok(contents)
}
