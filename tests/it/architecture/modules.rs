//! The modules of a crate, from its source files.

use std::collections::HashMap;

use syn::{Item, UseTree, ext::IdentExt};

/// A module: a file, or an inline module of a file.
#[derive(Default)]
pub struct Module {
    /// The file that defines the module.
    pub file: String,
    /// The names of the items that the module defines, without child modules.
    pub items: Vec<String>,
    /// The names that the module imports, each with its path.
    pub uses: HashMap<String, Vec<String>>,
    /// The paths that the module imports with `*`.
    pub globs: Vec<Vec<String>>,
    /// The items themselves, without imports, child modules and tests.
    pub code: Vec<Item>,
}

/// The modules of a crate, by their paths.
#[derive(Default)]
pub struct Modules(pub HashMap<Vec<String>, Module>);

impl Modules {
    /// Reads a crate from its root file. `read` returns the text of a file.
    pub fn load(root: &str, read: &impl Fn(&str) -> Option<String>) -> Self {
        let mut modules = Self::default();
        let (directory, _) = root.rsplit_once('/').unwrap_or(("", root));
        modules.add_file(Vec::new(), root, directory, read);
        modules
    }

    fn add_file(
        &mut self,
        path: Vec<String>,
        file: &str,
        directory: &str,
        read: &impl Fn(&str) -> Option<String>,
    ) {
        let text = read(file).unwrap_or_else(|| panic!("no file {file}"));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        self.add_items(path, file, directory, parsed.items, read);
    }

    fn add_items(
        &mut self,
        path: Vec<String>,
        file: &str,
        directory: &str,
        items: Vec<Item>,
        read: &impl Fn(&str) -> Option<String>,
    ) {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        for item in items {
            if is_for_tests(&item) {
                continue;
            }
            match item {
                Item::Mod(child) => {
                    let name = child.ident.unraw().to_string();
                    let path = [&path[..], std::slice::from_ref(&name)].concat();
                    let directory = join(directory, &name);
                    if let Some((_, items)) = child.content {
                        self.add_items(path, file, &directory, items, read);
                        continue;
                    }
                    let file = format!("{directory}.rs");
                    let file =
                        if read(&file).is_some() { file } else { join(&directory, "mod.rs") };
                    self.add_file(path, &file, &directory, read);
                }
                Item::Use(item) => add_use(&mut module, &[], &item.tree),
                item => {
                    module.items.extend(name_of(&item));
                    module.code.push(item);
                }
            }
        }
        self.0.insert(path, module);
    }
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

fn attributes(item: &Item) -> &[syn::Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn is_for_tests(item: &Item) -> bool {
    attributes(item).iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.unraw().to_string())
}

fn add_use(module: &mut Module, before: &[String], tree: &UseTree) {
    let with = |name: &syn::Ident| [before, &[name.unraw().to_string()]].concat();
    match tree {
        UseTree::Path(path) => add_use(module, &with(&path.ident), &path.tree),
        UseTree::Name(name) if name.ident == "self" => {
            let name = before.last().cloned().unwrap_or_default();
            module.uses.insert(name, before.to_vec());
        }
        UseTree::Name(name) => {
            module.uses.insert(name.ident.unraw().to_string(), with(&name.ident));
        }
        UseTree::Rename(rename) => {
            let path = if rename.ident == "self" { before.to_vec() } else { with(&rename.ident) };
            // Traits that are imported only for their methods are all called `_`.
            let name = if rename.rename == "_" {
                format!("_ {}", module.uses.len())
            } else {
                rename.rename.unraw().to_string()
            };
            module.uses.insert(name, path);
        }
        UseTree::Glob(_) => module.globs.push(before.to_vec()),
        UseTree::Group(group) => {
            group.items.iter().for_each(|tree| add_use(module, before, tree));
        }
    }
}
