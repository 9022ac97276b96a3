//! What those do who ask: ask, watch, cancel. And where agents publish, because one path is one
//! place in the document.

use std::sync::Arc;

use entity::{Timestamp, prompt, user};
use poem::{Request, RequestBody, web::Data};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ApiResponse, ExtractParamOptions, OpenApi,
    param::{Header, Path, Query},
    payload::Json,
    registry::{MetaRequest, Registry},
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect,
};
use serde_json::json;
use uuid::Uuid;

use super::{
    publish::{Publication, Published, publish},
    resource,
    rows::{UNFINISHED, has_ended, in_status, lock, seen},
    schema::{NewPrompt, Prompt, StreamTokenLife},
    topic,
};
use crate::{
    api::{
        Page, Tag,
        caller::{Agent, Caller, StreamCaller, Viewer},
        conversation,
        event_page::Events,
        family::{self, new_event},
        page_limit,
        problem::{Problem, Result},
        stream::{Parameters, StreamResponse},
        stream_token::{self, Minted},
    },
    event::Family,
    gateway::Gateway,
};

/// Bytes of a prompt.
const MAX_PROMPT: usize = 65_536;

/// Prompts of one owner that have not ended, so that nobody fills everybody's queue.
const MAX_UNFINISHED: u64 = 1_000;

#[derive(ApiResponse)]
enum Created {
    /// The prompt waits for an agent.
    #[oai(status = 201)]
    Created(Json<Prompt>),
}

/// The operations.
pub(crate) struct Prompts;

#[OpenApi(prefix_path = "/v1/sessions", tag = "Tag::Prompt")]
impl Prompts {
    /// Ask a prompt
    ///
    /// It waits for an agent and belongs to whom the session belongs to. Needs the role viewer; 409 if
    /// 1,000 prompts of this owner have not ended yet.
    #[oai(path = "/:session_id/prompts", method = "post", operation_id = "prompt_create")]
    async fn create(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The session's id.
        session_id: Path<Uuid>,
        body: Json<NewPrompt>,
    ) -> Result<Created> {
        let reader = gateway.database.reader();
        let session = conversation::find(reader, &caller.principal, session_id.0).await?;
        let text = body.0.prompt.0;
        if text.len() > MAX_PROMPT {
            return Err(Problem::bad_request(format!("prompt: more than {MAX_PROMPT} bytes")));
        }
        let began = gateway.visibility.start_lookup();
        let tx = gateway.database.begin_write().await?;
        // Those who ask for one owner at the same time must not all find room for one more.
        let owner = user::Entity::find_by_id(session.owner).select_only().column(user::Column::Id);
        owner.lock_exclusive().into_tuple::<Uuid>().one(&tx).await?;
        let unfinished = prompt::Entity::find()
            .filter(prompt::Column::Owner.eq(session.owner))
            .filter(prompt::Column::Status.is_in(UNFINISHED));
        if unfinished.count(&tx).await? >= MAX_UNFINISHED {
            return Err(Problem::conflict("1,000 prompts of this owner have not ended yet"));
        }
        let now = Timestamp::now();
        let row = prompt::Model {
            id: Uuid::now_v7(),
            conversation_id: session.id,
            owner: session.owner,
            text,
            status: prompt::Status::Queued,
            attempt: 0,
            created_at: now,
            updated_at: now,
            completed_at: None,
            lease_token: None,
            lease_expires_at: None,
            lease_clock: None,
            lease_seconds: 0,
            claim_seq: 0,
        };
        let row = row.into_active_model().insert(&tx).await?;
        gateway.hub.log().create(&tx, &topic(row.id)).await?;
        gateway.hub.commit(tx, Vec::new()).await?;
        gateway.visibility.insert(topic(row.id), resource(row.owner, session.id), began);
        gateway.notify_workers(Family::Prompt);
        Ok(Created::Created(Json(row.into())))
    }

    /// List prompts
    ///
    /// Those of one session, oldest first. Needs the role viewer.
    #[oai(path = "/:session_id/prompts", method = "get", operation_id = "prompt_list")]
    async fn list(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The session's id.
        session_id: Path<Uuid>,
        /// Only those after the one with this id: `next` of the page before.
        after: Query<Option<Uuid>>,
        /// How many at most.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> Result<Json<Page<Prompt>>> {
        let reader = gateway.database.reader();
        let session = conversation::find(reader, &caller.principal, session_id.0).await?;
        let limit = page_limit(limit.0);
        let rows = prompt::Entity::find()
            .filter(prompt::Column::ConversationId.eq(session.id))
            .filter(prompt::Column::Id.gt(after.0.unwrap_or(Uuid::nil())))
            .order_by_asc(prompt::Column::Id)
            .limit(limit + 1)
            .all(reader)
            .await?;
        Ok(Json(Page::new(rows, limit, |row| (row.id, row.text.len()))))
    }

    /// Read a prompt
    ///
    /// Needs the role viewer; a prompt that belongs to somebody else is a 404, unless the caller is an
    /// administrator.
    #[oai(path = "/:session_id/prompts/:prompt_id", method = "get", operation_id = "prompt_read")]
    async fn read(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The session's id.
        session_id: Path<Uuid>,
        /// The prompt's id.
        prompt_id: Path<Uuid>,
    ) -> Result<Json<Prompt>> {
        seen(&gateway, &caller.principal, session_id.0, prompt_id.0).await?;
        let row = prompt::Entity::find_by_id(prompt_id.0).one(gateway.database.reader()).await?;
        Ok(Json(row.ok_or_else(Problem::not_found)?.into()))
    }

    /// Cancel a prompt
    ///
    /// At once, whatever its agent is doing: nothing that it publishes gets in any more, and the
    /// prompt's streams end with `cancelled`. Needs the role viewer; 409 if the prompt has ended
    /// otherwise. Cancelled again, it is answered like the first time.
    #[oai(
        path = "/:session_id/prompts/:prompt_id/cancel",
        method = "post",
        operation_id = "prompt_cancel"
    )]
    async fn cancel(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The session's id.
        session_id: Path<Uuid>,
        /// The prompt's id.
        prompt_id: Path<Uuid>,
    ) -> Result<Json<Prompt>> {
        let topic = seen(&gateway, &caller.principal, session_id.0, prompt_id.0).await?;
        let tx = gateway.database.begin_write().await?;
        let row = lock(&tx, prompt_id.0).await?;
        if row.status == prompt::Status::Cancelled {
            return Ok(Json(row.into()));
        }
        if has_ended(row.status) {
            return Err(Problem::conflict("the prompt has ended otherwise"));
        }
        let row = in_status(row, prompt::Status::Cancelled).update(&tx).await?;
        let event = new_event("cancelled", &json!({ "message": "cancelled on request" }))?;
        family::commit(&gateway, tx, &topic, vec![event.terminal()]).await?;
        Ok(Json(row.into()))
    }

    /// Mint a stream token for a prompt
    ///
    /// The same as `POST /v1/stream-tokens` with the prompt's id: a token that opens the stream of
    /// this prompt in this session and is worth nothing elsewhere, for `EventSource`. Needs the role
    /// viewer.
    #[oai(
        path = "/:session_id/prompts/:prompt_id/stream-token",
        method = "post",
        operation_id = "prompt_stream_token"
    )]
    async fn stream_token(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The session's id.
        session_id: Path<Uuid>,
        /// The prompt's id.
        prompt_id: Path<Uuid>,
        body: Optional,
    ) -> Result<Minted> {
        let topic = seen(&gateway, &caller.principal, session_id.0, prompt_id.0).await?;
        let ttl_seconds = body.0.and_then(|life| life.ttl_seconds);
        stream_token::mint(&gateway, &caller.principal, &topic, ttl_seconds).await
    }

    /// Watch a prompt
    ///
    /// A stream of server-sent events: a `snapshot` with what was said so far, then whatever the
    /// agent publishes, as it does. Every event has an `id`, a cursor to resume from. Ends after
    /// `complete`, `cancelled` or `error`. Needs the role viewer.
    #[oai(
        path = "/:session_id/prompts/:prompt_id/stream",
        method = "get",
        operation_id = "prompt_stream"
    )]
    async fn stream(
        &self,
        caller: StreamCaller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The session's id.
        session_id: Path<Uuid>,
        /// The prompt's id.
        prompt_id: Path<Uuid>,
        parameters: Parameters,
    ) -> Result<StreamResponse> {
        caller.may_open(&topic(prompt_id.0))?;
        let topic = seen(&gateway, &caller.principal, session_id.0, prompt_id.0).await?;
        family::open(&gateway, caller, topic, parameters).await
    }

    /// Read a prompt's events
    ///
    /// The same events as in the stream, page by page, for clients that cannot stream. Needs the
    /// role viewer.
    #[oai(
        path = "/:session_id/prompts/:prompt_id/events",
        method = "get",
        operation_id = "prompt_events"
    )]
    async fn events(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The session's id.
        session_id: Path<Uuid>,
        /// The prompt's id.
        prompt_id: Path<Uuid>,
        /// Only events after this cursor; all that are kept if absent.
        after: Query<Option<String>>,
        /// How many at most.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> Result<Events> {
        let topic = seen(&gateway, &caller.principal, session_id.0, prompt_id.0).await?;
        family::events(&gateway, &caller.principal, &topic, after.0, limit.0).await
    }

    /// Publish events
    ///
    /// One, an array of them, or one in each line (`application/x-ndjson`); all are in the log when
    /// this is answered, or none. The first ones make a queued prompt `processing`; `complete`,
    /// `cancelled` and `error` end it, and nothing can follow. Whoever has claimed the prompt shows
    /// its lease's token; nobody else may publish then. What nobody has claimed takes events without
    /// one, and has failed when it gets none for long (`prompts.idle_seconds` of the configuration).
    /// Needs the role agent; 409 if the lease is not the prompt's newest or has run out, or the prompt
    /// has ended.
    #[oai(
        path = "/:session_id/prompts/:prompt_id/events",
        method = "post",
        operation_id = "prompt_publish"
    )]
    async fn publish(
        &self,
        _caller: Caller<Agent>,
        gateway: Data<&Arc<Gateway>>,
        /// The session's id.
        session_id: Path<Uuid>,
        /// The prompt's id.
        prompt_id: Path<Uuid>,
        /// The token of the claim.
        #[oai(name = "Lease-Token")]
        lease_token: Header<Option<Uuid>>,
        body: Publication,
    ) -> Result<Published> {
        publish(&gateway, (session_id.0, prompt_id.0), lease_token.0, body).await
    }
}

/// A body that may be left out, with its `Content-Type`.
struct Optional(Option<StreamTokenLife>);

impl<'a> ApiExtractor<'a> for Optional {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        <Json<StreamTokenLife> as ApiExtractor>::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let meta = <Json<StreamTokenLife> as ApiExtractor>::request_meta();
        meta.map(|meta| MetaRequest { required: false, ..meta })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let bytes = body.take()?.into_bytes().await?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        let mut body = RequestBody::new(bytes.into());
        let given = Json::<StreamTokenLife>::from_request(request, &mut body, options).await?;
        Ok(Self(Some(given.0)))
    }
}
