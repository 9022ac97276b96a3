//! Configures and serves streamgate.

use std::{io::Write, path::Path, sync::Arc};

use anyhow::Context;
use streamgate::{bus::InProcessBus, clock::SystemClocks, config::Config};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    control::{self, Control},
    rows::{insert_logins, insert_prompts, insert_topics},
    variant::VARIANTS,
};
use crate::child::{CONTROL, LISTENING, wait_for_end_of_input};

/// A limit higher than anything that the benchmark needs, because the benchmark does not measure limits.
const UNLIMITED: u32 = 1_000_000;

fn configuration(directory: &Path, variant: usize) -> anyhow::Result<Config> {
    let mut config = Config::for_data_dir(directory);
    let limits = &mut config.limits;
    limits.streams_per_user = UNLIMITED;
    limits.requests_per_minute = UNLIMITED;
    limits.stream_opens_per_minute = UNLIMITED;
    limits.logins_per_minute_per_address = UNLIMITED;
    limits.refreshes_per_minute_per_session = UNLIMITED;
    // Heartbeats of idle streams would disturb the measurement of another server. The hub must not
    // compare the log with the deliveries either: the log does not contain the events of `/publish`.
    config.streams.heartbeat_seconds = 86_400;
    config.retention.sweep_seconds = 86_400;
    config.tokens.access_seconds = 86_400;
    (VARIANTS.get(variant).context("no such variant")?.configure)(&mut config)?;
    Ok(config)
}

/// Serves until the benchmark closes the standard input of this program.
pub(crate) async fn serve(directory: &Path, variant: usize) -> anyhow::Result<()> {
    let config = configuration(directory, variant)?;
    let bus = Arc::new(InProcessBus::default());
    let gateway = streamgate::start::build(config, bus, Arc::new(SystemClocks), None).await?;
    let (topics, logins) = (insert_topics(&gateway).await?, insert_logins(&gateway).await?);
    let prompts = insert_prompts(&gateway, logins[0].user).await?;
    let streams = TcpListener::bind("127.0.0.1:0").await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    writeln!(std::io::stdout(), "{CONTROL}{}", listener.local_addr()?)?;
    writeln!(std::io::stdout(), "{LISTENING}{}", streams.local_addr()?)?;
    let control = Control {
        gateway: Arc::clone(&gateway),
        topics: topics.into(),
        prompts,
        logins: logins.into(),
    };
    let control = Arc::new(control);
    tokio::select! {
        served = streamgate::serve(gateway, streams, CancellationToken::new()) => Ok(served?),
        accepted = control::accept(listener, control) => accepted,
        () = wait_for_end_of_input() => Ok(()),
    }
}
