//! Uses an MCP endpoint with the official Rust SDK: `rmcp-client URL TOKEN legacy|modern`. Prints one line of JSON.

use std::{
    env,
    sync::{Arc, Mutex},
    time::Duration,
};

use rmcp::{
    ClientHandler, ErrorData, RoleClient,
    model::{
        CallToolRequestParams, ClientCapabilities, ClientConfig, ElicitRequestParams, ElicitResult,
        ElicitationAction, Implementation, ProgressNotificationParam, ProtocolVersion,
    },
    service::{
        ClientLifecycleMode, ClientServiceExt, NotificationContext, RequestContext, RunningService,
    },
    transport::{
        StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde_json::{Value, json};
use tokio::{sync::Notify, time::timeout};

/// A client that gets no answer fails after this time.
const DEADLINE: Duration = Duration::from_secs(30);

/// Answers questions, and collects the progress of calls.
#[derive(Clone, Default)]
struct Client {
    progress: Arc<Mutex<Vec<f64>>>,
    arrived: Arc<Notify>,
}

impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        let mut capabilities = ClientCapabilities::default();
        capabilities.elicitation = Some(Default::default());
        ClientConfig::new(capabilities, Implementation::new("rmcp", "1.0.0"))
    }

    async fn create_elicitation(
        &self,
        _request: ElicitRequestParams,
        _context: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(json!({ "answer": "Ada" })))
    }

    async fn on_progress(
        &self,
        params: ProgressNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        self.progress.lock().expect("no panic").push(params.progress);
        self.arrived.notify_one();
    }
}

/// Calls a tool. Returns the text of its result, and fails if the tool has failed.
async fn call(
    client: &RunningService<RoleClient, Client>,
    tool: &'static str,
    args: Value,
) -> String {
    let args = args.as_object().expect("an object").clone();
    let params = CallToolRequestParams::new(tool).with_arguments(args);
    let result = client.call_tool(params).await.expect("a result");
    let result = serde_json::to_value(result).expect("JSON");
    assert_ne!(result["isError"], true, "{result}");
    result["content"][0]["text"].as_str().expect("a text").to_owned()
}

async fn report(url: String, token: String, era: String) {
    let config = StreamableHttpClientTransportConfig::with_uri(url).auth_header(token);
    let transport = StreamableHttpClientTransport::from_config(config);
    let lifecycle = if era == "legacy" {
        ClientLifecycleMode::Initialize
    } else {
        ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
    };
    let handler = Client::default();
    let client =
        handler.clone().serve_with_lifecycle(transport, lifecycle).await.expect("a client");
    let version = client.peer_info().expect("an answer").protocol_version.to_string();
    let tools = client.list_all_tools().await.expect("tools");
    let echo = call(&client, "echo", json!({ "text": "hello" })).await;
    call(&client, "slow", json!({ "steps": 3, "delay_ms": 20 })).await;
    // The SDK runs the handler of each notification as a task of its own, in no order.
    while handler.progress.lock().expect("no panic").len() < 3 {
        handler.arrived.notified().await;
    }
    let mut progress = handler.progress.lock().expect("no panic").clone();
    progress.sort_by(f64::total_cmp);
    let answer = call(&client, "ask", json!({ "question": "name?" })).await;
    client.cancel().await.expect("an end");
    let tools: Vec<_> = tools.iter().map(|tool| &tool.name).collect();
    let report = json!({
        "client": "rmcp",
        "version": version,
        "tools": tools,
        "echo": echo,
        "progress": progress,
        "answer": answer,
    });
    println!("{report}");
}

#[tokio::main]
async fn main() {
    let mut args = env::args().skip(1);
    let mut next = || args.next().expect("URL TOKEN legacy|modern");
    let work = report(next(), next(), next());
    timeout(DEADLINE, work).await.expect("an end in time");
}
