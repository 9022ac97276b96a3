//! Opening streams, a limited number at the same time.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    time::Duration,
};

use anyhow::Context;
use mio::Token;

use super::{
    command::{Open, Opened},
    generator::LoadGenerator,
    histogram::seconds,
    subscriber::Subscriber,
};

impl LoadGenerator {
    /// Opens streams until all are ready or one has failed.
    pub(super) fn open(&mut self, command: &Open) -> anyhow::Result<Opened> {
        let lines = BufReader::new(File::open(&command.streams)?).lines();
        let mut streams = Vec::with_capacity(command.count);
        for line in lines.skip(command.skip).take(command.count) {
            streams.push(parse_stream(&line?)?);
        }
        let began = self.begin();
        let deadline = began + u64::try_from(command.limit.as_nanos())?;
        let mut streams = streams.into_iter().peekable();
        let (mut opening, mut opened, mut error) = (0, 0, None);
        while error.is_none() && (opening > 0 || streams.peek().is_some()) {
            while opening < command.in_flight
                && let Some((topic, request)) = streams.next()
            {
                let registration = (self.poll.registry(), Token(self.subscribers.len()));
                let (address, ready) = (command.address, command.ready);
                match Subscriber::open(address, &request, ready, topic, registration) {
                    Ok(subscriber) => self.subscribers.push(Some(subscriber)),
                    Err(failed) => {
                        error = Some(format!("{failed:#}"));
                        break;
                    }
                }
                opening += 1;
            }
            if self.wait(Duration::from_millis(100))? > deadline {
                error = Some("the time limit was reached".to_owned());
            }
            for event in &self.events {
                let Some(slot) = self.subscribers.get_mut(event.token().0) else { continue };
                let Some(subscriber) = slot else { continue };
                let was_open = subscriber.is_open();
                let read = subscriber.read(&mut self.buffer, None);
                if read.opened {
                    opening -= 1;
                    opened += 1;
                }
                if let Some(ended) = read.ended {
                    *slot = None;
                    // A stream that ends after it was open is counted by `publish`.
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

/// Nchan requires this field.
const ACCEPT: &str = "Accept: text/event-stream\r\n";

/// Parses a line of the file of streams into the topic and the request.
fn parse_stream(line: &str) -> anyhow::Result<(usize, String)> {
    let mut parts = line.split('\t');
    let mut part = || parts.next().context("a line is TOPIC, PATH, AUTHORIZATION");
    let (topic, path, authorization) = (part()?.parse()?, part()?, part()?);
    let credential = match authorization {
        "" => String::new(),
        authorization => format!("Authorization: {authorization}\r\n"),
    };
    Ok((topic, format!("GET {path} HTTP/1.1\r\nHost: bench\r\n{ACCEPT}{credential}\r\n")))
}
