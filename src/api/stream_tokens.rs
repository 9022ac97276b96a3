//! Stream tokens. Each token opens the streams that it was minted for, and is sent in the URL of an `EventSource`.

use std::{sync::Arc, time::Duration};

use poem::web::Data;
use poem_openapi::{Enum, Object, OpenApi, types::Example};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    caller::{Caller, Viewer},
    credential::STREAM_TOKEN,
    json::Json,
    problem::{Problem, ReadResult},
    responses::Created,
    streams::{TopicName, stream_path},
    tag::Tag,
};
use crate::{
    auth::login_session::Principal,
    auth::stream_claims::StreamScope,
    event::{Family, Topic},
    family::{
        self,
        wire::{example_id, example_time},
    },
    gateway::Gateway,
};

/// A type of resource that has streams.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Enum)]
#[oai(rename_all = "snake_case", remote = "Family")]
pub(super) enum StreamFamily {
    /// Topologies and their mutations.
    Topology,
    /// Notifications of a user. The id is the user id.
    Notification,
    /// Sessions of the Model Context Protocol.
    McpSession,
    /// Tasks and their artifacts.
    Task,
    /// Prompts and the answers of agents.
    Prompt,
    /// Reverse tunnels to MCP servers.
    Tunnel,
}

/// A stream token to mint: for one resource, by `family` and `id`, or for several, by `topics`.
#[derive(Object)]
#[oai(example, deny_unknown_fields, skip_serializing_if_is_none)]
struct NewStreamToken {
    /// Family of the resource. Required with `id`.
    family: Option<StreamFamily>,
    /// Id of the resource. Required with `family`.
    id: Option<Uuid>,
    /// Topics of a stream of several topics, each as `<family>.<id>`: 1 to 50, all different. Send either `topics`, or
    /// `family` and `id`.
    #[oai(validator(min_items = 1, max_items = 50, unique_items))]
    topics: Option<Vec<TopicName>>,
    /// Lifetime of the token, in seconds, from 30 to 300. The default is `tokens.stream_seconds` of the configuration.
    /// An open stream stays open after the token expires.
    #[oai(validator(minimum(value = "30"), maximum(value = "300")))]
    ttl_seconds: Option<u64>,
    /// Whether the token opens a stream only once. The next request with it gets 401, so `EventSource` cannot reconnect.
    /// The default is false.
    single_use: Option<bool>,
}

impl Example for NewStreamToken {
    fn example() -> Self {
        Self {
            family: Some(StreamFamily::Topology),
            id: Some(example_id()),
            topics: None,
            ttl_seconds: Some(120),
            single_use: Some(false),
        }
    }
}

/// A token that opens the streams that it was minted for, any number of times until it expires, or once with
/// `single_use`. It is valid only while its login session is.
///
/// An expired token opens no new stream. It can only resume the stream that it opened last, with a cursor of all of its
/// topics. That works for `tokens.resume_seconds` of the configuration (300 by default) after the end of the last
/// connection, and closes the connection that the token had before. It ends with the login session, with the last event
/// of the stream, and with `DELETE /v1/connections/{id}`.
#[derive(Object)]
#[oai(example)]
pub(super) struct StreamToken {
    /// Stream token, a JWT.
    token: String,
    /// Lifetime of the token, in seconds.
    expires_in: u64,
    /// Time at which the token expires, UTC.
    expires_at: OffsetDateTime,
    /// URL of the stream, for `new EventSource(url)`. If `server.public_url` is configured, the URL is absolute.
    /// Otherwise it is a path that begins with `/`. If the gateway has another origin than the page or is below a path
    /// prefix, put the base URL of the gateway before the path.
    url: String,
}

impl Example for StreamToken {
    fn example() -> Self {
        let token = "eyJ0eXAiOiJzdHJlYW0rand0IiwiYWxnIjoiSFMyNTYifQ.e30.c2lnbmF0dXJl";
        Self {
            token: token.to_owned(),
            expires_in: 120,
            expires_at: example_time(),
            url: format!("/v1/topologies/{}/stream?stream_token={token}", example_id()),
        }
    }
}

/// The operations.
pub(super) struct StreamTokensApi;

#[OpenApi(tag = "Tag::StreamToken")]
impl StreamTokensApi {
    /// Mint a stream token
    ///
    /// Returns a token for the URL of a stream. A browser's `EventSource` cannot send a header, and an access
    /// token must not be in a URL (RFC 9700, section 4.3.2).
    ///
    /// The token is valid while the caller's login session is. A token for `family` and `id` opens the stream of this
    /// resource. A token for `topics` opens streams at `/v1/streams` of all or some of these topics, but not the
    /// stream at the resource's own path. Requires the role viewer.
    #[oai(path = "/v1/stream-tokens", method = "post", operation_id = "stream_token_mint")]
    async fn create(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        body: Json<NewStreamToken>,
    ) -> ReadResult<Created<StreamToken>> {
        let NewStreamToken { family, id, topics, ttl_seconds, single_use } = body.0;
        let options = TokenOptions { ttl_seconds, single_use };
        let principal = &caller.principal;
        match (family, id, topics) {
            (Some(family), Some(id), None) => {
                mint(&gateway, principal, &Topic::new(family.into(), id), options).await
            }
            (None, None, Some(names)) => {
                let topics: Vec<Topic> = names.into_iter().map(|name| name.0).collect();
                mint_many(&gateway, principal, &topics, options).await
            }
            _ => Err(Problem::bad_request("send either family and id, or topics").into()),
        }
    }
}

/// The options of a stream token to mint.
#[derive(Clone, Copy)]
pub(super) struct TokenOptions {
    /// Lifetime in seconds. Without it, the configured lifetime.
    pub(super) ttl_seconds: Option<u64>,
    /// Whether the token opens a stream only once.
    pub(super) single_use: Option<bool>,
}

/// Mints a token for the stream of a resource that the caller may see.
pub(super) async fn mint(
    gateway: &Gateway,
    principal: &Principal,
    topic: &Topic,
    options: TokenOptions,
) -> ReadResult<Created<StreamToken>> {
    let resource = family::find_visible(gateway, principal, topic).await?;
    let path = stream_path(topic, resource);
    let scope = StreamScope::Topic(topic.to_string());
    Ok(minted(gateway, principal, scope, &format!("{path}?"), options))
}

/// Mints a token for the stream of several resources, all of which the caller may see.
async fn mint_many(
    gateway: &Gateway,
    principal: &Principal,
    topics: &[Topic],
    options: TokenOptions,
) -> ReadResult<Created<StreamToken>> {
    let mut path = "/v1/streams?".to_owned();
    for topic in topics {
        family::find_visible(gateway, principal, topic).await?;
        path.extend(["topic=", topic.as_str(), "&"]);
    }
    Ok(minted(
        gateway,
        principal,
        StreamScope::Topics(topics.iter().map(Topic::to_string).collect()),
        &path,
        options,
    ))
}

/// Creates a token for the stream whose path and query start with `path`. It ends with `?` or `&`.
fn minted(
    gateway: &Gateway,
    principal: &Principal,
    scope: StreamScope,
    path: &str,
    options: TokenOptions,
) -> Created<StreamToken> {
    let seconds = options.ttl_seconds.unwrap_or(gateway.config.tokens.stream_seconds);
    let life = Duration::from_secs(seconds);
    let (token, expires_at) = gateway.tokens.sign_stream_token(
        principal.user_id,
        principal.session_id,
        scope,
        options.single_use.unwrap_or_default(),
        life,
    );
    Created::Created(Json(StreamToken {
        url: gateway.config.server.url(&format!("{path}{STREAM_TOKEN}={token}")),
        token,
        expires_in: seconds,
        expires_at: expires_at.datetime(),
    }))
}
