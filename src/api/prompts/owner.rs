//! The operations of users on their prompts. Publishing by agents is here too, because it has the same path as the list
//! of events. In another API type, poem-openapi would write this path twice into the document.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Header, Path, Query},
};
use uuid::Uuid;

use super::{optional_body::OptionalBody, publication::Publication};
use crate::{
    api::{
        caller::{Agent, Caller, StreamCaller, Viewer},
        json::Json,
        problem::{ChangeResult, ReadResult, WriteResult},
        responses::Created,
        stream_tokens::{StreamToken, TokenOptions, mint},
        streams::{Events, Parameters, StreamResponse, events, open_topic},
        tag::Tag,
    },
    family::{
        prompt::{self, NewPrompt, Prompt, PublishedEvents, find_in_conversation, topic},
        wire::Page,
    },
    gateway::Gateway,
};

#[derive(ApiResponse)]
enum Published {
    /// The events are committed to the event log.
    #[oai(status = 201)]
    Published(Json<PublishedEvents>),
}

/// The operations.
pub(in crate::api) struct PromptsApi;

#[OpenApi(prefix_path = "/v1/sessions", tag = "Tag::Prompt")]
impl PromptsApi {
    /// Create a prompt
    ///
    /// Queues a prompt for agents to claim. The prompt belongs to the owner of the session. Requires the role viewer.
    /// 409 if this owner has 1,000 unfinished prompts.
    #[oai(path = "/:session_id/prompts", method = "post", operation_id = "prompt_create")]
    async fn create(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Session id.
        session_id: Path<Uuid>,
        body: Json<NewPrompt>,
    ) -> ChangeResult<Created<Prompt>> {
        let prompt = prompt::create(&gateway, &caller.principal, session_id.0, body.0).await?;
        Ok(Created::Created(Json(prompt)))
    }

    /// List prompts
    ///
    /// Returns the prompts of a session, oldest first. Requires the role viewer.
    #[oai(path = "/:session_id/prompts", method = "get", operation_id = "prompt_list")]
    async fn list(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Session id.
        session_id: Path<Uuid>,
        /// Return only prompts after the one with this id: `next` of the previous page.
        after: Query<Option<Uuid>>,
        /// Maximum number of prompts to return. The default is 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> ReadResult<Json<Page<Prompt>>> {
        let page = (after.0, limit.0);
        Ok(Json(prompt::list(&gateway, &caller.principal, session_id.0, page).await?))
    }

    /// Get a prompt
    ///
    /// Requires the role viewer. 404 for prompts of other users, unless the caller is an administrator.
    #[oai(path = "/:session_id/prompts/:prompt_id", method = "get", operation_id = "prompt_get")]
    async fn get(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Session id.
        session_id: Path<Uuid>,
        /// Prompt id.
        prompt_id: Path<Uuid>,
    ) -> ReadResult<Json<Prompt>> {
        let principal = &caller.principal;
        Ok(Json(prompt::get(&gateway, principal, session_id.0, prompt_id.0).await?))
    }

    /// Cancel a prompt
    ///
    /// Cancels the prompt at once. The agent can then publish nothing, and the streams of the prompt end after the
    /// event `cancelled`. A second cancellation changes nothing. Requires the role viewer. 409 if the prompt completed
    /// or failed.
    #[oai(
        path = "/:session_id/prompts/:prompt_id/cancel",
        method = "post",
        operation_id = "prompt_cancel"
    )]
    async fn cancel(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Session id.
        session_id: Path<Uuid>,
        /// Prompt id.
        prompt_id: Path<Uuid>,
    ) -> ChangeResult<Json<Prompt>> {
        let principal = &caller.principal;
        Ok(Json(prompt::cancel(&gateway, principal, session_id.0, prompt_id.0).await?))
    }

    /// Mint a stream token
    ///
    /// Returns a token that opens the stream of this prompt, for `EventSource`. Does the same as
    /// `POST /v1/stream-tokens` with the id of the prompt. Requires the role viewer.
    #[oai(
        path = "/:session_id/prompts/:prompt_id/stream-token",
        method = "post",
        operation_id = "prompt_stream_token_mint"
    )]
    async fn mint_stream_token(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Session id.
        session_id: Path<Uuid>,
        /// Prompt id.
        prompt_id: Path<Uuid>,
        body: OptionalBody,
    ) -> ReadResult<Created<StreamToken>> {
        let principal = &caller.principal;
        let topic = find_in_conversation(&gateway, principal, session_id.0, prompt_id.0).await?;
        let options = TokenOptions {
            ttl_seconds: body.0.as_ref().and_then(|options| options.ttl_seconds),
            single_use: body.0.as_ref().and_then(|options| options.single_use),
        };
        mint(&gateway, principal, &topic, options).await
    }

    /// Stream a prompt
    ///
    /// Sends server-sent events: a `snapshot` with the newest events, then each new event when the agent publishes it.
    /// Each of these events has an `id`, the cursor to resume after. The stream ends after `complete`, `cancelled` or
    /// `error`. Requires the role viewer.
    #[oai(
        path = "/:session_id/prompts/:prompt_id/stream",
        method = "get",
        operation_id = "prompt_stream"
    )]
    async fn stream(
        &self,
        caller: StreamCaller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Session id.
        session_id: Path<Uuid>,
        /// Prompt id.
        prompt_id: Path<Uuid>,
        parameters: Parameters,
    ) -> WriteResult<StreamResponse> {
        caller.may_open(&topic(prompt_id.0))?;
        let principal = &caller.principal;
        let topic = find_in_conversation(&gateway, principal, session_id.0, prompt_id.0).await?;
        open_topic(&gateway, caller, topic, parameters).await
    }

    /// List prompt events
    ///
    /// Returns the events of the stream in pages, for clients that cannot stream. Requires the role viewer.
    #[oai(
        path = "/:session_id/prompts/:prompt_id/events",
        method = "get",
        operation_id = "prompt_list_events"
    )]
    async fn list_events(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Session id.
        session_id: Path<Uuid>,
        /// Prompt id.
        prompt_id: Path<Uuid>,
        /// Return only events after this cursor. Without it, the page starts with the oldest event.
        after: Query<Option<String>>,
        /// Maximum number of events to return. The default is 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> ReadResult<Events> {
        let principal = &caller.principal;
        let topic = find_in_conversation(&gateway, principal, session_id.0, prompt_id.0).await?;
        events(&gateway, principal, &topic, after.0, limit.0).await
    }

    /// Publish prompt events
    ///
    /// Publishes one event, an array of events, or one event in each line (`application/x-ndjson`). The gateway commits
    /// all of them to the event log, or none, and then responds. The first event changes a queued prompt to
    /// `processing`. `complete`, `cancelled` and `error` end the prompt, and no event can follow.
    ///
    /// If an agent has claimed the prompt, only that agent may publish, with its lease token. An unclaimed prompt
    /// accepts events without a token. After its first event, it fails if no event follows for `prompts.idle_seconds`
    /// of the configuration.
    ///
    /// Requires the role agent. 409 if the lease has expired or is not the newest of the prompt, or if the prompt has
    /// ended.
    #[oai(
        path = "/:session_id/prompts/:prompt_id/events",
        method = "post",
        operation_id = "prompt_publish"
    )]
    async fn publish(
        &self,
        _caller: Caller<Agent>,
        gateway: Data<&Arc<Gateway>>,
        /// Session id.
        session_id: Path<Uuid>,
        /// Prompt id.
        prompt_id: Path<Uuid>,
        /// Lease token of the claim. Absent if the prompt is unclaimed.
        #[oai(name = "Lease-Token")]
        lease_token: Header<Option<Uuid>>,
        body: Publication,
    ) -> ChangeResult<Published> {
        let events = body.into_events();
        let place = (session_id.0, prompt_id.0);
        let published = prompt::publish(&gateway, place, lease_token.0, events).await?;
        Ok(Published::Published(Json(published)))
    }
}
