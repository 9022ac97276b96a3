//! Prompts, and the conversations that contain them.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum Conversation {
    Table,
    Id,
    Owner,
    Name,
    CreatedAt,
}

#[derive(DeriveIden)]
enum Prompt {
    Table,
    Id,
    ConversationId,
    Owner,
    Text,
    Status,
    Attempt,
    CreatedAt,
    UpdatedAt,
    CompletedAt,
    LeaseToken,
    LeaseExpiresAt,
    LeaseSeconds,
    ClaimSeq,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table(Conversation::Table)
                    .col(schema::uuid(Conversation::Id).primary_key())
                    .col(schema::uuid(Conversation::Owner))
                    .col(schema::string_len(Conversation::Name, 128))
                    .col(schema::big_integer(Conversation::CreatedAt))
                    .to_owned(),
            )
            .await?;
        // Finds the conversations of one user, oldest first.
        manager
            .create_index(
                Index::create()
                    .name("conversation_owner")
                    .table(Conversation::Table)
                    .col(Conversation::Owner)
                    .col(Conversation::Id)
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table(Prompt::Table)
                    .col(schema::uuid(Prompt::Id).primary_key())
                    .col(schema::uuid(Prompt::ConversationId))
                    .col(schema::uuid(Prompt::Owner))
                    .col(schema::text(Prompt::Text))
                    .col(schema::string_len(Prompt::Status, 16))
                    .col(schema::integer(Prompt::Attempt))
                    .col(schema::big_integer(Prompt::CreatedAt))
                    .col(schema::big_integer(Prompt::UpdatedAt))
                    .col(schema::big_integer_null(Prompt::CompletedAt))
                    .col(schema::uuid_null(Prompt::LeaseToken))
                    .col(schema::big_integer_null(Prompt::LeaseExpiresAt))
                    .col(schema::integer(Prompt::LeaseSeconds))
                    .col(schema::big_integer(Prompt::ClaimSeq))
                    .foreign_key(
                        ForeignKey::create()
                            .from(Prompt::Table, Prompt::ConversationId)
                            .to(Conversation::Table, Conversation::Id)
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await?;
        let index = |name: &str, columns: [Prompt; 2]| {
            let mut index = Index::create().name(name).table(Prompt::Table).to_owned();
            for column in columns {
                index.col(column);
            }
            index
        };
        for index in [
            // Finds the prompts of one conversation, oldest first.
            index("prompt_conversation_id", [Prompt::ConversationId, Prompt::Id]),
            // Finds the queued prompts, oldest first.
            index("prompt_status", [Prompt::Status, Prompt::Id]),
            // Finds expired leases.
            index("prompt_status_lease_expires_at", [Prompt::Status, Prompt::LeaseExpiresAt]),
            // Counts the unfinished prompts of one owner.
            index("prompt_owner_status", [Prompt::Owner, Prompt::Status]),
        ] {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Also deletes the events of prompts, because an older version of the gateway would never prune them.
        let connection = manager.get_connection();
        connection.execute_unprepared("DELETE FROM topic WHERE name LIKE 'prompt.%'").await?;
        manager.drop_table(Table::drop().table(Prompt::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Conversation::Table).to_owned()).await
    }
}
