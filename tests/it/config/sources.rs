//! The configuration: which source wins, and what a mistake is answered with.

use std::{ffi::OsString, fs, path::Path};

use confique::Layer as _;
use streamgate::{
    config::{
        Config, ConfigError, ConfigLayer, LogFormat, Overflow, documentation, environment_table,
    },
    event::Family,
    limit::Quota,
};

use crate::support::app::App;

/// Loads from the text of a file and from variables, without the environment of this process.
fn load(file: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    load_with(file, variables, &ConfigLayer::empty())
}

fn load_with(
    file: &str,
    variables: &[(&str, &str)],
    flags: &ConfigLayer,
) -> Result<Config, ConfigError> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("streamgate.toml");
    fs::write(&path, file).expect("a file in it");
    let environment =
        variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::load_from(Some(&path), environment, flags)
}

/// The message of the error that loading must end in.
fn refused(file: &str, variables: &[(&str, &str)]) -> String {
    match load(file, variables) {
        Ok(_) => panic!("accepted: file {file:?}, environment {variables:?}"),
        Err(error) => error.to_string(),
    }
}

fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
}

/// `limits.streams_per_user` to `STREAMGATE_LIMITS__STREAMS_PER_USER`.
fn variable(key: &str) -> String {
    format!("STREAMGATE_{}", key.replace('.', "__").to_uppercase())
}

/// Key and default of each row of the table, in order.
fn table_rows() -> Vec<[String; 3]> {
    environment_table()
        .lines()
        .skip(2)
        .map(|line| {
            let mut cells =
                line.split(" | ").map(|cell| cell.trim_matches(['|', ' ', '`']).to_owned());
            [(); 3].map(|()| cells.next().expect("a row has four cells"))
        })
        .collect()
}

#[test]
fn unknown_key_in_the_file_is_named() {
    for (file, key, known) in [
        ("lisen = '0.0.0.0:80'", "`lisen`", "listen"),
        ("[limits]\nstreams_per_usr = 3", "`limits.streams_per_usr`", "streams_per_user"),
        ("[limit]\nstreams_per_user = 3", "`limit`", "[limits]"),
        ("limits = 3", "`limits`", "streams_per_user"),
        ("[limits.per.user]\nstreams = 3", "`limits.per`", "streams_per_user"),
    ] {
        assert_says(&refused(file, &[]), &[key, known, "streamgate.toml"]);
    }
}

#[test]
fn unknown_environment_variable_is_named() {
    for name in ["STREAMGATE_LISTENS", "STREAMGATE_LIMITS_STREAMS_PER_USER", "STREAMGATE_LIMITS"] {
        assert_says(&refused("", &[(name, "3")]), &[name]);
    }
}

#[test]
fn other_environment_variables_are_left_alone() {
    let config = load(
        "",
        &[("STREAMGATE_ADMIN_PASSWORD", "secret"), ("PATH", "/bin"), ("streamgate_x", "1")],
    );
    assert!(config.is_ok(), "{config:?}");
}

#[test]
fn impossible_values_name_their_key() {
    for (key, value, allowed) in [
        ("listen", "'localhost'", "127.0.0.1:8080"),
        ("data_dir", "''", "not be empty"),
        ("database.url", "'mysql://host/name'", "`sqlite:`, `postgres:` or `postgresql:`"),
        ("database.url", "'sqlite:file:/x.db'", "without `file:`"),
        ("database.url", "'sqlite://%66ile:x.db?mode=rwc'", "without `file:`"),
        ("database.url", "'postgres://gate:s3cret'", "postgres://user:password@host/name"),
        ("database.migrate", "'yes'", "true"),
        ("database.pool_size", "0", "from 1 to 1000"),
        ("database.pool_size", "-1", "u32"),
        ("database.pool_size", "'many'", "default: 8"),
        ("server.header_timeout_seconds", "0", "from 1 to 3600"),
        ("server.idle_timeout_seconds", "0", "from 1 to 3600"),
        ("server.write_timeout_seconds", "3601", "from 1 to 3600"),
        ("server.unread_limit_bytes", "1048576", "from 16777216 to"),
        ("server.body_timeout_seconds", "0", "from 1 to 3600"),
        ("server.body_limit_bytes", "0", "from 1024 to"),
        ("server.head_limit_bytes", "8191", "from 8192 to 1048576"),
        ("server.head_limit_bytes", "1048577", "from 8192 to 1048576"),
        ("server.drain_seconds", "3601", "from 0 to 3600"),
        ("server.trusted_proxies", "['proxy.example']", "`proxy.example` must be an address"),
        ("server.trusted_proxies", "['10.0.0.0/33']", "`10.0.0.0/33` must be an address"),
        ("server.trusted_proxies", "['10.0.0.1', '10.0.0.1:80']", "`10.0.0.1:80` must be"),
        ("tokens.issuer", "''", "not be empty"),
        ("tokens.audience", "''", "not be empty"),
        ("tokens.algorithms", "['EdDSA', 'HS256']", "`HS256` must be one of EdDSA"),
        ("tokens.algorithms", "['none']", "`none` must be one of EdDSA"),
        ("tokens.access_seconds", "59", "from 60 to 86400"),
        ("tokens.session_seconds", "0", "from 60 to"),
        ("tokens.stream_seconds", "29", "from 30 to 300"),
        ("tokens.stream_seconds", "301", "from 30 to 300"),
        ("streams.heartbeat_seconds", "61", "from 1 to 60"),
        ("streams.buffer_events", "0", "from 1 to"),
        ("streams.retry_seconds", "0", "from 1 to 300"),
        ("overflow.topology", "'sometimes'", "`drop_oldest`"),
        ("tasks.cancel_grace_seconds", "0", "from 1 to 3600"),
        ("tasks.cancel_grace_seconds", "3601", "from 1 to 3600"),
        ("limits.connections", "0", "at least 1"),
        ("limits.connections_per_address", "0", "at least 1"),
        ("limits.exempt_networks", "['10.0.0.0/33']", "IP"),
        ("limits.streams_per_user", "0", "at least 1"),
        ("limits.requests_per_minute", "0", "at least 1"),
        ("limits.stream_opens_per_minute", "0", "at least 1"),
        ("limits.logins_per_minute_per_user", "0", "at least 1"),
        ("limits.logins_per_minute_per_address", "0", "at least 1"),
        ("retention.topology_events", "0", "at least 1"),
        ("retention.topology_seconds", "0", "from 1 to"),
        ("retention.sweep_seconds", "0", "from 1 to 86400"),
        ("retention.notification_events", "0", "at least 1"),
        ("retention.notification_seconds", "0", "from 1 to"),
        ("retention.task_events", "0", "at least 1"),
        ("retention.task_seconds", "0", "from 1 to"),
        ("retention.prompt_events", "0", "at least 1"),
        ("retention.prompt_seconds", "0", "from 1 to"),
        ("retention.mcp_session_events", "0", "at least 1"),
        ("retention.mcp_session_seconds", "0", "from 1 to"),
        ("prompts.idle_seconds", "0", "from 1 to"),
        ("mcp_sessions.idle_seconds", "0", "from 1 to"),
        ("log.format", "'xml'", "`text` or `json`"),
        ("log.filter", "'streamgate=loud'", "`info`"),
        ("log.filter", "' '", "`info`"),
    ] {
        let quoted_key = format!("`{key}`");
        let message = refused(&format!("{key} = {value}"), &[]);
        assert_says(&message, &[&quoted_key, allowed, "streamgate.toml"]);

        let name = variable(key);
        let message = refused("", &[(&name, &value.replace(['\'', '[', ']'], ""))]);
        assert_says(&message, &[&quoted_key, &name]);
    }
}

#[test]
fn an_impossible_flag_is_refused_too() {
    let mut flags = ConfigLayer::empty();
    flags.limits.streams_per_user = Some(0);
    let error = load_with("", &[], &flags).expect_err("0 streams make no sense");
    assert_says(&error.to_string(), &["`limits.streams_per_user`", "flag", "at least 1"]);
}

#[test]
fn a_value_that_a_stronger_source_covers_must_still_be_right() {
    let message =
        refused("tokens.stream_seconds = 1", &[("STREAMGATE_TOKENS__STREAM_SECONDS", "60")]);
    assert_says(&message, &["`tokens.stream_seconds`", "streamgate.toml"]);
}

#[test]
fn a_flag_beats_the_environment_beats_the_file() {
    let file = "listen = '127.0.0.1:1'\ndata_dir = 'file'\n[limits]\nstreams_per_user = 1";
    let variables = [("STREAMGATE_LISTEN", "127.0.0.1:2"), ("STREAMGATE_DATA_DIR", "environment")];
    let mut flags = ConfigLayer::empty();
    flags.listen = Some(([127, 0, 0, 1], 3).into());

    let config = load_with(file, &variables, &flags).expect("all values are right");
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.data_dir, Path::new("environment"));
    assert_eq!(config.limits.streams_per_user, 1);
    assert_eq!(config.limits.requests_per_minute, 600);
}

#[test]
fn every_type_of_key_can_come_from_the_environment() {
    let config = load(
        "",
        &[
            ("STREAMGATE_DATABASE__URL", "postgres://host/name"),
            ("STREAMGATE_DATABASE__MIGRATE", "false"),
            ("STREAMGATE_STREAMS__BUFFER_EVENTS", "7"),
            ("STREAMGATE_TOKENS__ALGORITHMS", "EdDSA, ES256"),
            ("STREAMGATE_LOG__FORMAT", "json"),
            (
                "STREAMGATE_SERVER__TRUSTED_PROXIES",
                "10.0.0.7, 2001:db8::/32,::1, 192.168.1.1/16,::ffff:172.16.0.0/108,",
            ),
        ],
    )
    .expect("all values are right");
    assert_eq!(config.database.url.as_deref(), Some("postgres://host/name"));
    assert!(!config.database.migrate);
    assert_eq!(config.streams.buffer_events, 7);
    assert_eq!(config.tokens.algorithms, ["EdDSA", "ES256"]);
    assert_eq!(config.log.format, LogFormat::Json);
    let proxies: Vec<String> =
        config.server.trusted_proxies.iter().map(ToString::to_string).collect();
    let expected = "10.0.0.7/32 2001:db8::/32 ::1/128 192.168.1.1/16 172.16.0.0/12";
    assert_eq!(proxies.join(" "), expected);
    let none = load("", &[("STREAMGATE_SERVER__TRUSTED_PROXIES", "")]).expect("no proxies");
    assert_eq!(none.server.trusted_proxies, []);
}

#[test]
fn one_half_of_tls_is_refused() {
    assert_says(
        &refused("server.tls_key = 'key.pem'", &[]),
        &["`server.tls_key`", "`server.tls_certificate`", "streamgate.toml"],
    );
    assert_says(
        &refused("", &[("STREAMGATE_SERVER__TLS_CERTIFICATE", "chain.pem")]),
        &["`server.tls_certificate`", "`server.tls_key`", "STREAMGATE_SERVER__TLS_CERTIFICATE"],
    );
    let both =
        load("server.tls_key = 'key.pem'", &[("STREAMGATE_SERVER__TLS_CERTIFICATE", "chain.pem")]);
    assert!(both.is_ok(), "{both:?}");
}

#[test]
fn a_file_that_is_missing_or_not_toml_is_named() {
    let missing = Path::new("/nowhere/streamgate.toml");
    let error = Config::load_from(Some(missing), [], &ConfigLayer::empty()).expect_err("no file");
    assert_says(&error.to_string(), &["/nowhere/streamgate.toml"]);
    assert_says(&refused("data_dir = 'a'\nlisten =\n", &[]), &["streamgate.toml", "line 2"]);
}

#[test]
fn the_documented_defaults_are_the_real_ones() {
    let documentation = documentation();
    // Prose begins with "# "; optional keys end with "=" and have no default.
    let uncommented = documentation
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if !key.starts_with(' ') => key,
            _ => line,
        })
        .filter(|line| !line.ends_with('='))
        .collect::<Vec<_>>()
        .join("\n");
    let keys = uncommented.lines().filter(|line| line.contains(" = ") && !line.starts_with('#'));
    let with_default = table_rows()
        .iter()
        .filter(|[key, _, default]| default != "absent" && key != "not a key")
        .count();
    assert_eq!(keys.count(), with_default);

    let documented = load(&uncommented, &[]).expect("the documentation is a valid file");
    assert_eq!(documented, load("", &[]).expect("defaults are valid"));
    let in_code = Config { listen: documented.listen, ..Config::for_data_dir("data") };
    assert_eq!(documented, in_code);
}

#[test]
fn each_key_is_in_the_table_under_its_own_variable() {
    let rows = table_rows();
    let (last, keys) = rows.split_last().expect("a table");
    assert_eq!(last[1], "STREAMGATE_ADMIN_PASSWORD");
    assert!(keys.len() > 25, "{keys:?}");
    for [key, name, _] in keys {
        assert_eq!(*name, variable(key));
    }
}

#[test]
fn the_committed_file_is_the_documentation() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config.default.toml");
    let committed = fs::read_to_string(path).expect("the file is committed");
    assert!(
        committed == documentation(),
        "src/config.default.toml has drifted: run `streamgate config > src/config.default.toml`"
    );
}

#[test]
fn database_password_is_never_shown() {
    for url in [
        "postgres://gate:s3cret@db.example:5432/gate",
        "postgres://gate:a@s3cret@db.example/gate",
        "postgres://gate:s3cret?x@db.example/gate",
        "postgres://gate:a@b?s3cret@db.example/gate",
        "postgres://db.example/gate?user=gate&password=s3cret",
        "postgres://db.example/gate?options=a@b&password=s3cret",
    ] {
        let mut config = Config::for_data_dir("data");
        config.database.url = Some(url.to_owned());
        for shown in [format!("{config:?}"), format!("{config:#?}")] {
            assert!(!shown.contains("s3cret"), "{shown}");
            assert!(shown.contains("postgres:"), "{shown}");
        }
    }
    for file in [
        "database.url = 'mysql://gate:s3cret@host/name'",
        "database.url = 'postgres://gate:s3cret'",
        "database.url = \"postgres://gate:s3cret@host/name",
        "database.url = ['postgres://gate:s3cret@host/name']",
    ] {
        let error = load(file, &[]).expect_err("none of them is right");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

#[test]
fn each_quota_has_the_default_that_its_key_documents() {
    let table = environment_table();
    for quota in Quota::ALL {
        let row = table.lines().find(|row| row.starts_with(&format!("| `{}` |", quota.key())));
        let row = row.unwrap_or_else(|| panic!("no key {}", quota.key()));
        assert_eq!(row.split(" | ").nth(2), Some(&*format!("`{}`", quota.default())), "{row}");
    }
}

#[tokio::test]
async fn every_family_has_what_its_own_keys_say() {
    let app = App::with(|config| {
        let (kept, slow) = (&mut config.retention, &mut config.overflow);
        (kept.topology_events, kept.topology_seconds) = (11, 12);
        (kept.notification_events, kept.notification_seconds) = (21, 22);
        (kept.task_events, kept.task_seconds) = (31, 32);
        (kept.prompt_events, kept.prompt_seconds) = (41, 42);
        (kept.mcp_session_events, kept.mcp_session_seconds) = (51, 52);
        slow.topology = Overflow::DropOldest;
        slow.notification = Overflow::DropNew;
        slow.task = Overflow::CloseConnection;
        slow.prompt = Overflow::DropNew;
        slow.mcp_session = Overflow::DropOldest;
    })
    .await;
    for (family, kept, overflow) in [
        (Family::Topology, (11, 12), Overflow::DropOldest),
        (Family::Notification, (21, 22), Overflow::DropNew),
        (Family::Task, (31, 32), Overflow::CloseConnection),
        (Family::Prompt, (41, 42), Overflow::DropNew),
        (Family::McpSession, (51, 52), Overflow::DropOldest),
    ] {
        let settings = app.gateway.settings(family);
        let told = ((settings.0.events, settings.0.seconds), settings.1);
        assert_eq!(told, (kept, overflow), "{family:?}");
    }
    app.finish().await;
}
