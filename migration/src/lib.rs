//! The migrations of the database schema. Layer 0. A released migration is never edited, and every migration can be
//! reverted.

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::prelude::*;

mod m20261120_000001_user;
mod m20261120_000002_event_log;
mod m20261120_000003_topology;
mod m20261121_000004_topic_end;
mod m20261121_000005_notification;
mod m20261121_000006_task;
mod m20261121_000007_prompt;
mod m20261121_000008_mcp_session;
mod m20261125_000009_write_probe;
mod m20261125_000010_lease_clock;
mod m20261125_000011_event_nonce;
mod m20261125_000012_refresh_successor;
mod m20261126_000013_column_names;
mod m20261126_000014_stream_token;
mod m20261126_000015_session_method;
mod m20261126_000016_api_key;
mod m20261126_000017_audit_event;
mod m20261126_000018_session_revoked_before;
mod m20261126_000020_oauth_grant;
mod m20261126_000021_requires;
mod m20261127_000022_user_revocation;
mod m20261127_000023_tunnel;
mod m20261127_000024_tunnel_session;
mod m20261127_000025_tunnel_share;

/// Runs the migrations in order.
#[derive(Debug)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261120_000001_user::Migration),
            Box::new(m20261120_000002_event_log::Migration),
            Box::new(m20261120_000003_topology::Migration),
            Box::new(m20261121_000004_topic_end::Migration),
            Box::new(m20261121_000005_notification::Migration),
            Box::new(m20261121_000006_task::Migration),
            Box::new(m20261121_000007_prompt::Migration),
            Box::new(m20261121_000008_mcp_session::Migration),
            Box::new(m20261125_000009_write_probe::Migration),
            Box::new(m20261125_000010_lease_clock::Migration),
            Box::new(m20261125_000011_event_nonce::Migration),
            Box::new(m20261125_000012_refresh_successor::Migration),
            Box::new(m20261126_000013_column_names::Migration),
            Box::new(m20261126_000014_stream_token::Migration),
            Box::new(m20261126_000015_session_method::Migration),
            Box::new(m20261126_000016_api_key::Migration),
            Box::new(m20261126_000017_audit_event::Migration),
            Box::new(m20261126_000018_session_revoked_before::Migration),
            Box::new(m20261126_000020_oauth_grant::Migration),
            Box::new(m20261126_000021_requires::Migration),
            Box::new(m20261127_000022_user_revocation::Migration),
            Box::new(m20261127_000023_tunnel::Migration),
            Box::new(m20261127_000024_tunnel_session::Migration),
            Box::new(m20261127_000025_tunnel_share::Migration),
        ]
    }
}
