//! Metrics under the names, labels and units that dashboards rely on, and the log line of a
//! panic.

use std::{collections::BTreeMap, process::Command, time::Duration};

use entity::{Timestamp, user::Role};
use serde_json::{Value, json};
use streamgate::telemetry::{KnownLabels, MetricsFormat, Telemetry, init_logging};

use crate::support::{App, id_of};

#[test]
#[ignore = "panics in a separate process, which the next test starts"]
fn panicking_process() {
    let _logging = init_logging(true, "info").expect("a log");
    panic!("a reason of {}", "its own");
}

#[test]
fn panic_is_logged_as_one_line() {
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    child.args(["telemetry::panicking_process", "--exact", "--ignored", "--nocapture"]);
    let output = child.env_remove("RUST_BACKTRACE").output().expect("a process");
    let log = String::from_utf8(output.stderr).expect("UTF-8");
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let lines: Vec<Value> = lines.collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert_eq!(lines[0]["level"], "ERROR");
    assert_eq!(lines[0]["message"], "panic: a reason of its own");
    let at = lines[0]["at"].as_str().expect("a place");
    assert!(at.starts_with("tests/it/telemetry.rs:"), "{at}");
}

#[test]
fn every_metric_is_rendered_under_its_documented_name() {
    let telemetry = Telemetry::new();
    telemetry.stream_opened("task");
    telemetry.stream_opened("task");
    telemetry.stream_closed("task", "terminal");
    telemetry.slot_refused();
    telemetry.quota_refused("login");
    telemetry.published("task", 3);
    telemetry.delivered("task").inc();
    telemetry.delivered("task").inc();
    telemetry.init(&KnownLabels { families: vec!["task"], ..KnownLabels::default() });
    telemetry.caught_up("task");
    telemetry.stream_reset("task", "stale");
    telemetry.authenticated("missing");
    let [hits, _misses] = telemetry.cache("login_session");
    hits.inc();
    let took = Duration::from_millis(2);
    telemetry.login_session_validated(took);
    telemetry.looked_up("task", took);
    telemetry.committed(took);
    telemetry.request_finished("task_stream", 200, took);

    let rendered = telemetry.render(MetricsFormat::OpenMetrics);
    for line in [
        "streamgate_streams_open{family=\"task\"} 1",
        "streamgate_streams_opened_total{family=\"task\"} 2",
        "streamgate_streams_closed_total{family=\"task\",reason=\"terminal\"} 1",
        "streamgate_slots_refused_total 1",
        "streamgate_log_lines_dropped_total 0",
        "streamgate_quota_refused_total{limit=\"login\"} 1",
        "streamgate_events_published_total{family=\"task\"} 3",
        "streamgate_events_delivered_total{family=\"task\"} 2",
        "streamgate_events_dropped_total{family=\"task\"} 0",
        "streamgate_catch_ups_total{family=\"task\"} 1",
        "streamgate_resets_total{family=\"task\",reason=\"stale\"} 1",
        "streamgate_authentications_total{outcome=\"missing\"} 1",
        "streamgate_cache_lookups_total{cache=\"login_session\",outcome=\"hit\"} 1",
        "streamgate_cache_lookups_total{cache=\"login_session\",outcome=\"miss\"} 0",
        "# UNIT streamgate_commit_seconds seconds",
        "streamgate_login_session_validation_seconds_count 1",
        "streamgate_lookup_seconds_count{resource=\"task\"} 1",
        "streamgate_commit_seconds_sum 0.002",
        "streamgate_http_request_seconds_count{operation=\"task_stream\",status=\"200\"} 1",
    ] {
        assert!(rendered.lines().any(|found| found == line), "{line}\n{rendered}");
    }
}

#[test]
fn two_gateways_in_one_process_count_separately() {
    let (one, other) = (Telemetry::new(), Telemetry::new());
    one.slot_refused();
    assert!(other.render(MetricsFormat::OpenMetrics).contains("streamgate_slots_refused_total 0"));
}

#[test]
fn histogram_buckets_reach_from_microseconds_to_ten_seconds() {
    let telemetry = Telemetry::new();
    let count_up_to = |bound: f64| {
        let rendered = telemetry.render(MetricsFormat::OpenMetrics);
        let mut buckets = rendered.lines().filter_map(|line| {
            line.strip_prefix("streamgate_commit_seconds_bucket{le=\"")?.split_once("\"} ")
        });
        let fits = buckets.rfind(|(le, _)| le.parse().is_ok_and(|le: f64| le <= bound));
        fits.map(|(_, count)| count.to_owned())
    };
    telemetry.committed(Duration::from_micros(20));
    telemetry.committed(Duration::from_secs(9));
    assert_eq!(count_up_to(25.1e-6).as_deref(), Some("1"));
    assert_eq!(count_up_to(10.0).as_deref(), Some("2"));
}

/// The samples in a text, by their names and labels.
fn samples(text: &str) -> BTreeMap<&str, f64> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let samples = samples.map(|line| line.rsplit_once(' ').expect("a value"));
    samples.map(|(sample, value)| (sample, value.parse().expect("a number"))).collect()
}

#[tokio::test]
async fn counters_exist_before_their_first_use() {
    let app = App::start().await;
    // The answer shows that the background jobs have started.
    app.anyone().get("/health/live").await.ok();
    let before = app.gateway.telemetry.render(MetricsFormat::Prometheus);
    let admin = app.log_in("admin").await;
    let id = id_of(&admin.post("/v1/topologies", json!({ "name": "lab" })).await.ok());
    let mut reader = admin.watch(id, "max_events=1").await;
    reader.expect("snapshot").await;
    reader.expect_end().await;
    let mut reader = admin.watch(id, "last_event_id=unknown").await;
    reader.expect("snapshot").await;
    assert_eq!(app.anyone().get("/v1/auth/me").await.status, 401);
    drop(reader);
    app.slots_freed().await;
    let after = app.gateway.telemetry.render(MetricsFormat::Prometheus);
    let (before, after) = (samples(&before), samples(&after));
    let is_count = |sample: &str| {
        let name = sample.split('{').next().unwrap_or_default();
        name.ends_with("_total") || name.ends_with("_count")
    };
    // Each operation and status has a histogram. All of them together are thousands of lines.
    let new = after.keys().filter(|sample| {
        is_count(sample)
            && !sample.starts_with("streamgate_http_request_seconds_count")
            && !before.contains_key(*sample)
    });
    assert_eq!(new.collect::<Vec<_>>(), Vec::<&&str>::new());
    for sample in [
        "streamgate_streams_closed_total{family=\"topology\",reason=\"max_events\"}",
        "streamgate_streams_closed_total{family=\"topology\",reason=\"client_gone\"}",
        "streamgate_resets_total{family=\"topology\",reason=\"unknown_cursor\"}",
        "streamgate_authentications_total{outcome=\"missing\"}",
    ] {
        assert_eq!((before[sample], after[sample]), (0.0, 1.0), "{sample}");
    }
    for sample in [
        "streamgate_streams_closed_total{family=\"prompt\",reason=\"overflow\"}",
        "streamgate_quota_refused_total{limit=\"logins-name\"}",
        "streamgate_connections_refused_total{limit=\"connections-address\"}",
        "streamgate_responses_aborted_total{limit=\"unread_bytes\"}",
        "streamgate_job_runs_total{job=\"renew_certificate\",outcome=\"failed\"}",
        "streamgate_database_faults_total{cause=\"disk_full\"}",
    ] {
        assert_eq!(before.get(sample), Some(&0.0), "{sample}");
    }
    app.finish().await;
}

#[tokio::test]
async fn histograms_have_at_most_twelve_buckets() {
    let app = App::start().await;
    app.log_in("admin").await;
    let text = app.gateway.telemetry.render(MetricsFormat::Prometheus);
    let mut buckets = BTreeMap::<String, usize>::new();
    for sample in samples(&text).keys().filter(|sample| sample.contains("_bucket{")) {
        let (labels, bound) = sample.split_once("le=\"").expect("a bound");
        let others = bound.split_once('"').expect("the end of the bound").1;
        *buckets.entry(format!("{labels}{others}")).or_default() += 1;
    }
    assert!(buckets.len() > 10, "{buckets:?}");
    assert!(buckets.values().all(|count| *count <= 12), "{buckets:?}");
    app.finish().await;
}

#[tokio::test]
async fn metrics_describe_the_process_and_its_build() {
    let app = App::start().await;
    let text = app.gateway.telemetry.render(MetricsFormat::Prometheus);
    let samples = samples(&text);
    let now = Timestamp::now().0 / 1_000_000;
    let now: f64 = now.to_string().parse().expect("a number");
    let age = now - samples["process_start_time_seconds"];
    assert!((-1.0..3_600.0).contains(&age), "{age}");
    for name in [
        "process_cpu_seconds_total",
        "process_threads",
        "process_open_fds",
        "process_resident_memory_bytes",
    ] {
        assert!(samples[name] > 0.0, "{name}");
    }
    assert!(samples["process_max_fds"] >= samples["process_open_fds"]);
    assert!(samples["process_virtual_memory_bytes"] >= samples["process_resident_memory_bytes"]);
    let build = samples.keys().find(|sample| sample.starts_with("streamgate_build_info{"));
    let build = build.expect("a build");
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(build.contains(&version) && build.contains("rustc=\"rustc 1."), "{build}");
    app.finish().await;
}

#[tokio::test]
async fn metrics_have_the_format_that_is_asked_for() {
    let app = App::start().await;
    for (accept, content_type, ends) in [
        ("text/plain", "text/plain; version=0.0.4; charset=utf-8", false),
        ("application/json", "text/plain; version=0.0.4; charset=utf-8", false),
        (
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            true,
        ),
    ] {
        let request = app.http.get(app.url("/metrics")).header("accept", accept);
        let response = request.send().await.expect("a response");
        assert_eq!(response.headers()["content-type"], content_type, "{accept}");
        let text = response.text().await.expect("text");
        assert_eq!(text.ends_with("# EOF\n"), ends, "{accept}");
        let counter =
            if ends { "streamgate_slots_refused" } else { "streamgate_slots_refused_total" };
        assert!(text.contains(&format!("# TYPE {counter} counter\n")), "{text}");
        let build = if ends { "build info" } else { "build_info gauge" };
        assert!(text.contains(&format!("# TYPE streamgate_{build}\n")), "{text}");
        assert_eq!(text.contains("# UNIT "), ends, "{accept}");
        assert!(text.contains("\nstreamgate_slots_refused_total 0\n"), "{text}");
    }
    app.finish().await;
}

#[tokio::test]
async fn administrators_see_the_percentiles_of_latencies() {
    let app = App::start().await;
    let pair = app.tokens("admin").await;
    let admin = crate::support::auth::bearer(&app, pair["access_token"].as_str().expect("a token"));
    let topology = app.active_topology(&admin).await;
    for _ in 0..20 {
        admin.get(&format!("/v1/topologies/{topology}/events")).await.ok();
    }
    crate::support::auth::refresh(&app, &pair).await.ok();
    let report = admin.get("/v1/admin/latency").await.ok();
    let items = report["items"].as_array().expect("items");
    let found = |name: &str| items.iter().find(|item| item["name"] == name).expect("an entry");
    for (name, least, target) in [
        ("session_validation", 20, 50.0),
        ("token_refresh", 1, 100.0),
        ("grant_refresh", 0, 100.0),
        ("resource_lookup", 20, 25.0),
        ("provider_check", 0, 200.0),
    ] {
        let item = found(name);
        assert!(item["count"].as_u64() >= Some(least), "{item}");
        let number = |field: &str| item[field].as_f64().expect("a number");
        assert!(number("p50_ms") <= number("p95_ms") && number("p95_ms") <= number("p99_ms"));
        assert!(least == 0 || number("p50_ms") > 0.0, "{item}");
        assert!((number("target_ms") - target).abs() < f64::EPSILON, "{item}");
    }
    app.caller(Role::Operator).await.get("/v1/admin/latency").await.problem(403);
    app.finish().await;
}
