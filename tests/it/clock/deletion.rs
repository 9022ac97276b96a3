//! Deletion by age, and rows that a wrong clock must not delete.

use std::{sync::Arc, time::Duration};

use entity::{Timestamp, notification, user::Role};
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, prelude::Expr};
use serde_json::{Value, json};
use streamgate::bus::InProcessBus;
use uuid::Uuid;

use crate::{
    clock::work::{HOUR, LONGER_THAN_STABLE, every_second, look},
    support::{App, Caller, Store, id_of, prompt, task, time::Time, until},
};

const SIXTY_DAYS: i64 = 60 * 24 * HOUR;

/// Resources that the gateway deletes or fails because of their age.
struct Things {
    owner: Caller,
    agent: Caller,
    task: String,
    prompt: String,
    answered: String,
    mcp_session: String,
    topology: String,
    notifications: String,
}

impl Things {
    async fn new(app: &App) -> Self {
        let (owner, agent) = task::owner_and_agent(app).await;
        let operator = app.caller(Role::Operator).await;
        let task = task::create(&owner, "thing").await;
        let claimed = task::claim(&agent, "thing").await;
        task::report(&agent, &claimed, 1, "completed").await.ok();
        let prompt = prompt::create(&owner).await.path;
        prompt::publish(&agent, &prompt, &Value::Null, prompt::event("complete")).await.ok();
        let answered = prompt::create(&owner).await.path;
        prompt::publish(&agent, &answered, &Value::Null, prompt::message(1)).await.ok();
        let mcp = id_of(&owner.post("/v1/mcp-sessions", json!({})).await.ok());
        let notifications = format!("/v1/users/{}/notifications", owner.id().await);
        agent.post(&notifications, json!({ "kind": "ping", "message": "!" })).await.ok();
        let topology = app.active_topology(&operator).await;
        Self {
            task: format!("/v1/tasks/{task}"),
            prompt,
            answered,
            mcp_session: format!("/v1/mcp-sessions/{mcp}"),
            topology: format!("/v1/topologies/{topology}"),
            notifications,
            owner,
            agent,
        }
    }

    /// Reads the statuses, notifications and events that REST still shows.
    async fn left(&self) -> Vec<Value> {
        let mut left = Vec::new();
        for path in [&self.task, &self.prompt, &self.answered, &self.mcp_session] {
            left.push(self.owner.get(path).await.body["status"].take());
        }
        left.push(self.owner.get(&self.notifications).await.ok()["items"].take());
        for path in [&self.task, &self.prompt, &self.topology, &self.notifications] {
            left.push(self.owner.get(&format!("{path}/events")).await.body["events"].take());
        }
        left
    }

    /// Waits until a sweep has finished all families: creates rows that look old, and waits until
    /// they are deleted.
    async fn swept(&self, app: &App) {
        let user = app.caller(Role::Viewer).await.id().await;
        let path = format!("/v1/users/{user}/notifications");
        for _ in 0..2 {
            let new = json!({ "kind": "ping", "message": "!" });
            let id = id_of(&self.agent.post(&path, new).await.ok());
            let rows = || notification::Entity::find_by_id(id);
            notification::Entity::update_many()
                .col_expr(notification::Column::CreatedAt, Expr::value(Timestamp(0)))
                .filter(notification::Column::Id.eq(id))
                .exec(app.gateway.database.writer())
                .await
                .expect("an update");
            let reader = app.gateway.database.reader();
            until("sweep", async || rows().one(reader).await.expect("a result").is_none()).await;
        }
    }
}

/// A task whose owner is deleted. The next sweep cancels the task before everything else, without
/// waiting for a stable clock.
async fn orphan(app: &App) -> Uuid {
    let owner = app.caller(Role::Viewer).await;
    let task = task::create(&owner, "orphan").await;
    entity::user::Entity::delete_by_id(owner.id().await)
        .exec(app.gateway.database.writer())
        .await
        .expect("a deletion");
    task
}

/// Waits until a sweep that began after the orphan was created has cancelled the orphan. Then waits
/// until the gateway has looked at leases twice.
async fn sweep_begun(app: &App, things: &Things, orphan: Uuid) {
    let reader = app.gateway.database.reader();
    until("sweep", async || {
        let row = entity::task::Entity::find_by_id(orphan).one(reader).await.expect("a result");
        row.expect("a task").status == entity::task::Status::Cancelled
    })
    .await;
    look(app, &things.owner, &things.agent).await;
}

#[tokio::test]
async fn rows_created_under_a_wrong_clock_are_kept() {
    let (store, bus) = (Store::new().await, Arc::new(InProcessBus::default()));
    // No heartbeat reads the clock.
    let first = App::on(store.clone(), bus.clone(), |config| {
        config.streams.heartbeat_seconds = 60;
    })
    .await;
    first.time.set_ahead(-SIXTY_DAYS);
    let mut things = Things::new(&first).await;
    first.time.set_ahead(0);
    let before = things.left().await;
    first.finish().await;
    let app = App::on(store, bus, every_second).await;
    (things.owner, things.agent) = (app.here(&things.owner), app.here(&things.agent));
    things.swept(&app).await;
    assert_eq!(things.left().await, before);
    app.finish().await;
}

#[tokio::test]
async fn nothing_is_deleted_while_the_clock_is_sixty_days_ahead() {
    let app = App::with(every_second).await;
    let things = Things::new(&app).await;
    let before = things.left().await;
    // The orphan is created before the jump, because the first sweep after it cancels orphans and
    // then waits.
    let orphan = orphan(&app).await;
    app.time.set_ahead(SIXTY_DAYS);
    sweep_begun(&app, &things, orphan).await;
    assert_eq!(things.left().await, before);
    app.time.set_ahead(0);
    look(&app, &things.owner, &things.agent).await;
    app.time.pass(LONGER_THAN_STABLE);
    things.swept(&app).await;
    assert_eq!(things.left().await, before);
    app.finish().await;
}

#[tokio::test]
async fn lasting_clock_jump_does_not_shorten_the_retention() {
    let app = App::with(every_second).await;
    let things = Things::new(&app).await;
    let before = things.left().await;
    app.time.set_ahead(SIXTY_DAYS);
    until("jump", async || app.metric("streamgate_clock_jumps_total") > 0.5).await;
    app.time.pass(LONGER_THAN_STABLE);
    things.swept(&app).await;
    assert_eq!(things.left().await, before);
    // After a week, the login sessions have expired by the wall clock, so the test reads the
    // database.
    app.time.pass(Duration::from_hours(7 * 24));
    let reader = app.gateway.database.reader();
    let processing = entity::prompt::Column::Status.eq(entity::prompt::Status::Processing);
    let completed = entity::prompt::Column::CompletedAt.is_not_null();
    let prompts = |which| entity::prompt::Entity::find().filter(which).count(reader);
    until("deletion of the old rows", async || {
        let counts = tokio::join!(
            entity::task::Entity::find().count(reader),
            prompts(processing.clone()),
            notification::Entity::find().count(reader),
        );
        matches!(counts, (Ok(0), Ok(0), Ok(0)))
    })
    .await;
    // The prompt that has just failed is kept for another week.
    until("one failed prompt", async || prompts(completed.clone()).await == Ok(1)).await;
    app.time.pass(Duration::from_hours(7 * 24));
    until("deletion of the failed prompt", async || prompts(completed.clone()).await == Ok(0))
        .await;
    app.finish().await;
}

#[tokio::test]
async fn gateway_that_starts_with_a_wrong_clock_deletes_nothing() {
    let (store, bus) = (Store::new().await, Arc::new(InProcessBus::default()));
    // This gateway does not sweep during the test.
    let first = App::on(store.clone(), bus.clone(), |_| ()).await;
    let mut things = Things::new(&first).await;
    let before = things.left().await;
    let orphan = orphan(&first).await;
    first.finish().await;
    let time = Arc::new(Time::default());
    time.set_ahead(SIXTY_DAYS);
    let app = App::at(store, bus, &time, every_second).await;
    (things.owner, things.agent) = (app.here(&things.owner), app.here(&things.agent));
    sweep_begun(&app, &things, orphan).await;
    assert_eq!(things.left().await, before);
    time.set_ahead(0);
    look(&app, &things.owner, &things.agent).await;
    time.pass(LONGER_THAN_STABLE);
    things.swept(&app).await;
    assert_eq!(things.left().await, before);
    app.finish().await;
}
