//! Reads and writes the rows of stream tokens.

use std::collections::HashMap;

use entity::{Timestamp, stream_token};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter, QuerySelect,
    TryInsertResult, prelude::Expr, sea_query::OnConflict,
};
use uuid::Uuid;

use super::open_tokens::{Changes, NewRow};

/// Maximum number of rows in one statement.
pub(super) const BATCH: usize = 500;

fn model(row: &NewRow, now: Timestamp) -> stream_token::Model {
    stream_token::Model {
        id: row.token,
        login_session_id: row.session,
        topics: row.topics.clone(),
        connected_at: now,
        connection_id: None,
    }
}

/// Inserts the row. Returns false if the token has a row already.
pub(super) async fn insert_once(
    connection: &impl ConnectionTrait,
    row: &NewRow,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let insert = stream_token::Entity::insert(model(row, now).into_active_model());
    let inserted = insert.on_conflict_do_nothing().exec_without_returning(connection).await?;
    Ok(matches!(inserted, TryInsertResult::Inserted(1)))
}

/// Deletes rows, then inserts rows. A row that is there already gets the new topics.
pub(super) async fn write(
    connection: &impl ConnectionTrait,
    changes: &Changes,
    now: Timestamp,
) -> Result<(), DbErr> {
    let deleted: Vec<Uuid> = changes.deleted.iter().copied().collect();
    for batch in deleted.chunks(BATCH) {
        stream_token::Entity::delete_many()
            .filter(stream_token::Column::Id.is_in(batch.iter().copied()))
            .exec(connection)
            .await?;
    }
    let inserted: Vec<&NewRow> = changes.inserted.values().collect();
    for batch in inserted.chunks(BATCH) {
        let rows = batch.iter().map(|row| model(row, now).into_active_model());
        let conflict = OnConflict::column(stream_token::Column::Id)
            .update_columns([
                stream_token::Column::Topics,
                stream_token::Column::ConnectedAt,
                stream_token::Column::ConnectionId,
            ])
            .to_owned();
        let insert = stream_token::Entity::insert_many(rows).on_conflict(conflict);
        insert.exec_without_returning(connection).await?;
    }
    Ok(())
}

/// The row of a token whose stream was open at `since` or later.
pub(super) async fn find(
    connection: &impl ConnectionTrait,
    token: Uuid,
    since: Timestamp,
) -> Result<Option<stream_token::Model>, DbErr> {
    stream_token::Entity::find_by_id(token)
        .filter(stream_token::Column::ConnectedAt.gte(since))
        .one(connection)
        .await
}

/// Makes `resuming` the connection of the token. Returns false if the token has no row for these topics, or if its
/// stream was not open at `since` or later.
pub(super) async fn resume(
    connection: &impl ConnectionTrait,
    row: &NewRow,
    resuming: Uuid,
    (since, now): (Timestamp, Timestamp),
) -> Result<bool, DbErr> {
    let updated = stream_token::Entity::update_many()
        .col_expr(stream_token::Column::ConnectionId, Expr::value(resuming))
        .col_expr(stream_token::Column::ConnectedAt, Expr::value(now))
        .filter(stream_token::Column::Id.eq(row.token))
        .filter(stream_token::Column::LoginSessionId.eq(row.session))
        .filter(stream_token::Column::Topics.eq(row.topics.as_str()))
        .filter(stream_token::Column::ConnectedAt.gte(since))
        .exec(connection)
        .await?;
    Ok(updated.rows_affected == 1)
}

/// The connections that have resumed a stream with these tokens, by token.
pub(super) async fn resumed(
    connection: &impl ConnectionTrait,
    tokens: &[Uuid],
) -> Result<HashMap<Uuid, Uuid>, DbErr> {
    let rows: Vec<(Uuid, Option<Uuid>)> = stream_token::Entity::find()
        .select_only()
        .columns([stream_token::Column::Id, stream_token::Column::ConnectionId])
        .filter(stream_token::Column::Id.is_in(tokens.iter().copied()))
        .filter(stream_token::Column::ConnectionId.is_not_null())
        .into_tuple()
        .all(connection)
        .await?;
    Ok(rows.into_iter().filter_map(|(token, resumed)| Some((token, resumed?))).collect())
}

/// Records that the streams of these tokens are open.
pub(super) async fn refresh(
    connection: &impl ConnectionTrait,
    tokens: &[Uuid],
    now: Timestamp,
) -> Result<(), DbErr> {
    stream_token::Entity::update_many()
        .col_expr(stream_token::Column::ConnectedAt, Expr::value(now))
        .filter(stream_token::Column::Id.is_in(tokens.iter().copied()))
        .exec(connection)
        .await
        .map(drop)
}

/// Deletes the rows of streams that were open before `cutoff` for the last time.
pub(super) async fn prune(
    connection: &impl ConnectionTrait,
    cutoff: Timestamp,
) -> Result<(), DbErr> {
    stream_token::Entity::delete_many()
        .filter(stream_token::Column::ConnectedAt.lt(cutoff))
        .exec(connection)
        .await
        .map(drop)
}
