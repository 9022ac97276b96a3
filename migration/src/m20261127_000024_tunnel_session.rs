//! The tunnel and the client of an MCP session.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum McpSession {
    Table,
    TunnelId,
    Client,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in
            [schema::uuid_null(McpSession::TunnelId), schema::text_null(McpSession::Client)]
        {
            let change = Table::alter().table(McpSession::Table).add_column(column).to_owned();
            manager.alter_table(change).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in [McpSession::TunnelId, McpSession::Client] {
            let change = Table::alter().table(McpSession::Table).drop_column(column).to_owned();
            manager.alter_table(change).await?;
        }
        Ok(())
    }
}
