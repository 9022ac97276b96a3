//! Looking after users.

use std::sync::Arc;

use entity::user;
use poem::web::Data;
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Path, Query},
    payload::Json,
    types::Example,
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    caller::{Admin, Caller},
    problem::Result,
    tag::Tag,
};
use crate::{
    auth::user::Change,
    family::{
        self, notification,
        wire::{Page, Text, example_id, example_time, page_limit, wire_enum},
    },
    gateway::Gateway,
};

wire_enum! {
    /// What a user may do. Each role may do all that the ones before it may: a viewer watches, an
    /// agent also claims and reports, an operator also changes what is to be done, an admin also
    /// looks after users.
    pub(super) UserRole <=> user::Role { Viewer, Agent, Operator, Admin }
}

/// A user to be made.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
struct NewUser {
    /// The name to log in with.
    #[oai(validator(min_length = 1, max_length = 64, pattern = "^[a-z0-9._-]+$"))]
    username: Text,
    /// The password: at least 8 characters (NIST SP 800-63B, section 5.1.1.2) and at most 1024 bytes
    /// in UTF-8, so fewer than 1024 characters if they are not ASCII.
    #[oai(validator(min_length = 8, max_length = 1024))]
    password: Text,
    /// What the user may do.
    role: UserRole,
}

impl Example for NewUser {
    fn example() -> Self {
        Self {
            username: "ada".into(),
            password: "correct horse battery staple".into(),
            role: UserRole::Operator,
        }
    }
}

/// What to change; what is absent stays.
#[derive(Object)]
#[oai(example, deny_unknown_fields)]
struct UserChange {
    /// Another role. A lower one ends the user's open streams; those of many topics go on with what
    /// the user may still see.
    role: Option<UserRole>,
    /// Whether the user is kept out. `true` ends the user's sessions and open streams for good: after
    /// `false` the user has to log in again.
    disabled: Option<bool>,
    /// Another password, with the same limits as the first. Ends the user's sessions.
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
#[oai(example)]
struct User {
    /// Its id.
    id: Uuid,
    /// The name to log in with.
    username: String,
    /// What the user may do.
    role: UserRole,
    /// Whether the user is kept out.
    disabled: bool,
    /// When the user was made.
    created_at: OffsetDateTime,
}

impl From<user::Model> for User {
    fn from(row: user::Model) -> Self {
        Self {
            id: row.id,
            username: row.username,
            role: row.role.into(),
            disabled: row.disabled,
            created_at: row.created_at.datetime(),
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
        }
    }
}

#[derive(ApiResponse)]
enum Created {
    /// The user was made.
    #[oai(status = 201)]
    Created(Json<User>),
}

#[derive(ApiResponse)]
enum Done {
    /// It is done.
    #[oai(status = 204)]
    Done,
}

/// The operations.
pub(super) struct UsersApi;

#[OpenApi(prefix_path = "/v1/users", tag = "Tag::User")]
impl UsersApi {
    /// Make a user
    ///
    /// Needs the role admin. 409 if the name is taken.
    #[oai(path = "/", method = "post", operation_id = "user_create")]
    async fn create(
        &self,
        _caller: Caller<Admin>,
        gateway: Data<&Arc<Gateway>>,
        body: Json<NewUser>,
    ) -> Result<Created> {
        let NewUser { username, password, role } = body.0;
        let row = gateway.users.create(&username.0, password.0, role.into()).await?;
        Ok(Created::Created(Json(row.into())))
    }

    /// List users
    ///
    /// Oldest first. Needs the role admin.
    #[oai(path = "/", method = "get", operation_id = "user_list")]
    async fn list(
        &self,
        _caller: Caller<Admin>,
        gateway: Data<&Arc<Gateway>>,
        /// Only those after the one with this id: `next` of the page before.
        after: Query<Option<Uuid>>,
        /// How many at most.
        #[oai(validator(minimum(value = "1"), maximum(value = "200")))]
        limit: Query<Option<u64>>,
    ) -> Result<Json<Page<User>>> {
        let limit = page_limit(limit.0);
        let rows = gateway.users.list(after.0, limit + 1).await?;
        Ok(Json(Page::new(rows, limit, |row| (row.id, 0))))
    }

    /// Read a user
    ///
    /// Needs the role admin.
    #[oai(path = "/:id", method = "get", operation_id = "user_read")]
    async fn read(
        &self,
        _caller: Caller<Admin>,
        gateway: Data<&Arc<Gateway>>,
        /// The user's id.
        id: Path<Uuid>,
    ) -> Result<Json<User>> {
        Ok(Json(gateway.users.find(id.0).await?.into()))
    }

    /// Change a user
    ///
    /// Needs the role admin. 409 if no enabled administrator would be left.
    #[oai(path = "/:id", method = "patch", operation_id = "user_change")]
    async fn change(
        &self,
        _caller: Caller<Admin>,
        gateway: Data<&Arc<Gateway>>,
        /// The user's id.
        id: Path<Uuid>,
        body: Json<UserChange>,
    ) -> Result<Json<User>> {
        let change = Change {
            role: body.0.role.map(Into::into),
            disabled: body.0.disabled,
            password: body.0.password.map(|password| password.0),
        };
        let row = gateway.users.change(id.0, change).await?;
        gateway.user_changed(id.0).await?;
        Ok(Json(row.into()))
    }

    /// Delete a user
    ///
    /// Ends the user's sessions and streams, and what the user has asked for: tasks and prompts that
    /// have not ended are cancelled, MCP sessions closed. Needs the role admin. 409 if no enabled
    /// administrator would be left.
    #[oai(path = "/:id", method = "delete", operation_id = "user_delete")]
    async fn delete(
        &self,
        _caller: Caller<Admin>,
        gateway: Data<&Arc<Gateway>>,
        /// The user's id.
        id: Path<Uuid>,
    ) -> Result<Done> {
        gateway.users.delete(id.0).await?;
        gateway.user_changed(id.0).await?;
        family::cancel_orphans(&gateway).await?;
        notification::delete_logs(&gateway, &[id.0]).await?;
        Ok(Done::Done)
    }

    /// End all sessions of a user
    ///
    /// And the streams under them, at once. The user can log in again. Needs the role admin.
    #[oai(path = "/:id/revoke", method = "post", operation_id = "user_revoke")]
    async fn revoke(
        &self,
        _caller: Caller<Admin>,
        gateway: Data<&Arc<Gateway>>,
        /// The user's id.
        id: Path<Uuid>,
    ) -> Result<Done> {
        gateway.users.find(id.0).await?;
        gateway.revoke_user(id.0).await?;
        Ok(Done::Done)
    }
}
