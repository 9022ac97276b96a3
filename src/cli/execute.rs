//! Runs the command that the command line names.

use anyhow::Context;
use entity::user::Role;
use streamgate::{
    api::{self, Version},
    auth::{password, user::Users},
    config, start,
};

use super::{
    args::{CliRole, Command, DocumentVersion, UserCommand},
    demo,
    output::{print, print_line},
    serve::serve,
    signals::{OnHangup, Signals, until_signal},
};

/// Runs a command until it ends.
pub(crate) async fn execute(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve { settings, no_migrate } => {
            let work = |signals| serve(settings, no_migrate, signals);
            Box::pin(until_signal(OnHangup::Reloads, work)).await
        }
        Command::Demo { listen } => {
            let work = |signals: Signals| demo::run(listen, signals.shutdown);
            Box::pin(until_signal(OnHangup::Ends, work)).await
        }
        Command::Migrate { settings, down } => {
            let database = start::open_database(&settings.load()?).await?;
            match down {
                Some(steps) => database.migrate_down(steps).await?,
                None => database.migrate().await?,
            }
            Ok(database.close().await?)
        }
        Command::User(UserCommand::Add { name, role, settings }) => {
            let database = start::open_database(&settings.load()?).await?;
            let password = password::random();
            let role = match role {
                CliRole::Viewer => Role::Viewer,
                CliRole::Agent => Role::Agent,
                CliRole::Operator => Role::Operator,
                CliRole::Admin => Role::Admin,
            };
            Users::new(database.clone()).create(&name, password.clone(), role).await?;
            database.close().await?;
            print_line(&format!("password of {name}, shown this once: {password}")).with_context(
                || format!("the user {name} was created, but its password could not be printed"),
            )
        }
        Command::Openapi { version } => {
            let version = match version {
                DocumentVersion::V3_0 => Version::V3_0,
                DocumentVersion::V3_2 => Version::V3_2,
            };
            print(String::from_utf8_lossy(&api::documents().text(version)).trim_end())
        }
        Command::Config => print(config::documentation().trim_end()),
    }
}
