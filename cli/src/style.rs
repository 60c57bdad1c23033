//! Colours for people. They are written always; the streams of `anstream` drop them where the output is no terminal, or
//! `NO_COLOR` or `--color never` says so.

use anstyle::{AnsiColor, Style};
use clap::builder::Styles;

/// The label of a line.
pub const LABEL: Style = Style::new().bold();
/// What is right.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// What is wrong.
pub const BAD: Style = AnsiColor::Red.on_default().bold();

/// The colours of the help.
pub const HELP: Styles = Styles::styled()
    .header(LABEL)
    .usage(LABEL)
    .literal(AnsiColor::Cyan.on_default())
    .error(BAD)
    .valid(GOOD)
    .invalid(BAD);

/// Returns a text in a style.
pub fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}
