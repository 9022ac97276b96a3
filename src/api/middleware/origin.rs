//! The origin of the page that sent a request, and the one place that decides on CORS.
//!
//! Only exact origins of `server.allowed_origins` are allowed, never `*` and never `null`. The same decision protects
//! requests with a cookie: a browser sends the cookie whatever page makes the request, but only the browser writes
//! `Origin` (RFC 6454, section 7).

use poem::{
    Request, Response,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, uri::Authority},
};

use crate::{
    api::{headers::EXPOSED_HEADERS, routes::Routes},
    config::{PublicUrl, Server},
    forwarded::{self, Client},
};

/// Headers that a page may send. Those that every page may send are not in the list.
const ALLOWED_HEADERS: &str = "Authorization, Content-Type, Last-Event-ID, Lease-Token, Cache-Control, \
                               X-Correlation-Id, Traceparent";

/// Seconds for which a browser may keep the answer to a preflight. Browsers allow at most two hours.
const PREFLIGHT_SECONDS: &str = "7200";

/// The cookie on HTTPS. A browser accepts this name only with `Secure`, without `Domain`, and from the host itself
/// (RFC 6265bis, section 4.1.3.2). So no other host of the domain can set it.
const SECURE_COOKIE: &str = "__Host-streamgate";
/// The cookie on plain HTTP, for development on the same machine.
const LOOPBACK_COOKIE: &str = "streamgate";

/// The origin of a request, compared with the origins that are allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::api) enum RequestOrigin {
    /// The request names no origin. It comes from a program, or it is a navigation or a GET of the gateway's own page.
    Absent,
    /// A page of the gateway's own origin.
    Own,
    /// A page of an origin in `server.allowed_origins`.
    Allowed(HeaderValue),
    /// Any other page, a page without an origin (`null`), or two origins.
    Other,
}

/// The origins that are allowed.
pub(in crate::api) struct Origins {
    allowed: Vec<String>,
    /// The gateway's own origin. Without it, scheme and host of the request.
    own: Option<String>,
    is_https: bool,
}

impl Origins {
    pub(in crate::api) fn new(server: &Server) -> Self {
        let public_url = server.public_url.as_ref();
        Self {
            allowed: server.allowed_origins.clone(),
            own: public_url.map(PublicUrl::origin),
            is_https: public_url.is_some_and(PublicUrl::is_https),
        }
    }

    /// The origin of a request.
    pub(super) fn origin(&self, request: &Request, client: Client) -> RequestOrigin {
        let mut values = request.headers().get_all(header::ORIGIN).iter();
        let (Some(value), more) = (values.next(), values.next()) else {
            return RequestOrigin::Absent;
        };
        let Some(origin) = value.to_str().ok().filter(|_| more.is_none()) else {
            return RequestOrigin::Other;
        };
        if self.allowed.iter().any(|allowed| allowed == origin) {
            return RequestOrigin::Allowed(value.clone());
        }
        let is_own = match &self.own {
            Some(own) => own == origin,
            None => host(request).is_some_and(|host| {
                origin.eq_ignore_ascii_case(&format!("{}://{host}", client.scheme))
            }),
        };
        if is_own { RequestOrigin::Own } else { RequestOrigin::Other }
    }

    /// The name of the session cookie. `None` on plain HTTP from another machine, where a cookie would not be safe.
    pub(super) fn cookie_name(&self, client: Client) -> Option<&'static str> {
        if self.is_https || client.scheme == forwarded::Scheme::Https {
            Some(SECURE_COOKIE)
        } else {
            client.address.is_loopback().then_some(LOOPBACK_COOKIE)
        }
    }
}

fn host(request: &Request) -> Option<&str> {
    let in_target = request.uri().authority().map(Authority::as_str);
    in_target.or_else(|| request.headers().get(header::HOST)?.to_str().ok())
}

/// Answers a preflight (Fetch standard, CORS protocol). `None` if the request is not a preflight, or if its path does
/// not exist.
pub(super) fn preflight(
    request: &Request,
    origin: &RequestOrigin,
    routes: &Routes,
) -> Option<Response> {
    let is_preflight = request.method() == Method::OPTIONS
        && *origin != RequestOrigin::Absent
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if !is_preflight {
        return None;
    }
    let methods = routes.methods(request.uri().path());
    if methods.is_empty() {
        return None;
    }
    let mut response = Response::builder().status(StatusCode::NO_CONTENT).finish();
    if matches!(origin, RequestOrigin::Allowed(_))
        && let Ok(methods) = HeaderValue::from_str(&methods)
    {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS),
            (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
    Some(response)
}

/// Lets the page read the response if its origin is allowed. Caches keep the responses for different origins apart.
pub(super) fn set_cors_headers(headers: &mut HeaderMap, origin: &RequestOrigin) {
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let RequestOrigin::Allowed(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true"),
            (header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}
