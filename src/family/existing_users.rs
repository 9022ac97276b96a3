//! Finds resources whose owner was deleted.

use entity::user;
use sea_orm::sea_query::{Query, SelectStatement};

/// The ids of all users that exist, to find resources whose owner was deleted.
#[must_use]
pub fn existing_users() -> SelectStatement {
    Query::select().column(user::Column::Id).from(user::Entity).to_owned()
}
