//! An MCP server of the version 2026-07-28 that answers at once.

use poem::{Route, Server, handler, listener::TcpAcceptor, post, web::Json};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[handler]
fn answer(Json(request): Json<Value>) -> Json<Value> {
    let result = match request["method"].as_str() {
        Some("server/discover") => json!({
            "supportedVersions": ["2026-07-28"],
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "bench", "version": "1" },
        }),
        Some("tools/list") => {
            json!({ "tools": [{ "name": "echo", "inputSchema": { "type": "object" } }] })
        }
        _ => request["params"]["arguments"].clone(),
    };
    let mut result = result;
    result["resultType"] = "complete".into();
    Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }))
}

/// Starts the server. Returns its URL.
pub async fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let acceptor = TcpAcceptor::from_tokio(listener).expect("an acceptor");
    tokio::spawn(Server::new_with_acceptor(acceptor).run(Route::new().at("/mcp", post(answer))));
    format!("http://{address}/mcp")
}
