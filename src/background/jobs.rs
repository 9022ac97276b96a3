//! Every background job.

use std::{future::pending, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::time::sleep;

use super::job::{Context, Job, JobResult, Schedule, job};
use crate::{audit::MOST_KEPT, bus::Message, event::Family, family, gateway::Gateway};

/// Every background job of a gateway.
pub const JOBS: [Job; 24] = [
    job(
        "receive_bus_messages",
        Schedule::Continuously,
        "Delivers events of other gateways. Ends or rechecks the login sessions and streams in their messages.",
        |context| receive_bus_message(context.gateway).boxed(),
    ),
    job(
        "end_streams",
        Schedule::Continuously,
        "Ends streams and tunnels whose login session has ended or changed.",
        |context| end_streams(context.gateway).boxed(),
    ),
    job(
        "probe_writes",
        Schedule::Continuously,
        "Probes the database while writes fail, until it accepts writes again.",
        |context| probe_writes(context.gateway).boxed(),
    ),
    job(
        "write_stream_tokens",
        Schedule::Continuously,
        "Records which stream tokens have opened a stream, and whose stream has ended for good.",
        |context| write_stream_tokens(context.gateway).boxed(),
    ),
    job(
        "write_audit_events",
        Schedule::Continuously,
        "Writes the calls of tools to the audit log.",
        |context| write_audit_events(context.gateway).boxed(),
    ),
    job(
        "refresh_stream_tokens",
        Schedule::Heartbeat,
        "Records that the streams of stream tokens are open, and ends those that were resumed elsewhere.",
        |context| refresh_stream_tokens(context.gateway).boxed(),
    ),
    job("read_clock", Schedule::Heartbeat, "Detects jumps of the wall clock.", |context| {
        read_clock(context.gateway).boxed()
    }),
    job(
        "recheck_login_sessions",
        Schedule::Heartbeat,
        "Looks up the login sessions of open streams, in case the bus lost a message.",
        |context| recheck_login_sessions(context.gateway).boxed(),
    ),
    job(
        "recheck_topics",
        Schedule::Heartbeat,
        "Compares live topics with the event log, in case the bus lost a message.",
        |context| recheck_topics(context.gateway).boxed(),
    ),
    job(
        "end_topology_leases",
        Schedule::LeaseEnd(Family::Topology),
        "Makes mutations pending again when their lease expires.",
        |context| end_leases(context.gateway, Family::Topology).boxed(),
    ),
    job(
        "end_task_leases",
        Schedule::LeaseEnd(Family::Task),
        "Makes tasks pending again, or ends them, when their lease expires.",
        |context| end_leases(context.gateway, Family::Task).boxed(),
    ),
    job(
        "end_prompt_leases",
        Schedule::LeaseEnd(Family::Prompt),
        "Queues prompts again, or ends them, when their lease expires.",
        |context| end_leases(context.gateway, Family::Prompt).boxed(),
    ),
    job(
        "prune_limits",
        Schedule::Sweep,
        "Drops the counters of limits that are back at zero.",
        |context| prune_limits(context.gateway).boxed(),
    ),
    job(
        "prune_events",
        Schedule::Sweep,
        "Deletes events beyond the retention of their family, once the wall clock is stable.",
        |context| prune_events(context.gateway).boxed(),
    ),
    job(
        "prune_login_sessions",
        Schedule::Sweep,
        "Deletes login sessions a day after their end, once the wall clock is stable.",
        |context| prune_login_sessions(context.gateway).boxed(),
    ),
    job(
        "prune_audit_events",
        Schedule::Sweep,
        "Deletes security events after their retention, once the wall clock is stable.",
        |context| prune_audit_events(context.gateway).boxed(),
    ),
    job(
        "prune_stream_tokens",
        Schedule::Sweep,
        "Deletes the records of stream tokens that cannot resume, once the wall clock is stable.",
        |context| prune_stream_tokens(context.gateway).boxed(),
    ),
    job("cancel_orphans", Schedule::Sweep, "Ends the resources of deleted users.", |context| {
        cancel_orphans(context.gateway).boxed()
    }),
    job(
        "sweep_families",
        Schedule::Sweep,
        "Deletes ended resources after their retention, once the wall clock is stable.",
        |context| sweep_families(context.gateway).boxed(),
    ),
    job(
        "refresh_grants",
        Schedule::Continuously,
        "Refreshes the OAuth grants of users with an open stream, at 90 % of the lifetime of their tokens.",
        |context| refresh_grants(context.gateway).boxed(),
    ),
    job(
        "maintain_grants",
        Schedule::Sweep,
        "Encrypts OAuth tokens of older keys with the newest key. Deletes expired authorizations.",
        |context| maintain_grants(context.gateway).boxed(),
    ),
    job(
        "check_upstreams",
        Schedule::Heartbeat,
        "Checks the external issuers and the OAuth providers. Fetches the keys of issuers again.",
        |context| check_upstreams(context.gateway).boxed(),
    ),
    job(
        "keep_tunnels_alive",
        Schedule::Heartbeat,
        "Records that the tunnel clients of this gateway are connected, and finds those of gateways that have ended.",
        |context| keep_tunnels_alive(context.gateway).boxed(),
    ),
    job(
        "renew_certificate",
        Schedule::Continuously,
        "Every 30 seconds and on SIGHUP: reads the TLS certificate again, for new connections.",
        |context| renew_certificate(context).boxed(),
    ),
];

/// Interval at which the files of the TLS certificate are read again.
const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(30);

/// Interval at which the gateway looks for grants that are due.
const GRANT_INTERVAL: Duration = Duration::from_millis(500);

/// Time that a call of a tool waits for others before it is written to the audit log.
const AUDIT_INTERVAL: Duration = Duration::from_millis(250);

/// Time from the end of a login session to its deletion.
const SESSION_RETENTION: Duration = Duration::from_hours(24);

async fn receive_bus_message(gateway: Arc<Gateway>) -> JobResult {
    let message = gateway.bus_messages.lock().await.recv().await;
    match message {
        Some(Message::Events(events)) => gateway.hub.deliver(&events),
        Some(Message::LoginSessionRevoked(session)) => {
            gateway.login_sessions.session_ended(session);
        }
        Some(Message::UserChanged(user)) => gateway.login_sessions.recheck_user(user).await?,
        Some(Message::TunnelSharingChanged(tunnel)) => {
            family::tunnel::sharing_changed(&gateway, tunnel).await?;
        }
        Some(Message::StreamResumed { token, connection }) => {
            gateway.end_replaced(token, connection);
        }
        // The bus is closed, so no other message can arrive.
        None => pending().await,
    }
    Ok(())
}

async fn end_streams(gateway: Arc<Gateway>) -> JobResult {
    gateway.login_sessions.changed().await;
    gateway.hub.check_streams();
    gateway.tunnels.check_sessions();
    Ok(())
}

async fn probe_writes(gateway: Arc<Gateway>) -> JobResult {
    gateway.database.watch_writes().await;
    Ok(())
}

async fn write_stream_tokens(gateway: Arc<Gateway>) -> JobResult {
    gateway.stream_tokens.changed().await;
    Ok(gateway.stream_tokens.write_changes().await?)
}

async fn write_audit_events(gateway: Arc<Gateway>) -> JobResult {
    gateway.audit.added().await;
    // One transaction for all calls of this time, because each transaction waits for the disk.
    sleep(AUDIT_INTERVAL).await;
    Ok(gateway.audit.write_waiting().await?)
}

async fn refresh_stream_tokens(gateway: Arc<Gateway>) -> JobResult {
    for connection in gateway.stream_tokens.refresh().await? {
        gateway.hub.replace(connection);
    }
    Ok(())
}

async fn read_clock(gateway: Arc<Gateway>) -> JobResult {
    gateway.clock.read();
    Ok(())
}

async fn recheck_login_sessions(gateway: Arc<Gateway>) -> JobResult {
    Ok(gateway.login_sessions.recheck().await?)
}

async fn recheck_topics(gateway: Arc<Gateway>) -> JobResult {
    Ok(gateway.hub.recheck().await?)
}

async fn end_leases(gateway: Arc<Gateway>, family: Family) -> JobResult {
    Ok(family::end_expired_leases(&gateway, family).await?)
}

async fn renew_certificate(Context { certificate, reload, .. }: Context) -> JobResult {
    match certificate {
        Some(certificate) => Ok(certificate.renew(CERTIFICATE_INTERVAL, &reload).await?),
        // Without TLS, there is nothing to do until the gateway shuts down.
        None => pending().await,
    }
}

async fn prune_limits(gateway: Arc<Gateway>) -> JobResult {
    gateway.limits.prune();
    Ok(())
}

async fn prune_events(gateway: Arc<Gateway>) -> JobResult {
    let Some(now) = gateway.stable_clock().await else { return Ok(()) };
    for family in Family::ALL {
        let (retention, _) = gateway.settings(family);
        let events = gateway.hub.log().prune(family, retention, &now).await?;
        if events > 0 {
            tracing::info!(family = family.name(), events, "pruned the event log");
        }
    }
    Ok(())
}

async fn prune_login_sessions(gateway: Arc<Gateway>) -> JobResult {
    let Some(now) = gateway.stable_clock().await else { return Ok(()) };
    gateway.login_sessions.prune(now.cutoff(SESSION_RETENTION)).await?;
    Ok(())
}

async fn prune_audit_events(gateway: Arc<Gateway>) -> JobResult {
    let Some(now) = gateway.stable_clock().await else { return Ok(()) };
    let age = Duration::from_secs(gateway.config.retention.audit_seconds);
    gateway.audit.prune(now.cutoff(age), &MOST_KEPT).await?;
    Ok(())
}

async fn prune_stream_tokens(gateway: Arc<Gateway>) -> JobResult {
    let Some(now) = gateway.stable_clock().await else { return Ok(()) };
    Ok(gateway.stream_tokens.prune(&now).await?)
}

async fn cancel_orphans(gateway: Arc<Gateway>) -> JobResult {
    Ok(family::cancel_orphans(&gateway).await?)
}

async fn sweep_families(gateway: Arc<Gateway>) -> JobResult {
    if gateway.stable_clock().await.is_some() {
        family::sweep(&gateway).await?;
    }
    Ok(())
}

async fn refresh_grants(gateway: Arc<Gateway>) -> JobResult {
    if !gateway.oauth.is_enabled() {
        return pending().await;
    }
    sleep(GRANT_INTERVAL).await;
    Ok(family::oauth::refresh_due(&gateway).await?)
}

async fn maintain_grants(gateway: Arc<Gateway>) -> JobResult {
    if gateway.oauth.is_enabled() {
        let rows = gateway.oauth.reencrypt().await?;
        if rows > 0 {
            tracing::info!(rows, "encrypted OAuth tokens with the newest key");
        }
    }
    let Some(now) = gateway.stable_clock().await else { return Ok(()) };
    Ok(gateway.oauth.prune(now.cutoff(Duration::ZERO)).await?)
}

async fn keep_tunnels_alive(gateway: Arc<Gateway>) -> JobResult {
    Ok(family::tunnel::keep_alive(&gateway).await?)
}

async fn check_upstreams(gateway: Arc<Gateway>) -> JobResult {
    gateway.check_upstreams().await;
    Ok(())
}
