//! `GET /v1/streams`: several topologies on one connection.

use entity::user::Role;
use serde_json::json;
use streamgate::event::Topic;
use uuid::Uuid;

use crate::support::{
    app::App,
    caller::Caller,
    sse::{Block, SseReader},
};

/// The path of the stream of these topologies.
pub fn path(topologies: &[Uuid], query: &str) -> String {
    let topics = topologies.iter().map(|id| format!("topic=topology.{id}&"));
    format!("/v1/streams?{}{query}", topics.collect::<String>())
}

pub async fn watch(caller: &Caller, topologies: &[Uuid], query: &str) -> SseReader {
    caller.stream(&path(topologies, query), "").await
}

/// An operator and some topologies.
pub async fn operator_with_topologies(app: &App, count: usize) -> (Caller, Vec<Uuid>) {
    let operator = app.caller(Role::Operator).await;
    let mut topologies = Vec::new();
    for _ in 0..count {
        topologies.push(app.active_topology(&operator).await);
    }
    (operator, topologies)
}

/// The topology of an event.
#[track_caller]
pub fn about(block: &Block) -> Uuid {
    let topic: Topic = block.data["topic"].as_str().expect("a topic").parse().expect("a topic");
    topic.id()
}

/// Reads one snapshot of each topology, in any order. Returns the last cursor.
pub async fn snapshots(reader: &mut SseReader, topologies: &[Uuid]) -> String {
    let mut seen = Vec::new();
    let mut cursor = None;
    for _ in topologies {
        let block = reader.expect("snapshot").await;
        assert_eq!(block.data["data"]["topology"]["id"], json!(about(&block)));
        assert!(block.data["data"]["reset"].is_null(), "{}", block.text);
        seen.push(about(&block));
        cursor = block.id;
    }
    seen.sort();
    let mut all = topologies.to_vec();
    all.sort();
    assert_eq!(seen, all);
    cursor.expect("a cursor")
}
