//! Metrics under the names, labels and units that dashboards rely on, and the log line of a
//! panic.

use std::{process::Command, time::Duration};

use serde_json::Value;
use streamgate::telemetry::{Telemetry, init_logging};

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
    telemetry.init_family("task");
    telemetry.caught_up("task");
    telemetry.stream_reset("task", "stale");
    telemetry.authenticated("refused");
    let [hits, _misses] = telemetry.cache("login_session");
    hits.inc();
    let took = Duration::from_millis(2);
    telemetry.login_session_validated(took);
    telemetry.looked_up("task", took);
    telemetry.committed(took);
    telemetry.request_finished("task_stream", 200, took);

    let rendered = telemetry.render();
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
        "streamgate_authentications_total{outcome=\"refused\"} 1",
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
    assert!(other.render().contains("streamgate_slots_refused_total 0"));
}

#[test]
fn histogram_buckets_reach_from_ten_microseconds_to_ten_seconds() {
    let telemetry = Telemetry::new();
    let count_up_to = |bound: f64| {
        let rendered = telemetry.render();
        let mut buckets = rendered.lines().filter_map(|line| {
            line.strip_prefix("streamgate_commit_seconds_bucket{le=\"")?.split_once("\"} ")
        });
        let fits = buckets.rfind(|(le, _)| le.parse().is_ok_and(|le: f64| le <= bound));
        fits.map(|(_, count)| count.to_owned())
    };
    telemetry.committed(Duration::from_micros(10));
    telemetry.committed(Duration::from_secs(9));
    assert_eq!(count_up_to(10.1e-6).as_deref(), Some("1"));
    assert_eq!(count_up_to(15.0).as_deref(), Some("2"));
}
