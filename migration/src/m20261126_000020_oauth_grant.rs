//! Grants of users at upstream OAuth providers, and authorizations that have begun.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum OauthGrant {
    Table,
    Id,
    UserId,
    Provider,
    Tokens,
    Version,
    Scopes,
    Status,
    Refreshable,
    AccessExpiresAt,
    RefreshAt,
    RefreshLease,
    RefreshLeaseUntil,
    Failures,
    CreatedAt,
    UpdatedAt,
}

#[derive(DeriveIden)]
enum OauthAuthorization {
    Table,
    Id,
    UserId,
    Provider,
    CookieHash,
    StateHash,
    Verifier,
    CreatedAt,
    ExpiresAt,
}

#[derive(DeriveIden)]
enum User {
    Table,
    Id,
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table(OauthGrant::Table)
            .col(schema::uuid(OauthGrant::Id).primary_key())
            .col(schema::uuid(OauthGrant::UserId))
            .col(schema::string_len(OauthGrant::Provider, 64))
            .col(schema::text(OauthGrant::Tokens))
            .col(schema::big_integer(OauthGrant::Version))
            .col(schema::text(OauthGrant::Scopes))
            .col(schema::string_len(OauthGrant::Status, 16))
            .col(schema::boolean(OauthGrant::Refreshable))
            .col(schema::big_integer_null(OauthGrant::AccessExpiresAt))
            .col(schema::big_integer_null(OauthGrant::RefreshAt))
            .col(schema::uuid_null(OauthGrant::RefreshLease))
            .col(schema::big_integer_null(OauthGrant::RefreshLeaseUntil))
            .col(schema::integer(OauthGrant::Failures))
            .col(schema::big_integer(OauthGrant::CreatedAt))
            .col(schema::big_integer(OauthGrant::UpdatedAt))
            .foreign_key(
                ForeignKey::create()
                    .name("oauth_grant_user_id")
                    .from(OauthGrant::Table, OauthGrant::UserId)
                    .to(User::Table, User::Id)
                    .on_delete(ForeignKeyAction::Cascade),
            )
            .to_owned();
        manager.create_table(table).await?;
        let index = Index::create()
            .name("oauth_grant_user_provider")
            .table(OauthGrant::Table)
            .col(OauthGrant::UserId)
            .col(OauthGrant::Provider)
            .unique()
            .to_owned();
        manager.create_index(index).await?;
        let table = Table::create()
            .table(OauthAuthorization::Table)
            .col(schema::uuid(OauthAuthorization::Id).primary_key())
            .col(schema::uuid(OauthAuthorization::UserId))
            .col(schema::string_len(OauthAuthorization::Provider, 64))
            .col(schema::text_null(OauthAuthorization::CookieHash))
            .col(schema::text_null(OauthAuthorization::StateHash).unique_key())
            .col(schema::text_null(OauthAuthorization::Verifier))
            .col(schema::big_integer(OauthAuthorization::CreatedAt))
            .col(schema::big_integer(OauthAuthorization::ExpiresAt))
            .foreign_key(
                ForeignKey::create()
                    .name("oauth_authorization_user_id")
                    .from(OauthAuthorization::Table, OauthAuthorization::UserId)
                    .to(User::Table, User::Id)
                    .on_delete(ForeignKeyAction::Cascade),
            )
            .to_owned();
        manager.create_table(table).await?;
        for (name, column) in [
            ("oauth_authorization_user_id_index", OauthAuthorization::UserId),
            // For the sweep.
            ("oauth_authorization_expires_at", OauthAuthorization::ExpiresAt),
        ] {
            let index =
                Index::create().name(name).table(OauthAuthorization::Table).col(column).to_owned();
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(OauthAuthorization::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(OauthGrant::Table).to_owned()).await
    }
}
