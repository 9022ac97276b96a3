//! A GET to the MCP endpoint: the stream of a session for messages that belong to no request, or a stream that a client
//! resumes.

use std::sync::Arc;

use poem::http::HeaderMap;
use serde_json::Value;
use uuid::Uuid;

use super::{
    post::{find_session, text, wait},
    response::McpResponse,
    sse::{Held, priming_event, session_body},
};
use crate::{
    api::problem::{Kind, Problem, Result},
    auth::login_session::Principal,
    family::mcp_session,
    gateway::Gateway,
    mcp::{access, keep_subscribed},
    tunnel::{LEGACY_VERSION, MODERN_VERSION},
};

/// Opens the stream.
pub(super) async fn open(
    gateway: &Arc<Gateway>,
    principal: &Principal,
    tunnel: Uuid,
    headers: &HeaderMap,
) -> Result<McpResponse> {
    if text(headers, "mcp-protocol-version") == Some(MODERN_VERSION) {
        let detail = "a client of this version sends POST only";
        return Err(Problem::new(Kind::MethodNotAllowed, detail));
    }
    let session = match find_session(gateway, principal, tunnel, headers).await? {
        Ok(session) => session,
        Err(refusal) => return Ok(refusal.into_response(Value::Null)),
    };
    session.touch();
    let admitted = gateway.limits.admit(principal.user_id);
    let (slot, _) = admitted.map_err(|refused| Problem::refused(&refused, &gateway.telemetry))?;
    let watch = gateway.login_sessions.watch(principal).await?;
    let held = Held { watch, _slot: Some(slot) };
    // The subscription at a server that is away begins with the next request.
    if let Ok((connection, server)) = access::connection(gateway, tunnel, wait(headers)).await {
        keep_subscribed(gateway, &session, &connection, &server);
    }
    let resumed = text(headers, "last-event-id").and_then(|id| id.rsplit_once('-'));
    let Some((name, Ok(after))) = resumed.map(|(name, number)| (name, number.parse::<u64>()))
    else {
        let stream = session.standalone();
        let (live, last) = stream.attach();
        let primes = session.client.protocol_version.as_str() >= LEGACY_VERSION;
        let priming = primes.then(|| priming_event(gateway, &stream.name, last));
        let name = stream.name.clone();
        let body = session_body(gateway, name, priming, Vec::new(), Some(live), held);
        return Ok(McpResponse::Stream(body));
    };
    let (live, until) = match session.find_stream(name) {
        Some(stream) => {
            let (live, last) = stream.attach();
            (Some(live), last)
        }
        None => (None, u64::MAX),
    };
    session.flush().await;
    let past = mcp_session::read_stream(gateway, session.id, name, (after, until)).await?;
    let body = session_body(gateway, name.to_owned(), None, past, live, held);
    Ok(McpResponse::Stream(body))
}
