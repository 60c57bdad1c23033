//! `--generate`: completions and manual pages have every subcommand and option, and shells read them. Colours.

use std::collections::BTreeSet;
use std::process::Command;

use crate::support::Folder;

/// The subcommands that the help lists.
fn subcommands(folder: &Folder) -> BTreeSet<String> {
    let help = folder.run("--help").good().stdout;
    let (_, list) = help.split_once("Commands:\n").unwrap();
    let lines = list.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn completions_have_every_subcommand_and_their_options() {
    let folder = Folder::with_logits();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let text = folder.run(&format!("--generate {shell}")).good().stdout;
        let names = subcommands(&folder);
        assert!(names.len() > 12, "{names:?}");
        for name in &names {
            assert!(text.contains(name.as_str()), "{shell}: no {name}");
        }
        for option in ["label-smoothing", "pos-weight", "save-target-grad", "reset"] {
            assert!(text.contains(option), "{shell}: no --{option}");
        }
    }
}

/// Completes words of a command line as bash does.
#[cfg(unix)]
#[test]
fn bash_completes() {
    let folder = Folder::with_logits();
    let script = folder.path("wgpu-loss.bash");
    std::fs::write(&script, folder.run("--generate bash").good().stdout).unwrap();
    let completed = |words: &[&str]| {
        let last = words.len() - 1;
        let list: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let text = format!(
            ". '{}'; COMP_WORDS=({}); COMP_CWORD={last}; f=$(complete -p wgpu-loss); f=${{f#*-F }}; \"${{f%% *}}\" wgpu-loss '{}' '{}'; echo \"${{COMPREPLY[@]}}\"",
            script.display(),
            list.join(" "),
            words[last],
            words[last - 1]
        );
        let done = Command::new("bash").args(["-c", &text]).output().unwrap();
        let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success() && stderr.is_empty(), "{stderr}");
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(completed(&["wgpu-loss", "gauss"]), "gaussian-nll");
    assert_eq!(completed(&["wgpu-loss", "gaussian-nll", "--save-v"]), "--save-var-grad");
    assert_eq!(completed(&["wgpu-loss", "nll", "a", "b", "--reduction", "ba"]), "batchmean");
}

#[test]
fn there_is_a_manual_page_for_every_subcommand() {
    let folder = Folder::with_logits();
    let page = folder.run("--generate man").good().stdout;
    assert!(page.contains(".TH wgpu-loss 1") && page.contains("gaussian\\-nll"), "{page}");
    folder.run("--generate man --into man/new").good();
    let files = folder.path("man/new").read_dir().unwrap();
    let files: BTreeSet<String> =
        files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let wanted = subcommands(&folder).into_iter().map(|name| format!("wgpu-loss-{name}.1"));
    assert_eq!(files, wanted.chain(["wgpu-loss.1".into()]).collect());
    let nll = std::fs::read_to_string(folder.path("man/new/wgpu-loss-nll.1")).unwrap();
    assert!(nll.contains("ignore\\-index") && nll.contains("Exit status"), "{nll}");
}

#[test]
fn files_have_the_names_by_which_shells_find_them() {
    let folder = Folder::with_logits();
    for (shell, name) in [
        ("bash", "wgpu-loss.bash"),
        ("zsh", "_wgpu-loss"),
        ("fish", "wgpu-loss.fish"),
        ("powershell", "_wgpu-loss.ps1"),
        ("elvish", "wgpu-loss.elv"),
    ] {
        folder.run(&format!("--generate {shell} --into completions")).good();
        let text = std::fs::read_to_string(folder.path("completions").join(name)).unwrap();
        assert_eq!(text, folder.run(&format!("--generate {shell}")).good().stdout, "{shell}");
    }
}

#[test]
fn what_cannot_be_generated_is_refused() {
    let folder = Folder::with_logits();
    for (words, code, wanted) in [
        ("--generate tcsh", 2, "possible values: bash, zsh, fish, powershell, elvish, man"),
        ("--generate bash adapters", 2, "--generate stands alone"),
        ("--into folder", 2, "--generate"),
        ("--generate man --into x.npy", 1, "x.npy: "),
        ("", 2, "no subcommand; there are cross-entropy, nll, bce"),
    ] {
        let run = folder.run(words);
        assert_eq!(run.code, Some(code), "{words}: {}", run.stderr);
        assert!(run.stderr.contains(wanted), "{words}: {}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1, "{words}: {}", run.stderr);
    }
}

#[test]
fn colours_are_for_terminals() {
    let folder = Folder::with_logits();
    let words = "cross-entropy x.npy t.npy --device cpu";
    let plain = folder.run(words).good().stdout;
    assert!(!plain.contains('\u{1b}') && plain.contains("loss      0.07155"), "{plain}");
    let coloured = folder.run(&format!("--color always {words}")).good().stdout;
    let label = "\u{1b}[1mloss      \u{1b}[0m0.07155";
    assert!(coloured.contains(label), "{coloured:?}");
    let never = folder.run(&format!("{words} --color never")).good().stdout;
    assert!(!never.contains('\u{1b}'), "{never}");
    // JSON is for programs.
    let json = folder.run(&format!("{words} --color always --json")).good();
    assert!(!json.stdout.contains('\u{1b}') && json.json()["loss"].is_number());
    let failed = folder.run("nll missing.npy t.npy --color always");
    assert!(
        failed.stderr.starts_with("\u{1b}[1m\u{1b}[31mwgpu-loss:\u{1b}[0m "),
        "{:?}",
        failed.stderr
    );
}
