//! `POST /v1/tasks/claim`.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    App, id_of, soon,
    task::{claim, create, expire, get, owner_and_agent, send},
};

#[tokio::test]
async fn workers_get_the_oldest_tasks_of_their_skills() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    let mut made = Vec::new();
    for task_type in ["a", "b", "c", "a", "b"] {
        made.push(create(&owner, task_type).await);
    }
    let ask = |skills: Value, max: u64| {
        let claim = json!({ "skills": skills, "max": max, "lease_seconds": 600 });
        agent.post("/v1/tasks/claim", claim)
    };
    for nothing in [json!(["d"]), json!(["A", "a."])] {
        let answer = ask(nothing, 50).await;
        assert_eq!(answer.ok(), json!([]));
    }
    let two = ask(json!(["b", "a", "b"]), 2).await.ok();
    let rest = ask(json!(["b", "a"]), 50).await.ok();
    let claimed = [two.as_array(), rest.as_array()].map(|list| list.expect("a list").clone());
    let ids = |list: &[Value]| list.iter().map(|one| id_of(&one["task"])).collect::<Vec<_>>();
    assert_eq!(
        claimed.each_ref().map(|list| ids(list)),
        [vec![made[0], made[1]], vec![made[3], made[4]]]
    );
    assert_eq!(ask(json!(["b", "a"]), 50).await.ok(), json!([]));
    let tokens: BTreeSet<_> =
        claimed.iter().flatten().map(|one| one["lease_token"].to_string()).collect();
    assert_eq!(tokens.len(), 4);
    for one in claimed.iter().flatten() {
        assert_eq!(one["task"], get(&owner, id_of(&one["task"])).await, "the whole task");
        assert_eq!((&one["attempt"], &one["task"]["attempt"]), (&json!(1), &json!(1)));
        assert_eq!(one["task"]["input"], json!({ "number": 7 }));
    }
    for body in [
        json!({}),
        json!({ "skills": [] }),
        json!({ "skills": "a" }),
        json!({ "skills": ["a\0"] }),
        json!({ "skills": vec!["a"; 101] }),
        json!({ "skills": ["a"], "max": 0 }),
        json!({ "skills": ["a"], "max": 51 }),
        json!({ "skills": ["a"], "wait_seconds": 61 }),
        json!({ "skills": ["a"], "lease_seconds": 0 }),
        json!({ "skills": ["a"], "lease_seconds": 3_601 }),
    ] {
        agent.post("/v1/tasks/claim", body).await.problem(400);
    }
    app.finish().await;
}

#[tokio::test]
async fn concurrent_workers_never_get_the_same_task() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    let mut made = Vec::new();
    for _ in 0..30 {
        made.push(create(&owner, "a").await);
    }
    let claims = (0..20).map(|worker| {
        agent.post("/v1/tasks/claim", json!({ "skills": ["a"], "max": 1 + worker % 2 }))
    });
    let claims = join_all(claims).await;
    let claimed = claims.into_iter().filter(|answer| answer.status == 200);
    let claimed = claimed.flat_map(|answer| answer.body.as_array().cloned().expect("a list"));
    let mut held: Vec<_> = claimed.map(|one| id_of(&one["task"])).collect();
    // A worker that finds a task locked takes another one, so some tasks may be left.
    while let one @ Value::Object(_) = claim(&agent, "a").await {
        held.push(id_of(&one["task"]));
    }
    held.sort_unstable();
    assert_eq!(held, made, "each once");
    app.finish().await;
}

#[tokio::test]
async fn waiting_worker_gets_a_new_released_or_expired_task() {
    let app = App::with(|config| config.streams.heartbeat_seconds = 60).await;
    let (owner, agent) = owner_and_agent(&app).await;
    let mut claimed = Value::Null;
    let mut id = Uuid::nil();
    for round in 1..=3 {
        let waiting = tokio::spawn({
            let agent = agent.clone();
            let wait = json!({ "skills": ["a"], "wait_seconds": 60 });
            async move { agent.post("/v1/tasks/claim", wait).await.ok()[0].take() }
        });
        app.claim_waits().await;
        match round {
            1 => id = create(&owner, "a").await,
            2 => drop(send(&agent, &claimed, "release", json!({})).await.ok()),
            _ => {
                expire(&app, &owner, id).await;
            }
        }
        claimed = soon("work", waiting).await.expect("no panic");
        assert_eq!((id_of(&claimed["task"]), &claimed["attempt"]), (id, &json!(round)));
    }
    app.finish().await;
}
