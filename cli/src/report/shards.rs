//! The table of shards.

use serde::Serialize;

use super::numbers::{Wide, digits};

/// The number of shards that are listed for a person.
const LISTED: usize = 100;

/// The shards of a loss, in the order of their numbers.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Shards(pub Vec<ShardLine>);

/// A shard.
#[derive(Debug, Serialize)]
pub struct ShardLine {
    pub number: u64,
    pub name: String,
    /// Rows that count.
    pub rows: u64,
    pub mean_loss: Wide,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standard_error: Option<Wide>,
    /// Of tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perplexity: Option<Wide>,
}

impl Shards {
    /// Returns the number of shards.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the lines for a person, with their labels.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let perplexity = |text: &str| match self.0.iter().any(|shard| shard.perplexity.is_some()) {
            true => format!("{text:>12} "),
            false => String::new(),
        };
        let columns = |rows: &str, mean: &str, error: &str, tokens: &str, name: &str| {
            let tokens = perplexity(tokens);
            format!("{rows:>12} {mean:>12} {error:>12} {tokens} {name}")
        };
        let mut lines =
            vec![("shards", columns("rows", "mean loss", "error", "perplexity", "name"))];
        for shard in self.0.iter().take(LISTED) {
            let number = |number: Option<Wide>, count| {
                number.map_or(String::new(), |number| digits(number.0, count))
            };
            let rows = shard.rows.to_string();
            let mean = digits(shard.mean_loss.0, 6);
            let (error, tokens) = (number(shard.standard_error, 3), number(shard.perplexity, 6));
            lines.push(("", columns(&rows, &mean, &error, &tokens, &shard.name)));
        }
        match self.0.len().saturating_sub(LISTED) {
            0 => {}
            more => lines.push(("", format!("and {more} more (--json has all)"))),
        }
        lines
    }
}
