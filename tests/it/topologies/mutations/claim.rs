//! Mutations: when they are taken and who holds them.

use std::collections::{BTreeMap, BTreeSet};

use entity::user::Role;
use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    support::app::{Answer, App, Caller, id_of},
    topologies::status::{LIFE, shown, topology_that_is},
};

/// An operator, an agent and the path of a topology's mutations.
pub async fn stage(app: &App, status: &str) -> (Caller, Caller, Uuid, String) {
    let (operator, agent) = (app.caller(Role::Operator).await, app.caller(Role::Agent).await);
    let id = topology_that_is(&operator, status).await;
    (operator, agent, id, format!("/v1/topologies/{id}/mutations"))
}

/// Claims up to `max`; nothing if there is nothing to do.
pub async fn claim(agent: &Caller, path: &str, max: u64) -> Vec<Value> {
    let answer = agent.post(&format!("{path}/claim"), json!({ "max": max })).await;
    let claimed = answer.ok().as_array().cloned().expect("a list");
    assert!(claimed.len() as u64 <= max, "{claimed:?}");
    claimed
}

pub async fn report(agent: &Caller, path: &str, claimed: &Value, state: &str) -> Answer {
    let path = format!("{path}/{}/report", id_of(&claimed["mutation"]));
    agent.post(&path, json!({ "lease_token": claimed["lease_token"], "state": state })).await
}

pub fn numbers(mutations: &[Value]) -> Vec<u64> {
    let number = |mutation: &Value| {
        let mutation = mutation.get("mutation").unwrap_or(mutation);
        mutation["payload"]["number"].as_u64().expect("a number")
    };
    mutations.iter().map(number).collect()
}

#[tokio::test]
async fn a_mutation_is_taken_only_while_the_topology_is_active_or_degraded() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    for (status, _) in LIFE {
        let id = topology_that_is(&operator, status).await;
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
async fn only_who_knows_the_present_version_may_build_on_it() {
    let app = App::start().await;
    let (operator, _, id, path) = stage(&app, "active").await;
    let enqueue = |version: i64| {
        operator.post(&path, json!({ "op": "update_lan", "expected_version": version }))
    };
    for wrong in [2, 4, 0, -1, i64::MAX] {
        let before = shown(&operator, id).await;
        let detail = enqueue(wrong).await.problem(409);
        assert!(detail.contains("version is 3"), "{detail}");
        assert_eq!(shown(&operator, id).await, before);
    }
    // Made 1, deploying 2, active 3; each mutation and each change of status counts one.
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
async fn what_is_not_there_is_not_found_and_what_makes_no_sense_is_refused() {
    let app = App::start().await;
    let (operator, agent, id, path) = stage(&app, "active").await;
    let other = topology_that_is(&operator, "active").await;
    let nowhere = format!("/v1/topologies/{}/mutations", Uuid::now_v7());
    operator.mutate(id, 1).await.ok();
    let claimed = claim(&agent, &path, 1).await.remove(0);
    operator.get(&nowhere).await.problem(404);
    operator.post(&nowhere, json!({ "op": "add_lan" })).await.problem(404);
    agent.post(&format!("{nowhere}/claim"), json!({})).await.problem(404);
    report(&agent, &nowhere, &claimed, "applied").await.problem(404);
    // A mutation of another topology is not there either.
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
async fn every_operation_on_a_topology_is_taken_and_shown_as_it_was_sent() {
    let app = App::start().await;
    let (operator, _, _, path) = stage(&app, "active").await;
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

/// PostgreSQL has no NUL in its texts, not even in those inside JSON.
#[tokio::test]
async fn a_nul_in_a_payload_or_a_config_is_kept_or_refused_but_never_a_fault() {
    let app = App::start().await;
    let (operator, _, _, path) = stage(&app, "active").await;
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
async fn mutations_are_claimed_oldest_first_and_listed_by_state() {
    let app = App::start().await;
    let (operator, agent, id, path) = stage(&app, "active").await;
    assert!(claim(&agent, &path, 50).await.is_empty());
    for number in 0..6 {
        operator.mutate(id, number).await.ok();
    }
    let first = claim(&agent, &path, 1).await;
    assert_eq!(numbers(&first), [0]);
    let next = claim(&agent, &path, 3).await;
    assert_eq!(numbers(&next), [1, 2, 3]);
    for claimed in &next {
        assert_eq!(
            (&claimed["attempt"], &claimed["mutation"]["state"]),
            (&json!(1), &json!("applying"))
        );
        assert_ne!(claimed["lease_token"], first[0]["lease_token"]);
    }
    report(&agent, &path, &next[1], "applied").await.ok();
    report(&agent, &path, &next[2], "failed").await.ok();
    for (state, expected) in [
        ("pending", vec![4, 5]),
        ("applying", vec![0, 1]),
        ("applied", vec![2]),
        ("failed", vec![3]),
    ] {
        let list = operator.get(&format!("{path}?state={state}")).await.ok();
        assert_eq!(numbers(list["items"].as_array().expect("items")), expected, "{state}");
    }
    let page = operator.get(&format!("{path}?limit=4")).await.ok();
    assert_eq!(numbers(page["items"].as_array().expect("items")), [0, 1, 2, 3]);
    let after = page["next"].as_str().expect("more");
    let rest = operator.get(&format!("{path}?limit=4&after={after}")).await.ok();
    assert_eq!(numbers(rest["items"].as_array().expect("items")), [4, 5]);
    assert_eq!(rest.get("next"), None);
    operator.get(&format!("{path}?state=done")).await.problem(400);

    // On its way down a topology hands out nothing, but takes reports of what is being done.
    operator.set_status(id, "tearing_down").await.ok();
    assert!(claim(&agent, &path, 50).await.is_empty());
    report(&agent, &path, &first[0], "applied").await.ok();
    operator.set_status(id, "degraded").await.ok();
    assert_eq!(numbers(&claim(&agent, &path, 50).await), [4, 5]);
    app.finish().await;
}

#[tokio::test]
async fn workers_that_claim_at_the_same_time_never_hold_the_same_mutation() {
    let app = App::start().await;
    let (operator, agent, id, path) = stage(&app, "active").await;
    for number in 0..30 {
        operator.mutate(id, number).await.ok();
    }
    let claims = join_all((0..20).map(|worker| claim(&agent, &path, 1 + worker % 2))).await;
    let claimed: Vec<Value> = claims.iter().flatten().cloned().collect();
    let mut held = numbers(&claimed);
    held.sort_unstable();
    assert_eq!(held, (0..30).collect::<Vec<_>>(), "10 claims of 1 and 10 of 2: each once");
    assert!(claim(&agent, &path, 50).await.is_empty());
    let tokens: BTreeMap<&str, usize> =
        claims.iter().enumerate().fold(BTreeMap::new(), |mut tokens, (worker, claims)| {
            for claimed in claims {
                let token = claimed["lease_token"].as_str().expect("a token");
                assert_eq!(*tokens.entry(token).or_insert(worker), worker, "a token of two");
            }
            tokens
        });
    assert_eq!(tokens.len(), 20);
    let ends = join_all(claimed.iter().map(|claimed| report(&agent, &path, claimed, "applied")));
    assert!(ends.await.iter().all(|answer| answer.status == 200));
    let page = operator.get(&format!("/v1/topologies/{id}/events?limit=200")).await.ok();
    let applied = page["events"].as_array().expect("events").iter();
    let applied: Vec<_> = applied.filter(|event| event["kind"] == "mutation.applied").collect();
    let ids: BTreeSet<_> = applied.iter().map(|event| id_of(&event["data"])).collect();
    assert_eq!((applied.len(), ids.len()), (30, 30));
    app.finish().await;
}

#[tokio::test]
async fn the_same_report_twice_is_one_and_another_outcome_or_token_is_refused() {
    let app = App::start().await;
    let (operator, agent, id, path) = stage(&app, "active").await;
    for (state, other) in [("applied", "failed"), ("failed", "applied")] {
        operator.mutate(id, 1).await.ok();
        let claimed = claim(&agent, &path, 1).await.remove(0);
        let mut foreign = claimed.clone();
        foreign["lease_token"] = json!(Uuid::new_v4());
        report(&agent, &path, &foreign, state).await.problem(409);
        let first = report(&agent, &path, &claimed, state).await.ok();
        assert_eq!(first["state"], state);
        let before = shown(&operator, id).await;
        assert_eq!(report(&agent, &path, &claimed, state).await.ok(), first);
        report(&agent, &path, &claimed, other).await.problem(409);
        report(&agent, &path, &foreign, state).await.problem(409);
        assert_eq!(shown(&operator, id).await, before, "no event, no change");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_payload_has_16_384_bytes_at_most_as_json() {
    let app = App::start().await;
    let (operator, _, id, path) = stage(&app, "active").await;
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
async fn two_hundred_mutations_may_wait_and_all_are_in_the_snapshot() {
    let app = App::start().await;
    let (operator, agent, id, path) = stage(&app, "active").await;
    for start in [0, 100] {
        let enqueued = join_all((start..start + 100).map(|number| operator.mutate(id, number)));
        assert!(enqueued.await.iter().all(|answer| answer.status == 202));
    }
    let before = shown(&operator, id).await;
    let detail = operator.mutate(id, 200).await.problem(409);
    assert!(detail.contains("200"), "{detail}");
    assert_eq!(shown(&operator, id).await, before);
    // What is being applied counts as well.
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
