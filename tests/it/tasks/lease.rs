//! Expired and released leases of tasks, and workers that are killed.

use std::{io::Write, process::Stdio, time::Duration};

use entity::user::Role;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use crate::support::{
    App, Caller, id_of, soon,
    task::{cancel, claim, create, expire, get, owner_and_agent, report, run_out, send, watch},
};

#[tokio::test]
async fn expired_leases_use_up_attempts_but_releases_do_not() {
    let app = App::with(|config| config.streams.heartbeat_seconds = 60).await;
    let (owner, agent) = owner_and_agent(&app).await;
    let new = json!({ "task_type": "a", "max_attempts": 2 });
    let id = id_of(&owner.post("/v1/tasks", new).await.ok());
    let mut reader = watch(&owner, id, "").await;
    reader.expect("snapshot").await;
    for (attempt, expires, then) in
        [(1, false, "pending"), (2, true, "pending"), (3, false, "pending"), (4, true, "failed")]
    {
        let claimed = claim(&agent, "a").await;
        assert_eq!(claimed["attempt"], attempt);
        let told = reader.expect("task.status").await.data;
        assert_eq!((&told["status"], &told["attempt"]), (&json!("running"), &json!(attempt)));
        if expires {
            run_out(&app, id).await;
            // The gateway has not noticed the expired lease yet.
            for (what, body) in [
                ("heartbeat", json!({})),
                ("release", json!({})),
                ("report", json!({ "seq": 1, "status": "completed" })),
            ] {
                let detail = send(&agent, &claimed, what, body).await.problem(409);
                assert!(detail.contains("expired"), "{detail}");
            }
            expire(&app, &owner, id).await;
        } else {
            send(&agent, &claimed, "release", json!({})).await.ok();
        }
        let told = reader.expect("task.status").await.data;
        assert_eq!((&told["status"], &told["attempt"]), (&json!(then), &json!(attempt)));
        assert_eq!(told["error"].is_string(), then == "failed", "{told}");
        for what in ["heartbeat", "release"] {
            send(&agent, &claimed, what, json!({})).await.problem(409);
        }
        report(&agent, &claimed, 1, "completed").await.problem(409);
    }
    reader.expect("stream.closed").await;
    reader.expect_end().await;
    assert_eq!(claim(&agent, "a").await, Value::Null);
    // A task with a requested cancellation is not queued again.
    let id = create(&owner, "a").await;
    let claimed = claim(&agent, "a").await;
    cancel(&owner, id).await.ok();
    assert_eq!(expire(&app, &owner, id).await["status"], "cancelled");
    report(&agent, &claimed, 1, "completed").await.problem(409);
    app.finish().await;
}

/// The environment variables that contain the server and the token of the worker process.
const SERVER: &str = "TEST_WORKER_SERVER";

const TOKEN: &str = "TEST_WORKER_TOKEN";

#[tokio::test]
#[ignore = "a worker in a separate process, which the next test starts"]
async fn worker_process() {
    let variable = |name: &str| std::env::var(name).expect("started by the next test");
    let agent = Caller::at(variable(SERVER).parse().expect("an address"), Some(variable(TOKEN)));
    let ask = json!({ "skills": ["a"], "wait_seconds": 60, "lease_seconds": 2 });
    let claimed = agent.post("/v1/tasks/claim", ask).await.ok()[0].take();
    writeln!(std::io::stdout(), "\nclaimed {claimed}").expect("a pipe");
    // Renews its lease until it is killed.
    let mut beats = tokio::time::interval(Duration::from_millis(500));
    loop {
        beats.tick().await;
        send(&agent, &claimed, "heartbeat", json!({})).await.ok();
    }
}

#[tokio::test]
async fn task_of_a_killed_worker_is_finished_by_the_next() {
    let app = App::with(|config| config.streams.heartbeat_seconds = 60).await;
    let owner = app.caller(Role::Viewer).await;
    let (first, second) = (app.caller(Role::Agent).await, app.caller(Role::Agent).await);
    let mut worker = Command::new(std::env::current_exe().expect("this program"))
        .args(["tasks::lease::worker_process", "--exact", "--ignored", "--nocapture"])
        .env(SERVER, app.address.to_string())
        .env(TOKEN, first.token.as_deref().expect("a token"))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a process");
    let mut lines = BufReader::new(worker.stdout.take().expect("a pipe")).lines();
    let id = create(&owner, "a").await;
    let claimed: Value = loop {
        let line = soon("claim", lines.next_line()).await.expect("a pipe").expect("no end");
        if let Some(claimed) = line.strip_prefix("claimed ") {
            break serde_json::from_str(claimed).expect("JSON");
        }
    };
    assert_eq!(id_of(&claimed["task"]), id);
    worker.kill().await.expect("a SIGKILL");

    let wait = json!({ "skills": ["a"], "wait_seconds": 60 });
    let newest = second.post("/v1/tasks/claim", wait).await.ok()[0].take();
    assert_eq!((id_of(&newest["task"]), &newest["attempt"]), (id, &json!(2)));
    report(&first, &claimed, 1, "completed").await.problem(409);
    let end = json!({ "seq": 1, "status": "completed", "output": "by the second" });
    send(&second, &newest, "report", end).await.ok();
    report(&first, &claimed, 1, "failed").await.problem(409);
    let task = get(&owner, id).await;
    assert_eq!((&task["status"], &task["output"]), (&json!("completed"), &json!("by the second")));
    app.finish().await;
}
