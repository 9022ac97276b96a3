//! Writes the results of a run into `benches/README.md`.

use std::{fmt::Write, fs, path::PathBuf, process::Command};

use anyhow::Context;
use entity::Timestamp;

use crate::{peer, scenario::Run, table, target};

/// The results are between these two lines.
const BEGIN: &str = "<!-- results, written by benches/run -->";
const END: &str = "<!-- end of the results -->";

/// The date, the machine without its name, and the versions.
pub(crate) fn environment() -> anyhow::Result<String> {
    let date = Timestamp::now().datetime().date();
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let kernel = kernel.trim().split('-').next().unwrap_or_default();
    let rustc = Command::new("rustc").arg("--version").output();
    let rustc = rustc.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let rustc = rustc.unwrap_or_default();
    let rustc = rustc.split(' ').nth(1).unwrap_or("unknown");
    let missing = || "not installed".to_owned();
    Ok(format!(
        "{date}, {cores} cores, Linux {kernel}, Rust {rustc}, streamgate {}, Nchan {}, Pushpin {}",
        env!("CARGO_PKG_VERSION"),
        peer::nchan_version().unwrap_or_else(missing),
        peer::pushpin_version().unwrap_or_else(missing),
    ))
}

/// Replaces the results in the README.
pub(crate) fn write(run: &Run) -> anyhow::Result<()> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/README.md");
    let readme = fs::read_to_string(&path)?;
    let (before, rest) =
        readme.split_once(BEGIN).context("benches/README.md does not contain the first marker")?;
    let (_, after) =
        rest.split_once(END).context("benches/README.md does not contain the second marker")?;
    let mut text = format!("{before}{BEGIN}\n\n{}.\n", environment()?);
    let plural = if run.rounds == 1 { "" } else { "s" };
    let rounds = run.rounds;
    writeln!(
        text,
        "Medians of {rounds} round{plural}, with the minimum and maximum in brackets.\n"
    )?;
    writeln!(text, "### Targets\n")?;
    table::markdown_table(&mut text, &target::lines(&run.results));
    for section in &run.sections {
        write!(text, "\n{}", section.markdown(&run.results))?;
    }
    fs::write(&path, format!("{text}\n{END}{after}"))?;
    Ok(())
}
