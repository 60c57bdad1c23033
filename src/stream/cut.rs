//! The pieces that a call is cut into: the rows of each, and the byte ranges of their elements in the tensors.

use std::ops::Range;

use crate::loss::{CallTensor, Divisor, Pointwise, Upstream};
use crate::tensor::{Axes, ClassView, ElementType};
use crate::{BadValue, Problem, Reduction, Summary};

/// Rows are cut in multiples of this, so that pieces start on the widest loads.
const UNIT: usize = 8;
/// The fewest positions of an image in a piece, where there is room: shorter runs are slow to gather.
const RUN: usize = 4096;

/// Some rows of a view: steps of the outer axis with all positions of the inner one, or one step with some of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowRange {
    pub outer: Range<usize>,
    pub inner: Range<usize>,
}

impl RowRange {
    /// Returns the number of its first row.
    pub fn first_row(&self, view: &ClassView) -> u64 {
        self.outer.start as u64 * view.inner as u64 + self.inner.start as u64
    }

    /// Returns the index of a class's element in its only row.
    pub fn element_of(&self, view: &ClassView, class: usize) -> u64 {
        let (outer, inner) = (self.outer.start as u64, self.inner.start as u64);
        (outer * view.classes as u64 + class as u64) * view.inner as u64 + inner
    }

    /// Returns the problem that it poses.
    pub fn problem(&self, whole: &Problem) -> Problem {
        problem_of(whole, self.outer.len(), self.inner.len())
    }

    /// Returns a part of these extents at most, outer and inner, and the rest.
    #[cfg(feature = "gpu")]
    pub fn split(self, (outer, inner): (usize, usize)) -> (Self, Option<Self>) {
        if self.outer.len() > outer {
            let at = self.outer.start + outer;
            let rest = Self { outer: at..self.outer.end, inner: self.inner.clone() };
            return (Self { outer: self.outer.start..at, ..self }, Some(rest));
        }
        if self.inner.len() > inner {
            let at = self.inner.start + inner;
            let rest = Self { outer: self.outer.clone(), inner: at..self.inner.end };
            return (Self { inner: self.inner.start..at, ..self }, Some(rest));
        }
        (self, None)
    }

    /// Returns the byte ranges of its elements in a tensor that has some of the view's axes: one range, or one for
    /// each class if the rows are not all positions of a step.
    pub fn runs(
        &self,
        view: &ClassView,
        axes: Axes,
        element_bytes: u64,
    ) -> impl Iterator<Item = Range<u64>> + use<> {
        let [_, classes, inner] = axes.extents(view).map(|extent| extent as u64);
        let whole = self.inner.len() == view.inner || !axes.has_inner();
        let steps = if axes.has_outer() { self.outer.len() as u64 } else { 1 };
        let (count, elements) = match whole {
            true => (1, steps * classes * inner),
            false => (classes, self.inner.len() as u64),
        };
        let first = axes.place(view, [self.outer.start, 0, self.inner.start]);
        (0..count).map(move |class| {
            let start = (first + class * inner) * element_bytes;
            start..start + elements * element_bytes
        })
    }

    /// Returns a piece's summary with positions in the whole: `rows_before` are rows of earlier batches.
    pub fn placed(&self, problem: &Problem, summary: Summary, rows_before: u64) -> Summary {
        let number = |row: u64| rows_before + self.number_in_whole(problem, row);
        let bad = |value: BadValue| BadValue { position: number(value.position), ..value };
        Summary {
            first_bad: summary.first_bad.map(|(row, label)| (number(row), label)),
            first_bad_value: summary.first_bad_value.map(bad),
            first_nonfinite: summary.first_nonfinite.map(number),
            ..summary
        }
    }

    /// Returns the number of one of its rows in the batch. Without classes, every element is a row.
    fn number_in_whole(&self, problem: &Problem, row: u64) -> u64 {
        let view = &problem.view;
        if problem.pointwise.is_none() {
            return self.first_row(view) + row;
        }
        let [classes, inner] = [view.classes as u64, self.inner.len() as u64];
        let (plane, i) = (row / inner, row % inner);
        let (o, c) = (plane / classes, plane % classes);
        let (o, i) = (self.outer.start as u64 + o, self.inner.start as u64 + i);
        (o * classes + c) * view.inner as u64 + i
    }
}

/// The bytes that the tensors of one piece may have in all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// The upper limit.
    pub most: u64,
    /// The size that is fast: no piece has more, unless it is a single row.
    pub aim: u64,
}

#[cfg(feature = "gpu")]
impl Room {
    /// Returns the room that both have.
    pub fn both(self, other: Self) -> Self {
        Self { most: self.most.min(other.most), aim: self.aim.min(other.aim) }
    }
}

/// A view in pieces of about the same size: their plans, and with them their kernels, are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    outer: Axis,
    inner: Axis,
}

impl Cut {
    /// Cuts a problem. The error is the number of bytes that a piece has at least.
    pub fn new(problem: &Problem, room: Room) -> Result<Self, u64> {
        let least = match Bytes::of(problem) {
            bytes if bytes.cuts_inside(room) => bytes.per_position,
            bytes => bytes.per_outer,
        };
        if least > room.most { Err(least) } else { Ok(Self::within(problem, room)) }
    }

    /// Cuts a problem into pieces of about `aim` bytes, or of a single row where that has more.
    pub fn about(problem: &Problem, aim: u64) -> Self {
        Self::within(problem, Room { most: u64::MAX, aim })
    }

    fn within(problem: &Problem, room: Room) -> Self {
        let ClassView { outer, inner, .. } = problem.view;
        let bytes = Bytes::of(problem);
        let aim = room.aim.min(room.most);
        if !bytes.cuts_inside(room) {
            let outer = Axis::new(outer, to_usize(aim / bytes.per_outer));
            return Self { outer, inner: Axis::new(inner, inner) };
        }
        let longest = room.most.min(aim.max(MOST_FOR_RUNS)) / bytes.per_position;
        let positions = to_usize((aim / bytes.per_position).max(longest.min(RUN as u64)));
        Self { outer: Axis::new(outer, 1), inner: Axis::new(inner, positions) }
    }

    /// Returns the number of pieces.
    pub fn len(&self) -> usize {
        self.outer.parts.saturating_mul(self.inner.parts)
    }

    /// Returns the largest extents of a piece, outer and inner.
    pub fn largest(&self) -> (usize, usize) {
        (self.outer.largest(), self.inner.largest())
    }

    /// Returns the pieces, in the order of their rows.
    pub fn pieces(&self) -> impl Iterator<Item = RowRange> + use<> {
        let Self { outer, inner } = self.clone();
        (0..outer.parts).flat_map(move |o| {
            (0..inner.parts).map(move |i| RowRange { outer: outer.part(o), inner: inner.part(i) })
        })
    }
}

/// The bytes of a problem's tensors that go together.
#[derive(Clone, Copy)]
struct Bytes {
    per_outer: u64,
    per_position: u64,
    inner: usize,
}

impl Bytes {
    fn of(problem: &Problem) -> Self {
        let (per_outer, inner) = (outer_bytes(problem).max(1), problem.view.inner);
        Self { per_outer, per_position: (per_outer / inner.max(1) as u64).max(1), inner }
    }

    /// Returns true if steps of the outer axis are cut along the inner one.
    fn cuts_inside(&self, room: Room) -> bool {
        self.per_outer > room.aim.min(room.most) && self.inner != 1
    }
}

/// The size in bytes that a piece may grow to where that makes runs longer.
const MOST_FOR_RUNS: u64 = 64 << 20;

/// An axis in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Axis {
    length: usize,
    /// The size that all parts but the last are multiples of.
    unit: usize,
    parts: usize,
}

impl Axis {
    /// Cuts an axis into the fewest parts of up to `most`; their sizes differ by one unit.
    fn new(length: usize, most: usize) -> Self {
        let most = most.max(1);
        let unit = if most >= length { length.max(1) } else { UNIT.min(floor_power_of_two(most)) };
        let units = length.div_ceil(unit);
        Self { length, unit, parts: units.div_ceil(most / unit) }
    }

    fn part(&self, part: usize) -> Range<usize> {
        self.edge(part)..self.edge(part + 1)
    }

    /// Returns the start of a part.
    fn edge(&self, part: usize) -> usize {
        let units = self.length.div_ceil(self.unit) as u128;
        let before = units * part as u128 / self.parts.max(1) as u128;
        self.length.min((before as usize).saturating_mul(self.unit))
    }

    fn largest(&self) -> usize {
        let units = self.length.div_ceil(self.unit);
        self.length.min(units.div_ceil(self.parts.max(1)).saturating_mul(self.unit))
    }
}

fn floor_power_of_two(number: usize) -> usize {
    1 << number.max(1).ilog2()
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Returns the problem that a piece of this shape poses: its sum, or its rows' losses.
pub(crate) fn problem_of(whole: &Problem, outer: usize, inner: usize) -> Problem {
    let classes = whole.view.classes;
    let reduction = match whole.reduction {
        Reduction::None => Reduction::None,
        Reduction::Sum | Reduction::Mean | Reduction::BatchMean => Reduction::Sum,
    };
    // The gradient's scale contains the mean's divisor and the upstream gradient.
    let upstream = match (whole.outputs.any_grad(), whole.reduction, whole.upstream) {
        (false, ..) => Upstream::Ones,
        (true, Reduction::Mean | Reduction::BatchMean, _) => Upstream::Scalar,
        (true, _, upstream) => upstream,
    };
    // The host continues the sums over shared variances.
    let pointwise = whole.pointwise.map(|pointwise| match pointwise.sums_var() {
        true => Pointwise { var_grad: ElementType::F32, ..pointwise },
        false => pointwise,
    });
    let row_shape = match pointwise {
        Some(_) => vec![outer, classes, inner],
        None => vec![outer, inner],
    };
    // The classes are the last axis of the piece where they are the last axis of the whole.
    let input_shape = match whole.classes_are_last() {
        true => vec![outer, classes],
        false => vec![outer, classes, inner],
    };
    Problem {
        view: ClassView { outer, classes, inner },
        input_shape,
        class_axis: 1,
        pointwise,
        row_shape,
        reduction,
        divisor: Divisor::Known(1.0),
        upstream,
        ..whole.clone()
    }
}

/// Returns true if each piece has its own part of this tensor: one that is cut with the rows, or any output.
pub(crate) fn is_of_pieces(tensor: &CallTensor) -> bool {
    tensor.slot.is_output() || tensor.outer_bytes().is_some()
}

/// Returns the tensors of which each piece has its own part.
pub(crate) fn tensors_of_pieces(problem: &Problem) -> impl Iterator<Item = CallTensor> {
    problem.tensors().filter(is_of_pieces)
}

/// Returns the bytes of all tensors that belong to one step of the outer axis.
pub(crate) fn outer_bytes(problem: &Problem) -> u64 {
    let bytes = problem.tensors().map(|tensor| tensor.outer_bytes().unwrap_or(0));
    bytes.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::Shapes;
    use crate::{CrossEntropy, LabelType, Loss, Outputs, TargetType};

    fn problem(shape: &[usize]) -> Problem {
        let labels = [&shape[..1], &shape[2..]].concat();
        let shapes = Shapes::new(shape).target(TargetType::Labels(LabelType::U8), &labels);
        CrossEntropy::new().problem(&shapes, Outputs::loss().with_grad()).unwrap()
    }

    /// Returns the bytes of a piece's tensors.
    fn bytes(problem: &Problem, piece: &RowRange) -> u64 {
        let rows = (piece.outer.len() * piece.inner.len()) as u64;
        rows * (8 * problem.view.classes as u64 + 1)
    }

    #[test]
    fn pieces_are_the_rows_in_order_and_alike() {
        for shape in [&[1000, 3][..], &[7, 3], &[1, 3], &[8, 5, 1000], &[3, 2, 10_001], &[70, 9, 5]]
        {
            let problem = problem(shape);
            for aim in [1, 60, 1000, 3000, 40_000, 1 << 30] {
                let room = Room { most: aim.max(120), aim };
                let cut = Cut::new(&problem, room).unwrap();
                let pieces: Vec<RowRange> = cut.pieces().collect();
                assert_eq!(pieces.len(), cut.len());
                let mut row = 0;
                for piece in &pieces {
                    assert_eq!(piece.first_row(&problem.view), row, "{shape:?} {room:?}");
                    row += (piece.outer.len() * piece.inner.len()) as u64;
                    assert!(bytes(&problem, piece) <= room.most, "{shape:?} {room:?} {piece:?}");
                    assert!(piece.outer.len() <= cut.largest().0);
                    assert!(piece.inner.len() <= cut.largest().1);
                    assert!(!piece.outer.is_empty() && !piece.inner.is_empty());
                }
                assert_eq!(row, problem.view.rows() as u64);
                let mut shapes: Vec<_> =
                    pieces.iter().map(|p| (p.outer.len(), p.inner.len())).collect();
                shapes.sort_unstable();
                shapes.dedup();
                assert!(shapes.len() <= 3, "{shapes:?}");
            }
        }
    }

    #[test]
    fn runs_are_the_elements_of_the_rows() {
        let problem = problem(&[3, 4, 50]);
        let view = problem.view;
        let cut = Cut::new(&problem, Room { most: 500, aim: 500 }).unwrap();
        assert!(cut.len() > 3);
        let mut seen = vec![0; view.elements()];
        for piece in cut.pieces() {
            for run in piece.runs(&view, Axes::Elements, 4) {
                for element in run.step_by(4) {
                    let (row, _) = view.row_and_class(element as usize / 4);
                    let (o, i) = (row / view.inner, row % view.inner);
                    assert!(piece.outer.contains(&o) && piece.inner.contains(&i));
                    seen[element as usize / 4] += 1;
                }
            }
        }
        assert_eq!(seen, vec![1; view.elements()]);
    }

    #[test]
    fn what_does_not_fit_says_how_much_it_needs() {
        let room = Room { most: 1000, aim: 1000 };
        assert_eq!(Cut::new(&problem(&[9, 125]), room), Err(1001));
        // One position of an image has as many bytes as one row.
        assert_eq!(Cut::new(&problem(&[9, 125, 8]), room), Err(1001));
        assert!(Cut::new(&problem(&[9, 124, 8]), room).is_ok());
    }

    #[test]
    fn wide_images_are_cut_in_runs_worth_gathering() {
        // 25 runs of at most 4096 positions.
        let cut = Cut::new(&problem(&[2, 500, 100_000]), Room { most: 1 << 28, aim: 1 << 20 });
        assert_eq!(cut.unwrap().largest(), (1, 4000));
    }
}
