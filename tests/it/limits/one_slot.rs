//! A gateway that allows each user one stream.

use entity::user::Role;
use uuid::Uuid;

use crate::support::{App, Caller, until};

/// The limit of open streams per user in these tests.
pub const POLICY: &str = "\"streams\";q=1;qu=\"concurrent-requests\"";

/// Starts a gateway that allows each user one stream.
pub async fn narrow() -> (App, Caller, Uuid) {
    let app = App::with(|config| config.limits.streams_per_user = 1).await;
    let operator = app.caller(Role::Operator).await;
    let id = app.active_topology(&operator).await;
    (app, operator, id)
}

pub fn request(app: &App, method: &str, id: Uuid, caller: &Caller) -> String {
    format!(
        "{method} /v1/topologies/{id}/stream HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n",
        app.address,
        caller.token.as_deref().expect("a token"),
    )
}

/// Checks that the user's only slot becomes free and can be used again.
pub async fn expect_free(app: &App, caller: &Caller, id: Uuid, way: &str) {
    until(way, async || app.gateway.limits.open_slots() == 0).await;
    let mut reader = caller.watch(id, "").await;
    assert_eq!(reader.status(), 200, "after {way}");
    reader.expect("snapshot").await;
    assert_eq!(caller.watch(id, "").await.status(), 429, "after {way}");
    drop(reader);
    until(way, async || app.gateway.limits.open_slots() == 0).await;
}
