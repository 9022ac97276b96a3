//! A POST to the MCP endpoint, after the caller is known.

use std::{sync::Arc, time::Duration};

use poem::{
    Request,
    http::{HeaderMap, HeaderValue},
};
use serde_json::Value;
use tokio::time::timeout;
use uuid::Uuid;

use super::{
    forward::forward,
    response::{ACCEPT, McpResponse, SESSION, accepts_events},
    sse::{Held, SessionEvents, heartbeat, modern_body, priming_event, session_body},
};
use crate::{
    api::{
        middleware::RequestInfo,
        problem::{Problem, Result},
    },
    family::tunnel::{Access, access},
    gateway::Gateway,
    mcp::{
        Item, Outcome, Requester, RpcError, Running, VERSIONS, connection, keep_subscribed, legacy,
        modern, sessions,
    },
    tunnel::{
        CallError, Connection, LEGACY_VERSION, Server, TunnelName,
        message::{self, Members},
        session::Session,
    },
};

/// Time after which the answer to a client of an older version becomes a stream, so that the connection is not idle.
const STREAM_AFTER: Duration = Duration::from_secs(1);

/// A POST.
pub(super) struct Post<'a> {
    pub(super) gateway: &'a Arc<Gateway>,
    pub(super) requester: Requester<'a>,
    pub(super) info: &'a RequestInfo,
    pub(super) request: &'a Request,
}

/// The value of a header as text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The time for which the caller is ready to wait for a tunnel client that is away (RFC 7240, section 4.3).
pub(super) fn wait(headers: &HeaderMap) -> Duration {
    let preferences = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let wait = preferences.flat_map(|value| value.split([',', ';'])).find_map(|preference| {
        let (name, value) = preference.trim().split_once('=')?;
        let seconds = value.trim().trim_matches('"').parse().ok();
        seconds.filter(|_| name.trim().eq_ignore_ascii_case("wait"))
    });
    Duration::from_secs(wait.unwrap_or_default())
}

impl Post<'_> {
    /// Takes a message.
    pub(super) async fn receive(
        self,
        body: std::result::Result<Members, RpcError>,
    ) -> Result<McpResponse> {
        let headers = self.request.headers();
        let message = match body {
            Ok(message) => message,
            Err(error) => return Ok(McpResponse::refusal(error, Value::Null)),
        };
        let id = message.get("id").cloned().unwrap_or_default();
        let repeated = modern::Headers {
            version: text(headers, "mcp-protocol-version"),
            method: text(headers, "mcp-method"),
            name: text(headers, "mcp-name"),
        };
        if modern::is_modern(repeated, &message) {
            return match modern::check(repeated, &message) {
                Ok(()) => self.modern(message).await,
                Err(error) => Ok(invalid(error, id)),
            };
        }
        if let Some(version) = repeated.version.filter(|version| !VERSIONS.contains(version)) {
            return Ok(McpResponse::refusal(RpcError::unsupported_version(version), id));
        }
        self.legacy(message).await
    }

    async fn modern(self, message: Members) -> Result<McpResponse> {
        let Self { gateway, requester, info, request } = self;
        let id = message.get("id").cloned().unwrap_or_default();
        let (connection, server, access) = connected(gateway, requester, request.headers()).await?;
        let requester = Requester { access: &access, ..requester };
        let param = |name: &str| text(request.headers(), name).map(str::to_owned);
        let outcome = modern::receive(gateway, requester, (&connection, &server), param, message);
        let mut running = match outcome.await {
            Ok(Outcome::Accepted) => return Ok(McpResponse::Accepted),
            Ok(Outcome::Answered(answer)) => return Ok(McpResponse::modern(answer)),
            Ok(Outcome::Running(running)) => running,
            Err(error) => return Ok(McpResponse::modern(error.into_response(id))),
        };
        let accepts_events = accepts_events(request.headers().get(ACCEPT));
        let first = tokio::select! {
            first = first(&mut running, heartbeat(gateway), accepts_events) => first,
            // The request is dropped, and the server told.
            () = info.client_gone(Duration::from_secs(1)) => {
                return Err(CallError::Cancelled.into());
            }
        };
        if let Some(Item::Last(answer)) = first {
            return Ok(McpResponse::modern(answer));
        }
        let held = hold(gateway, requester).await?;
        Ok(McpResponse::Stream(modern_body(gateway, running, first, held)))
    }

    async fn legacy(self, message: Members) -> Result<McpResponse> {
        let Self { gateway, requester, request, .. } = self;
        if message::method(&message) == Some("initialize") {
            let (_, server, access) = connected(gateway, requester, request.headers()).await?;
            let requester = Requester { access: &access, ..requester };
            let (session, answer) =
                legacy::initialize(gateway, requester, &server, message, None).await?;
            return Ok(McpResponse::Initialized(session.id, answer));
        }
        let id = message.get("id").cloned().unwrap_or_default();
        let session = match find_session(gateway, requester, request.headers()).await? {
            Ok(session) => session,
            Err(refusal) => return Ok(refusal.into_response(id)),
        };
        let (connection, server, access) = connected(gateway, requester, request.headers()).await?;
        let requester = Requester { access: &access, ..requester };
        if session.has_standalone() {
            keep_subscribed(gateway, &session, &connection, &server);
        }
        let to = (&connection, &*server);
        let mut running = match legacy::receive(gateway, requester, &session, to, message) {
            Outcome::Accepted => return Ok(McpResponse::Accepted),
            Outcome::Answered(answer) => return Ok(McpResponse::Message(answer)),
            Outcome::Running(running) => running,
        };
        let accepts_events = accepts_events(request.headers().get(ACCEPT));
        // A client of the newest version can resume every answer, and so gets each as a stream.
        let resumes = session.client.protocol_version.as_str() >= LEGACY_VERSION;
        let first = if resumes && accepts_events {
            None
        } else {
            first(&mut running, STREAM_AFTER, accepts_events).await
        };
        if let Some(Item::Last(answer)) = first {
            return Ok(McpResponse::Message(answer));
        }
        resumable_stream(gateway, requester, &session, running, first).await
    }
}

/// Waits for the tunnel client, if the request asks for it. Returns also what the user may do after the wait, because the
/// owner can have changed it meanwhile.
pub(super) async fn connected(
    gateway: &Gateway,
    requester: Requester<'_>,
    headers: &HeaderMap,
) -> Result<(Arc<Connection>, Arc<Server>, Access)> {
    let tunnel = requester.access.tunnel;
    let (connection, server) = connection(gateway, tunnel, wait(headers)).await?;
    let access = if requester.access.permissions.is_owner() {
        requester.access.clone()
    } else {
        access(gateway, requester.principal, &TunnelName::Id(tunnel)).await?
    };
    Ok((connection, server, access))
}

/// The first message within this time. A client that accepts no stream gets the answer only.
async fn first(running: &mut Running, time: Duration, accepts_events: bool) -> Option<Item> {
    loop {
        let item = if accepts_events {
            timeout(time, running.next()).await.ok()?
        } else {
            running.next().await
        };
        if accepts_events || matches!(item, Item::Last(_)) {
            return Some(item);
        }
    }
}

/// A message that the gateway refuses before it is sent.
fn invalid(error: RpcError, id: Value) -> McpResponse {
    if error.code == RpcError::INVALID_PARAMS {
        return McpResponse::Refused(error.into_response(id));
    }
    McpResponse::refusal(error, id)
}

/// The refusal of a request without a session.
pub(super) enum NoSession {
    /// The request names none.
    Missing,
    /// The session does not exist, or has ended.
    Unknown,
}

impl NoSession {
    pub(super) fn into_response(self, id: Value) -> McpResponse {
        match self {
            Self::Missing => {
                let reason = "the header Mcp-Session-Id is missing: send initialize first";
                let error = RpcError::new(RpcError::INVALID_REQUEST, reason);
                McpResponse::refusal(error, id)
            }
            Self::Unknown => {
                let reason = "the session does not exist, or has ended: send initialize again";
                let error = RpcError::new(RpcError::NO_SESSION, reason);
                McpResponse::NotFound(error.into_response(id))
            }
        }
    }
}

/// The session that a request names.
pub(super) async fn find_session(
    gateway: &Arc<Gateway>,
    requester: Requester<'_>,
    headers: &HeaderMap,
) -> Result<std::result::Result<Arc<Session>, NoSession>> {
    let Some(id) = headers.get(SESSION).map(HeaderValue::to_str) else {
        return Ok(Err(NoSession::Missing));
    };
    let id = id.ok().and_then(|id| id.parse().ok());
    let Some(id) = id else { return Ok(Err(NoSession::Unknown)) };
    let Requester { principal, access, .. } = requester;
    let found =
        sessions::find(gateway, principal, access.tunnel, id).await.map_err(Problem::from)?;
    Ok(found.ok_or(NoSession::Unknown))
}

/// The slot and the watch of an answer that is a stream.
pub(super) async fn hold(gateway: &Gateway, requester: Requester<'_>) -> Result<Held> {
    let Requester { principal, access, .. } = requester;
    let slot = gateway.limits.admit_response(principal.user_id);
    let slot = slot.map_err(|refused| Problem::refused(&refused, &gateway.telemetry))?;
    let watch = gateway.login_sessions.watch(principal).await?;
    Ok(Held { watch, revocation: access.revocation.clone(), _slot: slot })
}

/// Answers with a stream, which goes on if the client disconnects.
async fn resumable_stream(
    gateway: &Arc<Gateway>,
    requester: Requester<'_>,
    session: &Arc<Session>,
    running: Running,
    first: Option<Item>,
) -> Result<McpResponse> {
    let held = hold(gateway, requester).await?;
    let stream = session.stream(&Uuid::new_v4().simple().to_string());
    let (live, _) = stream.attach();
    let name = stream.name.clone();
    let primes = session.client.protocol_version.as_str() >= LEGACY_VERSION;
    let priming = primes.then(|| priming_event(gateway, &name, 0));
    let session = Arc::clone(session);
    gateway.spawn(async move {
        forward(&session, &stream, running, first).await;
        session.end_stream(&stream);
    });
    let ready = priming.into_iter().collect();
    let events = SessionEvents {
        name: Some(name),
        ready,
        past: None,
        between: None,
        live: Some(live),
        held,
        _client: None,
    };
    let body = session_body(gateway, events);
    Ok(McpResponse::Stream(body))
}
