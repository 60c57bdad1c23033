//! Every public type and function of the library has an example in its own documentation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use syn::{Attribute, Item, ItemUse, UseTree, Visibility};

/// A module by its path in the crate; the root is empty.
type Module = [String];

/// The text of a module, and its items.
struct File {
    text: String,
    items: Vec<Item>,
}

impl File {
    /// Reads a module; `None` if the crate has no such file.
    fn read(module: &Module) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let path: PathBuf = root.join(module.join("/"));
        let files = match module {
            [] => vec![root.join("lib.rs")],
            _ => vec![path.with_extension("rs"), path.join("mod.rs")],
        };
        let text = files.into_iter().find_map(|file| std::fs::read_to_string(file).ok())?;
        let items = syn::parse_file(&text).expect("Rust").items;
        Some(Self { text, items })
    }

    fn uses(&self) -> impl Iterator<Item = &ItemUse> {
        self.items.iter().filter_map(|item| match item {
            Item::Use(item) => Some(item),
            _ => None,
        })
    }
}

fn is_public(visibility: &Visibility, attributes: &[Attribute]) -> bool {
    let is_hidden = |attribute: &Attribute| {
        let list = attribute.meta.require_list();
        attribute.path().is_ident("doc")
            && list.is_ok_and(|list| list.tokens.to_string() == "hidden")
    };
    matches!(visibility, Visibility::Public(_)) && !attributes.iter().any(is_hidden)
}

/// Collects the paths of a `use`, and the names that it gives them.
fn leaves(tree: &UseTree, before: &[String], found: &mut Vec<(Vec<String>, String)>) {
    let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
    match tree {
        UseTree::Path(path) => leaves(&path.tree, &with(&path.ident), found),
        UseTree::Name(name) => found.push((with(&name.ident), name.ident.to_string())),
        UseTree::Rename(name) => found.push((with(&name.ident), name.rename.to_string())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| leaves(tree, before, found)),
        UseTree::Glob(_) => panic!("a re-export of everything hides what is public"),
    }
}

fn leaves_of(item: &ItemUse) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    leaves(&item.tree, &[], &mut found);
    found
}

const KINDS: [&str; 6] = ["struct", "enum", "trait", "fn", "const", "type"];

/// Returns the kind of an item that a text defines (`struct`, `fn` and so on), and its documentation.
fn definition(text: &str, name: &str) -> Option<(String, String)> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let kind_of = |line: &&str| {
        let words = line.strip_prefix("pub ")?.trim_start_matches("async ");
        let (kind, rest) = words.split_once(' ')?;
        let given = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
        (given == name && KINDS.contains(&kind)).then(|| kind.to_owned())
    };
    let (at, kind) = lines.iter().enumerate().find_map(|(at, line)| Some((at, kind_of(line)?)))?;
    let above = lines[..at].iter().rev();
    let above = above.take_while(|line| line.starts_with("///") || line.starts_with("#["));
    let mut documentation: Vec<&str> = above.copied().collect();
    documentation.reverse();
    Some((kind, documentation.join("\n")))
}

/// Returns the definition of an item of a module, which may come from another one.
fn resolved(module: &Module, name: &str) -> Option<(String, String)> {
    let file = File::read(module)?;
    let passed_on = || {
        let leaves = file.uses().flat_map(leaves_of);
        let mut named = leaves.filter(|(path, given)| given == name && path.len() > 1);
        named.find_map(|(path, _)| {
            let (last, path) = path.split_last()?;
            let from: Vec<String> = match path[0].as_str() {
                "crate" => path[1..].to_vec(),
                "super" => [&module[..module.len() - 1], &path[1..]].concat(),
                "self" => [module, &path[1..]].concat(),
                _ => [module, path].concat(),
            };
            resolved(&from, last)
        })
    };
    definition(&file.text, name).or_else(passed_on)
}

/// Collects the public items of a module and of those in it: kind and documentation by path.
fn collect(module: &Module, found: &mut BTreeMap<String, (String, String)>) {
    let file = File::read(module).expect("a module");
    let mut names = Vec::new();
    for item in &file.items {
        match item {
            Item::Use(item) if is_public(&item.vis, &item.attrs) => {
                // A path of one name is a crate.
                let leaves = leaves_of(item).into_iter().filter(|(path, _)| path.len() > 1);
                names.extend(leaves.map(|(_, name)| name));
            }
            Item::Mod(item) if is_public(&item.vis, &item.attrs) => {
                collect(&[module, &[item.ident.to_string()]].concat(), found);
            }
            Item::Struct(item) if is_public(&item.vis, &item.attrs) => {
                names.push(item.ident.to_string());
            }
            Item::Enum(item) if is_public(&item.vis, &item.attrs) => {
                names.push(item.ident.to_string());
            }
            Item::Trait(item) if is_public(&item.vis, &item.attrs) => {
                names.push(item.ident.to_string());
            }
            Item::Fn(item) if is_public(&item.vis, &item.attrs) => {
                names.push(item.sig.ident.to_string());
            }
            _ => {}
        }
    }
    for name in names {
        let path = [module, std::slice::from_ref(&name)].concat().join("::");
        let item = resolved(module, &name).unwrap_or_else(|| panic!("{path} is defined nowhere"));
        found.insert(path, item);
    }
}

#[test]
fn every_public_type_and_function_has_an_example() {
    let mut found = BTreeMap::new();
    collect(&[], &mut found);
    found.retain(|_, (kind, _)| kind != "const");
    assert!(found.len() >= 80, "{} public items", found.len());
    let without = found.iter().filter(|(_, (_, documentation))| !documentation.contains("/// ```"));
    let without: Vec<&String> = without.map(|(path, _)| path).collect();
    assert!(without.is_empty(), "no example at {without:#?}");
}

#[test]
fn an_example_at_a_neighbour_is_none() {
    let text =
        "/// ```\n/// ```\npub struct A;\n\n/// Text.\n#[derive(Debug)]\npub enum Ab { A }\n";
    let has_example = |name| definition(text, name).map(|(_, text)| text.contains("/// ```"));
    assert_eq!(
        (has_example("A"), has_example("Ab"), has_example("B")),
        (Some(true), Some(false), None)
    );
}
