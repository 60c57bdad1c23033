//! Text without characters that a terminal interprets.

/// Returns true if a terminal may interpret a character: control characters, and those that change
/// the direction of the text around them.
fn is_command(c: char) -> bool {
    let directs = matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}');
    c.is_control() || directs || matches!(c, '\u{2066}'..='\u{2069}')
}

/// Returns a text with such characters as escapes: `\n`, `\u{1b}`.
pub fn visible(text: &str) -> String {
    written_out(text, |c| c.escape_default().to_string())
}

/// Returns JSON with those characters escaped that JSON itself leaves as they are.
pub fn visible_json(json: &str) -> String {
    written_out(json, |c| format!("\\u{:04x}", u32::from(c)))
}

fn written_out(text: &str, as_text: impl Fn(char) -> String) -> String {
    text.chars().map(|c| if is_command(c) { as_text(c) } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_written_out() {
        let text = "é \u{1b}[2J\r\n\t\u{7f}\u{9b}\u{202e}.npy";
        assert_eq!(visible(text), r"é \u{1b}[2J\r\n\t\u{7f}\u{9b}\u{202e}.npy");
        let json = serde_json::to_string(text).unwrap();
        let shown = visible_json(&json);
        assert!(!shown.chars().any(is_command), "{shown}");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
    }
}
