//! API keys, and the families of a login session.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum LoginSession {
    Table,
    Id,
    Families,
}

#[derive(DeriveIden)]
enum User {
    Table,
    Id,
}

#[derive(DeriveIden)]
enum ApiKey {
    Table,
    Id,
    UserId,
    Name,
    Hint,
    Hash,
    PreviousHash,
    PreviousEndsAt,
    CreatedAt,
    ExpiresAt,
    LastUsedOn,
    LastUsedAddress,
    Networks,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let families = Table::alter()
            .table(LoginSession::Table)
            .add_column(schema::text_null(LoginSession::Families))
            .to_owned();
        manager.alter_table(families).await?;
        let table = Table::create()
            .table(ApiKey::Table)
            .col(schema::uuid(ApiKey::Id).primary_key())
            .col(schema::uuid(ApiKey::UserId))
            .col(schema::text(ApiKey::Name))
            .col(schema::string_len(ApiKey::Hint, 16))
            .col(schema::string_len_uniq(ApiKey::Hash, 43))
            .col(schema::string_len_null(ApiKey::PreviousHash, 43).unique_key())
            .col(schema::big_integer_null(ApiKey::PreviousEndsAt))
            .col(schema::big_integer(ApiKey::CreatedAt))
            .col(schema::big_integer_null(ApiKey::ExpiresAt))
            .col(schema::big_integer_null(ApiKey::LastUsedOn))
            .col(schema::string_len_null(ApiKey::LastUsedAddress, 64))
            .col(schema::text(ApiKey::Networks))
            // A key ends with its session, and is deleted with it.
            .foreign_key(
                ForeignKey::create()
                    .from(ApiKey::Table, ApiKey::Id)
                    .to(LoginSession::Table, LoginSession::Id)
                    .on_delete(ForeignKeyAction::Cascade),
            )
            .foreign_key(
                ForeignKey::create()
                    .from(ApiKey::Table, ApiKey::UserId)
                    .to(User::Table, User::Id)
                    .on_delete(ForeignKeyAction::Cascade),
            )
            .to_owned();
        manager.create_table(table).await?;
        let index = Index::create()
            .name("api_key_user_id")
            .table(ApiKey::Table)
            .col(ApiKey::UserId)
            .to_owned();
        manager.create_index(index).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(ApiKey::Table).to_owned()).await?;
        let families = Table::alter()
            .table(LoginSession::Table)
            .drop_column(LoginSession::Families)
            .to_owned();
        manager.alter_table(families).await
    }
}
