//! `POST /v1/stream-tokens`: each token opens its stream, for as long as its login session lasts.

use entity::user::Role;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    App,
    auth::invalid_token,
    mutation::expect_numbers,
    streams::{operator_with_topologies, path, snapshots, watch},
    topology::operator_with_topology,
};

#[tokio::test]
async fn stream_token_opens_its_stream_and_no_other() {
    let app = App::start().await;
    let (operator, topology) = operator_with_topology(&app).await;
    let other = app.active_topology(&operator).await;
    let viewer = app.caller(Role::Viewer).await;
    let wish = json!({ "family": "topology", "id": topology, "ttl_seconds": 30 });
    let minted = viewer.post("/v1/stream-tokens", wish).await;
    assert_eq!(minted.status, 201);
    let minted = minted.ok();
    let (token, url) = (minted["token"].as_str().expect("a token"), minted["url"].as_str());
    assert_eq!(url, Some(&*format!("/v1/topologies/{topology}/stream?stream_token={token}")));
    assert_eq!(minted["expires_in"], 30);
    let anyone = app.anyone();
    let mut reader = anyone.stream(url.expect("a URL"), "").await;
    let snapshot = reader.expect("snapshot").await;
    // The same URL again, as a browser does when it reconnects.
    let last = format!("Last-Event-ID: {}\r\n", snapshot.id.expect("an id"));
    let mut again = anyone.stream(url.expect("a URL"), &last).await;
    operator.mutate(topology, 1).await.ok();
    expect_numbers(&mut again, [1]).await;
    let query = format!("stream_token={token}");
    for absent_or_not in [other, Uuid::new_v4()] {
        let path = format!("/v1/topologies/{absent_or_not}/stream?{query}");
        anyone.get(&path).await.problem(403);
    }
    anyone.get(&format!("/v1/topologies/{topology}?{query}")).await.problem(401);
    anyone.get(&format!("/v1/topologies/{topology}/events?{query}")).await.problem(401);
    // A logout ends the stream of the token and the token itself.
    viewer.post("/v1/auth/logout", Value::Null).await.ok();
    assert_eq!(reader.expect("mutation.enqueued").await.data["payload"]["number"], 1);
    let closed = reader.expect("stream.closed").await;
    assert_eq!(closed.data, json!({ "reason": "session_revoked" }));
    anyone.get(url.expect("a URL")).await.problem(401);
    drop(again);
    app.finish().await;
}

#[tokio::test]
async fn stream_token_is_refused_after_its_session_ended() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    let minted = operator.mint(topology).await;
    operator.call(Method::POST, "/v1/auth/logout", None).await.ok();
    let answer = app.anyone().get(minted["url"].as_str().expect("a URL")).await;
    assert_eq!(invalid_token(answer), "the login session has ended");
    app.finish().await;
}

#[tokio::test]
async fn stream_token_for_a_list_opens_any_part_of_it() {
    let app = App::start().await;
    let (operator, topologies) = operator_with_topologies(&app, 3).await;
    let viewer = app.caller(Role::Viewer).await;
    let names: Vec<_> = topologies[..2].iter().map(|id| format!("topology.{id}")).collect();
    let minted = viewer.post("/v1/stream-tokens", json!({ "topics": names })).await;
    assert_eq!(minted.status, 201);
    let minted = minted.ok();
    let token = minted["token"].as_str().expect("a token");
    let url = minted["url"].as_str().expect("a URL");
    assert_eq!(url, path(&topologies[..2], &format!("stream_token={token}")));
    let anyone = app.anyone();
    let by_token = format!("stream_token={token}");
    let mut whole = anyone.stream(url, "").await;
    snapshots(&mut whole, &topologies[..2]).await;
    let mut part = watch(&anyone, &topologies[1..2], &by_token).await;
    snapshots(&mut part, &topologies[1..2]).await;
    anyone.get(&path(&topologies, &by_token)).await.problem(403);
    anyone.get(&path(&topologies[2..], &by_token)).await.problem(403);
    let single = |id: Uuid, query: &str| format!("/v1/topologies/{id}/stream?{query}");
    anyone.get(&single(topologies[0], &by_token)).await.problem(403);
    anyone.get(&format!("/v1/connections?{by_token}")).await.problem(401);
    // A token for one topic.
    let wish = json!({ "family": "topology", "id": topologies[0] });
    let minted = viewer.post("/v1/stream-tokens", wish).await.ok();
    let by_token = format!("stream_token={}", minted["token"].as_str().expect("a token"));
    let mut one = watch(&anyone, &topologies[..1], &by_token).await;
    snapshots(&mut one, &topologies[..1]).await;
    anyone.get(&path(&topologies[..2], &by_token)).await.problem(403);
    // Bodies that contain neither one topic nor a valid list.
    let id = topologies[0];
    for wish in [
        json!({}),
        json!({ "topics": [] }),
        json!({ "family": "topology" }),
        json!({ "id": id }),
        json!({ "family": "topology", "id": id, "topics": names }),
        json!({ "topics": [names[0], names[0]] }),
        json!({ "topics": ["garbage"] }),
        json!({ "topics": (0..51).map(|_| format!("topology.{}", Uuid::now_v7())).collect::<Vec<_>>() }),
    ] {
        viewer.post("/v1/stream-tokens", wish).await.problem(400);
    }
    let unknown = json!({ "topics": [names[0], format!("topology.{}", Uuid::now_v7())] });
    viewer.post("/v1/stream-tokens", unknown).await.problem(404);
    // A logout ends each stream once, not once per topic.
    viewer.post("/v1/auth/logout", Value::Null).await.ok();
    for reader in [&mut whole, &mut part, &mut one] {
        let closed = reader.expect("stream.closed").await;
        assert_eq!(closed.data, json!({ "reason": "session_revoked" }));
        reader.expect_end().await;
    }
    drop(operator);
    app.finish().await;
}
