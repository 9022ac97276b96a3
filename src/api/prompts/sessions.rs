//! The operations on sessions. The code of the family calls them conversations.

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};
use uuid::Uuid;

use crate::{
    api::{
        caller::{Caller, Viewer},
        json::Json,
        problem::{ReadResult, WriteResult},
        responses::Created,
        tag::Tag,
    },
    family::{
        conversation::{self, Conversation, NewConversation},
        wire::Page,
    },
    gateway::Gateway,
};

/// The operations.
pub(in crate::api) struct SessionsApi;

#[OpenApi(prefix_path = "/v1/sessions", tag = "Tag::Prompt")]
impl SessionsApi {
    /// Create a session
    ///
    /// The session belongs to the caller. Only the caller and administrators can create prompts in it. Requires the
    /// role viewer.
    #[oai(path = "/", method = "post", operation_id = "session_create")]
    async fn create(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        body: Json<NewConversation>,
    ) -> WriteResult<Created<Conversation>> {
        let session = conversation::create(&gateway, &caller.principal, body.0).await?;
        Ok(Created::Created(Json(session)))
    }

    /// List sessions
    ///
    /// Returns the caller's sessions, oldest first. An administrator gets the sessions of all users. Requires the
    /// role viewer.
    #[oai(path = "/", method = "get", operation_id = "session_list")]
    async fn list(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Return only sessions after the one with this id: `next` of the previous page.
        after: Query<Option<Uuid>>,
        /// Maximum number of sessions to return. The default is 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> ReadResult<Json<Page<Conversation>>> {
        let page = (after.0, limit.0);
        Ok(Json(conversation::list(&gateway, &caller.principal, page).await?))
    }

    /// Get a session
    ///
    /// Requires the role viewer. 404 for sessions of other users, unless the caller is an administrator.
    #[oai(path = "/:session_id", method = "get", operation_id = "session_get")]
    async fn get(
        &self,
        caller: Caller<Viewer>,
        gateway: Data<&Arc<Gateway>>,
        /// Session id.
        session_id: Path<Uuid>,
    ) -> ReadResult<Json<Conversation>> {
        Ok(Json(conversation::get(&gateway, &caller.principal, session_id.0).await?))
    }
}
