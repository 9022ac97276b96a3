//! Topologies: their names, their life, its audit trail, and that stream, event page and REST tell
//! the same story.

use entity::user::Role;
use serde_json::{Value, json};
use streamgate::{
    event::{Cursor, Family},
    event_log::Retention,
};
use uuid::Uuid;

use crate::support::{
    app::{App, Caller, id_of},
    sse::SseReader,
};

/// Where a topology may go from where, as the customer's mission has it.
pub const LIFE: [(&str, &[&str]); 7] = [
    ("pending", &["deploying", "torn_down"]),
    ("deploying", &["active", "failed", "degraded", "tearing_down"]),
    ("active", &["degraded", "tearing_down"]),
    ("degraded", &["active", "tearing_down"]),
    ("failed", &["tearing_down"]),
    ("tearing_down", &["torn_down", "degraded"]),
    ("torn_down", &[]),
];

/// A new topology, led to this status.
pub async fn topology_that_is(operator: &Caller, status: &str) -> Uuid {
    let way: &[&str] = match status {
        "pending" => &[],
        "deploying" => &["deploying"],
        "active" => &["deploying", "active"],
        "degraded" => &["deploying", "degraded"],
        "failed" => &["deploying", "failed"],
        "tearing_down" => &["deploying", "tearing_down"],
        "torn_down" => &["torn_down"],
        _ => panic!("{status}"),
    };
    let new = json!({ "name": format!("t-{}", Uuid::new_v4()) });
    let id = id_of(&operator.post("/v1/topologies", new).await.ok());
    for step in way {
        operator.set_status(id, step).await.ok();
    }
    id
}

/// Everything that REST shows of a topology.
pub async fn shown(caller: &Caller, id: Uuid) -> Vec<Value> {
    let mut shown = Vec::new();
    for part in ["", "/transitions", "/mutations?limit=200", "/events?limit=200"] {
        shown.push(caller.get(&format!("/v1/topologies/{id}{part}")).await.ok());
    }
    shown
}

/// The objects of a page.
#[track_caller]
fn items(page: &Value) -> &[Value] {
    page["items"].as_array().unwrap_or_else(|| panic!("no page: {page}"))
}

/// All objects of a list, page by page.
async fn walk(caller: &Caller, path: &str, query: &str, limit: usize) -> Vec<Value> {
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let page = caller.get(&format!("{path}?limit={limit}{query}{after}")).await.ok();
        all.extend_from_slice(items(&page));
        let Some(next) = page.get("next") else {
            return all;
        };
        assert_eq!(items(&page).len(), limit, "only the last page may be short");
        let next = format!("&after={}", next.as_str().expect("an id"));
        assert_ne!(next, after, "a page that leads to itself");
        after = next;
    }
}

#[tokio::test]
async fn every_legal_change_of_status_is_done_and_told_alike_by_stream_audit_trail_and_event_page()
{
    let app = App::with(|config| config.limits.streams_per_user = 100).await;
    let operator = app.caller(Role::Operator).await;
    let me = operator.get("/v1/auth/me").await.ok();
    for (from, targets) in LIFE {
        for to in targets {
            let id = topology_that_is(&operator, from).await;
            let path = format!("/v1/topologies/{id}");
            let before = operator.get(&path).await.ok();
            let mut reader = operator.watch(id, "").await;
            reader.expect("snapshot").await;
            let reason = format!("{from} is over");
            let change = json!({ "status": to, "reason": reason });
            let after = operator.post(&format!("{path}/status"), change).await.ok();
            assert_eq!(after["status"], *to, "from {from}");
            assert_eq!(after["version"], before["version"].as_i64().expect("a version") + 1);
            assert_eq!(operator.get(&path).await.ok(), after);

            let event = reader.expect("status").await;
            let trail = operator.get(&format!("{path}/transitions")).await.ok();
            let row = items(&trail).last().expect("a row");
            let at = after["status_changed_at"].clone();
            let told = json!({
                "topology_id": id, "from": from, "to": to, "at": at, "reason": reason,
                "user_id": me["id"],
            });
            assert_eq!(*row, told);
            assert_eq!(event.data, told);
            let page = operator.get(&format!("{path}/events")).await.ok();
            let logged = page["events"].as_array().and_then(|events| events.last().cloned());
            let logged = logged.expect("an event");
            assert_eq!((&logged["kind"], &logged["data"]), (&json!("status"), &told));
            assert_eq!(logged["id"].as_str(), event.id.as_deref());
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn every_illegal_change_of_status_is_a_conflict_and_changes_nothing() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let mut refused = 0;
    for (from, targets) in LIFE {
        let id = topology_that_is(&operator, from).await;
        let before = shown(&operator, id).await;
        for to in LIFE.map(|(to, _)| to).into_iter().filter(|to| !targets.contains(to)) {
            let detail = operator.set_status(id, to).await.problem(409);
            assert!(detail.contains(from) && detail.contains(to), "{detail}");
            refused += 1;
        }
        assert_eq!(shown(&operator, id).await, before, "{from}");
    }
    assert_eq!(refused, 49 - 13);
    app.finish().await;
}

#[tokio::test]
async fn of_two_changes_of_status_at_once_only_one_is_legal() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    for _ in 0..5 {
        let id = topology_that_is(&operator, "failed").await;
        let changes = (0..4).map(|_| operator.set_status(id, "tearing_down"));
        let answers = futures_util::future::join_all(changes).await;
        let mut statuses: Vec<u16> = answers.iter().map(|a| a.status.as_u16()).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409, 409, 409]);
        assert_eq!(items(&shown(&operator, id).await[1]).len(), 3);
    }
    app.finish().await;
}

#[tokio::test]
async fn a_name_is_taken_once_and_may_be_anything_that_people_write() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let longest = "ä".repeat(128);
    for name in ["lab-7", "Lab 7: \"quoted\" \\ \u{2028} 実験室", &longest] {
        let new = json!({ "name": name, "mode": "m", "config": { "a b": ["\n", 1.5, null] } });
        let made = operator.post("/v1/topologies", new.clone()).await.ok();
        assert_eq!((&made["name"], &made["config"]), (&new["name"], &new["config"]));
        assert_eq!((&made["status"], &made["version"]), (&json!("pending"), &json!(1)));
        let path = format!("/v1/topologies/{}", id_of(&made));
        assert_eq!(operator.get(&path).await.ok(), made);
        operator.post("/v1/topologies", new).await.problem(409);
    }
    for name in ["", "a\nb", "a\0b", &"a".repeat(129)] {
        operator.post("/v1/topologies", json!({ "name": name })).await.problem(400);
    }
    assert_eq!(items(&operator.get("/v1/topologies").await.ok()).len(), 3);
    app.finish().await;
}

#[tokio::test]
async fn lists_are_whole_in_order_and_cut_into_pages_and_by_status() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let viewer = app.caller(Role::Viewer).await;
    let mut made = Vec::new();
    for status in ["pending", "active", "pending", "degraded", "pending"] {
        let id = topology_that_is(&operator, status).await;
        made.push(operator.get(&format!("/v1/topologies/{id}")).await.ok());
    }
    for limit in [1, 2, 4, 5, 200] {
        assert_eq!(walk(&viewer, "/v1/topologies", "", limit).await, made, "pages of {limit}");
    }
    let pending: Vec<Value> =
        made.iter().filter(|topology| topology["status"] == "pending").cloned().collect();
    assert_eq!(walk(&viewer, "/v1/topologies", "&status=pending", 2).await, pending);
    assert_eq!(walk(&viewer, "/v1/topologies", "&status=failed", 2).await, [Value::Null; 0]);

    let path = format!("/v1/topologies/{}/transitions", id_of(&made[1]));
    let whole = walk(&viewer, &path, "", 200).await;
    assert_eq!(whole.len(), 2);
    assert_eq!(walk(&viewer, &path, "", 1).await, whole);
    for query in ["limit=0", "limit=201", "limit=x", "after=1", "status=broken", "status="] {
        viewer.get(&format!("/v1/topologies?{query}")).await.problem(400);
    }
    app.finish().await;
}

/// The next event of the stream, which must be the newest thing that REST shows of its kind.
async fn told_like_rest(reader: &mut SseReader, caller: &Caller, id: Uuid, kind: &str) -> Told {
    let event = reader.expect(kind).await;
    let list = if kind == "status" { "transitions" } else { "mutations" };
    let list = caller.get(&format!("/v1/topologies/{id}/{list}")).await.ok();
    assert_eq!(items(&list).last(), Some(&event.data), "{kind}");
    (event.id.expect("an id"), event.event, event.data)
}

/// Id, kind and data of an event.
type Told = (String, String, Value);

#[tokio::test]
async fn whatever_the_stream_tells_can_be_read_by_the_same_role_as_it_stood_then() {
    let app = App::start().await;
    let (operator, agent) = (app.caller(Role::Operator).await, app.caller(Role::Agent).await);
    let viewer = app.caller(Role::Viewer).await;
    let id = topology_that_is(&operator, "active").await;
    let path = format!("/v1/topologies/{id}");
    let mut reader = viewer.watch(id, "").await;
    let snapshot = reader.expect("snapshot").await;
    assert_eq!(snapshot.data["topology"], viewer.get(&path).await.ok());
    let mut told = Vec::new();
    for (outcome, reason) in [("applied", None), ("failed", Some("no such node"))] {
        operator.mutate(id, 1).await.ok();
        told.push(told_like_rest(&mut reader, &viewer, id, "mutation.enqueued").await);
        let claims = agent.post(&format!("{path}/mutations/claim"), json!({})).await.ok();
        told.push(told_like_rest(&mut reader, &viewer, id, "mutation.applying").await);
        let claimed = &claims[0];
        assert_eq!(claimed["mutation"], told.last().expect("an event").2);
        let report = format!("{path}/mutations/{}/report", id_of(&claimed["mutation"]));
        let how = json!({
            "lease_token": claimed["lease_token"], "state": outcome, "reason": reason,
        });
        let reported = agent.post(&report, how).await.ok();
        told.push(told_like_rest(&mut reader, &viewer, id, &format!("mutation.{outcome}")).await);
        assert_eq!(reported, told.last().expect("an event").2);
        assert_eq!(reported["reason"].as_str(), reason);
        assert_eq!(reported["applied_at"].is_string(), outcome == "applied");
    }
    operator.set_status(id, "degraded").await.ok();
    told.push(told_like_rest(&mut reader, &viewer, id, "status").await);

    // The pages of the log say the same, from the snapshot's cursor on.
    for limit in [1, 3, 200] {
        let mut after = snapshot.id.clone().expect("an id");
        let mut logged = Vec::new();
        loop {
            let page = viewer.get(&format!("{path}/events?limit={limit}&after={after}")).await.ok();
            for event in page["events"].as_array().expect("events") {
                assert_eq!(event["topic"], format!("topology.{id}"));
                let text = |name: &str| event[name].as_str().expect("a text").to_owned();
                logged.push((text("id"), text("kind"), event["data"].clone()));
            }
            after = page["next"].as_str().expect("a cursor").to_owned();
            if page["has_more"] == false {
                break;
            }
        }
        assert_eq!(logged, told, "pages of {limit}");
        assert_eq!(after, told.last().expect("events").0);
        let end = viewer.get(&format!("{path}/events?after={after}")).await.ok();
        assert_eq!(end, json!({ "events": [], "next": after, "has_more": false }));
    }
    drop(reader);
    app.finish().await;
}

#[tokio::test]
async fn a_cursor_of_the_event_page_that_is_pruned_or_foreign_is_gone_and_garbage_is_bad() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let id = topology_that_is(&operator, "active").await;
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
    let kept = Retention { events: 2, seconds: 3_600 };
    app.gateway
        .hub
        .log()
        .prune(Family::Topology, kept, &app.gateway.clock.read())
        .await
        .expect("a pruning");
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
        assert_eq!(operator.get(&path).await.ok(), rest, "without a cursor: what is kept");
    }
    for garbage in ["x", "1", "1-1", "1-1-", "-1-1", "1-1-1-1", "1-%0A1-1", "%F0%9F%A6%80-1-1"] {
        operator.get(&format!("{path}?after={garbage}")).await.problem(400);
    }
    app.finish().await;
}

#[tokio::test]
async fn tearing_down_fails_what_is_in_flight_and_ends_the_streams_for_good() {
    let app = App::start().await;
    let (operator, agent) = (app.caller(Role::Operator).await, app.caller(Role::Agent).await);
    let id = topology_that_is(&operator, "active").await;
    let path = format!("/v1/topologies/{id}");
    let (first, second) = (operator.mutate(id, 1).await.ok(), operator.mutate(id, 2).await.ok());
    let claimed = agent.post(&format!("{path}/mutations/claim"), json!({})).await.ok();
    operator.set_status(id, "tearing_down").await.ok();
    let mut reader = operator.watch(id, "").await;
    let snapshot = reader.expect("snapshot").await;
    assert_eq!(snapshot.data["mutations"][0]["state"], "applying");
    assert_eq!(snapshot.data["mutations"][1], second);

    operator.set_status(id, "torn_down").await.ok();
    for mutation in [&first, &second] {
        let failed = reader.expect("mutation.failed").await;
        assert_eq!(failed.data["id"], mutation["id"]);
        assert_eq!(failed.data["reason"], "the topology was torn down");
    }
    let terminal = reader.expect("status").await;
    assert_eq!(terminal.data["to"], "torn_down");
    let closed = reader.expect("stream.closed").await;
    assert_eq!((closed.data, closed.id), (json!({ "reason": "completed" }), None));
    reader.expect_end().await;

    let report = json!({ "lease_token": claimed[0]["lease_token"], "state": "applied" });
    let report_path = format!("{path}/mutations/{}/report", id_of(&first));
    agent.post(&report_path, report).await.problem(409);
    let list = operator.get(&format!("{path}/mutations?state=failed")).await.ok();
    assert_eq!(items(&list).len(), 2);

    let mut late = operator.watch(id, "").await;
    let state = late.expect("snapshot").await;
    assert_eq!(state.data["topology"], operator.get(&path).await.ok());
    assert_eq!(state.data["mutations"], json!([]));
    assert_eq!(state.id, terminal.id);
    assert_eq!(late.expect("stream.closed").await.data["reason"], "completed");
    late.expect_end().await;

    let mut missed = operator.watch(id, &cursor_query(snapshot.id.as_ref())).await;
    for kind in ["mutation.failed", "mutation.failed", "status", "stream.closed"] {
        missed.expect(kind).await;
    }
    missed.expect_end().await;
    // An `EventSource` that comes back has seen the end: 204 stops it.
    let done = operator.watch(id, &cursor_query(terminal.id.as_ref())).await;
    assert_eq!(done.status(), 204);
    assert_eq!(done.header("content-type"), None);
    app.finish().await;
}

fn cursor_query(id: Option<&String>) -> String {
    format!("last_event_id={}", id.expect("an id"))
}
