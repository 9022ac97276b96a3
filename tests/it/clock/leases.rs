//! Leases keep their duration, even if the wall clock jumps.

use std::{sync::Arc, time::Duration};

use sea_orm::{EntityTrait, IntoActiveModel};
use serde_json::json;
use streamgate::bus::InProcessBus;
use uuid::Uuid;

use crate::{
    clock::work::{
        CLAIMED, ClaimedWork, HOUR, LONGER_THAN_STABLE, UNCLAIMED, every_second, is_in, look,
        time_of,
    },
    support::{App, Store, id_of, task, until},
};

#[tokio::test]
async fn lease_expires_after_its_duration_when_the_clock_goes_back() {
    let app = App::start().await;
    let work = ClaimedWork::claimed(&app, 300).await;
    app.time.set_ahead(-HOUR);
    assert_eq!(work.states().await, CLAIMED);
    app.time.pass(Duration::from_secs(301));
    app.look_for_expired_leases();
    until("end of the leases", async || work.states().await == UNCLAIMED).await;
    work.reports_are_refused().await;
    app.finish().await;
}

#[tokio::test]
async fn lease_survives_a_clock_that_is_ahead_for_a_moment() {
    let app = App::with(every_second).await;
    let work = ClaimedWork::claimed(&app, 300).await;
    app.time.set_ahead(600);
    look(&app, &work.owner, &work.agent).await;
    assert_eq!(work.states().await, CLAIMED);
    assert!((0.5..1.5).contains(&app.metric("streamgate_clock_jumps_total")));
    assert!((app.metric("streamgate_clock_offset_seconds") - 600.0).abs() < 2.0);
    for until in work.heartbeats().await {
        is_in(until, 300);
    }
    app.time.set_ahead(0);
    look(&app, &work.owner, &work.agent).await;
    assert_eq!(work.states().await, CLAIMED);
    assert!(app.metric("streamgate_clock_offset_seconds").abs() < 2.0);
    work.reports_are_taken().await;
    app.finish().await;
}

#[tokio::test]
async fn lasting_clock_jump_is_adopted_without_changing_leases() {
    for ahead in [HOUR, -HOUR] {
        let app = App::with(|config| {
            every_second(config);
            config.tasks.cancel_grace_seconds = 300;
        })
        .await;
        let work = ClaimedWork::claimed(&app, 300).await;
        let dying = task::create(&work.owner, "dying").await;
        let claim = json!({ "skills": ["dying"], "lease_seconds": 3_600 });
        let claimed = work.agent.post("/v1/tasks/claim", claim).await.ok()[0].take();
        task::cancel(&work.owner, dying).await.ok();
        app.time.set_ahead(ahead);
        until("jump", async || app.metric("streamgate_clock_jumps_total") > 0.5).await;
        app.time.pass(LONGER_THAN_STABLE);
        until("adoption", async || app.metric("streamgate_clock_offset_seconds").abs() < 2.0).await;
        let other = ClaimedWork::claimed(&app, 300).await;
        is_in(time_of(&other.task["lease_expires_at"]), ahead + 61 + 300);
        // The time is 61 seconds after the first claim, then 241, then 301.
        app.time.pass(Duration::from_mins(3));
        look(&app, &work.owner, &work.agent).await;
        assert_eq!(work.states().await, CLAIMED, "{ahead}");
        let told = task::send(&work.agent, &claimed, "heartbeat", json!({})).await.ok();
        assert_eq!(told["cancel_requested"], true);
        assert_eq!(task::get(&work.owner, dying).await["status"], "running");
        app.time.pass(Duration::from_mins(1));
        until("end of the leases", async || work.states().await == UNCLAIMED).await;
        let is_over = async || task::get(&work.owner, dying).await["status"] == "cancelled";
        until("end of the grace time", is_over).await;
        assert_eq!(other.states().await, CLAIMED, "{ahead}");
        app.time.pass(Duration::from_mins(1));
        until("end of the other leases", async || other.states().await == UNCLAIMED).await;
        app.finish().await;
    }
}

#[tokio::test]
async fn expired_lease_is_found_among_many_later_leases() {
    // Only the deadline of the next lease makes the gateway look at leases.
    let app = App::with(|config| config.streams.heartbeat_seconds = 60).await;
    let work = ClaimedWork::claimed(&app, 300).await;
    app.time.set_ahead(-HOUR);
    app.gateway.clock.read();
    app.time.pass(LONGER_THAN_STABLE);
    let now = app.gateway.clock.now();
    // The gateway has adopted the new wall clock.
    is_in(now.datetime(), 61 - HOUR);
    let id = id_of(&work.task["task"]);
    let reader = app.gateway.database.reader();
    let claimed = entity::task::Entity::find_by_id(id).one(reader).await.expect("a result");
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
    let is_free = async || task::get(&work.owner, id).await["status"] == "pending";
    until("end of the lease", is_free).await;
    app.finish().await;
}

#[tokio::test]
async fn lease_continues_and_expires_in_the_next_process() {
    let (store, bus) = (Store::new().await, Arc::new(InProcessBus::default()));
    let first = App::on(store.clone(), bus.clone(), every_second).await;
    let mut work = ClaimedWork::claimed(&first, 300).await;
    first.finish().await;
    let app = App::on(store, bus, every_second).await;
    for caller in [&mut work.owner, &mut work.operator, &mut work.agent] {
        *caller = app.here(caller);
    }
    app.time.pass(Duration::from_secs(200));
    look(&app, &work.owner, &work.agent).await;
    assert_eq!(work.states().await, CLAIMED);
    app.time.pass(Duration::from_secs(100));
    until("end of the leases", async || work.states().await == UNCLAIMED).await;
    work.reports_are_refused().await;
    app.finish().await;
}

#[tokio::test]
async fn clock_jump_of_one_gateway_leaves_leases_of_another_unchanged() {
    let (store, bus) = (Store::new().await, Arc::new(InProcessBus::default()));
    let (one, two) = (
        App::on(store.clone(), bus.clone(), every_second).await,
        App::on(store, bus, every_second).await,
    );
    let work = ClaimedWork::claimed(&one, 300).await;
    let (owner, agent) = (two.here(&work.owner), two.here(&work.agent));
    for ahead in [600, -HOUR, 0] {
        two.time.set_ahead(ahead);
        look(&two, &owner, &agent).await;
        assert_eq!(work.states().await, CLAIMED, "{ahead}");
    }
    // A heartbeat at the other gateway renews the lease.
    let lease = json!({ "lease_token": work.prompt_claim["lease_token"] });
    two.time.set_ahead(600);
    agent.post(&format!("{}/heartbeat", work.prompt), lease).await.ok();
    work.reports_are_taken().await;
    two.finish().await;
    one.finish().await;
}
