//! A GET to the MCP endpoint: the stream of a session for messages that belong to no request, or a stream that a client
//! resumes.

use std::sync::Arc;

use poem::http::HeaderMap;
use serde_json::Value;

use super::{
    post::{find_session, text, wait},
    response::McpResponse,
    sse::{Held, SessionEvents, priming_event, session_body},
};
use crate::{
    api::problem::{Kind, Problem, Result},
    family::mcp_session::StreamReader,
    gateway::Gateway,
    mcp::{Requester, connection, keep_subscribed},
    tunnel::{LEGACY_VERSION, MODERN_VERSION, session::Session},
};

/// Opens the stream.
pub(super) async fn open(
    gateway: &Arc<Gateway>,
    requester: Requester<'_>,
    headers: &HeaderMap,
) -> Result<McpResponse> {
    if text(headers, "mcp-protocol-version") == Some(MODERN_VERSION) {
        let detail = "a client of this version sends POST only";
        return Err(Problem::new(Kind::MethodNotAllowed, detail));
    }
    let session = match find_session(gateway, requester, headers).await? {
        Ok(session) => session,
        Err(refusal) => return Ok(refusal.into_response(Value::Null)),
    };
    session.touch();
    let Requester { principal, access, .. } = requester;
    let admitted = gateway.limits.admit(principal.user_id);
    let (slot, _) = admitted.map_err(|refused| Problem::refused(&refused, &gateway.telemetry))?;
    let watch = gateway.login_sessions.watch(principal).await?;
    let held = Held { watch, revocation: access.revocation.clone(), _slot: slot };
    // The subscription at a server that is away begins with the next request.
    let wanted = connection(gateway, access.tunnel, wait(headers));
    if let Ok((connection, server)) = wanted.await {
        keep_subscribed(gateway, &session, &connection, &server);
    }
    let resumed = text(headers, "last-event-id").and_then(|id| id.rsplit_once('-'));
    let resumed = resumed.and_then(|(name, number)| Some((name, number.parse::<u64>().ok()?)));
    let current = session.standalone_name();
    let (attached, until) = match resumed {
        // Of a request. If its stream has ended, the event log has all of it.
        Some((name, _)) if !Session::is_standalone(name) => match session.find_stream(name) {
            Some(stream) => {
                let (live, last) = stream.attach();
                (Some((stream, live)), last)
            }
            None => (None, u64::MAX),
        },
        // The one of the session, or the one that it had before a restart of the gateway. Then it goes on with the new
        // one.
        _ => {
            let stream = session.standalone();
            let (live, last) = stream.attach();
            (Some((stream, live)), last)
        }
    };
    session.flush().await;
    let primes = session.client.protocol_version.as_str() >= LEGACY_VERSION;
    let begins = resumed.is_none_or(|(name, _)| Session::is_standalone(name) && name != current);
    let priming = (primes && begins).then(|| priming_event(gateway, current, until));
    let until = if begins { u64::MAX } else { until };
    let past = resumed.map(|(name, after)| {
        let reader = StreamReader::new(session.id, name.to_owned(), (after, until));
        (reader, name.to_owned())
    });
    let name = attached.as_ref().map(|(stream, _)| stream.name.clone());
    let (ready, between) = if past.is_some() { (None, priming) } else { (priming, None) };
    let events = SessionEvents {
        name,
        ready: ready.into_iter().collect(),
        past,
        between,
        live: attached.map(|(_, live)| live),
        held,
        _client: None,
    };
    Ok(McpResponse::Stream(session_body(gateway, events)))
}
