//! The scheduler of background jobs.

use crate::support::{App, until};

fn runs(app: &App, job: &str, outcome: &str) -> f64 {
    app.metric(&format!("streamgate_job_runs_total{{job=\"{job}\",outcome=\"{outcome}\"}}"))
}

#[tokio::test]
async fn failing_job_is_counted_and_stops_no_other_job() {
    let app = App::with(|config| config.streams.heartbeat_seconds = 1).await;
    until("first runs", async || {
        let ran = |job: &str| runs(&app, job, "succeeded") > 0.0;
        ran("end_topology_leases") && ran("recheck_topics")
    })
    .await;

    app.rename_table("mutation", "hidden_mutation").await;
    until("failed run", async || runs(&app, "end_topology_leases", "failed") > 0.0).await;
    for job in ["read_clock", "recheck_login_sessions", "recheck_topics", "end_task_leases"] {
        let before = runs(&app, job, "succeeded");
        until(job, async || runs(&app, job, "succeeded") > before).await;
    }

    let before = runs(&app, "end_topology_leases", "succeeded");
    app.rename_table("hidden_mutation", "mutation").await;
    until("successful run", async || runs(&app, "end_topology_leases", "succeeded") > before).await;
    app.finish().await;
}

#[test]
fn every_background_job_has_its_own_name() {
    let mut names: Vec<_> = streamgate::background::JOBS.iter().map(|job| job.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}
