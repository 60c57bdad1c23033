//! The pieces of a batch that no GPU has taken.

use crate::stream::{Cut, RowRange};

/// Pieces in the order of their rows, and pieces that a GPU has given back.
pub(super) struct Queue {
    cut: Box<dyn Iterator<Item = RowRange> + Send>,
    returned: Vec<RowRange>,
    /// The number of pieces in both.
    left: usize,
    /// The extents of a piece, outer and inner: larger ones are cut when they are taken.
    largest: (usize, usize),
}

impl Queue {
    pub fn new(cut: &Cut) -> Self {
        let (largest, left) = (cut.largest(), cut.len());
        Self { cut: Box::new(cut.pieces()), returned: Vec::new(), left, largest }
    }

    /// Returns the number of pieces, or less: those that are larger than the largest count as one.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Returns the largest extents of a piece, outer and inner.
    pub fn largest(&self) -> (usize, usize) {
        self.largest
    }

    /// Takes the next piece.
    pub fn take(&mut self) -> Option<RowRange> {
        let piece = self.returned.pop().or_else(|| self.cut.next())?;
        let (piece, rest) = piece.split(self.largest);
        match rest {
            Some(rest) => self.returned.push(rest),
            None => self.left -= 1,
        }
        Some(piece)
    }

    /// Gives a piece back that was not computed.
    pub fn give_back(&mut self, piece: RowRange) {
        self.returned.push(piece);
        self.left += 1;
    }

    /// Halves the pieces. Returns false if they have a single row.
    pub fn halve(&mut self) -> bool {
        match &mut self.largest {
            (1, 1) => return false,
            (1, longer) | (longer, _) => *longer = longer.div_ceil(2),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::Shapes;
    use crate::{CrossEntropy, LabelType, Loss, Outputs, TargetType};

    fn queue(shape: &[usize], aim: u64) -> Queue {
        let labels = [&shape[..1], &shape[2..]].concat();
        let shapes = Shapes::new(shape).target(TargetType::Labels(LabelType::U8), &labels);
        Queue::new(&Cut::about(
            &CrossEntropy::new().problem(&shapes, Outputs::loss()).unwrap(),
            aim,
        ))
    }

    /// Every row is computed once, whatever is given back and halved meanwhile.
    #[test]
    fn every_row_is_taken_once() {
        for (shape, aim) in [(&[100, 3][..], 130), (&[3, 5, 700], 900), (&[7, 2], 1 << 20)] {
            let mut queue = queue(shape, aim);
            let inner = shape.get(2).copied().unwrap_or(1);
            let mut seen = vec![0; shape[0] * inner];
            let mut turn = 0;
            while let Some(piece) = queue.take() {
                let (outer, inner_most) = queue.largest();
                assert!(piece.outer.len() <= outer && piece.inner.len() <= inner_most);
                assert!(!piece.outer.is_empty() && !piece.inner.is_empty());
                turn += 1;
                match turn % 5 {
                    2 => queue.give_back(piece),
                    3 => {
                        queue.give_back(piece);
                        queue.halve();
                    }
                    _ => {
                        let rows =
                            piece.outer.flat_map(|o| piece.inner.clone().map(move |i| (o, i)));
                        rows.for_each(|(o, i)| seen[o * inner + i] += 1);
                    }
                }
            }
            assert_eq!(queue.left(), 0);
            assert!(seen.iter().all(|&count| count == 1), "{shape:?}: {seen:?}");
        }
    }

    #[test]
    fn a_row_is_not_halved() {
        let mut queue = queue(&[9, 2, 3], 1 << 20);
        let halved = std::iter::from_fn(|| queue.halve().then(|| queue.largest()));
        assert_eq!(Vec::from_iter(halved), [(5, 3), (3, 3), (2, 3), (1, 3), (1, 2), (1, 1)]);
    }
}
