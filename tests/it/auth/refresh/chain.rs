//! The refresh tokens of a login session as the database stores them: one chain per session.

use std::time::Duration;

use entity::{Timestamp, refresh_token};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, prelude::Expr};
use serde_json::Value;

use crate::support::{Answer, App, auth::invalid_token};

/// Moves the first use of every used refresh token into the past.
pub async fn used_earlier(app: &App, seconds: u64) {
    let moved = refresh_token::Entity::update_many()
        .col_expr(
            refresh_token::Column::UsedAt,
            Expr::value(Timestamp::now() - Duration::from_secs(seconds)),
        )
        .filter(refresh_token::Column::UsedAt.is_not_null())
        .exec(app.gateway.database.writer())
        .await
        .expect("an update");
    assert!(moved.rows_affected > 0);
}

/// All refresh tokens that are stored.
pub async fn rows(app: &App) -> Vec<refresh_token::Model> {
    refresh_token::Entity::find().all(app.gateway.database.reader()).await.expect("rows")
}

/// Checks that the session has one token that is not used yet: the chain has no fork.
pub async fn expect_one_chain(app: &App) {
    let rows = rows(app).await;
    let unused = rows.iter().filter(|row| row.used_at.is_none()).count();
    assert_eq!(unused, 1, "{rows:#?}");
}

/// Checks that the token was refused because its successor is in use.
#[track_caller]
pub fn superseded(answer: Answer) {
    assert_eq!(answer.body["type"], "https://streamgate.dev/problems/refresh-superseded");
    assert_eq!(answer.body["code"], "refresh_superseded");
    invalid_token(answer);
}

pub fn text(pair: &Value, name: &str) -> String {
    pair[name].as_str().unwrap_or_else(|| panic!("no {name}: {pair}")).to_owned()
}
