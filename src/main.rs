//! The commands.

mod demo;

use std::{io::Write, net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use confique::Layer;
use entity::user::Role;
use rustix::process::Signal;
use streamgate::{
    api::{self, Version},
    config::{self, Config, ConfigLayer, LogFormat},
    gateway, password, server, telemetry,
    user::Users,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

/// An OpenAPI-first gateway for authenticated live streams.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT
    Serve {
        #[command(flatten)]
        settings: Settings,
        /// Leave the database schema as it is, whatever `database.migrate` says
        #[arg(long)]
        no_migrate: bool,
    },
    /// Show what it does: a throw-away service with users, a topology and a mutator at work
    Demo {
        /// Address and port to listen on; a free port if 8080 is taken
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<SocketAddr>,
    },
    /// Bring the database schema up to date
    Migrate {
        #[command(flatten)]
        settings: Settings,
        /// Take back this many of the newest migrations instead
        #[arg(long, value_name = "STEPS")]
        down: Option<u32>,
    },
    /// Look after users
    #[command(subcommand)]
    User(UserCommand),
    /// Print the OpenAPI document
    Openapi {
        /// 3.0 is for generators, 3.2 has the type of every event
        #[arg(long, value_enum, default_value = "3.0")]
        version: DocumentVersion,
    },
    /// Print every configuration key with its default, as a file to start from
    Config,
}

#[derive(Subcommand)]
enum UserCommand {
    /// Make a user and print the password that was made up for it
    Add {
        /// The name to log in with: a-z, 0-9, '.', '_' and '-'
        name: String,
        /// What the user may do; each role may do all that the ones before it may
        #[arg(long, value_enum)]
        role: CliRole,
        #[command(flatten)]
        settings: Settings,
    },
}

/// Settings come from the file, then `STREAMGATE_*`, then these. See `streamgate config`.
#[derive(Args)]
struct Settings {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address and port to listen on
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Directory of the SQLite database and the signing keys
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum DocumentVersion {
    #[value(name = "3.0")]
    V3_0,
    #[value(name = "3.2")]
    V3_2,
}

#[derive(Clone, Copy, ValueEnum)]
enum CliRole {
    /// Watches
    Viewer,
    /// Also claims and reports
    Agent,
    /// Also changes what is to be done
    Operator,
    /// Also looks after users
    Admin,
}

impl Settings {
    fn load(self) -> anyhow::Result<Config> {
        let mut flags = ConfigLayer::empty();
        flags.listen = self.listen;
        flags.data_dir = self.data_dir;
        Ok(Config::load(self.config.as_deref(), &flags)?)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match execute(Cli::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("streamgate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn execute(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve { settings, no_migrate } => {
            let mut config = settings.load()?;
            config.database.migrate &= !no_migrate;
            Box::pin(until_signal(|shutdown| serve(config, shutdown))).await
        }
        Command::Demo { listen } => {
            Box::pin(until_signal(|shutdown| demo::run(listen, shutdown))).await
        }
        Command::Migrate { settings, down } => {
            let database = gateway::open_database(&settings.load()?).await?;
            match down {
                Some(steps) => database.migrate_down(steps).await?,
                None => database.migrate().await?,
            }
            Ok(database.close().await?)
        }
        Command::User(UserCommand::Add { name, role, settings }) => {
            let database = gateway::open_database(&settings.load()?).await?;
            let password = password::random();
            let role = match role {
                CliRole::Viewer => Role::Viewer,
                CliRole::Agent => Role::Agent,
                CliRole::Operator => Role::Operator,
                CliRole::Admin => Role::Admin,
            };
            Users::new(database.clone()).create(&name, password.clone(), role).await?;
            database.close().await?;
            say(&format!("password of {name}, shown this once: {password}"))
        }
        Command::Openapi { version } => {
            let version = match version {
                DocumentVersion::V3_0 => Version::V3_0,
                DocumentVersion::V3_2 => Version::V3_2,
            };
            say(String::from_utf8_lossy(&api::documents().text(version)).trim_end())
        }
        Command::Config => say(config::documentation().trim_end()),
    }
}

async fn serve(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    telemetry::init_logging(config.log.format == LogFormat::Json, &config.log.filter)?;
    match server::raise_descriptor_limit() {
        Ok(limit) => tracing::info!(limit, "file descriptors"),
        Err(error) => tracing::warn!(%error, "cannot raise the limit of file descriptors"),
    }
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("listen: cannot bind {}", config.listen))?;
    let scheme = if config.server.tls_certificate.is_some() { "https" } else { "http" };
    let announce = |address, password: Option<&str>| {
        if let Some(password) = password {
            let _ = say(&format!("password of admin, shown this once: {password}"));
        }
        let _ = say(&format!("listening on {scheme}://{address}"));
    };
    Ok(streamgate::run(config, listener, shutdown, announce).await?)
}

/// Runs `work` with a token that the first SIGTERM or SIGINT cancels. The second one does not wait
/// for it any longer.
async fn until_signal<W>(work: impl FnOnce(CancellationToken) -> W) -> anyhow::Result<()>
where
    W: Future<Output = anyhow::Result<()>>,
{
    // A file that is as large as the process may make it (`RLIMIT_FSIZE`) is an error of the write,
    // not the end: whoever takes the signal does not die of it.
    let _file_size = signal(SignalKind::from_raw(Signal::XFSZ.as_raw()))?;
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let twice = async move {
        for _ in 0..2 {
            tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
            if !token.is_cancelled() {
                token.cancel();
            }
        }
        anyhow::bail!("told to end twice: ended without waiting")
    };
    tokio::select! { done = work(shutdown) => done, ended = twice => ended }
}

/// To standard output, which is for people and for programs that start this one; the log goes to
/// standard error.
fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}
