//! The errors of the families. `api/problem` maps each error to an HTTP status.

use std::{borrow::Cow, sync::Arc};

use sea_orm::DbErr;

use crate::{
    auth::login_session::SessionError,
    event::KindError,
    event_log::{AppendError, AppendRefused},
    hub::PublishError,
    limit::Refused,
    oauth::OauthError,
    tunnel::CallError,
};

/// The result of an operation of a family. Every operation that uses the database can fail with
/// [`FamilyError::Database`], so the `# Errors` sections name only the other errors.
pub type Result<T> = std::result::Result<T, FamilyError>;

/// The reason why an operation of a family failed.
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
    /// The state of the resource does not allow the operation.
    #[error("{0}")]
    Conflict(Cow<'static, str>),
    /// A report does not have the next number.
    #[error("the seq of the next report of this attempt must be {expected}")]
    OutOfSequence {
        /// The number that the next report must have.
        expected: i64,
    },
    /// The caller does not hold the lease, or the resource has ended.
    #[error(transparent)]
    LeaseLost(#[from] LeaseLost),
    /// The caller or the resource already has the maximum number of unfinished items.
    #[error("{0}")]
    TooMany(&'static str),
    /// The owner of a resource needs a grant at an OAuth provider.
    #[error("the owner must first link an account at {provider}")]
    AuthorizationRequired {
        /// Name of the provider.
        provider: String,
        /// The page on which the owner can link an account.
        authorization_url: String,
    },
    /// An authorization, a refresh or a revocation at an OAuth provider failed.
    #[error(transparent)]
    Oauth(#[from] OauthError),
    /// A request through a tunnel got no answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A limit refused the caller.
    #[error(transparent)]
    Limit(#[from] Refused),
    /// The login session of the caller cannot be watched.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The events were not published, because the gateway is shutting down.
    #[error("the gateway is shutting down")]
    ShuttingDown,
    /// The write of the events failed. Publishers whose events were in one transaction share this error.
    #[error(transparent)]
    Write(Arc<DbErr>),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbErr),
    /// The kind of an event is not a valid name. This is a bug in the gateway.
    #[error(transparent)]
    EventKind(#[from] KindError),
}

/// The reason why a lease token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseLost {
    /// The token is not the token of the newest lease.
    #[error("this lease is not the newest")]
    Superseded,
    /// The lease expired.
    #[error("the lease has expired")]
    Expired,
    /// The task, mutation, prompt or MCP session has ended.
    #[error("the resource has ended")]
    Ended,
    /// The prompt is claimed, and the request contains no lease token.
    #[error("the resource is claimed; send the token of its newest lease")]
    TokenRequired,
}

impl FamilyError {
    /// The error for a field whose value is not accepted.
    pub fn bad_input(
        field: impl Into<Cow<'static, str>>,
        reason: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::BadInput { field: field.into(), reason: reason.into() }
    }

    /// The error for an operation that the state of the resource does not allow.
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

impl From<PublishError> for FamilyError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Refused(refused) => refused.into(),
            PublishError::Database(error) => Self::Write(error),
            PublishError::Closed => Self::ShuttingDown,
        }
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
