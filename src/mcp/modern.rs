//! Requests of MCP clients of the modern era (MCP 2026-07-28, Streamable HTTP).

use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use super::{
    error::RpcError,
    exchange::{Eras, Exchange, Request},
    header_value::decoded,
    listen::listen,
    outcome::Outcome,
    param_headers,
    requester::{Requester, filter},
    running::Running,
    translate::{check_method, discover_result, to_legacy},
};
use crate::{
    gateway::Gateway,
    tunnel::{
        Caller, Capabilities, Connection, Era, MODERN_VERSION, SUBSCRIBE, Server,
        message::{self, Members},
        session::LogLevel,
    },
};

/// The path of the version in the body.
const VERSION: [&str; 3] = ["params", "_meta", "io.modelcontextprotocol/protocolVersion"];
/// The path of the capabilities of the client.
const CAPABILITIES: [&str; 3] = ["params", "_meta", "io.modelcontextprotocol/clientCapabilities"];

/// The headers of a request that repeat values of its body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    /// `MCP-Protocol-Version`.
    pub version: Option<&'a str>,
    /// `Mcp-Method`.
    pub method: Option<&'a str>,
    /// `Mcp-Name`.
    pub name: Option<&'a str>,
}

/// Whether a message is of the modern era: its header or its body has a version that is not of the legacy era.
#[must_use]
pub fn is_modern(headers: Headers<'_>, message: &Members) -> bool {
    headers.version == Some(MODERN_VERSION) || message::member(message, &VERSION).is_some()
}

/// Checks that the headers repeat the body, and that the body has what every request has.
///
/// # Errors
/// [`RpcError`] with [`RpcError::UNSUPPORTED_VERSION`], [`RpcError::HEADER_MISMATCH`] or [`RpcError::INVALID_PARAMS`].
pub fn check(headers: Headers<'_>, message: &Members) -> Result<(), RpcError> {
    let mismatch = |name: &str, reason: &str| {
        RpcError::new(RpcError::HEADER_MISMATCH, format!("the header {name} {reason}"))
    };
    let same = |name: &str, header: Option<&str>, body: Option<&str>| match header {
        None => Err(mismatch(name, "is missing")),
        Some(header) if decoded(header).as_deref() == body => Ok(()),
        Some(_) => Err(mismatch(name, "differs from the body")),
    };
    let in_body = message::member(message, &VERSION).and_then(Value::as_str);
    let Some(in_header) = headers.version else {
        return Err(mismatch("MCP-Protocol-Version", "is missing"));
    };
    let is_request = message.contains_key("id");
    if is_request && in_body.is_none() {
        let reason = "params._meta must have io.modelcontextprotocol/protocolVersion";
        return Err(RpcError::new(RpcError::INVALID_PARAMS, reason));
    }
    if in_body.is_some_and(|in_body| in_body != in_header) {
        return Err(mismatch("MCP-Protocol-Version", "differs from the body"));
    }
    if in_header != MODERN_VERSION {
        return Err(RpcError::unsupported_version(in_header));
    }
    let method = message::method(message);
    same("Mcp-Method", headers.method, method)?;
    if let Some(named) = named(method) {
        let name = message::member(message, &["params", named]).and_then(Value::as_str);
        same("Mcp-Name", headers.name, name)?;
    }
    let capabilities = message::member(message, &CAPABILITIES);
    if is_request && !capabilities.is_some_and(Value::is_object) {
        let reason = "params._meta must have io.modelcontextprotocol/clientCapabilities";
        return Err(RpcError::new(RpcError::INVALID_PARAMS, reason));
    }
    Ok(())
}

/// The parameter with the tool, the prompt or the resource that a request with this method is for.
fn named(method: Option<&str>) -> Option<&'static str> {
    match method {
        Some("tools/call" | "prompts/get") => Some("name"),
        Some("resources/read") => Some("uri"),
        _ => None,
    }
}

/// The tool, the prompt or the resource that a request is for.
fn target(message: &Members) -> Option<&Value> {
    message::member(message, &["params", named(message::method(message))?])
}

/// Takes a request or a notification. `param_header` returns the value of the header with this name.
///
/// # Errors
/// [`RpcError`] if it was not sent.
pub async fn receive(
    gateway: &Arc<Gateway>,
    requester: Requester<'_>,
    (connection, server): (&Arc<Connection>, &Arc<Server>),
    param_header: impl Fn(&str) -> Option<String>,
    mut message: Members,
) -> Result<Outcome, RpcError> {
    let Some(method) = message::method(&message).map(str::to_owned) else {
        let reason = "a client of this version sends requests and notifications only";
        return Err(RpcError::new(RpcError::INVALID_REQUEST, reason));
    };
    let Some(id) = message.get("id").cloned() else { return Ok(Outcome::Accepted) };
    check_method(&method, true)?;
    let tool_call = requester.permit(gateway, &mut message)?;
    let Requester { principal, access, .. } = requester;
    if method == "tools/call" {
        param_headers::check(connection, server, param_header, &message).await?;
        if access.revocation.is_revoked() {
            return Err(RpcError::not_shared());
        }
    }
    let target = target(&message).cloned();
    let capabilities = message::member(&message, &CAPABILITIES).unwrap_or(&Value::Null);
    let caller = Caller {
        id: Uuid::new_v4(),
        user: principal.user_id,
        capabilities: Capabilities::from_object(capabilities),
    };
    let idle = Some(connection.settings.request_time);
    if server.era == Era::Modern {
        let idle = idle.filter(|_| method != SUBSCRIBE);
        let call = connection.call(caller, message, idle)?;
        let permissions = access.permissions.clone();
        let request = Request { caller, id: id.clone(), method, target, permissions, tool_call };
        let exchange = Exchange::new(call, Arc::clone(connection), request, None, Eras::Same);
        return Ok(Outcome::Running(Running::exchange(exchange, id, &access.revocation)));
    }
    match method.as_str() {
        "server/discover" => {
            let mut discovered = message::success(id, discover_result(server));
            filter(&access.permissions, &method, &mut discovered);
            return Ok(Outcome::Answered(discovered));
        }
        SUBSCRIBE => {
            let subscription = listen(gateway, connection, caller, id.clone(), &message)?;
            let running = Running::subscription(subscription, id, &access.revocation);
            return Ok(Outcome::Running(running));
        }
        _ => {}
    }
    let level = to_legacy(&mut message);
    let parked = Arc::clone(&gateway.tunnels.parked);
    let answers = message.get_mut("params").and_then(Value::as_object_mut);
    let (state, answers) = match answers {
        Some(params) => (params.remove("requestState"), params.remove("inputResponses")),
        None => (None, None),
    };
    let (call, caller) = match state.as_ref().and_then(Value::as_str) {
        Some(state) => {
            let of = (principal.user_id, connection.tunnel);
            let found = parked.take(state, of, (&method, target.as_ref())).ok_or_else(|| {
                let reason = "params.requestState belongs to no request that waits for an answer";
                RpcError::new(RpcError::INVALID_PARAMS, reason)
            })?;
            let key = found.question.as_str().unwrap_or_default();
            let answer = answers.as_ref().and_then(|answers| answers.get(key)).cloned();
            let declined = || serde_json::json!({ "action": "cancel" });
            let answer = answer.unwrap_or_else(declined);
            connection.answer(found.caller.id, message::success(found.question, answer))?;
            let token = message::member(&message, &["params", "_meta", "progressToken"]);
            found.call.set_progress_token(token.cloned());
            let mut call = found.call;
            call.restart_idle();
            (call, found.caller)
        }
        None => (connection.call(caller, message, idle)?, caller),
    };
    let permissions = access.permissions.clone();
    let request = Request { caller, id: id.clone(), method, target, permissions, tool_call };
    let eras = Eras::ModernClient { parked };
    let level = Some(level.unwrap_or(LogLevel::NONE));
    let exchange = Exchange::new(call, Arc::clone(connection), request, level, eras);
    Ok(Outcome::Running(Running::exchange(exchange, id, &access.revocation)))
}
