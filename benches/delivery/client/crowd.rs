//! Opening streams, so many at a time.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    time::Duration,
};

use anyhow::Context;
use mio::Token;

use super::{Load, Open, Opened, seconds, subscriber::Subscriber};

impl Load {
    /// Opens streams until all are ready or one has failed.
    pub(super) fn open(&mut self, order: &Open) -> anyhow::Result<Opened> {
        let lines = BufReader::new(File::open(&order.targets)?).lines();
        let mut targets = Vec::with_capacity(order.count);
        for line in lines.skip(order.skip).take(order.count) {
            targets.push(target(&line?)?);
        }
        let began = self.now();
        self.waited = 0;
        let deadline = began + u64::try_from(order.limit.as_nanos())?;
        let mut targets = targets.into_iter().peekable();
        let (mut opening, mut opened, mut error) = (0, 0, None);
        while error.is_none() && (opening > 0 || targets.peek().is_some()) {
            while opening < order.in_flight
                && let Some((topic, request)) = targets.next()
            {
                let place = (self.poll.registry(), Token(self.subscribers.len()));
                let (address, ready) = (order.address, order.ready);
                match Subscriber::open(address, &request, ready, topic, place) {
                    Ok(subscriber) => self.subscribers.push(Some(subscriber)),
                    Err(failed) => {
                        error = Some(format!("{failed:#}"));
                        break;
                    }
                }
                opening += 1;
            }
            if self.wait(Duration::from_millis(100))? > deadline {
                error = Some("took too long".to_owned());
            }
            for event in &self.events {
                let Some(place) = self.subscribers.get_mut(event.token().0) else { continue };
                let Some(subscriber) = place else { continue };
                let was_open = subscriber.is_open();
                let seen = subscriber.read(&mut self.buffer, None);
                if seen.opened {
                    opening -= 1;
                    opened += 1;
                }
                if let Some(ended) = seen.ended {
                    *place = None;
                    // One that was open and ends is counted when something is published.
                    if !was_open {
                        error.get_or_insert(ended);
                    }
                }
            }
        }
        let seconds = seconds(self.now() - began);
        Ok(Opened { streams: opened, seconds, error, busy: self.busy(began) })
    }
}

/// Nchan refuses a subscriber that does not say so.
const ACCEPT: &str = "Accept: text/event-stream\r\n";

/// Topic and request of a line of the targets' file.
fn target(line: &str) -> anyhow::Result<(usize, String)> {
    let mut parts = line.split('\t');
    let mut part = || parts.next().context("a target is TOPIC, PATH, AUTHORIZATION");
    let (topic, path, authorization) = (part()?.parse()?, part()?, part()?);
    let credential = match authorization {
        "" => String::new(),
        authorization => format!("Authorization: {authorization}\r\n"),
    };
    Ok((topic, format!("GET {path} HTTP/1.1\r\nHost: bench\r\n{ACCEPT}{credential}\r\n")))
}
