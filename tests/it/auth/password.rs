//! Passwords are prepared with OpaqueString (RFC 8265, section 4.2).

use argon2::{Argon2, PasswordHasher};
use entity::user;
use reqwest::StatusCode;
use sea_orm::{EntityTrait, prelude::Expr};
use serde_json::json;

use crate::support::{App, id_of, user::update};

/// The same password: `ä` as one character and as two, and the space of a Japanese keyboard.
const COMPOSED: &str = "p\u{e4}sswort f\u{fc}r alle";
const DECOMPOSED: &str = "pa\u{308}sswort fu\u{308}r alle";
const WIDE_SPACE: &str = "p\u{e4}sswort\u{3000}f\u{fc}r alle";

/// The same Korean password, as syllables and as their parts.
const SYLLABLES: &str = "\u{d55c}\u{ad6d} \u{c554}\u{d638} \u{d55c}\u{ad6d}";
const PARTS: &str = "\u{1112}\u{1161}\u{11ab}\u{1100}\u{116e}\u{11a8} \u{110b}\u{1161}\u{11b7}\u{1112}\u{1169} \u{1112}\u{1161}\u{11ab}\u{1100}\u{116e}\u{11a8}";

async fn log_in(app: &App, password: &str) -> StatusCode {
    let login = json!({ "username": "ada", "password": password });
    app.anyone().post("/v1/auth/login", login).await.status
}

#[tokio::test]
async fn password_is_the_same_in_every_form_of_its_letters() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let forms: [&[&str]; 2] = [&[COMPOSED, DECOMPOSED, WIDE_SPACE], &[SYLLABLES, PARTS]];
    for (set, forms) in forms.iter().flat_map(|forms| forms.iter().map(move |set| (*set, *forms))) {
        let new = json!({ "username": "ada", "password": set, "role": "viewer" });
        let id = id_of(&admin.post("/v1/users", new).await.ok());
        for typed in forms {
            assert_eq!(log_in(&app, typed).await, 200, "{set:?}, {typed:?}");
        }
        // The profile does not change case, and compatibility characters are other characters.
        for other in [
            "P\u{e4}sswort f\u{fc}r alle",
            "p\u{e4}\u{17f}swort f\u{fc}r alle",
            "passwort fur alle",
        ] {
            assert_eq!(log_in(&app, other).await, 401, "{set:?}, {other:?}");
        }
        let path = format!("/v1/users/{id}");
        admin.call(reqwest::Method::DELETE, &path, None).await.ok();
    }
    app.finish().await;
}

#[tokio::test]
async fn hash_of_an_unprepared_password_is_replaced_at_login() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let new = json!({ "username": "ada", "password": COMPOSED, "role": "viewer" });
    let id = id_of(&admin.post("/v1/users", new).await.ok());
    // As an older version has stored it, when the password was set on a system that decomposes letters.
    let old = Argon2::default().hash_password(DECOMPOSED.as_bytes()).expect("a hash").to_string();
    let database = &app.gateway.database;
    let change = user::Entity::update_many()
        .col_expr(user::Column::PasswordHash, Expr::value(old.clone()))
        .exec(database.writer());
    change.await.expect("a change");
    let hash = async || {
        let row = user::Entity::find_by_id(id).one(database.reader()).await;
        row.expect("a query").expect("a user").password_hash
    };
    assert_eq!(log_in(&app, COMPOSED).await, 401, "the old hash is of the other form");
    assert_eq!(log_in(&app, "not the password").await, 401);
    assert_eq!(hash().await, old);
    // Both logins see the old hash, and only one can replace it.
    let logins = tokio::join!(log_in(&app, DECOMPOSED), log_in(&app, DECOMPOSED));
    assert_eq!((logins.0.as_u16(), logins.1.as_u16()), (200, 200));
    let replaced = hash().await;
    assert_ne!(replaced, old);
    for typed in [COMPOSED, DECOMPOSED] {
        assert_eq!(log_in(&app, typed).await, 200, "{typed:?}");
    }
    assert_eq!(hash().await, replaced, "a current hash stays");
    app.finish().await;
}

#[tokio::test]
async fn password_with_a_control_character_cannot_be_set() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let new = |password: &str| json!({ "username": "ada", "password": password, "role": "viewer" });
    // U+0378 is not assigned. U+1F916 is newer than Unicode 6.3.
    for forbidden in
        ["with a\u{7} bell", "with a\ttab", "unassigned \u{378}", "robot \u{1f916} here"]
    {
        let detail = admin.post("/v1/users", new(forbidden)).await.problem(400);
        assert!(detail.contains("control characters"), "{detail}");
        assert_eq!(log_in(&app, forbidden).await, 401, "{forbidden:?}");
    }
    // Eight characters that the preparation composes to four.
    let short = "a\u{308}".repeat(4);
    let detail = admin.post("/v1/users", new(&short)).await.problem(400);
    assert!(detail.contains("at least 8"), "{detail}");
    let id = id_of(&admin.post("/v1/users", new(COMPOSED)).await.ok());
    update(&admin, id, json!({ "password": "with a\u{7} bell" })).await.problem(400);
    assert_eq!(log_in(&app, COMPOSED).await, 200);
    app.finish().await;
}
