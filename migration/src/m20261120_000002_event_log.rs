//! The event log: topics and their events.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum Topic {
    Table,
    Id,
    Name,
    Epoch,
    LastSeq,
}

#[derive(DeriveIden)]
enum Event {
    Table,
    TopicId,
    Seq,
    Kind,
    Data,
    Terminal,
    At,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table(Topic::Table)
                    .col(schema::big_pk_auto(Topic::Id))
                    .col(schema::string_len_uniq(Topic::Name, 128))
                    .col(schema::big_integer(Topic::Epoch))
                    .col(schema::big_integer(Topic::LastSeq))
                    .to_owned(),
            )
            .await?;
        manager
            .create_table(
                Table::create()
                    .table(Event::Table)
                    .col(schema::big_integer(Event::TopicId))
                    .col(schema::big_integer(Event::Seq))
                    .col(schema::string_len(Event::Kind, 64))
                    .col(schema::text(Event::Data))
                    .col(schema::boolean(Event::Terminal))
                    .col(schema::big_integer(Event::At))
                    .primary_key(Index::create().col(Event::TopicId).col(Event::Seq))
                    .foreign_key(
                        ForeignKey::create()
                            .from(Event::Table, Event::TopicId)
                            .to(Topic::Table, Topic::Id)
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(Event::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Topic::Table).to_owned()).await
    }
}
