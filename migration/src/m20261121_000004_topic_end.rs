//! The end of a topic, and the fencing token of the lease that may publish to it.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum Topic {
    Table,
    Closed,
    Fence,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite can add only one column in each statement.
        let closed = schema::boolean(Topic::Closed).default(false).to_owned();
        for column in [closed, schema::uuid_null(Topic::Fence)] {
            let table = Table::alter().table(Topic::Table).add_column(column).to_owned();
            manager.alter_table(table).await?;
        }
        let ended = "UPDATE topic SET closed = TRUE WHERE EXISTS (SELECT 1 FROM event \
                     WHERE event.topic_id = topic.id AND event.seq = topic.last_seq AND event.terminal)";
        manager.get_connection().execute_unprepared(ended).await.map(drop)
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in [Topic::Fence, Topic::Closed] {
            let table = Table::alter().table(Topic::Table).drop_column(column).to_owned();
            manager.alter_table(table).await?;
        }
        Ok(())
    }
}
