//! Tasks: who makes and sees them, where they may go, how they are cancelled, what becomes of them in
//! the end.

use entity::{Timestamp, user::Role};
use futures_util::future::join_all;
use sea_orm::{
    ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, prelude::Expr,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    app::{Answer, App, Caller, id_of, until},
    sse::SseReader,
};

/// Makes a task of this type.
pub async fn make(owner: &Caller, task_type: &str) -> Uuid {
    let new = json!({ "task_type": task_type, "input": { "number": 7 } });
    id_of(&owner.post("/v1/tasks", new).await.ok())
}

/// Claims one task of this type; null if there is none.
pub async fn claim(agent: &Caller, skill: &str) -> Value {
    let answer = agent.post("/v1/tasks/claim", json!({ "skills": [skill] })).await;
    answer.ok().get_mut(0).map_or(Value::Null, Value::take)
}

/// Sends a worker's word on what it has claimed.
pub async fn tell(agent: &Caller, claimed: &Value, what: &str, mut body: Value) -> Answer {
    body["lease_token"] = claimed["lease_token"].clone();
    agent.post(&format!("/v1/tasks/{}/{what}", id_of(&claimed["task"])), body).await
}

pub async fn report(agent: &Caller, claimed: &Value, seq: u64, status: &str) -> Answer {
    tell(agent, claimed, "report", json!({ "seq": seq, "status": status })).await
}

pub async fn read(caller: &Caller, id: Uuid) -> Value {
    caller.get(&format!("/v1/tasks/{id}")).await.ok()
}

pub async fn cancel(caller: &Caller, id: Uuid) -> Answer {
    caller.post(&format!("/v1/tasks/{id}/cancel"), json!({})).await
}

pub async fn watch(caller: &Caller, id: Uuid, query: &str) -> SseReader {
    caller.stream(&format!("/v1/tasks/{id}/stream?{query}"), "").await
}

/// Everything that REST shows of a task.
async fn shown(caller: &Caller, id: Uuid) -> [Value; 2] {
    let events = caller.get(&format!("/v1/tasks/{id}/events?limit=200")).await.ok();
    [read(caller, id).await, events]
}

/// Has the lease of a task end now, as time would.
pub async fn run_out(app: &App, id: Uuid) {
    use entity::task::{Column, Entity};
    Entity::update_many()
        .col_expr(Column::LeaseExpiresAt, Expr::value(Timestamp(Timestamp::now().0 - 1)))
        .filter(Column::Id.eq(id))
        .filter(Column::LeaseExpiresAt.is_not_null())
        .exec(app.gateway.database.writer())
        .await
        .expect("an update");
}

/// The same, and waits for what becomes of the task.
pub async fn expire(app: &App, owner: &Caller, id: Uuid) -> Value {
    let before = read(owner, id).await;
    run_out(app, id).await;
    app.look_for_expired_leases();
    until("end of the lease", async || read(owner, id).await != before).await;
    read(owner, id).await
}

/// An owner and an agent.
pub async fn stage(app: &App) -> (Caller, Caller) {
    (app.caller(Role::Viewer).await, app.caller(Role::Agent).await)
}

/// A task led to this status, or to `cancelling`, and the claim of the one who did it, if any.
async fn led(owner: &Caller, agent: &Caller, status: &str) -> (Uuid, Value) {
    let skill = Uuid::new_v4().to_string();
    let id = make(owner, &skill).await;
    let mut claimed = json!({ "task": { "id": id }, "lease_token": Uuid::new_v4() });
    if status != "pending" {
        claimed = claim(agent, &skill).await;
    }
    if ["cancelling", "cancelled"].contains(&status) {
        cancel(owner, id).await.ok();
    }
    if ["completed", "failed", "cancelled"].contains(&status) {
        report(agent, &claimed, 1, status).await.ok();
    }
    (id, claimed)
}

/// What is done to a task, and where that leads one that is running and one that is to be cancelled.
const DEEDS: [(&str, Option<&str>, Option<&str>); 7] = [
    ("heartbeat", Some("running"), Some("running")),
    ("running", Some("running"), Some("running")),
    ("completed", Some("completed"), Some("completed")),
    ("failed", Some("failed"), Some("failed")),
    ("cancelled", None, Some("cancelled")),
    ("release", Some("pending"), Some("cancelled")),
    ("cancel", Some("running"), Some("running")),
];

#[tokio::test]
async fn every_deed_leads_where_it_may_from_every_status_or_is_a_conflict_that_changes_nothing() {
    let app = App::start().await;
    let (owner, agent) = stage(&app).await;
    for status in ["pending", "running", "cancelling", "completed", "failed", "cancelled"] {
        for (deed, running, cancelling) in DEEDS {
            let expected = match (status, deed) {
                ("running", _) => running,
                ("cancelling", _) => cancelling,
                ("pending" | "cancelled", "cancel") => Some("cancelled"),
                _ => None,
            };
            let (id, claimed) = led(&owner, &agent, status).await;
            let before = shown(&owner, id).await;
            let seq = if ["running", "cancelling"].contains(&status) { 1 } else { 2 };
            let answer = match deed {
                "heartbeat" | "release" => tell(&agent, &claimed, deed, json!({})).await,
                "cancel" => cancel(&owner, id).await,
                _ => report(&agent, &claimed, seq, deed).await,
            };
            let after = shown(&owner, id).await;
            let Some(expected) = expected else {
                answer.problem(409);
                assert_eq!(after, before, "{deed} of what is {status}");
                continue;
            };
            let [task, _] = &after;
            assert_eq!(task["status"], expected, "{deed} of what is {status}");
            let ended = !["pending", "running"].contains(&expected);
            assert_eq!(task["completed_at"].is_string(), ended, "{task}");
            if deed == "heartbeat" {
                assert_eq!(answer.ok()["cancel_requested"], status == "cancelling");
            } else {
                assert_eq!(answer.ok(), *task, "{deed} of what is {status}");
            }
            let is_new = deed != "heartbeat"
                && !(deed == "cancel" && ["cancelling", "cancelled"].contains(&status));
            assert_eq!(after != before, is_new, "{deed} of what is {status}");
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn a_task_is_seen_by_its_owner_and_administrators_and_is_not_there_for_others() {
    let app = App::start().await;
    let (owner, agent) = stage(&app).await;
    let (other, admin) = (app.caller(Role::Operator).await, app.log_in("admin").await);
    let id = make(&owner, "a").await;
    let foreign = make(&other, "b").await;
    let page = admin.get("/v1/tasks").await.ok();
    assert_eq!(page["items"].as_array().map(Vec::len), Some(2));
    for (caller, seen) in [(&owner, id), (&other, foreign)] {
        let items = caller.get("/v1/tasks").await.ok()["items"].take();
        assert_eq!((items.as_array().map(Vec::len), id_of(&items[0])), (Some(1), seen));
    }
    let nobodys = Uuid::now_v7();
    for stranger in [&other, &agent] {
        for part in ["", "/events", "/stream"] {
            let get = |id: Uuid| {
                let path = format!("/v1/tasks/{id}{part}");
                async move { stranger.get(&path).await.problem(404) }
            };
            assert_eq!(get(id).await, get(nobodys).await, "the same for both");
        }
        assert_eq!(
            cancel(stranger, id).await.problem(404),
            cancel(stranger, nobodys).await.problem(404)
        );
        let token = json!({ "family": "task", "id": id });
        stranger.post("/v1/stream-tokens", token).await.problem(404);
    }
    let token = json!({ "family": "task", "id": id });
    let minted = owner.post("/v1/stream-tokens", token).await.ok();
    let url = minted["url"].as_str().expect("a URL");
    assert!(url.starts_with(&format!("/v1/tasks/{id}/stream?")), "{url}");
    for (caller, path) in [(app.anyone(), url), (admin.clone(), &format!("/v1/tasks/{id}/stream"))]
    {
        let snapshot = caller.stream(path, "").await.expect("snapshot").await;
        assert_eq!(snapshot.data, json!({ "task": read(&owner, id).await }));
    }
    cancel(&admin, id).await.ok();
    assert_eq!(read(&owner, id).await["status"], "cancelled");
    app.finish().await;
}

#[tokio::test]
async fn a_task_is_made_as_it_was_sent_and_listed_by_status_and_type() {
    let app = App::start().await;
    let (owner, agent) = stage(&app).await;
    let me = owner.id().await;
    let mut made = Vec::new();
    for input in [json!(null), json!(0), json!("\0\u{2028}"), json!([{}]), json!({ "a": [1.5] })] {
        let new = json!({ "task_type": format!("t.{}", made.len() % 2), "input": input });
        let task = owner.post("/v1/tasks", new).await.ok();
        let expected = if input.is_null() { None } else { Some(&input) };
        assert_eq!(task.get("input"), expected);
        assert_eq!(task, read(&owner, id_of(&task)).await);
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
async fn what_makes_no_sense_is_refused_and_inputs_have_16_384_bytes_at_most() {
    let app = App::start().await;
    let (owner, _) = stage(&app).await;
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
async fn a_thousand_tasks_of_one_owner_may_wait() {
    let app = App::start().await;
    let (owner, agent) = stage(&app).await;
    let me = owner.id().await;
    let first = make(&owner, "a").await;
    // As if 997 more had been made before, in no time.
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
    // What is being done counts, what has ended does not, nor does anybody else's.
    let claimed = claim(&agent, "a").await;
    assert_eq!(claimed["task"]["owner"], json!(me));
    owner.post("/v1/tasks", new.clone()).await.problem(409);
    report(&agent, &claimed, 1, "failed").await.ok();
    owner.post("/v1/tasks", new.clone()).await.ok();
    agent.post("/v1/tasks", new).await.ok();
    app.finish().await;
}

#[tokio::test]
async fn who_asks_to_cancel_a_running_task_is_heard_with_the_next_heartbeat() {
    let app = App::start().await;
    let (owner, agent) = stage(&app).await;
    let id = make(&owner, "a").await;
    let claimed = claim(&agent, "a").await;
    let beat = || tell(&agent, &claimed, "heartbeat", json!({}));
    let before = beat().await.ok();
    assert_eq!(before["cancel_requested"], false);
    let asked = cancel(&owner, id).await.ok();
    assert_eq!((&asked["status"], &asked["cancel_requested"]), (&json!("running"), &json!(true)));
    let told = beat().await.ok();
    assert_eq!(told["cancel_requested"], true);
    // The grace time is shorter than the lease was, and does not begin anew.
    let end = |beat: &Value| beat["lease_expires_at"].as_str().expect("a time").to_owned();
    assert!(end(&told) < end(&before), "{told} {before}");
    assert_eq!(beat().await.ok(), told);
    assert_eq!(cancel(&owner, id).await.ok(), asked);
    assert_eq!(beat().await.ok(), told);
    report(&agent, &claimed, 1, "cancelled").await.ok();
    let ended = read(&owner, id).await;
    assert_eq!(ended["status"], "cancelled");
    assert_eq!(cancel(&owner, id).await.ok(), ended);
    app.finish().await;
}

#[tokio::test]
async fn when_the_grace_time_is_over_the_task_is_cancelled_and_late_writes_are_refused() {
    let app = App::with(|config| {
        config.tasks.cancel_grace_seconds = 1;
        config.streams.heartbeat_seconds = 60;
    })
    .await;
    let (owner, agent) = stage(&app).await;
    let id = make(&owner, "a").await;
    let claimed = claim(&agent, "a").await;
    report(&agent, &claimed, 1, "running").await.ok();
    let mut reader = watch(&owner, id, "").await;
    reader.expect("snapshot").await;
    cancel(&owner, id).await.ok();
    tell(&agent, &claimed, "heartbeat", json!({})).await.ok();
    for status in ["running", "cancelled"] {
        let told = reader.expect("task.status").await.data;
        assert_eq!((&told["status"], &told["cancel_requested"]), (&json!(status), &json!(true)));
    }
    reader.expect("stream.closed").await;
    reader.expect_end().await;
    let before = shown(&owner, id).await;
    for (what, body) in [
        ("heartbeat", json!({})),
        ("release", json!({})),
        ("report", json!({ "seq": 2, "status": "completed" })),
        ("report", json!({ "seq": 2, "artifact": { "artifact_id": "a", "data": "late" } })),
    ] {
        tell(&agent, &claimed, what, body).await.problem(409);
    }
    assert_eq!(shown(&owner, id).await, before);
    // What was applied in time is still answered for.
    assert_eq!(report(&agent, &claimed, 1, "running").await.ok(), before[0]);
    assert_eq!(claim(&agent, "a").await, Value::Null);
    app.finish().await;
}

#[tokio::test]
async fn what_ended_long_ago_is_deleted_with_its_artifacts_and_its_events() {
    let app = App::with(|config| {
        config.retention.task_seconds = 1;
        config.retention.sweep_seconds = 1;
    })
    .await;
    let (owner, agent) = stage(&app).await;
    let (ended, waiting) = (make(&owner, "a").await, make(&owner, "b").await);
    let claimed = claim(&agent, "a").await;
    let last = json!({
        "seq": 1, "status": "completed", "artifact": { "artifact_id": "a", "data": [1] },
    });
    tell(&agent, &claimed, "report", last).await.ok();
    let path = format!("/v1/tasks/{ended}");
    until("deletion", async || owner.get(&path).await.status == 404).await;
    for part in ["/events", "/stream"] {
        owner.get(&format!("{path}{part}")).await.problem(404);
    }
    report(&agent, &claimed, 1, "completed").await.problem(404);
    let database = app.gateway.database.reader();
    assert_eq!(entity::artifact::Entity::find().count(database).await, Ok(0));
    let topics = entity::topic::Entity::find().all(database).await.expect("topics");
    let topics: Vec<_> = topics.into_iter().map(|topic| topic.name).collect();
    assert_eq!(topics, [format!("task.{waiting}")]);
    assert_eq!(read(&owner, waiting).await["status"], "pending");
    app.finish().await;
}
