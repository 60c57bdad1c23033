//! The rooms of the library: no two files import each other, however far around, and no room imports one above it.
//! What counts is what `use` says; a path that is written out where it is needed is not looked at.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use syn::{Item, UseTree, Visibility};

/// The library's rooms, from the ground up; each may import what is in its own line and below. What has no name here
/// is the meaning of losses and what they are told of: tensors, errors, inputs, outputs, the reference.
const ROOMS: [&[&str]; 5] =
    [&["kernels"], &["plan"], &["device", "scope", "wait"], &["bound"], &["gpu"]];

/// A module by its path in the crate; the root is empty.
type Module = Vec<String>;

/// The modules of a crate, and what they import by `use`.
struct Source {
    /// Paths of imports, from the root on, and whether others may take them from there.
    imports: BTreeMap<Module, Vec<(Module, bool)>>,
}

impl Source {
    fn read(folder: &Path) -> Self {
        let mut files = Vec::new();
        files_below(folder, &mut files);
        let modules: BTreeMap<Module, PathBuf> = files
            .into_iter()
            .map(|file| (module_of(file.strip_prefix(folder).expect("a file of the crate")), file))
            .collect();
        assert!(modules.len() > 40, "{} modules", modules.len());
        let imports = modules.iter().map(|(module, file)| {
            let text = std::fs::read_to_string(file).expect("a file");
            let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{file:?}: {error}"));
            let mut found = Vec::new();
            for item in parsed.items {
                let Item::Use(item) = item else { continue };
                let is_public = !matches!(item.vis, Visibility::Inherited);
                let mut paths = Vec::new();
                flattened(&item.tree, Vec::new(), &mut paths);
                let from_root =
                    paths.into_iter().filter_map(|path| from_root(module, path, &modules));
                found.extend(from_root.map(|path| (path, is_public)));
            }
            (module.clone(), found)
        });
        Self { imports: imports.collect() }
    }

    /// The module that has what a path names: the file that it is taken from, through what others pass on.
    fn home(&self, path: &[String], depth: usize) -> Option<Module> {
        assert!(depth < 10, "{path:?} is passed on for ever");
        let known =
            (0..=path.len()).rev().find(|&count| self.imports.contains_key(&path[..count]))?;
        let module = &path[..known];
        let Some(name) = path.get(known) else { return Some(module.to_vec()) };
        let passed_on = self.imports[module].iter().find(|(given, is_public)| {
            *is_public && given.last() == Some(name) && given[..] != path[..=known]
        });
        match passed_on {
            Some((given, _)) => self.home(given, depth + 1),
            None => Some(module.to_vec()),
        }
    }

    /// Which modules each one imports from. What it passes on it does not use.
    fn graph(&self) -> BTreeMap<&Module, BTreeSet<Module>> {
        let used = |module: &Module, paths: &Vec<(Module, bool)>| -> BTreeSet<Module> {
            let paths = paths.iter().filter(|(_, is_public)| !is_public);
            paths.filter_map(|(path, _)| self.home(path, 0)).filter(|home| home != module).collect()
        };
        self.imports.iter().map(|(module, paths)| (module, used(module, paths))).collect()
    }
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files_below(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

fn module_of(file: &Path) -> Module {
    let without = file.with_extension("");
    let mut module: Module =
        without.iter().map(|part| part.to_str().expect("a name").to_owned()).collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        module.pop();
    }
    module
}

fn flattened(tree: &UseTree, before: Module, paths: &mut Vec<Module>) {
    let with = |name: String| [&before[..], &[name]].concat();
    match tree {
        UseTree::Path(path) => flattened(&path.tree, with(path.ident.to_string()), paths),
        UseTree::Group(group) => {
            group.items.iter().for_each(|tree| flattened(tree, before.clone(), paths));
        }
        UseTree::Name(name) if name.ident == "self" => paths.push(before),
        UseTree::Name(name) => paths.push(with(name.ident.to_string())),
        UseTree::Rename(rename) => paths.push(with(rename.ident.to_string())),
        UseTree::Glob(_) => paths.push(before),
    }
}

/// The path from the crate's root on; `None` for what is of another crate.
fn from_root(module: &Module, path: Module, modules: &BTreeMap<Module, PathBuf>) -> Option<Module> {
    let supers = path.iter().take_while(|name| *name == "super").count();
    let child = || modules.contains_key(&[&module[..], &path[..1]].concat());
    let (base, rest) = match path[0].as_str() {
        "crate" => (&[][..], &path[1..]),
        "self" => (&module[..], &path[1..]),
        "super" => (&module[..module.len() - supers], &path[supers..]),
        _ if child() => (&module[..], &path[..]),
        _ => return None,
    };
    Some([base, rest].concat())
}

/// The imports that lead back to the module that has them, directly or through others.
fn circles<'a>(graph: &BTreeMap<&'a Module, BTreeSet<Module>>) -> Vec<(&'a Module, Module)> {
    let reached: HashMap<&Module, BTreeSet<&Module>> = graph
        .keys()
        .map(|&start| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
            while let Some(module) = open.pop() {
                let next = graph[module].iter().filter_map(|next| graph.get_key_value(next));
                for (&next, _) in next {
                    if seen.insert(next) {
                        open.push(next);
                    }
                }
            }
            (start, seen)
        })
        .collect();
    let of_circles = graph.iter().flat_map(|(&module, imports)| {
        let back = |import: &&Module| reached.get(import).is_some_and(|seen| seen.contains(module));
        imports.iter().filter(back).map(move |import| (module, import.clone())).collect::<Vec<_>>()
    });
    of_circles.collect()
}

fn library() -> Source {
    Source::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

fn said(arrows: impl IntoIterator<Item = (Module, Module)>) -> String {
    let arrow = |(from, to): (Module, Module)| format!("{} -> {}", from.join("::"), to.join("::"));
    arrows.into_iter().map(arrow).collect::<Vec<_>>().join("\n")
}

#[test]
fn no_two_files_import_each_other() {
    let source = library();
    let graph = source.graph();
    let arrows: usize = graph.values().map(BTreeSet::len).sum();
    assert!(arrows > 200, "only {arrows} imports are seen");
    let found = circles(&graph);
    assert!(found.is_empty(), "{}", said(found.into_iter().map(|(a, b)| (a.clone(), b))));
}

#[test]
fn no_room_imports_one_above() {
    let source = library();
    let floor = |module: &Module| {
        let room = module.first().map_or("", String::as_str);
        ROOMS.iter().position(|rooms| rooms.contains(&room)).map_or(0, |floor| floor + 1)
    };
    let mut up = Vec::new();
    for (module, imports) in source.graph() {
        // The root passes on what is public.
        let above = imports.into_iter().filter(|import| floor(import) > floor(module));
        up.extend(above.map(|import| (module.clone(), import)));
    }
    assert!(up.is_empty(), "{}", said(up));
}
