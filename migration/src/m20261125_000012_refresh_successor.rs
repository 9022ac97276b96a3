//! The encrypted successor of a refresh token during the grace time, and the id of the clock setting of the first use.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum RefreshToken {
    Table,
    Successor,
    UsedClock,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite can add only one column in each statement.
        let (successor, clock) = (RefreshToken::Successor, RefreshToken::UsedClock);
        for column in [schema::text_null(successor), schema::uuid_null(clock)] {
            let table = Table::alter().table(RefreshToken::Table).add_column(column).to_owned();
            manager.alter_table(table).await?;
        }
        // This index is small, because it contains only the rows that a sweep looks for.
        let index = "CREATE INDEX refresh_token_successor ON refresh_token (used_at) \
                     WHERE successor IS NOT NULL";
        manager.get_connection().execute_unprepared(index).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite cannot drop a column that an index depends on.
        let index = "DROP INDEX refresh_token_successor";
        manager.get_connection().execute_unprepared(index).await?;
        for column in [RefreshToken::UsedClock, RefreshToken::Successor] {
            let table = Table::alter().table(RefreshToken::Table).drop_column(column).to_owned();
            manager.alter_table(table).await?;
        }
        Ok(())
    }
}
