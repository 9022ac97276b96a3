//! The id of the clock setting under which a lease was granted. The end of the lease is measured by this setting.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const COLUMN: &str = "lease_clock";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["mutation", "task", "prompt"] {
            let column = schema::uuid_null(COLUMN);
            let table = Table::alter().table(table).add_column(column).to_owned();
            manager.alter_table(table).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["prompt", "task", "mutation"] {
            let table = Table::alter().table(table).drop_column(COLUMN).to_owned();
            manager.alter_table(table).await?;
        }
        Ok(())
    }
}
