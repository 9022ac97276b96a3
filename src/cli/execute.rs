//! Runs the command that the command line names.

use streamgate::{
    api::{self, Version},
    config, data_dir,
    oauth::Keyring,
    start, telemetry,
};

use super::{
    args::{Command, DocumentVersion},
    demo,
    output::print,
    serve::serve,
    signals::{OnHangup, Signals, until_signal},
    tunnel,
    user::user,
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
        Command::Tunnel(args) => {
            let _logging = telemetry::init_logging(false, "info")?;
            let work = |signals: Signals| tunnel::run(args, signals.shutdown);
            Box::pin(until_signal(OnHangup::Ends, work)).await
        }
        Command::Exec { command } => match tunnel::exec(&command)? {},
        Command::Migrate { settings, down } => {
            let database = start::open_database(&settings.load()?).await?;
            match down {
                Some(steps) => database.migrate_down(steps).await?,
                None => database.migrate().await?,
            }
            Ok(database.close().await?)
        }
        Command::User(command) => user(command).await,
        Command::OauthKey { settings } => {
            let config = settings.load()?;
            data_dir::create(&config.data_dir)?;
            print(&Keyring::new(&config.data_dir).add()?.display().to_string())
        }
        Command::Openapi { version } => {
            let version = match version {
                DocumentVersion::V3_0 => Version::V3_0,
                DocumentVersion::V3_2 => Version::V3_2,
            };
            print(String::from_utf8_lossy(&api::documents(None).text(version)).trim_end())
        }
        Command::Config => print(config::documentation().trim_end()),
    }
}
