//! The commands that manage users, on the database of a gateway that runs or does not run.

use anyhow::Context;
use entity::user::{Model, Role};
use serde_json::json;
use streamgate::{
    audit::{AuditEvent, AuditKind, AuditLog},
    auth::{
        password::NewPassword,
        user::{UserUpdate, Users},
    },
    start,
};

use super::{
    args::{CliRole, Settings, UserCommand},
    output::{print, print_line},
};

/// Number of users that one query reads.
const PAGE: u64 = 1_000;

/// Runs a command on users.
pub(crate) async fn user(command: UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::Add { name, role, settings } => {
            let password = NewPassword::random();
            let role = match role {
                CliRole::Viewer => Role::Viewer,
                CliRole::Agent => Role::Agent,
                CliRole::Operator => Role::Operator,
                CliRole::Admin => Role::Admin,
            };
            with_users(&settings, async |users, audit| {
                let user = users.create(&name, password.clone(), role).await?;
                record(audit, AuditKind::UserCreated, &user).await;
                show(&name, &password, "was created")
            })
            .await
        }
        UserCommand::List { settings } => {
            with_users(&settings, async |users, _| list(users).await).await
        }
        UserCommand::Password { name, settings } => {
            let password = NewPassword::random();
            let change = UserUpdate { password: Some(password.clone()), ..UserUpdate::default() };
            with_users(&settings, async |users, audit| {
                let user = update(users, &name, change).await?;
                record(audit, AuditKind::PasswordChanged, &user).await;
                show(&name, &password, "has a new password")
            })
            .await
        }
        UserCommand::Disable { name, settings } => {
            let change = UserUpdate { disabled: Some(true), ..UserUpdate::default() };
            with_users(&settings, async |users, audit| {
                let user = update(users, &name, change).await?;
                record(audit, AuditKind::UserDisabled, &user).await;
                Ok(())
            })
            .await
        }
        UserCommand::Enable { name, settings } => {
            let change = UserUpdate { disabled: Some(false), ..UserUpdate::default() };
            with_users(&settings, async |users, audit| {
                let user = update(users, &name, change).await?;
                record(audit, AuditKind::UserEnabled, &user).await;
                Ok(())
            })
            .await
        }
    }
}

/// Opens the database for some work on its users.
async fn with_users(
    settings: &Settings,
    work: impl AsyncFnOnce(&Users, &AuditLog) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let database = start::open_database(&settings.load()?).await?;
    let done = work(&Users::new(database.clone()), &AuditLog::new(database.clone())).await;
    let closed = database.close().await;
    done?;
    Ok(closed?)
}

async fn update(users: &Users, name: &str, change: UserUpdate) -> anyhow::Result<Model> {
    let user = || format!("user {name}");
    let row = users.find_by_name(name).await.with_context(user)?;
    users.update(row.id, change).await.with_context(user)
}

/// Records a security event without an address and a caller, because a command has none.
async fn record(audit: &AuditLog, kind: AuditKind, user: &Model) {
    let event = AuditEvent {
        kind,
        user: Some(user.id),
        actor: None,
        session: None,
        address: None,
        data: json!({ "username": user.username, "by": "command" }),
    };
    audit.record(event).await;
}

/// Prints one user in each line: name, role, state, time of creation and id, separated by tabs.
async fn list(users: &Users) -> anyhow::Result<()> {
    let mut after = None;
    loop {
        let page = users.list(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id);
        print(&page.iter().map(line).collect::<Vec<_>>().join("\n"))?;
    }
}

fn line(user: &Model) -> String {
    let role = match user.role {
        Role::Viewer => "viewer",
        Role::Agent => "agent",
        Role::Operator => "operator",
        Role::Admin => "admin",
    };
    let state = if user.disabled { "disabled" } else { "enabled" };
    let created = user.created_at.datetime();
    let (date, time) = (created.date(), created.time().truncate_to_second());
    format!("{}\t{role}\t{state}\t{date} {time}\t{}", user.username, user.id)
}

/// Prints a generated password.
fn show(name: &str, password: &NewPassword, done: &str) -> anyhow::Result<()> {
    print_line(&format!("password of {name}, shown this once: {}", password.text()))
        .with_context(|| format!("the user {name} {done}, but its password could not be printed"))
}
