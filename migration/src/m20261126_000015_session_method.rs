//! The method, the absolute end and the highest role of a login session. Users of external issuers.

use sea_orm_migration::{prelude::*, schema};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[derive(DeriveIden)]
enum LoginSession {
    Table,
    CreatedAt,
    Method,
    Role,
    EndsAt,
    Issuer,
    IssuerSession,
}

#[derive(DeriveIden)]
enum User {
    Table,
    Issuer,
    Subject,
    DisplayName,
}

/// The absolute end of sessions from before this migration: 30 days after the login, in microseconds.
const THIRTY_DAYS: i64 = 30 * 24 * 3_600 * 1_000_000;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite adds one column per statement.
        for column in [
            schema::string_len(LoginSession::Method, 16).default("password").to_owned(),
            schema::string_len_null(LoginSession::Role, 16),
            schema::big_integer(LoginSession::EndsAt).default(0).to_owned(),
            schema::text_null(LoginSession::Issuer),
            schema::text_null(LoginSession::IssuerSession),
        ] {
            add(manager, LoginSession::Table, column).await?;
        }
        let ends = Expr::col(LoginSession::CreatedAt).add(THIRTY_DAYS);
        let update =
            Query::update().table(LoginSession::Table).value(LoginSession::EndsAt, ends).to_owned();
        manager.execute(update).await?;
        for column in [
            schema::text_null(User::Issuer),
            schema::text_null(User::Subject),
            schema::text_null(User::DisplayName),
        ] {
            add(manager, User::Table, column).await?;
        }
        // Absent values do not conflict, so this does not concern users with a password.
        let index = Index::create()
            .name("user_issuer_subject")
            .table(User::Table)
            .col(User::Issuer)
            .col(User::Subject)
            .unique()
            .to_owned();
        manager.create_index(index).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let index = Index::drop().name("user_issuer_subject").table(User::Table).to_owned();
        manager.drop_index(index).await?;
        for column in [User::Issuer, User::Subject, User::DisplayName] {
            remove(manager, User::Table, column).await?;
        }
        for column in [
            LoginSession::Method,
            LoginSession::Role,
            LoginSession::EndsAt,
            LoginSession::Issuer,
            LoginSession::IssuerSession,
        ] {
            remove(manager, LoginSession::Table, column).await?;
        }
        Ok(())
    }
}

async fn add(
    manager: &SchemaManager<'_>,
    table: impl IntoTableRef,
    column: ColumnDef,
) -> Result<(), DbErr> {
    manager.alter_table(Table::alter().table(table).add_column(column).to_owned()).await
}

async fn remove(
    manager: &SchemaManager<'_>,
    table: impl IntoTableRef,
    column: impl IntoIden,
) -> Result<(), DbErr> {
    manager.alter_table(Table::alter().table(table).drop_column(column).to_owned()).await
}
