//! Swagger UI and the OpenAPI documents: caching and content codings.

use std::io::Read;

use reqwest::{Method, header::HeaderMap};

use crate::support::{App, soon};

const PATHS: [(&str, &str); 3] = [
    ("/docs", "text/html; charset=utf-8"),
    ("/openapi.json", "application/json"),
    ("/openapi-3.2.json", "application/json"),
];

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Reply {
    fn field(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }
}

async fn send(app: &App, method: Method, path: &str, fields: &[(&str, &str)]) -> Reply {
    let request = app.anyone().request(method, path);
    let request =
        fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let answer = soon("a response", request.send()).await.expect("a response");
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let body = soon("a body", answer.bytes()).await.expect("a body").to_vec();
    Reply { status, headers, body }
}

async fn get(app: &App, path: &str, fields: &[(&str, &str)]) -> Reply {
    send(app, Method::GET, path, fields).await
}

fn decoded(reply: &Reply) -> Vec<u8> {
    let mut text = Vec::new();
    let body = reply.body.as_slice();
    match reply.field("content-encoding") {
        "" => Ok(body.len()).inspect(|_| text.extend(body)),
        "gzip" => flate2::read::GzDecoder::new(body).read_to_end(&mut text),
        "br" => brotli::Decompressor::new(body, 4096).read_to_end(&mut text),
        other => panic!("{other}"),
    }
    .expect("a body in its coding");
    text
}

#[tokio::test]
async fn documents_are_revalidated_with_a_strong_tag() {
    let app = App::start().await;
    for (path, media_type) in PATHS {
        let whole = get(&app, path, &[]).await;
        assert_eq!((whole.status, whole.field("content-type")), (200, media_type));
        assert_eq!(whole.field("cache-control"), "public, no-cache");
        assert_eq!(whole.field("vary"), "accept-encoding");
        assert_eq!(whole.field("content-encoding"), "");
        let tag = whole.field("etag");
        assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 10, "{tag}");
        for (condition, status) in [
            (tag.to_owned(), 304),
            (format!("W/{tag}"), 304),
            (format!("\"other\", {tag}"), 304),
            ("*".to_owned(), 304),
            ("\"other\"".to_owned(), 200),
            (tag.trim_matches('"').to_owned(), 200),
        ] {
            for method in [Method::GET, Method::HEAD] {
                let fields = [("If-None-Match", condition.as_str())];
                let reply = send(&app, method.clone(), path, &fields).await;
                assert_eq!(reply.status, status, "{path} {method} {condition}");
                for name in ["etag", "cache-control", "vary"] {
                    assert_eq!(reply.field(name), whole.field(name), "{path} {condition}");
                }
                let is_whole = method == Method::GET && status == 200;
                assert_eq!(reply.body, if is_whole { whole.body.as_slice() } else { b"" });
            }
        }
        // A field on two lines is one list.
        let lines = [("If-None-Match", "\"other\""), ("If-None-Match", tag)];
        assert_eq!(get(&app, path, &lines).await.status, 304);
    }
    app.finish().await;
}

#[tokio::test]
async fn documents_have_the_coding_that_the_client_prefers() {
    let app = App::start().await;
    for (path, _) in PATHS {
        let whole = get(&app, path, &[]).await;
        let mut tags = vec![whole.field("etag").to_owned()];
        for (accepted, coding) in [
            ("gzip, deflate, br, zstd", "br"),
            ("gzip", "gzip"),
            ("X-GZIP", "gzip"),
            ("br;q=0.5, gzip", "gzip"),
            ("br;q=0.5,gzip;q=0.500", "br"),
            ("gzip;q=0, br;q=0.001", "br"),
            ("*", "br"),
            ("br;q=0, *;q=0.3", "gzip"),
            ("gzip;q=0.5, identity", ""),
            ("gzip;q=0", ""),
            ("", ""),
            ("deflate, zstd", ""),
            ("identity", ""),
            ("identity;q=0", "gzip"),
            ("identity;q=0, gzip;q=0, br", "br"),
            ("gzip;q=2", ""),
            ("gzip; Q=0.8 , br ; q=0.7", "gzip"),
        ] {
            let fields = [("Accept-Encoding", accepted)];
            let reply = get(&app, path, &fields).await;
            assert_eq!(reply.field("content-encoding"), coding, "{path} {accepted}");
            assert!(decoded(&reply) == whole.body, "{path} {accepted}");
            assert_eq!(reply.field("vary"), "accept-encoding");
            let tag = reply.field("etag").to_owned();
            let head = send(&app, Method::HEAD, path, &fields).await;
            for name in ["etag", "content-encoding", "content-length", "content-type"] {
                assert_eq!(head.field(name), reply.field(name), "{path} {accepted}");
            }
            let again = get(&app, path, &[fields[0], ("If-None-Match", &tag)]).await;
            assert_eq!((again.status, again.field("etag")), (304, tag.as_str()));
            tags.push(tag);
        }
        // A strong tag names one sequence of bytes.
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), 3, "{tags:?}");
        let small = get(&app, path, &[("Accept-Encoding", "br")]).await.body.len();
        assert!(small * 4 < whole.body.len(), "{path}: {small} of {}", whole.body.len());
    }
    app.finish().await;
}

#[tokio::test]
async fn other_responses_are_neither_stored_nor_compressed() {
    let app = App::start().await;
    let admin = app.log_in("admin").await;
    let topology = app.active_topology(&admin).await;
    for path in [
        "/v1/auth/me".to_owned(),
        "/v1/users".to_owned(),
        format!("/v1/topologies/{topology}"),
        format!("/v1/topologies/{topology}/stream?max_events=1"),
        format!("/v1/streams?topic=topology.{topology}&max_events=1"),
        "/v1/nothing".to_owned(),
    ] {
        let request = admin.request(Method::GET, &path).header("Accept-Encoding", "br, gzip");
        let answer = soon("a response", request.send()).await.expect("a response");
        let stored = answer.headers()["cache-control"].to_str().expect("text");
        assert!(stored.contains("no-store"), "{path}: {stored}");
        assert!(!answer.headers().contains_key("content-encoding"), "{path}");
        assert!(!answer.headers().contains_key("etag"), "{path}");
    }
    app.finish().await;
}

#[test]
fn documents_describe_the_cache_fields() {
    use crate::support::openapi::{both, operations};
    for (file, document) in both() {
        for (path, _) in PATHS {
            let found = operations(&document);
            let operation = found.iter().find(|operation| operation.path == path).expect("one");
            let responses = &operation.value["responses"];
            for (status, names) in [
                ("200", &["ETAG", "CACHE-CONTROL", "VARY", "CONTENT-ENCODING"][..]),
                ("304", &["ETAG", "CACHE-CONTROL", "VARY"]),
            ] {
                let headers = responses[status]["headers"].as_object();
                let headers: Vec<_> =
                    headers.into_iter().flatten().map(|(name, _)| name.to_uppercase()).collect();
                for name in names {
                    assert!(
                        headers.iter().any(|known| known == name),
                        "{file} {path} {status} {name}"
                    );
                }
            }
            assert!(responses["304"]["content"].is_null(), "{file} {path}");
        }
    }
}
