//! Login sessions and caches, when the clock jumps or the machine is suspended.

use std::time::Duration;

use entity::{Timestamp, login_session, user::Role};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, prelude::Expr};
use uuid::Uuid;

use crate::{
    clock::work::{ClaimedWork, HOUR, LONGER_THAN_STABLE, UNCLAIMED, every_second},
    support::{App, Caller, until},
};

/// The session id in the access token of a caller.
fn session_of(app: &App, caller: &Caller) -> Uuid {
    let token = caller.token.as_deref().expect("a token");
    app.gateway.tokens.verify_access(token).expect("a good token").sid
}

#[tokio::test]
async fn leases_expire_and_cached_sessions_are_discarded_after_a_suspend() {
    // During this test, only the clock ends cache entries.
    let app = App::with(|config| config.streams.heartbeat_seconds = 60).await;
    let work = ClaimedWork::claimed(&app, 300).await;
    let user = app.caller(Role::Viewer).await;
    user.me().await;
    login_session::Entity::update_many()
        .col_expr(login_session::Column::RevokedAt, Expr::value(Timestamp::now()))
        .filter(login_session::Column::UserId.eq(user.id().await))
        .exec(app.gateway.database.writer())
        .await
        .expect("an update");
    user.me().await;
    app.time.pass(Duration::from_mins(6));
    user.get("/v1/auth/me").await.problem(401);
    work.reports_are_refused().await;
    // In operation, the first heartbeat after the wake-up does this.
    app.look_for_expired_leases();
    until("end of the leases", async || work.states().await == UNCLAIMED).await;
    assert!(app.metric("streamgate_clock_jumps_total") < 0.5);
    app.finish().await;
}

#[tokio::test]
async fn sessions_and_tokens_expire_without_a_stable_clock() {
    let app = App::with(every_second).await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    // The wall clock is an hour behind. In the first round it is not stable yet, and in the second
    // it is adopted.
    app.time.set_ahead(-HOUR);
    until("jump", async || app.metric("streamgate_clock_jumps_total") > 0.5).await;
    for round in 0..2 {
        let user = app.caller(Role::Viewer).await;
        let end = Timestamp::now() + Duration::from_secs(2);
        login_session::Entity::update_many()
            .col_expr(login_session::Column::ExpiresAt, Expr::value(end))
            .filter(login_session::Column::Id.is_in([session_of(&app, &user)]))
            .exec(app.gateway.database.writer())
            .await
            .expect("an update");
        let mut reader = user.watch(topology, "").await;
        reader.expect("snapshot").await;
        reader.expect("stream.expiring").await;
        assert_eq!(reader.expect("stream.closed").await.data["reason"], "session_expired");
        reader.expect_end().await;
        let late = Timestamp::now().since(end);
        assert!(late < Duration::from_secs(5), "{late:?} late in round {round}");
        user.get("/v1/auth/me").await.problem(401);
        app.time.pass(LONGER_THAN_STABLE);
        until("adoption", async || app.metric("streamgate_clock_offset_seconds").abs() < 2.0).await;
    }
    app.finish().await;
}
