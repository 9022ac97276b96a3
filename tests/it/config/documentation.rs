//! The documentation of the configuration, which is generated from the code.

use std::{fs, path::Path};

use streamgate::{
    config::{Config, documentation, environment_table},
    limit::Quota,
};

use crate::config::load::{load, table_rows, variable};

#[test]
fn documented_defaults_equal_the_defaults_in_code() {
    let documentation = documentation();
    // Prose begins with "# ". Optional keys end with "=" and have no default.
    let uncommented = documentation
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if !key.starts_with(' ') => key,
            _ => line,
        })
        .filter(|line| !line.ends_with('='))
        .collect::<Vec<_>>()
        .join("\n");
    let keys = uncommented.lines().filter(|line| line.contains(" = ") && !line.starts_with('#'));
    let with_default = table_rows()
        .iter()
        .filter(|[key, _, default]| default != "absent" && key != "not a key")
        .count();
    assert_eq!(keys.count(), with_default);

    let documented = load(&uncommented, &[]).expect("the documentation is a valid file");
    assert_eq!(documented, load("", &[]).expect("defaults are valid"));
    let in_code = Config { listen: documented.listen, ..Config::for_data_dir("data") };
    assert_eq!(documented, in_code);
}

#[test]
fn each_key_is_in_the_table_under_its_own_variable() {
    let rows = table_rows();
    let (last, keys) = rows.split_last().expect("a table");
    assert_eq!(last[1], "STREAMGATE_ADMIN_PASSWORD");
    assert!(keys.len() > 25, "{keys:?}");
    for [key, name, _] in keys {
        assert_eq!(*name, variable(key));
    }
}

#[test]
fn committed_file_equals_the_generated_documentation() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config.default.toml");
    let committed = fs::read_to_string(path).expect("the file is committed");
    assert!(
        committed == documentation(),
        "src/config.default.toml is outdated: run `streamgate config > src/config.default.toml`"
    );
}

#[test]
fn each_quota_has_the_default_that_its_key_documents() {
    let table = environment_table();
    for quota in Quota::ALL {
        let row = table.lines().find(|row| row.starts_with(&format!("| `{}` |", quota.key())));
        let row = row.unwrap_or_else(|| panic!("no key {}", quota.key()));
        assert_eq!(row.split(" | ").nth(2), Some(&*format!("`{}`", quota.default())), "{row}");
    }
}
