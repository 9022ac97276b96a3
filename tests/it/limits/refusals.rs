//! Refused streams hold no slot.

use uuid::Uuid;

use crate::{
    limits::one_slot::{expect_free, narrow, request},
    support::SseReader,
};

#[tokio::test]
async fn refused_stream_holds_no_slot_and_frees_none() {
    let (app, operator, id) = narrow().await;
    let other = app.active_topology(&operator).await;
    let token = operator.mint(other).await;
    let token = token["token"].as_str().expect("a token");
    let path = format!("/v1/topologies/{id}/stream");
    let unknown = format!("/v1/topologies/{}/stream", Uuid::now_v7());
    let bound = format!("{path}?stream_token={token}");
    let refuse = async |slots: u32| {
        operator.get(&unknown).await.problem(404);
        app.anyone().get(&bound).await.problem(403);
        app.anyone().get(&path).await.problem(401);
        operator.get(&format!("{path}?max_events=0")).await.problem(400);
        assert_eq!(app.gateway.limits.open_slots(), slots);
    };
    refuse(0).await;
    expect_free(&app, &operator, id, "refusals").await;
    let mut held = operator.watch(id, "").await;
    held.expect("snapshot").await;
    refuse(1).await;
    operator.get(&path).await.problem(429);
    drop(held);
    app.finish().await;
}

#[tokio::test]
async fn head_request_has_the_stream_headers_and_takes_no_slot() {
    let (app, operator, id) = narrow().await;
    let held = operator.watch(id, "").await;
    for _ in 0..3 {
        let answer = SseReader::open(app.address, &request(&app, "HEAD", id, &operator)).await;
        assert_eq!(answer.status(), 200);
        for name in ["content-type", "cache-control", "x-accel-buffering", "referrer-policy"] {
            assert_eq!(answer.header(name), held.header(name), "{name}");
        }
        assert_eq!(answer.header("content-length"), None, "a stream has no length");
        assert_eq!(app.gateway.limits.open_slots(), 1);
    }
    let unknown = request(&app, "HEAD", Uuid::now_v7(), &operator);
    assert_eq!(SseReader::open(app.address, &unknown).await.status(), 404);
    drop(held);
    app.finish().await;
}

#[tokio::test]
async fn refusal_can_be_a_stream_of_one_error_event() {
    let (app, operator, id) = narrow().await;
    let other = app.active_topology(&operator).await;
    let token = operator.mint(other).await;
    let token = token["token"].as_str().expect("a token");
    let held = operator.watch(id, "").await;
    let anyone = app.anyone();
    let unknown = Uuid::now_v7();
    for (caller, id, query, status) in [
        (&operator, id, String::new(), 429),
        (&anyone, id, String::new(), 401),
        (&anyone, id, "&stream_token=forged".to_owned(), 401),
        (&anyone, id, format!("&stream_token={token}"), 403),
        (&operator, unknown, String::new(), 404),
        (&operator, id, "&max_seconds=0".to_owned(), 400),
    ] {
        let mut refused = caller.watch(id, &format!("on_refusal=event{query}")).await;
        assert_eq!(refused.status(), 200);
        assert_eq!(refused.header("content-type"), Some("text/event-stream"));
        assert_eq!(refused.header("cache-control"), Some("no-store, no-transform"));
        let error = refused.expect("error").await;
        assert_eq!(error.data["status"], status, "{}", error.text);
        let request = refused.header("x-request-id").expect("an id");
        assert_eq!(error.data["instance"], format!("urn:uuid:{request}"));
        assert_eq!(error.id, None, "the cursor stays");
        let retry = error.retry.expect("a retry");
        assert!((30_000..=60_000).contains(&retry), "{retry}");
        refused.expect_end().await;
        assert_eq!(app.gateway.limits.open_slots(), 1, "{status}");
        // Without `on_refusal` the refusal is a status. Other operations do not have that
        // parameter.
        assert_eq!(caller.watch(id, query.trim_start_matches('&')).await.status(), status);
    }
    operator.get(&format!("/v1/topologies/{unknown}?on_refusal=event")).await.problem(404);
    operator.get(&format!("/v1/topologies/{id}/stream?on_refusal=x")).await.problem(400);
    drop(held);
    app.finish().await;
}
