//! `reqwest-eventsource`: an `EventSource` for `reqwest`, which reconnects by itself.

use futures_util::StreamExt;
use reqwest_eventsource::{Event, EventSource};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (url, token) = (arguments.next().expect("a URL"), arguments.next().expect("a token"));
    let request = reqwest::Client::new().get(url).bearer_auth(token);
    let mut source = EventSource::new(request).expect("a request that can be sent again");
    while let Some(event) = source.next().await {
        // Errors are reported, and the source reconnects after them.
        if let Ok(Event::Message(message)) = event {
            let message = serde_json::json!({
                "id": message.id,
                "event": message.event,
                "data": message.data,
            });
            println!("{message}");
        }
    }
}
