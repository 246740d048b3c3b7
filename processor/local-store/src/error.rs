//! What can go wrong, and which of it is worth another try.

use std::error::Error;
use std::io::ErrorKind;

use millrace_runtime::store::StoreError;

use crate::cell::Damaged;

/// What kept the store from doing something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("another process has it open: end that one (another `millrace dev`?), or use another folder")]
    Locked,
    #[error("it has layout {found}, which a newer release wrote: upgrade this one, or use another folder")]
    Newer { found: u32 },
    #[error(
        "the file is damaged: bring back a copy of the whole data folder, or remove that folder to begin anew"
    )]
    File(#[source] Box<dyn Error + Send + Sync>),
    #[error(
        "the row of {key} in table {table} is damaged: bring back a copy of the whole data folder, or remove that folder to begin anew"
    )]
    Row {
        table: &'static str,
        key: String,
        #[source]
        damage: Damaged,
    },
    #[error("the disk does not let us: check its space and the rights to the folder")]
    Disk(#[source] std::io::Error),
    #[error("the disk failed before; the file is opened again with the next try")]
    Failed,
    #[error("the process is ending")]
    Ending,
    /// Bugs, of ours or of the database.
    #[error("the database refuses what should be allowed")]
    Unexpected(#[source] redb::Error),
}

impl Trouble {
    /// Whether trying again is pointless.
    pub(crate) fn is_permanent(&self) -> bool {
        match self {
            Self::Locked | Self::Newer { .. } | Self::File(_) | Self::Row { .. } | Self::Unexpected(_) => {
                true
            }
            Self::Disk(error) => matches!(
                error.kind(),
                ErrorKind::PermissionDenied
                    | ErrorKind::NotFound
                    | ErrorKind::NotADirectory
                    | ErrorKind::IsADirectory
                    | ErrorKind::AlreadyExists
                    | ErrorKind::ReadOnlyFilesystem
            ),
            Self::Failed | Self::Ending => false,
        }
    }

    /// Whether the database will do nothing more before it is opened again.
    pub(crate) fn needs_reopening(&self) -> bool {
        matches!(self, Self::Disk(_) | Self::Failed)
    }

    /// As an error of the store; `doing` completes "could not …".
    pub(crate) fn while_doing(self, doing: impl Into<String>) -> StoreError {
        StoreError { doing: doing.into(), is_permanent: self.is_permanent(), source: Box::new(self) }
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            // How redb says that a file is none of its own, or shorter than it says.
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof => Self::File(error.into()),
            _ => Self::Disk(error),
        }
    }
}

impl From<redb::Error> for Trouble {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => Self::Locked,
            redb::Error::Io(error) => error.into(),
            redb::Error::PreviousIo => Self::Failed,
            redb::Error::Corrupted(_)
            | redb::Error::RepairAborted
            | redb::Error::UpgradeRequired(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TableIsNotMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::TableDoesNotExist(_) => Self::File(error.into()),
            other => Self::Unexpected(other),
        }
    }
}

macro_rules! from_errors_of_redb {
    ($($error:ident)*) => {$(
        impl From<redb::$error> for Trouble {
            fn from(error: redb::$error) -> Self {
                redb::Error::from(error).into()
            }
        }
    )*};
}

from_errors_of_redb!(DatabaseError TransactionError TableError StorageError CommitError);

/// A panic that was caught. Read from a damaged file, numbers may lead redb anywhere.
#[derive(Debug, thiserror::Error)]
#[error("the database panicked: {0}")]
pub(crate) struct Panicked(String);

impl Panicked {
    pub(crate) fn new(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().map(|it| (*it).to_owned());
        Self(
            text.or_else(|| payload.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "without a word".to_owned()),
        )
    }
}

impl From<Panicked> for Trouble {
    fn from(panicked: Panicked) -> Self {
        Self::File(Box::new(panicked))
    }
}
