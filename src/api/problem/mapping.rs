//! Maps the errors of lower layers and of the framework to problems.

use std::time::Duration;

use poem::http::StatusCode;
use poem_openapi::error::{
    ContentTypeError, ParseParamError, ParsePathError, ParseRequestPayloadError,
};

use super::{kind::Kind, response::Problem};
use crate::{
    api::headers::{RATELIMIT, RATELIMIT_POLICY},
    auth::api_key::ApiKeyError,
    auth::issuer::IssuerError,
    auth::login_session::{Ended, RefreshError, SessionError},
    auth::password::PasswordError,
    auth::signing::TokenError,
    auth::user::UserError,
    database::{DatabaseError, Failure, Fault},
    family::{FamilyError, LeaseLost},
    limit,
    oauth::OauthError,
    telemetry::Telemetry,
    tunnel::CallError,
};

impl Problem {
    /// 429 for a request that a limit refused. Counts the refusal in the metrics.
    pub(in crate::api) fn refused(refused: &limit::Refused, telemetry: &Telemetry) -> Self {
        if refused.limit == limit::STREAMS {
            telemetry.slot_refused();
        } else {
            telemetry.quota_refused(refused.limit);
        }
        Self::over_limit(refused)
    }

    fn over_limit(refused: &limit::Refused) -> Self {
        Self::new(Kind::TooManyRequests, refused.message)
            .retry_after(refused.retry_after)
            .header(RATELIMIT_POLICY, &refused.headers.policy)
            .header(RATELIMIT, &refused.headers.limit)
    }

    /// The problem that an error of the framework carries, or else a problem that describes the error.
    #[must_use]
    pub(in crate::api) fn from_framework(error: &poem::Error) -> Self {
        if let Some(problem) = error.data::<Self>() {
            return problem.clone();
        }
        if let Some(error) = error.downcast_ref::<ParseParamError>() {
            return Self::bad_request(format!(
                "parameter {}: {}",
                error.name,
                without_value(&error.reason)
            ));
        }
        if let Some(error) = error.downcast_ref::<ParsePathError>() {
            return Self::bad_request(format!("path parameter: {}", without_value(&error.reason)));
        }
        if let Some(error) = error.downcast_ref::<ParseRequestPayloadError>() {
            return Self::bad_request(format!("the body: {}", without_value(&error.reason)));
        }
        if error.is::<ContentTypeError>() {
            return Self::new(
                Kind::UnsupportedMediaType,
                "Content-Type must name a media type that the OpenAPI document lists, usually application/json",
            );
        }
        match error.status() {
            StatusCode::NOT_FOUND => Self::new(Kind::NotFound, "this path does not exist"),
            StatusCode::METHOD_NOT_ALLOWED => {
                Self::new(Kind::MethodNotAllowed, "this path does not support this method")
            }
            status if status.is_client_error() => Self::bad_request("the request is not valid"),
            _ => Self::internal(error),
        }
    }
}

/// Removes the value that the client sent from a reason, because the value may be a password. The expected type and the
/// place remain.
fn without_value(reason: &str) -> String {
    let Some(value) = reason.find(" found ") else { return reason.to_owned() };
    let place = reason.rfind("(occurred while").map_or("", |place| &reason[place..]);
    format!("{} {place}", reason[..value].trim_end_matches(',')).trim_end().to_owned()
}

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        Self::from(&error)
    }
}

impl From<FamilyError> for Problem {
    fn from(error: FamilyError) -> Self {
        match error {
            FamilyError::NotFound => Self::not_found(),
            FamilyError::Forbidden(reason) => Self::new(Kind::Forbidden, reason),
            FamilyError::BadInput { .. } => Self::bad_request(error.to_string()),
            FamilyError::Conflict(reason) => Self::conflict(reason),
            FamilyError::OutOfSequence { expected } => {
                Self::conflict(error.to_string()).with("expected_seq", expected.into())
            }
            FamilyError::LeaseLost(lost) => lost.into(),
            FamilyError::TooMany(reason) => Self::conflict(reason),
            FamilyError::AuthorizationRequired { provider, authorization_url } => {
                Self::authorization_required(&provider, authorization_url)
            }
            FamilyError::Oauth(error) => error.into(),
            FamilyError::Call(error) => error.into(),
            FamilyError::Limit(refused) => Self::over_limit(&refused),
            FamilyError::Session(error) => error.into(),
            FamilyError::ShuttingDown => {
                Self::new(Kind::Unavailable, "the gateway is shutting down")
                    .retry_after(limit::jittered(Duration::from_secs(2)))
            }
            FamilyError::Write(error) => Self::from(&*error),
            FamilyError::Database(error) => error.into(),
            FamilyError::EventKind(error) => Self::internal(error),
        }
    }
}

impl From<LeaseLost> for Problem {
    fn from(lost: LeaseLost) -> Self {
        Self::conflict(lost.to_string())
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        let kind = match error {
            CallError::TooLarge { .. } => Kind::PayloadTooLarge,
            CallError::TimedOut(_) => Kind::GatewayTimeout,
            _ => Kind::Unavailable,
        };
        let problem = Self::new(kind, error.to_string());
        if kind == Kind::Unavailable {
            problem.retry_after(limit::jittered(Duration::from_secs(2)))
        } else {
            problem
        }
    }
}

impl From<&DatabaseError> for Problem {
    fn from(error: &DatabaseError) -> Self {
        let (kind, detail, wait) = match Failure::from_error(error) {
            Failure::Refused | Failure::Bug => return Self::internal(error),
            Failure::Closed => (Kind::Unavailable, "the gateway is shutting down", 2),
            Failure::Contended => (Kind::Unavailable, "the database is too busy", 2),
            Failure::Fault(Fault::Full) => {
                (Kind::InsufficientStorage, "the disk of the database is full", 10)
            }
            Failure::Fault(Fault::ReadOnly) => {
                (Kind::Unavailable, "the database accepts no writes at the moment", 5)
            }
            Failure::Fault(_) => {
                (Kind::Unavailable, "the database cannot be used at the moment", 2)
            }
        };
        Self::new(kind, detail)
            .retry_after(limit::jittered(Duration::from_secs(wait)))
            .caused_by(error)
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        Self::invalid_token(match error {
            TokenError::Expired => "the token has expired",
            TokenError::NotYetValid => "the token is not valid yet",
            TokenError::Invalid => "the token is not valid",
        })
    }
}

impl From<IssuerError> for Problem {
    fn from(error: IssuerError) -> Self {
        match error {
            IssuerError::Token(error) => error.into(),
            IssuerError::Session(error) => error.into(),
            IssuerError::NoRole | IssuerError::UnknownUser => {
                Self::new(Kind::Forbidden, error.to_string())
            }
            IssuerError::Unreachable(cause) => Self::new(
                Kind::Unavailable,
                "the issuer of the token does not answer at the moment",
            )
            .retry_after(limit::jittered(Duration::from_secs(10)))
            .caused_by(cause),
        }
    }
}

impl From<SessionError> for Problem {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Ended(ended) => Self::invalid_token(match ended {
                Ended::Expired => "the login session has expired",
                Ended::Revoked | Ended::RoleLowered => "the login session has ended",
                Ended::UserDisabled => "the user is disabled",
            }),
            SessionError::Database(error) => error.into(),
        }
    }
}

impl From<RefreshError> for Problem {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::Session(error) => error.into(),
            RefreshError::Superseded => Self::refresh_superseded(),
            RefreshError::Reused { .. } => Self::invalid_token("the login session has ended"),
        }
    }
}

impl From<OauthError> for Problem {
    fn from(error: OauthError) -> Self {
        match error {
            OauthError::UnknownProvider | OauthError::NoGrant => Self::not_found(),
            OauthError::UnknownAuthorization | OauthError::OtherIssuer => {
                Self::bad_request(error.to_string())
            }
            OauthError::Refused(_) => Self::conflict(error.to_string()),
            OauthError::Unavailable(_) => {
                Self::new(Kind::Unavailable, "the OAuth provider cannot be used at the moment")
                    .retry_after(Duration::from_secs(5))
                    .caused_by(error)
            }
            OauthError::Keys(error) => Self::internal(error),
            OauthError::Database(error) => error.into(),
        }
    }
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<ApiKeyError> for Problem {
    fn from(error: ApiKeyError) -> Self {
        match error {
            ApiKeyError::NotFound => Self::not_found(),
            ApiKeyError::InPast => Self::bad_request(error.to_string()),
            ApiKeyError::TooMany => Self::conflict(error.to_string()),
            ApiKeyError::Database(error) => error.into(),
        }
    }
}

impl From<UserError> for Problem {
    fn from(error: UserError) -> Self {
        match error {
            UserError::NotFound => Self::not_found(),
            UserError::NameInvalid | UserError::SubjectInvalid => {
                Self::bad_request(error.to_string())
            }
            UserError::Password(error) => error.into(),
            UserError::NameTaken
            | UserError::SubjectTaken
            | UserError::ExternalPassword
            | UserError::LastAdmin => Self::conflict(error.to_string()),
            UserError::Database(error) => error.into(),
        }
    }
}
