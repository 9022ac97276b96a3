//! `POST .../prompts/{pid}/stream-token`.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use streamgate::{
    auth::stream_claims::StreamScope,
    event::{Family, Topic},
};
use uuid::Uuid;

use crate::support::{
    App,
    prompt::{create, owner_and_agent},
    until,
};

#[tokio::test]
async fn stream_token_of_a_prompt_opens_only_its_stream() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    let (created, other) = (create(&owner).await, create(&owner).await);
    let mint = format!("{}/stream-token", created.path);
    let anyone = app.anyone();
    for body in [None, Some(json!({})), Some(json!({ "ttl_seconds": 30 }))] {
        let ttl = body.as_ref().and_then(|body| body["ttl_seconds"].as_u64()).unwrap_or(120);
        let minted = owner.call(Method::POST, &mint, body).await;
        assert_eq!(minted.status, 201, "{minted:?}");
        assert_eq!(minted.body["expires_in"], ttl);
        let url = minted.body["url"].as_str().expect("a URL");
        assert!(url.starts_with(&created.path), "{url}");
        anyone.stream(url, "").await.expect("snapshot").await;
        let token = format!("?stream_token={}", minted.body["token"].as_str().expect("a token"));
        anyone.get(&format!("{}/stream{token}", other.path)).await.problem(403);
        let elsewhere = format!("/v1/sessions/{}/prompts/{}", other.session, created.id);
        anyone.get(&format!("{elsewhere}/stream{token}")).await.problem(404);
        anyone.get(&format!("{}{token}", created.path)).await.problem(401);
        let (head, tail) = token.split_at(token.len() - 6);
        let forged = format!("{head}{}", tail.chars().rev().collect::<String>());
        anyone.get(&format!("{}/stream{forged}", created.path)).await.problem(401);
    }
    for body in [json!({ "ttl_seconds": 29 }), json!({ "ttl_seconds": 301 }), json!([])] {
        owner.post(&mint, body).await.problem(400);
    }
    agent.call(Method::POST, &mint, None).await.problem(404);
    let topic = Topic::new(Family::Prompt, created.id);
    let tokens = &app.gateway.tokens;
    let scope = StreamScope::Topic(topic.to_string());
    let (short, _) =
        tokens.sign_stream_token(owner.id().await, Uuid::now_v7(), scope, false, Duration::ZERO);
    let stream = format!("{}/stream?max_events=1&stream_token={short}", created.path);
    until("expiry", async || {
        let answer = anyone.get(&stream).await;
        answer.status == 401 && answer.problem(401) == "the token has expired"
    })
    .await;
    app.finish().await;
}
