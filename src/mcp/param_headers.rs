//! Headers that repeat arguments of a tool (MCP 2026-07-28, Streamable HTTP, Custom Headers from Tool Parameters).
//!
//! The schema of a tool says with `x-mcp-header` which arguments a client repeats in `Mcp-Param-*`. A server behind a
//! tunnel sees no headers, so the gateway compares them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use uuid::Uuid;

use super::{error::RpcError, header_value::decoded};
use crate::{
    json as relayed,
    tunnel::{
        Caller, Capabilities, Connection, Era, Server, ToolHeaders,
        message::{self, Members},
        modern_meta,
    },
};

/// Time after which the schemas are read again. A modern server says that they have changed to its subscribers only.
const LIFE: Duration = Duration::from_mins(1);

/// Maximum number of pages of tools.
const PAGES: usize = 100;

/// Limits of the annotations. A server could otherwise fill the memory with them.
const TOOLS: usize = 1_000;
const HEADERS: usize = 32;
const DEPTH: usize = 8;
const NAME_BYTES: usize = 128;

/// Checks the headers of a `tools/call`. `header` returns the value of `Mcp-Param-` and this name.
///
/// # Errors
/// [`RpcError::HEADER_MISMATCH`].
pub(super) async fn check(
    connection: &Connection,
    server: &Server,
    header: impl Fn(&str) -> Option<String>,
    message: &Members,
) -> Result<(), RpcError> {
    let name = message::member(message, &["params", "name"]).and_then(Value::as_str);
    let tools = match connection.tool_headers(LIFE) {
        Some(tools) => tools,
        // A server that cannot list its tools has none with such headers.
        None => connection.set_tool_headers(read(connection, server).await.unwrap_or_default()),
    };
    let Some(repeated) = name.and_then(|name| tools.get(name)) else { return Ok(()) };
    let arguments = message::member(message, &["params", "arguments"]).unwrap_or(&Value::Null);
    for (path, name) in repeated {
        let argument = argument_text(arguments, path);
        let sent = header(&format!("mcp-param-{name}"));
        let is_same = match (&argument, &sent) {
            (None, None) => true,
            (Some(argument), Some(sent)) => decoded(sent).as_deref() == Some(argument),
            _ => false,
        };
        if !is_same {
            let reason =
                format!("the header Mcp-Param-{name} is missing, or differs from the body");
            return Err(RpcError::new(RpcError::HEADER_MISMATCH, reason));
        }
    }
    Ok(())
}

/// The text of an argument in a header. `None` if the argument is absent.
#[must_use]
pub fn argument_text(arguments: &Value, path: &[String]) -> Option<String> {
    let argument = path.iter().try_fold(arguments, |value, name| value.get(name));
    let argument = argument.filter(|value| !value.is_null())?;
    Some(argument.as_str().map_or_else(|| relayed::text(argument), str::to_owned))
}

/// Reads the schemas of all tools.
async fn read(connection: &Connection, server: &Server) -> Option<ToolHeaders> {
    let caller =
        Caller { id: Uuid::nil(), user: connection.owner, capabilities: Capabilities::default() };
    let idle = Some(connection.settings.request_time);
    let (mut tools, mut cursor) = (HashMap::new(), None);
    for _ in 0..PAGES {
        let mut params = json!({});
        if server.era == Era::Modern {
            params["_meta"] = modern_meta();
        }
        if let Some(cursor) = cursor.take() {
            params["cursor"] = cursor;
        }
        let request = message::request(0.into(), "tools/list", Some(params));
        let answer = connection.call(caller, request, idle).ok()?.answer().await.ok()?;
        let page = message::member(&answer, &["result", "tools"])?.as_array()?;
        for tool in page {
            let (Some(name), Some(schema)) = (tool["name"].as_str(), tool.get("inputSchema"))
            else {
                continue;
            };
            let headers = param_headers(schema);
            if !headers.is_empty() && tools.len() < TOOLS {
                tools.insert(name.to_owned(), headers);
            }
        }
        cursor = message::member(&answer, &["result", "nextCursor"]).cloned();
        if cursor.is_none() {
            break;
        }
    }
    Some(Arc::new(tools))
}

/// The annotated properties of a schema: their paths, and the names of their headers after `Mcp-Param-`.
#[must_use]
pub fn param_headers(schema: &Value) -> Vec<(Vec<String>, String)> {
    let mut headers = Vec::new();
    collect(schema, &mut Vec::new(), &mut headers);
    headers
}

fn collect(schema: &Value, path: &mut Vec<String>, headers: &mut Vec<(Vec<String>, String)>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if headers.len() >= HEADERS || path.len() >= DEPTH || name.len() > NAME_BYTES {
            continue;
        }
        path.push(name.clone());
        let header = property["x-mcp-header"].as_str();
        if let Some(header) = header.filter(|header| header.len() <= NAME_BYTES) {
            headers.push((path.clone(), header.to_owned()));
        }
        collect(property, path, headers);
        path.pop();
    }
}
