//! Uses a client that progenitor generated. Prints what it did as JSON. `operations` prints the names of the operations.

use futures_util::StreamExt;
use progenitor_client::{ByteStream, Error};
use serde_json::{Value, json};

mod client {
    include!(concat!(env!("OUT_DIR"), "/client.rs"));
}
use client::{Client, types};

type Refusal = Error<ByteStream>;

/// The status and the type of a problem. The generator reads `application/json` only, so the problem is bytes.
async fn problem(error: Refusal) -> Value {
    let Error::ErrorResponse(response) = error else { panic!("{error}") };
    let status = response.status().as_u16();
    let body = collect(response.into_inner()).await;
    let problem: types::Problem = serde_json::from_slice(&body).expect("a problem");
    let problem = json!({ "status": problem.status, "type": problem.type_ });
    assert_eq!(problem["status"], status);
    problem
}

async fn collect(mut stream: ByteStream) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(chunk) = stream.next().await {
        body.extend(chunk.expect("a chunk"));
    }
    body
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let origin = arguments.next().expect("an origin");
    if origin == "operations" {
        println!("{}", include_str!(concat!(env!("OUT_DIR"), "/client.rs")));
        return;
    }
    let password = arguments.next().expect("a password");
    let anonymous = Client::new(&origin);
    let login = types::Login {
        username: "admin".parse().expect("a name"),
        password: password.parse().expect("a password"),
        cookie: None,
    };
    let access_token =
        anonymous.auth_login(&login).await.expect("a login").into_inner().access_token;
    let mut bearer: reqwest::header::HeaderValue =
        format!("Bearer {access_token}").parse().expect("a header");
    bearer.set_sensitive(true);
    let headers = [(reqwest::header::AUTHORIZATION, bearer)].into_iter().collect();
    let http = reqwest::Client::builder().default_headers(headers).build().expect("a client");
    let client = Client::new_with_client(&origin, http);

    let name = "generated".parse().expect("a name");
    let name = types::NewTopology { name, config: None, mode: None };
    let topology = client.topology_create(&name).await.expect("a topology").into_inner().id;
    for status in [types::TopologyStatus::Deploying, types::TopologyStatus::Active] {
        let status = types::NewStatus { status, reason: None };
        client.topology_update(&topology, &status).await.expect("a status");
    }
    let scope = types::NewStreamToken {
        family: Some(types::StreamFamily::Topology),
        id: Some(topology),
        ..Default::default()
    };
    let minted = client.stream_token_mint(&scope).await.expect("a stream token").into_inner();

    let stream = client.topology_stream(&topology, None, None, None, None, None).await;
    let mut stream: ByteStream = stream.expect("a stream").into_inner();
    let (mut published, mut received, mut text) = (Vec::new(), Vec::new(), Vec::new());
    while received.len() < 10 {
        text.extend(stream.next().await.expect("an open stream").expect("a chunk"));
        while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
            let block: Vec<u8> = text.drain(..end + 2).collect();
            let block = String::from_utf8(block).expect("UTF-8");
            let Some(data) = block.lines().find_map(|line| line.strip_prefix("data:")) else {
                continue;
            };
            let data: Value = serde_json::from_str(data).expect("JSON");
            if published.is_empty() {
                // The first event is the snapshot, so that the stream watches.
                for _ in 0..10 {
                    let new = types::NewMutation {
                        op: types::MutationOp::AddNode,
                        expected_version: None,
                        payload: serde_json::Map::new(),
                    };
                    let mutation = client.mutation_create(&topology, &new).await;
                    published.push(mutation.expect("a mutation").into_inner().id.to_string());
                }
            } else {
                received.push(data["id"].clone());
            }
        }
    }

    let unknown = "0198c2f0-7d52-7a11-8c7e-3f5f1f1f9d10".parse().expect("an id");
    let missing = client.topology_get(&unknown).await.expect_err("a refusal");
    let refused = anonymous.auth_login(&login).await.expect_err("a refusal");
    let problems = [problem(missing).await, problem(refused).await];
    let url = minted.url;
    println!(
        "{}",
        json!({ "access_token": access_token, "url": url, "published": published, "received": received, "problems": problems })
    );
}
