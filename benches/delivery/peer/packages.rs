//! The servers from Debian's packages: nginx with Nchan, and Pushpin.
//!
//! Each runs in a separate directory, on free ports. Access logs are off and the limits are raised. All
//! other settings are the defaults.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    os::unix::fs::MetadataExt,
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::Context;

use crate::process::{Process, Side, command};

/// Descriptors of a process that are not for connections. The machines on which the published results
/// were measured allow 20,000 per process.
const SPARE_DESCRIPTORS: u64 = 100;
/// Time limit for the start of all processes.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Paths of files in Debian's packages.
const NCHAN: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";
const PUSHPIN_INTERNALS: &str = "/usr/lib/pushpin/internal.conf";

/// Version of a Debian package, if the package is installed and the file exists.
fn version(package: &str, file: &str) -> Option<String> {
    fs::metadata(file).ok()?;
    let query = ["--show", "--showformat", "${Version}", package];
    let output = Command::new("dpkg-query").args(query).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    // Removes Debian's epoch and revision.
    let text = text.split_once(':').map_or(text.as_str(), |(_, version)| version);
    Some(text.split(['+', '-']).next()?.to_owned())
}

pub(crate) fn nchan_version() -> Option<String> {
    let (nchan, nginx) =
        (version("libnginx-mod-nchan", NCHAN)?, version("nginx", "/usr/sbin/nginx")?);
    Some(format!("{nchan} in nginx {nginx}"))
}

pub(crate) fn pushpin_version() -> Option<String> {
    version("pushpin", PUSHPIN_INTERNALS)
}

/// An address with a port that is free now.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Starts nginx with one worker, with messages in memory.
pub(crate) fn start_nchan(directory: &Path) -> anyhow::Result<(Process, SocketAddr)> {
    let (address, place) = (free_address()?, directory.display());
    // If root starts nginx, its worker runs as another user by default. That user cannot read the
    // directory.
    let user = if fs::metadata(directory)?.uid() == 0 { "user root;" } else { "" };
    let descriptors = rlimit::Resource::NOFILE.get_soft()?;
    let connections = descriptors.saturating_sub(SPARE_DESCRIPTORS);
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {place}/{kind};\n"))
        .concat();
    let text = format!(
        "load_module {NCHAN};
        {user}
        daemon off;
        worker_processes 1;
        worker_rlimit_nofile {descriptors};
        pid {place}/pid;
        error_log stderr notice;
        events {{ worker_connections {connections}; }}
        http {{
            access_log off;
            {temporary}
            keepalive_requests 1000000;
            keepalive_timeout 600s;
            nchan_max_reserved_memory 256M;
            server {{
                listen {address};
                location ~ ^/sub/([0-9]+)$ {{
                    nchan_subscriber eventsource;
                    nchan_channel_id $1;
                    nchan_subscriber_first_message newest;
                }}
                location ~ ^/publish/([0-9]+)$ {{
                    nchan_publisher http;
                    nchan_channel_id $1;
                    nchan_message_buffer_length 1000;
                    nchan_message_timeout 5m;
                }}
            }}
        }}"
    );
    let configuration = directory.join("nginx.conf");
    fs::write(&configuration, text)?;
    let mut command = command(Side::Server, "/usr/sbin/nginx");
    command.arg("-p").arg(directory).arg("-c").arg(configuration).args(["-e", "stderr"]);
    let mut process = Process::start(command)?;
    process.expect("start worker process", START_TIMEOUT)?;
    Ok((process, address))
}

/// Starts Pushpin's four processes and zurl, which requests the instructions for a stream from `origin`.
pub(crate) fn start_pushpin(
    directory: &Path,
    origin: SocketAddr,
) -> anyhow::Result<(Process, SocketAddr, SocketAddr)> {
    let (streams, control, place) = (free_address()?, free_address()?, directory.display());
    // Debian runs zurl as a separate service. Here it belongs to this Pushpin, and its sockets are in
    // the same directory.
    let internals = fs::read_to_string(PUSHPIN_INTERNALS).context(PUSHPIN_INTERNALS)?;
    let internals = internals.replace("ipc:///var/run/zurl/", "ipc://{rundir}/{ipc_prefix}");
    fs::write(directory.join("internal.conf"), internals)?;
    fs::write(directory.join("routes"), format!("* {origin}\n"))?;
    for name in ["run", "log"] {
        fs::create_dir(directory.join(name))?;
    }
    let descriptors = rlimit::Resource::NOFILE.get_soft()?;
    let connections = descriptors.saturating_sub(SPARE_DESCRIPTORS);
    let (port, ip) = (control.port(), control.ip());
    let command_port = free_address()?;
    let (push_port, sub_port) = (free_address()?, free_address()?);
    let text = format!(
        "[global]
include={place}/internal.conf
rundir={place}/run
ipc_prefix=bench-
port_offset=0
stats_connection_ttl=120
[runner]
services=condure,zurl,pushpin-proxy,pushpin-handler
http_port={streams}
logdir={place}/log
log_level=1
client_buffer_size=8192
client_maxconn={connections}
[proxy]
routesfile={place}/routes
[handler]
push_in_spec=tcp://{push_port}
push_in_sub_specs=tcp://{sub_port}
push_in_http_addr={ip}
push_in_http_port={port}
command_spec=tcp://{command_port}
message_rate=1000000
message_hwm=1000000
message_wait=5000
connection_subscription_max=20
"
    );
    let configuration = directory.join("pushpin.conf");
    fs::write(&configuration, text)?;
    let mut command = command(Side::Server, "/usr/bin/pushpin");
    command.arg(format!("--config={}", configuration.display()));
    let process = Process::start(command)?;
    Ok((process, streams, control))
}
