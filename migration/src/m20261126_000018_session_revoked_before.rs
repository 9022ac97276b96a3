//! The last revocation of a login session that is in use again.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum LoginSession {
    Table,
    RevokedBefore,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = schema::big_integer_null(LoginSession::RevokedBefore);
        let table = Table::alter().table(LoginSession::Table).add_column(column).to_owned();
        manager.alter_table(table).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::alter()
            .table(LoginSession::Table)
            .drop_column(LoginSession::RevokedBefore)
            .to_owned();
        manager.alter_table(table).await
    }
}
