//! Prompts: their life, who sees them, what who comes late is shown.

use std::time::Duration;

use entity::{prompt, user::Role};
use reqwest::Method;
use sea_orm::{EntityTrait, IntoActiveModel, PaginatorTrait};
use serde_json::{Value, json};
use streamgate::{
    auth::token::Opens,
    event::{Family, Topic},
};
use uuid::Uuid;

use crate::support::{
    app::{Answer, App, Caller, id_of, until},
    sse::SseReader,
};

/// A prompt and where it is.
#[derive(Clone)]
pub struct Asked {
    pub session: Uuid,
    pub id: Uuid,
    pub path: String,
}

/// Somebody who asks, and an agent.
pub async fn stage(app: &App) -> (Caller, Caller) {
    (app.caller(Role::Viewer).await, app.caller(Role::Agent).await)
}

/// A new prompt in a session of its own.
pub async fn ask(owner: &Caller) -> Asked {
    let session = id_of(&owner.post("/v1/sessions", json!({})).await.ok());
    let path = format!("/v1/sessions/{session}/prompts");
    let answer = owner.post(&path, json!({ "prompt": "why?" })).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let id = id_of(&answer.body);
    Asked { session, id, path: format!("{path}/{id}") }
}

/// Claims one.
pub async fn claim(agent: &Caller) -> Value {
    let claimed = agent.post("/v1/prompts/claim", json!({})).await;
    assert_eq!(claimed.status, 200, "{claimed:?}");
    claimed.body[0].clone()
}

/// Publishes JSON, under the lease of a claim if there is one.
pub async fn publish(agent: &Caller, path: &str, claimed: &Value, body: Value) -> Answer {
    let request = agent.request(Method::POST, &format!("{path}/events"));
    let request = match claimed["lease_token"].as_str() {
        Some(token) => request.header("Lease-Token", token),
        None => request,
    };
    Caller::answer(request.json(&body)).await
}

/// A message with a number.
pub fn message(number: u64) -> Value {
    json!({ "kind": "message", "data": { "number": number } })
}

/// An event of this kind.
pub fn event(kind: &str) -> Value {
    json!({ "kind": kind, "data": {} })
}

pub async fn status(owner: &Caller, path: &str) -> Value {
    owner.get(path).await.ok()["status"].clone()
}

/// All events that the pages have.
pub async fn events(owner: &Caller, path: &str) -> Vec<Value> {
    let mut events = Vec::new();
    let mut after = String::new();
    loop {
        let page = format!("{path}/events?limit=200&after={after}");
        let page = owner.get(&page).await.ok();
        events.extend(page["events"].as_array().cloned().expect("events"));
        page["next"].as_str().expect("a cursor").clone_into(&mut after);
        if page["has_more"] == false {
            return events;
        }
    }
}

pub fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["kind"].as_str().expect("a kind")).collect()
}

pub async fn watch(caller: &Caller, path: &str, query: &str) -> SseReader {
    caller.stream(&format!("{path}/stream?{query}"), "").await
}

/// A prompt that has come so far, and the claim, if it is under one.
async fn asked_that_is(owner: &Caller, agent: &Caller, stage: &str) -> (Asked, Value) {
    let asked = ask(owner).await;
    let claimed = match stage {
        "queued" => return (asked, Value::Null),
        "open" => Value::Null,
        _ => claim(agent).await,
    };
    let end = match stage {
        "open" | "begun" => message(0),
        "completed" => event("complete"),
        "failed" => event("error"),
        "cancelled" => event("cancelled"),
        _ => return (asked, claimed),
    };
    assert_eq!(publish(agent, &asked.path, &claimed, end).await.status, 201);
    (asked, claimed)
}

/// What each step makes of a prompt in each stage: its status afterwards, or that it is refused.
#[tokio::test]
async fn every_step_is_taken_or_refused_as_the_life_of_a_prompt_has_it() {
    const NO: &str = "409";
    // Stages: nobody is at it; somebody without a lease; a claim; a claim with something published.
    const STEPS: [(&str, [&str; 7]); 7] = [
        ("message", ["processing", "processing", "processing", "processing", NO, NO, NO]),
        ("complete", ["completed", "completed", "completed", "completed", NO, NO, NO]),
        ("cancelled", ["cancelled", "cancelled", "cancelled", "cancelled", NO, NO, NO]),
        ("error", ["failed", "failed", "failed", "failed", NO, NO, NO]),
        ("cancel", ["cancelled", "cancelled", "cancelled", "cancelled", NO, NO, "cancelled"]),
        ("heartbeat", [NO, NO, "processing", "processing", NO, NO, NO]),
        ("release", [NO, NO, "queued", NO, NO, NO, NO]),
    ];
    const STAGES: [&str; 7] =
        ["queued", "open", "claimed", "begun", "completed", "failed", "cancelled"];
    let app = App::start().await;
    let (owner, agent) = stage(&app).await;
    for (step, expected) in STEPS {
        for (stage, expected) in STAGES.into_iter().zip(expected) {
            let (asked, claimed) = asked_that_is(&owner, &agent, stage).await;
            let path = &asked.path;
            let before = (owner.get(path).await.ok(), events(&owner, path).await);
            let token = claimed["lease_token"]
                .as_str()
                .map_or_else(Uuid::new_v4, |token| token.parse().expect("a token"));
            let lease = json!({ "lease_token": token });
            let answer = match step {
                "cancel" => owner.call(Method::POST, &format!("{path}/cancel"), None).await,
                "heartbeat" | "release" => agent.post(&format!("{path}/{step}"), lease).await,
                kind => publish(&agent, path, &claimed, event(kind)).await,
            };
            let now = (owner.get(path).await.ok(), events(&owner, path).await);
            // So that the next claim is of the next prompt.
            owner.call(Method::POST, &format!("{path}/cancel"), None).await;
            if expected == NO {
                answer.problem(409);
                assert_eq!(now, before, "{step} when {stage}");
                continue;
            }
            let body = answer.ok();
            assert_eq!(now.0["status"], expected, "{step} when {stage}: {body}");
            let ended = ["completed", "failed", "cancelled"].contains(&expected);
            assert_eq!(now.0["completed_at"].is_string(), ended, "{step} when {stage}");
            let new = &now.1[before.1.len()..];
            let told = match step {
                "heartbeat" => vec![],
                "cancel" if stage == "cancelled" => vec![],
                "cancel" => vec!["cancelled"],
                "release" => vec!["status"],
                kind => vec![kind],
            };
            assert_eq!(kinds(new), told, "{step} when {stage}");
        }
        assert_eq!(agent.post("/v1/prompts/claim", json!({})).await.ok(), json!([]), "{step}");
    }
    app.finish().await;
}

#[tokio::test]
async fn a_prompt_is_seen_by_its_owner_and_administrators_in_its_own_session_only() {
    let app = App::start().await;
    let (owner, agent) = stage(&app).await;
    let (other, admin) = (app.caller(Role::Operator).await, app.log_in("admin").await);
    let asked = ask(&owner).await;
    let elsewhere = ask(&owner).await;
    let claimed = claim(&agent).await;
    assert_eq!(claimed["prompt"]["id"], json!(asked.id));
    let sessions = async |caller: &Caller| {
        let page = caller.get("/v1/sessions").await.ok();
        page["items"].as_array().expect("items").iter().map(id_of).collect::<Vec<_>>()
    };
    let both = vec![asked.session, elsewhere.session];
    assert_eq!(sessions(&owner).await, both);
    assert_eq!(sessions(&admin).await, both);
    assert_eq!(sessions(&other).await, Vec::<Uuid>::new());
    let session = format!("/v1/sessions/{}", asked.session);
    let of_other = format!("/v1/sessions/{}/prompts/{}", elsewhere.session, asked.id);
    for caller in [&owner, &admin] {
        caller.get(&session).await.ok();
        let list = caller.get(&format!("{session}/prompts")).await.ok();
        assert_eq!(list["items"], json!([caller.get(&asked.path).await.ok()]));
        caller.get(&format!("{}/events", asked.path)).await.ok();
        watch(caller, &asked.path, "").await.expect("snapshot").await;
    }
    for caller in [&other, &agent] {
        caller.get(&session).await.problem(404);
        caller.get(&format!("{session}/prompts")).await.problem(404);
        caller.post(&format!("{session}/prompts"), json!({ "prompt": "x" })).await.problem(404);
    }
    // Neither for others, nor in another session.
    let cases =
        [(&other, &asked.path), (&agent, &asked.path), (&owner, &of_other), (&admin, &of_other)];
    for (caller, path) in cases {
        for what in ["", "/events", "/stream"] {
            caller.get(&format!("{path}{what}")).await.problem(404);
        }
        for what in ["/cancel", "/stream-token"] {
            caller.call(Method::POST, &format!("{path}{what}"), None).await.problem(404);
        }
    }
    let lease = json!({ "lease_token": claimed["lease_token"] });
    for what in ["/heartbeat", "/release"] {
        agent.post(&format!("{of_other}{what}"), lease.clone()).await.problem(404);
    }
    publish(&agent, &of_other, &claimed, message(1)).await.problem(404);
    assert_eq!(kinds(&events(&owner, &asked.path).await), ["status"]);
    // What an administrator asks in it belongs to the session's owner.
    let path = format!("{session}/prompts");
    let asked = admin.post(&path, json!({ "prompt": "and?" })).await.ok();
    assert_eq!(asked["owner"], json!(owner.id().await));
    app.finish().await;
}

#[tokio::test]
async fn what_makes_no_sense_and_what_is_too_much_is_refused() {
    let app = App::start().await;
    let (owner, _) = stage(&app).await;
    let asked = ask(&owner).await;
    let path = format!("/v1/sessions/{}/prompts", asked.session);
    let long = |bytes: usize| json!({ "prompt": "é".repeat(bytes / 2) });
    for body in [json!({}), json!({ "prompt": "" }), json!({ "prompt": 5 }), long(65_538)] {
        owner.post(&path, body).await.problem(400);
    }
    owner.post("/v1/sessions", json!({ "name": "a\nb" })).await.problem(400);
    owner.post("/v1/sessions", json!({ "title": "a" })).await.problem(400);
    let named = owner.post("/v1/sessions", json!({ "name": "moving" })).await.ok();
    assert_eq!(named["name"], "moving");
    assert_eq!(owner.post(&path, long(65_536)).await.status, 201);
    let writer = app.gateway.database.writer();
    let row = prompt::Entity::find_by_id(asked.id).one(writer).await.expect("a row").expect("it");
    let many = (2..1_000).map(|_| {
        let row = prompt::Model { id: Uuid::now_v7(), ..row.clone() };
        row.into_active_model()
    });
    let many: Vec<_> = many.collect();
    for some in many.chunks(100) {
        prompt::Entity::insert_many(some.to_vec()).exec(writer).await.expect("rows");
    }
    owner.post(&path, json!({ "prompt": "x" })).await.problem(409);
    owner.call(Method::POST, &format!("{}/cancel", asked.path), None).await.ok();
    assert_eq!(owner.post(&path, json!({ "prompt": "x" })).await.status, 201);
    owner.post(&path, json!({ "prompt": "x" })).await.problem(409);
    app.finish().await;
}

#[tokio::test]
async fn a_stream_token_opens_the_stream_of_its_prompt_and_nothing_else() {
    let app = App::start().await;
    let (owner, agent) = stage(&app).await;
    let (asked, other) = (ask(&owner).await, ask(&owner).await);
    let mint = format!("{}/stream-token", asked.path);
    let anyone = app.anyone();
    for body in [None, Some(json!({})), Some(json!({ "ttl_seconds": 30 }))] {
        let ttl = body.as_ref().and_then(|body| body["ttl_seconds"].as_u64()).unwrap_or(120);
        let minted = owner.call(Method::POST, &mint, body).await;
        assert_eq!(minted.status, 201, "{minted:?}");
        assert_eq!(minted.body["expires_in"], ttl);
        let url = minted.body["url"].as_str().expect("a URL");
        assert!(url.starts_with(&asked.path), "{url}");
        anyone.stream(url, "").await.expect("snapshot").await;
        let token = format!("?stream_token={}", minted.body["token"].as_str().expect("a token"));
        anyone.get(&format!("{}/stream{token}", other.path)).await.problem(403);
        let elsewhere = format!("/v1/sessions/{}/prompts/{}", other.session, asked.id);
        anyone.get(&format!("{elsewhere}/stream{token}")).await.problem(404);
        anyone.get(&format!("{}{token}", asked.path)).await.problem(401);
        let (head, tail) = token.split_at(token.len() - 6);
        let forged = format!("{head}{}", tail.chars().rev().collect::<String>());
        anyone.get(&format!("{}/stream{forged}", asked.path)).await.problem(401);
    }
    for body in [json!({ "ttl_seconds": 29 }), json!({ "ttl_seconds": 301 }), json!([])] {
        owner.post(&mint, body).await.problem(400);
    }
    agent.call(Method::POST, &mint, None).await.problem(404);
    let topic = Topic::new(Family::Prompt, asked.id);
    let tokens = &app.gateway.tokens;
    let opens = Opens::One(topic.to_string());
    let (short, _) = tokens.stream(owner.id().await, Uuid::now_v7(), opens, Duration::ZERO);
    let stream = format!("{}/stream?max_events=1&stream_token={short}", asked.path);
    until("expiry", async || {
        let answer = anyone.get(&stream).await;
        answer.status == 401 && answer.problem(401) == "the token has expired"
    })
    .await;
    app.finish().await;
}

#[tokio::test]
async fn who_comes_late_has_what_was_said_and_who_comes_back_what_follows() {
    let app = App::start().await;
    let (owner, agent) = stage(&app).await;
    let asked = ask(&owner).await;
    let path = &asked.path;
    let snapshot = watch(&owner, path, "").await.expect("snapshot").await.data;
    let prompt = owner.get(path).await.ok();
    assert_eq!(snapshot, json!({ "prompt": prompt, "events": [], "earlier": false }));
    let claimed = claim(&agent).await;
    let mut said = 1;
    let mut first = None;
    for _ in 0..3 {
        let batch: Vec<Value> = (said..said + 400).map(message).collect();
        let answer = publish(&agent, path, &claimed, json!(batch)).await.ok();
        assert_eq!(answer["count"], 400);
        said += 400;
        let block = watch(&owner, path, "").await.expect("snapshot").await;
        assert_eq!(json!(block.id), answer["last"], "the snapshot is of another moment");
        first.get_or_insert(block.id.expect("a cursor"));
        let mut page = events(&owner, path).await;
        let earlier = page.len() > 1_000;
        page.drain(..page.len().saturating_sub(1_000));
        for event in &mut page {
            event.as_object_mut().expect("an object").remove("topic");
        }
        assert_eq!(
            (&block.data["events"], &block.data["earlier"]),
            (&json!(page), &json!(earlier))
        );
        assert_eq!(block.data["prompt"]["status"], "processing");
    }
    let cursor = first.expect("a cursor");
    let mut reader = watch(&owner, path, &format!("last_event_id={cursor}")).await;
    for number in 401..1_201 {
        assert_eq!(reader.expect("message").await.data["number"], number);
    }
    publish(&agent, path, &claimed, event("complete")).await.ok();
    let last = reader.expect("complete").await.id.expect("a cursor");
    assert_eq!(reader.expect("stream.closed").await.data["reason"], "completed");
    reader.expect_end().await;
    // Nothing can follow: to a browser that comes back, 204; to who comes anew, the end.
    assert_eq!(watch(&owner, path, &format!("last_event_id={last}")).await.status(), 204);
    let mut reader = watch(&owner, path, "").await;
    assert_eq!(reader.expect("snapshot").await.data["prompt"]["status"], "completed");
    reader.expect("stream.closed").await;
    // A cursor that is not one of this prompt's.
    let mut reader = watch(&owner, path, "last_event_id=1-1").await;
    assert_eq!(reader.expect("snapshot").await.data["reset"], "unknown_cursor");
    drop(reader);
    app.finish().await;
}

#[tokio::test]
async fn a_snapshot_has_the_newest_mebibyte() {
    let app = App::start().await;
    let (owner, agent) = stage(&app).await;
    let asked = ask(&owner).await;
    let text = "x".repeat(60_000);
    for number in 0..20 {
        let data = json!({ "number": number, "text": text });
        let body = json!({ "kind": "message", "data": data });
        publish(&agent, &asked.path, &Value::Null, body).await.ok();
    }
    let snapshot = watch(&owner, &asked.path, "").await.expect("snapshot").await.data;
    let numbers: Vec<_> = snapshot["events"].as_array().expect("events").iter().collect();
    let numbers: Vec<_> = numbers.iter().map(|event| event["data"]["number"].clone()).collect();
    assert_eq!((numbers, &snapshot["earlier"]), ((3..20).map(Value::from).collect(), &json!(true)));
    app.finish().await;
}

#[tokio::test]
async fn prompts_that_ended_long_ago_are_deleted_and_their_sessions_stay() {
    let app = App::with(|config| {
        config.retention.prompt_seconds = 1;
        config.retention.sweep_seconds = 1;
    })
    .await;
    let (owner, agent) = stage(&app).await;
    let ended = ask(&owner).await;
    publish(&agent, &ended.path, &Value::Null, event("complete")).await.ok();
    let running = ask(&owner).await;
    for number in 1..=2 {
        publish(&agent, &running.path, &Value::Null, message(number)).await.ok();
    }
    until("deletion", async || owner.get(&ended.path).await.status == 404).await;
    owner.get(&format!("{}/events", ended.path)).await.problem(404);
    owner.get(&format!("/v1/sessions/{}", ended.session)).await.ok();
    // What it said first is pruned, and who comes now is told that there was something. It is not taken
    // for silent, though all that it said is old.
    until("pruning", async || {
        let snapshot = watch(&owner, &running.path, "").await.expect("snapshot").await.data;
        assert_eq!(snapshot["prompt"]["status"], "processing");
        let events = snapshot["events"].as_array().expect("events");
        events.len() == 1 && snapshot["earlier"] == true
    })
    .await;
    let rows = prompt::Entity::find().count(app.gateway.database.reader()).await;
    assert_eq!(rows.expect("a count"), 1);
    app.finish().await;
}
