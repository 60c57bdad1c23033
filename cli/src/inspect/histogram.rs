//! The distribution of the losses of rows, and the rows with the largest.

use std::cmp::Ordering;

use serde::Serialize;

use super::count::Counted;
use super::rows::{Rows, steps};
use super::scale;
use crate::error::Failure;
use crate::position::index;
use crate::report::{Number, Wide, digits};

/// The number of the largest losses that are listed.
const WORST: usize = 10;
/// The largest number of bars, if one for every decade is not more.
const BARS: usize = 18;
/// The width of the longest bar, in characters.
const PLACES: usize = 36;
/// Bars are by orders of magnitude if the largest loss is this many times the median.
const SPREAD: f64 = 30.0;
/// The share of the rows that the first of these bars, from 0 on, covers, about.
const TAIL: f64 = 0.01;
/// No bar starts this far below the largest loss, relative to it.
const FAR: f64 = 1e-9;
/// The quantiles that are listed, in addition to the ends.
const SHARES: [(f64, &str); 7] = [
    (0.01, "1 %"),
    (0.05, "5 %"),
    (0.25, "25 %"),
    (0.5, "median"),
    (0.75, "75 %"),
    (0.95, "95 %"),
    (0.99, "99 %"),
];

/// A summary of the losses of rows.
#[derive(Debug, Serialize)]
pub struct Histogram {
    /// The number of rows with a finite loss: those of the bars.
    rows: u64,
    ignored: u64,
    nan: u64,
    infinite: u64,
    least: Number,
    mean: Wide,
    most: Number,
    quantiles: Vec<Quantile>,
    scale: &'static str,
    bars: Vec<Bar>,
    worst: Vec<Worst>,
}

/// A loss that a share of the rows does not exceed.
#[derive(Debug, Serialize)]
struct Quantile {
    share: f64,
    loss: Wide,
    #[serde(skip)]
    name: &'static str,
}

/// The rows whose losses are from one number on and below another.
#[derive(Debug, Serialize)]
struct Bar {
    from: f64,
    to: f64,
    rows: u64,
}

/// A row with one of the largest losses.
#[derive(Debug, Serialize)]
struct Worst {
    position: Vec<u64>,
    loss: Number,
    label: Option<i128>,
}

impl Histogram {
    /// Makes the histogram of all rows.
    pub fn of(rows: &Rows<'_>) -> Result<Self, Failure> {
        let mut counted = Counted::new();
        let mut worst = Largest::default();
        let (mut ignored, mut nan, mut infinite) = (0, 0, 0);
        for range in steps(0..rows.losses.len()) {
            let run = rows.run(range.clone())?;
            for (row, loss) in range.clone().zip(run.losses()) {
                let Some(loss) = loss else {
                    ignored += 1;
                    continue;
                };
                match loss {
                    _ if loss.is_nan() => nan += 1,
                    _ if loss.is_infinite() => infinite += 1,
                    _ => counted.add(loss),
                }
                worst.add(row, loss);
            }
            rows.seen(range);
        }
        let worst = worst.0.iter().map(|&(row, loss)| {
            let position = index(row as u64, &rows.problem.row_shape);
            Ok(Worst { position, loss: Number(loss), label: rows.label(row)? })
        });
        let (scale, bars) = bars(&counted);
        Ok(Self {
            rows: counted.count,
            ignored,
            nan,
            infinite,
            least: Number(if counted.count > 0 { counted.least } else { f32::NAN }),
            mean: Wide(counted.mean()),
            most: Number(if counted.count > 0 { counted.most } else { f32::NAN }),
            quantiles: SHARES
                .map(|(share, name)| Quantile { share, loss: Wide(counted.quantile(share)), name })
                .into(),
            scale,
            bars,
            worst: worst.collect::<Result<_, Failure>>()?,
        })
    }

    /// Returns the lines for a person, with their labels.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let mut first = format!("{} rows with a finite loss", self.rows);
        for (count, what) in
            [(self.ignored, "ignored"), (self.nan, "NaN"), (self.infinite, "infinite")]
        {
            if count > 0 {
                first += &format!(", {count} {what}");
            }
        }
        let mut lines = vec![("losses", first)];
        if self.rows > 0 {
            let Self { least, mean, most, .. } = self;
            let [least, most] = [least, most].map(|ends| digits(ends.0.into(), 5));
            lines.push(("", format!("least {least}, mean {}, most {most}", digits(mean.0, 5))));
            let reported =
                self.quantiles.iter().map(|q| format!("{} {}", q.name, digits(q.loss.0, 4)));
            lines.push(("", reported.collect::<Vec<_>>().join(", ")));
        }
        let longest = self.bars.iter().map(|bar| bar.rows).max().unwrap_or(0).max(1);
        lines.extend(self.bars.iter().map(|bar| ("", bar.line(longest))));
        for (i, Worst { position, loss, label }) in self.worst.iter().enumerate() {
            let label = label.map(|label| format!(", label {label}")).unwrap_or_default();
            let heading = if i == 0 { "worst" } else { "" };
            lines.push((
                heading,
                format!("{:<14} at {position:?}{label}", digits(loss.0.into(), 9)),
            ));
        }
        lines
    }
}

impl Bar {
    fn line(&self, longest: u64) -> String {
        let [from, to] = [self.from, self.to].map(|edge| digits(edge, 4));
        let bar = bar(self.rows as f64 / longest as f64);
        format!("{from:>9} to {to:<9} {bar:<PLACES$} {}", self.rows)
    }
}

/// Draws a bar of block characters, down to an eighth of a character; a share above 0 is always
/// visible.
fn bar(share: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share * (8 * PLACES) as f64).round() as usize;
    let eighths = if share > 0.0 { eighths.max(1) } else { 0 };
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

/// Divides the losses into bars of equal width, or if they have many orders of magnitude, of equal
/// factors.
fn bars(counted: &Counted) -> (&'static str, Vec<Bar>) {
    if counted.count == 0 {
        return ("linear", Vec::new());
    }
    let (least, most) = (f64::from(counted.least), f64::from(counted.most));
    let logs = least >= 0.0 && most > SPREAD * counted.quantile(0.5);
    let edges = match logs {
        false => scale::linear(least, most, BARS),
        true => {
            let tail = counted.quantile(TAIL).max(counted.least_positive()).max(FAR * most);
            let mut edges = scale::logarithmic(tail, most, BARS);
            if least < edges[0] {
                edges.insert(0, 0.0);
            }
            edges
        }
    };
    let counts = counted.between(&edges);
    let bars = edges.windows(2).zip(counts);
    let bars = bars.map(|(edges, rows)| Bar { from: edges[0], to: edges[1], rows });
    (if logs { "log" } else { "linear" }, bars.collect())
}

/// The rows with the largest losses, the first of equal ones before the others.
#[derive(Default)]
struct Largest(Vec<(usize, f32)>);

impl Largest {
    /// Adds the next row.
    fn add(&mut self, row: usize, loss: f32) {
        let full = self.0.len() == WORST;
        // NaN is skipped; the number of NaN is listed elsewhere.
        if loss.is_nan() || (full && self.0.last().is_some_and(|&(_, least)| loss <= least)) {
            return;
        }
        let before = |&(_, other): &(usize, f32)| other.total_cmp(&loss) != Ordering::Less;
        let at = self.0.partition_point(before);
        self.0.insert(at, (row, loss));
        self.0.truncate(WORST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_show_what_there_is() {
        assert_eq!([bar(0.0), bar(1e-9), bar(0.5 / PLACES as f64)], ["", "▏", "▌"]);
        assert_eq!(bar(1.0).chars().count(), PLACES);
    }

    #[test]
    fn the_largest_are_kept_in_order() {
        let mut largest = Largest::default();
        for row in 0..100 {
            largest.add(row, (row * 7 % 20) as f32);
        }
        largest.add(100, f32::NAN);
        largest.add(101, f32::INFINITY);
        let rows: Vec<usize> = largest.0.iter().map(|&(row, _)| row).collect();
        // 7 * 17 is 19 modulo 20, and 7 * 14 is 18.
        assert_eq!(rows, [101, 17, 37, 57, 77, 97, 14, 34, 54, 74]);
    }

    #[test]
    fn many_orders_of_magnitude_make_bars_of_factors() {
        let mut counted = Counted::new();
        (0..1000).for_each(|i| counted.add(10f32.powf(i as f32 / 125.0 - 7.0)));
        let (scale, bars) = bars(&counted);
        assert_eq!(scale, "log");
        assert!(bars.len() <= BARS + 1 && bars.len() >= 8, "{}", bars.len());
        assert!(bars[0].rows < 100 && bars[0].to < 1e-5);
        assert_eq!(bars.iter().map(|bar| bar.rows).sum::<u64>(), 1000);
        let mut counted = Counted::new();
        [10.7f32, 10.9, 10.81].iter().for_each(|&loss| counted.add(loss));
        let (scale, bars) = super::bars(&counted);
        assert!(scale == "linear" && bars[0].from > 10.6 && bars.len() > 5);
        assert_eq!(bars.iter().map(|bar| bar.rows).sum::<u64>(), 3);
    }
}
