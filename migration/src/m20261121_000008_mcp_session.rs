//! MCP sessions. Their messages are in the event log.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum McpSession {
    Table,
    Id,
    OwnerId,
    AgentId,
    Name,
    CreatedAt,
    ClosedAt,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table(McpSession::Table)
                    .col(schema::uuid(McpSession::Id).primary_key())
                    .col(schema::uuid(McpSession::OwnerId))
                    .col(schema::uuid_null(McpSession::AgentId))
                    .col(schema::string_len_null(McpSession::Name, 128))
                    .col(schema::big_integer(McpSession::CreatedAt))
                    .col(schema::big_integer_null(McpSession::ClosedAt))
                    .to_owned(),
            )
            .await?;
        for (name, whose) in [
            ("mcp_session_owner_id", McpSession::OwnerId),
            ("mcp_session_agent_id", McpSession::AgentId),
        ] {
            let index = Index::create()
                .name(name)
                .table(McpSession::Table)
                .col(whose)
                .col(McpSession::Id)
                .to_owned();
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Also deletes the events of MCP sessions, because an older version of the gateway would never prune them.
        let connection = manager.get_connection();
        connection.execute_unprepared("DELETE FROM topic WHERE name LIKE 'mcp_session.%'").await?;
        manager.drop_table(Table::drop().table(McpSession::Table).to_owned()).await
    }
}
