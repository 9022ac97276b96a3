//! Clocks that jump, machines that sleep, and what must not depend on either.

use std::{sync::Arc, time::Duration};

use entity::{Timestamp, session, user::Role};
use sea_orm::{ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, prelude::Expr};
use serde_json::{Value, json};
use streamgate::{bus::InProcessBus, clock::SETTLING, config::Config};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::{
    prompts::create as prompt,
    support::app::{App, Caller, Store, id_of, until},
    tasks::cancel as task,
    topologies::mutations::claim as mutation,
};

pub const HOUR: i64 = 3_600;

/// A little longer than a clock has to be stable.
pub const SETTLED: Duration = SETTLING.saturating_add(Duration::from_secs(1));

const HELD: [&str; 3] = ["running", "applying", "processing"];

const FREE: [&str; 3] = ["pending", "pending", "queued"];

/// Something of each family with leases, claimed.
struct Work {
    owner: Caller,
    operator: Caller,
    agent: Caller,
    task: Value,
    mutations: String,
    mutation: Value,
    prompt: String,
    prompt_claim: Value,
}

impl Work {
    async fn claimed(app: &App, seconds: u64) -> Self {
        let (operator, agent, _, mutations) = mutation::stage(app, "active").await;
        let owner = app.caller(Role::Viewer).await;
        let topology = mutations.split('/').nth(3).and_then(|id| id.parse().ok()).expect("an id");
        operator.mutate(topology, 1).await.ok();
        task::make(&owner, "work").await;
        let asked = prompt::ask(&owner).await;
        let lease = json!({ "lease_seconds": seconds });
        let work = json!({ "lease_seconds": seconds, "skills": ["work"] });
        let first =
            async |path: &str, body: &Value| agent.post(path, body.clone()).await.ok()[0].take();
        Self {
            task: first("/v1/tasks/claim", &work).await,
            mutation: first(&format!("{mutations}/claim"), &lease).await,
            prompt_claim: first("/v1/prompts/claim", &lease).await,
            prompt: asked.path,
            owner,
            operator,
            agent,
            mutations,
        }
    }

    async fn states(&self) -> [Value; 3] {
        let task = task::read(&self.owner, id_of(&self.task["task"])).await["status"].take();
        let mutation = self.operator.get(&self.mutations).await.ok()["items"][0]["state"].take();
        [task, mutation, prompt::status(&self.owner, &self.prompt).await]
    }

    /// Calls of the worker that need a lease that holds. Returns until when it holds now.
    async fn heartbeats(&self) -> [OffsetDateTime; 2] {
        let lease = json!({ "lease_token": self.prompt_claim["lease_token"] });
        let path = format!("{}/heartbeat", self.prompt);
        let answers = [
            task::tell(&self.agent, &self.task, "heartbeat", json!({})).await.ok(),
            self.agent.post(&path, lease).await.ok(),
        ];
        answers.map(|answer| time_of(&answer["lease_expires_at"]))
    }

    async fn reports_are_refused(&self) {
        task::report(&self.agent, &self.task, 1, "completed").await.problem(409);
        mutation::report(&self.agent, &self.mutations, &self.mutation, "applied")
            .await
            .problem(409);
        let end = prompt::event("complete");
        prompt::publish(&self.agent, &self.prompt, &self.prompt_claim, end).await.problem(409);
    }

    async fn reports_are_taken(&self) {
        task::report(&self.agent, &self.task, 1, "completed").await.ok();
        mutation::report(&self.agent, &self.mutations, &self.mutation, "applied").await.ok();
        let end = prompt::event("complete");
        prompt::publish(&self.agent, &self.prompt, &self.prompt_claim, end).await.ok();
    }
}

fn time_of(text: &Value) -> OffsetDateTime {
    OffsetDateTime::parse(text.as_str().expect("a time"), &Rfc3339).expect("a time")
}

/// Checks that a time is this many seconds from now, give or take what a test takes.
#[track_caller]
fn is_in(at: OffsetDateTime, seconds: i64) {
    let off = (at - Timestamp::now().datetime()).whole_seconds() - seconds;
    assert!(off.abs() < 15, "{off} s off");
}

/// With leases that are looked at, and sweeps, every second.
pub fn hurried(config: &mut Config) {
    config.streams.heartbeat_seconds = 1;
    config.retention.sweep_seconds = 1;
}

/// Waits until leases have been looked at, and for longer than a second: until one has run out that
/// holds for a second.
pub async fn look(app: &App, owner: &Caller, agent: &Caller) {
    for _ in 0..2 {
        let skill = Uuid::new_v4().to_string();
        let id = task::make(owner, &skill).await;
        let claim = json!({ "skills": [skill], "lease_seconds": 1 });
        agent.post("/v1/tasks/claim", claim).await.ok();
        until("end of a short lease", async || {
            app.look_for_expired_leases();
            task::read(owner, id).await["status"] == "pending"
        })
        .await;
    }
}

#[tokio::test]
async fn a_lease_ends_after_its_seconds_though_the_clock_went_back() {
    let app = App::start().await;
    let work = Work::claimed(&app, 300).await;
    app.time.set_ahead(-HOUR);
    assert_eq!(work.states().await, HELD);
    app.time.pass(Duration::from_secs(301));
    app.look_for_expired_leases();
    until("end of the leases", async || work.states().await == FREE).await;
    work.reports_are_refused().await;
    app.finish().await;
}

#[tokio::test]
async fn a_lease_outlives_a_clock_that_is_ahead_for_a_moment() {
    let app = App::with(hurried).await;
    let work = Work::claimed(&app, 300).await;
    app.time.set_ahead(600);
    look(&app, &work.owner, &work.agent).await;
    assert_eq!(work.states().await, HELD);
    assert!((0.5..1.5).contains(&app.metric("streamgate_clock_jumps_total")));
    assert!((app.metric("streamgate_clock_offset_seconds") - 600.0).abs() < 2.0);
    for until in work.heartbeats().await {
        is_in(until, 300);
    }
    app.time.set_ahead(0);
    look(&app, &work.owner, &work.agent).await;
    assert_eq!(work.states().await, HELD);
    assert!(app.metric("streamgate_clock_offset_seconds").abs() < 2.0);
    work.reports_are_taken().await;
    app.finish().await;
}

#[tokio::test]
async fn a_clock_that_stays_elsewhere_is_adopted_and_changes_no_lease() {
    for ahead in [HOUR, -HOUR] {
        let app = App::with(|config| {
            hurried(config);
            config.tasks.cancel_grace_seconds = 300;
        })
        .await;
        let work = Work::claimed(&app, 300).await;
        let dying = task::make(&work.owner, "dying").await;
        let claim = json!({ "skills": ["dying"], "lease_seconds": 3_600 });
        let claimed = work.agent.post("/v1/tasks/claim", claim).await.ok()[0].take();
        task::cancel(&work.owner, dying).await.ok();
        app.time.set_ahead(ahead);
        until("jump", async || app.metric("streamgate_clock_jumps_total") > 0.5).await;
        app.time.pass(SETTLED);
        until("adoption", async || app.metric("streamgate_clock_offset_seconds").abs() < 2.0).await;
        let other = Work::claimed(&app, 300).await;
        is_in(time_of(&other.task["lease_expires_at"]), ahead + 61 + 300);
        // 61, 241 and 301 seconds after the claim.
        app.time.pass(Duration::from_mins(3));
        look(&app, &work.owner, &work.agent).await;
        assert_eq!(work.states().await, HELD, "{ahead}");
        let told = task::tell(&work.agent, &claimed, "heartbeat", json!({})).await.ok();
        assert_eq!(told["cancel_requested"], true);
        assert_eq!(task::read(&work.owner, dying).await["status"], "running");
        app.time.pass(Duration::from_mins(1));
        until("end of the leases", async || work.states().await == FREE).await;
        let is_over = async || task::read(&work.owner, dying).await["status"] == "cancelled";
        until("end of the grace time", is_over).await;
        assert_eq!(other.states().await, HELD, "{ahead}");
        app.time.pass(Duration::from_mins(1));
        until("end of the other leases", async || other.states().await == FREE).await;
        app.finish().await;
    }
}

#[tokio::test]
async fn many_leases_of_a_later_clock_hide_none_that_is_over() {
    // So that nothing but the alarm has leases looked at.
    let app = App::with(|config| config.streams.heartbeat_seconds = 60).await;
    let work = Work::claimed(&app, 300).await;
    app.time.set_ahead(-HOUR);
    app.gateway.clock.read();
    app.time.pass(SETTLED);
    let now = app.gateway.clock.now();
    // By the time that is right now: the new setting is adopted.
    is_in(now.datetime(), 61 - HOUR);
    let id = id_of(&work.task["task"]);
    let reader = app.gateway.database.reader();
    let claimed = entity::task::Entity::find_by_id(id).one(reader).await.expect("an answer");
    let claimed = claimed.expect("a task");
    let others = (0..500).map(|_| entity::task::Model {
        id: Uuid::now_v7(),
        lease_expires_at: Some(now + Duration::from_secs(240 + 50)),
        lease_clock: None,
        ..claimed.clone()
    });
    entity::task::Entity::insert_many(others.map(IntoActiveModel::into_active_model))
        .exec(app.gateway.database.writer())
        .await
        .expect("tasks");
    app.time.pass(Duration::from_mins(4));
    app.look_for_expired_leases();
    let is_free = async || task::read(&work.owner, id).await["status"] == "pending";
    until("end of the lease", is_free).await;
    app.finish().await;
}

#[tokio::test]
async fn a_lease_goes_on_in_the_next_process_and_ends_there() {
    let (store, bus) = (Store::new().await, Arc::new(InProcessBus::default()));
    let first = App::on(store.clone(), bus.clone(), hurried).await;
    let mut work = Work::claimed(&first, 300).await;
    first.finish().await;
    let app = App::on(store, bus, hurried).await;
    for caller in [&mut work.owner, &mut work.operator, &mut work.agent] {
        *caller = app.here(caller);
    }
    app.time.pass(Duration::from_secs(200));
    look(&app, &work.owner, &work.agent).await;
    assert_eq!(work.states().await, HELD);
    app.time.pass(Duration::from_secs(100));
    until("end of the leases", async || work.states().await == FREE).await;
    work.reports_are_refused().await;
    app.finish().await;
}

#[tokio::test]
async fn a_gateway_whose_clock_jumps_leaves_the_leases_of_another_alone() {
    let (store, bus) = (Store::new().await, Arc::new(InProcessBus::default()));
    let (one, two) =
        (App::on(store.clone(), bus.clone(), hurried).await, App::on(store, bus, hurried).await);
    let work = Work::claimed(&one, 300).await;
    let (owner, agent) = (two.here(&work.owner), two.here(&work.agent));
    for ahead in [600, -HOUR, 0] {
        two.time.set_ahead(ahead);
        look(&two, &owner, &agent).await;
        assert_eq!(work.states().await, HELD, "{ahead}");
    }
    // It says so at the other one.
    let lease = json!({ "lease_token": work.prompt_claim["lease_token"] });
    two.time.set_ahead(600);
    agent.post(&format!("{}/heartbeat", work.prompt), lease).await.ok();
    work.reports_are_taken().await;
    two.finish().await;
    one.finish().await;
}

#[tokio::test]
async fn a_suspended_machine_ends_leases_and_believes_no_memory() {
    // So that nothing but the clock ends what is remembered.
    let app = App::with(|config| config.streams.heartbeat_seconds = 60).await;
    let work = Work::claimed(&app, 300).await;
    let user = app.caller(Role::Viewer).await;
    user.get("/v1/auth/me").await.ok();
    session::Entity::update_many()
        .col_expr(session::Column::RevokedAt, Expr::value(Timestamp::now()))
        .filter(session::Column::UserId.eq(user.id().await))
        .exec(app.gateway.database.writer())
        .await
        .expect("an update");
    user.get("/v1/auth/me").await.ok();
    app.time.pass(Duration::from_mins(6));
    user.get("/v1/auth/me").await.problem(401);
    work.reports_are_refused().await;
    // As the first heartbeat after wake-up does.
    app.look_for_expired_leases();
    until("end of the leases", async || work.states().await == FREE).await;
    assert!(app.metric("streamgate_clock_jumps_total") < 0.5);
    app.finish().await;
}

#[tokio::test]
async fn sessions_and_tokens_do_not_wait_for_a_stable_clock() {
    let app = App::with(hurried).await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    // While the clock that leases go by is an hour behind: first in doubt, then adopted.
    app.time.set_ahead(-HOUR);
    until("jump", async || app.metric("streamgate_clock_jumps_total") > 0.5).await;
    for round in 0..2 {
        let user = app.caller(Role::Viewer).await;
        let end = Timestamp::now() + Duration::from_secs(2);
        session::Entity::update_many()
            .col_expr(session::Column::ExpiresAt, Expr::value(end))
            .filter(session::Column::Id.is_in([session_of(&app, &user)]))
            .exec(app.gateway.database.writer())
            .await
            .expect("an update");
        let mut reader = user.watch(topology, "").await;
        reader.expect("snapshot").await;
        assert_eq!(reader.expect("stream.closed").await.data["reason"], "session_expired");
        reader.expect_end().await;
        let late = Timestamp::now().since(end);
        assert!(late < Duration::from_secs(5), "{late:?} late in round {round}");
        user.get("/v1/auth/me").await.problem(401);
        app.time.pass(SETTLED);
        until("adoption", async || app.metric("streamgate_clock_offset_seconds").abs() < 2.0).await;
    }
    app.finish().await;
}

/// The session of an access token.
fn session_of(app: &App, caller: &Caller) -> Uuid {
    let token = caller.token.as_deref().expect("a token");
    app.gateway.tokens.verify_access(token).expect("a good token").sid
}
