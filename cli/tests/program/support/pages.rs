//! The pages for users of the program, and their blocks.

/// The pages that show commands of the program: name and text.
pub const PAGES: [(&str, &str); 5] = [
    ("README.md", include_str!("../../../../README.md")),
    ("docs/program.md", include_str!("../../../../docs/program.md")),
    ("docs/files.md", include_str!("../../../../docs/files.md")),
    ("docs/performance.md", include_str!("../../../../docs/performance.md")),
    ("examples/data/README.md", include_str!("../../../../examples/data/README.md")),
];

/// The program's name on the pages.
pub const PROGRAM: &str = "cargo run --release -- ";

/// A fenced block.
pub struct Block<'a> {
    /// The word after the fence.
    pub language: &'a str,
    /// Its lines.
    pub lines: Vec<&'a str>,
    /// True if only blank lines separate it from the block before.
    pub follows: bool,
}

/// The fenced blocks of a page.
pub fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let (mut inside, mut follows) = (false, false);
    for line in page.lines() {
        match (inside, line.strip_prefix("```")) {
            (false, Some(language)) => {
                blocks.push(Block { language, lines: Vec::new(), follows });
                inside = true;
            }
            (true, Some(_)) => (inside, follows) = (false, true),
            (true, None) => blocks.last_mut().unwrap().lines.push(line),
            (false, None) => follows &= line.is_empty(),
        }
    }
    assert!(!inside, "a block without end");
    blocks
}
