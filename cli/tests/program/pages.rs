//! The program's options on the pages, and the targets of links.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::support::Folder;
use crate::support::pages::{PAGES, PROGRAM, blocks};

const LOSSES: [&str; 8] = [
    "cross-entropy",
    "nll",
    "entropy",
    "bce",
    "bce-with-logits",
    "kl-div",
    "gaussian-nll",
    "poisson-nll",
];
const OVER_CLASSES: [&str; 5] = ["cross-entropy", "nll", "softmax", "log-softmax", "entropy"];

/// The options that a text names.
fn options(text: &str) -> BTreeSet<String> {
    let named = text.split("--").skip(1).map(|rest| {
        let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        rest.split(|c| !is_part(c)).next().unwrap()
    });
    named.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The options that `--help` lists, each at the start of a line.
fn options_of(command: &str) -> BTreeSet<String> {
    let help = Folder::new().run(&format!("{command} --help")).good().stdout;
    let listed = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let names = listed.filter_map(|line| line.split_once("--"));
    let names = names.map(|(_, rest)| rest.split([' ', '=']).next().unwrap().to_owned());
    // These two are the program's.
    names.filter(|name| name != "help" && name != "color").collect()
}

/// The options in the words after the program's name that it does not have.
fn unknown_options(words: &str) -> BTreeSet<String> {
    // Options before any subcommand are the program's own.
    let command = words.split(' ').next().filter(|word| !word.starts_with('-'));
    let known = options_of(command.unwrap_or_default());
    options(words).into_iter().filter(|name| name != "help" && !known.contains(name)).collect()
}

/// The rows of the tables of `docs/program.md`, as cells.
fn rows() -> Vec<Vec<&'static str>> {
    let (_, page) = PAGES[1];
    let table = page.lines().filter(|line| line.starts_with('|'));
    table.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn the_page_has_every_option_of_every_subcommand() {
    let rows = rows();
    let shared = |head: &str| {
        let row = rows.iter().find(|row| row[0] == head).unwrap_or_else(|| panic!("no {head}"));
        options(row[1])
    };
    let [computing, of_losses, of_classes] =
        ["all that compute", "all losses", "everything over classes"].map(shared);
    let mut seen = BTreeSet::new();
    for row in rows.iter().filter(|row| row[0].starts_with('`')) {
        for command in row[0].split(", ").map(|name| name.trim_matches('`')) {
            let mut wanted = options(row[2]);
            if LOSSES.contains(&command) {
                wanted.extend(of_losses.clone());
            }
            if OVER_CLASSES.contains(&command) {
                wanted.extend(of_classes.clone());
            }
            if !["merge", "adapters", "bench", "tune", "diagnose"].contains(&command) {
                wanted.extend(computing.clone());
            }
            assert_eq!(wanted, options_of(command), "{command}");
            seen.insert(command.to_owned());
        }
    }
    let help = Folder::new().run("--help").good().stdout;
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let listed = list.lines().take_while(|line| !line.is_empty());
    let listed = listed.filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let listed: BTreeSet<String> =
        listed.filter(|name| *name != "help").map(str::to_owned).collect();
    assert_eq!(seen, listed);
}

#[test]
fn commands_that_measure_have_options_that_exist() {
    let mut seen = 0;
    for (name, page) in PAGES {
        for line in blocks(page).iter().flat_map(|block| &block.lines) {
            let Some(words) = line.strip_prefix(PROGRAM) else { continue };
            let unknown = unknown_options(words);
            assert!(unknown.is_empty(), "{name}: {line}: {unknown:?}");
            seen += 1;
        }
    }
    assert!(seen >= 10, "{seen} commands");
}

/// The commands that no test runs name scripts, programs of the workspace and options that exist.
#[test]
fn commands_name_what_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let (mut seen, mut wrong) = (0, Vec::new());
    for name in files(&[".md"]) {
        let page = std::fs::read_to_string(root.join(&name)).unwrap();
        for line in blocks(&page).iter().filter(|b| b.language == "sh").flat_map(|b| &b.lines) {
            let command = line.split(" #").next().unwrap();
            let words: Vec<&str> = command.split_whitespace().collect();
            let mut exists = true;
            for pair in words.windows(2) {
                // Of a workspace of its own, in the folder of its page.
                let folders = [root, root.join(&name).parent().unwrap()].map(Path::to_owned);
                let is_there = |folder: &str, what: &str| {
                    let paths = [format!("{folder}/{what}.rs"), format!("{folder}/{what}/main.rs")];
                    let mut places =
                        folders.iter().flat_map(|root| paths.iter().map(|p| root.join(p)));
                    places.any(|path| path.exists()) || root.join("cli").join(&paths[1]).exists()
                };
                exists &= match pair {
                    ["--bench", what] => is_there("benches", what),
                    ["--test", what] => is_there("tests", what),
                    ["--example", what] => is_there("examples", what),
                    _ => continue,
                };
                seen += 1;
            }
            for word in words.iter().filter(|word| word.starts_with("scripts/")) {
                exists &= root.join(word).exists();
                seen += 1;
            }
            if let Some(arguments) = command.strip_prefix("wgpu-loss ") {
                exists &= unknown_options(arguments).is_empty();
                seen += 1;
            }
            if !exists {
                wrong.push(format!("{}: {line}", name.display()));
            }
        }
    }
    assert!(seen >= 25, "{seen} names in commands");
    assert!(wrong.is_empty(), "commands that name what is not there:\n{}", wrong.join("\n"));
}

/// A heading as links name it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|&c| c.is_alphanumeric() || " -_".contains(c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// The text of a page without its fenced blocks.
fn prose(page: &str) -> String {
    let mut inside = false;
    let outside = page.lines().filter(|line| {
        let fence = line.starts_with("```");
        inside ^= fence;
        !inside && !fence
    });
    outside.collect::<Vec<_>>().join("\n")
}

/// Collects the files in a folder and below that have one of these endings, except build outputs.
fn files_below(folder: &Path, endings: &[&str], files: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().unwrap() {
        let entry = entry.unwrap();
        let (name, path) = (entry.file_name().into_string().unwrap(), entry.path());
        if entry.file_type().unwrap().is_dir() {
            if !name.starts_with('.') && name != "target" {
                files_below(&path, endings, files);
            }
        } else if endings.iter().any(|ending| name.ends_with(ending)) {
            files.push(path);
        }
    }
}

/// Returns the files with these endings, by their paths from the repository's root.
fn files(endings: &[&str]) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut all = Vec::new();
    files_below(root, endings, &mut all);
    all.into_iter().map(|path| path.strip_prefix(root).unwrap().to_owned()).collect()
}

/// A renamed file leaves its old name in pages and comments.
#[test]
fn sources_that_texts_name_exist() {
    const ENDINGS: [&str; 5] = [".rs", ".wgsl", ".py", ".toml", ".tsv"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let sources = files(&ENDINGS);
    let (mut seen, mut wrong) = (0, Vec::new());
    for text in files(&[".md", ".rs", ".wgsl"]) {
        // The changelog and the reports of GPUs are about older states.
        if text.starts_with("docs/gpus") || text.ends_with("CHANGELOG.md") {
            continue;
        }
        let is_page = text.extension().is_some_and(|ending| ending == "md");
        let content = std::fs::read_to_string(root.join(&text)).unwrap();
        for line in content.lines().filter(|line| is_page || line.contains("//")) {
            for name in line.split('`').skip(1).step_by(2) {
                let is_source = ENDINGS.iter().any(|ending| name.ends_with(ending));
                if is_source && !name.contains(['*', '<', '{', ' ', '"']) && !name.contains("NAME")
                {
                    seen += 1;
                    let exists = root.join(name).exists();
                    if !exists && !sources.iter().any(|source| source.ends_with(name)) {
                        wrong.push(format!("{}: {name}", text.display()));
                    }
                }
            }
        }
    }
    assert!(seen >= 200, "{seen} names of sources");
    assert!(wrong.is_empty(), "no such source:\n{}", wrong.join("\n"));
}

/// The table is the book's list of chapters, too.
#[test]
fn the_readme_lists_every_page() {
    let (_, readme) = PAGES[0];
    let (_, section) = readme.split_once("## Where everything is\n").unwrap();
    let (table, _) = section.split_once("\n## ").unwrap();
    let listed: BTreeSet<&str> =
        table.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()).collect();
    let pages = files(&[".md"]);
    let missing: Vec<_> = pages
        .iter()
        .filter_map(|page| page.to_str())
        .filter(|page| page.starts_with("docs/") && !page.starts_with("docs/gpus/"))
        .filter(|page| !listed.contains(page))
        .collect();
    assert!(listed.len() >= 15, "{} pages listed", listed.len());
    assert!(missing.is_empty(), "the README's table does not list {missing:?}");
}

#[test]
fn links_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut followed = 0;
    for at in &files(&[".md"]).iter().map(|page| root.join(page)).collect::<Vec<_>>() {
        let (name, folder) = (at.strip_prefix(root).unwrap().display(), at.parent().unwrap());
        let page = prose(&std::fs::read_to_string(at).unwrap());
        for link in page.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if link.starts_with("http") {
                continue;
            }
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let path = if file.is_empty() { at.clone() } else { folder.join(file) };
            assert!(path.exists(), "{name} links to {link}");
            if !place.is_empty() {
                let text = prose(&std::fs::read_to_string(&path).unwrap());
                let headings = text.lines().filter(|line| line.starts_with('#'));
                let mut anchors = headings.map(|line| anchor(line.trim_start_matches('#').trim()));
                assert!(anchors.any(|anchor| anchor == place), "{name} links to {link}");
            }
            followed += 1;
        }
    }
    assert!(followed >= 80, "{followed} links");
}
