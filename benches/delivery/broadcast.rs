//! A simple server in Rust: poem's `SSE` over tokio's `broadcast`, as in poem's examples.

use std::{
    collections::HashMap,
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::stream;
use poem::{
    EndpointExt, Route, Server, get, handler,
    listener::TcpAcceptor,
    post,
    web::{
        Data, Path,
        sse::{Event, SSE},
    },
};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::child::{LISTENING, wait_for_end_of_input};

/// Number of events that a subscriber can be behind. By default, streamgate keeps as many in
/// memory.
const CAPACITY: usize = 1_000;

type Message = (u64, String);
type Topics = Arc<Mutex<HashMap<usize, Topic>>>;

struct Topic {
    sender: broadcast::Sender<Message>,
    published: u64,
}

fn with_topic<T>(topics: &Topics, topic: usize, action: impl FnOnce(&mut Topic) -> T) -> T {
    let mut topics = topics.lock().unwrap_or_else(PoisonError::into_inner);
    let new = || Topic { sender: broadcast::channel(CAPACITY).0, published: 0 };
    action(topics.entry(topic).or_insert_with(new))
}

#[handler]
fn subscribe(Path(topic): Path<usize>, Data(topics): Data<&Topics>) -> SSE {
    let receiver = with_topic(topics, topic, |topic| topic.sender.subscribe());
    SSE::new(stream::unfold(receiver, async |mut receiver| {
        loop {
            match receiver.recv().await {
                Ok((seq, data)) => {
                    let event = Event::message(data).event_type("bench").id(seq.to_string());
                    return Some((event, receiver));
                }
                // A slow subscriber loses the events that it has missed.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }))
}

#[handler]
fn publish(Path(topic): Path<usize>, data: String, Data(topics): Data<&Topics>) {
    with_topic(topics, topic, |topic| {
        topic.published += 1;
        // Without subscribers, this returns an error, which does not matter here.
        let _ = topic.sender.send((topic.published, data));
    });
}

/// Serves until the benchmark closes the standard input of this program.
pub(crate) async fn run() -> anyhow::Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let acceptor = TcpAcceptor::from_std(listener)?;
    let routes = Route::new()
        .at("/sub/:topic", get(subscribe))
        .at("/publish/:topic", post(publish))
        .data(Topics::default());
    writeln!(std::io::stdout(), "{LISTENING}{address}")?;
    tokio::select! {
        served = Server::new_with_acceptor(acceptor).run(routes) => Ok(served?),
        () = wait_for_end_of_input() => Ok(()),
    }
}
