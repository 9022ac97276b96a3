//! `POST /v1/auth/logout`.

use reqwest::Method;
use serde_json::json;

use crate::support::{
    App,
    auth::{bearer, invalid_token, me, refresh},
};

#[tokio::test]
async fn logout_ends_only_its_own_session_at_once() {
    let app = App::start().await;
    let (ours, other) = (app.tokens("admin").await, app.tokens("admin").await);
    let caller = bearer(&app, ours["access_token"].as_str().expect("a token"));
    let answer = caller.call(Method::POST, "/v1/auth/logout", None).await;
    assert_eq!((answer.status.as_u16(), &answer.body), (204, &json!("")));
    assert_eq!(invalid_token(me(&app, &ours).await), "the login session has ended");
    assert_eq!(invalid_token(refresh(&app, &ours).await), "the login session has ended");
    let again = caller.call(Method::POST, "/v1/auth/logout", None).await;
    assert_eq!(invalid_token(again), "the login session has ended");
    me(&app, &other).await.ok();
    app.finish().await;
}
