//! A kernel's text from its file and all imports.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use super::file::{Arm, Line, Node, parse};
use super::value::{Names, Scope};

/// Names and texts of the files of `shaders/`, in which `::` stands for `/`.
macro_rules! files {
    ($($folder:ident { $($file:ident)* })*) => {
        &[$($((
            concat!(stringify!($folder), "::", stringify!($file)),
            include_str!(concat!(
                "../../../shaders/", stringify!($folder), "/", stringify!($file), ".wgsl"
            )),
        ),)*)*]
    };
}

const FILES: &[(&str, &str)] = files! {
    kernels {
        columns label_logits merge_states nll_backward nll_forward pointwise reduce_partials rows sum_row_weights
        variance_grad zero_fill
    }
    fields { all argmax exp_gap_sum label_rank product squares weights }
    columns { across loads resident short staged streaming }
    rows { block by_class folded label lanes loads merge pairs resident states streaming sums }
    shared {
        aligned anywhere arithmetic classes constants count divisor elements fold formulas fours halves
        labels logits lone offsets operands outcome params parts record resident row softcap state
        tensor totals vectors walk weigh writer
    }
};

static PARSED: LazyLock<HashMap<&str, Result<Vec<Node>, String>>> =
    LazyLock::new(|| FILES.iter().map(|&(name, text)| (name, parse(text))).collect());

/// The origin of a line of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Origin {
    file: &'static str,
    number: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shaders/{}.wgsl:{}", path(self.file), self.number)
    }
}

/// A name that a condition asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Asked {
    /// The file, with `::` for `/`.
    pub file: &'static str,
    /// The line of the file, from 1 on.
    pub line: usize,
    /// The name.
    pub name: &'static str,
    /// Its value.
    pub holds: bool,
}

/// A kernel's text, and the origins of its lines.
#[derive(Debug, Default)]
pub struct Assembly {
    /// WGSL.
    pub text: String,
    origins: Vec<Option<Origin>>,
    /// The names that conditions asked for, in order.
    pub asked: Vec<Asked>,
}

impl Assembly {
    /// Returns the file and line that line `number` of the text, from 1 on, comes from. `None` for lines that Rust
    /// wrote.
    pub fn origin(&self, number: usize) -> Option<String> {
        let origin = self.origins.get(number.checked_sub(1)?)?;
        origin.map(|origin| origin.to_string())
    }

    /// Returns a compiler's report on the text, with file and line before each of its `wgsl:LINE:`.
    pub fn with_origins(&self, report: &str) -> String {
        let mut parts = report.split("wgsl:");
        let mut whole = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            let origin = part[..digits].parse().ok().and_then(|number| self.origin(number));
            whole += &origin.map_or(String::new(), |origin| format!("{origin}, "));
            whole += "wgsl:";
            whole += part;
        }
        whole
    }

    fn push(&mut self, text: &str, origin: Option<Origin>) {
        for line in text.split('\n') {
            // Omitted text leaves no blank lines.
            if line.is_empty() && (self.text.is_empty() || self.text.ends_with("\n\n")) {
                continue;
            }
            self.text += line;
            self.text += "\n";
            self.origins.push(origin);
        }
    }
}

/// Returns the text of a kernel: `head`, then its file after all imports.
///
/// # Panics
/// With file and line, if a file does not parse or asks for a missing name: the files are this crate's own, and a test
/// assembles all kernels.
pub(in crate::kernels) fn assembled(kernel: &str, head: &str, names: &Names) -> Assembly {
    let mut assembler = Assembler::new(names);
    assembler.assembly.push(head.trim_end(), None);
    assembler.file(kernel).unwrap_or_else(|error| panic!("{error}"));
    assembler.assembly
}

/// Returns the text of a file that does not exist in `shaders/`.
#[cfg(test)]
pub(super) fn assembled_from(text: &'static str, names: &Names) -> Result<String, String> {
    let nodes = parse(text)?.leak();
    let mut lines = Lines::new();
    let mut assembler = Assembler::new(names);
    assembler.nodes("test", nodes, &mut lines)?;
    lines.iter().for_each(|(text, origin)| assembler.assembly.push(text, Some(*origin)));
    Ok(assembler.assembly.text)
}

struct Assembler<'a> {
    scope: Scope<'a>,
    imported: Vec<&'static str>,
    assembly: Assembly,
}

/// Lines of a file, with their origins.
type Lines = Vec<(String, Origin)>;

impl<'a> Assembler<'a> {
    fn new(names: &'a Names) -> Self {
        let scope = Scope { names, variables: Vec::new() };
        Self { scope, imported: Vec::new(), assembly: Assembly::default() }
    }

    /// Adds a file after all its imports, unless it is there already.
    fn file(&mut self, name: &str) -> Result<(), String> {
        let Some((&file, nodes)) = PARSED.get_key_value(name) else {
            return Err(format!("there is no shaders/{}.wgsl", path(name)));
        };
        if self.imported.contains(&file) {
            return Ok(());
        }
        self.imported.push(file);
        let nodes = nodes.as_ref().map_err(|e| format!("shaders/{}.wgsl:{e}", path(file)))?;
        let mut lines = Lines::new();
        self.nodes(file, nodes, &mut lines)?;
        self.assembly.push("", None);
        lines.iter().for_each(|(text, origin)| self.assembly.push(text, Some(*origin)));
        Ok(())
    }

    /// Adds the lines of nodes to `lines`, and their imports to the text.
    fn nodes(
        &mut self,
        file: &'static str,
        nodes: &'static [Node],
        lines: &mut Lines,
    ) -> Result<(), String> {
        for node in nodes {
            let at = |number| move |error| format!("{}: {error}", Origin { file, number });
            match node {
                Node::Line(line) => {
                    let text = line.with_names(|name| self.scope.text(name));
                    let origin = Origin { file, number: line.number };
                    lines.push((text.map_err(at(line.number))?, origin));
                }
                Node::Import { number, files } => {
                    files.iter().try_for_each(|file| self.file(file)).map_err(at(*number))?;
                }
                Node::Choice { comment, arms } => {
                    for arm in arms {
                        if self.holds(file, arm).map_err(at(arm.number))? {
                            add_comment(file, comment, lines);
                            self.nodes(file, &arm.body, lines)?;
                            break;
                        }
                    }
                }
                Node::Loop { number, comment, variable, list, body } => {
                    let list = self.scope.list(list).map_err(at(*number))?;
                    if !list.is_empty() {
                        add_comment(file, comment, lines);
                    }
                    for member in list {
                        self.scope.variables.push((variable, member));
                        self.nodes(file, body, lines)?;
                        self.scope.variables.pop();
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns true if the condition of an arm holds. Notes the names that it asks for.
    fn holds(&mut self, file: &'static str, arm: &'static Arm) -> Result<bool, String> {
        let Some(condition) = &arm.condition else { return Ok(true) };
        condition.holds(&mut |name| {
            let holds = self.scope.flag(name)?;
            self.assembly.asked.push(Asked { file, line: arm.number, name, holds });
            Ok(holds)
        })
    }
}

fn add_comment(file: &'static str, comment: &[Line], lines: &mut Lines) {
    lines.extend(comment.iter().map(|line| {
        let text = " ".repeat(line.indent) + line.text;
        (text, Origin { file, number: line.number })
    }));
}

/// Returns a file's path in `shaders/`, without the ending.
fn path(file: &str) -> String {
    file.replace("::", "/")
}
