//! The commands.

mod demo;
mod reload;
mod signals;

use std::{
    io::{ErrorKind, Write},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use confique::Layer;
use entity::user::Role;
use parking_lot::Mutex;
use reload::Reload;
use signals::{Hangup, Signals, until_signal};
use streamgate::{
    Control,
    api::{self, Version},
    auth::password,
    auth::user::Users,
    config::{self, Config, ConfigError, ConfigLayer, LogFormat, Values},
    server, start, telemetry,
};
use tokio::{net::TcpListener, runtime::Runtime, task::spawn_blocking};

/// Longest wait for the reader of standard error at the end of the process.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// It gives memory back that is free: after thousands of connections have closed, glibc keeps nearly all of it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// An OpenAPI-first gateway for authenticated live streams.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGTERM, SIGINT or SIGQUIT
    ///
    /// The first of these signals ends open streams and requests in order, the second one ends
    /// without waiting. SIGHUP reads the TLS certificate and `log.filter` again, and logs what has
    /// changed. SIGUSR1 and SIGUSR2 are ignored.
    ///
    /// One process at a time serves from a SQLite database.
    Serve {
        #[command(flatten)]
        settings: Settings,
        /// Leave the database schema as it is, whatever `database.migrate` says
        #[arg(long)]
        no_migrate: bool,
    },
    /// Show what it does: a throw-away service with users, a topology and a mutator at work
    ///
    /// SIGTERM, SIGINT, SIGQUIT and SIGHUP end it.
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
    fn load(&self) -> Result<Config, ConfigError> {
        self.load_values().map(|(config, _)| config)
    }

    fn load_values(&self) -> Result<(Config, Values), ConfigError> {
        let mut flags = ConfigLayer::empty();
        flags.listen = self.listen;
        flags.data_dir.clone_from(&self.data_dir);
        Config::load_values(self.config.as_deref(), &flags)
    }
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let done = Runtime::new().context("cannot start the runtime").and_then(|runtime| {
        let done = runtime.block_on(execute(command));
        // Not waited for: a file may be read from a mount that hangs.
        runtime.shutdown_background();
        done
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format!("streamgate: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn execute(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve { settings, no_migrate } => {
            let work = |signals| serve(settings, no_migrate, signals);
            Box::pin(until_signal(Hangup::Reloads, work)).await
        }
        Command::Demo { listen } => {
            let work = |signals: Signals| demo::run(listen, signals.shutdown);
            Box::pin(until_signal(Hangup::Ends, work)).await
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
            say(&format!("password of {name}, shown this once: {password}")).with_context(|| {
                format!("the user {name} exists now, but its password could not be printed")
            })
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

async fn serve(settings: Settings, no_migrate: bool, signals: Signals) -> anyhow::Result<()> {
    let (mut config, values) = settings.load_values()?;
    config.database.migrate &= !no_migrate;
    let logging =
        telemetry::init_logging(config.log.format == LogFormat::Json, &config.log.filter)?;
    let (log_filter, filter) = (config.log.filter.clone(), logging.filter());
    let reload = Arc::new(Mutex::new(Reload { settings, values, log_filter, filter }));
    match server::raise_descriptor_limit() {
        Ok(limit) => tracing::info!(limit, "file descriptors"),
        Err(error) => tracing::warn!(%error, "cannot raise the limit of file descriptors"),
    }
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("listen: cannot bind {}", config.listen))?;
    let scheme = if config.server.tls_certificate.is_some() { "https" } else { "http" };
    // The service goes on without standard output.
    let announce = |address, password: Option<&str>| {
        if let Some(password) = password
            && let Err(error) = say(&format!("password of admin, shown this once: {password}"))
        {
            tracing::warn!(
                %error,
                "the password of admin could not be printed: add another administrator with \
                 `streamgate user add NAME --role admin`"
            );
        }
        if let Err(error) = say(&format!("listening on {scheme}://{address}")) {
            tracing::warn!(%error, %address, "listening; the address could not be printed");
        }
    };
    let control = Control { shutdown: signals.shutdown, ..Control::default() };
    let certificate = control.reload.clone();
    let reloading = async {
        loop {
            signals.reload.notified().await;
            certificate.notify_one();
            let reload = Arc::clone(&reload);
            // The file may be on a mount that hangs. A panic has been logged.
            let _ = spawn_blocking(move || reload.lock().run()).await;
        }
    };
    tokio::select! {
        done = streamgate::run(config, listener, control, announce) => Ok(done?),
        never = reloading => never,
    }
}

/// To standard output, which is for people and for programs that start this one; the log goes to
/// standard error.
fn say(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// [`say`] for a reader that may stop early (`| head`).
fn print(text: &str) -> anyhow::Result<()> {
    match say(text) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        said => Ok(said?),
    }
}

/// To standard error. Errors are ignored, and a reader that does not read is not waited for.
fn complain(text: String) {
    let (done, said) = mpsc::channel();
    thread::spawn(move || {
        let _ = writeln!(std::io::stderr(), "{text}");
        done.send(())
    });
    let _ = said.recv_timeout(LAST_WORDS);
}
