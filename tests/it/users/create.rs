//! `POST /v1/users`, and the first administrator.

use entity::{Timestamp, user};
use reqwest::Method;
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::json;
use streamgate::auth::password::NewPassword;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::support::{
    App, Caller, PASSWORD, PATIENCE,
    auth::bearer,
    id_of,
    user::{delete, update},
};

#[tokio::test]
async fn user_is_created_read_updated_and_deleted() {
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
    app.log_in("ada.l-1_x").await.me().await;

    let changed = update(&admin, id, json!({ "role": "operator", "disabled": true })).await.ok();
    assert_eq!((&changed["role"], &changed["disabled"]), (&json!("operator"), &json!(true)));
    assert_eq!(update(&admin, id, json!({})).await.ok(), changed, "absent fields stay unchanged");
    assert_eq!(admin.get(&path).await.ok(), changed);

    let answer = delete(&admin, id).await;
    assert_eq!((answer.status.as_u16(), &answer.body), (204, &json!("")));
    for answer in [
        admin.get(&path).await,
        delete(&admin, id).await,
        update(&admin, id, json!({ "disabled": true })).await,
        admin.call(Method::POST, &format!("{path}/revoke"), None).await,
    ] {
        answer.problem(404);
    }
    app.finish().await;
}

#[tokio::test]
async fn username_is_unique_and_has_only_documented_characters() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let make = async |name: &str, password: &str| {
        let new = json!({ "username": name, "password": password, "role": "viewer" });
        admin.post("/v1/users", new).await
    };
    make("ada", PASSWORD).await.ok();
    assert_eq!(make("ada", PASSWORD).await.problem(409), "another user has this name");
    assert_eq!(make("admin", PASSWORD).await.status, 409);
    let long = "a".repeat(65);
    for name in ["", "Ada", "a da", "a\0", "a\n", "ä", "a/b", "ada\u{200b}", &long] {
        make(name, PASSWORD).await.problem(400);
    }
    for password in ["", "7 chars", &"p".repeat(1_025)] {
        make("bob", password).await.problem(400);
    }
    make(&long[..64], &"p".repeat(1_024)).await.ok();
    // If several requests arrive at once, one of them gets the name.
    let answers = futures_util::future::join_all((0..8).map(|_| make("eve", PASSWORD))).await;
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    let count = |status| statuses.iter().filter(|found| **found == status).count();
    assert_eq!((count(201), count(409)), (1, 7), "{statuses:?}");
    app.finish().await;
}

/// A text as JSON with every character escaped, which is its longest form.
fn escaped(text: &str) -> String {
    let units: Vec<String> = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    units.concat()
}

#[tokio::test]
async fn password_limit_in_bytes_is_the_same_everywhere() {
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
        update(&admin, id, json!({ "password": long })).await.problem(400);
        update(&admin, id, json!({ "password": fits })).await.ok();
        assert!(NewPassword::new(&long).is_err(), "{letter}");
    }
    // The password of the first administrator has the same limits.
    let database = &app.gateway.database;
    user::Entity::delete_many().exec(database.writer()).await.expect("a deletion");
    for password in ["é".repeat(513), "7 chars".to_owned()] {
        assert!(app.gateway.users.bootstrap(Some(password)).await.is_err());
    }
    app.finish().await;
}

#[tokio::test]
async fn only_the_first_start_creates_an_administrator() {
    let app = App::start().await;
    assert_eq!(app.gateway.first_password, None, "a given password is not shown");
    let users = &app.gateway.users;
    assert_eq!(users.bootstrap(Some("another password".to_owned())).await.expect("a query"), None);
    assert_eq!(users.bootstrap(None).await.expect("a query"), None);
    app.log_in("admin").await.get("/v1/users").await.ok();

    // Two processes start on an empty database at once.
    let database = &app.gateway.database;
    user::Entity::delete_many().exec(database.writer()).await.expect("a deletion");
    let (one, other) = tokio::join!(users.bootstrap(None), users.bootstrap(None));
    let shown: Vec<_> =
        [one, other].into_iter().filter_map(|made| made.expect("a start")).collect();
    let [password] = shown.as_slice() else { panic!("{} passwords", shown.len()) };
    assert_eq!(user::Entity::find().count(database.reader()).await.expect("a count"), 1);
    let login = json!({ "username": "admin", "password": password });
    let pair = app.anyone().post("/v1/auth/login", login).await.ok();
    assert!(password.len() >= 16, "a generated password is long");
    let admin = bearer(&app, pair["access_token"].as_str().expect("a token"));
    assert_eq!(admin.me().await["role"], "admin");
    app.finish().await;
}
