//! Notifications.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum User {
    Table,
    Id,
}

#[derive(DeriveIden)]
enum Notification {
    Table,
    Id,
    UserId,
    Kind,
    Message,
    Provider,
    Success,
    Data,
    CreatedAt,
    ReadAt,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table(Notification::Table)
                    .col(schema::uuid(Notification::Id).primary_key())
                    .col(schema::uuid(Notification::UserId))
                    .col(schema::string_len(Notification::Kind, 64))
                    .col(schema::text(Notification::Message))
                    .col(schema::string_len_null(Notification::Provider, 64))
                    .col(schema::boolean_null(Notification::Success))
                    .col(schema::text(Notification::Data))
                    .col(schema::big_integer(Notification::CreatedAt))
                    .col(schema::big_integer_null(Notification::ReadAt))
                    .foreign_key(
                        ForeignKey::create()
                            .from(Notification::Table, Notification::UserId)
                            .to(User::Table, User::Id)
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await?;
        // Finds the notifications of one user, newest first.
        manager
            .create_index(
                Index::create()
                    .name("notification_user_id")
                    .table(Notification::Table)
                    .col(Notification::UserId)
                    .col(Notification::Id)
                    .to_owned(),
            )
            .await?;
        // Finds the unread notifications of one user, for snapshots.
        manager
            .get_connection()
            .execute_unprepared(
                "CREATE INDEX notification_unread ON notification (user_id, id) WHERE read_at IS NULL",
            )
            .await?;
        // Finds notifications that are older than the retention.
        manager
            .create_index(
                Index::create()
                    .name("notification_created_at")
                    .table(Notification::Table)
                    .col(Notification::CreatedAt)
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Also deletes the events of notifications, because an older version of the gateway would never prune them.
        let connection = manager.get_connection();
        connection.execute_unprepared("DELETE FROM topic WHERE name LIKE 'notification.%'").await?;
        manager.drop_table(Table::drop().table(Notification::Table).to_owned()).await
    }
}
