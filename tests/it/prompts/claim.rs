//! `POST /v1/prompts/claim` and `POST .../prompts/{pid}/release`.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    App, id_of,
    prompt::{
        claim, claim_with, create, event, events, give_back, kinds, message, owner_and_agent,
        publish,
    },
    soon,
};

#[tokio::test]
async fn oldest_prompts_are_claimed_first_and_only_once() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    let mut created = Vec::new();
    for _ in 0..20 {
        created.push(create(&owner).await);
    }
    let first = claim_with(&agent, json!({ "max": 2, "lease_seconds": 3600 })).await;
    let ids: Vec<Uuid> = first.iter().map(|claimed| id_of(&claimed["prompt"])).collect();
    assert_eq!(ids, [created[0].id, created[1].id]);
    assert_ne!(first[0]["lease_token"], first[1]["lease_token"]);
    assert_eq!(first[0]["prompt"], owner.get(&created[0].path).await.ok());
    assert_eq!((&first[0]["attempt"], &first[0]["prompt"]["prompt"]), (&json!(1), &json!("why?")));
    let claims = (0..12).map(|_| claim_with(&agent, json!({ "max": 2 })));
    let claimed: Vec<Value> = join_all(claims).await.concat();
    let ids: BTreeSet<Uuid> = claimed.iter().map(|claimed| id_of(&claimed["prompt"])).collect();
    assert_eq!(
        (claimed.len(), ids.len()),
        (18, 18),
        "some prompts were claimed twice or not at all"
    );
    for body in [json!({ "max": 0 }), json!({ "lease_seconds": 3601 }), json!({ "skill": "x" })] {
        agent.post("/v1/prompts/claim", body).await.problem(400);
    }
    app.finish().await;
}

#[tokio::test]
async fn waiting_agent_gets_a_new_or_released_prompt() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    let wait = || {
        let agent = agent.clone();
        tokio::spawn(async move { claim_with(&agent, json!({ "wait_seconds": 60 })).await })
    };
    let waiting = wait();
    app.claim_waits().await;
    let created = create(&owner).await;
    let claimed = soon("work", waiting).await.expect("no panic").remove(0);
    assert_eq!(id_of(&claimed["prompt"]), created.id);
    let waiting = wait();
    app.claim_waits().await;
    let queued = give_back(&agent, &created.path, &claimed).await.ok();
    assert_eq!((&queued["status"], &queued["attempt"]), (&json!("queued"), &json!(1)));
    let again = soon("work", waiting).await.expect("no panic").remove(0);
    assert_eq!((id_of(&again["prompt"]), &again["attempt"]), (created.id, &json!(2)));
    // The old claim is refused.
    publish(&agent, &created.path, &claimed, message(1)).await.problem(409);
    give_back(&agent, &created.path, &claimed).await.problem(409);
    publish(&agent, &created.path, &again, message(1)).await.ok();
    let told = events(&owner, &created.path).await;
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
async fn only_the_newest_claim_may_publish() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    let created = create(&owner).await;
    let stranger = json!({ "lease_token": Uuid::new_v4() });
    publish(&agent, &created.path, &stranger, message(0)).await.problem(409);
    let claimed = claim(&agent).await;
    for body in [message(1), json!([message(1), event("complete")]), event("error")] {
        publish(&agent, &created.path, &stranger, body.clone()).await.problem(409);
        publish(&agent, &created.path, &Value::Null, body).await.problem(409);
    }
    publish(&agent, &created.path, &json!({ "lease_token": "x" }), message(1)).await.problem(400);
    publish(&agent, &created.path, &claimed, message(1)).await.ok();
    // A prompt with a published event cannot be released.
    give_back(&agent, &created.path, &claimed).await.problem(409);
    publish(&agent, &created.path, &claimed, event("complete")).await.ok();
    let detail = publish(&agent, &created.path, &claimed, message(2)).await.problem(409);
    assert!(detail.contains("ended"), "{detail}");
    assert_eq!(kinds(&events(&owner, &created.path).await), ["status", "message", "complete"]);
    app.finish().await;
}
