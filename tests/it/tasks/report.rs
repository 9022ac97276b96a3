//! Workers of tasks: what they are given, how they report, and what becomes of the task of one that is
//! late, or gone.

use std::{collections::BTreeSet, io::Write, process::Stdio, time::Duration};

use entity::{Timestamp, user::Role};
use futures_util::future::join_all;
use sea_orm::{EntityTrait, prelude::Expr};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};
use uuid::Uuid;

use crate::{
    support::app::{App, Caller, id_of, soon, until},
    tasks::cancel::{cancel, claim, expire, make, read, report, run_out, stage, tell, watch},
    waiting_claims::WAITING,
};

#[tokio::test]
async fn workers_are_given_the_oldest_tasks_of_their_skills_each_under_a_lease_of_its_own() {
    let app = App::start().await;
    let (owner, agent) = stage(&app).await;
    let mut made = Vec::new();
    for task_type in ["a", "b", "c", "a", "b"] {
        made.push(make(&owner, task_type).await);
    }
    let ask = |skills: Value, max: u64| {
        let claim = json!({ "skills": skills, "max": max, "lease_seconds": 600 });
        agent.post("/v1/tasks/claim", claim)
    };
    for nothing in [json!(["d"]), json!(["A", "a."])] {
        let answer = ask(nothing, 50).await;
        assert_eq!(answer.ok(), json!([]));
    }
    let two = ask(json!(["b", "a", "b"]), 2).await.ok();
    let rest = ask(json!(["b", "a"]), 50).await.ok();
    let claimed = [two.as_array(), rest.as_array()].map(|list| list.expect("a list").clone());
    let ids = |list: &[Value]| list.iter().map(|one| id_of(&one["task"])).collect::<Vec<_>>();
    assert_eq!(
        claimed.each_ref().map(|list| ids(list)),
        [vec![made[0], made[1]], vec![made[3], made[4]]]
    );
    assert_eq!(ask(json!(["b", "a"]), 50).await.ok(), json!([]));
    let tokens: BTreeSet<_> =
        claimed.iter().flatten().map(|one| one["lease_token"].to_string()).collect();
    assert_eq!(tokens.len(), 4);
    for one in claimed.iter().flatten() {
        assert_eq!(one["task"], read(&owner, id_of(&one["task"])).await, "the whole task");
        assert_eq!((&one["attempt"], &one["task"]["attempt"]), (&json!(1), &json!(1)));
        assert_eq!(one["task"]["input"], json!({ "number": 7 }));
    }
    for body in [
        json!({}),
        json!({ "skills": [] }),
        json!({ "skills": "a" }),
        json!({ "skills": ["a\0"] }),
        json!({ "skills": vec!["a"; 101] }),
        json!({ "skills": ["a"], "max": 0 }),
        json!({ "skills": ["a"], "max": 51 }),
        json!({ "skills": ["a"], "wait_seconds": 61 }),
        json!({ "skills": ["a"], "lease_seconds": 0 }),
        json!({ "skills": ["a"], "lease_seconds": 3_601 }),
    ] {
        agent.post("/v1/tasks/claim", body).await.problem(400);
    }
    app.finish().await;
}

#[tokio::test]
async fn workers_that_race_never_get_the_same_task() {
    let app = App::start().await;
    let (owner, agent) = stage(&app).await;
    let mut made = Vec::new();
    for _ in 0..30 {
        made.push(make(&owner, "a").await);
    }
    let claims = (0..20).map(|worker| {
        agent.post("/v1/tasks/claim", json!({ "skills": ["a"], "max": 1 + worker % 2 }))
    });
    let claims = join_all(claims).await;
    let claimed = claims.into_iter().filter(|answer| answer.status == 200);
    let claimed = claimed.flat_map(|answer| answer.body.as_array().cloned().expect("a list"));
    let mut held: Vec<_> = claimed.map(|one| id_of(&one["task"])).collect();
    // Who finds a task locked takes another one, so some may be left.
    while let one @ Value::Object(_) = claim(&agent, "a").await {
        held.push(id_of(&one["task"]));
    }
    held.sort_unstable();
    assert_eq!(held, made, "each once");
    app.finish().await;
}

#[tokio::test]
async fn who_waits_for_a_task_gets_it_when_it_is_made_given_back_or_lost() {
    let app = App::with(|config| config.streams.heartbeat_seconds = 60).await;
    let (owner, agent) = stage(&app).await;
    let mut claimed = Value::Null;
    let mut id = Uuid::nil();
    for round in 1..=3 {
        let waiting = tokio::spawn({
            let agent = agent.clone();
            let wait = json!({ "skills": ["a"], "wait_seconds": 60 });
            async move { agent.post("/v1/tasks/claim", wait).await.ok()[0].take() }
        });
        until("claim that waits", async || app.metric(WAITING) > 0.0).await;
        match round {
            1 => id = make(&owner, "a").await,
            2 => drop(tell(&agent, &claimed, "release", json!({})).await.ok()),
            _ => {
                expire(&app, &owner, id).await;
            }
        }
        claimed = soon("work", waiting).await.expect("no panic");
        assert_eq!((id_of(&claimed["task"]), &claimed["attempt"]), (id, &json!(round)));
    }
    app.finish().await;
}

#[tokio::test]
async fn a_heartbeat_and_a_report_extend_the_lease_by_its_length() {
    use entity::task::{Column, Entity};
    let app = App::start().await;
    let (owner, agent) = stage(&app).await;
    let id = make(&owner, "a").await;
    let ask = json!({ "skills": ["a"], "lease_seconds": 600 });
    let claimed = agent.post("/v1/tasks/claim", ask).await.ok()[0].take();
    for (what, body) in [
        ("heartbeat", json!({})),
        ("report", json!({ "seq": 1, "status": "running" })),
        ("report", json!({ "seq": 2, "artifact": { "artifact_id": "a", "data": 1 } })),
    ] {
        // As if most of it were over.
        let soon = Timestamp::now() + Duration::from_mins(1);
        let shorter = Entity::update_many().col_expr(Column::LeaseExpiresAt, Expr::value(soon));
        shorter.exec(app.gateway.database.writer()).await.expect("an update");
        let answer = tell(&agent, &claimed, what, body).await.ok();
        let row = Entity::find_by_id(id).one(app.gateway.database.reader()).await;
        let until = row.expect("a row").expect("the task").lease_expires_at.expect("a lease");
        let left = until.since(soon).as_secs();
        assert!((539..600).contains(&left), "{what}: {left} s more");
        if what == "heartbeat" {
            assert!(answer["lease_expires_at"].as_str() > claimed["lease_expires_at"].as_str());
        }
    }
    app.finish().await;
}

#[tokio::test]
async fn a_report_that_is_sent_again_changes_nothing_and_one_that_skips_is_told_what_is_expected() {
    let app = App::start().await;
    let (owner, agent) = stage(&app).await;
    let id = make(&owner, "a").await;
    let path = format!("/v1/tasks/{id}/events");
    let claimed = claim(&agent, "a").await;
    let chunk = |seq: u64, text: &str| {
        let artifact = json!({ "artifact_id": "a", "data": text, "append": seq > 1 });
        tell(&agent, &claimed, "report", json!({ "seq": seq, "artifact": artifact }))
    };
    let expect = async |seq: u64, expected: u64| {
        let answer = chunk(seq, "skips").await;
        assert_eq!(answer.body["expected_seq"], expected);
        answer.problem(409);
    };
    expect(2, 1).await;
    let first = chunk(1, "one ").await.ok();
    assert_eq!(chunk(1, "again").await.ok(), first);
    expect(3, 2).await;
    chunk(2, "two").await.ok();
    assert_eq!(chunk(1, "again").await.ok()["artifacts"][0]["data"], "one two");
    // A stale lease does not learn what is expected.
    let mut foreign = claimed.clone();
    foreign["lease_token"] = json!(Uuid::new_v4());
    for seq in [1, 3, 9] {
        let answer = report(&agent, &foreign, seq, "running").await;
        assert_eq!(answer.body.get("expected_seq"), None);
        answer.problem(409);
    }
    let end = json!({ "seq": 3, "status": "completed", "output": { "a": 1 } });
    let ended = tell(&agent, &claimed, "report", end.clone()).await.ok();
    assert_eq!(ended["output"], json!({ "a": 1 }));
    let log = owner.get(&path).await.ok();
    assert_eq!(tell(&agent, &claimed, "report", end).await.ok(), ended);
    assert_eq!(chunk(2, "again").await.ok(), ended);
    assert_eq!(report(&agent, &claimed, 4, "running").await.body.get("expected_seq"), None);
    assert_eq!(owner.get(&path).await.ok(), log, "no event, no change");
    // The next attempt counts from 1 again.
    make(&owner, "b").await;
    let claimed = claim(&agent, "b").await;
    report(&agent, &claimed, 1, "running").await.ok();
    tell(&agent, &claimed, "release", json!({})).await.ok();
    let newest = claim(&agent, "b").await;
    report(&agent, &claimed, 1, "running").await.problem(409);
    report(&agent, &newest, 1, "running").await.ok();
    app.finish().await;
}

#[tokio::test]
async fn a_report_says_what_fits_its_status_and_no_more() {
    let app = App::start().await;
    let (owner, agent) = stage(&app).await;
    let id = make(&owner, "a").await;
    let claimed = claim(&agent, "a").await;
    let artifact = |data: Value, append: bool| json!({ "seq": 1, "artifact": { "artifact_id": "a", "data": data, "append": append } });
    let mut no_data = artifact(json!(1), false);
    no_data["artifact"].as_object_mut().expect("an object").remove("data");
    for body in [
        json!({ "seq": 1 }),
        json!({ "seq": 0, "status": "running" }),
        json!({ "status": "running" }),
        json!({ "seq": 1, "status": "pending" }),
        json!({ "seq": 1, "status": "running", "output": 1 }),
        json!({ "seq": 1, "status": "failed", "output": 1 }),
        json!({ "seq": 1, "status": "completed", "error": "no" }),
        json!({ "seq": 1, "status": "failed", "error": "x".repeat(4_001) }),
        json!({ "seq": 1, "status": "failed", "error": "\0" }),
        json!({ "seq": 1, "status": "completed", "output": "x".repeat(65_535) }),
        json!({ "seq": 1, "error": "no", "artifact": { "artifact_id": "a", "data": 1 } }),
        json!({ "seq": 1, "artifact": { "artifact_id": "", "data": 1 } }),
        json!({ "seq": 1, "artifact": { "artifact_id": "a\n", "data": 1 } }),
        artifact(Value::Null, false),
        artifact(json!({}), true),
        artifact(json!(1), true),
        no_data,
    ] {
        tell(&agent, &claimed, "report", body).await.problem(400);
    }
    let page = owner.get(&format!("/v1/tasks/{id}/events")).await.ok();
    assert_eq!(page["events"].as_array().map(Vec::len), Some(1), "the claim");
    let output = json!({ "seq": 1, "status": "completed", "output": "x".repeat(65_534) });
    tell(&agent, &claimed, "report", output).await.ok();
    make(&owner, "a").await;
    let claimed = claim(&agent, "a").await;
    let error = json!({ "seq": 1, "status": "failed", "error": "ä".repeat(4_000) });
    assert_eq!(tell(&agent, &claimed, "report", error).await.ok()["error"], "ä".repeat(4_000));
    app.finish().await;
}

#[tokio::test]
async fn leases_that_run_out_use_up_the_attempts_and_a_task_given_back_has_lost_none() {
    let app = App::with(|config| config.streams.heartbeat_seconds = 60).await;
    let (owner, agent) = stage(&app).await;
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
            // Nobody has looked at the lease yet.
            for (what, body) in [
                ("heartbeat", json!({})),
                ("release", json!({})),
                ("report", json!({ "seq": 1, "status": "completed" })),
            ] {
                let detail = tell(&agent, &claimed, what, body).await.problem(409);
                assert!(detail.contains("run out"), "{detail}");
            }
            expire(&app, &owner, id).await;
        } else {
            tell(&agent, &claimed, "release", json!({})).await.ok();
        }
        let told = reader.expect("task.status").await.data;
        assert_eq!((&told["status"], &told["attempt"]), (&json!(then), &json!(attempt)));
        assert_eq!(told["error"].is_string(), then == "failed", "{told}");
        for what in ["heartbeat", "release"] {
            tell(&agent, &claimed, what, json!({})).await.problem(409);
        }
        report(&agent, &claimed, 1, "completed").await.problem(409);
    }
    reader.expect("stream.closed").await;
    reader.expect_end().await;
    assert_eq!(claim(&agent, "a").await, Value::Null);
    // One that is to be cancelled does not go back.
    let id = make(&owner, "a").await;
    let claimed = claim(&agent, "a").await;
    cancel(&owner, id).await.ok();
    assert_eq!(expire(&app, &owner, id).await["status"], "cancelled");
    report(&agent, &claimed, 1, "completed").await.problem(409);
    app.finish().await;
}

#[tokio::test]
async fn a_stream_is_a_snapshot_what_happens_and_an_end_and_goes_on_where_it_was_left() {
    let app = App::start().await;
    let (owner, agent) = stage(&app).await;
    let id = make(&owner, "a").await;
    let mut early = watch(&owner, id, "").await;
    let mut reader = watch(&owner, id, "").await;
    let made = json!({ "task": read(&owner, id).await });
    assert_eq!(early.expect("snapshot").await.data, made);
    let snapshot = reader.expect("snapshot").await;
    let claimed = claim(&agent, "a").await;
    let mut state = claimed["task"].clone();
    for part in ["input", "artifacts"] {
        state.as_object_mut().expect("an object").remove(part);
    }
    assert_eq!(early.expect("task.status").await.data, state);
    // One leaves; the other misses nothing.
    drop(early);
    assert_eq!(reader.expect("task.status").await.data, state);
    let artifact = json!({
        "artifact_id": "a", "name": "A", "data": "\u{2028}", "last_chunk": true,
    });
    let last = json!({ "seq": 1, "status": "completed", "output": 7, "artifact": artifact });
    let ended = tell(&agent, &claimed, "report", last).await.ok();
    assert_eq!(ended["artifacts"], json!([artifact]));
    let chunk = reader.expect("task.artifact").await;
    let expected = json!({
        "task_id": id, "attempt": 1, "seq": 1, "artifact_id": "a", "name": "A", "data": "\u{2028}",
        "append": false, "last_chunk": true, "at": ended["updated_at"],
    });
    assert_eq!(chunk.data, expected);
    assert!(chunk.text.contains(r#""data":"\u2028""#), "{}", chunk.text);
    let status = reader.expect("task.status").await;
    assert_eq!((&status.data["status"], &status.data["output"]), (&json!("completed"), &json!(7)));
    assert_eq!(reader.expect("stream.closed").await.data, json!({ "reason": "completed" }));
    reader.expect_end().await;

    let at = |id: &Option<String>| format!("last_event_id={}", id.as_ref().expect("an id"));
    let whole: Vec<_> = reader.seen.split_inclusive("\n\n").map(str::to_owned).collect();
    let mut resumed = watch(&owner, id, &at(&snapshot.id)).await;
    for kind in ["task.status", "task.artifact", "task.status"] {
        let text = resumed.expect(kind).await.text;
        assert!(whole.contains(&text), "the same bytes: {text}");
    }
    resumed.expect("stream.closed").await;
    let mut late = watch(&owner, id, "").await;
    let last = late.expect("snapshot").await;
    assert_eq!((&last.id, &last.data), (&status.id, &json!({ "task": ended })));
    late.expect("stream.closed").await;
    assert_eq!(watch(&owner, id, &at(&status.id)).await.status(), 204);
    app.finish().await;
}

/// The variables that make a worker of this test: where to call, and with which token.
const SERVER: &str = "TEST_WORKER_SERVER";

const TOKEN: &str = "TEST_WORKER_TOKEN";

#[tokio::test]
#[ignore = "a worker in a process of its own, which the next test starts"]
async fn a_worker() {
    let variable = |name: &str| std::env::var(name).expect("started by the next test");
    let agent = Caller::at(variable(SERVER).parse().expect("an address"), Some(variable(TOKEN)));
    let ask = json!({ "skills": ["a"], "wait_seconds": 60, "lease_seconds": 2 });
    let claimed = agent.post("/v1/tasks/claim", ask).await.ok()[0].take();
    writeln!(std::io::stdout(), "\nclaimed {claimed}").expect("a pipe");
    // Works for as long as it lives.
    let mut beats = tokio::time::interval(Duration::from_millis(500));
    loop {
        beats.tick().await;
        tell(&agent, &claimed, "heartbeat", json!({})).await.ok();
    }
}

#[tokio::test]
async fn the_task_of_a_worker_that_is_killed_is_finished_by_the_next_and_its_late_report_refused() {
    let app = App::with(|config| config.streams.heartbeat_seconds = 60).await;
    let owner = app.caller(Role::Viewer).await;
    let (first, second) = (app.caller(Role::Agent).await, app.caller(Role::Agent).await);
    let mut worker = Command::new(std::env::current_exe().expect("this program"))
        .args(["tasks::report::a_worker", "--exact", "--ignored", "--nocapture"])
        .env(SERVER, app.address.to_string())
        .env(TOKEN, first.token.as_deref().expect("a token"))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a process");
    let mut lines = BufReader::new(worker.stdout.take().expect("a pipe")).lines();
    let id = make(&owner, "a").await;
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
    tell(&second, &newest, "report", end).await.ok();
    report(&first, &claimed, 1, "failed").await.problem(409);
    let task = read(&owner, id).await;
    assert_eq!((&task["status"], &task["output"]), (&json!("completed"), &json!("by the second")));
    app.finish().await;
}
