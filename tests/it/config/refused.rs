//! Mistakes in the configuration: each message names the key and the source.

use std::path::Path;

use confique::Layer as _;
use streamgate::config::{Config, ConfigLayer};

use crate::config::load::{assert_says, load, load_with, refused, variable};

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

/// A key, a value that is not valid, and a part of the error.
const INVALID: &[(&str, &str, &str)] = &[
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
    ("server.public_url", "''", "absolute URL such as `https://example.com`"),
    ("server.public_url", "'/gate'", "absolute URL such as `https://example.com`"),
    ("server.public_url", "'example.com'", "absolute URL such as `https://example.com`"),
    ("server.public_url", "'ftp://example.com'", "absolute URL such as `https://example.com`"),
    (
        "server.public_url",
        "'https://user:s3cret@example.com'",
        "absolute URL such as `https://example.com`",
    ),
    (
        "server.public_url",
        "'https://example.com/?a=b'",
        "absolute URL such as `https://example.com`",
    ),
    ("server.public_url", "'https://example.com/#a'", "absolute URL such as `https://example.com`"),
    ("server.public_url", "'https:///gate'", "absolute URL such as `https://example.com`"),
    (
        "server.public_url",
        "'https://example.com:99999'",
        "absolute URL such as `https://example.com`",
    ),
    ("server.public_url", "'https://exa mple.com'", "absolute URL such as `https://example.com`"),
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
    ("auth.issuers", "[{ issuer = 'https://a', audience = 'b' }]", "must have `roles` or"),
    ("auth.issuers", "[{ issuer = 'https://a' }]", "missing field `audience`"),
    (
        "auth.issuers",
        "[{ issuer = 'a', audience = 'b', default_role = 'viewer' }]",
        "must be a URL",
    ),
    (
        "auth.issuers",
        "[{ issuer = 'https://a', audience = 'b', default_role = 'root' }]",
        "unknown variant `root`",
    ),
    (
        "auth.issuers",
        "[{ issuer = 'https://a', audience = 'b', default_role = 'viewer', algorithms = ['HS256'] }]",
        "`HS256` must be one of EdDSA",
    ),
    (
        "auth.issuers",
        "[{ issuer = 'https://a', audience = 'b', default_role = 'viewer', algorithms = ['none'] }]",
        "`none` must be one of EdDSA",
    ),
    (
        "auth.issuers",
        "[{ issuer = 'https://a', audience = '', default_role = 'viewer' }]",
        "must not be empty",
    ),
    (
        "auth.issuers",
        "[{ issuer = 'https://a', audience = 'b', default_role = 'viewer', keys = 'c' }]",
        "unknown field `keys`",
    ),
    (
        "auth.issuers",
        "[{ issuer = 'https://a', audience = 'b', default_role = 'viewer', \
         jwks_url = 'https://c', discovery_url = 'https://d' }]",
        "not both",
    ),
    ("tokens.access_seconds", "59", "from 60 to 86400"),
    ("tokens.login_session_seconds", "0", "from 60 to"),
    ("tokens.stream_seconds", "29", "from 30 to 300"),
    ("tokens.stream_seconds", "301", "from 30 to 300"),
    ("tokens.resume_seconds", "119", "0, or from 120 to 3600"),
    ("tokens.resume_seconds", "3601", "0, or from 120 to 3600"),
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
    ("auth.proxy_user_header", "'not a name'", "must be the name of a header"),
    ("auth.proxy_user_header", "'Cookie'", "must be the name of a header"),
    ("auth.proxy_user_header", "'X-User'", "requires `server.trusted_proxies`"),
    ("server.allowed_origins", "['*']", "must be an origin"),
    ("server.allowed_origins", "['null']", "must be an origin"),
    ("server.allowed_origins", "['https://example.com/']", "must be an origin"),
    ("server.allowed_origins", "['https://Example.com']", "must be an origin"),
    ("server.allowed_origins", "['https://example.com:443']", "must be an origin"),
    ("limits.logins_per_minute_per_address", "0", "at least 1"),
    ("limits.public_requests_per_minute_per_address", "0", "at least 1"),
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
];

#[test]
fn error_of_an_invalid_value_names_its_key() {
    for (key, value, allowed) in INVALID {
        let quoted_key = format!("`{key}`");
        let message = refused(&format!("{key} = {value}"), &[]);
        assert_says(&message, &[&quoted_key, allowed, "streamgate.toml"]);

        let name = variable(key);
        let message = refused("", &[(&name, &value.replace(['\'', '[', ']'], ""))]);
        assert_says(&message, &[&quoted_key, &name]);
    }
}

#[test]
fn invalid_flag_is_refused() {
    let mut flags = ConfigLayer::empty();
    flags.limits.streams_per_user = Some(0);
    let error = load_with("", &[], &flags).expect_err("0 streams are not allowed");
    assert_says(&error.to_string(), &["`limits.streams_per_user`", "flag", "at least 1"]);
}

#[test]
fn overridden_value_is_still_checked() {
    let message =
        refused("tokens.stream_seconds = 1", &[("STREAMGATE_TOKENS__STREAM_SECONDS", "60")]);
    assert_says(&message, &["`tokens.stream_seconds`", "streamgate.toml"]);
}

#[test]
fn one_tls_file_without_the_other_is_refused() {
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
fn missing_or_malformed_file_is_named() {
    let missing = Path::new("/nowhere/streamgate.toml");
    let error = Config::load_from(Some(missing), [], &ConfigLayer::empty()).expect_err("no file");
    assert_says(&error.to_string(), &["/nowhere/streamgate.toml"]);
    assert_says(&refused("data_dir = 'a'\nlisten =\n", &[]), &["streamgate.toml", "line 2"]);
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
        "server.public_url = 'https://gate:s3cret@host/name'",
        "server.public_url = 'https://gate:s3cret@'",
        "database.url = \"postgres://gate:s3cret@host/name",
        "database.url = ['postgres://gate:s3cret@host/name']",
    ] {
        let error = load(file, &[]).expect_err("an invalid configuration");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
