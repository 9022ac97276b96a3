//! `/v1/api-keys`: credentials of programs, and what they may do.

use entity::{Timestamp, api_key, user::Role};
use reqwest::Method;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ConnectionTrait, EntityTrait};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    Answer, App, Caller, PASSWORD,
    auth::{bearer, invalid_token},
    connection, id_of,
    openapi::{assert_none, operations},
    store::Store,
    task,
    topology::operator_with_topology,
};

/// Creates a key. Returns the body of the response, and a client with the key.
async fn create(app: &App, owner: &Caller, new: Value) -> (Value, Caller) {
    let created = owner.post("/v1/api-keys", new).await.ok();
    let key = created["key"].as_str().expect("a key").to_owned();
    (created, bearer(app, &key))
}

async fn delete(owner: &Caller, key: &Value) -> Answer {
    owner.call(Method::DELETE, &format!("/v1/api-keys/{}", id_of(key)), None).await
}

async fn rotate(app: &App, owner: &Caller, key: &Value, overlap: u64) -> Caller {
    let path = format!("/v1/api-keys/{}/rotate", id_of(key));
    let rotated = owner.post(&path, json!({ "overlap_seconds": overlap })).await.ok();
    assert_eq!((&rotated["id"], &rotated["name"]), (&key["id"], &key["name"]));
    bearer(app, rotated["key"].as_str().expect("a key"))
}

#[tokio::test]
async fn key_acts_as_its_owner_and_is_shown_once() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let new = json!({ "name": "worker", "role": "agent", "expires_at": "2999-01-01T00:00:00Z" });
    let (created, worker) = create(&app, &operator, new).await;
    let key = worker.token.clone().expect("a key");
    assert!(key.starts_with("sgk_") && key.len() == 40, "{key}");
    assert_eq!(created["hint"], key[..10]);
    let me = worker.me().await;
    assert_eq!((&me["id"], &me["role"]), (&json!(operator.id().await), &json!("agent")));
    assert_eq!(me["session_expires_at"], "2999-01-01T00:00:00Z");
    // The key works where a login works: it claims work and opens streams, also by a stream token.
    task::create(&operator, "a").await;
    task::claim(&worker, "a").await;
    worker.post("/v1/topologies", json!({ "name": "t" })).await.problem(403);
    let topology = app.active_topology(&operator).await;
    let mut streams = [worker.watch(topology, "").await, {
        let url = worker.stream_url(topology).await;
        app.anyone().stream(&url, "").await
    }];
    for stream in &mut streams {
        stream.expect("snapshot").await;
    }
    let shown = operator.get(&format!("/v1/api-keys/{}", id_of(&created))).await.ok();
    let listed = operator.get("/v1/api-keys").await.ok();
    assert_eq!(listed["items"], json!([shown]));
    assert_eq!(shown["last_used_address"], "127.0.0.1");
    let today = Timestamp::now().datetime().date().to_string();
    assert_eq!(shown["last_used_on"], today);
    assert!(!listed.to_string().contains(&key) && shown.get("key").is_none());
    drop(streams);
    app.finish().await;
}

#[tokio::test]
async fn deleted_key_ends_its_streams_at_once() {
    let app = App::without_heartbeat().await;
    let (operator, topology) = operator_with_topology(&app).await;
    let (created, worker) = create(&app, &operator, json!({ "name": "worker" })).await;
    let mut stream = worker.watch(topology, "").await;
    stream.expect("snapshot").await;
    let (_, other) = create(&app, &operator, json!({ "name": "other" })).await;
    let mut others = other.watch(topology, "").await;
    others.expect("snapshot").await;
    assert_eq!(delete(&operator, &created).await.status, 204);
    assert_eq!(stream.expect("stream.closed").await.data["reason"], "session_revoked");
    invalid_token(worker.get("/v1/auth/me").await);
    delete(&operator, &created).await.problem(404);
    operator.mutate(topology, 1).await.ok();
    others.expect("mutation.enqueued").await;
    drop(others);
    app.finish().await;
}

#[tokio::test]
async fn key_is_never_above_its_owner() {
    let app = App::without_heartbeat().await;
    let admin = app.log_in("admin").await;
    let operator = app.caller(Role::Operator).await;
    operator.post("/v1/api-keys", json!({ "name": "k", "role": "admin" })).await.problem(403);
    let (_, key) = create(&app, &operator, json!({ "name": "k" })).await;
    assert_eq!(key.me().await["role"], "operator");
    let topology = app.active_topology(&key).await;
    let mut stream = key.watch(topology, "").await;
    stream.expect("snapshot").await;
    let path = format!("/v1/users/{}", operator.id().await);
    admin.call(Method::PATCH, &path, Some(json!({ "role": "viewer" }))).await.ok();
    assert_eq!(stream.expect("stream.closed").await.data["reason"], "role_lowered");
    assert_eq!(key.me().await["role"], "viewer");
    app.finish().await;
}

#[tokio::test]
async fn key_of_a_disabled_user_is_refused() {
    let app = App::without_heartbeat().await;
    let admin = app.log_in("admin").await;
    let (operator, topology) = operator_with_topology(&app).await;
    let (_, key) = create(&app, &operator, json!({ "name": "k" })).await;
    let mut stream = key.watch(topology, "").await;
    stream.expect("snapshot").await;
    let path = format!("/v1/users/{}", operator.id().await);
    admin.call(Method::PATCH, &path, Some(json!({ "disabled": true }))).await.ok();
    assert_eq!(stream.expect("stream.closed").await.data["reason"], "user_disabled");
    assert_eq!(invalid_token(key.get("/v1/auth/me").await), "the user is disabled");
    admin.call(Method::PATCH, &path, Some(json!({ "disabled": false }))).await.ok();
    key.me().await;
    // A new password and a revocation end logins, which may be of somebody else. A key has its own life.
    admin.call(Method::PATCH, &path, Some(json!({ "password": "another password" }))).await.ok();
    admin.post(&format!("{path}/revoke"), json!({})).await.ok();
    invalid_token(operator.get("/v1/auth/me").await);
    key.me().await;
    admin.call(Method::DELETE, &path, None).await.ok();
    invalid_token(key.get("/v1/auth/me").await);
    app.finish().await;
}

#[tokio::test]
async fn key_cannot_manage_keys_or_users() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let (created, key) = create(&app, &admin, json!({ "name": "k" })).await;
    assert_eq!(key.me().await["role"], "admin");
    let id = id_of(&created);
    let user = json!({ "username": "eve", "password": PASSWORD, "role": "admin" });
    for (method, path, body) in [
        (Method::POST, "/v1/api-keys".to_owned(), Some(json!({ "name": "another" }))),
        (Method::GET, "/v1/api-keys".to_owned(), None),
        (Method::GET, format!("/v1/api-keys/{id}"), None),
        (Method::POST, format!("/v1/api-keys/{id}/rotate"), Some(json!({}))),
        (Method::DELETE, format!("/v1/api-keys/{id}"), None),
        (Method::POST, "/v1/users".to_owned(), Some(user)),
        (Method::GET, "/v1/users".to_owned(), None),
        (Method::PATCH, format!("/v1/users/{}", Uuid::now_v7()), Some(json!({}))),
        (Method::POST, format!("/v1/users/{}/revoke", Uuid::now_v7()), None),
        (Method::DELETE, format!("/v1/users/{}", Uuid::now_v7()), None),
        (Method::POST, "/v1/auth/logout".to_owned(), None),
    ] {
        let detail = key.call(method, &path, body).await.problem(403);
        assert_eq!(detail, "an API key cannot call this operation: log in", "{path}");
    }
    // It can see what happens.
    key.get("/v1/audit-events").await.ok();
    app.finish().await;
}

#[tokio::test]
async fn key_for_one_family_reaches_no_other() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let (_, topology) = operator_with_topology(&app).await;
    let task = task::create(&admin, "a").await;
    let new = json!({ "name": "k", "families": ["task"] });
    let (created, key) = create(&app, &admin, new).await;
    assert_eq!(created["families"], json!(["task"]));
    let document: Value = key.get("/openapi.json").await.ok();
    let others = ["Topology", "Prompt", "McpSession", "Notification"];
    let mut faults = Vec::new();
    let mut tried = 0;
    for operation in operations(&document) {
        let tag = operation.value["tags"][0].as_str().expect("a tag");
        if !others.contains(&tag) {
            continue;
        }
        tried += 1;
        let path = operation.path_with(std::iter::repeat_with(|| Uuid::now_v7().to_string()));
        let answer = key
            .call(
                operation.method.to_uppercase().parse().expect("a method"),
                &path,
                Some(json!({})),
            )
            .await;
        if answer.status != 403 || answer.body["detail"] != "this API key is not for this family" {
            faults.push(format!("{}: {answer:?}", operation.id));
        }
    }
    assert_none(&faults);
    assert!(tried > 25, "{tried}");
    key.get(&format!("/v1/tasks/{task}")).await.ok();
    let names = [format!("task.{task}"), format!("topology.{topology}")];
    key.post("/v1/stream-tokens", json!({ "topics": names })).await.problem(403);
    key.get(&format!("/v1/streams?topic={}", names[1])).await.problem(403);
    key.post("/v1/stream-tokens", json!({ "topics": [names[0]] })).await.ok();
    // The key sees and closes the streams of its family only.
    let both = format!("/v1/streams?topic={}&topic={}", names[0], names[1]);
    let foreign = admin.stream(&both, "").await;
    let own = admin.stream(&format!("/v1/tasks/{task}/stream"), "").await;
    let listed = connection::list(&key).await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0]["id"], connection::id(&own));
    connection::delete(&key, connection::id(&foreign)).await.problem(404);
    assert_eq!(connection::delete(&key, connection::id(&own)).await.status, 204);
    drop((foreign, own));
    app.finish().await;
}

#[tokio::test]
async fn rotated_key_overlaps_with_the_previous_one() {
    let app = App::without_heartbeat().await;
    let (operator, topology) = operator_with_topology(&app).await;
    let (created, first) = create(&app, &operator, json!({ "name": "k" })).await;
    let mut stream = first.watch(topology, "").await;
    stream.expect("snapshot").await;
    let second = rotate(&app, &operator, &created, 3_600).await;
    for key in [&first, &second] {
        key.me().await;
    }
    // The overlap ends. The stream belongs to the key, whatever its text.
    let row = api_key::ActiveModel {
        id: Set(id_of(&created)),
        previous_ends_at: Set(Some(Timestamp::now())),
        ..Default::default()
    };
    row.update(app.gateway.database.writer()).await.expect("an update");
    // The next rotation makes the gateway look the keys up again.
    let third = rotate(&app, &operator, &created, 0).await;
    for key in [&first, &second] {
        invalid_token(key.get("/v1/auth/me").await);
    }
    third.me().await;
    operator.mutate(topology, 1).await.ok();
    stream.expect("mutation.enqueued").await;
    let path = format!("/v1/api-keys/{}/rotate", id_of(&created));
    operator.post(&path, json!({ "overlap_seconds": 2_592_001 })).await.problem(400);
    // An administrator can delete the key of another user, but cannot get a credential of that user.
    let admin = app.log_in("admin").await;
    admin.post(&path, json!({})).await.problem(404);
    delete(&admin, &created).await.ok();
    assert_eq!(stream.expect("stream.closed").await.data["reason"], "session_revoked");
    app.finish().await;
}

#[tokio::test]
async fn previous_key_ends_after_the_overlap() {
    let app = App::without_heartbeat().await;
    let operator = app.caller(Role::Operator).await;
    let (created, first) = create(&app, &operator, json!({ "name": "k" })).await;
    let second = rotate(&app, &operator, &created, 1).await;
    first.me().await;
    // The key is in the cache, with its end.
    crate::support::until("end of the overlap", async || {
        first.get("/v1/auth/me").await.status == 401
    })
    .await;
    second.me().await;
    app.finish().await;
}

#[tokio::test]
async fn expired_key_ends_its_streams() {
    let app = App::without_heartbeat().await;
    let (operator, topology) = operator_with_topology(&app).await;
    let end = Timestamp::now() + std::time::Duration::from_secs(2);
    let format = &time::format_description::well_known::Rfc3339;
    let expires_at = end.datetime().format(format).expect("a time");
    let (_, key) = create(&app, &operator, json!({ "name": "k", "expires_at": expires_at })).await;
    let mut stream = key.watch(topology, "").await;
    stream.expect("snapshot").await;
    stream.expect("stream.expiring").await;
    assert_eq!(stream.expect("stream.closed").await.data["reason"], "session_expired");
    invalid_token(key.get("/v1/auth/me").await);
    let past = json!({ "name": "k", "expires_at": "2020-01-01T00:00:00Z" });
    assert!(operator.post("/v1/api-keys", past).await.problem(400).contains("future"));
    app.finish().await;
}

#[tokio::test]
async fn users_see_their_own_keys_and_administrators_all() {
    let app = App::start().await;
    let (one, other) = (app.caller(Role::Viewer).await, app.caller(Role::Viewer).await);
    let admin = app.log_in("admin").await;
    let (mine, _) = create(&app, &one, json!({ "name": "mine" })).await;
    create(&app, &other, json!({ "name": "theirs" })).await;
    let names = async |caller: &Caller| -> Vec<Value> {
        let listed = caller.get("/v1/api-keys").await.ok();
        listed["items"].as_array().expect("items").iter().map(|key| key["name"].clone()).collect()
    };
    assert_eq!(names(&one).await, ["mine"]);
    assert_eq!(names(&admin).await, ["mine", "theirs"]);
    let path = format!("/v1/api-keys/{}", id_of(&mine));
    other.get(&path).await.problem(404);
    other.post(&format!("{path}/rotate"), json!({})).await.problem(404);
    delete(&other, &mine).await.problem(404);
    assert_eq!(admin.get(&path).await.ok()["user_id"], json!(one.id().await));
    app.finish().await;
}

#[tokio::test]
async fn wrong_keys_are_refused_and_never_read_from_the_url() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let (_, key) = create(&app, &operator, json!({ "name": "k" })).await;
    let text = key.token.clone().expect("a key");
    let changed = format!("{}{}", &text[..39], if text.ends_with('0') { '1' } else { '0' });
    for wrong in [&changed, "sgk_", "sgk_é", &text[..39], &text.to_lowercase()] {
        let mut caller = app.anyone();
        caller.token = Some(wrong.to_owned());
        caller.get("/v1/auth/me").await.problem(401);
        // The body of a request with a wrong key is not read.
        caller.post("/v1/tasks", json!({ "task_type": "a" })).await.problem(401);
    }
    // The checksum is enough to refuse a mistyped key.
    app.rename_table("api_key", "hidden").await;
    let mistyped = bearer(&app, &changed).get("/v1/auth/me").await;
    app.rename_table("hidden", "api_key").await;
    invalid_token(mistyped);
    for name in ["access_token", "stream_token", "key"] {
        let detail = invalid_token(key.get(&format!("/v1/auth/me?{name}={text}")).await);
        assert!(detail.contains("must not be in a URL"), "{detail}");
    }
    app.finish().await;
}

#[tokio::test]
async fn database_has_only_the_hash_of_a_key() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let (created, key) = create(&app, &operator, json!({ "name": "k" })).await;
    let text = key.token.expect("a key");
    let row = api_key::Entity::find_by_id(id_of(&created)).one(app.gateway.database.reader()).await;
    let row = format!("{:?}", row.expect("a query").expect("a row"));
    assert!(!row.contains(&text) && !row.contains(&text[4..]), "{row}");
    app.finish().await;
}

#[tokio::test]
async fn user_has_at_most_a_hundred_keys() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    for number in 0..100 {
        create(&app, &operator, json!({ "name": format!("k{number}") })).await;
    }
    operator.post("/v1/api-keys", json!({ "name": "one more" })).await.problem(409);
    app.finish().await;
}

#[tokio::test]
async fn key_that_another_gateway_deleted_ends_there() {
    let store = Store::new().await;
    let bus = std::sync::Arc::new(streamgate::bus::InProcessBus::default());
    let one = App::on(store.clone(), bus.clone(), |_| ()).await;
    let two = App::on(store, bus, |config| config.streams.heartbeat_seconds = 60).await;
    let (operator, topology) = operator_with_topology(&one).await;
    let (created, key) = create(&one, &operator, json!({ "name": "k" })).await;
    let there = two.here(&key);
    let mut stream = there.watch(topology, "").await;
    stream.expect("snapshot").await;
    delete(&operator, &created).await.ok();
    assert_eq!(stream.expect("stream.closed").await.data["reason"], "session_revoked");
    invalid_token(there.get("/v1/auth/me").await);
    let alive = one.gateway.database.reader().execute_unprepared("SELECT 1").await;
    alive.expect("a query");
    drop(stream);
    two.finish().await;
    one.finish().await;
}
