//! `GET /v1/topologies/{id}/events`.

use entity::user::Role;
use streamgate::event::Cursor;

use crate::support::{App, events::prune, topology::topology_with_status};

#[tokio::test]
async fn unusable_cursor_of_event_page_is_410_and_garbage_400() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let id = topology_with_status(&operator, "active").await;
    let path = format!("/v1/topologies/{id}/events");
    for number in 0..4 {
        operator.mutate(id, number).await.ok();
    }
    let page = operator.get(&path).await.ok();
    let events = page["events"].as_array().expect("events");
    assert_eq!(events.len(), 6);
    let cursor = |index: usize| -> Cursor {
        events[index]["id"].as_str().and_then(|id| id.parse().ok()).expect("a cursor")
    };
    prune(&app, 2).await;
    let (third, fourth, last) = (cursor(2), cursor(3), cursor(5));
    let foreign = Cursor { epoch: last.epoch ^ 1, ..last };
    let ahead = Cursor { seq: last.seq + 1, ..last };
    let another = Cursor { nonce: last.nonce ^ 1, ..last };
    for gone in [cursor(0), third, foreign, ahead, another] {
        operator.get(&format!("{path}?after={gone}")).await.problem(410);
    }
    let rest = operator.get(&format!("{path}?after={fourth}")).await.ok();
    assert_eq!(rest["events"].as_array().map(Vec::as_slice), Some(&events[4..]));
    for path in [path.clone(), format!("{path}?after=")] {
        assert_eq!(operator.get(&path).await.ok(), rest, "without a cursor: all kept events");
    }
    for garbage in ["x", "1", "1-1", "1-1-", "-1-1", "1-1-1-1", "1-%0A1-1", "%F0%9F%A6%80-1-1"] {
        operator.get(&format!("{path}?after={garbage}")).await.problem(400);
    }
    app.finish().await;
}
