//! Artifacts of tasks, reported chunk by chunk.

use entity::artifact::{Column, Entity, Model};
use sea_orm::{EntityTrait, IntoActiveModel, QueryOrder};
use serde_json::json;

use crate::{
    support::{
        App,
        task::{create, get, owner_and_agent, send, watch},
    },
    tasks::artifacts::sender::{ReportingWorker, chunk},
};

#[tokio::test]
async fn chunks_append_to_or_replace_their_artifact() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    let id = create(&owner, "a").await;
    let mut maker = ReportingWorker::new(&agent, "a").await;
    for artifact in [
        chunk("text", "It was a \u{1f319} ", false),
        chunk("list", json!([]), false),
        json!({ "artifact_id": "text", "data": "dark ", "append": true, "name": "Text" }),
        chunk("one", json!({ "a": [1, "\0"] }), false),
        chunk("list", json!([1, [2]]), true),
        chunk("text", "", true),
        json!({ "artifact_id": "text", "data": "night", "append": true, "last_chunk": true }),
        chunk("list", json!(["3"]), true),
        chunk("list", json!([]), true),
    ] {
        maker.send(artifact).await.ok();
    }
    let (text, list, one) = (
        json!({
            "artifact_id": "text", "name": "Text", "data": "It was a \u{1f319} dark night",
            "last_chunk": true,
        }),
        json!({ "artifact_id": "list", "data": [1, [2], "3"], "last_chunk": false }),
        json!({ "artifact_id": "one", "data": { "a": [1, "\0"] }, "last_chunk": false }),
    );
    assert_eq!(get(&owner, id).await["artifacts"], json!([text, list, one]));

    // The next attempt finds the artifacts, and may replace them.
    send(&agent, &maker.claimed, "release", json!({})).await.ok();
    let mut next = ReportingWorker::new(&agent, "a").await;
    assert_eq!(next.claimed["task"]["artifacts"], json!([text, list, one]));
    next.send(chunk("text", 7, false)).await.ok();
    next.send(chunk("list", json!([4]), true)).await.ok();
    let text = json!({ "artifact_id": "text", "data": 7, "last_chunk": false });
    let list = json!({ "artifact_id": "list", "data": [1, [2], "3", 4], "last_chunk": false });
    let task = get(&owner, id).await;
    assert_eq!(task["artifacts"], json!([text, list, one]));
    let snapshot = watch(&owner, id, "").await.expect("snapshot").await;
    assert_eq!(snapshot.data, json!({ "task": task }));
    app.finish().await;
}

#[tokio::test]
async fn chunk_of_another_type_is_not_appended() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    let id = create(&owner, "a").await;
    let mut maker = ReportingWorker::new(&agent, "a").await;
    for (id, data) in [("text", json!("a")), ("list", json!([1])), ("one", json!({}))] {
        maker.send(chunk(id, data, false)).await.ok();
    }
    let before = get(&owner, id).await;
    for (id, data) in [
        ("text", json!(["b"])),
        ("list", json!("b")),
        ("one", json!("b")),
        ("one", json!([])),
        ("other", json!("b")),
    ] {
        maker.send(chunk(id, data, true)).await.problem(409);
    }
    assert_eq!(get(&owner, id).await, before);
    // A refused report uses no number.
    maker.send(chunk("text", "b", true)).await.ok();
    app.finish().await;
}

#[tokio::test]
async fn artifacts_of_a_task_hold_at_most_1_mib() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    let id = create(&owner, "a").await;
    let mut maker = ReportingWorker::new(&agent, "a").await;
    // A chunk has at most 64 KiB as JSON.
    let piece = "x".repeat(1 << 15);
    maker.send(chunk("a", "", false)).await.ok();
    for number in 0..24 {
        maker.send(chunk("a", piece.as_str(), number > 0)).await.ok();
    }
    for number in 0..8 {
        // Each character has two bytes as JSON.
        maker.send(chunk("b", "\n".repeat(1 << 14), number > 0)).await.ok();
    }
    let before = get(&owner, id).await;
    for (name, append) in [("a", true), ("c", false)] {
        let detail = maker.send(chunk(name, "x", append)).await.problem(409);
        assert!(detail.contains("1048576 bytes"), "{detail}");
    }
    assert_eq!(get(&owner, id).await, before);
    // A chunk that replaces its artifact frees the old size.
    maker.send(chunk("b", "x", false)).await.ok();
    maker.send(chunk("c", &piece[1..], false)).await.ok();
    for _ in 0..7 {
        maker.send(chunk("c", piece.as_str(), true)).await.ok();
    }
    maker.send(chunk("c", "x", true)).await.problem(409);
    let detail = maker.send(chunk("d", "x".repeat(65_535), false)).await.problem(400);
    assert!(detail.contains("65536 bytes"), "{detail}");
    let artifacts = get(&owner, id).await["artifacts"].take();
    let lengths = artifacts.as_array().expect("artifacts").iter();
    let lengths: Vec<_> = lengths.map(|one| one["data"].as_str().map(str::len)).collect();
    assert_eq!(lengths, [Some(3 << 18), Some(1), Some((1 << 18) - 1)]);
    // The first artifact alone does not fit into a snapshot.
    let snapshot = watch(&owner, id, "").await.expect("snapshot").await;
    assert_eq!(snapshot.data["artifacts_left_out"], 3);
    app.finish().await;
}

#[tokio::test]
async fn task_holds_at_most_1_000_artifacts() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    let id = create(&owner, "a").await;
    let mut maker = ReportingWorker::new(&agent, "a").await;
    maker.send(chunk("0", "", false)).await.ok();
    let row = Entity::find_by_id((id, 0, 0)).one(app.gateway.database.reader()).await;
    let row = row.expect("a row").expect("the chunk");
    // Rows as if all but one of the other artifacts had been reported.
    let rows = (1..999).map(|position| {
        let row = Model { position, artifact_id: position.to_string(), ..row.clone() };
        row.into_active_model()
    });
    let insert = Entity::insert_many(rows);
    insert.exec_without_returning(app.gateway.database.writer()).await.expect("rows");
    maker.send(chunk("999", "", false)).await.ok();
    let detail = maker.send(chunk("1000", "", false)).await.problem(409);
    assert!(detail.contains("1000 artifacts"), "{detail}");
    maker.send(chunk("999", "x", true)).await.ok();
    app.finish().await;
}

#[tokio::test]
async fn small_chunks_share_rows_and_large_ones_are_written_once() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    let id = create(&owner, "a").await;
    let mut maker = ReportingWorker::new(&agent, "a").await;
    let (mut text, mut items) = (String::new(), Vec::new());
    for number in 0..40 {
        let (more, item) = (format!("\u{1f319}\n{number}").repeat(20), json!([number, "\0", []]));
        maker.send(chunk("text", more.as_str(), number > 0)).await.ok();
        maker.send(chunk("list", json!([item]), number > 0)).await.ok();
        text.push_str(&more);
        items.push(item);
    }
    let large = "x".repeat(5_000);
    for _ in 0..2 {
        maker.send(chunk("text", large.as_str(), true)).await.ok();
        text.push_str(&large);
    }
    let artifacts = get(&owner, id).await["artifacts"].take();
    assert_eq!((&artifacts[0]["data"], &artifacts[1]["data"]), (&json!(text), &json!(items)));
    let rows = Entity::find().order_by_asc(Column::Position).order_by_asc(Column::Chunk);
    let rows = rows.all(app.gateway.database.reader()).await.expect("rows");
    let parts = |position: i32| rows.iter().filter(move |row| row.position == position);
    let sizes: Vec<_> = parts(0).map(|row| row.data.as_str().len() - 2).collect();
    assert_eq!(parts(1).count(), 1);
    assert!(sizes.len() == 4 && sizes[2..] == [5_000; 2], "{sizes:?}");
    app.finish().await;
}
