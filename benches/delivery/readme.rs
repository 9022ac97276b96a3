//! Writes what a run has found into the README beside this program.

use std::{fmt::Write, fs, path::PathBuf, process::Command};

use anyhow::Context;
use entity::Timestamp;

use crate::{packages, scenario::Run, table, target};

/// What is written stands between these two lines.
const BEGIN: &str = "<!-- a run: written by benches/run -->";
const END: &str = "<!-- end of the run -->";

/// On what it was measured, without naming the machine.
pub(crate) fn circumstances() -> anyhow::Result<String> {
    let date = Timestamp::now().datetime().date();
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let kernel = kernel.trim().split('-').next().unwrap_or_default();
    let rustc = Command::new("rustc").arg("--version").output();
    let rustc = rustc.map(|said| String::from_utf8_lossy(&said.stdout).into_owned());
    let rustc = rustc.unwrap_or_default();
    let rustc = rustc.split(' ').nth(1).unwrap_or("unknown");
    let missing = || "not installed".to_owned();
    Ok(format!(
        "{date}, {cores} cores, Linux {kernel}, Rust {rustc}, streamgate {}, Nchan {}, Pushpin {}",
        env!("CARGO_PKG_VERSION"),
        packages::nchan_version().unwrap_or_else(missing),
        packages::pushpin_version().unwrap_or_else(missing),
    ))
}

/// Replaces the run that the README shows.
pub(crate) fn write(run: &Run) -> anyhow::Result<()> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/README.md");
    let readme = fs::read_to_string(&path)?;
    let (before, rest) = readme.split_once(BEGIN).context("benches/README.md has no marker")?;
    let (_, after) = rest.split_once(END).context("benches/README.md has no second marker")?;
    let mut text = format!("{before}{BEGIN}\n\n{}.\n", circumstances()?);
    let plural = if run.rounds == 1 { "" } else { "s" };
    let rounds = run.rounds;
    writeln!(text, "Medians of {rounds} round{plural}, in brackets the least and the most.\n")?;
    writeln!(text, "### Targets\n")?;
    table::markdown_table(&mut text, &target::lines(&run.findings));
    for section in &run.sections {
        write!(text, "\n{}", section.markdown(&run.findings))?;
    }
    fs::write(&path, format!("{text}\n{END}{after}"))?;
    Ok(())
}
