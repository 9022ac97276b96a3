//! `GET /v1/tasks/{id}/stream`.

use serde_json::json;

use crate::support::{
    App,
    task::{claim, create, get, owner_and_agent, send, watch},
};

#[tokio::test]
async fn task_stream_is_a_snapshot_events_and_an_end() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    let id = create(&owner, "a").await;
    let mut early = watch(&owner, id, "").await;
    let mut reader = watch(&owner, id, "").await;
    let made = json!({ "task": get(&owner, id).await });
    assert_eq!(early.expect("snapshot").await.data, made);
    let snapshot = reader.expect("snapshot").await;
    let claimed = claim(&agent, "a").await;
    let mut state = claimed["task"].clone();
    for part in ["input", "artifacts"] {
        state.as_object_mut().expect("an object").remove(part);
    }
    assert_eq!(early.expect("task.status").await.data, state);
    // One client disconnects, and the other misses no event.
    drop(early);
    assert_eq!(reader.expect("task.status").await.data, state);
    let artifact = json!({
        "artifact_id": "a", "name": "A", "data": "\u{2028}", "last_chunk": true,
    });
    let last = json!({ "seq": 1, "status": "completed", "output": 7, "artifact": artifact });
    let ended = send(&agent, &claimed, "report", last).await.ok();
    assert_eq!(ended["artifacts"], json!([artifact]));
    let chunk = reader.expect("task.artifact").await;
    let expected = json!({
        "task_id": id, "attempt": 1, "seq": 1, "artifact_id": "a", "name": "A", "data": "\u{2028}",
        "append": false, "last_chunk": true, "at": ended["updated_at"],
    });
    assert_eq!(chunk.data, expected);
    assert!(chunk.text.contains(r#""data":"\u2028""#), "{}", chunk.text);
    let status = reader.expect("task.status").await;
    assert_eq!((&status.data["status"], &status.data["output"]), (&json!("completed"), &json!(7)));
    assert_eq!(reader.expect("stream.closed").await.data, json!({ "reason": "completed" }));
    reader.expect_end().await;

    let at = |id: &Option<String>| format!("last_event_id={}", id.as_ref().expect("an id"));
    let whole = reader.seen.clone();
    let mut resumed = watch(&owner, id, &at(&snapshot.id)).await;
    for kind in ["task.status", "task.artifact", "task.status"] {
        let text = resumed.expect(kind).await.text;
        let (_, event) = text.split_once("event: ").expect("a kind");
        assert!(whole.contains(&format!("\n\nevent: {event}")), "the same bytes: {text}");
    }
    resumed.expect("stream.closed").await;
    let mut late = watch(&owner, id, "").await;
    let last = late.expect("snapshot").await;
    assert_eq!((&last.id, &last.data), (&status.id, &json!({ "task": ended })));
    late.expect("stream.closed").await;
    assert_eq!(watch(&owner, id, &at(&status.id)).await.status(), 204);
    app.finish().await;
}
