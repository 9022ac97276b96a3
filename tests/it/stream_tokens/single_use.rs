//! Stream tokens for a single use.

use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::support::{
    App, Caller,
    auth::invalid_token,
    connection::{delete, id},
    prompt::{create, owner_and_agent},
    stream_token::expired,
    topology::app_with_topology,
};

use super::resume::cursor_of_snapshot;

/// Mints a token for a single use. Returns the URL of the stream.
pub async fn mint_single_use(caller: &Caller, topology: Uuid) -> String {
    let wanted = json!({ "family": "topology", "id": topology, "single_use": true });
    let minted = caller.post("/v1/stream-tokens", wanted).await.ok();
    minted["url"].as_str().expect("a URL").to_owned()
}

#[tokio::test]
async fn single_use_token_opens_one_stream_and_resumes_nothing() {
    let (app, operator, topology) = app_with_topology(|_| ()).await;
    let anyone = app.anyone();
    let url = mint_single_use(&operator, topology).await;
    // Neither a HEAD request nor a refused request uses the token up.
    assert_eq!(anyone.call(Method::HEAD, &url, None).await.status, 200);
    let elsewhere = url.replace(&topology.to_string(), &Uuid::new_v4().to_string());
    anyone.get(&elsewhere).await.problem(403);
    let mut reader = anyone.stream(&url, "").await;
    let cursor = cursor_of_snapshot(&mut reader).await;
    let again = format!("{url}&last_event_id={cursor}");
    let used_up = "the token was for a single use, and is used up";
    assert_eq!(invalid_token(anyone.get(&again).await), used_up);
    // The end of the stream does not make the token usable again.
    assert_eq!(delete(&operator, id(&reader)).await.status, 204);
    reader.expect("stream.closed").await;
    app.slots_freed().await;
    assert_eq!(invalid_token(anyone.get(&again).await), used_up);
    let late = expired(&app.gateway.config.data_dir, &again);
    assert_eq!(invalid_token(anyone.get(&late).await), "the token has expired");
    drop(reader);
    app.finish().await;
}

#[tokio::test]
async fn single_use_token_of_a_prompt_opens_one_stream() {
    let app = App::start().await;
    let (owner, _agent) = owner_and_agent(&app).await;
    let prompt = create(&owner).await;
    let mint = format!("{}/stream-token", prompt.path);
    let minted = owner.post(&mint, json!({ "single_use": true })).await.ok();
    let url = minted["url"].as_str().expect("a URL");
    cursor_of_snapshot(&mut app.anyone().stream(url, "").await).await;
    invalid_token(app.anyone().get(url).await);
    owner.post(&mint, json!({ "single_use": "yes" })).await.problem(400);
    app.finish().await;
}
