//! An MCP server that speaks Streamable HTTP, of both eras. Each message is one POST.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use reqwest::{
    Client, RequestBuilder, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde_json::{Value, json};
use streamgate::mcp::{argument_text, encoded, param_headers};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::sleep,
};
use url::Url;

use super::{
    local::{Server, WAITING},
    sse::Events,
};

const SESSION: &str = "mcp-session-id";
const VERSION: &str = "mcp-protocol-version";
const EVENT_STREAM: &str = "text/event-stream";

/// Time to connect to a server on the same machine or in the same network.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Number of times that a client comes back for an answer.
const RESUMES: usize = 100;

/// Time after which a client comes back, if the server names none.
const RETRY: Duration = Duration::from_secs(1);

/// The arguments that headers repeat, for each tool: their paths, and the names of the headers.
type ToolParams = HashMap<String, Vec<(Vec<String>, String)>>;

/// The values that the requests of one connection share.
struct Shared {
    client: Client,
    url: Url,
    /// The session and the version of a server of the legacy era. Absent before `initialize` was answered.
    session: Mutex<(Option<String>, Option<String>)>,
    /// The requests in flight of the modern era, by the JSON text of their ids. Closing one cancels it.
    modern: Mutex<HashMap<String, AbortHandle>>,
    /// The arguments that headers repeat, for each tool. Absent before the tools are known.
    params: Mutex<Option<ToolParams>>,
    output: mpsc::Sender<String>,
}

/// Begins to send messages to the server.
pub(super) fn start(url: Url) -> anyhow::Result<Server> {
    let client = Client::builder().connect_timeout(CONNECT_TIME).build();
    let (input, messages) = mpsc::channel(WAITING);
    let (sender, output) = mpsc::channel(WAITING);
    let shared = Arc::new(Shared {
        client: client.context("cannot create an HTTP client")?,
        url,
        session: Mutex::default(),
        modern: Mutex::default(),
        params: Mutex::default(),
        output: sender,
    });
    let ended = tokio::spawn(run(shared, messages));
    Ok(Server { input, output, ended })
}

/// Sends each message. Ends with the last sender, or when the server has lost the session.
async fn run(shared: Arc<Shared>, mut messages: mpsc::Receiver<String>) -> String {
    let mut requests = JoinSet::new();
    loop {
        tokio::select! {
            message = messages.recv() => {
                let Some(message) = message else { break };
                let Ok(parsed) = serde_json::from_str::<Value>(&message) else { continue };
                dispatch(&shared, &mut requests, message, parsed).await;
            }
            Some(ended) = requests.join_next() => {
                if matches!(ended, Ok(Err(SessionLost))) {
                    return "it has lost the session".to_owned();
                }
            }
        }
    }
    end_session(&shared).await;
    "the tunnel ends".to_owned()
}

/// The server does not know the session any more.
struct SessionLost;

async fn dispatch(
    shared: &Arc<Shared>,
    requests: &mut JoinSet<Result<(), SessionLost>>,
    message: String,
    parsed: Value,
) {
    let method = parsed["method"].as_str().unwrap_or_default().to_owned();
    if method == "notifications/cancelled" {
        let id = parsed["params"]["requestId"].to_string();
        let handle = lock(&shared.modern).remove(&id);
        if let Some(handle) = handle {
            handle.abort();
            return;
        }
    }
    let is_modern = modern_version(&parsed).is_some();
    // Later requests need the session, so these two run alone.
    if method == "initialize" || method == "notifications/initialized" {
        if method == "initialize" {
            *lock(&shared.session) = (None, None);
        }
        let _ = post(Arc::clone(shared), message, parsed).await;
        if method == "notifications/initialized" {
            requests.spawn(listen(Arc::clone(shared)));
        }
        return;
    }
    let id = parsed["id"].to_string();
    let has_id = !parsed["id"].is_null();
    let handle = requests.spawn(post(Arc::clone(shared), message, parsed));
    if is_modern && has_id {
        lock(&shared.modern).insert(id, handle);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn modern_version(message: &Value) -> Option<&str> {
    message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"].as_str()
}

/// Adds the headers that a server of either era needs.
fn with_headers(shared: &Shared, request: RequestBuilder, message: &Value) -> RequestBuilder {
    let Some(version) = modern_version(message) else {
        let (session, version) = lock(&shared.session).clone();
        let request = match session {
            Some(session) => request.header(SESSION, session),
            None => request,
        };
        return match version {
            Some(version) => request.header(VERSION, version),
            None => request,
        };
    };
    let method = message["method"].as_str().unwrap_or_default();
    let name = match method {
        "tools/call" | "prompts/get" => message["params"]["name"].as_str(),
        "resources/read" => message["params"]["uri"].as_str(),
        _ => None,
    };
    let mut request = request.header(VERSION, version).header("mcp-method", method);
    if let Some(name) = name {
        request = request.header("mcp-name", encoded(name));
    }
    let known = lock(&shared.params);
    let repeated = known.as_ref().zip(name).and_then(|(params, tool)| params.get(tool));
    for (path, header) in repeated.into_iter().flatten() {
        if let Some(value) = argument_text(&message["params"]["arguments"], path) {
            request = request.header(format!("mcp-param-{header}"), encoded(&value));
        }
    }
    request
}

fn request_to(shared: &Shared) -> RequestBuilder {
    let request = shared.client.post(shared.url.clone());
    let request = request.header(CONTENT_TYPE, "application/json");
    request.header(ACCEPT, format!("application/json, {EVENT_STREAM}"))
}

/// Reads the tools of the server, to learn which arguments headers repeat, unless they are known.
async fn learn_params(shared: &Shared, call: &Value) {
    if lock(&shared.params).is_some() {
        return;
    }
    let params = json!({ "_meta": call["params"]["_meta"] });
    let list = json!({ "jsonrpc": "2.0", "id": "tools", "method": "tools/list", "params": params });
    let sent = with_headers(shared, request_to(shared), &list).body(list.to_string()).send().await;
    let Ok(response) = sent else { return };
    // The answer to a list is JSON, or the only event of a stream.
    let Ok(text) = response.text().await else { return };
    let mut events = Events::default();
    let found = std::iter::once(text.clone()).chain(events.take(text.as_bytes()));
    for answer in found.filter_map(|text| serde_json::from_str::<Value>(&text).ok()) {
        keep_params(shared, &answer);
    }
}

/// Keeps which arguments headers repeat, from the answer to `tools/list`.
fn keep_params(shared: &Shared, answer: &Value) {
    let Some(tools) = answer["result"]["tools"].as_array() else { return };
    let found = tools.iter().filter_map(|tool| {
        Some((tool["name"].as_str()?.to_owned(), param_headers(&tool["inputSchema"])))
    });
    lock(&shared.params).get_or_insert_default().extend(found);
}

/// Sends one message, and passes on what the server answers.
async fn post(shared: Arc<Shared>, message: String, parsed: Value) -> Result<(), SessionLost> {
    if parsed["method"] == "tools/call" && modern_version(&parsed).is_some() {
        learn_params(&shared, &parsed).await;
    }
    let sent = with_headers(&shared, request_to(&shared), &parsed).body(message).send().await;
    let has_session = lock(&shared.session).0.is_some();
    let result = match sent {
        Ok(response) if response.status() == StatusCode::NOT_FOUND && has_session => {
            return Err(SessionLost);
        }
        Ok(response) => answer(&shared, response, &parsed).await,
        Err(error) => Err(error.without_url().to_string()),
    };
    let id = parsed["id"].clone();
    lock(&shared.modern).remove(&id.to_string());
    if let Err(reason) = result
        && parsed["method"].is_string()
        && !id.is_null()
    {
        let error = json!({ "code": -32603, "message": format!("the MCP server: {reason}") });
        emit(&shared, json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string()).await;
    }
    Ok(())
}

/// Passes the answer on. Returns the reason if it is none.
async fn answer(shared: &Shared, mut response: Response, request: &Value) -> Result<(), String> {
    let status = response.status();
    if request["method"] == "initialize" {
        let session = response.headers().get(SESSION).and_then(|value| value.to_str().ok());
        lock(&shared.session).0 = session.map(str::to_owned);
    }
    let kind = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.unwrap_or_default().to_owned();
    let is_call = request["method"].is_string() && !request["id"].is_null();
    if kind.starts_with(EVENT_STREAM) {
        let mut events = Events::default();
        for _ in 0..RESUMES {
            if read_events(shared, &mut response, &mut events, request).await? || !is_call {
                return Ok(());
            }
            // The server can close the stream before the answer, so that the client comes back for it.
            let Some(id) = events.last_id().map(str::to_owned) else { break };
            sleep(events.retry().unwrap_or(RETRY)).await;
            let resumed = shared.client.get(shared.url.clone()).header(ACCEPT, EVENT_STREAM);
            let resumed = with_headers(shared, resumed, &Value::Null).header("last-event-id", id);
            response = resumed.send().await.map_err(|error| error.without_url().to_string())?;
            if !response.status().is_success() {
                break;
            }
        }
        return Err("its stream ended without an answer".to_owned());
    }
    let body = response.text().await.map_err(|error| error.without_url().to_string())?;
    if kind.starts_with("application/json") && is_answer(shared, &body, request) {
        emit(shared, body).await;
        return Ok(());
    }
    if status.is_success() && !is_call { Ok(()) } else { Err(format!("it answered {status}")) }
}

/// Passes on the events of a stream until it ends. Returns whether the answer was among them.
async fn read_events(
    shared: &Shared,
    response: &mut Response,
    events: &mut Events,
    request: &Value,
) -> Result<bool, String> {
    let mut has_answer = false;
    loop {
        match response.chunk().await {
            Ok(Some(bytes)) => {
                for data in events.take(&bytes) {
                    has_answer |= is_answer(shared, &data, request);
                    emit(shared, data).await;
                }
            }
            Ok(None) => return Ok(has_answer),
            // A client of a session can come back for the rest.
            Err(_) if has_answer || events.last_id().is_some() => return Ok(has_answer),
            Err(error) => return Err(error.without_url().to_string()),
        }
    }
}

/// Whether the text answers the request. Keeps the version that the server has chosen.
fn is_answer(shared: &Shared, text: &str, request: &Value) -> bool {
    let Ok(message) = serde_json::from_str::<Value>(text) else { return false };
    let is_answer = message["method"].is_null() && message["id"] == request["id"];
    if is_answer && request["method"] == "tools/list" {
        keep_params(shared, &message);
    }
    if is_answer && request["method"] == "initialize" {
        let version = message["result"]["protocolVersion"].as_str();
        lock(&shared.session).1 = version.map(str::to_owned);
    }
    is_answer
}

/// Passes on what a server of the legacy era sends without a request. Many servers have no such stream.
async fn listen(shared: Arc<Shared>) -> Result<(), SessionLost> {
    let request = shared.client.get(shared.url.clone()).header(ACCEPT, EVENT_STREAM);
    let Ok(mut response) = with_headers(&shared, request, &Value::Null).send().await else {
        return Ok(());
    };
    if !response.status().is_success() {
        return Ok(());
    }
    let mut events = Events::default();
    while let Ok(Some(bytes)) = response.chunk().await {
        for data in events.take(&bytes) {
            emit(&shared, data).await;
        }
    }
    Ok(())
}

async fn emit(shared: &Shared, message: String) {
    // Nobody takes it when the tunnel ends.
    let _ = shared.output.send(message).await;
}

async fn end_session(shared: &Shared) {
    let (session, _) = lock(&shared.session).clone();
    if session.is_some() {
        let request = shared.client.delete(shared.url.clone()).timeout(Duration::from_secs(2));
        let _ = with_headers(shared, request, &Value::Null).send().await;
    }
}
