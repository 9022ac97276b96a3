//! Runs the demo.

use std::{io, net::SocketAddr};

use anyhow::Context;
use hyper::Method;
use serde_json::json;
use streamgate::{auth::password::NewPassword, config::Config, server, telemetry};
use tokio::{net::TcpListener, sync::oneshot};
use tokio_util::sync::CancellationToken;

use super::{activity::Demo, caller::Caller};
use crate::cli::output::print_line;

/// Runs the demo until `shutdown` is cancelled.
pub(crate) async fn run(
    listen: Option<SocketAddr>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let _logging = telemetry::init_logging(false, "warn")?;
    // An error is ignored: a demo needs few streams, so the old limit is enough.
    let _ = server::raise_descriptor_limit();
    let listener = bind(listen).await?;
    let data = tempfile::tempdir().context("cannot create a temporary directory")?;
    let mut config = Config::for_data_dir(data.path());
    // The printed commands must work as long as the terminal stays open.
    config.tokens.access_seconds = 86_400;
    let (ready, started) = oneshot::channel();
    let announce = |address: SocketAddr, password: Option<&str>| {
        let password = password.map(str::to_owned);
        let given = || std::env::var("STREAMGATE_ADMIN_PASSWORD").unwrap_or_default();
        // This does not fail, because the receiver below waits as long as the gateway runs.
        let _ = ready.send((address, password.unwrap_or_else(given)));
    };
    let service = streamgate::run(config, listener, shutdown.clone(), announce);
    let activity = async {
        let (address, password) = started.await.context("the gateway did not start")?;
        let activity_result =
            shutdown.run_until_cancelled(Box::pin(create_and_run(address, &password))).await;
        // Requests may fail during the shutdown. This is not an error.
        if shutdown.is_cancelled() { Ok(()) } else { activity_result.unwrap_or(Ok(())) }
    };
    tokio::pin!(service);
    tokio::select! {
        ended = &mut service => ended?,
        activity_result = activity => {
            // The error of the activity comes first, because it may cause the other error.
            shutdown.cancel();
            let ended = service.await;
            activity_result?;
            ended?;
        }
    }
    Ok(())
}

async fn bind(listen: Option<SocketAddr>) -> anyhow::Result<TcpListener> {
    let usual = SocketAddr::from(([127, 0, 0, 1], 8080));
    match TcpListener::bind(listen.unwrap_or(usual)).await {
        Err(_) if listen.is_none() => Ok(TcpListener::bind(("127.0.0.1", 0)).await?),
        bound => bound.context("cannot listen"),
    }
}

async fn create_and_run(address: SocketAddr, admin_password: &str) -> anyhow::Result<()> {
    let anyone = Caller::new(address);
    let admin = anyone.log_in("admin", admin_password).await?;
    let mut people = vec![("admin", admin_password.to_owned())];
    for role in ["operator", "agent", "viewer"] {
        let password = NewPassword::random().text().to_owned();
        let user = json!({ "username": role, "password": password, "role": role });
        admin.call(Method::POST, "/v1/users", Some(user)).await?;
        people.push((role, password));
    }
    let caller = |index: usize| anyone.log_in(people[index].0, &people[index].1);
    let demo = Demo::create(caller(1).await?, caller(2).await?, caller(3).await?).await?;
    if let Err(error) = explain(address, &people, &demo) {
        tracing::warn!(%error, "cannot print the instructions of the demo");
    }
    demo.run().await
}

fn explain(address: SocketAddr, people: &[(&str, String)], demo: &Demo) -> io::Result<()> {
    let token = demo.viewer.token().unwrap_or_default();
    let people: Vec<String> =
        people.iter().map(|(name, password)| format!("  {name:<10} {password}")).collect();
    print_line(&format!(
        "streamgate demo, on throw-away data, until Ctrl-C\n\n\
         Try it out:  http://{address}/docs\n\n\
         Log in as    password\n{}\n\n\
         Watch all resources on one connection: a topology with mutations, a task whose worker\n\
         writes a book, a prompt that an agent answers word by word, an MCP session, and the\n\
         viewer's notifications (paste into another terminal):\n\n\
         curl -N -H 'Authorization: Bearer {token}' 'http://{address}/v1/streams?{}'\n\n\
         Or watch one resource:\n\n\
         curl -N -H 'Authorization: Bearer {token}' http://{address}{}/stream\n",
        people.join("\n"),
        demo.topics.iter().map(|topic| format!("topic={topic}")).collect::<Vec<_>>().join("&"),
        demo.task,
    ))
}
