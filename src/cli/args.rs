//! The commands and flags of the command line. The doc comments are the texts of `--help`.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use confique::Layer;
use streamgate::config::{Config, ConfigError, ConfigLayer, Values};

use super::tunnel::TunnelArgs;

/// An OpenAPI-first gateway for authenticated live streams.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve until SIGTERM, SIGINT or SIGQUIT
    ///
    /// The first of these signals stops the gateway, and open streams and requests get time to end. A second signal
    /// ends the process without waiting. SIGHUP reads the TLS certificate and `log.filter` again, and logs the changes.
    /// SIGUSR1 and SIGUSR2 are ignored.
    ///
    /// Only one process at a time can serve from a SQLite database.
    Serve {
        #[command(flatten)]
        settings: Settings,
        /// Do not migrate the database schema, even if `database.migrate` is true
        #[arg(long)]
        no_migrate: bool,
    },
    /// Run a demo: a gateway on throw-away data, with users, resources and workers
    ///
    /// SIGTERM, SIGINT, SIGQUIT and SIGHUP end the demo.
    Demo {
        /// Address and port to listen on. The default is 127.0.0.1:8080, or a free port if 8080 is in use
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<SocketAddr>,
    },
    /// Make a local MCP server reachable through a gateway
    ///
    /// Connects to the gateway and carries the messages of the MCP server. Opens the connection again whenever it ends,
    /// and starts a server again that has ended. SIGTERM, SIGINT, SIGQUIT and SIGHUP end the tunnel and the server. The
    /// status is 1 if the gateway refuses the client, such as with a key that is not valid.
    Tunnel(TunnelArgs),
    /// Start the command of an MCP server, for `streamgate tunnel`
    #[command(hide = true)]
    Exec {
        /// The command
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Migrate the database schema
    Migrate {
        #[command(flatten)]
        settings: Settings,
        /// Revert this number of the newest migrations, instead of migrating
        #[arg(long, value_name = "STEPS")]
        down: Option<u32>,
    },
    /// Manage users
    #[command(subcommand)]
    User(UserCommand),
    /// Create a key that encrypts OAuth tokens, and print its path
    ///
    /// Copy the file to the data directories of the other gateways within a minute. From then on, the gateways encrypt
    /// with the new key. The next sweep encrypts the older tokens with it too.
    OauthKey {
        #[command(flatten)]
        settings: Settings,
    },
    /// Print the OpenAPI document
    Openapi {
        /// OpenAPI version: 3.0 for client generators, 3.2 with the type of every event
        #[arg(long, value_enum, default_value = "3.0")]
        version: DocumentVersion,
    },
    /// Print every configuration key with its default, as a commented file
    Config,
}

#[derive(Subcommand)]
pub(crate) enum UserCommand {
    /// Create a user and print its generated password
    Add {
        /// Name to log in with: a-z, 0-9, '.', '_' and '-'
        name: String,
        /// Role of the user. Each role includes the roles before it
        #[arg(long, value_enum)]
        role: CliRole,
        #[command(flatten)]
        settings: Settings,
    },
    /// List users: name, role, `enabled` or `disabled`, time of creation (UTC) and id, separated by tabs
    List {
        #[command(flatten)]
        settings: Settings,
    },
    /// Give a user a new generated password and print it
    ///
    /// The user's login sessions and streams end. On a gateway that runs, that takes at most one heartbeat.
    Password {
        /// Name of the user
        name: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Disable a user, who can then no longer log in
    ///
    /// The user's login sessions and streams end. On a gateway that runs, that takes at most one heartbeat.
    Disable {
        /// Name of the user
        name: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Let a disabled user log in again
    Enable {
        /// Name of the user
        name: String,
        #[command(flatten)]
        settings: Settings,
    },
}

/// Flags that override the configuration file and the environment. See `streamgate config`.
#[derive(Args)]
pub(crate) struct Settings {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Address and port to listen on
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// Directory of the SQLite database and the signing keys
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum DocumentVersion {
    #[value(name = "3.0")]
    V3_0,
    #[value(name = "3.2")]
    V3_2,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum CliRole {
    /// Watch streams
    Viewer,
    /// Also claim and report work
    Agent,
    /// Also change resources
    Operator,
    /// Also manage users
    Admin,
}

impl Settings {
    pub(crate) fn load(&self) -> Result<Config, ConfigError> {
        self.load_values().map(|(config, _)| config)
    }

    pub(crate) fn load_values(&self) -> Result<(Config, Values), ConfigError> {
        let mut flags = ConfigLayer::empty();
        flags.listen = self.listen;
        flags.data_dir.clone_from(&self.data_dir);
        Config::load_values(self.config.as_deref(), &flags)
    }
}
