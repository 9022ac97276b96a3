//! `POST /v1/tasks/{id}/cancel`.

use serde_json::{Value, json};

use crate::support::{
    App,
    task::{cancel, claim, create, get, owner_and_agent, report, send, shown, watch},
};

#[tokio::test]
async fn cancellation_reaches_the_worker_with_the_next_heartbeat() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    let id = create(&owner, "a").await;
    let claimed = claim(&agent, "a").await;
    let beat = || send(&agent, &claimed, "heartbeat", json!({}));
    let before = beat().await.ok();
    assert_eq!(before["cancel_requested"], false);
    let cancelled = cancel(&owner, id).await.ok();
    assert_eq!(
        (&cancelled["status"], &cancelled["cancel_requested"]),
        (&json!("running"), &json!(true))
    );
    let told = beat().await.ok();
    assert_eq!(told["cancel_requested"], true);
    // The grace time is shorter than the lease was, and does not start again.
    let end = |beat: &Value| beat["lease_expires_at"].as_str().expect("a time").to_owned();
    assert!(end(&told) < end(&before), "{told} {before}");
    assert_eq!(beat().await.ok(), told);
    assert_eq!(cancel(&owner, id).await.ok(), cancelled);
    assert_eq!(beat().await.ok(), told);
    report(&agent, &claimed, 1, "cancelled").await.ok();
    let ended = get(&owner, id).await;
    assert_eq!(ended["status"], "cancelled");
    assert_eq!(cancel(&owner, id).await.ok(), ended);
    app.finish().await;
}

#[tokio::test]
async fn task_is_cancelled_when_the_grace_time_is_over() {
    let app = App::with(|config| {
        config.tasks.cancel_grace_seconds = 1;
        config.streams.heartbeat_seconds = 60;
    })
    .await;
    let (owner, agent) = owner_and_agent(&app).await;
    let id = create(&owner, "a").await;
    let claimed = claim(&agent, "a").await;
    report(&agent, &claimed, 1, "running").await.ok();
    let mut reader = watch(&owner, id, "").await;
    reader.expect("snapshot").await;
    cancel(&owner, id).await.ok();
    send(&agent, &claimed, "heartbeat", json!({})).await.ok();
    for status in ["running", "cancelled"] {
        let told = reader.expect("task.status").await.data;
        assert_eq!((&told["status"], &told["cancel_requested"]), (&json!(status), &json!(true)));
    }
    reader.expect("stream.closed").await;
    reader.expect_end().await;
    let before = shown(&owner, id).await;
    for (what, body) in [
        ("heartbeat", json!({})),
        ("release", json!({})),
        ("report", json!({ "seq": 2, "status": "completed" })),
        ("report", json!({ "seq": 2, "artifact": { "artifact_id": "a", "data": "late" } })),
    ] {
        send(&agent, &claimed, what, body).await.problem(409);
    }
    assert_eq!(shown(&owner, id).await, before);
    // A report that was applied in time gets its response again.
    assert_eq!(report(&agent, &claimed, 1, "running").await.ok(), before[0]);
    assert_eq!(claim(&agent, "a").await, Value::Null);
    app.finish().await;
}
