//! Stream tokens that were used, so that an expired token can resume its stream.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum StreamToken {
    Table,
    Id,
    LoginSessionId,
    Topics,
    ConnectedAt,
    ConnectionId,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // There is no foreign key to the login session. Rows are inserted in batches, and a session that was deleted
        // in the meantime would make the whole batch fail. Every use of a row checks
        // the session first, and a sweep deletes the row soon after its stream has gone.
        let table = Table::create()
            .table(StreamToken::Table)
            .col(schema::uuid(StreamToken::Id).primary_key())
            .col(schema::uuid(StreamToken::LoginSessionId))
            .col(schema::text(StreamToken::Topics))
            .col(schema::big_integer(StreamToken::ConnectedAt))
            .col(schema::uuid_null(StreamToken::ConnectionId))
            .to_owned();
        manager.create_table(table).await?;
        // For the sweep.
        let index = Index::create()
            .name("stream_token_connected_at")
            .table(StreamToken::Table)
            .col(StreamToken::ConnectedAt)
            .to_owned();
        manager.create_index(index).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(StreamToken::Table).to_owned()).await
    }
}
