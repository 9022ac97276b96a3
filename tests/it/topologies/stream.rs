//! `GET /v1/topologies/{id}/stream` shows what REST shows to the same role.

use entity::user::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    App, Caller, SseReader, id_of,
    topology::{items, topology_with_status},
};

/// The next event of the stream. It must equal the newest row that REST shows.
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
async fn stream_shows_what_the_same_role_reads_over_rest() {
    let app = App::start().await;
    let (operator, agent) = (app.caller(Role::Operator).await, app.caller(Role::Agent).await);
    let viewer = app.caller(Role::Viewer).await;
    let id = topology_with_status(&operator, "active").await;
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

    // The event pages after the snapshot's cursor show the same.
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
