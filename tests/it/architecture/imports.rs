//! The imports between the files of a crate. An import leads to the file that defines the item, also through
//! re-exports.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;

use super::modules::{Module, Modules};

/// The files that each file imports, with the names that it takes from each.
pub type Imports = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Maximum number of re-exports and globs on one path. A circle of re-exports ends at this limit.
const MAX_STEPS: usize = 16;

/// All imports between the files of a crate.
pub fn imports(modules: &Modules) -> Imports {
    let mut imports = Imports::new();
    for (path, module) in &modules.0 {
        let files = imports.entry(module.file.clone()).or_default();
        for import in paths(module) {
            if let Some((file, name)) = modules.definition(path, &import)
                && file != module.file
            {
                files.entry(file).or_default().insert(name);
            }
        }
    }
    imports
}

impl Modules {
    /// Finds the item that a path in the module `from` leads to. Returns the file that defines the item, and the name
    /// of the item. `None` if the path leads to a module, or out of the crate.
    fn definition(&self, from: &[String], path: &[String]) -> Option<(String, String)> {
        self.find(from, path, 0)
    }

    fn find(&self, from: &[String], path: &[String], steps: usize) -> Option<(String, String)> {
        if steps > MAX_STEPS {
            return None;
        }
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.find_in(&[], rest, steps),
            "self" => self.find_in(from, rest, steps),
            "super" => self.find(from.split_last()?.1, &with_self(rest), steps),
            _ => self.find_in(from, path, steps),
        }
    }

    /// Finds a path that starts in the module `at`.
    fn find_in(&self, at: &[String], path: &[String], steps: usize) -> Option<(String, String)> {
        let module = self.0.get(at)?;
        let (name, rest) = path.split_first()?;
        if name == "super" {
            return self.find(at, path, steps);
        }
        let child = [at, std::slice::from_ref(name)].concat();
        if self.0.contains_key(&child) {
            return self.find_in(&child, rest, steps);
        }
        if module.items.contains(name) {
            return Some((module.file.clone(), name.clone()));
        }
        if let Some(target) = module.uses.get(name)
            && target != path
        {
            return self.find(at, &[&target[..], rest].concat(), steps + 1);
        }
        let globs = module.globs.iter();
        globs.into_iter().find_map(|glob| self.find(at, &[&glob[..], path].concat(), steps + 1))
    }
}

fn with_self(path: &[String]) -> Vec<String> {
    [&["self".to_owned()][..], path].concat()
}

/// The paths that a module uses. A re-export does not count, because it is not an import.
fn paths(module: &Module) -> Vec<Vec<String>> {
    let mut paths: Vec<Vec<String>> = Vec::new();
    let is_facade = module.file.ends_with("mod.rs");
    if !is_facade {
        paths.extend(module.uses.values().cloned());
    }
    for item in &module.code {
        scan(item.to_token_stream(), &mut paths);
    }
    paths
}

/// Adds every path of two or more names in these tokens, also inside macros.
fn scan(tokens: TokenStream, paths: &mut Vec<Vec<String>>) {
    let mut tokens = tokens.into_iter().peekable();
    let mut path: Vec<String> = Vec::new();
    let mut after_pub = false;
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(ident) => {
                let name = ident.to_string();
                after_pub = name == "pub";
                path.push(name.trim_start_matches("r#").to_owned());
                if !is_path_separator(&mut tokens) {
                    take(&mut path, paths);
                }
                continue;
            }
            TokenTree::Group(group) => {
                take(&mut path, paths);
                // `pub(in crate::x)` imports nothing.
                if !(after_pub && group.delimiter() == Delimiter::Parenthesis) {
                    scan(group.stream(), paths);
                }
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => take(&mut path, paths),
        }
        after_pub = false;
    }
    take(&mut path, paths);
}

/// Returns whether `::` and a name follow. If so, consumes the `::`.
fn is_path_separator(
    tokens: &mut std::iter::Peekable<proc_macro2::token_stream::IntoIter>,
) -> bool {
    let is_colon = |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    if !is_colon(tokens.peek()) {
        return false;
    }
    let mut ahead = tokens.clone();
    ahead.next();
    if !is_colon(ahead.peek()) {
        return false;
    }
    ahead.next();
    if !matches!(ahead.peek(), Some(TokenTree::Ident(_))) {
        return false;
    }
    *tokens = ahead;
    true
}

fn take(path: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    let path = std::mem::take(path);
    if path.len() > 1 {
        paths.push(path);
    }
}
