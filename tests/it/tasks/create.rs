//! `POST /v1/tasks` and `GET /v1/tasks`.

use futures_util::future::join_all;
use sea_orm::{EntityTrait, IntoActiveModel};
use serde_json::json;
use uuid::Uuid;

use crate::support::{
    App, id_of,
    task::{claim, create, get, owner_and_agent, report},
};

#[tokio::test]
async fn task_is_stored_as_sent_and_listed_by_status() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    let me = owner.id().await;
    let mut made = Vec::new();
    for input in [json!(null), json!(0), json!("\0\u{2028}"), json!([{}]), json!({ "a": [1.5] })] {
        let new = json!({ "task_type": format!("t.{}", made.len() % 2), "input": input });
        let task = owner.post("/v1/tasks", new).await.ok();
        let expected = if input.is_null() { None } else { Some(&input) };
        assert_eq!(task.get("input"), expected);
        assert_eq!(task, get(&owner, id_of(&task)).await);
        let rest = ["owner", "status", "attempt", "max_attempts", "artifacts", "cancel_requested"];
        let rest: Vec<_> = rest.into_iter().map(|name| task[name].clone()).collect();
        assert_eq!(json!(rest), json!([me, "pending", 0, 3, [], false]));
        made.push(id_of(&task));
    }
    claim(&agent, "t.0").await;
    for (query, expected) in [
        ("", vec![0, 1, 2, 3, 4]),
        ("?status=running", vec![0]),
        ("?status=pending&task_type=t.0", vec![2, 4]),
        ("?task_type=t.1", vec![1, 3]),
        ("?task_type=t", vec![]),
        ("?limit=2", vec![0, 1]),
        (&format!("?limit=2&after={}", made[3]), vec![4]),
    ] {
        let page = owner.get(&format!("/v1/tasks{query}")).await.ok();
        let items = page["items"].as_array().expect("items");
        assert!(items.iter().all(|task| task.get("artifacts").is_none()));
        let found: Vec<_> = items.iter().map(id_of).collect();
        assert_eq!(found, expected.iter().map(|i: &usize| made[*i]).collect::<Vec<_>>(), "{query}");
    }
    for query in ["status=done", "task_type=", "task_type=a%00", "limit=0", "after=1"] {
        owner.get(&format!("/v1/tasks?{query}")).await.problem(400);
    }
    app.finish().await;
}

#[tokio::test]
async fn invalid_task_and_input_over_16_384_bytes_are_refused() {
    let app = App::start().await;
    let (owner, _) = owner_and_agent(&app).await;
    for new in [
        json!({}),
        json!({ "task_type": "" }),
        json!({ "task_type": 5 }),
        json!({ "task_type": "a b" }),
        json!({ "task_type": "ä" }),
        json!({ "task_type": "a".repeat(129) }),
        json!({ "task_type": "a", "max_attempts": 0 }),
        json!({ "task_type": "a", "max_attempts": 101 }),
        json!({ "task_type": "a", "owner": Uuid::new_v4() }),
        json!({ "task_type": "a", "input": "x".repeat(16_383) }),
    ] {
        owner.post("/v1/tasks", new).await.problem(400);
    }
    assert_eq!(owner.get("/v1/tasks").await.ok(), json!({ "items": [] }));
    let longest = "aZ0_.:-".repeat(20)[..128].to_owned();
    let new = json!({ "task_type": longest, "max_attempts": 100, "input": "x".repeat(16_382) });
    let task = owner.post("/v1/tasks", new).await.ok();
    assert_eq!((&task["task_type"], &task["max_attempts"]), (&json!(longest), &json!(100)));
    app.finish().await;
}

#[tokio::test]
async fn owner_has_at_most_1_000_waiting_tasks() {
    let app = App::start().await;
    let (owner, agent) = owner_and_agent(&app).await;
    let me = owner.id().await;
    let first = create(&owner, "a").await;
    // Rows as if 997 more tasks had been created.
    let row = entity::task::Entity::find_by_id(first).one(app.gateway.database.reader()).await;
    let row = row.expect("a row").expect("the task");
    for batch in [500, 497] {
        let rows = (0..batch).map(|_| {
            let row = entity::task::Model { id: Uuid::now_v7(), ..row.clone() };
            row.into_active_model()
        });
        let insert = entity::task::Entity::insert_many(rows);
        insert.exec_without_returning(app.gateway.database.writer()).await.expect("rows");
    }
    let new = json!({ "task_type": "a" });
    let made = join_all((0..4).map(|_| owner.post("/v1/tasks", new.clone()))).await;
    let mut statuses: Vec<u16> = made.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 201, 409, 409], "of four at once");
    let detail = owner.post("/v1/tasks", new.clone()).await.problem(409);
    assert!(detail.contains("1,000"), "{detail}");
    // Running tasks count. Ended tasks and tasks of other owners do not.
    let claimed = claim(&agent, "a").await;
    assert_eq!(claimed["task"]["owner"], json!(me));
    owner.post("/v1/tasks", new.clone()).await.problem(409);
    report(&agent, &claimed, 1, "failed").await.ok();
    owner.post("/v1/tasks", new.clone()).await.ok();
    agent.post("/v1/tasks", new).await.ok();
    app.finish().await;
}
