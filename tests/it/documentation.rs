//! The documentation: every link has a target, every guarantee names its tests, names exist, and
//! commands run.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use serde_json::Value;

/// Maximum number of lines of README.md.
const README_LINES: usize = 155;

/// Time limit for the commands of one document, in seconds. A document that reaches it fails.
const COMMAND_SECONDS: &str = "120";

/// The comment above a block that cannot run, and the end of that comment.
const NOT_RUN: (&str, &str) = ("<!-- not run: ", " -->");

/// The page that other documents link to if their commands need its shell.
const SETUP: &str = "docs/guides/setup.md";

/// Sections of the configuration. A name like `limits.connections` in a document is a key.
const SECTIONS: [&str; 14] = [
    "auth",
    "database",
    "limits",
    "log",
    "mcp_sessions",
    "oauth",
    "overflow",
    "prompts",
    "retention",
    "server",
    "streams",
    "tasks",
    "tokens",
    "tunnels",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The documents, relative to the root.
fn documents() -> Vec<String> {
    let mut found =
        ["README.md", "CONTRIBUTING.md", "benches/README.md"].map(str::to_owned).to_vec();
    let mut open = vec![root().join("docs")];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let path = path.strip_prefix(root()).expect("below the root");
                found.push(path.to_str().expect("UTF-8").to_owned());
            }
        }
    }
    found.sort();
    found
}

/// A fenced block: its language, the number of its first line, its text, and the line above it.
struct Block {
    language: String,
    line: usize,
    text: String,
    above: String,
}

/// Splits a document into its text without fenced blocks, and the blocks.
fn parts(document: &str) -> (String, Vec<Block>) {
    let (mut prose, mut blocks) = (String::new(), Vec::<Block>::new());
    let (mut above, mut is_open) = ("", false);
    for (number, line) in document.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), is_open) {
            (Some(language), false) => {
                let (language, above) = (language.to_owned(), above.to_owned());
                blocks.push(Block { language, line: number + 2, text: String::new(), above });
                is_open = true;
            }
            (Some(_), true) => is_open = false,
            (None, true) => {
                let block = blocks.last_mut().expect("the open block");
                block.text += line;
                block.text.push('\n');
            }
            (None, false) => {
                prose += line;
                prose.push('\n');
            }
        }
        above = line;
    }
    assert!(!is_open, "a block without an end");
    (prose, blocks)
}

/// Every `[text](target)`: text and target.
fn links(prose: &str) -> Vec<(&str, &str)> {
    let link = |(at, _): (usize, &str)| {
        let text = prose[..at].rsplit('[').next().unwrap_or_default();
        let target = prose[at + 2..].split(')').next().unwrap_or_default();
        (text, target)
    };
    prose.match_indices("](").map(link).collect()
}

/// The anchors of the headings, as GitHub generates them.
fn anchors(document: &str) -> BTreeSet<String> {
    let (prose, _) = parts(document);
    let mut seen = HashMap::new();
    let mut anchors = BTreeSet::new();
    for line in prose.lines().filter(|line| line.starts_with('#')) {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let count = seen.entry(anchor.clone()).or_insert(0);
        anchors.insert(if *count == 0 { anchor } else { format!("{anchor}-{count}") });
        *count += 1;
    }
    anchors
}

/// The fault of a relative link of a document, if the link has one.
fn link_fault(document: &str, target: &str) -> Option<String> {
    if target.starts_with("https://") || target.starts_with("http://") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = match file {
        "" => root().join(document),
        file => root().join(document).parent().expect("a directory").join(file),
    };
    let Ok(path) = path.canonicalize() else {
        return Some(format!("{document}: {target}: no such file"));
    };
    if !path.starts_with(root().canonicalize().expect("the root")) {
        return Some(format!("{document}: {target}: outside of the repository"));
    }
    if anchor.is_empty() {
        return None;
    }
    let text = fs::read_to_string(&path).unwrap_or_default();
    let found = path.extension().is_some_and(|it| it == "md") && anchors(&text).contains(anchor);
    (!found).then(|| format!("{document}: {target}: no such heading"))
}

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading() {
    let mut faults = Vec::new();
    for document in documents() {
        let (prose, _) = parts(&read(&document));
        faults.extend(links(&prose).iter().filter_map(|(_, target)| link_fault(&document, target)));
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// The faults of a promise: it names no test, or a test that the file does not contain.
fn promise_faults(line: &str) -> Vec<String> {
    let mut proofs = 0;
    let mut faults = Vec::new();
    for (text, target) in links(line) {
        let Some(name) = text.strip_prefix('`').and_then(|text| text.strip_suffix('`')) else {
            continue;
        };
        proofs += 1;
        let source = fs::read_to_string(root().join("docs").join(target)).unwrap_or_default();
        let (rust, javascript) = (format!("fn {name}("), format!("test('{name}'"));
        if !source.contains(&rust) && !source.contains(&javascript) {
            faults.push(format!("{target} has no test {name}"));
        }
    }
    if proofs == 0 {
        faults.push(format!("no test proves: {line}"));
    }
    faults
}

#[test]
fn every_guarantee_names_tests_that_exist() {
    let guarantees = read("docs/guarantees.md");
    let promises: Vec<&str> = guarantees.lines().filter(|line| line.starts_with("- ")).collect();
    assert!(!promises.is_empty());
    let faults: Vec<String> = promises.into_iter().flat_map(promise_faults).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn readme_fits_on_a_few_screens() {
    let lines = read("README.md").lines().count();
    assert!(lines <= README_LINES, "{lines} lines");
}

/// The texts between backticks.
fn names(prose: &str) -> Vec<&str> {
    prose.split('`').skip(1).step_by(2).collect()
}

/// Whether a name exists, if it looks like an operation, a key, a variable or a metric of this
/// project. True for all other names.
fn exists(name: &str, operations: &Value, keys: &str, sources: &str) -> bool {
    let is_word = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    if let Some((method, path)) = name.split_once(' ')
        && ["GET", "POST", "PATCH", "DELETE"].contains(&method)
        && path.starts_with('/')
    {
        let path = path.split('?').next().unwrap_or_default();
        return operations["paths"][path].get(method.to_lowercase()).is_some();
    }
    if let Some(metric) = name.strip_prefix("streamgate_").filter(|metric| is_word(metric)) {
        let plain = ["_total", "_seconds", "_bytes", "_info"]
            .iter()
            .find_map(|end| metric.strip_suffix(end));
        return sources.contains(&format!("\"{}\"", plain.unwrap_or(metric)));
    }
    let variable = name.split('=').next().unwrap_or_default();
    if variable.starts_with("STREAMGATE_") && !variable.contains(['*', '<']) {
        return keys.contains(&format!("`{variable}`"));
    }
    if let Some((section, key)) = name.split_once('.')
        && SECTIONS.contains(&section)
        && is_word(key)
    {
        // Kinds of events have names like keys.
        return keys.contains(&format!("`{name}`")) || sources.contains(&format!("\"{name}\""));
    }
    true
}

#[test]
fn operations_keys_and_metrics_in_the_documents_exist() {
    let operations = serde_json::from_str(&read("openapi/openapi.json")).expect("JSON");
    let keys = streamgate::config::environment_table();
    let mut sources = String::new();
    let mut open = vec![root().join("src")];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                fs::read_dir(path).expect("a directory").map(|it| it.expect("an entry").path()),
            );
        } else {
            sources += &fs::read_to_string(path).expect("a file");
        }
    }
    let mut faults = Vec::new();
    for document in documents() {
        let (prose, _) = parts(&read(&document));
        for name in names(&prose) {
            if !exists(name, &operations, &keys, &sources) {
                faults.push(format!("{document}: {name}"));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// The blocks of a document that run, as shell code. Each prints its place in the document.
fn commands(document: &str) -> String {
    let (_, blocks) = parts(&read(document));
    let mut script = String::new();
    let is_shell = |block: &&Block| ["sh", "bash", "shell", "console"].contains(&&*block.language);
    for block in blocks.iter().filter(is_shell) {
        assert_eq!(block.language, "sh", "{document}:{}: the language of commands", block.line);
        if let Some(reason) = block.above.strip_prefix(NOT_RUN.0) {
            let reason = reason.strip_suffix(NOT_RUN.1).unwrap_or_default();
            assert!(!reason.is_empty(), "{document}:{}: not run, without a reason", block.line);
            continue;
        }
        let Block { line, text, .. } = block;
        let _ = writeln!(script, "echo '== {document}:{line}'\n{text}");
    }
    script
}

/// Starts a gateway on a free port, as the guides ask the reader to do.
const PROLOGUE: &str = "set -eu
STREAMGATE_LISTEN=127.0.0.1:0 STREAMGATE_DATA_DIR=gateway-of-the-test \\
  STREAMGATE_ADMIN_PASSWORD='a password for examples' streamgate serve > gateway.out 2> gateway.log &
gateway_of_the_test=$!
trap 'kill $gateway_of_the_test' EXIT
until GATEWAY=$(sed -n 's/^listening on //p' gateway.out | grep .); do sleep 0.05; done
";

/// Runs the commands of a document in one shell, in a separate directory.
fn run(document: &str) -> Result<(), String> {
    let mut script = commands(document);
    if script.is_empty() {
        return Ok(());
    }
    let needs_setup = links(&read(document)).iter().any(|(_, target)| *target == "setup.md");
    if needs_setup && document != SETUP {
        script.insert_str(0, &commands(SETUP));
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_streamgate"));
    let mut paths = vec![binary.parent().expect("a directory").to_owned()];
    paths.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    // At the time limit, `timeout` ends the gateway and every other process that the shell has
    // started.
    let mut shell = Command::new("timeout");
    shell.args(["--kill-after=5", COMMAND_SECONDS, "sh", "-c", &format!("{PROLOGUE}{script}")]);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("STREAMGATE_") {
            shell.env_remove(name);
        }
    }
    shell.env("PATH", std::env::join_paths(paths).expect("paths"));
    shell.current_dir(directory.path()).stdin(Stdio::null());
    let output = shell.output().expect("a shell");
    if output.status.success() {
        return Ok(());
    }
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(format!("{document}: {}\n{out}\n{err}", output.status))
}

#[test]
fn commands_in_the_documents_succeed() {
    let documents = documents();
    let faults: Vec<String> = thread::scope(|scope| {
        let runs: Vec<_> = documents.iter().map(|document| scope.spawn(|| run(document))).collect();
        runs.into_iter().filter_map(|run| run.join().expect("no panic").err()).collect()
    });
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
