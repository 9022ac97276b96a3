//! `POST /v1/topologies/{id}/mutations`.

use entity::user::Role;
use futures_util::future::join_all;
use serde_json::json;
use uuid::Uuid;

use crate::support::{
    App,
    mutation::{claim, report, topology_with_workers},
    topology::{LIFE, shown, topology_with_status},
};

#[tokio::test]
async fn mutation_is_accepted_only_in_status_active_or_degraded() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    for (status, _) in LIFE {
        let id = topology_with_status(&operator, status).await;
        let before = shown(&operator, id).await;
        let answer = operator.mutate(id, 1).await;
        if ["active", "degraded"].contains(&status) {
            assert_eq!(answer.status, 202, "{status}");
            let [topology, _, mutations, _] = shown(&operator, id).await.try_into().expect("four");
            assert_eq!(mutations["items"], json!([answer.body]));
            let version = before[0]["version"].as_i64().expect("a version");
            assert_eq!(topology["version"], version + 1);
        } else {
            answer.problem(409);
            assert_eq!(shown(&operator, id).await, before, "{status}");
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn mutation_with_an_outdated_expected_version_is_a_conflict() {
    let app = App::start().await;
    let (operator, _, id, path) = topology_with_workers(&app, "active").await;
    let enqueue = |version: i64| {
        operator.post(&path, json!({ "op": "update_lan", "expected_version": version }))
    };
    for wrong in [2, 4, 0, -1, i64::MAX] {
        let before = shown(&operator, id).await;
        let detail = enqueue(wrong).await.problem(409);
        assert!(detail.contains("version is 3"), "{detail}");
        assert_eq!(shown(&operator, id).await, before);
    }
    // The version is 1 after the creation, 2 in `deploying` and 3 in `active`. Each mutation and
    // each transition adds one.
    assert_eq!(enqueue(3).await.status, 202);
    enqueue(3).await.problem(409);
    operator.mutate(id, 1).await.ok();
    operator.set_status(id, "degraded").await.ok();
    assert_eq!(enqueue(6).await.status, 202);

    let mut statuses: Vec<u16> =
        join_all((0..8).map(|_| enqueue(7))).await.iter().map(|a| a.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [202, 409, 409, 409, 409, 409, 409, 409], "one of eight at once");
    app.finish().await;
}

#[tokio::test]
async fn unknown_topology_is_404_and_an_invalid_mutation_400() {
    let app = App::start().await;
    let (operator, agent, id, path) = topology_with_workers(&app, "active").await;
    let other = topology_with_status(&operator, "active").await;
    let unknown = format!("/v1/topologies/{}/mutations", Uuid::now_v7());
    operator.mutate(id, 1).await.ok();
    let claimed = claim(&agent, &path, 1).await.remove(0);
    operator.get(&unknown).await.problem(404);
    operator.post(&unknown, json!({ "op": "add_lan" })).await.problem(404);
    agent.post(&format!("{unknown}/claim"), json!({})).await.problem(404);
    report(&agent, &unknown, &claimed, "applied").await.problem(404);
    // A mutation of another topology is not found either.
    let elsewhere = format!("/v1/topologies/{other}/mutations");
    report(&agent, &elsewhere, &claimed, "applied").await.problem(404);
    for body in [
        json!({ "op": "explode" }),
        json!({}),
        json!({ "op": "add_lan", "payload": [] }),
        json!({ "op": "add_lan", "expected_version": "3" }),
    ] {
        operator.post(&path, body).await.problem(400);
    }
    for body in [
        json!({ "max": 0 }),
        json!({ "max": 51 }),
        json!({ "lease_seconds": 0 }),
        json!({ "lease_seconds": 3_601 }),
    ] {
        agent.post(&format!("{path}/claim"), body).await.problem(400);
    }
    for state in ["pending", "applying", ""] {
        report(&agent, &path, &claimed, state).await.problem(400);
    }
    report(&agent, &path, &claimed, "applied").await.ok();
    app.finish().await;
}

#[tokio::test]
async fn every_mutation_op_is_stored_and_shown_as_sent() {
    let app = App::start().await;
    let (operator, _, _, path) = topology_with_workers(&app, "active").await;
    for op in [
        "add_lan",
        "remove_lan",
        "add_node",
        "attach_node",
        "detach_node",
        "remove_node",
        "update_node",
        "update_lan",
    ] {
        let numbers = json!([u64::MAX, i64::MIN, -0.0, 1.5, 1e308, 5e-324]);
        let payload = json!({ "z": numbers, "a": { "deep": [true, null, "\n\u{2028}\u{1f980}"] } });
        let new = json!({ "op": op, "payload": payload });
        let made = operator.post(&path, new).await.ok();
        assert_eq!((&made["op"], &made["payload"]), (&json!(op), &payload));
        assert_eq!((&made["state"], &made["attempt"]), (&json!("pending"), &json!(0)));
        let list = operator.get(&path).await.ok();
        assert_eq!(list["items"].as_array().and_then(|items| items.last()), Some(&made));
    }
    app.finish().await;
}

/// PostgreSQL accepts no NUL in texts, not even inside JSON.
#[tokio::test]
async fn nul_in_a_payload_never_causes_an_internal_fault() {
    let app = App::start().await;
    let (operator, _, _, path) = topology_with_workers(&app, "active").await;
    for object in [json!({ "a": "\0" }), json!({ "\0": 1 }), json!({ "a": [{ "b": "c\0" }] })] {
        let mutation = operator.post(&path, json!({ "op": "add_lan", "payload": object })).await;
        let new = json!({ "name": Uuid::new_v4(), "config": object });
        let topology = operator.post("/v1/topologies", new).await;
        for (answer, member) in [(mutation, "payload"), (topology, "config")] {
            if answer.status == 400 {
                answer.problem(400);
            } else {
                assert_eq!(answer.ok()[member], object);
            }
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn payload_has_at_most_16_384_bytes_as_json() {
    let app = App::start().await;
    let (operator, _, id, path) = topology_with_workers(&app, "active").await;
    // `{"a":""}` is 8 bytes; each letter here takes two.
    let of = |bytes: usize| {
        let text = format!("{}{}", "ä".repeat((bytes - 8) / 2), "x".repeat(bytes % 2));
        json!({ "op": "add_lan", "payload": { "a": text } })
    };
    assert_eq!(of(16_384)["payload"].to_string().len(), 16_384);
    let before = shown(&operator, id).await;
    let detail = operator.post(&path, of(65_537)).await.problem(400);
    assert!(detail.contains("16384"), "{detail}");
    assert_eq!(shown(&operator, id).await, before);
    let mut reader = operator.watch(id, "").await;
    reader.expect("snapshot").await;
    let made = operator.post(&path, of(16_384)).await.ok();
    assert_eq!(reader.expect("mutation.enqueued").await.data, made);
    drop(reader);
    app.finish().await;
}

#[tokio::test]
async fn topology_and_its_snapshot_hold_at_most_200_mutations() {
    let app = App::start().await;
    let (operator, agent, id, path) = topology_with_workers(&app, "active").await;
    for start in [0, 100] {
        let enqueued = join_all((start..start + 100).map(|number| operator.mutate(id, number)));
        assert!(enqueued.await.iter().all(|answer| answer.status == 202));
    }
    let before = shown(&operator, id).await;
    let detail = operator.mutate(id, 200).await.problem(409);
    assert!(detail.contains("200"), "{detail}");
    assert_eq!(shown(&operator, id).await, before);
    // A mutation that is being applied counts as well.
    let claimed = claim(&agent, &path, 2).await;
    operator.mutate(id, 200).await.problem(409);
    let snapshot = operator.watch(id, "").await.expect("snapshot").await;
    assert_eq!(snapshot.data["mutations"].as_array().map(Vec::len), Some(200));
    report(&agent, &path, &claimed[0], "applied").await.ok();
    assert_eq!(operator.mutate(id, 200).await.status, 202);
    report(&agent, &path, &claimed[1], "failed").await.ok();
    assert_eq!(operator.mutate(id, 201).await.status, 202);
    operator.mutate(id, 202).await.problem(409);
    app.finish().await;
}
