//! The users that tunnels are shared with, and what they may do.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum Tunnel {
    Table,
    Id,
    Policy,
}

#[derive(DeriveIden)]
enum McpSession {
    Table,
    TunnelId,
}

#[derive(DeriveIden)]
enum User {
    Table,
    Id,
}

#[derive(DeriveIden)]
enum TunnelShare {
    Table,
    TunnelId,
    UserId,
    Role,
    CreatedAt,
}

const SESSIONS: &str = "mcp_session_tunnel";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let policy = schema::text_null(Tunnel::Policy);
        let change = Table::alter().table(Tunnel::Table).add_column(policy).to_owned();
        manager.alter_table(change).await?;
        let table = Table::create()
            .table(TunnelShare::Table)
            .col(schema::uuid(TunnelShare::TunnelId))
            .col(schema::uuid(TunnelShare::UserId))
            .col(schema::string_len(TunnelShare::Role, 16))
            .col(schema::big_integer(TunnelShare::CreatedAt))
            .primary_key(Index::create().col(TunnelShare::TunnelId).col(TunnelShare::UserId))
            .foreign_key(
                ForeignKey::create()
                    .from(TunnelShare::Table, TunnelShare::TunnelId)
                    .to(Tunnel::Table, Tunnel::Id)
                    .on_delete(ForeignKeyAction::Cascade),
            )
            .foreign_key(
                ForeignKey::create()
                    .from(TunnelShare::Table, TunnelShare::UserId)
                    .to(User::Table, User::Id)
                    .on_delete(ForeignKeyAction::Cascade),
            )
            .to_owned();
        manager.create_table(table).await?;
        let users = Index::create()
            .name("tunnel_share_user")
            .table(TunnelShare::Table)
            .col(TunnelShare::UserId)
            .to_owned();
        manager.create_index(users).await?;
        let sessions = Index::create()
            .name(SESSIONS)
            .table(McpSession::Table)
            .col(McpSession::TunnelId)
            .to_owned();
        manager.create_index(sessions).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sessions = Index::drop().name(SESSIONS).table(McpSession::Table).to_owned();
        manager.drop_index(sessions).await?;
        manager.drop_table(Table::drop().table(TunnelShare::Table).to_owned()).await?;
        let change = Table::alter().table(Tunnel::Table).drop_column(Tunnel::Policy).to_owned();
        manager.alter_table(change).await
    }
}
