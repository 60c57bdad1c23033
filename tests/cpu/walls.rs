//! The rooms of the library: no two files import each other, directly or through others (nor those of the program, of
//! the acceptance, of the integrations and of the Python package), and no room imports one above it. Only `use`
//! declarations count; a path that is written out at its use is not checked.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use syn::{Item, UseTree, Visibility};

/// The library's rooms, from the ground up; each may import from its own line and below. Modules without a name here
/// are the meaning of losses: tensors, errors, inputs, outputs, the reference, and the parts that its streams share
/// with those of a GPU.
const ROOMS: [&[&str]; 5] =
    [&["kernels"], &["plan"], &["device", "error_scope", "poll"], &["bound"], &["gpu"]];

/// A module by its path in the crate; the root is empty.
type Module = Vec<String>;

/// The modules of a crate, and what they import by `use`.
struct Source {
    /// Paths of imports from the root, and true for those that are re-exported.
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

    /// Returns the module that defines the name of a path, through re-exports.
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

    /// Returns the modules that each one imports from. Re-exports are not counted.
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

/// Returns the path from the crate's root; `None` for a path of another crate.
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

/// Returns the imports that lead back to the module that has them, directly or through others.
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

fn source(folder: &str) -> Source {
    Source::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
}

fn said(arrows: impl IntoIterator<Item = (Module, Module)>) -> String {
    let arrow = |(from, to): (Module, Module)| format!("{} -> {}", from.join("::"), to.join("::"));
    arrows.into_iter().map(arrow).collect::<Vec<_>>().join("\n")
}

#[test]
fn no_two_files_import_each_other() {
    let folders = [
        ("src", 200),
        ("cli/src", 100),
        ("acceptance/src", 20),
        ("integrations/burn/src", 20),
        ("integrations/mpi/src", 5),
        ("integrations/web/src", 10),
        ("python/src", 10),
    ];
    for (folder, few) in folders {
        let source = source(folder);
        let graph = source.graph();
        let arrows: usize = graph.values().map(BTreeSet::len).sum();
        assert!(arrows > few, "only {arrows} imports are seen in {folder}");
        let found = circles(&graph);
        let found = said(found.into_iter().map(|(a, b)| (a.clone(), b)));
        assert!(found.is_empty(), "{folder}: {found}");
    }
}

#[test]
fn no_room_imports_one_above() {
    let source = source("src");
    for room in ROOMS.concat() {
        assert!(source.imports.contains_key(&[room.to_owned()][..]), "there is no module {room}");
    }
    let floor = |module: &Module| {
        let room = module.first().map_or("", String::as_str);
        ROOMS.iter().position(|rooms| rooms.contains(&room)).map_or(0, |floor| floor + 1)
    };
    let mut up = Vec::new();
    for (module, imports) in source.graph() {
        // The root re-exports the public names.
        let above = imports.into_iter().filter(|import| floor(import) > floor(module));
        up.extend(above.map(|import| (module.clone(), import)));
    }
    assert!(up.is_empty(), "{}", said(up));
}

/// A file of `shaders/`: its imports, its declarations, and the names of other files that it uses.
struct Shader {
    imports: BTreeSet<Module>,
    declared: BTreeSet<String>,
    used: BTreeSet<String>,
}

impl Shader {
    fn read(text: &str) -> Self {
        let mut shader =
            Self { imports: BTreeSet::new(), declared: BTreeSet::new(), used: BTreeSet::new() };
        let mut local = BTreeSet::new();
        for line in text.lines() {
            let code = item(line.split("//").next().unwrap_or_default().trim());
            if let Some(imported) = code.strip_prefix("import ") {
                let (folder, files) = imported.split_once("::").expect("folder::file");
                let files = files.trim_matches(['{', '}', ';']).split(',');
                let module =
                    |file: &str| [folder, file.trim_matches([' ', '}'])].map(str::to_owned);
                shader.imports.extend(files.map(|file| module(file).to_vec()));
                continue;
            }
            let is_declared = ["fn ", "struct ", "const ", "alias ", "var<"];
            let names = names(code);
            if is_declared.iter().any(|kind| code.starts_with(kind)) {
                let of_variable = usize::from(code.starts_with("var<"));
                let name = names[1 + of_variable].0.clone();
                match name.as_str() {
                    "*" => shader.declared.extend(constants()),
                    _ => drop(shader.declared.insert(name)),
                }
            }
            for window in names.windows(2) {
                let is_local = ["let", "var"].contains(&window[0].0.as_str());
                local.extend(is_local.then(|| window[1].0.clone()));
            }
            for (name, before, after) in names {
                match (before, after) {
                    (Some('.'), _) => {}
                    (_, Some(':')) => drop(local.insert(name)),
                    _ => drop(shader.used.insert(name)),
                }
            }
        }
        let is_declared = |name: &String| shader.declared.iter().any(|other| is_named(other, name));
        shader.used.retain(|name| !local.contains(name) && !is_declared(name));
        shader
    }
}

/// Returns the constants that Rust defines for both sides: `const {c.name}` in the shaders.
fn constants() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/words.rs");
    let text = std::fs::read_to_string(path).expect("the constants");
    let list = text.split_once("constants! {").expect("a list").1;
    let names = list.lines().filter_map(|line| line.trim().split_once(" = "));
    names.map(|(name, _)| name.to_owned()).collect()
}

/// Returns a line without the directives at its start.
fn item(code: &str) -> &str {
    let mut rest = code.strip_prefix("@else ").unwrap_or(code);
    while ["@if(", "@elif(", "@for("].iter().any(|directive| rest.starts_with(directive)) {
        let mut open = 0;
        let end = rest.char_indices().find(|&(_, c)| {
            open += i32::from(c == '(') - i32::from(c == ')');
            c == ')' && open == 0
        });
        rest = rest[end.expect("a )").0 + 1..].trim_start();
    }
    rest
}

/// Returns the names in a line, with the characters before and after each. A part in braces that stands for any name is
/// a `*`.
fn names(code: &str) -> Vec<(String, Option<char>, Option<char>)> {
    let mut names = Vec::new();
    let mut rest = code;
    let mut before = None;
    while !rest.is_empty() {
        let mut name = String::new();
        let mut length = 0;
        while let Some(c) = rest[length..].chars().next() {
            match variable(&rest[length..]) {
                Some(after) => {
                    name.push('*');
                    length = rest.len() - after.len();
                }
                None if c.is_alphanumeric() || c == '_' => {
                    name.push(c);
                    length += 1;
                }
                None => break,
            }
        }
        let after = rest[length..].chars().next();
        if name == "*" || name.starts_with(|c: char| c.is_alphabetic()) {
            names.push((name, before, after));
        }
        before = after;
        rest = &rest[(length + after.map_or(0, char::len_utf8)).min(rest.len())..];
    }
    names
}

/// Returns true if two names may be the same; in one of them a `*` may stand for any part.
fn is_named(a: &str, b: &str) -> bool {
    let matches = |pattern: &str, name: &str| {
        pattern.split_once('*').is_some_and(|(start, end)| {
            name.len() > start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
        })
    };
    a == b || matches(a, b) || matches(b, a)
}

/// Returns the files that kernels are made of: those in folders. A file outside belongs to no loss.
fn texts() -> BTreeMap<Module, String> {
    let shaders = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
    let mut all = BTreeMap::new();
    for folder in shaders.read_dir().expect("the shaders") {
        let folder = folder.expect("an entry").path();
        for file in folder.read_dir().into_iter().flatten() {
            let path = file.expect("a file").path();
            let module = module_of(path.strip_prefix(&shaders).expect("a shader"));
            all.insert(module, std::fs::read_to_string(&path).expect("a text"));
        }
    }
    assert!(all.len() > 30, "{} shaders", all.len());
    all
}

fn shaders() -> BTreeMap<Module, Shader> {
    texts().into_iter().map(|(module, text)| (module, Shader::read(&text))).collect()
}

/// Returns the text after `{name}` or `{name.field}`, if it begins with such a variable.
fn variable(text: &str) -> Option<&str> {
    let (name, after) = text.strip_prefix('{')?.split_once('}')?;
    let is_name = |c: char| c.is_alphanumeric() || "._".contains(c);
    (!name.is_empty() && name.chars().all(is_name)).then_some(after)
}

/// Returns the number of conditions that each line is under, its own and its function's included.
fn depths(text: &str) -> Vec<usize> {
    let mut open: Vec<usize> = Vec::new();
    let depth = |line: &str| {
        let code = line.split("//").next().unwrap_or_default();
        let item = item(code.trim());
        let directives = &code[..code.len() - item.len()];
        let own = ["@if(", "@elif(", "@else"].iter().map(|d| directives.matches(d).count()).sum();
        let depth = open.iter().sum::<usize>() + own;
        // The body of the first brace is under the line's conditions.
        let (mut own, mut rest) = (Some(own), item);
        while let Some(at) = rest.find(['{', '}']) {
            let after = &rest[at + 1..];
            match (&rest[at..=at], variable(&rest[at..])) {
                (_, Some(after)) => rest = after,
                ("{", None) => {
                    open.push(own.take().unwrap_or(0));
                    rest = after;
                }
                _ => {
                    open.pop();
                    rest = after;
                }
            }
        }
        depth
    };
    text.lines().map(depth).collect()
}

#[test]
fn conditions_stand_two_deep_at_most() {
    let deepest = texts().values().flat_map(|text| depths(text)).max();
    assert_eq!(deepest, Some(2));
}

#[test]
fn shaders_import_no_kernels_and_not_in_circles() {
    let shaders = shaders();
    let graph: BTreeMap<_, _> =
        shaders.iter().map(|(module, shader)| (module, shader.imports.clone())).collect();
    let found = circles(&graph);
    assert!(found.is_empty(), "{}", said(found.into_iter().map(|(a, b)| (a.clone(), b))));
    for (module, shader) in &shaders {
        // The parts of a kernel are its own.
        let is_own = |import: &Module| {
            ["shared", "fields", &module[0], &module[1]].contains(&import[0].as_str())
        };
        let others: Vec<_> =
            shader.imports.iter().filter(|i| i[0] == "kernels" || !is_own(i)).collect();
        assert!(others.is_empty(), "{module:?} imports {others:?}");
    }
}

/// A file of `shaders/` lists its parts at its top: it imports the files of all names that it uses, and no others.
#[test]
fn shaders_import_what_they_name() {
    let shaders = shaders();
    let mut wrong = Vec::new();
    for (module, shader) in &shaders {
        let mut needed = BTreeSet::new();
        for name in &shader.used {
            let declaring: BTreeSet<&Module> = shaders
                .iter()
                .filter(|(_, other)| other.declared.iter().any(|declared| is_named(declared, name)))
                .map(|(module, _)| module)
                .collect();
            // Its variable is declared before all files.
            let params = ["shared", "params"].map(str::to_owned).to_vec();
            let declaring = if name == "params" { BTreeSet::from([&params]) } else { declaring };
            let found: Vec<&Module> = shader
                .imports
                .iter()
                .filter(|import| {
                    declaring.contains(import) || passes_on(&shaders[*import], &declaring)
                })
                .collect();
            if found.is_empty() && !declaring.is_empty() && is_for(module, &declaring) {
                wrong.push(format!("{} uses {name} of {declaring:?}", module.join("::")));
            }
            needed.extend(found);
        }
        // It calls functions that are declared here: the walk over blocks calls a kernel's.
        let calls = |import: &&Module| {
            let mut used = shaders[*import].used.iter();
            used.any(|name| shader.declared.iter().any(|declared| is_named(declared, name)))
        };
        needed.extend(shader.imports.iter().filter(calls));
        // A file of nothing but imports is a name for them.
        let idle = shader
            .imports
            .iter()
            .filter(|import| !needed.contains(import) && !shader.used.is_empty());
        wrong.extend(idle.map(|import| format!("{} does not need {import:?}", module.join("::"))));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Returns true if a file has nothing but imports, and one of these among them.
fn passes_on(shader: &Shader, declaring: &BTreeSet<&Module>) -> bool {
    shader.declared.is_empty() && shader.imports.iter().any(|import| declaring.contains(import))
}

/// Returns true if one of the files that declare a name may be imported at all: other kernels have names of their own.
fn is_for(module: &Module, declaring: &BTreeSet<&Module>) -> bool {
    let rooms = ["shared", "fields", &module[0], &module[1]];
    declaring.iter().any(|other| other[0] != "kernels" && rooms.contains(&other[0].as_str()))
}
