//! Differences between the eras, for a client of one era and a server of the other.

use serde_json::{Value, json};

use super::error::RpcError;
use crate::tunnel::{
    LEGACY_VERSION, MODERN_VERSION, SUBSCRIBE, Server,
    message::{self, Members},
    session::LogLevel,
};

/// The prefix of the keys in `_meta` that the protocol itself defines.
const RESERVED: &str = "io.modelcontextprotocol/";

/// Results that have `ttlMs` and `cacheScope` in the modern era.
const CACHEABLE: [&str; 5] =
    ["tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read"];

/// The result of `server/discover` for a server of the legacy era.
#[must_use]
pub fn discover_result(server: &Server) -> Value {
    let mut result = json!({
        "resultType": "complete",
        "supportedVersions": [MODERN_VERSION],
        "capabilities": server.capabilities().cloned().unwrap_or_default(),
        "serverInfo": server.info(),
        "ttlMs": 0,
        "cacheScope": "private",
    });
    if let Some(instructions) = server.result.get("instructions") {
        result["instructions"] = instructions.clone();
    }
    result["_meta"] = json!({ "io.modelcontextprotocol/serverInfo": server.info() });
    result
}

/// The result of `initialize` for a client that asks for this version.
#[must_use]
pub fn initialize_result(server: &Server, version: &str) -> Value {
    let unknown = || json!({ "name": "unknown", "version": "unknown" });
    let mut capabilities = server.capabilities().cloned().unwrap_or_default();
    // Tasks of one client would be visible to every other client of the tunnel.
    capabilities.remove("tasks");
    let mut result = json!({
        "protocolVersion": version,
        "capabilities": capabilities,
        "serverInfo": server.info().cloned().unwrap_or_else(unknown),
    });
    if let Some(instructions) = server.result.get("instructions") {
        result["instructions"] = instructions.clone();
    }
    result
}

/// The version for a client that asks for `requested`: the same if it is known, else the newest of the legacy era.
#[must_use]
pub fn negotiated(requested: &str) -> &'static str {
    let known = super::error::VERSIONS.iter().filter(|version| **version != MODERN_VERSION);
    known.copied().find(|version| *version == requested).unwrap_or(LEGACY_VERSION)
}

/// Adds the `_meta` of a client of the legacy era to a request for a server of the modern era.
pub fn to_modern(request: &mut Members, client_meta: Value, level: LogLevel) {
    let params = request.entry("params").or_insert_with(|| json!({}));
    let Some(params) = params.as_object_mut() else { return };
    let meta = params.entry("_meta").or_insert_with(|| json!({}));
    let Some(meta) = meta.as_object_mut() else { return };
    meta.extend(message::into_members(client_meta));
    meta.insert(format!("{RESERVED}logLevel"), level.name().into());
}

/// Removes from the result of a modern server what only the modern era has.
pub fn result_to_legacy(response: &mut Members) {
    let Some(result) = response.get_mut("result").and_then(Value::as_object_mut) else { return };
    for name in ["resultType", "ttlMs", "cacheScope"] {
        result.remove(name);
    }
}

/// Removes from a request of a modern client what a server of the legacy era does not know. Returns the log level that
/// the client wants.
pub fn to_legacy(request: &mut Members) -> Option<LogLevel> {
    let meta = message::member_mut(request, &["params", "_meta"])?.as_object_mut()?;
    let level = meta.get(&format!("{RESERVED}logLevel")).and_then(Value::as_str);
    let level = level.and_then(LogLevel::from_name);
    meta.retain(|name, _| !name.starts_with(RESERVED));
    level
}

/// Adds to the result of a server of the legacy era what every result of the modern era has.
pub fn result_to_modern(method: &str, response: &mut Members) {
    let Some(result) = response.get_mut("result").and_then(Value::as_object_mut) else { return };
    result.entry("resultType").or_insert_with(|| "complete".into());
    if CACHEABLE.contains(&method) {
        result.entry("ttlMs").or_insert_with(|| 0.into());
        result.entry("cacheScope").or_insert_with(|| "private".into());
    }
}

/// The requests that a server of the modern era wants answered before it goes on: key, method and parameters. `None` if
/// the result is complete.
#[must_use]
pub fn required_inputs(response: &Members) -> Option<Vec<(String, String, Value)>> {
    let result = response.get("result")?;
    if result.get("resultType")? != "input_required" {
        return None;
    }
    let requests = result.get("inputRequests").and_then(Value::as_object);
    let inputs = requests.into_iter().flatten().filter_map(|(key, request)| {
        let method = request.get("method")?.as_str()?.to_owned();
        let params = request.get("params").cloned().unwrap_or_else(|| json!({}));
        Some((key.clone(), method, params))
    });
    Some(inputs.collect())
}

/// The request again, with the answers that the server wanted.
#[must_use]
pub fn with_inputs(request: &Members, state: Option<Value>, answers: Members) -> Members {
    let mut request = request.clone();
    let params = request.entry("params").or_insert_with(|| json!({}));
    if let Some(params) = params.as_object_mut() {
        params.insert("inputResponses".to_owned(), Value::Object(answers));
        params.extend(state.map(|state| ("requestState".to_owned(), state)));
    }
    request
}

/// The result with which a modern client learns that a server of the legacy era asks it something.
#[must_use]
pub fn input_required(id: Value, asked: &Members, state: &str) -> Members {
    let key = asked.get("id").and_then(Value::as_str).unwrap_or_default();
    let request = json!({ "method": asked.get("method"), "params": asked.get("params") });
    let result = json!({
        "resultType": "input_required",
        "inputRequests": { key: request },
        "requestState": state,
    });
    message::success(id, result)
}

/// Methods that a server of the other era does not have, and that have no equivalent.
///
/// # Errors
/// [`RpcError::METHOD_NOT_FOUND`].
pub fn check_method(method: &str, is_modern: bool) -> Result<(), RpcError> {
    let unknown = if is_modern {
        matches!(
            method,
            "initialize"
                | "ping"
                | "logging/setLevel"
                | "resources/subscribe"
                | "resources/unsubscribe"
        )
    } else {
        matches!(method, "server/discover" | SUBSCRIBE)
    };
    if unknown || method.starts_with("tasks/") {
        let message = format!("the method {method} does not exist");
        return Err(RpcError::new(RpcError::METHOD_NOT_FOUND, message));
    }
    Ok(())
}
