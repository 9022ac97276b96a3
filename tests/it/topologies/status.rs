//! `POST /v1/topologies/{id}/status`: every transition, legal or not.

use entity::user::Role;
use serde_json::json;

use crate::support::{
    App, id_of,
    topology::{LIFE, items, shown, topology_with_status},
};

#[tokio::test]
async fn transition_is_the_same_in_stream_audit_trail_and_events() {
    let app = App::with(|config| config.limits.streams_per_user = 100).await;
    let operator = app.caller(Role::Operator).await;
    let me = operator.me().await;
    for (from, targets) in LIFE {
        for to in targets {
            let id = topology_with_status(&operator, from).await;
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
async fn change_whose_event_cannot_be_written_is_not_made() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let id = topology_with_status(&operator, "active").await;
    let before = shown(&operator, id).await;

    app.rename_table("event", "hidden_event").await;
    operator.set_status(id, "degraded").await.problem(500);
    app.rename_table("hidden_event", "event").await;
    assert_eq!(shown(&operator, id).await, before);

    operator.set_status(id, "degraded").await.ok();
    assert_ne!(shown(&operator, id).await, before);
    app.finish().await;
}

#[tokio::test]
async fn illegal_transition_is_a_conflict_that_changes_nothing() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let mut refused = 0;
    for (from, targets) in LIFE {
        let id = topology_with_status(&operator, from).await;
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
async fn only_one_of_concurrent_equal_transitions_succeeds() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    for _ in 0..5 {
        let id = topology_with_status(&operator, "failed").await;
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
async fn tearing_down_fails_open_mutations_and_ends_the_streams() {
    let app = App::start().await;
    let (operator, agent) = (app.caller(Role::Operator).await, app.caller(Role::Agent).await);
    let id = topology_with_status(&operator, "active").await;
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
    // An `EventSource` that reconnects after the terminal event gets 204, which stops it.
    let done = operator.watch(id, &cursor_query(terminal.id.as_ref())).await;
    assert_eq!(done.status(), 204);
    assert_eq!(done.header("content-type"), None);
    app.finish().await;
}

fn cursor_query(id: Option<&String>) -> String {
    format!("last_event_id={}", id.expect("an id"))
}
