//! Records the compiler and the commit of the build, for the metric `streamgate_build_info`.

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = env::var("RUSTC").ok().and_then(|rustc| output(&rustc, &["--version"]));
    println!("cargo::rustc-env=BUILD_RUSTC={}", rustc.unwrap_or_default());
    println!("cargo::rustc-env=BUILD_COMMIT={}", commit().unwrap_or_default());
}

/// The commit that `BUILD_COMMIT` names, else the commit of the checkout. `None` in a source archive.
///
/// Only a release build asks git, because a debug build would be repeated after every commit.
fn commit() -> Option<String> {
    println!("cargo::rerun-if-env-changed=BUILD_COMMIT");
    if let Ok(commit) = env::var("BUILD_COMMIT") {
        return Some(commit);
    }
    // An archive can be unpacked inside another repository, whose commit is not the one of this source.
    if env::var("PROFILE").as_deref() != Ok("release") || !Path::new(".git").exists() {
        return None;
    }
    // git appends to this log whenever the commit of the checkout changes.
    if let Some(log) = output("git", &["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    output("git", &["rev-parse", "HEAD"])
}

/// The first line that a command prints. `None` if the command fails.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.lines().next().unwrap_or_default().to_owned())
}
