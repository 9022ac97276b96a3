//! An OAuth provider in this process, and users who have linked an account there.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::Context;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::json;
use streamgate::{
    config::{Config, Provider},
    family,
    gateway::Gateway,
};
use tokio::net::TcpListener;
use url::Url;
use uuid::Uuid;

/// Name of the provider.
const NAME: &str = "bench";
/// Lifetime of access tokens. Each grant is refreshed before.
pub(super) const LIFETIME: Duration = Duration::from_secs(5);

/// Adds the provider to the configuration. It answers from now on. Cached sessions and resources are looked up again as
/// often as in operation.
pub(super) fn configure(config: &mut Config) -> anyhow::Result<()> {
    config.streams.heartbeat_seconds = 15;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let base: Url = format!("http://{}", listener.local_addr()?).parse()?;
    config.oauth.providers = vec![serde_json::from_value::<Provider>(json!({
        "name": NAME,
        "authorization_url": base.join("authorize")?,
        "token_url": base.join("token")?,
        "client_id": "streamgate",
        "private_network": true,
    }))?];
    let listener = TcpListener::from_std(listener)?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(respond);
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok(())
}

/// The token endpoint. Each refresh token is used once.
async fn respond(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = if request.method() == Method::POST {
        let tokens = json!({
            "access_token": Uuid::new_v4(),
            "refresh_token": Uuid::new_v4(),
            "token_type": "bearer",
            "expires_in": LIFETIME.as_secs(),
        });
        (StatusCode::OK, tokens.to_string())
    } else {
        (StatusCode::METHOD_NOT_ALLOWED, String::new())
    };
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let json = "application/json".parse().expect("a header value");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, json);
    Ok(response)
}

/// Links an account of this user.
pub(super) async fn link(gateway: &Arc<Gateway>, user: Uuid) -> anyhow::Result<()> {
    let oauth = &gateway.oauth;
    let authorization = oauth.begin(user, NAME).await?;
    let cookie = oauth.confirm(authorization.id).await?;
    let url = oauth.start(authorization.id, &cookie).await?;
    let state = url.query_pairs().find(|(name, _)| name == "state").context("a state")?.1;
    let callback = oauth.take(&state, &cookie).await?;
    family::oauth::link(gateway, callback, "a code".to_owned(), None).await?;
    Ok(())
}
