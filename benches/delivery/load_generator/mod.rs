//! The load generator: thousands of subscribers and the publishers, in one thread of one process.
//!
//! It must cost less than any server that it measures. So it is a bare epoll loop that counts events
//! without parsing them. Only a thousand subscribers, evenly chosen, also read the time in each event.
//! Every reply says how busy the load generator was. Above nine tenths, it may have limited the
//! result.

mod command;
mod generator;
mod histogram;
mod open;
mod publish;
mod publisher;
mod run;
mod subscriber;

pub(crate) use self::{
    command::{Command, Open, Opened, Publish, Published, Reply},
    publisher::Form,
    run::run,
    subscriber::Ready,
};
