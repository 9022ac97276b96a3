//! Access to a prompt: only its owner and administrators have it, and only in its own conversation.

use entity::user::Role;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::support::{
    App, Caller, id_of,
    prompt::{claim, create, events, kinds, message, owner_and_agent, publish, watch},
};

#[tokio::test]
async fn prompt_is_found_by_owner_and_administrators_in_its_session() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    let (other, admin) = (app.caller(Role::Operator).await, app.log_in("admin").await);
    let created = create(&owner).await;
    let elsewhere = create(&owner).await;
    let claimed = claim(&agent).await;
    assert_eq!(claimed["prompt"]["id"], json!(created.id));
    let sessions = async |caller: &Caller| {
        let page = caller.get("/v1/sessions").await.ok();
        page["items"].as_array().expect("items").iter().map(id_of).collect::<Vec<_>>()
    };
    let both = vec![created.session, elsewhere.session];
    assert_eq!(sessions(&owner).await, both);
    assert_eq!(sessions(&admin).await, both);
    assert_eq!(sessions(&other).await, Vec::<Uuid>::new());
    let session = format!("/v1/sessions/{}", created.session);
    let of_other = format!("/v1/sessions/{}/prompts/{}", elsewhere.session, created.id);
    for caller in [&owner, &admin] {
        caller.get(&session).await.ok();
        let list = caller.get(&format!("{session}/prompts")).await.ok();
        assert_eq!(list["items"], json!([caller.get(&created.path).await.ok()]));
        caller.get(&format!("{}/events", created.path)).await.ok();
        watch(caller, &created.path, "").await.expect("snapshot").await;
    }
    for caller in [&other, &agent] {
        caller.get(&session).await.problem(404);
        caller.get(&format!("{session}/prompts")).await.problem(404);
        caller.post(&format!("{session}/prompts"), json!({ "prompt": "x" })).await.problem(404);
    }
    // Other users get 404, and so does the path of another conversation.
    let cases = [
        (&other, &created.path),
        (&agent, &created.path),
        (&owner, &of_other),
        (&admin, &of_other),
    ];
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
    assert_eq!(kinds(&events(&owner, &created.path).await), ["status"]);
    // A prompt of an administrator belongs to the owner of the conversation.
    let path = format!("{session}/prompts");
    let created = admin.post(&path, json!({ "prompt": "and?" })).await.ok();
    assert_eq!(created["owner"], json!(owner.id().await));
    app.finish().await;
}
