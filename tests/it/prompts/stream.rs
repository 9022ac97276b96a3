//! `GET .../prompts/{pid}/stream`.

use serde_json::{Value, json};

use crate::support::{
    App,
    prompt::{claim, create, event, events, message, owner_and_agent, publish, watch},
};

#[tokio::test]
async fn new_stream_gets_a_snapshot_and_resumed_stream_the_rest() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    let created = create(&owner).await;
    let path = &created.path;
    let snapshot = watch(&owner, path, "").await.expect("snapshot").await.data;
    let prompt = owner.get(path).await.ok();
    assert_eq!(snapshot, json!({ "prompt": prompt, "events": [], "earlier": false }));
    let claimed = claim(&agent).await;
    let mut said = 1;
    let mut first = None;
    for _ in 0..3 {
        let batch: Vec<Value> = (said..said + 400).map(message).collect();
        let answer = publish(&agent, path, &claimed, json!(batch)).await.ok();
        assert_eq!(answer["count"], 400);
        said += 400;
        let block = watch(&owner, path, "").await.expect("snapshot").await;
        assert_eq!(json!(block.id), answer["last"], "the snapshot has another cursor");
        first.get_or_insert(block.id.expect("a cursor"));
        let mut page = events(&owner, path).await;
        let earlier = page.len() > 1_000;
        page.drain(..page.len().saturating_sub(1_000));
        for event in &mut page {
            event.as_object_mut().expect("an object").remove("topic");
        }
        assert_eq!(
            (&block.data["events"], &block.data["earlier"]),
            (&json!(page), &json!(earlier))
        );
        assert_eq!(block.data["prompt"]["status"], "processing");
    }
    let cursor = first.expect("a cursor");
    let mut reader = watch(&owner, path, &format!("last_event_id={cursor}")).await;
    for number in 401..1_201 {
        assert_eq!(reader.expect("message").await.data["number"], number);
    }
    publish(&agent, path, &claimed, event("complete")).await.ok();
    let last = reader.expect("complete").await.id.expect("a cursor");
    assert_eq!(reader.expect("stream.closed").await.data["reason"], "completed");
    reader.expect_end().await;
    // No event can follow. A browser that reconnects gets 204. A new stream gets a snapshot and
    // ends.
    assert_eq!(watch(&owner, path, &format!("last_event_id={last}")).await.status(), 204);
    let mut reader = watch(&owner, path, "").await;
    assert_eq!(reader.expect("snapshot").await.data["prompt"]["status"], "completed");
    reader.expect("stream.closed").await;
    // A cursor of another topic.
    let mut reader = watch(&owner, path, "last_event_id=1-1").await;
    assert_eq!(reader.expect("snapshot").await.data["reset"], "unknown_cursor");
    drop(reader);
    app.finish().await;
}
