//! The table that the gateway writes to, to check whether the database accepts writes.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum WriteProbe {
    Table,
    Id,
    Data,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table(WriteProbe::Table)
            .col(schema::integer(WriteProbe::Id).primary_key())
            .col(schema::text(WriteProbe::Data))
            .to_owned();
        manager.create_table(table).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(WriteProbe::Table).to_owned()).await
    }
}
