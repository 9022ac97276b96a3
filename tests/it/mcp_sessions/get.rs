//! Access to an MCP session: only its owner, its agent and administrators have it.

use entity::user::Role;
use reqwest::Method;
use serde_json::json;

use crate::support::{
    App, Caller,
    mcp_session::{request, session_of},
};

#[tokio::test]
async fn only_owner_agent_and_administrators_see_an_mcp_session() {
    let app = App::start().await;
    let (user, agent) = (app.caller(Role::Viewer).await, app.caller(Role::Agent).await);
    let admin = app.log_in("admin").await;
    let own = session_of(&user, json!({})).await;
    let served = session_of(&user, json!({ "agent": agent.id().await })).await;
    let others = [
        app.caller(Role::Viewer).await,
        app.caller(Role::Agent).await,
        app.caller(Role::Operator).await,
    ];
    for (path, may_agent_watch) in [(&own, false), (&served, true)] {
        let may_watch = |caller| (caller, true);
        let callers = [may_watch(&user), may_watch(&admin), (&agent, may_agent_watch)];
        let excluded = others.iter().map(|other| (other, false));
        for (caller, may) in callers.into_iter().chain(excluded) {
            for part in ["", "/events", "/stream?max_events=1"] {
                let answer = caller.get(&format!("{path}{part}")).await;
                assert_eq!(answer.status, if may { 200 } else { 404 }, "{path}{part}");
            }
        }
        for other in &others {
            other.call(Method::DELETE, path, None).await.problem(404);
        }
    }
    agent.call(Method::DELETE, &served, None).await.problem(404);
    // If the session names no agent, any agent may publish. Otherwise only the named agent may.
    let [viewer, another, _] = &others;
    for (caller, path, status) in [
        (&user, &own, 202),
        (&agent, &own, 202),
        (another, &own, 202),
        (viewer, &own, 404),
        (&user, &served, 202),
        (&agent, &served, 202),
        (another, &served, 404),
        (&admin, &served, 202),
    ] {
        let answer = caller.post(&format!("{path}/messages"), request(1)).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    let count = async |caller: &Caller| {
        caller.get("/v1/mcp-sessions").await.ok()["items"].as_array().map(Vec::len)
    };
    for (caller, expected) in [(&user, 2), (&agent, 1), (viewer, 0), (&admin, 2)] {
        assert_eq!(count(caller).await, Some(expected));
    }
    // A user who is no longer an agent does not find the session.
    let role = json!({ "role": "viewer" });
    let path = format!("/v1/users/{}", agent.id().await);
    admin.call(Method::PATCH, &path, Some(role)).await.ok();
    agent.get(&served).await.problem(404);
    assert_eq!(count(&agent).await, Some(0));
    // A session cannot name a user who is not an agent.
    let viewer = viewer.id().await;
    user.post("/v1/mcp-sessions", json!({ "agent": viewer })).await.problem(404);
    app.finish().await;
}
