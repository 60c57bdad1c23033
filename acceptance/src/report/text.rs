//! Tables in Markdown, and numbers as people read them.

/// Returns a line of cells.
pub fn row<const N: usize>(cells: [String; N]) -> Vec<String> {
    cells.into()
}

/// Returns a table. Bars within a cell are escaped, because they would divide it.
pub fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| {
        let cells: Vec<_> =
            cells.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let head: Vec<String> = head.iter().map(|cell| cell.to_string()).collect();
    let mut text = line(&head) + &"|---".repeat(head.len()) + "|\n";
    rows.into_iter().for_each(|cells| text += &line(&cells));
    text
}

/// Formats a number with three significant digits.
pub fn digits(number: f64) -> String {
    let places = match number.abs() {
        ..0.0995 => 4,
        ..0.995 => 3,
        ..9.95 => 2,
        ..99.5 => 1,
        _ => 0,
    };
    format!("{number:.places$}")
}

/// A time with its unit.
pub fn time(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".into(),
        Some(seconds) if seconds < 999.5e-6 => format!("{} µs", digits(1e6 * seconds)),
        Some(seconds) if seconds < 0.9995 => format!("{} ms", digits(1e3 * seconds)),
        Some(seconds) => format!("{} s", digits(seconds)),
    }
}

/// Bytes with their unit.
pub fn bytes(bytes: Option<u64>) -> String {
    match bytes {
        None => "-".into(),
        Some(bytes) if bytes >= 1 << 30 => {
            format!("{} GiB", digits(bytes as f64 / (1u64 << 30) as f64))
        }
        Some(bytes) if bytes >= 1 << 20 => {
            format!("{} MiB", digits(bytes as f64 / (1u64 << 20) as f64))
        }
        Some(bytes) => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!(
            [0.01234, 0.5, 1.0, 12.34, 123.4, 12345.6].map(digits),
            ["0.0123", "0.500", "1.00", "12.3", "123", "12346"]
        );
        assert_eq!(
            [1.5e-6, 2.346e-3, 1.0].map(|t| time(Some(t))),
            ["1.50 µs", "2.35 ms", "1.00 s"]
        );
        assert_eq!((time(None), bytes(Some(1 << 28))), ("-".into(), "256 MiB".into()));
    }

    #[test]
    fn bars_do_not_part_cells() {
        let text = table(&["a", "b"], [row(["x|y".into(), "1".into()])]);
        assert_eq!(text, "| a | b |\n|---|---|\n| x\\|y | 1 |\n");
    }
}
