//! The places of an access token in a request, and the challenge of a 401 (RFC 6750).

use entity::user::Role;
use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::support::{App, auth::invalid_token, id_of};

#[tokio::test]
async fn access_token_in_a_query_is_always_refused() {
    let app = App::start().await;
    let operator = app.caller(Role::Operator).await;
    let topology = app.active_topology(&operator).await;
    let token = operator.token.as_deref().expect("a token");
    let stream = format!("/v1/topologies/{topology}/stream");
    for path in [
        format!("/v1/auth/me?access_token={token}"),
        "/v1/auth/me?access_token=anything".to_owned(),
        "/v1/auth/me?access_token=".to_owned(),
        format!("/v1/auth/me?anything={token}"),
        format!("{stream}?access_token={token}"),
        format!("{stream}?stream_token={token}"),
        format!("{stream}?max_events=1&access%5Ftoken={token}"),
    ] {
        for caller in [&operator, &app.anyone()] {
            assert_eq!(
                invalid_token(caller.get(&path).await),
                "an access token must not be in a URL: send it in the Authorization header, \
                 or mint a stream token",
                "{path}"
            );
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn challenge_names_an_error_only_for_a_sent_credential() {
    let app = App::start().await;
    let path = format!("/v1/topologies/{}", Uuid::now_v7());
    let requests = [
        (Method::GET, "/v1/auth/me", None),
        // An unknown client learns neither which resources exist nor what a valid request is.
        (Method::GET, path.as_str(), None),
        (Method::GET, "/v1/topologies/not-an-id", None),
        (Method::GET, "/v1/users?limit=0", None),
        (Method::POST, "/v1/users", Some(json!("not a user"))),
    ];
    for (method, path, body) in requests {
        let answer = app.anyone().call(method, path, body).await;
        assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"streamgate\"", "{path}");
        assert_eq!(answer.problem(401), "this operation requires a bearer token");
    }
    for value in ["Basic YWRtaW46YWRtaW4=", "Bearer", "bearer-ish", "DPoP abc"] {
        let lines = format!("Authorization: {value}\r\n");
        let answer = app.anyone().stream("/v1/auth/me", &lines).await;
        assert_eq!(answer.status(), 401, "{value}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        let challenge = answer.header("www-authenticate").expect("a challenge");
        assert!(challenge.contains("error=\"invalid_token\""), "{value}: {challenge}");
    }
    let admin = app.log_in("admin").await;
    let me = admin.me().await;
    let lines = format!("authorization: bEaReR {}\r\n", admin.token.expect("a token"));
    assert_eq!(app.anyone().stream("/v1/auth/me", &lines).await.status(), 200);
    assert_eq!(me["username"], "admin");
    id_of(&me);
    app.finish().await;
}
