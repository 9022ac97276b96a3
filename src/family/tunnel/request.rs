//! Sends a message of the owner to the MCP server of a tunnel.

use std::{net::IpAddr, sync::Arc};

use serde_json::Value;
use uuid::Uuid;

use super::{attend::publish, list::existing, rows::topic, tool_call::ToolCall};
use crate::{
    auth::login_session::Principal,
    family::{FamilyError, Result, find_visible, wire::Message},
    gateway::Gateway,
    tunnel::{
        CallError, Caller, Capabilities, Connection, Era, Server,
        message::{self, INTERNAL_ERROR, Members},
        modern_meta,
    },
};

/// The result of a message that was sent.
pub enum Requested {
    /// The answer of the MCP server.
    Answered(Message),
    /// The message was sent. The answer to a request comes on the stream of the tunnel.
    Accepted,
}

/// Sends a request or a notification. With `wait`, returns the answer to a request.
///
/// # Errors
/// - [`FamilyError::NotFound`] if the tunnel does not exist or is not visible to the caller.
/// - [`FamilyError::Forbidden`] if the caller is not its owner.
/// - [`FamilyError::BadInput`] for a response: no request of the server can be waiting for it.
/// - [`FamilyError::Call`] if the client is not connected, or if there is no answer.
pub async fn request(
    gateway: &Arc<Gateway>,
    (principal, address): (&Principal, IpAddr),
    id: Uuid,
    Message(mut message): Message,
    wait: bool,
) -> Result<Requested> {
    let resource = find_visible(gateway, principal, &topic(id)).await?;
    if resource.owner != Some(principal.user_id) {
        return Err(FamilyError::Forbidden("only the owner of a tunnel may send requests"));
    }
    let Some(method) = message::method(&message).map(str::to_owned) else {
        let reason = "must have a method: the server has asked nothing that this could answer";
        return Err(FamilyError::bad_input("the message", reason));
    };
    if let Some(reason) = message::fault(&message) {
        return Err(FamilyError::bad_input("the message", reason));
    }
    if method == "notifications/cancelled" {
        let reason =
            "cannot be notifications/cancelled: the ids at the server are those of the gateway";
        return Err(FamilyError::bad_input("the message", reason));
    }
    let Some(connection) = gateway.tunnels.find(id) else {
        existing(gateway, id).await?;
        return Err(CallError::Disconnected.into());
    };
    let server = connection.initialized().await.ok_or(CallError::Disconnected)?;
    if !message.contains_key("id") {
        connection.notify(&message)?;
        return Ok(Requested::Accepted);
    }
    let request_id = message.get("id").cloned().unwrap_or_default();
    if method == "initialize" && server.era == Era::Legacy {
        // A second one would begin a new session for everybody who uses the tunnel.
        let result = Value::Object(server.result.clone());
        let answer = message::success(request_id, result);
        return finish(gateway, &connection, answer, wait).await;
    }
    complete(&server, &mut message);
    let caller = Caller {
        id: Uuid::new_v4(),
        user: principal.user_id,
        capabilities: Capabilities::default(),
    };
    let owned = (id, principal.user_id);
    let mut tool_call = ToolCall::begin(gateway, owned, (principal, address), &message);
    let call = connection.call(caller, message, Some(connection.settings.request_time))?;
    if let Some(tool_call) = &mut tool_call {
        tool_call.sent();
    }
    let failed = move |error: &CallError| {
        message::failure(request_id.clone(), INTERNAL_ERROR, &error.to_string())
    };
    if wait {
        let (answer, error) = match call.answer().await {
            Ok(answer) => (answer, None),
            Err(error) => (failed(&error), Some(error)),
        };
        if let Some(tool_call) = tool_call {
            tool_call.answered(&answer);
        }
        return match error {
            None | Some(CallError::InvalidAnswer(_)) => Ok(Requested::Answered(Message(answer))),
            Some(error) => Err(error.into()),
        };
    }
    let gateway = Arc::clone(gateway);
    gateway.clone().spawn(async move {
        let answer = call.answer().await.unwrap_or_else(|error| failed(&error));
        if let Some(tool_call) = tool_call {
            tool_call.answered(&answer);
        }
        publish_answer(&gateway, &connection, answer).await;
    });
    Ok(Requested::Accepted)
}

async fn finish(
    gateway: &Gateway,
    connection: &Connection,
    answer: Members,
    wait: bool,
) -> Result<Requested> {
    if wait {
        return Ok(Requested::Answered(Message(answer)));
    }
    publish_answer(gateway, connection, answer).await;
    Ok(Requested::Accepted)
}

/// Publishes an answer. If it is too large for an event, publishes an error that says so.
async fn publish_answer(gateway: &Gateway, connection: &Connection, answer: Members) {
    let id = answer.get("id").cloned().unwrap_or_default();
    if !publish(gateway, connection, answer).await {
        let reason =
            "the answer cannot be published on the stream: send the request without wait=false";
        publish(gateway, connection, message::failure(id, INTERNAL_ERROR, reason)).await;
    }
}

/// Adds what every request of the modern era must have, if the caller has left it out.
fn complete(server: &Server, message: &mut Members) {
    if server.era == Era::Legacy {
        return;
    }
    let params = message.entry("params").or_insert_with(|| Value::Object(Members::new()));
    let Some(params) = params.as_object_mut() else { return };
    let meta = params.entry("_meta").or_insert_with(|| Value::Object(Members::new()));
    let Some(meta) = meta.as_object_mut() else { return };
    for (name, value) in message::into_members(modern_meta()) {
        meta.entry(name).or_insert(value);
    }
}
