//! What happens around every operation: the request's id, its log line and its metrics on the way
//! in; on the way out every error becomes a problem document.
//!
//! The log has the path without its query, because that is where stream tokens travel.

use std::{any::Any, net::IpAddr, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use ipnet::IpNet;
use poem::{
    Addr, Body, Endpoint, IntoResponse, Middleware, Request, Response,
    http::{HeaderName, HeaderValue, Method, StatusCode, header, uri::Scheme},
};
use poem_openapi::OperationId;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use super::{
    body::{Bounds, receive},
    problem::{Kind, Problem, Result},
    request_info::RequestInfo,
    routes::Routes,
    stream,
};
use crate::{
    event,
    forwarded::{self, Client, Fields},
    gateway::Gateway,
    limit::{Origin, jittered},
};

/// The header that carries the request's id back.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The outermost layer.
pub(super) struct RequestLayer {
    pub(super) gateway: Arc<Gateway>,
    pub(super) routes: Arc<Routes>,
    pub(super) bounds: Bounds,
}

impl<E: Endpoint + 'static> Middleware<E> for RequestLayer {
    type Output = RequestEndpoint<E>;

    fn transform(&self, inner: E) -> Self::Output {
        RequestEndpoint {
            inner: Arc::new(inner),
            gateway: Arc::clone(&self.gateway),
            routes: Arc::clone(&self.routes),
            bounds: self.bounds,
        }
    }
}

pub(super) struct RequestEndpoint<E> {
    inner: Arc<E>,
    gateway: Arc<Gateway>,
    routes: Arc<Routes>,
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
        let span = tracing::info_span!("request", %id, %method, path, client = %address, %scheme);
        let gone = CancellationToken::new();
        let _gone_with_this = gone.clone().drop_guard();
        let answer = async {
            contradiction?;
            receive(&mut request, &self.gateway, &self.routes, self.bounds).await?;
            let origin = request.extensions().get::<Arc<Origin>>().cloned();
            request.set_data(RequestInfo { id, method: method.clone(), address, gone, origin });
            let inner = Arc::clone(&self.inner);
            // A panic is a fault like any other: one request fails, the process goes on.
            let answer = AssertUnwindSafe(async move { inner.call(request).await })
                .catch_unwind()
                .map(|answer| answer.unwrap_or_else(|panic| Err(panicked(panic.as_ref()).into())));
            if matches!(method, Method::GET | Method::HEAD) {
                return answer.await;
            }
            // What changes something is seen through although its client may hang up, or a change
            // could be made and nobody be told.
            let answer = self.gateway.see_through(answer.in_current_span()).await;
            answer.unwrap_or_else(|error| Err(Problem::internal(error).into()))
        };
        // What `on_refusal=event` hides from the status line must still be counted.
        let mut refused = None;
        let (mut response, operation) = match answer.instrument(span.clone()).await {
            Ok(answer) => {
                let response = answer.into_response();
                let operation = response.data::<OperationId>().map(|id| id.0);
                (response, operation)
            }
            Err(error) => {
                let operation = error.data::<OperationId>().map(|id| id.0);
                let problem = Problem::from_framework(&error);
                if let Some(cause) = problem.cause() {
                    // The id itself: the span's may be filtered out.
                    tracing::error!(parent: &span, %id, cause, "request failed");
                }
                refused = Some(problem.status());
                let response = if as_event && self.routes.is_stream(&path) {
                    refusal_event(&problem, id, self.gateway.hub.retry())
                } else {
                    let mut response = problem.head();
                    let json = HeaderValue::from_static("application/problem+json");
                    response.headers_mut().insert(header::CONTENT_TYPE, json);
                    if problem.kind() == Kind::MethodNotAllowed
                        && let Ok(allow) = HeaderValue::from_str(&self.routes.methods(&path))
                    {
                        response.headers_mut().insert(header::ALLOW, allow);
                    }
                    response.set_body(problem.body(id));
                    response
                };
                (response, operation)
            }
        };
        let took = began.elapsed();
        let status = refused.unwrap_or(response.status()).as_u16();
        self.gateway.telemetry.request_answered(operation.unwrap_or("none"), status, took);
        tracing::info!(parent: &span, status, micros = took.as_micros(), "answered");
        finish(&mut response, id, &method);
        Ok(response)
    }
}

/// Headers that every response has.
fn finish(response: &mut Response, id: Uuid, method: &Method) {
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(REQUEST_ID, id);
    }
    // A stream token must not reach another site in a `Referer`.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if *method == Method::HEAD {
        response.set_body(Body::empty());
    }
}

/// Who called. If proxies contradict one another that is the peer, and a refusal.
fn client(request: &Request, trusted: &[IpNet]) -> (Client, Result<()>) {
    let peer = match &request.remote_addr().0 {
        Addr::SocketAddr(address) => address.ip(),
        _ => IpAddr::from([127, 0, 0, 1]),
    };
    let is_tls = *request.scheme() == Scheme::HTTPS;
    let scheme = if is_tls { forwarded::Scheme::Https } else { forwarded::Scheme::Http };
    // What is no text is no address either.
    let lines = |name| -> Vec<&str> {
        let values = request.headers().get_all(name).iter();
        values.map(|value: &HeaderValue| value.to_str().unwrap_or("?")).collect()
    };
    let fields = Fields {
        forwarded: lines("forwarded"),
        forwarded_for: lines("x-forwarded-for"),
        forwarded_proto: lines("x-forwarded-proto"),
    };
    match forwarded::client(peer, scheme, trusted, &fields) {
        Ok(client) => (client, Ok(())),
        Err(error) => {
            let refusal = Problem::bad_request(error.to_string());
            (Client { address: peer.to_canonical(), scheme }, Err(refusal))
        }
    }
}

fn wants_event(request: &Request) -> bool {
    let query: Vec<(String, String)> = request.params().unwrap_or_default();
    query.iter().any(|(name, value)| name == "on_refusal" && value == "event")
}

/// A refusal that a native `EventSource` can read: any status but 200 closes it for good, without a
/// word. The long retry keeps it from asking again at once.
fn refusal_event(problem: &Problem, id: Uuid, retry: Duration) -> Response {
    let mut response = problem.head();
    response.set_status(StatusCode::OK);
    stream::stream_headers(&mut response);
    let block = event::block(None, "error", &problem.body(id));
    let retry = format!("retry: {}\n", jittered(retry * 10).as_millis());
    response.set_body(Body::from_bytes([retry.as_bytes(), &block].concat().into()));
    response
}

fn panicked(panic: &(dyn Any + Send)) -> Problem {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a message");
    Problem::internal(format_args!("panicked: {message}"))
}
