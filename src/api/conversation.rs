//! Conversations, on the wire sessions: what prompts are asked in. Each belongs to the user who made
//! it; to others it is not there.

use std::sync::Arc;

use entity::{Timestamp, conversation, prompt, user::Role};
use poem::web::Data;
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Path, Query},
    payload::Json,
    types::Example,
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect, QueryTrait,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Page, Tag,
    caller::{Caller, Viewer},
    example_id, example_time, family, page_limit,
    problem::{Problem, Result},
    text::Text,
};
use crate::{auth::login_session::Principal, gateway::Gateway};

/// A session to be made.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
struct NewSession {
    /// A name for people; empty if absent.
    #[oai(validator(max_length = 128, pattern = r"^[^\x00-\x1f\x7f]*$"))]
    name: Option<Text>,
}

impl Example for NewSession {
    fn example() -> Self {
        Self { name: Some("planning the move".into()) }
    }
}

/// A session: what prompts are asked in.
#[derive(Object)]
#[oai(example)]
struct Session {
    /// Its id.
    id: Uuid,
    /// Whose it is.
    owner: Uuid,
    /// Its name.
    name: String,
    /// When it was made.
    created_at: OffsetDateTime,
}

impl From<conversation::Model> for Session {
    fn from(row: conversation::Model) -> Self {
        Self { id: row.id, owner: row.owner, name: row.name, created_at: row.created_at.datetime() }
    }
}

impl Example for Session {
    fn example() -> Self {
        Self {
            id: example_id(),
            owner: example_id(),
            name: "planning the move".to_owned(),
            created_at: example_time(),
        }
    }
}

#[derive(ApiResponse)]
enum Created {
    /// The session was made.
    #[oai(status = 201)]
    Created(Json<Session>),
}

/// The operations.
pub(super) struct Conversations;

#[OpenApi(prefix_path = "/v1/sessions", tag = "Tag::Prompt")]
impl Conversations {
    /// Make a session
    ///
    /// It belongs to the caller, who may ask prompts in it. Needs the role viewer.
    #[oai(path = "/", method = "post", operation_id = "session_create")]
    async fn create(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        body: Json<NewSession>,
    ) -> Result<Created> {
        let row = conversation::Model {
            id: Uuid::now_v7(),
            owner: caller.principal.user_id,
            name: body.0.name.map(|name| name.0).unwrap_or_default(),
            created_at: Timestamp::now(),
        };
        let row = row.into_active_model().insert(gateway.database.writer()).await?;
        Ok(Created::Created(Json(row.into())))
    }

    /// List sessions
    ///
    /// The caller's; an administrator sees everybody's. Oldest first. Needs the role viewer.
    #[oai(path = "/", method = "get", operation_id = "session_list")]
    async fn list(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Only those after the one with this id: `next` of the page before.
        after: Query<Option<Uuid>>,
        /// How many at most.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> Result<Json<Page<Session>>> {
        let limit = page_limit(limit.0);
        let mut query = conversation::Entity::find()
            .filter(conversation::Column::Id.gt(after.0.unwrap_or(Uuid::nil())))
            .order_by_asc(conversation::Column::Id)
            .limit(limit + 1);
        if caller.principal.role != Role::Admin {
            query = query.filter(conversation::Column::Owner.eq(caller.principal.user_id));
        }
        let rows = query.all(gateway.database.reader()).await?;
        Ok(Json(Page::new(rows, limit, |row| (row.id, 0))))
    }

    /// Read a session
    ///
    /// Needs the role viewer; a session that belongs to somebody else is a 404, unless the caller is
    /// an administrator.
    #[oai(path = "/:session_id", method = "get", operation_id = "session_read")]
    async fn read(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// The session's id.
        session_id: Path<Uuid>,
    ) -> Result<Json<Session>> {
        let row = find(gateway.database.reader(), &caller.principal, session_id.0).await?;
        Ok(Json(row.into()))
    }
}

/// The conversation, if this caller may see it, or 404.
pub(super) async fn find(
    connection: &impl ConnectionTrait,
    principal: &Principal,
    id: Uuid,
) -> Result<conversation::Model> {
    let row = conversation::Entity::find_by_id(id).one(connection).await?;
    row.filter(|row| principal.role == Role::Admin || row.owner == principal.user_id)
        .ok_or_else(Problem::not_found)
}

/// Deletes the conversations of users that have been deleted, once there is no prompt in them.
pub(super) async fn delete_orphans(gateway: &Gateway) -> Result<()> {
    let is_empty = || {
        let prompts = prompt::Entity::find().select_only().column(prompt::Column::ConversationId);
        conversation::Column::Id.not_in_subquery(prompts.into_query())
    };
    let orphans = conversation::Entity::find()
        .filter(conversation::Column::Owner.not_in_subquery(family::users()))
        .filter(is_empty())
        .order_by_asc(conversation::Column::Id)
        .limit(family::ORPHANS_PER_END);
    while orphans.clone().one(gateway.database.reader()).await?.is_some() {
        let tx = gateway.database.begin_write().await?;
        // Locked, so that nobody asks in them from here on; who did just before is found below.
        let rows = orphans.clone().lock_exclusive().all(&tx).await?;
        conversation::Entity::delete_many()
            .filter(conversation::Column::Id.is_in(rows.iter().map(|row| row.id)))
            .filter(is_empty())
            .exec(&tx)
            .await?;
        tx.commit().await?;
    }
    Ok(())
}
