//! `POST /v1/tasks/{id}/report`.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    App,
    task::{claim, create, owner_and_agent, report, send},
};

#[tokio::test]
async fn repeated_report_changes_nothing_and_a_gap_is_refused() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    let id = create(&owner, "a").await;
    let path = format!("/v1/tasks/{id}/events");
    let claimed = claim(&agent, "a").await;
    let chunk = |seq: u64, text: &str| {
        let artifact = json!({ "artifact_id": "a", "data": text, "append": seq > 1 });
        send(&agent, &claimed, "report", json!({ "seq": seq, "artifact": artifact }))
    };
    let expect = async |seq: u64, expected: u64| {
        let answer = chunk(seq, "skips").await;
        assert_eq!(answer.body["expected_seq"], expected);
        answer.problem(409);
    };
    expect(2, 1).await;
    let first = chunk(1, "one ").await.ok();
    assert_eq!(chunk(1, "again").await.ok(), first);
    expect(3, 2).await;
    chunk(2, "two").await.ok();
    assert_eq!(chunk(1, "again").await.ok()["artifacts"][0]["data"], "one two");
    // A worker with a stale lease is not told the expected number.
    let mut foreign = claimed.clone();
    foreign["lease_token"] = json!(Uuid::new_v4());
    for seq in [1, 3, 9] {
        let answer = report(&agent, &foreign, seq, "running").await;
        assert_eq!(answer.body.get("expected_seq"), None);
        answer.problem(409);
    }
    let end = json!({ "seq": 3, "status": "completed", "output": { "a": 1 } });
    let ended = send(&agent, &claimed, "report", end.clone()).await.ok();
    assert_eq!(ended["output"], json!({ "a": 1 }));
    let log = owner.get(&path).await.ok();
    assert_eq!(send(&agent, &claimed, "report", end).await.ok(), ended);
    assert_eq!(chunk(2, "again").await.ok(), ended);
    assert_eq!(report(&agent, &claimed, 4, "running").await.body.get("expected_seq"), None);
    assert_eq!(owner.get(&path).await.ok(), log, "no event, no change");
    // The next attempt counts from 1 again.
    create(&owner, "b").await;
    let claimed = claim(&agent, "b").await;
    report(&agent, &claimed, 1, "running").await.ok();
    send(&agent, &claimed, "release", json!({})).await.ok();
    let newest = claim(&agent, "b").await;
    report(&agent, &claimed, 1, "running").await.problem(409);
    report(&agent, &newest, 1, "running").await.ok();
    app.finish().await;
}

#[tokio::test]
async fn report_field_that_does_not_fit_the_status_is_refused() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    let id = create(&owner, "a").await;
    let claimed = claim(&agent, "a").await;
    let artifact = |data: Value, append: bool| json!({ "seq": 1, "artifact": { "artifact_id": "a", "data": data, "append": append } });
    let mut no_data = artifact(json!(1), false);
    no_data["artifact"].as_object_mut().expect("an object").remove("data");
    for body in [
        json!({ "seq": 1 }),
        json!({ "seq": 0, "status": "running" }),
        json!({ "status": "running" }),
        json!({ "seq": 1, "status": "pending" }),
        json!({ "seq": 1, "status": "running", "output": 1 }),
        json!({ "seq": 1, "status": "failed", "output": 1 }),
        json!({ "seq": 1, "status": "completed", "error": "no" }),
        json!({ "seq": 1, "status": "failed", "error": "x".repeat(4_001) }),
        json!({ "seq": 1, "status": "failed", "error": "\0" }),
        json!({ "seq": 1, "status": "completed", "output": "x".repeat(65_535) }),
        json!({ "seq": 1, "error": "no", "artifact": { "artifact_id": "a", "data": 1 } }),
        json!({ "seq": 1, "artifact": { "artifact_id": "", "data": 1 } }),
        json!({ "seq": 1, "artifact": { "artifact_id": "a\n", "data": 1 } }),
        artifact(Value::Null, false),
        artifact(json!({}), true),
        artifact(json!(1), true),
        no_data,
    ] {
        send(&agent, &claimed, "report", body).await.problem(400);
    }
    let page = owner.get(&format!("/v1/tasks/{id}/events")).await.ok();
    assert_eq!(page["events"].as_array().map(Vec::len), Some(1), "the claim");
    let output = json!({ "seq": 1, "status": "completed", "output": "x".repeat(65_534) });
    send(&agent, &claimed, "report", output).await.ok();
    create(&owner, "a").await;
    let claimed = claim(&agent, "a").await;
    let error = json!({ "seq": 1, "status": "failed", "error": "ä".repeat(4_000) });
    assert_eq!(send(&agent, &claimed, "report", error).await.ok()["error"], "ä".repeat(4_000));
    app.finish().await;
}
