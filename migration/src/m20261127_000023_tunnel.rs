//! Tunnels, and tunnel clients that may not connect.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum Tunnel {
    Table,
    Id,
    OwnerId,
    KeyId,
    ClientName,
    Name,
    Instance,
    Description,
    ServerInfo,
    ProtocolVersion,
    Address,
    Connection,
    Gateway,
    AliveUntil,
    CreatedAt,
    ConnectedAt,
    DisconnectedAt,
    DisconnectReason,
    LastActivityAt,
    MessagesReceived,
    BytesReceived,
    MessagesSent,
    BytesSent,
    DeletedAt,
}

#[derive(DeriveIden)]
enum BlockedTunnelClient {
    Table,
    Id,
    OwnerId,
    KeyId,
    ClientName,
    BlockedBy,
    CreatedAt,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table(Tunnel::Table)
            .col(schema::uuid(Tunnel::Id).primary_key())
            .col(schema::uuid(Tunnel::OwnerId))
            .col(schema::uuid_null(Tunnel::KeyId))
            .col(schema::string_len(Tunnel::ClientName, 64))
            .col(schema::string_len(Tunnel::Name, 72))
            .col(schema::string_len_null(Tunnel::Instance, 64))
            .col(schema::text_null(Tunnel::Description))
            .col(schema::text_null(Tunnel::ServerInfo))
            .col(schema::string_len_null(Tunnel::ProtocolVersion, 32))
            .col(schema::string_len(Tunnel::Address, 64))
            .col(schema::uuid(Tunnel::Connection))
            .col(schema::uuid_null(Tunnel::Gateway))
            .col(schema::big_integer(Tunnel::AliveUntil))
            .col(schema::big_integer(Tunnel::CreatedAt))
            .col(schema::big_integer(Tunnel::ConnectedAt))
            .col(schema::big_integer_null(Tunnel::DisconnectedAt))
            .col(schema::string_len_null(Tunnel::DisconnectReason, 16))
            .col(schema::big_integer(Tunnel::LastActivityAt))
            .col(schema::big_integer(Tunnel::MessagesReceived))
            .col(schema::big_integer(Tunnel::BytesReceived))
            .col(schema::big_integer(Tunnel::MessagesSent))
            .col(schema::big_integer(Tunnel::BytesSent))
            .col(schema::big_integer_null(Tunnel::DeletedAt))
            .to_owned();
        manager.create_table(table).await?;
        let names = Index::create()
            .name("tunnel_owner_name")
            .table(Tunnel::Table)
            .col(Tunnel::OwnerId)
            .col(Tunnel::Name)
            .and_where(Expr::col(Tunnel::DeletedAt).is_null())
            .unique()
            .to_owned();
        manager.create_index(names).await?;
        let gateways = Index::create()
            .name("tunnel_gateway")
            .table(Tunnel::Table)
            .col(Tunnel::Gateway)
            .to_owned();
        manager.create_index(gateways).await?;
        let table = Table::create()
            .table(BlockedTunnelClient::Table)
            .col(schema::uuid(BlockedTunnelClient::Id).primary_key())
            .col(schema::uuid(BlockedTunnelClient::OwnerId))
            .col(schema::uuid_null(BlockedTunnelClient::KeyId))
            .col(schema::string_len(BlockedTunnelClient::ClientName, 64))
            .col(schema::uuid(BlockedTunnelClient::BlockedBy))
            .col(schema::big_integer(BlockedTunnelClient::CreatedAt))
            .to_owned();
        manager.create_table(table).await?;
        let owners = Index::create()
            .name("blocked_tunnel_client_owner")
            .table(BlockedTunnelClient::Table)
            .col(BlockedTunnelClient::OwnerId)
            .to_owned();
        manager.create_index(owners).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Also deletes the events of tunnels, because an older version of the gateway would never prune them.
        let connection = manager.get_connection();
        connection.execute_unprepared("DELETE FROM topic WHERE name LIKE 'tunnel.%'").await?;
        manager.drop_table(Table::drop().table(BlockedTunnelClient::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Tunnel::Table).to_owned()).await
    }
}
