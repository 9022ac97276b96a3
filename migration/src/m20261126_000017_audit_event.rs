//! Security events.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum AuditEvent {
    Table,
    Id,
    At,
    Kind,
    UserId,
    ActorId,
    SessionId,
    Address,
    Data,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // There are no foreign keys, because an event outlives the user and the session.
        let table = Table::create()
            .table(AuditEvent::Table)
            .col(schema::uuid(AuditEvent::Id).primary_key())
            .col(schema::big_integer(AuditEvent::At))
            .col(schema::string_len(AuditEvent::Kind, 64))
            .col(schema::uuid_null(AuditEvent::UserId))
            .col(schema::uuid_null(AuditEvent::ActorId))
            .col(schema::uuid_null(AuditEvent::SessionId))
            .col(schema::string_len_null(AuditEvent::Address, 64))
            .col(schema::text(AuditEvent::Data))
            .to_owned();
        manager.create_table(table).await?;
        for (name, column) in
            [("audit_event_at", AuditEvent::At), ("audit_event_user_id", AuditEvent::UserId)]
        {
            let index = Index::create().name(name).table(AuditEvent::Table).col(column).to_owned();
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(AuditEvent::Table).to_owned()).await
    }
}
