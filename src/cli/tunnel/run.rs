//! Keeps a local MCP server and its connection to the gateway.

use std::time::Instant;

use anyhow::Context;
use clap::Args;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use super::{
    backoff::Backoff,
    gateway::{Gateway, Leave},
    http,
    local::{Server, WORKS},
    stdio,
};

/// The variable with the API key. Other users of the machine can read the flags of a process.
const KEY: &str = "STREAMGATE_KEY";

#[derive(Args)]
pub(crate) struct TunnelArgs {
    /// URL of the gateway, such as https://gate.example.com
    #[arg(long)]
    url: Url,
    /// API key. Without it, the environment variable STREAMGATE_KEY
    #[arg(long)]
    key: Option<String>,
    /// Name of the tunnel: 1 to 64 of a-z, A-Z, 0-9, '-', '_', '.' and '~'. Without it, the name of the API key
    #[arg(long)]
    name: Option<String>,
    /// URL of a local MCP server that speaks Streamable HTTP, instead of a command
    #[arg(long, value_name = "URL", conflicts_with = "command")]
    http: Option<Url>,
    /// Command of a local MCP server that speaks on standard input and output
    #[arg(last = true, required_unless_present = "http", value_name = "COMMAND")]
    command: Vec<String>,
}

/// Runs until `shutdown`, or until the gateway refuses the client for good.
pub(crate) async fn run(args: TunnelArgs, shutdown: CancellationToken) -> anyhow::Result<()> {
    let key = args.key.or_else(|| std::env::var(KEY).ok());
    let key = key.with_context(|| format!("set --key, or the environment variable {KEY}"))?;
    let description = match &args.http {
        Some(url) => url.origin().ascii_serialization(),
        None => args.command[0].clone(),
    };
    let instance = Uuid::new_v4().simple().to_string();
    let mut gateway = Gateway::new(&args.url, &key, args.name, instance, description)?;
    let mut backoff = Backoff::default();
    while !shutdown.is_cancelled() {
        let began = Instant::now();
        let server = match &args.http {
            Some(url) => http::start(url.clone())?,
            None => stdio::start(&args.command, shutdown.child_token())?,
        };
        let Server { input, mut output, ended } = server;
        let left = gateway.serve(&input, &mut output, &shutdown).await;
        // Closes the input of the server, which ends it.
        drop((input, output));
        let reason = ended.await.context("the task of the server failed")?;
        match left {
            Leave::Refused(reason) => anyhow::bail!("the gateway refuses this client: {reason}"),
            Leave::Shutdown => break,
            Leave::ServerEnded => {
                if began.elapsed() > WORKS {
                    backoff = Backoff::default();
                }
                let wait = backoff.next();
                tracing::warn!(reason, ?wait, "the MCP server has ended: starting it again");
                shutdown.run_until_cancelled(tokio::time::sleep(wait)).await;
            }
        }
    }
    tracing::info!("the tunnel is closed");
    Ok(())
}
