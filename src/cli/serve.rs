//! The command `serve`.

use std::sync::Arc;

use anyhow::Context;
use parking_lot::Mutex;
use streamgate::{Control, config::LogFormat, server, telemetry};
use tokio::{net::TcpListener, task::spawn_blocking};

use super::{args::Settings, output::print_line, reload::Reload, signals::Signals};

/// Runs a gateway until a signal ends it.
pub(crate) async fn serve(
    settings: Settings,
    no_migrate: bool,
    signals: Signals,
) -> anyhow::Result<()> {
    let (mut config, values) = settings.load_values()?;
    config.database.migrate &= !no_migrate;
    let logging =
        telemetry::init_logging(config.log.format == LogFormat::Json, &config.log.filter)?;
    let (log_filter, filter) = (config.log.filter.clone(), logging.filter());
    let reload = Arc::new(Mutex::new(Reload { settings, values, log_filter, filter }));
    match server::raise_descriptor_limit() {
        Ok(descriptors) => tracing::info!(descriptors, "file descriptors"),
        Err(error) => tracing::warn!(%error, "cannot raise the limit of file descriptors"),
    }
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("listen: cannot bind {}", config.listen))?;
    let scheme = if config.server.tls_certificate.is_some() { "https" } else { "http" };
    // The gateway also runs if standard output is closed.
    let announce = |address, password: Option<&str>| {
        if let Some(password) = password
            && let Err(error) =
                print_line(&format!("password of admin, shown this once: {password}"))
        {
            tracing::warn!(
                %error,
                "the password of admin could not be printed: set a new one with \
                 `streamgate user password admin`"
            );
        }
        if let Err(error) = print_line(&format!("listening on {scheme}://{address}")) {
            tracing::warn!(%error, %address, "the gateway is listening, but could not print its address");
        }
    };
    let control =
        Control { shutdown: signals.shutdown, delay: signals.delay, ..Control::default() };
    let certificate = control.reload.clone();
    let reloading = async {
        loop {
            signals.reload.notified().await;
            certificate.notify_one();
            let reload = Arc::clone(&reload);
            // The reload runs on its own thread, because the file may be on a mount that hangs. A panic there is
            // already logged.
            let _ = spawn_blocking(move || reload.lock().run()).await;
        }
    };
    tokio::select! {
        done = streamgate::run(config, listener, control, announce) => Ok(done?),
        never = reloading => never,
    }
}
