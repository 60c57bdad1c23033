//! A bar on stderr, if stderr is a terminal and the work takes a while.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Work that takes less than this shows nothing.
const DELAY: Duration = Duration::from_secs(1);

/// The progress of the work.
pub struct Meter {
    what: &'static str,
    rows: u64,
    /// The bytes of the files per row.
    row_bytes: f64,
    quiet: bool,
    start: Instant,
    bar: Option<ProgressBar>,
}

impl Meter {
    /// Begins the progress of work over `rows` rows that have `bytes` bytes in all.
    pub fn new(what: &'static str, rows: u64, bytes: u64, quiet: bool) -> Self {
        let row_bytes = bytes as f64 / rows.max(1) as f64;
        Self { what, rows, row_bytes, quiet, start: Instant::now(), bar: None }
    }

    /// Sets the number of rows that are done.
    pub fn done(&mut self, rows: u64) {
        let elapsed = self.start.elapsed();
        if self.quiet || (self.bar.is_none() && elapsed < DELAY) {
            return;
        }
        let rate = rows as f64 / elapsed.as_secs_f64();
        let left = self.rows.saturating_sub(rows) as f64 / rate;
        let left = if left.is_finite() { format!(", {left:.0} s left") } else { String::new() };
        let bytes = rate * self.row_bytes / 1e9;
        let message = format!("{}rows/s, {bytes:.2} GB/s{left}", counted(rate));
        let bar = self.bar.get_or_insert_with(|| bar(self.what, self.rows));
        bar.set_position(rows);
        bar.set_message(message);
    }
}

/// The progress over several shards: one bar for all of them.
pub struct ShardMeter {
    shards: usize,
    /// Shards that were begun.
    begun: usize,
    name: String,
    quiet: bool,
    start: Instant,
    bar: Option<ProgressBar>,
}

/// The units of a shard on the bar.
const SHARD: u64 = 1000;

impl ShardMeter {
    /// Begins the progress over so many shards.
    pub fn new(shards: usize, quiet: bool) -> Self {
        let (begun, name, start) = (0, String::new(), Instant::now());
        Self { shards, begun, name, quiet, start, bar: None }
    }

    /// Begins the next shard.
    pub fn begin(&mut self, name: &str) {
        self.begun += 1;
        self.name = name.into();
    }

    /// Sets the number of rows of the shard that are done, of all its rows.
    pub fn done(&mut self, rows: u64, of: u64) {
        let part = rows as f64 / of.max(1) as f64;
        let before = self.begun.saturating_sub(1) as u64 * SHARD;
        let elapsed = self.start.elapsed();
        if self.quiet || (self.bar.is_none() && elapsed < DELAY) {
            return;
        }
        let message = format!("shard {} of {}, {}", self.begun, self.shards, self.name);
        let all = self.shards as u64 * SHARD;
        let bar = self.bar.get_or_insert_with(|| bar("computing", all));
        bar.set_position(before + (part * SHARD as f64) as u64);
        bar.set_message(message);
    }

    /// Prints a line while the bar is hidden.
    pub fn hidden(&self, print: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

impl Drop for ShardMeter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Makes a bar on stderr, which is not drawn if that is no terminal.
fn bar(what: &'static str, rows: u64) -> ProgressBar {
    let bar = ProgressBar::new(rows).with_prefix(what);
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {percent} %, {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// Formats a number in about three digits.
fn counted(number: f64) -> String {
    match number {
        1e9.. => format!("{:.2} G", number / 1e9),
        1e6.. => format!("{:.2} M", number / 1e6),
        1e3.. => format!("{:.2} k", number / 1e3),
        _ => format!("{number:.1} "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let numbers = [0.5, 999.0, 1234.0, 5.6e6, 7.89e9].map(counted);
        assert_eq!(numbers, ["0.5 ", "999.0 ", "1.23 k", "5.60 M", "7.89 G"]);
    }
}
