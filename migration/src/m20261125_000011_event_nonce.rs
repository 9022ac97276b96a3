//! Nonces. With a nonce, a cursor identifies an event and not only a sequence number.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(Clone, Copy, DeriveIden)]
enum Topic {
    Table,
    Nonce,
    PriorNonce,
}

#[derive(Clone, Copy, DeriveIden)]
enum Event {
    Table,
    Nonce,
    PriorNonce,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite can add only one column in each statement.
        for column in [Topic::Nonce, Topic::PriorNonce] {
            let column = schema::integer(column).default(0).to_owned();
            let table = Table::alter().table(Topic::Table).add_column(column).to_owned();
            manager.alter_table(table).await?;
        }
        for column in [Event::Nonce, Event::PriorNonce] {
            let column = schema::integer(column).default(0).to_owned();
            let table = Table::alter().table(Event::Table).add_column(column).to_owned();
            manager.alter_table(table).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in [Event::PriorNonce, Event::Nonce] {
            let table = Table::alter().table(Event::Table).drop_column(column).to_owned();
            manager.alter_table(table).await?;
        }
        for column in [Topic::PriorNonce, Topic::Nonce] {
            let table = Table::alter().table(Topic::Table).drop_column(column).to_owned();
            manager.alter_table(table).await?;
        }
        Ok(())
    }
}
