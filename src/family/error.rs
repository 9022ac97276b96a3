//! Why a family refuses. `api/problem` maps each to a status.

use std::borrow::Cow;

use sea_orm::DbErr;

use crate::{
    event::KindError,
    event_log::{AppendError, AppendRefused},
    hub::PublishError,
};

/// The result of an operation of a family.
pub type Result<T> = std::result::Result<T, FamilyError>;

/// Why an operation of a family failed.
#[derive(Debug, thiserror::Error)]
pub enum FamilyError {
    /// The resource does not exist, or this caller may not see it. Both look the same to the caller.
    #[error("the resource does not exist or is not visible to this caller")]
    NotFound,
    /// The caller may not do this, whether or not the resource exists.
    #[error("{0}")]
    Forbidden(&'static str),
    /// A field of the request has a value that the family does not accept.
    #[error("{field}: {reason}")]
    BadInput {
        /// The field, as in `artifact.data` or `events[3]`.
        field: Cow<'static, str>,
        /// The rule that the value breaks.
        reason: Cow<'static, str>,
    },
    /// The present state of the resource does not allow it.
    #[error("{0}")]
    Conflict(Cow<'static, str>),
    /// Numbered reports came out of sequence.
    #[error("the next report of this attempt has the seq {expected}")]
    OutOfSequence {
        /// The number that the next report must have.
        expected: i64,
    },
    /// The caller does not hold the lease.
    #[error(transparent)]
    LeaseLost(#[from] LeaseLost),
    /// The caller, or the resource, already has as many as allowed.
    #[error("{0}")]
    TooMany(&'static str),
    /// The event log refused the events.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbErr),
    /// A family names a kind of event that is not a valid name: a fault of the gateway.
    #[error(transparent)]
    EventKind(#[from] KindError),
}

/// Why a lease token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseLost {
    /// A later claim has another token.
    #[error("this lease is not the newest")]
    Superseded,
    /// The lease expired.
    #[error("the lease has expired")]
    Expired,
    /// The work has ended.
    #[error("it has ended")]
    Ended,
    /// The work is claimed, and the request shows no lease token.
    #[error("it is claimed: the token of its newest lease is required")]
    TokenRequired,
}

impl FamilyError {
    /// The value of a field is not accepted.
    pub fn bad_input(
        field: impl Into<Cow<'static, str>>,
        reason: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::BadInput { field: field.into(), reason: reason.into() }
    }

    /// The present state does not allow it.
    pub fn conflict(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Conflict(reason.into())
    }
}

impl From<AppendRefused> for FamilyError {
    fn from(refused: AppendRefused) -> Self {
        Self::LeaseLost(match refused {
            AppendRefused::Closed => LeaseLost::Ended,
            AppendRefused::Fenced => LeaseLost::Superseded,
        })
    }
}

impl From<AppendError> for FamilyError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Refused(refused) => refused.into(),
            AppendError::Database(error) => error.into(),
        }
    }
}
