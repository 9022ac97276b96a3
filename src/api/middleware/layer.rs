//! The outermost layer around every operation. This layer gives the request an id, a log line and metrics, and converts
//! every error to a problem document.
//!
//! The log contains the path without the query, because the query can contain a stream token.

use std::{any::Any, io, panic::AssertUnwindSafe, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::combinators::BoxBody;
use hyper::body::Body as _;
use poem::{
    Endpoint, IntoResponse, Middleware, Request, Response,
    http::{HeaderValue, Method, StatusCode, header},
};
use poem_openapi::OperationId;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, field};
use uuid::Uuid;

use super::{
    body::{Bounds, limit_body},
    caller_ids::caller_ids,
    client::{client, proxy_user},
    origin::{Origins, preflight, set_cors_headers},
    refusal_event::{refusal_event, wants_event},
    request_info::RequestInfo,
};
use crate::{
    api::{
        credential::SentByBrowser,
        headers::{CORRELATION_ID, REQUEST_ID},
        mcp::metadata_url,
        problem::{Kind, Problem},
        routes::Routes,
    },
    forwarded::Client,
    gateway::Gateway,
    limit::ClientConnection,
    telemetry::{CallerIds, panic_message},
};

/// The middleware. See the documentation of the module.
pub(in crate::api) struct RequestLayer {
    pub(in crate::api) gateway: Arc<Gateway>,
    pub(in crate::api) routes: Arc<Routes>,
    pub(in crate::api) origins: Arc<Origins>,
    pub(in crate::api) bounds: Bounds,
}

impl<E: Endpoint + 'static> Middleware<E> for RequestLayer {
    type Output = RequestEndpoint<E>;

    fn transform(&self, inner: E) -> Self::Output {
        RequestEndpoint {
            inner: Arc::new(inner),
            gateway: Arc::clone(&self.gateway),
            routes: Arc::clone(&self.routes),
            origins: Arc::clone(&self.origins),
            bounds: self.bounds,
        }
    }
}

pub(in crate::api) struct RequestEndpoint<E> {
    inner: Arc<E>,
    gateway: Arc<Gateway>,
    routes: Arc<Routes>,
    origins: Arc<Origins>,
    bounds: Bounds,
}

impl<E: Endpoint + 'static> Endpoint for RequestEndpoint<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let began = std::time::Instant::now();
        let id = Uuid::now_v7();
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let as_event = matches!(method, Method::GET | Method::HEAD) && wants_event(&request);
        let (client, contradiction) = client(&request, &self.gateway.config.server.trusted_proxies);
        let Client { address, scheme } = client;
        let origin = self.origins.origin(&request, client);
        let cookie_name = self.origins.cookie_name(client);
        let header = self.gateway.config.auth.proxy_user_header.as_deref();
        let trusted = &self.gateway.config.server.trusted_proxies;
        let proxy_user = proxy_user(&request, header, trusted);
        let metadata_url = metadata_url(&self.gateway.config, scheme, &request);
        let caller_ids = Arc::new(caller_ids(request.headers()));
        // With the highest level, so that every line of the request has these fields, whatever the log filter.
        let span = tracing::error_span!(
            "request",
            request_id = %id,
            correlation_id = caller_ids.correlation_id.as_deref(),
            trace_id = caller_ids.trace_id.as_deref(),
            %method,
            path,
            %address,
            %scheme,
            user = field::Empty,
            operation = field::Empty,
        );
        let gone = CancellationToken::new();
        let _cancel_on_drop = gone.clone().drop_guard();
        let response = async {
            contradiction?;
            if let Some(response) = preflight(&request, &origin, &self.routes) {
                return Ok(response);
            }
            let bounds = self.bounds;
            let known = SentByBrowser { cookie_name, proxy_user: proxy_user.as_deref() };
            limit_body(&mut request, &self.gateway, &self.routes, bounds, known).await?;
            let client_connection = request.extensions().get::<Arc<ClientConnection>>().cloned();
            request.set_data(RequestInfo {
                id,
                caller_ids: Arc::clone(&caller_ids),
                method: method.clone(),
                origin: origin.clone(),
                cookie_name,
                proxy_user: proxy_user.clone(),
                scheme,
                address,
                gone,
                client_connection,
            });
            if method == Method::HEAD {
                // The router would discard the body of the response, and with it the length. `RequestInfo` keeps HEAD.
                request.set_method(Method::GET);
            }
            let inner = Arc::clone(&self.inner);
            // A panic fails only its request, and not the process.
            let call = async move { inner.call(request).await.map(IntoResponse::into_response) };
            let response = AssertUnwindSafe(call).catch_unwind().map(|response| {
                response.unwrap_or_else(|panic| Err(panicked(panic.as_ref()).into()))
            });
            if matches!(method, Method::GET | Method::HEAD) {
                return response.await;
            }
            // A request that can change data runs to its end, even if the client disconnects. Otherwise a change could
            // be committed without the delivery of its events.
            let response = self.gateway.run_to_end(response.in_current_span()).await;
            response.unwrap_or_else(|error| Err(Problem::internal(error).into()))
        };
        // With `on_refusal=event` the response has the status 200. Metrics and log have the status of the refusal.
        let mut refused = None;
        let (mut response, operation) = match response.instrument(span.clone()).await {
            Ok(response) => {
                let operation = response.data::<OperationId>().map(|id| id.0);
                (response, operation)
            }
            Err(error) => {
                let operation = error.data::<OperationId>().map(|id| id.0);
                let problem = Problem::from_framework(&error);
                if let Some(cause) = problem.cause() {
                    tracing::error!(parent: &span, cause, "request failed");
                }
                refused = Some(problem.status());
                let mut response = self.refusal(&problem, id, &path, as_event);
                if let Some(url) = metadata_url {
                    name_metadata(&mut response, &url);
                }
                (response, operation)
            }
        };
        let took = began.elapsed();
        let status = refused.unwrap_or(response.status()).as_u16();
        self.gateway.telemetry.request_finished(operation.unwrap_or("none"), status, took);
        span.record("operation", operation);
        tracing::info!(parent: &span, status, seconds = took.as_secs_f64(), "request finished");
        set_cors_headers(response.headers_mut(), &origin);
        finish(&mut response, id, &caller_ids, &method);
        Ok(response)
    }
}

impl<E> RequestEndpoint<E> {
    /// The response to a refused request: an event, if the client has asked for one on a stream, or a problem document.
    fn refusal(&self, problem: &Problem, id: Uuid, path: &str, as_event: bool) -> Response {
        if as_event && self.routes.is_stream(path) {
            return refusal_event(problem, id, self.gateway.hub.retry());
        }
        let mut response = problem.head();
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if problem.kind() == Kind::MethodNotAllowed
            && let Ok(allow) = HeaderValue::from_str(&self.routes.methods(path))
        {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        response.set_body(problem.body(id));
        response
    }
}

/// Adds the URL of the resource's metadata to the challenge of a 401 (RFC 9728, section 5.1).
fn name_metadata(response: &mut Response, url: &str) {
    let challenge =
        response.headers().get(header::WWW_AUTHENTICATE).and_then(|it| it.to_str().ok());
    let Some(challenge) = challenge else { return };
    let challenge = format!("{challenge}, resource_metadata=\"{url}\"");
    if let (StatusCode::UNAUTHORIZED, Ok(value)) =
        (response.status(), HeaderValue::from_str(&challenge))
    {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
}

/// Sets the headers of every response.
fn finish(response: &mut Response, id: Uuid, caller_ids: &CallerIds, method: &Method) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(REQUEST_ID, id);
    }
    let correlation_id = caller_ids.correlation_id.as_deref();
    if let Some(Ok(id)) = correlation_id.map(HeaderValue::from_str) {
        headers.insert(CORRELATION_ID, id);
    }
    // A stream token must not reach another site in a `Referer`.
    if !headers.contains_key(header::REFERRER_POLICY) {
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if *method == Method::HEAD {
        remove_body(response);
    }
}

/// Removes the body of a response to HEAD. The length stays (RFC 9110, section 9.3.2), unless the response is a stream,
/// whose length is not known.
fn remove_body(response: &mut Response) {
    let body: BoxBody<Bytes, io::Error> = response.take_body().into();
    let status = response.status();
    // RFC 9110, section 8.6: a 204 has no length, and the length of a 304 would be that of the 200.
    let has_length = status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED;
    if let (true, Some(length)) = (has_length, body.size_hint().exact()) {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Problem {
    Problem::internal(format_args!("panicked: {}", panic_message(panic)))
}
