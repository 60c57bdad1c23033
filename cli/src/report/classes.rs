//! The rows of each class, their mean loss, and the number predicted right.

use serde::Serialize;
use wgpu_loss::ClassLosses;

use super::numbers::{Wide, digits};

/// The number of classes that are listed for a person.
const LISTED: usize = 20;

/// The classes that have rows, those with the largest mean loss first.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Classes(Vec<Class>);

/// A class.
#[derive(Debug, Serialize)]
struct Class {
    class: usize,
    rows: u64,
    mean_loss: Wide,
    #[serde(skip_serializing_if = "Option::is_none")]
    correct: Option<u64>,
}

impl Classes {
    /// Makes the list of all classes; `counted` if right predictions were counted.
    pub fn of(all: &ClassLosses, counted: bool) -> Self {
        let sums = all.loss.iter().zip(&all.rows).enumerate();
        let mut classes: Vec<Class> = sums
            .filter(|&(_, (_, &rows))| rows > 0)
            .map(|(class, (&loss, &rows))| {
                let correct = all.correct.get(class).copied().filter(|_| counted);
                Class { class, rows, mean_loss: Wide(loss / rows as f64), correct }
            })
            .collect();
        // NaN is listed before all numbers, because it needs attention.
        let key = |class: &Class| {
            if class.mean_loss.0.is_nan() { f64::INFINITY } else { class.mean_loss.0 }
        };
        classes.sort_by(|a, b| key(b).total_cmp(&key(a)));
        Self(classes)
    }

    /// Returns the lines for a person, with their labels.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let counted = self.0.iter().any(|class| class.correct.is_some());
        let heading = if counted { "right" } else { "" };
        let mut lines = vec![(
            "classes",
            format!("{:>8} {:>12} {:>12} {heading:>8}", "class", "rows", "mean loss")
                .trim_end()
                .into(),
        )];
        for Class { class, rows, mean_loss, correct } in self.0.iter().take(LISTED) {
            let right = correct.map(|correct| 100.0 * correct as f64 / *rows as f64);
            let right = right.map_or(String::new(), |right| format!("{right:>6.1} %"));
            let mean_loss = digits(mean_loss.0, 6);
            lines.push((
                "",
                format!("{class:>8} {rows:>12} {mean_loss:>12} {right:>8}").trim_end().into(),
            ));
        }
        match self.0.len().saturating_sub(LISTED) {
            0 => {}
            more => lines.push(("", format!("and {more} more (--json has all)"))),
        }
        lines
    }
}
