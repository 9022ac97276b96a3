//! Users, managed by administrators.

use std::sync::Arc;

use entity::user;
use poem::web::Data;
use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    types::{Example, ToJSON},
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    audit_events::record,
    caller::{AdminPerson, Caller},
    json::Json,
    middleware::RequestInfo,
    problem::{ChangeResult, Problem, ReadResult, WriteResult},
    responses::{Created, NoContent},
    tag::Tag,
};
use crate::{
    audit::AuditKind,
    auth::{password::NewPassword, user::UserUpdate},
    family::{
        self, notification,
        wire::{Page, Text, example_id, example_time, page_limit, wire_enum},
    },
    gateway::Gateway,
};

wire_enum! {
    /// Role of a user. Each role includes the rights of the roles before it. A viewer watches, an agent also claims
    /// work and reports on it, an operator also changes resources, an admin also manages users.
    pub(super) UserRole <=> user::Role { Viewer, Agent, Operator, Admin }
}

/// A user to create.
#[derive(Object)]
#[oai(example, deny_unknown_fields, skip_serializing_if_is_none)]
struct NewUser {
    /// Name to log in with: 1 to 64 characters of `a-z`, `0-9`, `.`, `_` and `-`.
    #[oai(validator(min_length = 1, max_length = 64, pattern = "^[a-z0-9._-]+$"))]
    username: Text,
    /// Password: at least 8 characters (NIST SP 800-63B, section 5.1.1.2) and at most 1,024 bytes in UTF-8, without
    /// control characters, and without characters that are newer than Unicode 6.3. It is prepared with OpaqueString
    /// (RFC 8265, section 4.2): however a keyboard writes a letter, the password is the same. Required without
    /// `external`.
    #[oai(validator(min_length = 8, max_length = 1024))]
    password: Option<Text>,
    /// The identity at an external issuer (`auth.issuers` of the configuration). The user logs in there and has no
    /// password here.
    external: Option<ExternalIdentity>,
    /// Role of the user.
    role: UserRole,
}

impl Example for NewUser {
    fn example() -> Self {
        Self {
            username: "ada".into(),
            password: Some("correct horse battery staple".into()),
            external: None,
            role: UserRole::Operator,
        }
    }
}

/// The identity of a user at an external issuer.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
struct ExternalIdentity {
    /// Issuer: the `iss` claim of its tokens. It must be configured.
    issuer: Text,
    /// The `sub` claim of the user: 1 to 255 bytes.
    #[oai(validator(min_length = 1, max_length = 255))]
    subject: Text,
}

impl Example for ExternalIdentity {
    fn example() -> Self {
        Self {
            issuer: "https://id.example.com/realms/main".into(),
            subject: "f1d6b1a4-7d0c-4b6e-9a55-2f3f6f0c8a11".into(),
        }
    }
}

/// Changes of a user. An absent field keeps its value.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
struct UserChange {
    /// New role. A lower role ends the user's open streams. A stream of several topics continues with the topics that
    /// the user may still see.
    role: Option<UserRole>,
    /// Whether the user is disabled. `true` ends the user's login sessions and streams. `false` lets the user log in
    /// again.
    disabled: Option<bool>,
    /// New password, with the same limits as for a new user. A new password ends the user's login sessions and streams.
    /// 409 for a user of an external issuer.
    #[oai(validator(min_length = 8, max_length = 1024))]
    password: Option<Text>,
}

impl Example for UserChange {
    fn example() -> Self {
        Self {
            role: Some(UserRole::Viewer),
            disabled: Some(false),
            password: Some("correct horse battery staple".into()),
        }
    }
}

/// A user.
#[derive(Object)]
#[oai(example, skip_serializing_if_is_none)]
struct User {
    /// User id.
    id: Uuid,
    /// Name to log in with.
    username: String,
    /// Role of the user.
    role: UserRole,
    /// Whether the user is disabled. A disabled user cannot log in.
    disabled: bool,
    /// Time of creation, UTC.
    created_at: OffsetDateTime,
    /// External issuer that authenticates the user. Absent for a user with a password.
    issuer: Option<String>,
    /// The `sub` claim of the user at the issuer. Absent for a user with a password.
    subject: Option<String>,
    /// Name of the user at the issuer, for people. Not unique. Absent if the issuer has not sent one.
    display_name: Option<String>,
}

impl From<user::Model> for User {
    fn from(row: user::Model) -> Self {
        Self {
            id: row.id,
            username: row.username,
            role: row.role.into(),
            disabled: row.disabled,
            created_at: row.created_at.datetime(),
            issuer: row.issuer,
            subject: row.subject,
            display_name: row.display_name,
        }
    }
}

impl Example for User {
    fn example() -> Self {
        Self {
            id: example_id(),
            username: "ada".to_owned(),
            role: UserRole::Operator,
            disabled: false,
            created_at: example_time(),
            issuer: None,
            subject: None,
            display_name: None,
        }
    }
}

/// The operations.
pub(super) struct UsersApi;

#[OpenApi(prefix_path = "/v1/users", tag = "Tag::User")]
impl UsersApi {
    /// Create a user
    ///
    /// Creates a user with a password, or a user that logs in at an external issuer. Requires the role admin. 409 if
    /// another user has the name or the external identity.
    #[oai(path = "/", method = "post", operation_id = "user_create")]
    async fn create(
        &self,
        caller: Caller<AdminPerson>,
        gateway: Data<&Arc<Gateway>>,
        request: Data<&RequestInfo>,
        body: Json<NewUser>,
    ) -> ChangeResult<Created<User>> {
        let NewUser { username, password, external, role } = body.0;
        let row = match (password, external) {
            (Some(password), None) => {
                let password = NewPassword::new(&password.0)?;
                gateway.users.create(&username.0, password, role.into()).await?
            }
            (None, Some(ExternalIdentity { issuer, subject })) => {
                if !gateway.issuers.is_configured(&issuer.0) {
                    return Err(Problem::bad_request("this issuer is not configured").into());
                }
                let identity = (issuer.0, subject.0);
                gateway.users.create_external(&username.0, identity, role.into()).await?
            }
            _ => return Err(Problem::bad_request("send either password or external").into()),
        };
        let data = json!({ "username": row.username, "role": role.to_json() });
        let event = (AuditKind::UserCreated, Some(row.id), data);
        record(&gateway, &request, Some(&caller.principal), event).await;
        Ok(Created::Created(Json(row.into())))
    }

    /// List users
    ///
    /// Returns all users, oldest first. Requires the role admin.
    #[oai(path = "/", method = "get", operation_id = "user_list")]
    async fn list(
        &self,
        _caller: Caller<AdminPerson>,
        gateway: Data<&Arc<Gateway>>,
        /// Return only users after the one with this id: `next` of the previous page.
        after: Query<Option<Uuid>>,
        /// Maximum number of users to return. The default is 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> ReadResult<Json<Page<User>>> {
        let limit = page_limit(limit.0);
        let rows = gateway.users.list(after.0, limit + 1).await?;
        Ok(Json(Page::new(rows, limit, |row| (row.id, 0))))
    }

    /// Get a user
    ///
    /// Requires the role admin.
    #[oai(path = "/:id", method = "get", operation_id = "user_get")]
    async fn get(
        &self,
        _caller: Caller<AdminPerson>,
        gateway: Data<&Arc<Gateway>>,
        /// User id.
        id: Path<Uuid>,
    ) -> ReadResult<Json<User>> {
        Ok(Json(gateway.users.find(id.0).await?.into()))
    }

    /// Update a user
    ///
    /// Changes the role, the password or whether the user is disabled. Requires the role admin. 409 if no
    /// enabled administrator would remain.
    #[oai(path = "/:id", method = "patch", operation_id = "user_update")]
    async fn update(
        &self,
        caller: Caller<AdminPerson>,
        gateway: Data<&Arc<Gateway>>,
        request: Data<&RequestInfo>,
        /// User id.
        id: Path<Uuid>,
        body: Json<UserChange>,
    ) -> ChangeResult<Json<User>> {
        let change = UserUpdate {
            role: body.0.role.map(Into::into),
            disabled: body.0.disabled,
            password: body.0.password.map(|text| NewPassword::new(&text.0)).transpose()?,
        };
        let has_password = change.password.is_some();
        let before = gateway.users.find(id.0).await?;
        let row = gateway.users.update(id.0, change).await?;
        let checked = gateway.user_changed(id.0).await;
        for (kind, data) in changes(&before, &row, has_password) {
            record(&gateway, &request, Some(&caller.principal), (kind, Some(id.0), data)).await;
        }
        checked?;
        Ok(Json(row.into()))
    }

    /// Delete a user
    ///
    /// Ends the user's login sessions and streams, cancels the user's unfinished tasks and prompts, and closes
    /// the user's MCP sessions. Requires the role admin. 409 if no enabled administrator would remain.
    #[oai(path = "/:id", method = "delete", operation_id = "user_delete")]
    async fn delete(
        &self,
        caller: Caller<AdminPerson>,
        gateway: Data<&Arc<Gateway>>,
        request: Data<&RequestInfo>,
        /// User id.
        id: Path<Uuid>,
    ) -> ChangeResult<NoContent> {
        let username = gateway.users.find(id.0).await?.username;
        let grants = gateway.oauth.grants(id.0).await?;
        gateway.users.delete(id.0).await?;
        family::oauth::revoke_in_background(&gateway, grants);
        let event = (AuditKind::UserDeleted, Some(id.0), json!({ "username": username }));
        record(&gateway, &request, Some(&caller.principal), event).await;
        gateway.user_changed(id.0).await?;
        family::cancel_orphans(&gateway).await?;
        notification::delete_logs(&gateway, &[id.0]).await?;
        Ok(NoContent::NoContent)
    }

    /// Revoke login sessions
    ///
    /// Ends all login sessions of a user and their streams at once. The user can log in again. API keys of the user stay
    /// valid. Requires the role admin.
    #[oai(path = "/:id/revoke", method = "post", operation_id = "user_revoke")]
    async fn revoke(
        &self,
        caller: Caller<AdminPerson>,
        gateway: Data<&Arc<Gateway>>,
        request: Data<&RequestInfo>,
        /// User id.
        id: Path<Uuid>,
    ) -> WriteResult<NoContent> {
        gateway.users.find(id.0).await?;
        gateway.revoke_user(id.0).await?;
        let event = (AuditKind::SessionsRevoked, Some(id.0), json!({}));
        record(&gateway, &request, Some(&caller.principal), event).await;
        Ok(NoContent::NoContent)
    }
}

/// The security events of an update.
fn changes(
    before: &user::Model,
    after: &user::Model,
    has_password: bool,
) -> impl Iterator<Item = (AuditKind, Value)> {
    let role = |role: user::Role| UserRole::from(role).to_json();
    let data = json!({ "from": role(before.role), "to": role(after.role) });
    let kind = if after.disabled { AuditKind::UserDisabled } else { AuditKind::UserEnabled };
    [
        (before.role != after.role).then_some((AuditKind::RoleChanged, data)),
        has_password.then(|| (AuditKind::PasswordChanged, json!({}))),
        (before.disabled != after.disabled).then(|| (kind, json!({}))),
    ]
    .into_iter()
    .flatten()
}
