//! `GET /v1/users/{id}/notifications/stream`.

use serde_json::json;

use crate::support::{
    App,
    notification::{notify, user_and_agent},
};

#[tokio::test]
async fn snapshot_counts_all_unread_notifications_and_holds_the_newest_fifty() {
    let app = App::start().await;
    let (user, agent, path) = user_and_agent(&app).await;
    for number in 0..60 {
        notify(&agent, &path, number).await;
    }
    let mut reader = user.stream(&format!("{path}/stream?max_events=1"), "").await;
    let snapshot = reader.expect("snapshot").await.data;
    assert_eq!(snapshot["unread"], 60);
    let shown = snapshot["notifications"].as_array().expect("a list");
    let numbers: Vec<_> = shown.iter().map(|one| one["data"]["number"].as_u64()).collect();
    assert_eq!(numbers, (10..60).rev().map(Some).collect::<Vec<_>>());
    reader.expect_end().await;
    // The list contains all of them, page by page.
    let first = user.get(&format!("{path}?limit=50")).await.ok();
    let next = first["next"].as_str().expect("more");
    let second = user.get(&format!("{path}?limit=50&after={next}")).await.ok();
    let oldest = &second["items"].as_array().expect("a list")[9];
    assert_eq!((&oldest["data"]["number"], second.get("next")), (&json!(0), None));
    app.finish().await;
}
