//! Who works on a prompt: claims, leases, and what becomes of an agent that is late.

use std::collections::BTreeSet;

use entity::{Timestamp, prompt};
use futures_util::future::join_all;
use reqwest::Method;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait, IntoActiveModel, sea_query::Expr};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    prompts::create::{
        Asked, ask, claim, event, events, kinds, message, publish, stage, status, watch,
    },
    support::app::{Answer, App, Caller, id_of, soon, until},
    waiting_claims::WAITING,
};

/// Lets a prompt's lease run out, as time would.
async fn expire(app: &App, id: Uuid) {
    let writer = app.gateway.database.writer();
    let row = prompt::Entity::find_by_id(id).one(writer).await.expect("a row").expect("it");
    let mut change = row.into_active_model();
    change.lease_expires_at = Set(Some(Timestamp(Timestamp::now().0 - 1)));
    change.update(writer).await.expect("an update");
}

/// Claims with this body; nothing if there is nothing to do.
async fn claim_with(agent: &Caller, body: Value) -> Vec<Value> {
    let answer = agent.post("/v1/prompts/claim", body).await;
    answer.ok().as_array().cloned().expect("a list")
}

async fn give_back(agent: &Caller, path: &str, claimed: &Value) -> Answer {
    let lease = json!({ "lease_token": claimed["lease_token"] });
    agent.post(&format!("{path}/release"), lease).await
}

#[tokio::test]
async fn the_oldest_are_claimed_first_and_each_by_one_agent_only() {
    let app = App::start().await;
    let (owner, agent) = stage(&app).await;
    let mut asked = Vec::new();
    for _ in 0..20 {
        asked.push(ask(&owner).await);
    }
    let first = claim_with(&agent, json!({ "max": 2, "lease_seconds": 3600 })).await;
    let ids: Vec<Uuid> = first.iter().map(|claimed| id_of(&claimed["prompt"])).collect();
    assert_eq!(ids, [asked[0].id, asked[1].id]);
    assert_ne!(first[0]["lease_token"], first[1]["lease_token"]);
    assert_eq!(first[0]["prompt"], owner.get(&asked[0].path).await.ok());
    assert_eq!((&first[0]["attempt"], &first[0]["prompt"]["prompt"]), (&json!(1), &json!("why?")));
    let claims = (0..12).map(|_| claim_with(&agent, json!({ "max": 2 })));
    let claimed: Vec<Value> = join_all(claims).await.concat();
    let ids: BTreeSet<Uuid> = claimed.iter().map(|claimed| id_of(&claimed["prompt"])).collect();
    assert_eq!((claimed.len(), ids.len()), (18, 18), "some twice, or not at all");
    for body in [json!({ "max": 0 }), json!({ "lease_seconds": 3601 }), json!({ "skill": "x" })] {
        agent.post("/v1/prompts/claim", body).await.problem(400);
    }
    app.finish().await;
}

#[tokio::test]
async fn who_waits_for_work_is_given_what_is_asked_and_what_is_given_back() {
    let app = App::start().await;
    let (owner, agent) = stage(&app).await;
    let wait = || {
        let agent = agent.clone();
        tokio::spawn(async move { claim_with(&agent, json!({ "wait_seconds": 60 })).await })
    };
    let waiting = wait();
    until("claim that waits", async || app.metric(WAITING) > 0.0).await;
    let asked = ask(&owner).await;
    let claimed = soon("work", waiting).await.expect("no panic").remove(0);
    assert_eq!(id_of(&claimed["prompt"]), asked.id);
    let waiting = wait();
    until("claim that waits", async || app.metric(WAITING) > 0.0).await;
    let queued = give_back(&agent, &asked.path, &claimed).await.ok();
    assert_eq!((&queued["status"], &queued["attempt"]), (&json!("queued"), &json!(1)));
    let again = soon("work", waiting).await.expect("no panic").remove(0);
    assert_eq!((id_of(&again["prompt"]), &again["attempt"]), (asked.id, &json!(2)));
    // Of whom it has been taken nothing is taken.
    publish(&agent, &asked.path, &claimed, message(1)).await.problem(409);
    give_back(&agent, &asked.path, &claimed).await.problem(409);
    publish(&agent, &asked.path, &again, message(1)).await.ok();
    let told = events(&owner, &asked.path).await;
    assert_eq!(kinds(&told), ["status", "status", "status", "message"]);
    let changes: Vec<Value> = told.iter().take(3).map(|event| event["data"].clone()).collect();
    for (change, (status, attempt)) in
        changes.iter().zip([("processing", 1), ("queued", 1), ("processing", 2)])
    {
        assert_eq!((&change["status"], &change["attempt"]), (&json!(status), &json!(attempt)));
        assert!(change["at"].is_string());
    }
    app.finish().await;
}

#[tokio::test]
async fn only_the_newest_claim_may_publish_and_nobody_without_one() {
    let app = App::start().await;
    let (owner, agent) = stage(&app).await;
    let asked = ask(&owner).await;
    let stranger = json!({ "lease_token": Uuid::new_v4() });
    publish(&agent, &asked.path, &stranger, message(0)).await.problem(409);
    let claimed = claim(&agent).await;
    for body in [message(1), json!([message(1), event("complete")]), event("error")] {
        publish(&agent, &asked.path, &stranger, body.clone()).await.problem(409);
        publish(&agent, &asked.path, &Value::Null, body).await.problem(409);
    }
    publish(&agent, &asked.path, &json!({ "lease_token": "x" }), message(1)).await.problem(400);
    publish(&agent, &asked.path, &claimed, message(1)).await.ok();
    // What has been said cannot be taken back.
    give_back(&agent, &asked.path, &claimed).await.problem(409);
    publish(&agent, &asked.path, &claimed, event("complete")).await.ok();
    let detail = publish(&agent, &asked.path, &claimed, message(2)).await.problem(409);
    assert!(detail.contains("ended"), "{detail}");
    assert_eq!(kinds(&events(&owner, &asked.path).await), ["status", "message", "complete"]);
    app.finish().await;
}

#[tokio::test]
async fn a_lease_that_runs_out_queues_what_is_not_begun_and_fails_what_is() {
    let app = App::with(|config| config.streams.heartbeat_seconds = 1).await;
    let (owner, agent) = stage(&app).await;
    let (silent, begun, ended) = (ask(&owner).await, ask(&owner).await, ask(&owner).await);
    let claimed = [claim(&agent).await, claim(&agent).await, claim(&agent).await];
    let mut reader = watch(&owner, &begun.path, "").await;
    reader.expect("snapshot").await;
    publish(&agent, &begun.path, &claimed[1], message(1)).await.ok();
    publish(&agent, &ended.path, &claimed[2], event("complete")).await.ok();
    reader.expect("message").await;
    for (asked, claimed) in [(&silent, &claimed[0]), (&begun, &claimed[1])] {
        expire(&app, asked.id).await;
        // Even before it is seen to.
        publish(&agent, &asked.path, claimed, message(2)).await.problem(409);
    }
    let error = reader.expect("error").await;
    assert!(error.id.is_some() && error.data["message"].is_string(), "{}", error.text);
    reader.expect("stream.closed").await;
    reader.expect_end().await;
    until("queued", async || status(&owner, &silent.path).await == "queued").await;
    assert_eq!(status(&owner, &begun.path).await, "failed");
    assert_eq!(status(&owner, &ended.path).await, "completed");
    publish(&agent, &silent.path, &claimed[0], message(2)).await.problem(409);
    let again = claim(&agent).await;
    assert_eq!((id_of(&again["prompt"]), &again["attempt"]), (silent.id, &json!(2)));
    publish(&agent, &silent.path, &claimed[0], message(2)).await.problem(409);
    publish(&agent, &silent.path, &again, event("complete")).await.ok();
    app.finish().await;
}

#[tokio::test]
async fn leases_run_out_by_themselves_unless_they_are_kept() {
    // Without the help of the heartbeat.
    let app = App::with(|config| config.streams.heartbeat_seconds = 60).await;
    let (owner, agent) = stage(&app).await;
    let (lost, kept, talked) = (ask(&owner).await, ask(&owner).await, ask(&owner).await);
    // Not the shortest first.
    let mut claimed = Vec::new();
    for seconds in [4, 3, 3] {
        claimed.extend(claim_with(&agent, json!({ "lease_seconds": seconds })).await);
    }
    let mut reader = watch(&owner, &lost.path, "").await;
    reader.expect("snapshot").await;
    // Two agents that are busy until the third has lost its prompt.
    let keep = async {
        loop {
            let lease = json!({ "lease_token": claimed[1]["lease_token"] });
            let kept = agent.post(&format!("{}/heartbeat", kept.path), lease).await.ok();
            assert!(kept["lease_expires_at"].as_str() > claimed[1]["lease_expires_at"].as_str());
            publish(&agent, &talked.path, &claimed[2], message(1)).await.ok();
        }
    };
    tokio::select! {
        () = keep => {}
        change = reader.expect("status") => assert_eq!(change.data["status"], "queued"),
    }
    for (asked, claimed) in [(&kept, &claimed[1]), (&talked, &claimed[2])] {
        publish(&agent, &asked.path, claimed, event("complete")).await.ok();
    }
    drop(reader);
    app.finish().await;
}

#[tokio::test]
async fn a_prompt_that_is_cancelled_while_it_is_claimed_is_over_for_its_agent() {
    let app = App::start().await;
    let (owner, agent) = stage(&app).await;
    let asked = ask(&owner).await;
    let claimed = claim(&agent).await;
    let mut reader = watch(&owner, &asked.path, "").await;
    reader.expect("snapshot").await;
    let cancel = format!("{}/cancel", asked.path);
    agent.call(Method::POST, &cancel, None).await.problem(404);
    let first = owner.call(Method::POST, &cancel, None).await.ok();
    assert_eq!(first["status"], "cancelled");
    assert_eq!(owner.call(Method::POST, &cancel, None).await.ok(), first);
    for kind in ["message", "complete", "cancelled"] {
        publish(&agent, &asked.path, &claimed, event(kind)).await.problem(409);
    }
    let lease = json!({ "lease_token": claimed["lease_token"] });
    for what in ["heartbeat", "release"] {
        agent.post(&format!("{}/{what}", asked.path), lease.clone()).await.problem(409);
    }
    reader.expect("cancelled").await;
    assert_eq!(reader.expect("stream.closed").await.data["reason"], "completed");
    reader.expect_end().await;
    assert_eq!(kinds(&events(&owner, &asked.path).await), ["status", "cancelled"]);
    app.finish().await;
}

#[tokio::test]
async fn what_is_answered_without_a_claim_fails_when_nothing_is_heard_of_it_for_long() {
    let app = App::with(|config| {
        config.prompts.idle_seconds = 1;
        config.retention.sweep_seconds = 1;
    })
    .await;
    let (owner, agent) = stage(&app).await;
    let claimed = ask(&owner).await;
    claim(&agent).await;
    let (queued, silent) = (ask(&owner).await, ask(&owner).await);
    let mut reader = watch(&owner, &silent.path, "").await;
    reader.expect("snapshot").await;
    publish(&agent, &silent.path, &Value::Null, message(1)).await.ok();
    assert_eq!(status(&owner, &silent.path).await, "processing");
    reader.expect("message").await;
    let error = reader.expect("error").await;
    let message_of = error.data["message"].as_str().expect("a message");
    assert!(message_of.contains("not heard of again"), "{message_of}");
    reader.expect("stream.closed").await;
    reader.expect_end().await;
    assert_eq!(status(&owner, &silent.path).await, "failed");
    publish(&agent, &silent.path, &Value::Null, message(2)).await.problem(409);
    // Those wait, or have a lease that tells.
    assert_eq!(status(&owner, &queued.path).await, "queued");
    assert_eq!(status(&owner, &claimed.path).await, "processing");
    app.finish().await;
}

#[tokio::test]
async fn what_is_heard_of_while_others_are_given_up_is_not() {
    let app = App::with(|config| config.retention.sweep_seconds = 1).await;
    let (owner, agent) = stage(&app).await;
    let mut asked = Vec::new();
    for _ in 0..60 {
        asked.push(ask(&owner).await);
    }
    for asked in &asked {
        publish(&agent, &asked.path, &Value::Null, message(1)).await.ok();
    }
    let writer = app.gateway.database.writer();
    let long_ago = entity::event::Entity::update_many()
        .col_expr(entity::event::Column::At, Expr::value(Timestamp(0)));
    long_ago.exec(writer).await.expect("an update");
    let begun = prompt::Entity::update_many()
        .col_expr(prompt::Column::UpdatedAt, Expr::value(Timestamp(0)));
    begun.exec(writer).await.expect("an update");
    let [first, .., before_last, last] = asked.as_slice() else { panic!("no prompts") };
    let is_failed = async |asked: &Asked| status(&owner, &asked.path).await == "failed";
    until("end of the first", async || is_failed(first).await).await;
    publish(&agent, &last.path, &Value::Null, message(2)).await.ok();
    assert!(!is_failed(before_last).await, "it was heard of too late to show anything");
    until("end of the one before the last", async || is_failed(before_last).await).await;
    // Done after whatever the gateway did to the last one, which came next.
    publish(&agent, &last.path, &Value::Null, event("complete")).await.ok();
    assert_eq!(status(&owner, &last.path).await, "completed");
    app.finish().await;
}
