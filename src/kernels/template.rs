//! The files of `shaders/`, which lines of them a kernel has, and which it has more than once.

/// A file of `shaders/`.
#[derive(Clone, Copy)]
pub(super) struct Template {
    /// Its name, without the ending.
    pub file: &'static str,
    pub text: &'static str,
}

/// The file of this name.
macro_rules! template {
    ($name:literal) => {
        $crate::kernels::template::Template {
            file: $name,
            text: include_str!(concat!("../../shaders/", $name, ".wgsl")),
        }
    };
}
pub(super) use template;

/// A condition in a file of `shaders/`, and whether it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Condition {
    /// The file, without its ending.
    pub file: &'static str,
    /// The line of the file, from 1 on.
    pub line: usize,
    /// Whether the lines behind it are chosen, and not those behind its `#else`.
    pub holds: bool,
}

impl Template {
    /// Keeps the lines whose conditions hold, and tells the conditions. They stand on lines of their own, nest, and are
    /// `#if NAME`, `#if !NAME`, `#else` and `#endif`.
    ///
    /// # Panics
    /// On unbalanced conditions: the texts are this crate's own, and a test assembles them all.
    pub fn select(self, symbols: &[&str], conditions: &mut Vec<Condition>) -> String {
        let file = self.file;
        let mut kept = String::with_capacity(self.text.len());
        let mut open: Vec<bool> = Vec::new();
        for (number, line) in self.text.lines().enumerate() {
            let line_number = number + 1;
            let at = || format!("{file}.wgsl:{line_number}");
            if let Some(condition) = line.strip_prefix("#if ") {
                let (wanted, name) = match condition.strip_prefix('!') {
                    Some(name) => (false, name),
                    None => (true, condition),
                };
                let holds = symbols.contains(&name) == wanted;
                if open.iter().all(|&holds| holds) {
                    conditions.push(Condition { file, line: line_number, holds });
                }
                open.push(holds);
            } else if line == "#else" {
                let last = open.last_mut().unwrap_or_else(|| panic!("{}: #else without #if", at()));
                *last = !*last;
            } else if line == "#endif" {
                open.pop().unwrap_or_else(|| panic!("{}: #endif without #if", at()));
            } else if open.iter().all(|&holds| holds) {
                kept += line;
                kept += "\n";
            }
        }
        assert!(open.is_empty(), "{file}.wgsl: #if without #endif");
        kept
    }
}

/// Repeats the lines between `#fields` and `#end` for each field of the state beyond those that every state
/// has, with its name for `@`: WGSL has nothing that goes over the members of a structure.
pub(super) fn repeat_fields(text: &str, fields: &[&str]) -> String {
    repeat(text, "#fields\n", |body| fields.iter().map(|field| body.replace('@', field)).collect())
}

/// Repeats the lines between `#each` and `#end` (lines of their own) `times` times, with the number
/// of the repetition for `$`. Loops over registers are written out like this: whether a driver would
/// unroll them is its secret, and an array with a variable index is memory.
pub(super) fn repeat_lines(text: &str, times: u32) -> String {
    repeat(text, "#each\n", |body| {
        (0..times).map(|number| body.replace('$', &format!("{number}u"))).collect()
    })
}

/// What `written` makes of the lines between each `opening` and the next `#end`, in their place.
fn repeat(text: &str, opening: &str, written: impl Fn(&str) -> String) -> String {
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(opening) {
        let (body, behind) = after.split_once("#end\n").expect("a repetition without #end");
        whole += before;
        whole += &written(body);
        rest = behind;
    }
    whole + rest
}

#[cfg(test)]
mod tests {
    use super::{Condition, Template, repeat_fields, repeat_lines};

    #[test]
    fn conditions_nest_and_negate() {
        let text = "a\n#if X\nb\n#if !Y\nc\n#else\nd\n#endif\n#else\ne\n#endif\nf\n";
        let select = |symbols: &[&str]| {
            let mut conditions = Vec::new();
            let chosen = Template { file: "f", text }.select(symbols, &mut conditions);
            let seen: Vec<_> = conditions.iter().map(|c: &Condition| (c.line, c.holds)).collect();
            (chosen, seen)
        };
        assert_eq!(select(&["X"]), ("a\nb\nc\nf\n".to_owned(), vec![(2, true), (4, true)]));
        assert_eq!(select(&["X", "Y"]), ("a\nb\nd\nf\n".to_owned(), vec![(2, true), (4, false)]));
        // A condition that nobody comes to was not asked.
        assert_eq!(select(&["Y"]), ("a\ne\nf\n".to_owned(), vec![(2, false)]));
    }

    #[test]
    fn repetitions_are_numbered() {
        let text = "a\n#each\nx[$] = $;\n#end\nb\n";
        assert_eq!(repeat_lines(text, 2), "a\nx[0u] = 0u;\nx[1u] = 1u;\nb\n");
        assert_eq!(repeat_lines(text, 0), "a\nb\n");
    }

    #[test]
    fn fields_are_named() {
        let text = "a\n#fields\ns.@ = f.@;\n#end\nb\n";
        assert_eq!(repeat_fields(text, &["x", "y"]), "a\ns.x = f.x;\ns.y = f.y;\nb\n");
        assert_eq!(repeat_fields(text, &[]), "a\nb\n");
    }
}
