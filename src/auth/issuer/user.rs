//! Finds and creates the users of external issuers.

use entity::{
    Timestamp,
    user::{self, Role},
};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, SqlErr,
    prelude::Expr,
};
use uuid::Uuid;

use super::claims::Claims;
use crate::{config, database::Database};

/// The user of these claims, and whether it was created now. `None` if the user does not exist and is not created at the
/// first use of a token.
pub(super) async fn find_or_create(
    database: &Database,
    issuer: &config::Issuer,
    claims: &Claims,
) -> Result<Option<(user::Model, bool)>, DbErr> {
    if let Some(user) = find(database, &issuer.issuer, &claims.sub).await? {
        return Ok(Some((renamed(database, user, claims).await?, false)));
    }
    if !issuer.create_users {
        return Ok(None);
    }
    match insert(database, issuer, claims).await {
        Ok(user) => Ok(Some((user, true))),
        // Another request created the user at the same time.
        Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => {
            let found = find(database, &issuer.issuer, &claims.sub).await?;
            found.map(|user| Some((user, false))).ok_or(error)
        }
        Err(error) => Err(error),
    }
}

async fn find(
    database: &Database,
    issuer: &str,
    subject: &str,
) -> Result<Option<user::Model>, DbErr> {
    user::Entity::find()
        .filter(user::Column::Issuer.eq(issuer))
        .filter(user::Column::Subject.eq(subject))
        .one(database.reader())
        .await
}

async fn insert(
    database: &Database,
    issuer: &config::Issuer,
    claims: &Claims,
) -> Result<user::Model, DbErr> {
    let id = Uuid::now_v7();
    let row = user::Model {
        id,
        // The claim with the name is for people only. It may be the name of another user.
        username: format!("ext-{}", id.simple()),
        password_hash: String::new(),
        role: Role::from(issuer.max_role),
        disabled: false,
        created_at: Timestamp::now(),
        issuer: Some(issuer.issuer.clone()),
        subject: Some(claims.sub.clone()),
        display_name: claims.name.clone(),
        revoked_before: None,
        issuer_role: None,
        issuer_role_at: None,
    };
    row.into_active_model().insert(database.writer()).await
}

/// The user with the name in the claims. A token without a name keeps the name.
async fn renamed(
    database: &Database,
    mut user: user::Model,
    claims: &Claims,
) -> Result<user::Model, DbErr> {
    if claims.name.is_none() || claims.name == user.display_name {
        return Ok(user);
    }
    user.display_name.clone_from(&claims.name);
    user::Entity::update_many()
        .col_expr(user::Column::DisplayName, Expr::value(claims.name.clone()))
        .filter(user::Column::Id.eq(user.id))
        .exec(database.writer())
        .await?;
    Ok(user)
}
