//! The examples of the program on the pages: their commands run, and print the output on the page.

use std::path::{Path, PathBuf};

use crate::support::Folder;
use crate::support::pages::{PAGES, PROGRAM, blocks};

/// A folder with the sample data at its place in the repository.
fn with_sample_data() -> Folder {
    let said = std::env::var("CARGO_MANIFEST_DIR");
    let root: PathBuf = said.unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into()).into();
    let folder = Folder::new();
    for new in ["examples/data", "docs"] {
        std::fs::create_dir_all(folder.path(new)).unwrap();
    }
    let data = root.parent().unwrap().join("examples/data");
    for entry in data.read_dir().unwrap() {
        let entry = entry.unwrap();
        let to = folder.path("examples/data").join(entry.file_name());
        std::fs::copy(entry.path(), to).unwrap();
    }
    folder
}

/// Returns true if a printed word is the page's: a number may differ in its last digit.
fn agrees(printed: &str, said: &str) -> bool {
    let (Ok(a), Ok(b)) = (printed.parse::<f64>(), said.parse::<f64>()) else {
        // The eighths of a bar.
        let is_bar = |word: &str| word.chars().all(|c| ('▁'..='▏').contains(&c));
        return printed == said || is_bar(printed) && is_bar(said);
    };
    let (digits, exponent) = said.split_once('e').unwrap_or((said, "0"));
    let decimals = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len() as i32);
    let unit = 10f64.powi(exponent.parse::<i32>().unwrap() - decimals);
    (a - b).abs() <= 1.001 * unit
}

/// Returns true if a printed line is the page's. Devices, times and errors are those of another machine.
fn is_as_said(printed: &str, said: &str) -> bool {
    let label = |line: &str| line.split_whitespace().next().unwrap_or_default().to_owned();
    if label(printed) != label(said) {
        return false;
    }
    match label(said).as_str() {
        "device" | "time" => true,
        "check" => printed.contains("live rows exact, loss off by"),
        _ => {
            let (printed, said) = (printed.split_whitespace(), said.split_whitespace());
            printed.clone().count() == said.clone().count()
                && printed.zip(said).all(|(printed, said)| agrees(printed, said))
        }
    }
}

#[test]
fn commands_print_what_the_pages_show() {
    let folder = with_sample_data();
    let mut compared = 0;
    for (name, page) in PAGES {
        let blocks = blocks(page);
        for (index, block) in blocks.iter().enumerate().filter(|(_, block)| block.language == "sh")
        {
            let commands = block.lines.iter().filter_map(|line| line.strip_prefix(PROGRAM));
            // Those measure for minutes: `pages.rs` checks their options.
            let is_run = |words: &&str| !words.starts_with("bench") && !words.starts_with("tune");
            for words in commands.filter(is_run) {
                let run = folder.run(words).good();
                let shown =
                    blocks.get(index + 1).filter(|next| next.follows && next.language == "text");
                let Some(shown) = shown else { continue };
                let mut printed = run.stdout.lines();
                for said in &shown.lines {
                    let found = printed.any(|printed| is_as_said(printed, said));
                    assert!(found, "{name} shows for {words}:\n{said}\nIt prints:\n{}", run.stdout);
                }
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 7, "blocks with what a command prints");
    assert!(Path::new(&folder.path("docs/heatmap.png")).exists());
}

#[test]
fn other_numbers_are_other() {
    assert!(is_as_said("loss      0.0873421429", "loss 0.0873421430"));
    assert!(!is_as_said("loss      0.0873421409", "loss 0.0873421430"));
    assert!(!is_as_said("rows      1797, none ignored", "rows 1796, none ignored"));
    assert!(!is_as_said("check     wrong", "check live rows exact, loss off by 1e-8"));
}
