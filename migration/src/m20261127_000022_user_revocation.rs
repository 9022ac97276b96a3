//! The last revocation of all login sessions of a user, and the role of the newest token of an external user.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum User {
    Table,
    RevokedBefore,
    IssuerRole,
    IssuerRoleAt,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in [
            schema::big_integer_null(User::RevokedBefore),
            schema::string_len_null(User::IssuerRole, 16),
            schema::big_integer_null(User::IssuerRoleAt),
        ] {
            let change = Table::alter().table(User::Table).add_column(column).to_owned();
            manager.alter_table(change).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in [User::RevokedBefore, User::IssuerRole, User::IssuerRoleAt] {
            let change = Table::alter().table(User::Table).drop_column(column).to_owned();
            manager.alter_table(change).await?;
        }
        Ok(())
    }
}
