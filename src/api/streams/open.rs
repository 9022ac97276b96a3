//! Opens streams: checks access, takes a slot, and has the hub open a subscription.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    parameters::Parameters,
    response::StreamResponse,
    resume_token::{self, ResumeAfter},
    route::stream_operation,
};
use crate::{
    api::{
        caller::{MinimumRole, StreamCaller},
        presented_token::PresentedToken,
        problem::{Kind, Problem, Result, WriteResult},
    },
    event::Topic,
    family::{self, SubscriptionAccess},
    gateway::Gateway,
    hub::{Client, Open, OpenMany, Opened, RequestedTopic, TopicProperties},
    limit::Headers,
};

/// Opens the stream of a resource, or refuses the request before the first byte of the response.
pub(in crate::api) async fn open_topic<M: MinimumRole>(
    gateway: &Arc<Gateway>,
    caller: StreamCaller<M>,
    topic: Topic,
    parameters: Parameters,
) -> WriteResult<StreamResponse> {
    caller.may_open(&topic)?;
    let resource = family::find_visible(gateway, &caller.principal, &topic).await?;
    family::oauth::check_topic(gateway, &topic, resource).await?;
    if parameters.is_head {
        return Ok(StreamResponse::Head);
    }
    let operation = stream_operation(topic.family());
    let after = resume_token::after_one(&topic, &parameters);
    let topics = [topic.clone()];
    let (client, headers) = admit(gateway, &caller, operation, &topics, after, &parameters).await?;
    let requested = requested(gateway, topic, &parameters);
    let (resume, bounds) = (parameters.resume(), parameters.bounds());
    let opened = gateway.hub.open(Open { topic: requested, resume, bounds, client }).await;
    Ok(match opened.map_err(|error| family::stream_open_error(gateway, &topics, error))? {
        Opened::Stream(subscription) => StreamResponse::Open(Box::new(subscription), headers),
        Opened::Complete => StreamResponse::Complete,
    })
}

/// Opens the stream of several resources, or refuses the request before the first byte of the response.
pub(in crate::api) async fn open_topics<M: MinimumRole>(
    gateway: &Arc<Gateway>,
    caller: StreamCaller<M>,
    topics: Vec<Topic>,
    parameters: Parameters,
) -> WriteResult<StreamResponse> {
    caller.may_open_all(&topics)?;
    for topic in &topics {
        let resource = family::find_visible(gateway, &caller.principal, topic).await?;
        family::oauth::check_topic(gateway, topic, resource).await?;
    }
    if parameters.is_head {
        return Ok(StreamResponse::Head);
    }
    let after = match &caller.stream_token {
        Some(PresentedToken { is_expired: true, .. }) => {
            resume_token::after_all(gateway, &topics, &parameters).await?
        }
        _ => None,
    };
    let (client, headers) =
        admit(gateway, &caller, "topic_stream", &topics, after, &parameters).await?;
    let access = Arc::new(SubscriptionAccess::new(gateway, &caller.principal));
    let requested = topics.iter().map(|topic| requested(gateway, topic.clone(), &parameters));
    let (resume, bounds) = (parameters.resume(), parameters.bounds());
    let open = OpenMany { topics: requested.collect(), resume, bounds, client, access };
    let opened = gateway.hub.open_many(open).await;
    Ok(match opened.map_err(|error| family::stream_open_error(gateway, &topics, error))? {
        Opened::Stream(merge) => StreamResponse::Many(Box::new(merge), headers),
        Opened::Complete => StreamResponse::Complete,
    })
}

/// Takes a slot for a stream, or refuses the request. With an expired token, the stream resumes after `after`.
async fn admit<M>(
    gateway: &Gateway,
    caller: &StreamCaller<M>,
    operation: &'static str,
    topics: &[Topic],
    after: Option<ResumeAfter>,
    parameters: &Parameters,
) -> Result<(Client, Headers)> {
    let Parameters { request, address, .. } = *parameters;
    // First, because this frees the slot of the connection that the token had.
    let resumed = match &caller.stream_token {
        Some(token) if token.is_expired => {
            Some(resume_token::resume(gateway, token, after, request).await?)
        }
        _ => None,
    };
    let (slot, headers) = gateway
        .limits
        .admit(caller.principal.user_id)
        .map_err(|refused| Problem::refused(&refused, &gateway.telemetry))?;
    let watch = gateway.login_sessions.watch(&caller.principal).await?;
    // Last, because this uses up a token for a single use.
    let token = match &caller.stream_token {
        Some(token) if !token.is_expired => {
            resume_token::open(gateway, token, topics, request).await?
        }
        _ => resumed,
    };
    let (caller_ids, permit) = (Arc::clone(&parameters.caller_ids), parameters.permit.clone());
    Ok((Client { request, caller_ids, operation, address, watch, slot, token, permit }, headers))
}

fn requested(gateway: &Arc<Gateway>, topic: Topic, parameters: &Parameters) -> RequestedTopic {
    let source = family::source(gateway, &topic);
    let overflow = parameters.overflow.unwrap_or_else(|| gateway.settings(topic.family()).1);
    RequestedTopic { name: topic, properties: TopicProperties { source, failure }, overflow }
}

/// The data of the `error` event that ends a stream after a failure.
fn failure(request: Uuid) -> String {
    let broken = "the database cannot be read at the moment; reconnect to continue";
    Problem::new(Kind::Unavailable, broken).body(request)
}
