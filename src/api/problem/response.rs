//! A problem document (RFC 9457) and the response that carries it.

use std::{borrow::Cow, sync::Arc, time::Duration};

use poem::{
    Response,
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use poem_openapi::{
    Object,
    types::{Example, ToJSON},
};
use serde_json::Value;
use uuid::Uuid;

use super::kind::Kind;

/// A problem. The parts are behind a pointer, so that the `Result` of an operation stays small.
#[derive(Clone, Debug)]
pub(in crate::api) struct Problem(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    kind: Kind,
    detail: Cow<'static, str>,
    retry_after_seconds: Option<u64>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// An extension member of the body (RFC 9457, section 3.2).
    extension: Option<(&'static str, Value)>,
    /// The internal cause, for the log only.
    cause: Option<Arc<str>>,
}

/// The result of a step of an operation. The result of an operation itself also says which problems are documented, see
/// `documented.rs`.
pub(in crate::api) type Result<T> = std::result::Result<T, Problem>;

/// A problem document (RFC 9457).
#[derive(Object)]
#[oai(rename = "Problem", skip_serializing_if_is_none, example)]
pub(in crate::api) struct Body {
    /// Kind of problem, as a stable URI.
    #[oai(rename = "type")]
    kind: String,
    /// Kind of problem, as text for people. The same for every problem of this kind.
    title: String,
    /// HTTP status.
    status: u16,
    /// Description of this problem, as text for people.
    detail: String,
    /// Id of the request, as a URN. Equal to `X-Request-Id`. The gateway's log has the same id.
    instance: String,
    /// Time to wait before a retry, in seconds, as in `Retry-After`. Present with 429, 503 and 507, but not in the
    /// `error` event of an open stream.
    retry_after_seconds: Option<u64>,
    /// The page on which the owner of the resource can link an account at an OAuth provider. Present with the type
    /// `https://streamgate.dev/problems/authorization-required`.
    authorization_url: Option<String>,
}

impl Example for Body {
    fn example() -> Self {
        Self {
            kind: "https://streamgate.dev/problems/too-many-requests".to_owned(),
            title: "Too many requests".to_owned(),
            status: 429,
            detail: "this user has as many streams open as are allowed".to_owned(),
            instance: "urn:uuid:0198c2f0-7d52-7a11-8c7e-3f5f1f1f9d10".to_owned(),
            retry_after_seconds: Some(7),
            authorization_url: None,
        }
    }
}

impl Problem {
    /// A problem of this kind. `detail` goes to the client.
    pub(in crate::api) fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Parts {
            kind,
            detail: detail.into(),
            retry_after_seconds: None,
            headers: Vec::new(),
            extension: None,
            cause: None,
        }))
    }

    /// 400.
    pub(in crate::api) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::BadRequest, detail)
    }

    /// 404. The detail is always the same, so that a caller cannot learn whether a hidden resource exists.
    pub(in crate::api) fn not_found() -> Self {
        Self::new(Kind::NotFound, "the resource does not exist, or you may not see it")
    }

    /// 409.
    pub(in crate::api) fn conflict(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Conflict, detail)
    }

    /// 401 for a request without a credential, without an error code (RFC 6750, section 3.1).
    pub(in crate::api) fn no_credential() -> Self {
        Self::new(Kind::Unauthenticated, "this operation requires a bearer token")
            .header(header::WWW_AUTHENTICATE, "Bearer realm=\"streamgate\"")
    }

    /// 401 for a credential that is not valid. `detail` must not contain quotes.
    pub(in crate::api) fn invalid_token(detail: &'static str) -> Self {
        Self::challenging(Kind::Unauthenticated, detail)
    }

    /// 401 for a refresh token whose successor is in use.
    pub(in crate::api) fn refresh_superseded() -> Self {
        let detail = "the successor of this refresh token is in use: use the successor";
        Self::challenging(Kind::RefreshSuperseded, detail).with("code", "refresh_superseded".into())
    }

    /// 401 for a resource whose owner needs a grant at an OAuth provider.
    pub(in crate::api) fn authorization_required(provider: &str, url: String) -> Self {
        let detail = format!("the owner must first link an account at {provider}");
        Self::new(Kind::AuthorizationRequired, detail)
            .header(header::WWW_AUTHENTICATE, "Bearer realm=\"streamgate\"")
            .with("authorization_url", url.into())
    }

    fn challenging(kind: Kind, detail: &'static str) -> Self {
        let challenge = format!(
            "Bearer realm=\"streamgate\", error=\"invalid_token\", error_description=\"{detail}\""
        );
        Self::new(kind, detail).header(header::WWW_AUTHENTICATE, &challenge)
    }

    /// 403 for a role that is too low.
    pub(in crate::api) fn insufficient_role(needed: &'static str) -> Self {
        let challenge = "Bearer realm=\"streamgate\", error=\"insufficient_scope\"";
        Self::new(Kind::Forbidden, format!("this operation requires the role {needed}"))
            .header(header::WWW_AUTHENTICATE, challenge)
    }

    /// 500. `cause` goes to the log.
    pub(in crate::api) fn internal(cause: impl std::fmt::Display) -> Self {
        Self::new(Kind::Internal, "an internal error of the gateway").caused_by(cause)
    }

    /// Adds a header.
    #[must_use]
    pub(in crate::api) fn header(mut self, name: HeaderName, value: &str) -> Self {
        // Leaves out a value that is not valid in a header. A second error would hide the first.
        self.0.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    /// Adds an extension member to the body.
    #[must_use]
    pub(in crate::api) fn with(mut self, name: &'static str, value: Value) -> Self {
        self.0.extension = Some((name, value));
        self
    }

    /// Adds the time to wait before a retry.
    #[must_use]
    pub(in crate::api) fn retry_after(mut self, wait: Duration) -> Self {
        // Rounded up, because an early retry would be refused again.
        self.0.retry_after_seconds = Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
        self
    }

    /// Adds the internal cause, for the log.
    #[must_use]
    pub(in crate::api) fn caused_by(mut self, cause: impl std::fmt::Display) -> Self {
        self.0.cause = Some(cause.to_string().into());
        self
    }

    /// The kind.
    #[must_use]
    pub(in crate::api) fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The status.
    #[must_use]
    pub(in crate::api) fn status(&self) -> StatusCode {
        self.0.kind.definition().0
    }

    /// The internal cause. It must not go to the client.
    #[must_use]
    pub(in crate::api) fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// The body, as JSON text on one line.
    #[must_use]
    pub(in crate::api) fn body(&self, request: Uuid) -> String {
        let (status, slug, title) = self.0.kind.definition();
        let body = Body {
            kind: format!("https://streamgate.dev/problems/{slug}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.0.detail.clone().into_owned(),
            instance: format!("urn:uuid:{request}"),
            retry_after_seconds: self.0.retry_after_seconds,
            authorization_url: None,
        };
        let mut body = body.to_json().unwrap_or_default();
        if let Some((name, value)) = &self.0.extension {
            body[*name] = value.clone();
        }
        crate::event::json(&body)
    }

    /// The response without its body, which needs the request's id.
    pub(in crate::api) fn head(&self) -> Response {
        let mut response = Response::builder().status(self.status()).finish();
        for (name, value) in &self.0.headers {
            response.headers_mut().append(name, value.clone());
        }
        if let Some(seconds) = self.0.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Problem> for poem::Error {
    fn from(problem: Problem) -> Self {
        let mut error = Self::from_status(problem.status());
        error.set_data(problem);
        error
    }
}
