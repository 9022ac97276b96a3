//! The sender of a message, and what he may do.

use std::{net::IpAddr, sync::Arc};

use serde_json::Value;

use super::error::RpcError;
use crate::{
    auth::login_session::Principal,
    family::tunnel::{Access, ToolCall},
    gateway::Gateway,
    tunnel::{
        Permissions, SUBSCRIBE,
        message::{self, Members},
    },
};

/// For each capability of a server, the method without which a client cannot use it.
const CAPABILITIES: [(&str, &str); 5] = [
    ("tools", "tools/list"),
    ("prompts", "prompts/list"),
    ("resources", "resources/list"),
    ("logging", "logging/setLevel"),
    ("completions", "completion/complete"),
];

/// The sender of a message.
#[derive(Clone, Copy)]
pub struct Requester<'a> {
    /// The user.
    pub principal: &'a Principal,
    /// The address of the client.
    pub address: IpAddr,
    /// The tunnel, and what the user may do with it.
    pub access: &'a Access,
}

impl Requester<'_> {
    /// Checks that the user may send a message, and removes from it what he may not. Returns the call for the audit log,
    /// if the message calls a tool.
    ///
    /// # Errors
    /// [`RpcError::METHOD_NOT_FOUND`] or [`RpcError::INVALID_PARAMS`] as for a method or a tool that does not exist.
    pub(super) fn permit(
        self,
        gateway: &Arc<Gateway>,
        message: &mut Members,
    ) -> Result<Option<ToolCall>, RpcError> {
        let Access { tunnel, owner, permissions, .. } = self.access;
        let from = (self.principal, self.address);
        let call = ToolCall::begin(gateway, (*tunnel, *owner), from, message);
        match check(permissions, message) {
            Ok(()) => Ok(call),
            Err(error) => {
                if let Some(call) = call {
                    call.refused();
                }
                Err(error)
            }
        }
    }
}

fn check(permissions: &Permissions, message: &mut Members) -> Result<(), RpcError> {
    if permissions.is_owner() {
        return Ok(());
    }
    let Some(method) = message::method(message) else { return Ok(()) };
    if !permissions.allows_method(method) {
        let reason = format!("the owner of the tunnel does not allow you the method {method}");
        return Err(RpcError::new(RpcError::METHOD_NOT_FOUND, reason));
    }
    if method == "tools/call" {
        let tool = message::member(message, &["params", "name"]).and_then(Value::as_str);
        if !tool.is_some_and(|tool| permissions.allows_tool(tool)) {
            let reason = "the owner of the tunnel does not allow you this tool";
            return Err(RpcError::new(RpcError::INVALID_PARAMS, reason));
        }
    }
    if method == SUBSCRIBE
        && !permissions.allows_method("resources/subscribe")
        && let Some(Value::Object(filter)) =
            message::member_mut(message, &["params", "notifications"])
    {
        filter.remove("resourceSubscriptions");
    }
    Ok(())
}

/// Removes from the answer to a method what the user may not use: tools, and capabilities of the server.
pub(super) fn filter(permissions: &Permissions, method: &str, answer: &mut Members) {
    if permissions.is_owner() {
        return;
    }
    match method {
        "tools/list" => {
            if let Some(Value::Array(tools)) = message::member_mut(answer, &["result", "tools"]) {
                tools.retain(|tool| {
                    tool["name"].as_str().is_some_and(|name| permissions.allows_tool(name))
                });
            }
        }
        "initialize" | "server/discover" => {
            let capabilities = message::member_mut(answer, &["result", "capabilities"]);
            let Some(Value::Object(capabilities)) = capabilities else { return };
            for (capability, method) in CAPABILITIES {
                if !permissions.allows_method(method) {
                    capabilities.remove(capability);
                }
            }
            if !permissions.allows_method("resources/subscribe")
                && let Some(Value::Object(resources)) = capabilities.get_mut("resources")
            {
                resources.remove("subscribe");
            }
        }
        _ => {}
    }
}
