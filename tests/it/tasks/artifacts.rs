//! Artifacts of tasks, chunk by chunk, and that a subscriber can make the task of its stream.

use entity::{
    artifact::{Column, Entity, Model},
    user::Role,
};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use sea_orm::{EntityTrait, IntoActiveModel, QueryOrder};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    support::{
        app::{Answer, App, Caller, id_of},
        rebuilt::Rebuilt,
        sse::Block,
    },
    tasks::cancel::{cancel, claim, expire, make, read, report, stage, tell, watch},
};

/// What an event does to a task.
pub fn apply(task: &mut Value, event: &Block) {
    if event.event == "task.status" {
        let before = std::mem::replace(task, event.data.clone());
        for kept in ["input", "artifacts"] {
            task[kept] = before[kept].clone();
        }
        return;
    }
    assert_eq!(event.event, "task.artifact");
    let chunk = &event.data;
    task["updated_at"] = chunk["at"].clone();
    let artifacts = task["artifacts"].as_array_mut().expect("artifacts");
    let place = artifacts.iter().position(|known| known["artifact_id"] == chunk["artifact_id"]);
    let place = place.unwrap_or(artifacts.len());
    if place == artifacts.len() {
        artifacts.push(Value::Null);
    }
    let artifact = &mut artifacts[place];
    if chunk["append"] == false {
        *artifact = json!({ "artifact_id": chunk["artifact_id"], "data": chunk["data"] });
    } else if let Some(text) = chunk["data"].as_str() {
        artifact["data"] = json!(format!("{}{text}", artifact["data"].as_str().expect("a text")));
    } else {
        let items = artifact["data"].as_array_mut().expect("an array");
        items.extend(chunk["data"].as_array().expect("an array").iter().cloned());
    }
    for newer in ["name", "last_chunk"] {
        if let Some(value) = chunk.get(newer) {
            artifact[newer] = value.clone();
        }
    }
}

/// Somebody who reports chunks, one after the other.
struct Maker<'a> {
    agent: &'a Caller,
    claimed: Value,
    seq: u64,
}

impl<'a> Maker<'a> {
    async fn of(agent: &'a Caller, skill: &str) -> Self {
        Self { agent, claimed: claim(agent, skill).await, seq: 0 }
    }

    /// Sends a chunk; counts it if it is taken.
    async fn send(&mut self, artifact: Value) -> Answer {
        let body = json!({ "seq": self.seq + 1, "artifact": artifact });
        let answer = tell(self.agent, &self.claimed, "report", body).await;
        self.seq += u64::from(answer.status == 200);
        answer
    }
}

fn chunk(id: &str, data: impl Into<Value>, append: bool) -> Value {
    json!({ "artifact_id": id, "data": data.into(), "append": append })
}

#[tokio::test]
async fn chunks_are_joined_in_order_of_first_appearance_and_begin_anew_in_their_place() {
    let app = App::start().await;
    let (owner, agent) = stage(&app).await;
    let id = make(&owner, "a").await;
    let mut maker = Maker::of(&agent, "a").await;
    for artifact in [
        chunk("text", "It was a \u{1f319} ", false),
        chunk("list", json!([]), false),
        json!({ "artifact_id": "text", "data": "dark ", "append": true, "name": "Text" }),
        chunk("one", json!({ "a": [1, "\0"] }), false),
        chunk("list", json!([1, [2]]), true),
        chunk("text", "", true),
        json!({ "artifact_id": "text", "data": "night", "append": true, "last_chunk": true }),
        chunk("list", json!(["3"]), true),
        chunk("list", json!([]), true),
    ] {
        maker.send(artifact).await.ok();
    }
    let (text, list, one) = (
        json!({
            "artifact_id": "text", "name": "Text", "data": "It was a \u{1f319} dark night",
            "last_chunk": true,
        }),
        json!({ "artifact_id": "list", "data": [1, [2], "3"], "last_chunk": false }),
        json!({ "artifact_id": "one", "data": { "a": [1, "\0"] }, "last_chunk": false }),
    );
    assert_eq!(read(&owner, id).await["artifacts"], json!([text, list, one]));

    // The next attempt finds what is there, and overwrites what it likes.
    tell(&agent, &maker.claimed, "release", json!({})).await.ok();
    let mut next = Maker::of(&agent, "a").await;
    assert_eq!(next.claimed["task"]["artifacts"], json!([text, list, one]));
    next.send(chunk("text", 7, false)).await.ok();
    next.send(chunk("list", json!([4]), true)).await.ok();
    let text = json!({ "artifact_id": "text", "data": 7, "last_chunk": false });
    let list = json!({ "artifact_id": "list", "data": [1, [2], "3", 4], "last_chunk": false });
    let task = read(&owner, id).await;
    assert_eq!(task["artifacts"], json!([text, list, one]));
    let snapshot = watch(&owner, id, "").await.expect("snapshot").await;
    assert_eq!(snapshot.data, json!({ "task": task }));
    app.finish().await;
}

#[tokio::test]
async fn what_does_not_fit_what_is_there_is_not_appended() {
    let app = App::start().await;
    let (owner, agent) = stage(&app).await;
    let id = make(&owner, "a").await;
    let mut maker = Maker::of(&agent, "a").await;
    for (id, data) in [("text", json!("a")), ("list", json!([1])), ("one", json!({}))] {
        maker.send(chunk(id, data, false)).await.ok();
    }
    let before = read(&owner, id).await;
    for (id, data) in [
        ("text", json!(["b"])),
        ("list", json!("b")),
        ("one", json!("b")),
        ("one", json!([])),
        ("other", json!("b")),
    ] {
        maker.send(chunk(id, data, true)).await.problem(409);
    }
    assert_eq!(read(&owner, id).await, before);
    // What was refused has not used up its number.
    maker.send(chunk("text", "b", true)).await.ok();
    app.finish().await;
}

#[tokio::test]
async fn the_artifacts_of_a_task_have_1_mib_at_most_together() {
    let app = App::start().await;
    let (owner, agent) = stage(&app).await;
    let id = make(&owner, "a").await;
    let mut maker = Maker::of(&agent, "a").await;
    // A chunk has 64 KiB at most as JSON.
    let piece = "x".repeat(1 << 15);
    maker.send(chunk("a", "", false)).await.ok();
    for number in 0..24 {
        maker.send(chunk("a", piece.as_str(), number > 0)).await.ok();
    }
    for number in 0..8 {
        // Two bytes each as JSON.
        maker.send(chunk("b", "\n".repeat(1 << 14), number > 0)).await.ok();
    }
    let before = read(&owner, id).await;
    for (name, append) in [("a", true), ("c", false)] {
        let detail = maker.send(chunk(name, "x", append)).await.problem(409);
        assert!(detail.contains("1048576 bytes"), "{detail}");
    }
    assert_eq!(read(&owner, id).await, before);
    // What begins anew makes room.
    maker.send(chunk("b", "x", false)).await.ok();
    maker.send(chunk("c", &piece[1..], false)).await.ok();
    for _ in 0..7 {
        maker.send(chunk("c", piece.as_str(), true)).await.ok();
    }
    maker.send(chunk("c", "x", true)).await.problem(409);
    let detail = maker.send(chunk("d", "x".repeat(65_535), false)).await.problem(400);
    assert!(detail.contains("65536 bytes"), "{detail}");
    let artifacts = read(&owner, id).await["artifacts"].take();
    let lengths = artifacts.as_array().expect("artifacts").iter();
    let lengths: Vec<_> = lengths.map(|one| one["data"].as_str().map(str::len)).collect();
    assert_eq!(lengths, [Some(3 << 18), Some(1), Some((1 << 18) - 1)]);
    let snapshot = watch(&owner, id, "").await.expect("snapshot").await;
    assert_eq!(snapshot.data["task"]["artifacts"], artifacts);
    app.finish().await;
}

#[tokio::test]
async fn a_task_has_1_000_artifacts_at_most() {
    let app = App::start().await;
    let (owner, agent) = stage(&app).await;
    let id = make(&owner, "a").await;
    let mut maker = Maker::of(&agent, "a").await;
    maker.send(chunk("0", "", false)).await.ok();
    let row = Entity::find_by_id((id, 0, 0)).one(app.gateway.database.reader()).await;
    let row = row.expect("a row").expect("the chunk");
    // As if all but one of the others had been sent before.
    let rows = (1..999).map(|place| {
        let row = Model { place, artifact_id: place.to_string(), ..row.clone() };
        row.into_active_model()
    });
    let insert = Entity::insert_many(rows);
    insert.exec_without_returning(app.gateway.database.writer()).await.expect("rows");
    maker.send(chunk("999", "", false)).await.ok();
    let detail = maker.send(chunk("1000", "", false)).await.problem(409);
    assert!(detail.contains("1000 artifacts"), "{detail}");
    maker.send(chunk("999", "x", true)).await.ok();
    app.finish().await;
}

#[tokio::test]
async fn many_small_chunks_are_few_rows_and_large_ones_are_not_written_again() {
    let app = App::start().await;
    let (owner, agent) = stage(&app).await;
    let id = make(&owner, "a").await;
    let mut maker = Maker::of(&agent, "a").await;
    let (mut text, mut items) = (String::new(), Vec::new());
    for number in 0..40 {
        let (more, item) = (format!("\u{1f319}\n{number}").repeat(20), json!([number, "\0", []]));
        maker.send(chunk("text", more.as_str(), number > 0)).await.ok();
        maker.send(chunk("list", json!([item]), number > 0)).await.ok();
        text.push_str(&more);
        items.push(item);
    }
    let large = "x".repeat(5_000);
    for _ in 0..2 {
        maker.send(chunk("text", large.as_str(), true)).await.ok();
        text.push_str(&large);
    }
    let artifacts = read(&owner, id).await["artifacts"].take();
    assert_eq!((&artifacts[0]["data"], &artifacts[1]["data"]), (&json!(text), &json!(items)));
    let rows = Entity::find().order_by_asc(Column::Place).order_by_asc(Column::Chunk);
    let rows = rows.all(app.gateway.database.reader()).await.expect("rows");
    let parts = |place: i32| rows.iter().filter(move |row| row.place == place);
    let sizes: Vec<_> = parts(0).map(|row| row.data.value().as_str().map(str::len)).collect();
    assert_eq!(parts(1).count(), 1);
    assert!(sizes.len() == 4 && sizes[2..] == [Some(5_000); 2], "{sizes:?}");
    app.finish().await;
}

/// What one does to a task, whether or not it may be done.
#[derive(Clone, Debug)]
enum Deed {
    Claim,
    Beat,
    Note,
    Chunk {
        artifact: u8,
        text: bool,
        append: bool,
    },
    Again,
    Release,
    /// The lease runs out.
    Lapse,
    Cancel,
    End(&'static str),
    /// Somebody begins to watch.
    Watch,
}

fn deeds() -> impl Strategy<Value = Vec<(usize, Deed)>> {
    let chunk = (0..3_u8, any::<bool>(), any::<bool>());
    let deed = prop_oneof![
        8 => Just(Deed::Claim),
        1 => Just(Deed::Beat),
        2 => Just(Deed::Note),
        12 => chunk.prop_map(|(artifact, text, append)| Deed::Chunk { artifact, text, append }),
        2 => Just(Deed::Again),
        1 => Just(Deed::Release),
        1 => Just(Deed::Lapse),
        1 => Just(Deed::Cancel),
        1 => prop_oneof![Just("completed"), Just("failed"), Just("cancelled")].prop_map(Deed::End),
        2 => Just(Deed::Watch),
    ];
    prop::collection::vec((0..3_usize, deed), 20..60)
}

/// A task of the client's, and who watches it.
struct Played {
    skill: String,
    id: Uuid,
    claimed: Value,
    seq: u64,
    last: Value,
    watchers: Vec<Rebuilt>,
}

impl Played {
    async fn new(owner: &Caller) -> Self {
        let skill = Uuid::new_v4().to_string();
        let id = make(owner, &skill).await;
        let claimed = json!({ "task": { "id": id }, "lease_token": Uuid::new_v4() });
        let last = json!({ "seq": 1, "status": "running" });
        Self { skill, id, claimed, seq: 0, last, watchers: Vec::new() }
    }

    async fn report(&mut self, agent: &Caller, mut body: Value) {
        body["seq"] = json!(self.seq + 1);
        let answer = tell(agent, &self.claimed, "report", body.clone()).await;
        if answer.status == 200 {
            self.seq += 1;
            self.last = body;
        }
    }

    async fn play(&mut self, deed: &Deed, app: &App, [owner, agent]: [&Caller; 2]) {
        match deed {
            Deed::Claim => {
                let claimed = claim(agent, &self.skill).await;
                if !claimed.is_null() {
                    (self.claimed, self.seq) = (claimed, 0);
                }
            }
            Deed::Beat => drop(tell(agent, &self.claimed, "heartbeat", json!({})).await),
            Deed::Note => self.report(agent, json!({ "status": "running" })).await,
            Deed::Chunk { artifact, text, append } => {
                let data = if *text { json!(format!("{} ", self.seq)) } else { json!([self.seq]) };
                let mut artifact = chunk(&artifact.to_string(), data, *append);
                if self.seq.is_multiple_of(3) {
                    artifact["name"] = json!(format!("name {}", self.seq));
                }
                self.report(agent, json!({ "artifact": artifact })).await;
            }
            Deed::Again => drop(tell(agent, &self.claimed, "report", self.last.clone()).await),
            Deed::Release => drop(tell(agent, &self.claimed, "release", json!({})).await),
            Deed::Lapse => {
                if read(owner, self.id).await["status"] == "running" {
                    expire(app, owner, self.id).await;
                }
            }
            Deed::Cancel => drop(cancel(owner, self.id).await),
            Deed::End(status) => drop(report(agent, &self.claimed, self.seq + 1, status).await),
            Deed::Watch => {
                self.watchers.push(Rebuilt::from(watch(owner, self.id, "").await, "/task").await);
            }
        }
    }
}

#[tokio::test]
async fn whatever_workers_do_in_whatever_order_a_subscriber_can_make_the_task_of_its_stream() {
    let app = App::with(|config| config.limits.streams_per_user = 1_000).await;
    let owner = app.caller(Role::Viewer).await;
    let agent = app.caller(Role::Agent).await;
    let mut runner = TestRunner::default();
    let (mut events, mut artifacts) = (0, 0);
    for _ in 0..24 {
        let deeds = deeds().new_tree(&mut runner).expect("deeds").current();
        let mut tasks = Vec::new();
        for _ in 0..3 {
            let mut task = Played::new(&owner).await;
            task.play(&Deed::Watch, &app, [&owner, &agent]).await;
            tasks.push(task);
        }
        for (task, deed) in &deeds {
            tasks[*task].play(deed, &app, [&owner, &agent]).await;
        }
        for task in &mut tasks {
            let shown = read(&owner, task.id).await;
            assert_eq!(id_of(&shown), task.id);
            artifacts += shown["artifacts"].as_array().map_or(0, Vec::len);
            for watcher in &mut task.watchers {
                watcher.catch_up(&owner, &format!("/v1/tasks/{}/events", task.id), apply).await;
                assert_eq!(watcher.state, shown, "{deeds:?}");
                events += watcher.events;
            }
        }
    }
    assert!(events > 100 && artifacts > 20, "{events} events, {artifacts} artifacts");
    app.finish().await;
}
