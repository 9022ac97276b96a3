//! Small file systems, and full ones. They need root, for `mount`.

#![expect(clippy::print_stderr, reason = "a test that is left out must say so")]

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use serde_json::json;
use tokio::process::Command;

use crate::support::{
    caller::{Answer, Caller},
    store::Store,
};

/// A file that fills its file system.
pub struct Ballast(pub PathBuf);

impl Ballast {
    pub fn on(directory: &Path) -> Self {
        Self(directory.join("ballast"))
    }

    /// Fills the file system, except for this many bytes.
    pub fn fill_except(&self, bytes: u64) {
        let mut file = File::create(&self.0).expect("a file");
        let block = vec![0; 64 << 10];
        while let Ok(1..) = file.write(&block) {}
        let size = file.metadata().expect("a size").len();
        file.set_len(size.saturating_sub(bytes)).expect("a shorter file");
    }

    pub fn remove(&self) {
        fs::remove_file(&self.0).expect("a file to remove");
    }
}

/// A small file system for a data directory. Unmounted when dropped.
pub struct Disk(pub PathBuf);

impl Disk {
    pub async fn mount(store: &Store, size: &str) -> Self {
        let place = store.directory.path().join("data");
        fs::create_dir(&place).expect("a directory");
        let path = place.to_str().expect("UTF-8");
        let options = format!("size={size},mode=0700");
        command("mount", &["-t", "tmpfs", "-o", &options, "streamgate-test", path]).await;
        Self(place)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(unmounted.expect("umount").success());
    }
}

/// Whether the tests run as root.
pub async fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().await.expect("id");
    let is_root = id.stdout.trim_ascii() == b"0";
    if !is_root {
        eprintln!("not root: nothing can be mounted, so this fault was not tried");
    }
    is_root
}

pub async fn command(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().await.expect(program);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {error}");
}

/// Writes until the file system is full and the gateway refuses a write. Returns that response.
pub async fn write_until_refused(caller: &Caller) -> Answer {
    loop {
        let input = json!({ "pad": "x".repeat(15_000) });
        let answer = caller.post("/v1/tasks", json!({ "task_type": "a", "input": input })).await;
        if answer.status != 201 {
            return answer;
        }
    }
}
