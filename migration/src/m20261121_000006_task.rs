//! Tasks and their artifacts.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
#[expect(clippy::enum_variant_names, reason = "the names of columns")]
enum Task {
    Table,
    Id,
    Owner,
    TaskType,
    Input,
    Output,
    Error,
    Status,
    Attempt,
    MaxAttempts,
    Lapses,
    CancelBy,
    LeaseToken,
    LeaseSeconds,
    LeaseExpiresAt,
    ReportSeq,
    CreatedAt,
    UpdatedAt,
    CompletedAt,
}

#[derive(DeriveIden)]
#[expect(clippy::enum_variant_names, reason = "the names of columns")]
enum Artifact {
    Table,
    TaskId,
    Place,
    Chunk,
    ArtifactId,
    Name,
    Data,
    LastChunk,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table(Task::Table)
                    .col(schema::uuid(Task::Id).primary_key())
                    .col(schema::uuid(Task::Owner))
                    .col(schema::string_len(Task::TaskType, 128))
                    .col(schema::text_null(Task::Input))
                    .col(schema::text_null(Task::Output))
                    .col(schema::text_null(Task::Error))
                    .col(schema::string_len(Task::Status, 16))
                    .col(schema::integer(Task::Attempt))
                    .col(schema::integer(Task::MaxAttempts))
                    .col(schema::integer(Task::Lapses))
                    .col(schema::big_integer_null(Task::CancelBy))
                    .col(schema::uuid_null(Task::LeaseToken))
                    .col(schema::big_integer(Task::LeaseSeconds))
                    .col(schema::big_integer_null(Task::LeaseExpiresAt))
                    .col(schema::big_integer(Task::ReportSeq))
                    .col(schema::big_integer(Task::CreatedAt))
                    .col(schema::big_integer(Task::UpdatedAt))
                    .col(schema::big_integer_null(Task::CompletedAt))
                    .to_owned(),
            )
            .await?;
        for (name, columns) in [
            // Finds the pending tasks of one type, oldest first.
            ("task_status_task_type", vec![Task::Status, Task::TaskType, Task::Id]),
            // Finds the tasks of one owner, and counts the unfinished tasks.
            ("task_owner_id", vec![Task::Owner, Task::Id]),
            ("task_owner_status", vec![Task::Owner, Task::Status]),
            // Finds expired leases.
            ("task_lease_expires_at", vec![Task::LeaseExpiresAt]),
        ] {
            let mut index = Index::create().name(name).table(Task::Table).to_owned();
            for column in columns {
                index.col(column);
            }
            manager.create_index(index).await?;
        }
        manager
            .create_table(
                Table::create()
                    .table(Artifact::Table)
                    .col(schema::uuid(Artifact::TaskId))
                    .col(schema::integer(Artifact::Place))
                    .col(schema::integer(Artifact::Chunk))
                    .col(schema::string_len(Artifact::ArtifactId, 128))
                    .col(schema::text_null(Artifact::Name))
                    .col(schema::text(Artifact::Data))
                    .col(schema::boolean(Artifact::LastChunk))
                    .primary_key(
                        Index::create()
                            .col(Artifact::TaskId)
                            .col(Artifact::Place)
                            .col(Artifact::Chunk),
                    )
                    .foreign_key(
                        ForeignKey::create()
                            .from(Artifact::Table, Artifact::TaskId)
                            .to(Task::Table, Task::Id)
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Also deletes the events of tasks, because an older version of the gateway would never prune them.
        let connection = manager.get_connection();
        connection.execute_unprepared("DELETE FROM topic WHERE name LIKE 'task.%'").await?;
        manager.drop_table(Table::drop().table(Artifact::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Task::Table).to_owned()).await
    }
}
