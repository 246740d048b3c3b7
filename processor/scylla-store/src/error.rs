//! Errors of the driver as errors of the store: which of them are worth another try.

use std::error::Error;

use millrace_runtime::store::StoreError;
use millrace_schemas::InstanceId;
use scylla::deserialize::DeserializationError;
use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError, ExecutionError,
    IntoRowsResultError, MaybeFirstRowError, MetadataError, NewSessionError, NextPageError, NextRowError,
    PagerExecutionError, PrepareError, RequestAttemptError, RequestError, RowsError, TypeCheckError,
};

use crate::config::InvalidSetting;
use crate::envelope::Damaged;
use crate::tls::TlsError;

/// An error that knows whether trying again is pointless.
pub(crate) trait Failure: Error + Send + Sync + Sized + 'static {
    fn is_permanent(&self) -> bool;

    /// As an error of the store; `doing` completes "could not …".
    fn while_doing(self, doing: impl Into<String>) -> StoreError {
        StoreError { doing: doing.into(), is_permanent: self.is_permanent(), source: Box::new(self) }
    }
}

/// What another try cannot mend.
macro_rules! permanent {
    ($($error:ty),* $(,)?) => {
        $(impl Failure for $error {
            fn is_permanent(&self) -> bool {
                true
            }
        })*
    };
}

permanent!(InvalidSetting, TlsError, UnknownDatacenter, UnexpectedRow, DamagedSnapshot);
// The table is not the one we know.
permanent!(TypeCheckError, IntoRowsResultError, RowsError, DeserializationError, MaybeFirstRowError);

/// A datacenter that has no node.
#[derive(Debug, thiserror::Error)]
#[error("the cluster has no datacenter {datacenter:?}; it has: {known}")]
pub(crate) struct UnknownDatacenter {
    pub(crate) datacenter: String,
    pub(crate) known: String,
}

/// A stored value that we cannot have written.
#[derive(Debug, thiserror::Error)]
#[error("the row holds {what}, which Millrace does not write: was the table changed by hand?")]
pub(crate) struct UnexpectedRow {
    pub(crate) what: String,
}

/// A snapshot that is not as it was written.
#[derive(Debug, thiserror::Error)]
#[error(
    "the snapshot of {instance} at stamp {stamp} is damaged; restore the tables snapshot and snapshot_chunk from one backup"
)]
pub(crate) struct DamagedSnapshot {
    pub(crate) instance: InstanceId,
    pub(crate) stamp: i64,
    #[source]
    pub(crate) damage: Damaged,
}

impl Failure for NewSessionError {
    fn is_permanent(&self) -> bool {
        match self {
            Self::EmptyKnownNodesList | Self::IllegalConfig(_) => true,
            Self::MetadataError(MetadataError::ConnectionPoolError(error)) => refuses_connections(error),
            _ => false,
        }
    }
}

impl Failure for PrepareError {
    fn is_permanent(&self) -> bool {
        match self {
            Self::ConnectionPoolError(error) => refuses_connections(error),
            Self::AllAttemptsFailed { first_attempt } => attempt_is_permanent(first_attempt),
            _ => false,
        }
    }
}

impl Failure for ExecutionError {
    fn is_permanent(&self) -> bool {
        match self {
            // The datacenter that was asked for does not exist.
            Self::BadQuery(_) | Self::EmptyPlan => true,
            Self::PrepareError(error) => error.is_permanent(),
            Self::ConnectionPoolError(error) => refuses_connections(error),
            Self::LastAttemptError(error) => attempt_is_permanent(error),
            _ => false,
        }
    }
}

impl Failure for PagerExecutionError {
    fn is_permanent(&self) -> bool {
        match self {
            Self::PrepareError(error) => error.is_permanent(),
            Self::SerializationError(_) => true,
            Self::NextPageError(error) => page_is_permanent(error),
            _ => false,
        }
    }
}

impl Failure for NextRowError {
    fn is_permanent(&self) -> bool {
        match self {
            Self::NextPageError(error) => page_is_permanent(error),
            Self::RowDeserializationError(_) => true,
            _ => false,
        }
    }
}

fn page_is_permanent(error: &NextPageError) -> bool {
    match error {
        NextPageError::RequestFailure(error) => match error {
            RequestError::EmptyPlan => true,
            RequestError::ConnectionPoolError(error) => refuses_connections(error),
            RequestError::LastAttemptError(error) => attempt_is_permanent(error),
            _ => false,
        },
        NextPageError::TypeCheckError(_) | NextPageError::PartitionKeyError(_) => true,
        _ => false,
    }
}

fn attempt_is_permanent(error: &RequestAttemptError) -> bool {
    match error {
        RequestAttemptError::SerializationError(_) | RequestAttemptError::CqlRequestSerialization(_) => true,
        RequestAttemptError::DbError(error, _) => server_is_sure(error),
        _ => false,
    }
}

/// Whether the server will say the same next time: the statement, the tables or the rights are wrong.
fn server_is_sure(error: &DbError) -> bool {
    matches!(
        error,
        DbError::SyntaxError
            | DbError::Invalid
            | DbError::AuthenticationError
            | DbError::Unauthorized
            | DbError::ConfigError
            | DbError::ProtocolError
    )
}

/// Whether it is us that the server does not want.
fn refuses_connections(error: &ConnectionPoolError) -> bool {
    let ConnectionPoolError::Broken {
        last_connection_error: ConnectionError::ConnectionSetupRequestError(error),
    } = error
    else {
        return false;
    };
    match error.get_error() {
        ConnectionSetupRequestErrorKind::MissingAuthentication => true,
        ConnectionSetupRequestErrorKind::DbError(error, _) => server_is_sure(error),
        _ => false,
    }
}
