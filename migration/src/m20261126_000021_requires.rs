//! The OAuth providers that a task, a prompt or an MCP session requires.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum Column {
    Requires,
}

const TABLES: [&str; 3] = ["task", "prompt", "mcp_session"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES {
            let column = schema::text_null(Column::Requires);
            let change = Table::alter().table(table).add_column(column).to_owned();
            manager.alter_table(change).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES {
            let change = Table::alter().table(table).drop_column(Column::Requires).to_owned();
            manager.alter_table(change).await?;
        }
        Ok(())
    }
}
