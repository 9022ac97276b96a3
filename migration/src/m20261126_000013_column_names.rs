//! Clearer names of a table and of columns. The table `session` becomes `login_session`, because MCP sessions are
//! sessions too.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// For each column: the table, the old name and the new name.
const COLUMNS: [[&str; 3]; 6] = [
    ["refresh_token", "session_id", "login_session_id"],
    ["conversation", "owner", "owner_id"],
    ["prompt", "owner", "owner_id"],
    ["task", "owner", "owner_id"],
    ["task", "lapses", "expired_leases"],
    ["artifact", "place", "position"],
];

/// For each index: the new name of the table, the old and the new name of the index, and the new name of its column.
const INDEXES: [[&str; 4]; 2] = [
    ["login_session", "session_user_id", "login_session_user_id", "user_id"],
    [
        "refresh_token",
        "refresh_token_session_id",
        "refresh_token_login_session_id",
        "login_session_id",
    ],
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        rename_table(manager, "session", "login_session").await?;
        for [table, old, new] in COLUMNS {
            rename_column(manager, table, old, new).await?;
        }
        for [table, old, new, column] in INDEXES {
            rename_index(manager, table, old, new, column).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for [table, old, new, column] in INDEXES {
            rename_index(manager, table, new, old, column).await?;
        }
        for [table, old, new] in COLUMNS {
            rename_column(manager, table, new, old).await?;
        }
        rename_table(manager, "login_session", "session").await
    }
}

async fn rename_table(manager: &SchemaManager<'_>, from: &str, to: &str) -> Result<(), DbErr> {
    let table = |name: &str| Alias::new(name);
    manager.rename_table(Table::rename().table(table(from), table(to)).to_owned()).await
}

async fn rename_column(
    manager: &SchemaManager<'_>,
    table: &str,
    from: &str,
    to: &str,
) -> Result<(), DbErr> {
    let mut alter = Table::alter();
    alter.table(Alias::new(table)).rename_column(Alias::new(from), Alias::new(to));
    manager.alter_table(alter).await
}

/// Drops the index and creates it under the new name, because SQLite cannot rename an index.
async fn rename_index(
    manager: &SchemaManager<'_>,
    table: &str,
    from: &str,
    to: &str,
    column: &str,
) -> Result<(), DbErr> {
    let (table, column) = (Alias::new(table), Alias::new(column));
    manager.drop_index(Index::drop().name(from).table(table.clone()).to_owned()).await?;
    manager.create_index(Index::create().name(to).table(table).col(column).to_owned()).await
}
