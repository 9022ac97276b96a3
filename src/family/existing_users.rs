//! Finds resources whose owner was deleted.

use entity::user;
use sea_orm::sea_query::{Query, SelectStatement};

/// A query for the ids of all existing users.
#[must_use]
pub fn existing_users() -> SelectStatement {
    Query::select().column(user::Column::Id).from(user::Entity).to_owned()
}
