//! The floor: a process that passes bytes on, and does nothing else. Two of them are the least that a gateway and a tunnel
//! client can cost.

use std::{
    env,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

use super::Process;

/// Runs the process: passes the bytes of each connection on to this address. Prints its own address.
#[expect(clippy::print_stdout, reason = "the benchmark reads the address")]
pub async fn run(target: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    println!("{}", listener.local_addr().expect("an address"));
    loop {
        let (mut inside, _) = listener.accept().await.expect("a connection");
        let mut outside = TcpStream::connect(target).await.expect("a connection");
        for socket in [&inside, &outside] {
            socket.set_nodelay(true).expect("an option");
        }
        tokio::spawn(async move {
            // It ends with either side.
            let _ = copy_bidirectional(&mut inside, &mut outside).await;
        });
    }
}

/// Starts the process. Returns its address.
pub fn start(target: &str) -> (String, Process) {
    let mut command = Command::new(env::current_exe().expect("a path"));
    let mut child =
        command.args(["relay", target]).stdout(Stdio::piped()).spawn().expect("a relay");
    let mut address = String::new();
    let output = BufReader::new(child.stdout.take().expect("its output"));
    output.lines().next().expect("a line").expect("text").clone_into(&mut address);
    (address, Process(child))
}
