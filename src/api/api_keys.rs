//! API keys, the credentials of programs. Users manage their own keys, and administrators those of all users.

use std::{sync::Arc, time::Duration};

use entity::{Timestamp, user::Role};
use poem::web::Data;
use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::Example,
};
use serde_json::json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    audit_events::record,
    caller::{Caller, Person},
    json::Json,
    middleware::RequestInfo,
    problem::{ChangeResult, Kind, Problem, ReadResult, Result, WriteResult},
    responses::{Created, NoContent},
    stream_tokens::StreamFamily,
    tag::Tag,
    users::UserRole,
};
use crate::{
    audit::AuditKind,
    auth::{
        api_key::{KeyAndSession, NewApiKey},
        login_session::{Families, Principal},
    },
    event::Family,
    family::wire::{Page, Text, example_id, example_time, page_limit},
    gateway::Gateway,
};

/// Time for which the previous key stays valid after a rotation, if the request does not say it.
const OVERLAP_SECONDS: u64 = 3_600;

/// An API key to create.
#[derive(Object)]
#[oai(example, deny_unknown_fields, skip_serializing_if_is_none)]
struct ApiKeyRequest {
    /// Name of the key for people, such as the program that uses it: 1 to 64 characters.
    #[oai(validator(min_length = 1, max_length = 64))]
    name: Text,
    /// Highest role of the key, at most your own. The default is your role. If your role becomes lower, the role of the
    /// key does too.
    role: Option<UserRole>,
    /// Time at which the key ends, UTC. Without it, the key is valid until it is deleted.
    expires_at: Option<OffsetDateTime>,
    /// Families that the key may use. The default is all of them.
    #[oai(validator(min_items = 1, unique_items))]
    families: Option<Vec<StreamFamily>>,
}

impl Example for ApiKeyRequest {
    fn example() -> Self {
        Self {
            name: "deploy worker".into(),
            role: Some(UserRole::Agent),
            expires_at: Some(example_time()),
            families: Some(vec![StreamFamily::Task]),
        }
    }
}

/// The rotation of an API key.
#[derive(Object, Default)]
#[oai(example, deny_unknown_fields, skip_serializing_if_is_none)]
struct Rotation {
    /// Time for which the previous key stays valid, in seconds, from 0 to 2,592,000 (30 days). The default is 3,600.
    #[oai(validator(maximum(value = "2592000")))]
    overlap_seconds: Option<u64>,
}

impl Example for Rotation {
    fn example() -> Self {
        Self { overlap_seconds: Some(OVERLAP_SECONDS) }
    }
}

/// An API key, without its text.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
struct ApiKey {
    /// Key id.
    id: Uuid,
    /// Id of the owner. The key acts as this user.
    user_id: Uuid,
    /// Name of the key.
    name: String,
    /// The first characters of the key, to tell keys apart.
    hint: String,
    /// Highest role of the key.
    role: UserRole,
    /// Families that the key may use. Absent if it may use all.
    families: Option<Vec<StreamFamily>>,
    /// Time of creation, UTC.
    created_at: OffsetDateTime,
    /// Time at which the key ends, UTC. Absent if it is valid until it is deleted. The key is deleted a day later.
    expires_at: Option<OffsetDateTime>,
    /// Time until which the key before the last rotation is valid, UTC. Absent if there is none.
    previous_expires_at: Option<OffsetDateTime>,
    /// Day of the last use, UTC. Absent before the first use.
    last_used_on: Option<String>,
    /// IP address of the last use that was recorded: the first use of each address on a day is. Absent before the first
    /// use.
    last_used_address: Option<String>,
}

impl From<KeyAndSession> for ApiKey {
    fn from((key, session): KeyAndSession) -> Self {
        let families = session.families.as_deref().map(|names| {
            let is_named = |family: &Family| names.split(',').any(|name| name == family.name());
            Family::ALL.into_iter().filter(is_named).map(Into::into).collect()
        });
        Self {
            id: key.id,
            user_id: key.user_id,
            name: key.name,
            hint: key.hint,
            role: session.role.unwrap_or(Role::Viewer).into(),
            families,
            created_at: key.created_at.datetime(),
            expires_at: key.expires_at.map(Timestamp::datetime),
            previous_expires_at: key.previous_ends_at.map(Timestamp::datetime),
            last_used_on: key.last_used_on.map(|day| day.datetime().date().to_string()),
            last_used_address: key.last_used_address,
        }
    }
}

impl Example for ApiKey {
    fn example() -> Self {
        Self {
            id: example_id(),
            user_id: example_id(),
            name: "deploy worker".to_owned(),
            hint: "sgk_7Qh2Lx".to_owned(),
            role: UserRole::Agent,
            families: Some(vec![StreamFamily::Task]),
            created_at: example_time(),
            expires_at: Some(example_time()),
            previous_expires_at: Some(example_time()),
            last_used_on: Some("2026-11-20".to_owned()),
            last_used_address: Some("203.0.113.7".to_owned()),
        }
    }
}

/// An API key with its text.
#[derive(Object)]
#[oai(example)]
struct ApiKeyWithText {
    /// The text of the key, to send as `Authorization: Bearer sgk_...`. It is shown only in this response.
    key: String,
    #[oai(flatten)]
    api_key: ApiKey,
}

impl Example for ApiKeyWithText {
    fn example() -> Self {
        Self {
            key: "sgk_7Qh2LxVb9TzKc4Rn8WmYp3Js6Fd1Ga0LqkB2".to_owned(),
            api_key: ApiKey::example(),
        }
    }
}

/// The owner whose keys the caller may manage. `None` stands for all users.
fn owner(principal: &Principal) -> Option<Uuid> {
    (principal.role < Role::Admin).then_some(principal.user_id)
}

/// The operations.
pub(super) struct ApiKeysApi;

#[OpenApi(prefix_path = "/v1/api-keys", tag = "Tag::ApiKey")]
impl ApiKeysApi {
    /// Create an API key
    ///
    /// Creates a key that acts as the caller, and returns its text once. A program sends the key in the header
    /// `Authorization`, like an access token. A key cannot manage API keys, users, passwords and grants. Requires the role
    /// viewer. 403 if the role of the key is above yours, 409 if you have 100 keys.
    #[oai(path = "/", method = "post", operation_id = "api_key_create")]
    async fn create(
        &self,
        caller: Caller<Person>,
        gateway: Data<&Arc<Gateway>>,
        request: Data<&RequestInfo>,
        body: Json<ApiKeyRequest>,
    ) -> ChangeResult<Created<ApiKeyWithText>> {
        let ApiKeyRequest { name, role, expires_at, families } = body.0;
        let new = NewApiKey {
            name: name.0,
            role: role_of_key(&caller.principal, role)?,
            families: families.map_or(Families::ALL, |families| {
                Families::new(families.into_iter().map(Into::into))
            }),
            expires_at: expires_at.map(Timestamp::from_datetime),
        };
        let (created, key) = gateway.api_keys.create(caller.principal.user_id, new).await?;
        let api_key = ApiKey::from(created);
        audit(&gateway, &request, &caller.principal, AuditKind::ApiKeyCreated, &api_key).await;
        Ok(Created::Created(Json(ApiKeyWithText { key, api_key })))
    }

    /// List API keys
    ///
    /// Returns your API keys, oldest first, without their texts. An administrator gets those of all users. Requires the
    /// role viewer.
    #[oai(path = "/", method = "get", operation_id = "api_key_list")]
    async fn list(
        &self,
        caller: Caller<Person>,
        gateway: Data<&Arc<Gateway>>,
        /// Return only keys after the one with this id: `next` of the previous page.
        after: Query<Option<Uuid>>,
        /// Maximum number of keys to return. The default is 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> ReadResult<Json<Page<ApiKey>>> {
        let limit = page_limit(limit.0);
        let rows = gateway.api_keys.list(owner(&caller.principal), after.0, limit + 1).await?;
        Ok(Json(Page::new(rows, limit, |(key, _)| (key.id, 0))))
    }

    /// Get an API key
    ///
    /// Returns an API key without its text. Requires the role viewer. Only an administrator can get the key of another
    /// user.
    #[oai(path = "/:id", method = "get", operation_id = "api_key_get")]
    async fn get(
        &self,
        caller: Caller<Person>,
        gateway: Data<&Arc<Gateway>>,
        /// Key id.
        id: Path<Uuid>,
    ) -> ReadResult<Json<ApiKey>> {
        Ok(Json(gateway.api_keys.find(owner(&caller.principal), id.0).await?.into()))
    }

    /// Rotate an API key
    ///
    /// Gives the key a new text, and returns it once. The previous text stays valid for `overlap_seconds`, so that
    /// programs can change to the new one. Open streams continue. Requires the role viewer. Only the owner can rotate a
    /// key.
    #[oai(path = "/:id/rotate", method = "post", operation_id = "api_key_rotate")]
    async fn rotate(
        &self,
        caller: Caller<Person>,
        gateway: Data<&Arc<Gateway>>,
        request: Data<&RequestInfo>,
        /// Key id.
        id: Path<Uuid>,
        body: Json<Rotation>,
    ) -> WriteResult<Json<ApiKeyWithText>> {
        let overlap = Duration::from_secs(body.0.overlap_seconds.unwrap_or(OVERLAP_SECONDS));
        // Not for an administrator, who would get a credential of another user.
        let owner = Some(caller.principal.user_id);
        let (rotated, key) = gateway.api_keys.rotate(owner, id.0, overlap).await?;
        let api_key = ApiKey::from(rotated);
        audit(&gateway, &request, &caller.principal, AuditKind::ApiKeyRotated, &api_key).await;
        Ok(Json(ApiKeyWithText { key, api_key }))
    }

    /// Delete an API key
    ///
    /// Ends the key and its streams at once. Requires the role viewer. Only an administrator can delete the key of
    /// another user.
    #[oai(path = "/:id", method = "delete", operation_id = "api_key_delete")]
    async fn delete(
        &self,
        caller: Caller<Person>,
        gateway: Data<&Arc<Gateway>>,
        request: Data<&RequestInfo>,
        /// Key id.
        id: Path<Uuid>,
    ) -> WriteResult<NoContent> {
        let principal = &caller.principal;
        let api_key = gateway.api_keys.find(owner(principal), id.0).await?.into();
        gateway.delete_api_key(owner(principal), id.0).await?;
        audit(&gateway, &request, principal, AuditKind::ApiKeyDeleted, &api_key).await;
        Ok(NoContent::NoContent)
    }
}

async fn audit(
    gateway: &Gateway,
    request: &RequestInfo,
    caller: &Principal,
    kind: AuditKind,
    key: &ApiKey,
) {
    let data = json!({ "api_key_id": key.id, "name": key.name });
    record(gateway, request, Some(caller), (kind, Some(key.user_id), data)).await;
}

/// The role of a new key.
fn role_of_key(principal: &Principal, wanted: Option<UserRole>) -> Result<Role> {
    let role = wanted.map_or(principal.role, Into::into);
    if role > principal.role {
        return Err(Problem::new(
            Kind::Forbidden,
            "the role of an API key must not be above yours",
        ));
    }
    Ok(role)
}
