//! Users as an administrator looks after them.

use entity::{
    Timestamp,
    user::{self, Role},
};
use reqwest::Method;
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::{
    auth::access_token::{bearer, invalid_token},
    support::app::{Answer, App, Caller, PASSWORD, PATIENCE, id_of},
};

async fn change(admin: &Caller, id: Uuid, change: Value) -> Answer {
    admin.call(Method::PATCH, &format!("/v1/users/{id}"), Some(change)).await
}

async fn delete(admin: &Caller, id: Uuid) -> Answer {
    admin.call(Method::DELETE, &format!("/v1/users/{id}"), None).await
}

async fn id_of_caller(caller: &Caller) -> Uuid {
    id_of(&caller.get("/v1/auth/me").await.ok())
}

#[tokio::test]
async fn a_user_is_made_read_listed_changed_and_deleted() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let new = json!({ "username": "ada.l-1_x", "password": PASSWORD, "role": "agent" });
    let answer = admin.post("/v1/users", new).await;
    assert_eq!(answer.status, 201);
    let ada = answer.ok();
    let id = id_of(&ada);
    let created_at = ada["created_at"].clone();
    let at = OffsetDateTime::parse(created_at.as_str().expect("text"), &Rfc3339).expect("a time");
    assert!(Timestamp::now().since(Timestamp::from_datetime(at)) < PATIENCE, "{at}");
    let expected = json!({
        "id": id, "username": "ada.l-1_x", "role": "agent", "disabled": false,
        "created_at": created_at,
    });
    assert_eq!(ada, expected, "and no hash");
    let path = format!("/v1/users/{id}");
    assert_eq!(admin.get(&path).await.ok(), ada);
    app.log_in("ada.l-1_x").await.get("/v1/auth/me").await.ok();

    let changed = change(&admin, id, json!({ "role": "operator", "disabled": true })).await.ok();
    assert_eq!((&changed["role"], &changed["disabled"]), (&json!("operator"), &json!(true)));
    assert_eq!(change(&admin, id, json!({})).await.ok(), changed, "what is absent stays");
    assert_eq!(admin.get(&path).await.ok(), changed);

    let answer = delete(&admin, id).await;
    assert_eq!((answer.status.as_u16(), &answer.body), (204, &json!("")));
    for answer in [
        admin.get(&path).await,
        delete(&admin, id).await,
        change(&admin, id, json!({ "disabled": true })).await,
        admin.call(Method::POST, &format!("{path}/revoke"), None).await,
    ] {
        answer.problem(404);
    }
    app.finish().await;
}

#[tokio::test]
async fn the_list_of_users_comes_page_by_page_oldest_first() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    for name in ["b", "a", "d", "c"] {
        let made = app.gateway.users.create(name, PASSWORD.to_owned(), Role::Viewer).await;
        made.expect("a user");
    }
    let mut names = Vec::new();
    let mut path = "/v1/users?limit=2".to_owned();
    let pages = loop {
        let page = admin.get(&path).await.ok();
        let items = page["items"].as_array().expect("items");
        names.extend(items.iter().map(|user| user["username"].as_str().expect("text").to_owned()));
        match page.get("next").and_then(Value::as_str) {
            Some(next) => path = format!("/v1/users?limit=2&after={next}"),
            None => break names.len().div_ceil(2),
        }
        assert_eq!(items.len(), 2);
        assert!(names.len() < 10, "{names:?}");
    };
    assert_eq!((names.join(" ").as_str(), pages), ("admin b a d c", 3));
    app.finish().await;
}

#[tokio::test]
async fn a_name_is_given_once_and_only_of_the_documented_characters() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let make = async |name: &str, password: &str| {
        let new = json!({ "username": name, "password": password, "role": "viewer" });
        admin.post("/v1/users", new).await
    };
    make("ada", PASSWORD).await.ok();
    assert_eq!(make("ada", PASSWORD).await.problem(409), "there is a user of this name already");
    assert_eq!(make("admin", PASSWORD).await.status, 409);
    let long = "a".repeat(65);
    for name in ["", "Ada", "a da", "a\0", "a\n", "ä", "a/b", "ada\u{200b}", &long] {
        make(name, PASSWORD).await.problem(400);
    }
    for password in ["", "7 chars", &"p".repeat(1_025)] {
        make("bob", password).await.problem(400);
    }
    make(&long[..64], &"p".repeat(1_024)).await.ok();
    // Many at once: one gets the name.
    let answers = futures_util::future::join_all((0..8).map(|_| make("eve", PASSWORD))).await;
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    let count = |status| statuses.iter().filter(|found| **found == status).count();
    assert_eq!((count(201), count(409)), (1, 7), "{statuses:?}");
    app.finish().await;
}

/// Text as JSON with every character escaped: the longest way to write it.
fn escaped(text: &str) -> String {
    let units: Vec<String> = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    units.concat()
}

#[tokio::test]
async fn a_password_has_one_limit_in_bytes_wherever_it_is_sent() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let log_in = |name: &str, password: &str| {
        let fields = [("username", name), ("password", password)];
        let fields =
            fields.map(|(key, text)| format!("\"{}\":\"{}\"", escaped(key), escaped(text)));
        let request = app.anyone().request(Method::POST, "/v1/auth/login");
        let request = request.header("content-type", "application/json");
        Caller::answer(request.body(format!("{{{}}}", fields.join(","))))
    };
    for (letter, most) in [("p", 1_024), ("é", 512), ("語", 341), ("😀", 256)] {
        let (fits, long) = (letter.repeat(most), letter.repeat(most + 1));
        let name = format!("{most:064}");
        let new =
            |password: &str| json!({ "username": name, "password": password, "role": "viewer" });
        admin.post("/v1/users", new(&long)).await.problem(400);
        let id = id_of(&admin.post("/v1/users", new(&fits)).await.ok());
        log_in(&name, &fits).await.ok();
        let detail = log_in(&name, &long).await.problem(400);
        assert!(detail.contains("password"), "{detail}");
        change(&admin, id, json!({ "password": long })).await.problem(400);
        change(&admin, id, json!({ "password": fits })).await.ok();
        let users = &app.gateway.users;
        let made = users.create("by-hand", long.clone(), Role::Viewer).await;
        assert!(made.is_err(), "{letter}");
    }
    // The first administrator's password comes another way.
    let database = &app.gateway.database;
    user::Entity::delete_many().exec(database.writer()).await.expect("nobody left");
    for password in ["é".repeat(513), "7 chars".to_owned()] {
        assert!(app.gateway.users.bootstrap(Some(password)).await.is_err());
    }
    app.finish().await;
}

#[tokio::test]
async fn only_an_administrator_looks_after_users() {
    let app = App::start().await;
    for role in [Role::Viewer, Role::Agent, Role::Operator] {
        let caller = app.caller(role).await;
        let own = id_of_caller(&caller).await;
        // Not even oneself.
        let detail = caller.get(&format!("/v1/users/{own}")).await.problem(403);
        assert_eq!(detail, "this operation requires the role admin");
        change(&caller, own, json!({ "role": "admin" })).await.problem(403);
        caller.get("/v1/users").await.problem(403);
    }
    app.finish().await;
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let id = id_of_caller(&admin).await;
    let guarded = async || {
        for answer in [
            delete(&admin, id).await,
            change(&admin, id, json!({ "disabled": true })).await,
            change(&admin, id, json!({ "role": "operator" })).await,
            change(&admin, id, json!({ "role": "viewer", "disabled": true })).await,
        ] {
            let expected =
                "the last administrator cannot be removed, disabled or given another role";
            assert_eq!(answer.problem(409), expected);
        }
    };
    guarded().await;
    // Others who could not take over: one of a lower role, one who is kept out.
    app.caller(Role::Operator).await;
    let second = app.caller(Role::Admin).await;
    let second_id = id_of_caller(&second).await;
    change(&admin, second_id, json!({ "disabled": true })).await.ok();
    guarded().await;
    // What takes nothing away is allowed.
    change(&admin, id, json!({ "role": "admin", "disabled": false })).await.ok();
    change(&admin, second_id, json!({ "disabled": false })).await.ok();
    change(&admin, id, json!({ "role": "viewer" })).await.ok();
    let second = {
        let me = app.gateway.users.find(second_id).await.expect("a user");
        app.log_in(&me.username).await
    };
    assert_eq!(delete(&second, second_id).await.status, 409);
    app.finish().await;
}

#[tokio::test]
async fn two_administrators_cannot_remove_each_other_at_the_same_time() {
    let app = App::start().await;
    let mut survivor = app.log_in("admin").await;
    for round in 0..4 {
        let rival = app.caller(Role::Admin).await;
        let (own, other) = (id_of_caller(&survivor).await, id_of_caller(&rival).await);
        let (first, second) = if round % 2 == 0 {
            tokio::join!(delete(&survivor, other), delete(&rival, own))
        } else {
            let demote = json!({ "role": "viewer" });
            tokio::join!(change(&survivor, other, demote.clone()), change(&rival, own, demote))
        };
        let won = [first.status.is_success(), second.status.is_success()];
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "{first:?} {second:?}");
        if won[1] {
            survivor = rival;
        }
        survivor.get("/v1/users").await.ok();
    }
    app.finish().await;
}

#[tokio::test]
async fn a_new_password_ends_the_sessions_that_the_old_one_opened() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let made = app.gateway.users.create("ada", PASSWORD.to_owned(), Role::Viewer).await;
    let id = made.expect("a user").id;
    let (pair, caller) = (app.tokens("ada").await, app.log_in("ada").await);
    change(&admin, id, json!({ "password": "another password" })).await.ok();
    assert_eq!(invalid_token(caller.get("/v1/auth/me").await), "the login session has ended");
    let refresh = json!({ "refresh_token": pair["refresh_token"] });
    invalid_token(app.anyone().post("/v1/auth/refresh", refresh).await);
    let login = |password: &str| json!({ "username": "ada", "password": password });
    invalid_token(app.anyone().post("/v1/auth/login", login(PASSWORD)).await);
    app.anyone().post("/v1/auth/login", login("another password")).await.ok();
    app.finish().await;
}

#[tokio::test]
async fn enabling_a_user_again_revives_nothing() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let topology = app.active_topology(&admin).await;
    let made = app.gateway.users.create("ada", PASSWORD.to_owned(), Role::Operator).await;
    let id = made.expect("a user").id;
    let pair = app.tokens("ada").await;
    let caller = bearer(&app, pair["access_token"].as_str().expect("a token"));
    let wanted = json!({ "family": "topology", "id": topology });
    let minted = caller.post("/v1/stream-tokens", wanted).await.ok();
    let url = minted["url"].as_str().expect("a URL");
    for disabled in [true, false, true, false] {
        change(&admin, id, json!({ "disabled": disabled })).await.ok();
        let detail = if disabled { "the user is disabled" } else { "the login session has ended" };
        let refresh = json!({ "refresh_token": pair["refresh_token"] });
        for answer in [
            caller.get("/v1/auth/me").await,
            app.anyone().post("/v1/auth/refresh", refresh).await,
            app.anyone().get(url).await,
        ] {
            assert_eq!(invalid_token(answer), detail);
        }
    }
    app.log_in("ada").await.get("/v1/auth/me").await.ok();
    app.finish().await;
}

#[tokio::test]
async fn a_change_counts_from_the_next_request_on() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let caller = app.caller(Role::Viewer).await;
    let id = id_of_caller(&caller).await;
    caller.get("/v1/users").await.problem(403);
    change(&admin, id, json!({ "role": "admin" })).await.ok();
    caller.get("/v1/users").await.ok();
    change(&admin, id, json!({ "role": "viewer" })).await.ok();
    caller.get("/v1/users").await.problem(403);
    change(&admin, id, json!({ "disabled": true })).await.ok();
    assert_eq!(invalid_token(caller.get("/v1/auth/me").await), "the user is disabled");
    change(&admin, id, json!({ "disabled": false })).await.ok();
    assert_eq!(invalid_token(caller.get("/v1/auth/me").await), "the login session has ended");
    let name = app.gateway.users.find(id).await.expect("a user").username;
    let caller = app.log_in(&name).await;
    admin.call(Method::POST, &format!("/v1/users/{id}/revoke"), None).await.ok();
    assert_eq!(invalid_token(caller.get("/v1/auth/me").await), "the login session has ended");
    delete(&admin, id).await.ok();
    assert_eq!(invalid_token(caller.get("/v1/auth/me").await), "the login session has ended");
    app.finish().await;
}

#[tokio::test]
async fn the_first_start_makes_one_administrator_and_later_ones_none() {
    let app = App::start().await;
    assert_eq!(app.gateway.first_password, None, "a password that was given is not shown");
    let users = &app.gateway.users;
    assert_eq!(users.bootstrap(Some("another password".to_owned())).await.expect("a look"), None);
    assert_eq!(users.bootstrap(None).await.expect("a look"), None);
    app.log_in("admin").await.get("/v1/users").await.ok();

    // An empty database again, and two processes that start on it at once.
    let database = &app.gateway.database;
    user::Entity::delete_many().exec(database.writer()).await.expect("nobody left");
    let (one, other) = tokio::join!(users.bootstrap(None), users.bootstrap(None));
    let shown: Vec<_> =
        [one, other].into_iter().filter_map(|made| made.expect("a start")).collect();
    let [password] = shown.as_slice() else { panic!("{} passwords", shown.len()) };
    assert_eq!(user::Entity::find().count(database.reader()).await.expect("a count"), 1);
    let login = json!({ "username": "admin", "password": password });
    let pair = app.anyone().post("/v1/auth/login", login).await.ok();
    assert!(password.len() >= 16, "a password that was made up is long");
    let admin = bearer(&app, pair["access_token"].as_str().expect("a token"));
    assert_eq!(admin.get("/v1/auth/me").await.ok()["role"], "admin");
    app.finish().await;
}
