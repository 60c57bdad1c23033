//! The progress of the training: a bar on a terminal, plain lines elsewhere.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

/// Of plain lines, one of so many is printed.
const SPARSE: u64 = 4;

pub struct Progress {
    bar: ProgressBar,
    steps: u64,
    shown: u64,
    start: Instant,
}

impl Progress {
    pub fn new(steps: u64) -> Self {
        let bar = ProgressBar::new(steps);
        let style = ProgressStyle::with_template("{bar:40} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, steps, shown: 0, start: Instant::now() }
    }

    pub fn show(&mut self, step: u64, loss: f32, percent: f64) {
        let seen = format!("loss {loss:.4}, {percent:.2} % right");
        // The bar hides itself if stderr is no terminal.
        if !self.bar.is_hidden() {
            self.bar.set_message(seen);
            self.bar.set_position(step);
        } else if self.shown.is_multiple_of(SPARSE) {
            println!("step      {step} of {}: {seen}", self.steps);
        }
        self.shown += 1;
    }

    pub fn end(&self) {
        self.bar.finish_and_clear();
        println!("trained   {} steps in {:.1} s", self.steps, self.start.elapsed().as_secs_f64());
    }
}
