//! Callers of public operations. The extractors here are the first argument of every public operation, except for login
//! and refresh, which have quotas of their own.

use poem::{
    FromRequest, Request, RequestBody,
    http::{HeaderValue, header},
};

use super::{
    caller::{count, gateway},
    credential::{Credential, refused},
    external_token,
    middleware::RequestInfo,
    problem::Result,
};
use crate::limit::{Key, Quota};

/// The caller of a public operation that people and their programs call. A token is not needed, but a token that is sent
/// must be valid. So a client learns early that its token has expired. The login session is not checked, because a
/// public operation must also work without the database.
pub(super) struct Visitor;

/// The caller of a health check or of the metrics. A token that is sent is ignored: it may be for a proxy, and an
/// orchestrator must not restart the gateway because of it.
pub(super) struct Probe;

impl<'a> FromRequest<'a> for Visitor {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        admit(request)?;
        let gateway = gateway(request);
        if !has_other_scheme(request)
            && let Some(Credential::Access(token)) =
                Credential::from_request(gateway, request, false)?
        {
            if gateway.issuers.is_external(&token) {
                external_token::check(gateway, &token).await?;
            } else {
                gateway.tokens.verify_access(&token).map_err(|error| refused(gateway, error))?;
            }
        }
        Ok(Self)
    }
}

impl<'a> FromRequest<'a> for Probe {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        admit(request)?;
        Ok(Self)
    }
}

/// Whether the request has a credential for another program, such as the `Basic` credential of a proxy.
fn has_other_scheme(request: &Request) -> bool {
    let value = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    value.is_some_and(|value| {
        let scheme = value.split(|byte| *byte == b' ').next().unwrap_or_default();
        !scheme.eq_ignore_ascii_case(b"bearer")
    })
}

/// Counts the request. Each public operation has its own count. So requests of the documents cannot use up the health
/// checks of an orchestrator, even if both come through the same proxy.
fn admit(request: &Request) -> Result<()> {
    let Some(info) = request.data::<RequestInfo>() else { return Ok(()) };
    // The path of a resource's metadata has the path of the resource at its end, and that can be any text.
    let (path, _) = request.uri().path().split_once("/mcp/").unwrap_or((request.uri().path(), ""));
    let key = Key::path_from(path, info.address);
    count(gateway(request), Quota::PublicRequests, &key)
}
