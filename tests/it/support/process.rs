//! The program as a separate process.

use std::{
    ffi::OsStr,
    net::SocketAddr,
    process::Stdio,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdout, Command},
    task::JoinHandle,
};

use crate::support::{
    caller::Caller,
    store::Store,
    waiting::{soon, until},
};

/// The administrator's password in these tests.
pub const ADMIN: &str = "the password of the administrator";

/// Returns a command that runs the program on this store, without the `STREAMGATE_` variables of the tests.
pub fn streamgate<S: AsRef<OsStr>>(
    store: &Store,
    arguments: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamgate"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("STREAMGATE_") {
            command.env_remove(name);
        }
    }
    command.env_remove("TEST_DATABASE_URL").env_remove("RUST_LOG");
    if let Some(url) = store.url() {
        command.env("STREAMGATE_DATABASE__URL", url);
    }
    command.env("STREAMGATE_DATA_DIR", store.directory.path().join("data"));
    command.current_dir(store.directory.path()).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// The output of a command that has ended.
pub struct Said {
    pub success: bool,
    pub out: String,
    pub err: String,
}

pub async fn run(store: &Store, arguments: &[&str]) -> Said {
    said(&mut streamgate(store, arguments)).await
}

pub async fn said(command: &mut Command) -> Said {
    let output = soon("end of the command", command.output()).await.expect("a process");
    Said {
        success: output.status.success(),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// A running `streamgate serve` that accepts connections.
pub struct Process {
    pub child: Child,
    pub address: SocketAddr,
    /// The lines on standard output before the one with the address.
    pub said: Vec<String>,
    pub out: Lines<BufReader<ChildStdout>>,
    pub err: ErrorOutput,
}

impl Process {
    /// Starts with a known password of the administrator.
    pub async fn serve(store: &Store) -> Self {
        Self::start(streamgate(store, ["serve"]).env("STREAMGATE_ADMIN_PASSWORD", ADMIN)).await
    }

    pub async fn start(command: &mut Command) -> Self {
        command
            .env("STREAMGATE_LISTEN", "127.0.0.1:0")
            .env("STREAMGATE_LIMITS__REQUESTS_PER_MINUTE", "100000");
        let (mut child, mut out, err) = spawn(command);
        let mut said = Vec::new();
        loop {
            let line = soon("line", out.next_line()).await.expect("a pipe");
            let Some(line) = line else {
                let status = soon("end", child.wait()).await.expect("a status");
                panic!("{status}: {}", err.end().await);
            };
            if let Some(url) = line.strip_prefix("listening on http") {
                let (_, address) = url.split_once("://").expect("a scheme");
                let address = address.parse().expect("an address");
                return Self { child, address, said, out, err };
            }
            said.push(line);
        }
    }

    /// Returns a client without a credential.
    pub fn anyone(&self) -> Caller {
        Caller::at(self.address, None)
    }

    pub async fn log_in(&self, username: &str, password: &str) -> Caller {
        let login = serde_json::json!({ "username": username, "password": password });
        let tokens = self.anyone().post("/v1/auth/login", login).await.ok();
        let token = tokens["access_token"].as_str().expect("an access token").to_owned();
        Caller::at(self.address, Some(token))
    }

    /// Sends a signal by name.
    pub async fn signal(&self, name: &str) {
        signal(&self.child, name).await;
    }

    /// Waits until this text is in the log.
    pub async fn logs(&self, part: &str) {
        until(part, async || self.err.so_far().contains(part)).await;
    }

    /// Waits for the end of the process, checks that its status is a success, and returns standard error.
    pub async fn ended(mut self) -> String {
        let status = soon("end of the process", self.child.wait()).await.expect("a status");
        assert!(status.success(), "{status}");
        assert_eq!(self.out.next_line().await.expect("a pipe"), None, "nothing after the address");
        self.err.end().await
    }

    /// Sends SIGTERM and waits for the end of the process.
    pub async fn stop(self) -> String {
        self.signal("TERM").await;
        self.ended().await
    }
}

pub async fn signal(child: &Child, name: &str) {
    let id = child.id().expect("a running process");
    let kill = format!("kill -{name} {id}");
    let status = Command::new("sh").args(["-c", &kill]).status().await.expect("a shell");
    assert!(status.success());
}

/// Standard error of a process. It is read continuously, so that the process never waits for the test.
pub struct ErrorOutput {
    text: Arc<Mutex<String>>,
    reading: JoinHandle<()>,
}

impl ErrorOutput {
    fn read(mut pipe: ChildStderr) -> Self {
        let text = Arc::<Mutex<String>>::default();
        let kept = Arc::clone(&text);
        let reading = tokio::spawn(async move {
            let mut part = Vec::new();
            while pipe.read_buf(&mut part).await.expect("a pipe") > 0 {
                // Bytes of an incomplete character stay until the others arrive.
                if let Ok(part_text) = str::from_utf8(&part) {
                    kept.lock().expect("no panic").push_str(part_text);
                    part.clear();
                }
            }
            assert!(part.is_empty(), "UTF-8");
        });
        Self { text, reading }
    }

    pub fn so_far(&self) -> String {
        self.text.lock().expect("no panic").clone()
    }

    /// Waits for the end of the process, and returns all of its standard error.
    pub async fn end(self) -> String {
        self.reading.await.expect("its error output");
        self.text.lock().expect("no panic").clone()
    }
}

/// Starts a process. Returns it with its standard output as lines, and its standard error.
pub type Spawned = (Child, Lines<BufReader<ChildStdout>>, ErrorOutput);

pub fn spawn(command: &mut Command) -> Spawned {
    let mut child = command.spawn().expect("a process");
    let out = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let err = ErrorOutput::read(child.stderr.take().expect("a pipe"));
    (child, out, err)
}

/// Finds the password of `name` in the line that the program prints for it.
pub fn password(line: &str, name: &str) -> String {
    let password = line.strip_prefix(&format!("password of {name}, shown this once: "));
    let password = password.unwrap_or_else(|| panic!("no password: {line}"));
    assert!(password.len() >= 16 && !password.contains(char::is_whitespace), "{password}");
    password.to_owned()
}
