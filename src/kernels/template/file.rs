//! A file of `shaders/`, parsed: its lines, and the directives that select them.

use super::condition::{Condition, name_length};

/// A line of a file, without its indentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its number in the file, from 1 on.
    pub number: usize,
    pub indent: usize,
    pub text: &'static str,
}

/// A part of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Node {
    Line(Line),
    /// `import folder::file;` or `import folder::{file, file};`
    Import {
        number: usize,
        files: Vec<String>,
    },
    /// `@if(...)`, `@elif(...)` and `@else`: the first arm whose condition holds.
    Choice {
        /// Lines of comment directly above, which belong to it.
        comment: Vec<Line>,
        arms: Vec<Arm>,
    },
    /// `@for(variable in LIST)`
    Loop {
        number: usize,
        comment: Vec<Line>,
        variable: &'static str,
        list: &'static str,
        body: Vec<Node>,
    },
}

/// An item under a condition, or under none (`@else`).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arm {
    pub number: usize,
    pub condition: Option<Condition>,
    pub body: Vec<Node>,
}

/// Parses the text of a file.
pub(super) fn parse(text: &'static str) -> Result<Vec<Node>, String> {
    let lines = text.lines().enumerate().map(|(number, line)| {
        let text = line.trim_start();
        Line { number: number + 1, indent: line.len() - text.len(), text }
    });
    let lines: Vec<Line> = lines.collect();
    nodes(&lines)
}

fn nodes(lines: &[Line]) -> Result<Vec<Node>, String> {
    let mut nodes = Vec::new();
    let mut at = 0;
    while let Some(&line) = lines.get(at) {
        if let Some(imported) = line.text.strip_prefix("import ") {
            let files =
                files(imported).ok_or_else(|| line.error("no folder::file; after import"))?;
            nodes.push(Node::Import { number: line.number, files });
            at += 1;
        } else if line.text.starts_with("@if(") {
            let (arms, count) = choice(&lines[at..])?;
            let comment = comment_above(&mut nodes);
            nodes.push(Node::Choice { comment, arms });
            at += count;
        } else if let Some(header) = line.text.strip_prefix("@for(") {
            let (header, item) = in_parentheses(line, header)?;
            let (variable, list) =
                header.split_once(" in ").ok_or_else(|| line.error("no \"in\" in @for"))?;
            let (body, count) = item_at(&lines[at..], item)?;
            let comment = comment_above(&mut nodes);
            let (variable, list) = (variable.trim(), list.trim());
            nodes.push(Node::Loop { number: line.number, comment, variable, list, body });
            at += count;
        } else if ["@else", "@elif(", "@if(", "@for("].iter().any(|d| line.code().contains(d)) {
            return Err(line.error("a directive that begins no item"));
        } else {
            nodes.push(Node::Line(line));
            at += 1;
        }
    }
    Ok(nodes)
}

/// Returns the names of files in `folder::file;` or `folder::{file, file};`.
fn files(imported: &str) -> Option<Vec<String>> {
    let (folder, files) = imported.strip_suffix(';')?.split_once("::")?;
    let list = files.strip_prefix('{').and_then(|files| files.strip_suffix('}'));
    let files = list.unwrap_or(files).split(',');
    Some(files.map(|file| format!("{folder}::{}", file.trim())).collect())
}

/// Returns the arms of the choice that begins with the first line, and its number of lines.
fn choice(lines: &[Line]) -> Result<(Vec<Arm>, usize), String> {
    let mut arms: Vec<Arm> = Vec::new();
    let mut at = 0;
    while let Some(&line) = lines.get(at) {
        let first = arms.is_empty();
        let header = line.text.strip_prefix(if first { "@if(" } else { "@elif(" });
        let (condition, item) = match (header, line.text.strip_prefix("@else")) {
            (Some(header), _) => {
                let (condition, item) = in_parentheses(line, header)?;
                (Some(Condition::parse(condition).map_err(|error| line.error(&error))?), item)
            }
            (None, Some(item)) => (None, item.trim_start()),
            (None, None) => break,
        };
        let (body, count) = item_at(&lines[at..], item)?;
        let last = condition.is_none();
        arms.push(Arm { number: line.number, condition, body });
        at += count;
        if last {
            break;
        }
    }
    Ok((arms, at))
}

/// Returns the item after a directive on the first line, of which `rest` is left, and the number of lines of both
/// together. Braces around the item are left out.
fn item_at(lines: &[Line], rest: &'static str) -> Result<(Vec<Node>, usize), String> {
    let directive = lines[0];
    // The item may begin on the next line.
    let skipped = usize::from(rest.is_empty());
    let mut item = lines[skipped..].to_vec();
    let Some(first) = item.first_mut() else {
        return Err(directive.error("nothing to decide about"));
    };
    if skipped == 0 {
        *first = Line { text: rest, ..directive };
    }
    let count = item_length(&item).ok_or_else(|| directive.error("an item without end"))?;
    item.truncate(count);
    let body = match &mut item[..] {
        [open, inner @ .., close] if (open.text, close.text) == ("{", "}") => {
            let indent = inner.first().map_or(0, |line| line.indent.saturating_sub(open.indent));
            inner.iter_mut().for_each(|line| line.indent = line.indent.saturating_sub(indent));
            nodes(inner)?
        }
        _ => nodes(&item)?,
    };
    Ok((body, skipped + count))
}

/// Returns the number of lines up to the end of the item that they begin with: the first line at whose end no bracket
/// is open, and which ends as a statement, a member or a block does.
fn item_length(lines: &[Line]) -> Option<usize> {
    let mut open = 0;
    for (at, line) in lines.iter().enumerate() {
        open += line.opened('(', ')') + line.opened('[', ']') + line.opened('{', '}');
        if open < 0 {
            return None;
        }
        if open == 0 && line.code().ends_with([';', ',', '}']) {
            return Some(at + 1);
        }
    }
    None
}

/// Removes and returns the lines of comment that the nodes end with.
fn comment_above(nodes: &mut Vec<Node>) -> Vec<Line> {
    let is_comment = |node: &Node| matches!(node, Node::Line(line) if line.text.starts_with("//"));
    let above = nodes.iter().rev().take_while(|node| is_comment(node)).count();
    let comment = nodes.drain(nodes.len() - above..);
    comment
        .filter_map(|node| match node {
            Node::Line(line) => Some(line),
            _ => None,
        })
        .collect()
}

/// Splits the text after a directive's `(` where its parentheses end.
fn in_parentheses(line: Line, text: &'static str) -> Result<(&'static str, &'static str), String> {
    let mut open = 1;
    for (at, c) in text.char_indices() {
        open += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        if open == 0 {
            return Ok((&text[..at], text[at + 1..].trim_start()));
        }
    }
    Err(line.error("a ) is missing"))
}

impl Line {
    /// Returns its text without a comment.
    fn code(&self) -> &'static str {
        self.text.split_once("//").map_or(self.text, |(code, _)| code).trim_end()
    }

    /// Returns the number of brackets that it opens, less those that it closes.
    fn opened(&self, open: char, close: char) -> i32 {
        let step = |c| i32::from(c == open) - i32::from(c == close);
        self.code().chars().map(step).sum()
    }

    fn error(&self, what: &str) -> String {
        format!("{}: {what}: {:?}", self.number, self.text)
    }

    /// Returns its text with `{name}` replaced by the text that `value` returns for the name.
    pub fn with_names<'a>(
        &self,
        value: impl Fn(&'static str) -> Result<&'a str, String>,
    ) -> Result<String, String> {
        let mut whole = " ".repeat(self.indent);
        let mut rest = self.text;
        while let Some(open) = rest.find('{') {
            let after = &rest[open + 1..];
            let (name, end) = after.split_at(name_length(after));
            if name.is_empty() || !end.starts_with('}') {
                whole += &rest[..=open];
                rest = after;
                continue;
            }
            whole += &rest[..open];
            whole += value(name)?;
            rest = &end[1..];
        }
        Ok(whole + rest)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Names, Value, assembled_from};

    fn assembled(text: &'static str) -> Result<String, String> {
        let mut names = Names::default();
        names.insert_flags([(true, "YES"), (false, "NO")]);
        names.insert("LIST", Value::texts(["x", "y"]));
        assembled_from(text, &names)
    }

    #[test]
    fn items_of_one_line_and_of_several_are_chosen() {
        let text = "struct S {\n    @if(YES) a: u32,   // (\n    @if(NO) b: u32,\n}\n\n// Goes.\n\
                    @if(NO) fn f(\n    a: u32,\n) {\n    return;\n}\n@elif(YES) fn g() {}\n@else fn h() {}\n";
        let chosen = "struct S {\n    a: u32,   // (\n}\n\n// Goes.\nfn g() {}\n";
        assert_eq!(assembled(text).as_deref(), Ok(chosen));
        let text = "// Goes.\n@if(NO) const A = 1;\nconst B = 2;\n";
        assert_eq!(assembled(text).as_deref(), Ok("const B = 2;\n"));
    }

    #[test]
    fn braces_of_a_group_are_left_out() {
        let text =
            "fn f() {\n    @if(YES) {\n        let a = 1;\n        @if(NO) let b = 1;\n    }\n}\n";
        assert_eq!(assembled(text).as_deref(), Ok("fn f() {\n    let a = 1;\n}\n"));
        let text = "@if(YES) {\nconst A = 1;\n\nconst B = 2;\n}\n";
        assert_eq!(assembled(text).as_deref(), Ok("const A = 1;\n\nconst B = 2;\n"));
    }

    #[test]
    fn items_are_repeated_for_each_member_of_a_list() {
        let text = "fn f() {\n    @for(k in LIST) s.{k} = {k};\n    @for(k in LIST) {\n        {\n            let a = {k};\n        \
                    }\n    }\n}\n";
        let repeated = "fn f() {\n    s.x = x;\n    s.y = y;\n    {\n        let a = x;\n    }\n    {\n        \
                        let a = y;\n    }\n}\n";
        assert_eq!(assembled(text).as_deref(), Ok(repeated));
        let text = "@for(k in LIST) @if(YES) fn f_{k}() {}\n";
        assert_eq!(assembled(text).as_deref(), Ok("fn f_x() {}\nfn f_y() {}\n"));
    }

    #[test]
    fn errors_have_their_line() {
        let errors = [
            ("\n@if(MISSPELT) const A = 1;\n", "2: no such name: MISSPELT"),
            ("@if(LIST) const A = 1;\n", "1: LIST is a list, not a flag"),
            ("@for(k in YES) const A = 1;\n", "1: YES is a flag, not a list"),
            ("const A = {NAME};\n", "1: no such name: NAME"),
            ("const A = {LIST.x};\n", "1: no such name: LIST.x"),
            ("@else const A = 1;\n", "1: a directive that begins no item"),
            ("const A = 1; @if(YES) const B = 2;\n", "1: a directive that begins no item"),
            ("@if(YES) fn f() {\n", "1: an item without end"),
            ("@if(YES)\n", "1: nothing to decide about"),
            ("@if(YES && ) const A = 1;\n", "1: \"\" where a name is wanted"),
            ("@if(YES const A = 1;\n", "1: a ) is missing"),
            ("@for(LIST) const A = 1;\n", "1: no \"in\" in @for"),
            ("import shared;\n", "1: no folder::file; after import"),
            ("import shared::nothing;\n", "1: there is no shaders/shared/nothing.wgsl"),
        ];
        for (text, error) in errors {
            let refused = assembled(text).expect_err(text);
            assert!(refused.contains(error), "{text:?}: {refused}");
        }
    }
}
