//! What one peer may send.

use super::*;

#[tokio::test]
async fn an_oversized_head_is_refused() {
    let gate = Gate::open(settings()).await;
    // The second is more than the server reads: the answer must survive what stays unread.
    for length in [settings().head_limit, 1 << 20] {
        let head = format!("GET / HTTP/1.1\r\nlong: {}\r\n\r\n", "x".repeat(length));
        let mut client = gate.send(head).await;
        let answer = read_to_end(&mut client).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
        assert!(answer.contains("\r\nx-request-id: some-id\r\ncontent-length: 14\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\na body for 431"), "{answer}");
    }
}

#[tokio::test]
async fn what_is_not_http_is_refused_with_a_body() {
    let gate = Gate::open(settings()).await;
    for nonsense in ["nonsense\r\n\r\n", "GET / HTTP/7.0\r\n\r\n", "GET / HTTP/1.1\r\n:\r\n\r\n"] {
        let mut client = gate.send(nonsense.to_owned()).await;
        let answer = String::from_utf8(read_to_end(&mut client).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.ends_with("\r\n\r\na body for 400"), "{answer}");
        assert_eq!(answer.matches("content-length").count(), 1, "{answer}");
    }
}

#[tokio::test]
async fn an_oversized_head_is_refused_on_h2() {
    let gate = Gate::open(settings()).await;
    // What is between the limit and this, the endpoint refuses, with a body.
    let long = "x".repeat(4 * settings().head_limit);
    let answer = h2c().get(gate.url("/")).header("long", long).send().await.unwrap();
    assert_eq!(answer.status(), 431);
}

#[tokio::test]
async fn a_head_within_the_limit_is_answered() {
    let gate = Gate::open(settings()).await;
    let long = "x".repeat(settings().head_limit - 500);
    for client in [h1(), h2c()] {
        let answer = client.get(gate.url("/")).header("long", &long).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
}

#[tokio::test]
async fn an_early_answer_survives_an_upload_that_goes_on() {
    let gate = Gate::open(settings()).await;
    let body = vec![b'x'; 10 << 20];
    let head =
        format!("POST /refuse HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    let mut client = gate.send(head).await;
    let uploaded = timeout(BOUND, client.write_all(&body)).await;
    uploaded.expect("stuck while uploading").expect("reset while uploading");
    let answer = read_to_end(&mut client).await;
    assert!(answer.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn h2_streams_are_bounded() {
    const MAX_CONCURRENT_STREAMS: [u8; 2] = [0, 3];
    let gate = Gate::open(settings()).await;
    let mut client = gate.send([PREFACE, SETTINGS].concat()).await;
    let mut head = [0; 9];
    timeout(BOUND, client.read_exact(&mut head)).await.unwrap().unwrap();
    let mut payload = vec![0; usize::from(head[2])];
    timeout(BOUND, client.read_exact(&mut payload)).await.unwrap().unwrap();
    let bound = payload.chunks(6).find(|setting| setting[..2] == MAX_CONCURRENT_STREAMS);
    assert_eq!(bound.unwrap()[2..], [0, 0, 0, 100]);
}
