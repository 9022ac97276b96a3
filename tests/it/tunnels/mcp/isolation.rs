//! Many clients at once: no message of one reaches another.

use entity::user::Role;
use futures_util::future::join_all;
use rand::RngExt;
use serde_json::{Value, json};

use crate::support::{
    App, Caller,
    mcp::{McpClient, modern},
    tunnel::{TunnelClient, share},
};

const CLIENTS: usize = 8;
const CALLS: usize = 125;

/// Answers requests in a random order, each with its own text, and sends progress for each.
async fn serve(mut server: TunnelClient) {
    let mut open: Vec<Value> = Vec::new();
    loop {
        let turns = rand::rng().random_range(0..40);
        let answered = async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            request = server.next_request() => {
                let Some(request) = request else { return };
                if request["method"] == "tools/list" {
                    server.answer(&request, json!({ "resultType": "complete", "tools": [] })).await;
                } else if request["method"] == "tools/call" {
                    open.push(request);
                }
            }
            () = answered, if !open.is_empty() => {
                let request = open.swap_remove(rand::rng().random_range(0..open.len()));
                let text = request["params"]["arguments"]["text"].clone();
                let token = &request["params"]["_meta"]["progressToken"];
                let params = json!({ "progressToken": token, "progress": 1, "message": text });
                let method = "notifications/progress";
                let progress = json!({ "jsonrpc": "2.0", "method": method, "params": params });
                server.send("notification", progress).await;
                server.answer(&request, json!({ "resultType": "complete", "text": text })).await;
            }
        }
    }
}

/// Calls a tool again and again, with ids that every other client uses, too. Every message must have the caller's text.
async fn call(user: &Caller, tunnel: uuid::Uuid, number: usize, is_legacy: bool) -> usize {
    let session = if is_legacy { Some(McpClient::new(user, tunnel).await) } else { None };
    let path = format!("/mcp/{tunnel}");
    let mut seen = 0;
    for turn in 0..CALLS {
        let text = format!("{tunnel} {number} {turn}");
        let id = turn % 3;
        let params = json!({
            "name": "echo",
            "arguments": { "text": text },
            "_meta": { "progressToken": id },
        });
        let mut answer = match &session {
            Some(session) => {
                let request =
                    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
                session.post(&request).await
            }
            None => modern(user, &path, id, "tools/call", params).await,
        };
        let progress = answer.message().await;
        assert_eq!(progress["params"]["progressToken"], id, "{progress}");
        assert_eq!(progress["params"]["message"], json!(text), "{progress}");
        let last = answer.message().await;
        assert_eq!((&last["id"], &last["result"]["text"]), (&json!(id), &json!(text)), "{last}");
        seen += 2;
    }
    seen
}

#[tokio::test]
async fn no_message_reaches_a_client_that_it_is_not_for() {
    let app = App::with(|config| {
        config.limits.requests_per_minute = 1_000_000;
        config.limits.streams_per_user = 100;
    })
    .await;
    let [one, two] = [app.caller(Role::Viewer).await, app.caller(Role::Viewer).await];
    let mut servers = Vec::new();
    let mut clients = Vec::new();
    // A tunnel of each user and one that both use, with servers of both eras, and clients of both eras at each of them.
    for (name, is_legacy, users) in [
        ("mine", true, vec![&one]),
        ("mine", false, vec![&two]),
        ("shared", true, vec![&one, &two]),
        ("shared", false, vec![&two, &one]),
    ] {
        let owner = users[0];
        let server = if is_legacy {
            TunnelClient::legacy(owner, name).await
        } else {
            TunnelClient::modern(owner, name).await
        };
        let tunnel = server.id;
        servers.push(tokio::spawn(serve(server)));
        for user in &users[1..] {
            share(owner, tunnel, user, "call").await;
        }
        for number in 0..CLIENTS {
            let user = users[number / 2 % users.len()];
            clients.push(call(user, tunnel, number, number % 2 == 0));
        }
    }
    let seen: usize = join_all(clients).await.into_iter().sum();
    assert_eq!(seen, 4 * CLIENTS * CALLS * 2);
    for server in servers {
        server.abort();
    }
    app.finish().await;
}
