//! Users and their roles.

use entity::{
    Timestamp,
    user::{self, Role},
};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, DbErr, EntityTrait, IntoActiveModel,
    PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, SqlErr, prelude::Expr,
};
use uuid::Uuid;

use crate::{
    auth::login_session::revoke_sessions,
    auth::password::{self, Match, NewPassword, PasswordError},
    database::{Database, Transaction},
};

/// Name of the administrator that the first start creates.
pub const FIRST_ADMIN: &str = "admin";

/// Maximum length of a subject in bytes (OpenID Connect Core 1.0, section 2).
const MAX_SUBJECT: usize = 255;

/// The user cannot be created or changed.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// Another user has this name.
    #[error("another user has this name")]
    NameTaken,
    /// Another user has this subject of the external issuer.
    #[error("another user has this subject of the issuer")]
    SubjectTaken,
    /// The subject has a wrong length.
    #[error("a subject is 1 to 255 bytes")]
    SubjectInvalid,
    /// The user has no password, because an external issuer authenticates the user.
    #[error("a user of an external issuer has no password")]
    ExternalPassword,
    /// The name has a wrong length, or characters that are not allowed.
    #[error("a user name is 1 to 64 characters of a-z, 0-9, '.', '_' and '-'")]
    NameInvalid,
    /// The password cannot be used.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// No user has this id.
    #[error("the user does not exist")]
    NotFound,
    /// The change would leave no enabled administrator.
    #[error("the last administrator cannot be removed, disabled or given another role")]
    LastAdmin,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbErr),
}

/// The new values of a user. An absent field keeps its value.
#[derive(Clone, Default)]
pub struct UserUpdate {
    /// New role.
    pub role: Option<Role>,
    /// Whether the user is disabled.
    pub disabled: Option<bool>,
    /// New password.
    pub password: Option<NewPassword>,
}

/// The users in the database.
#[derive(Clone, Debug)]
pub struct Users {
    database: Database,
}

impl Users {
    /// Manages the users in this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Creates the first administrator, unless there is one already. Returns the password if this function
    /// generated it, that is, if `given` is absent.
    ///
    /// # Errors
    /// [`UserError::Password`] if `given` cannot be used, [`UserError::NameTaken`] if a user who is not an administrator
    /// has the name [`FIRST_ADMIN`].
    pub async fn bootstrap(&self, given: Option<String>) -> Result<Option<String>, UserError> {
        let admins = || user::Entity::find().filter(user::Column::Role.eq(Role::Admin));
        if admins().count(self.database.reader()).await? > 0 {
            return Ok(None);
        }
        let is_generated = given.is_none();
        let password = match given {
            Some(given) => NewPassword::new(&given)?,
            None => NewPassword::random(),
        };
        match self.create(FIRST_ADMIN, password.clone(), Role::Admin).await {
            Ok(_) => Ok(is_generated.then(|| password.text().to_owned())),
            // Another process that started at the same time created it first, or another user has the name. In
            // the second case there is no administrator.
            Err(UserError::NameTaken) if admins().count(self.database.reader()).await? > 0 => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Creates a user.
    ///
    /// # Errors
    /// - [`UserError::NameInvalid`] if the name has a wrong length, or characters that are not allowed.
    /// - [`UserError::NameTaken`] if another user has the name.
    pub async fn create(
        &self,
        username: &str,
        password: NewPassword,
        role: Role,
    ) -> Result<user::Model, UserError> {
        if !is_name(username) {
            return Err(UserError::NameInvalid);
        }
        let hash = password.hash().await;
        self.insert(user::Model { password_hash: hash, ..new_user(username, role) }).await
    }

    /// Creates a user that an external issuer authenticates as `subject`.
    ///
    /// # Errors
    /// - [`UserError::NameInvalid`] if the name has a wrong length, or characters that are not allowed.
    /// - [`UserError::SubjectInvalid`] if the subject has a wrong length.
    /// - [`UserError::SubjectTaken`] if another user has the subject.
    /// - [`UserError::NameTaken`] if another user has the name.
    pub async fn create_external(
        &self,
        username: &str,
        (issuer, subject): (String, String),
        role: Role,
    ) -> Result<user::Model, UserError> {
        if !is_name(username) {
            return Err(UserError::NameInvalid);
        }
        if !(1..=MAX_SUBJECT).contains(&subject.len()) {
            return Err(UserError::SubjectInvalid);
        }
        let same = user::Entity::find()
            .filter(user::Column::Issuer.eq(&issuer))
            .filter(user::Column::Subject.eq(&subject));
        if same.count(self.database.reader()).await? > 0 {
            return Err(UserError::SubjectTaken);
        }
        let (issuer, subject) = (Some(issuer), Some(subject));
        self.insert(user::Model { issuer, subject, ..new_user(username, role) }).await
    }

    async fn insert(&self, row: user::Model) -> Result<user::Model, UserError> {
        match row.into_active_model().insert(self.database.writer()).await {
            Ok(user) => Ok(user),
            Err(error) => Err(match error.sql_err() {
                Some(SqlErr::UniqueConstraintViolation(_)) => UserError::NameTaken,
                _ => error.into(),
            }),
        }
    }

    /// The user of this name and password, unless disabled. Takes as long for an unknown name as for a known
    /// one, so that the time does not tell which names exist. If the hash of the password is older than the
    /// preparation of passwords, it is replaced.
    pub async fn authenticate(
        &self,
        username: &str,
        password: String,
    ) -> Result<Option<user::Model>, DbErr> {
        let user = if is_name(username) {
            user::Entity::find()
                .filter(user::Column::Username.eq(username))
                .one(self.database.reader())
                .await?
        } else {
            None
        };
        // A user of an external issuer has no hash. An empty one would be refused at once, and the time would tell.
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        let hash = hash.filter(|hash| !hash.is_empty());
        let matches = password::verify(password.clone(), hash).await;
        let mut user = user.filter(|user| matches != Match::None && !user.disabled);
        // A password that could not be set today keeps its hash.
        if let (Some(user), Match::Unprepared, Ok(new)) =
            (&mut user, matches, NewPassword::new(&password))
            && !self.replace_hash(user, new.hash().await).await?
        {
            // Another login has replaced the hash, or the password was changed.
            return Box::pin(self.authenticate(username, password)).await;
        }
        Ok(user)
    }

    /// Replaces the hash of a password. Returns false if the row has another hash in the meantime.
    async fn replace_hash(&self, user: &mut user::Model, hash: String) -> Result<bool, DbErr> {
        let replaced = user::Entity::update_many()
            .col_expr(user::Column::PasswordHash, Expr::value(hash.clone()))
            .filter(user::Column::Id.eq(user.id))
            .filter(user::Column::PasswordHash.eq(&user.password_hash))
            .exec(self.database.writer())
            .await?;
        user.password_hash = hash;
        Ok(replaced.rows_affected == 1)
    }

    /// The user with this id.
    ///
    /// # Errors
    /// [`UserError::NotFound`] if no user has this id.
    pub async fn find(&self, id: Uuid) -> Result<user::Model, UserError> {
        user::Entity::find_by_id(id).one(self.database.reader()).await?.ok_or(UserError::NotFound)
    }

    /// The user of this name.
    ///
    /// # Errors
    /// [`UserError::NotFound`] if no user has this name.
    pub async fn find_by_name(&self, username: &str) -> Result<user::Model, UserError> {
        let by_name = user::Entity::find().filter(user::Column::Username.eq(username));
        by_name.one(self.database.reader()).await?.ok_or(UserError::NotFound)
    }

    /// Up to `limit` users that were created after the user `after`, oldest first.
    pub async fn list(&self, after: Option<Uuid>, limit: u64) -> Result<Vec<user::Model>, DbErr> {
        user::Entity::find()
            .filter(user::Column::Id.gt(after.unwrap_or(Uuid::nil())))
            .order_by_asc(user::Column::Id)
            .limit(limit)
            .all(self.database.reader())
            .await
    }

    /// Updates a user. A new password and disabling revoke all login sessions of the user, except those of API keys. The
    /// API keys of a disabled user are refused while the user is disabled.
    ///
    /// # Errors
    /// - [`UserError::NotFound`] if no user has this id.
    /// - [`UserError::ExternalPassword`] if the user of an external issuer would get a password.
    /// - [`UserError::LastAdmin`] if the change would leave no enabled administrator.
    pub async fn update(&self, id: Uuid, change: UserUpdate) -> Result<user::Model, UserError> {
        // Before the transaction, because others wait for its lock, and a hash takes long.
        let password_hash = match change.password {
            Some(password) => Some(password.hash().await),
            None => None,
        };
        let tx = self.database.begin_write().await?;
        let user = lock_for_update(&tx, id, |user| {
            change.disabled.unwrap_or(user.disabled)
                || change.role.is_some_and(|role| role < Role::Admin)
        })
        .await?;
        if password_hash.is_some() && user.issuer.is_some() {
            return Err(UserError::ExternalPassword);
        }
        let mut row = user.into_active_model();
        if let Some(role) = change.role {
            row.role = Set(role);
        }
        if let Some(disabled) = change.disabled {
            row.disabled = Set(disabled);
        }
        let revokes_sessions = password_hash.is_some() || change.disabled == Some(true);
        if let Some(hash) = password_hash {
            row.password_hash = Set(hash);
        }
        if revokes_sessions {
            // In the same transaction, so that no session from before the change can become valid again.
            revoke_sessions(&tx, id).await?;
        }
        let user = row.update(&tx).await?;
        tx.commit().await?;
        Ok(user)
    }

    /// Deletes a user and all login sessions of the user.
    ///
    /// # Errors
    /// [`UserError::NotFound`] if no user has this id, [`UserError::LastAdmin`] if the user is the last enabled
    /// administrator.
    pub async fn delete(&self, id: Uuid) -> Result<(), UserError> {
        let tx = self.database.begin_write().await?;
        let user = lock_for_update(&tx, id, |_| true).await?;
        user::Entity::delete_by_id(user.id).exec(&tx).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Locks the row of a user for a change. Refuses if the change removes the last enabled administrator. Locks
/// the rows of all administrators first, so that two of them cannot remove each other at the same time.
async fn lock_for_update(
    tx: &Transaction,
    id: Uuid,
    removes_admin: impl FnOnce(&user::Model) -> bool,
) -> Result<user::Model, UserError> {
    let admins = user::Entity::find()
        .filter(user::Column::Role.eq(Role::Admin))
        .filter(user::Column::Disabled.eq(false))
        .order_by_asc(user::Column::Id)
        .lock_exclusive()
        .all(tx)
        .await?;
    let user = user::Entity::find_by_id(id).lock_exclusive().one(tx).await?;
    let user = user.ok_or(UserError::NotFound)?;
    let is_last = admins.iter().all(|admin| admin.id == id) && !admins.is_empty();
    if is_last && removes_admin(&user) { Err(UserError::LastAdmin) } else { Ok(user) }
}

/// A new user without a password.
fn new_user(username: &str, role: Role) -> user::Model {
    user::Model {
        id: Uuid::now_v7(),
        username: username.to_owned(),
        password_hash: String::new(),
        role,
        disabled: false,
        created_at: Timestamp::now(),
        issuer: None,
        subject: None,
        display_name: None,
        revoked_before: None,
        issuer_role: None,
        issuer_role_at: None,
    }
}

fn is_name(text: &str) -> bool {
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}
