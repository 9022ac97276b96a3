//! The sealed successor of a refresh token, kept for the few seconds in which it can be asked for.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum RefreshToken {
    Table,
    Successor,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = schema::text_null(RefreshToken::Successor);
        let table = Table::alter().table(RefreshToken::Table).add_column(column).to_owned();
        manager.alter_table(table).await?;
        // Small: it has only the rows that a sweep looks for.
        let index = "CREATE INDEX refresh_token_successor ON refresh_token (used_at) \
                     WHERE successor IS NOT NULL";
        manager.get_connection().execute_unprepared(index).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite drops no column that an index depends on.
        let index = "DROP INDEX refresh_token_successor";
        manager.get_connection().execute_unprepared(index).await?;
        let column = RefreshToken::Successor;
        let table = Table::alter().table(RefreshToken::Table).drop_column(column).to_owned();
        manager.alter_table(table).await
    }
}
