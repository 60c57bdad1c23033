//! The subset of the input's axes that a tensor has.

use super::{ClassView, element_count};
use crate::Error;

/// The axes of the input, seen as (outer, classes, inner), that a tensor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Axes {
    /// All axes: one element for each of the input's.
    Elements,
    /// Outer and inner: one element for each row.
    Rows,
    /// One element for each class.
    Classes,
    /// One element.
    One,
    /// The outer axis alone.
    Outer,
    /// Outer and classes.
    OuterClasses,
    /// The inner axis alone.
    Inner,
    /// Classes and inner.
    ClassesInner,
}

impl Axes {
    /// Returns the axes whose flags are true.
    pub(crate) fn of(outer: bool, classes: bool, inner: bool) -> Self {
        match (outer, classes, inner) {
            (true, true, true) => Axes::Elements,
            (true, false, true) => Axes::Rows,
            (false, true, false) => Axes::Classes,
            (false, false, false) => Axes::One,
            (true, false, false) => Axes::Outer,
            (true, true, false) => Axes::OuterClasses,
            (false, false, true) => Axes::Inner,
            (false, true, true) => Axes::ClassesInner,
        }
    }

    /// Returns true if it has the outer axis.
    pub fn has_outer(self) -> bool {
        matches!(self, Axes::Elements | Axes::Rows | Axes::Outer | Axes::OuterClasses)
    }

    /// Returns true if it has the class axis.
    pub fn has_classes(self) -> bool {
        matches!(self, Axes::Elements | Axes::Classes | Axes::OuterClasses | Axes::ClassesInner)
    }

    /// Returns true if it has the inner axis.
    pub fn has_inner(self) -> bool {
        matches!(self, Axes::Elements | Axes::Rows | Axes::Inner | Axes::ClassesInner)
    }

    /// Returns a view's extents along these axes, 1 along the others.
    pub(crate) fn extents(self, view: &ClassView) -> [usize; 3] {
        let extent = |has, extent| if has { extent } else { 1 };
        [
            extent(self.has_outer(), view.outer),
            extent(self.has_classes(), view.classes),
            extent(self.has_inner(), view.inner),
        ]
    }

    /// Returns the index of a tensor's element at a position of the input.
    pub(crate) fn place(self, view: &ClassView, [outer, class, inner]: [usize; 3]) -> u64 {
        let [_, classes, inners] = self.extents(view).map(|extent| extent as u64);
        let along = |has, at: usize| if has { at as u64 } else { 0 };
        let outer = along(self.has_outer(), outer);
        let class = along(self.has_classes(), class);
        (outer * classes + class) * inners + along(self.has_inner(), inner)
    }

    /// Returns the index of the tensor's element that belongs to an element of the input.
    pub(crate) fn index(self, view: &ClassView, element: usize) -> usize {
        match self {
            Axes::Elements => element,
            Axes::One => 0,
            _ => {
                let (plane, inner) = (element / view.inner, element % view.inner);
                let place = [plane / view.classes, plane % view.classes, inner];
                self.place(view, place) as usize
            }
        }
    }
}

/// Sees `input` as (outer, classes, inner) so that every operand, broadcast as in NumPy, has a subset of these three
/// axes. Returns the view and each operand's axes.
///
/// Neighbouring axes that the same operands have are joined into one. Without broadcasting, the view has the outer axis
/// alone; where two axes suffice, they are outer and inner.
///
/// # Errors
/// [`Error::Broadcast`] for an operand that does not broadcast, [`Error::Groups`] where three axes do not suffice.
pub(crate) fn broadcast(
    input: &[usize],
    operands: &[(&'static str, &[usize])],
) -> Result<(ClassView, Vec<Axes>), Error> {
    let elements = element_count("input", input)?;
    for &(what, shape) in operands {
        check(what, shape, input)?;
    }
    if elements == 0 {
        // An empty operand is never read: any shape without elements will do.
        let axes = |(_, shape): &(_, &[usize])| match shape.contains(&0) {
            true => Axes::Elements,
            false => Axes::One,
        };
        return Ok((
            ClassView { outer: 0, classes: 1, inner: 1 },
            operands.iter().map(axes).collect(),
        ));
    }
    // The groups of axes: their extents, and the operands that have them.
    let mut groups: Vec<(usize, Vec<bool>)> = Vec::new();
    for (axis, &extent) in input.iter().enumerate().filter(|&(_, &extent)| extent > 1) {
        let trailing = input.len() - axis;
        let has = |shape: &[usize]| trailing <= shape.len() && shape[shape.len() - trailing] > 1;
        let having: Vec<bool> = operands.iter().map(|(_, shape)| has(shape)).collect();
        match groups.last_mut() {
            Some((whole, same)) if *same == having => *whole *= extent,
            _ => groups.push((extent, having)),
        }
    }
    // The group that each axis of the view is.
    let places = match groups.len() {
        0 => [None, None, None],
        1 => [Some(0), None, None],
        2 => [Some(0), None, Some(1)],
        3 => [Some(0), Some(1), Some(2)],
        groups => return Err(Error::Groups { groups }),
    };
    let [outer, classes, inner] = places.map(|place| place.map_or(1, |group| groups[group].0));
    let view = ClassView { outer, classes, inner };
    let axes = |operand: usize| {
        // An operand counts as having an axis of extent 1 if it has the other axes, so that an operand with one value
        // for each element is recognised as such.
        let [o, c, i] =
            places.map(|place| place.is_none_or(|group: usize| groups[group].1[operand]));
        match (o, c, i) {
            (true, true, true) => Axes::Elements,
            _ => {
                let has = |place: Option<usize>, has: bool| place.is_some() && has;
                Axes::of(has(places[0], o), has(places[1], c), has(places[2], i))
            }
        }
    };
    Ok((view, (0..operands.len()).map(axes).collect()))
}

/// Returns an error for a shape that does not broadcast to the input's.
fn check(what: &'static str, shape: &[usize], input: &[usize]) -> Result<(), Error> {
    let trailing = input.len().checked_sub(shape.len()).map(|front| &input[front..]);
    let fits = trailing.is_some_and(|input| {
        shape.iter().zip(input).all(|(&given, &to)| given == to || given == 1)
    });
    match fits {
        true => Ok(()),
        false => Err(Error::Broadcast { what, given: shape.to_vec(), input: input.to_vec() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(outer: usize, classes: usize, inner: usize) -> ClassView {
        ClassView { outer, classes, inner }
    }

    #[test]
    fn axes_that_the_same_operands_have_are_one() {
        let full: &[usize] = &[4, 3, 5, 7];
        for (operands, wanted, axes) in [
            (vec![full], view(420, 1, 1), vec![Axes::Elements]),
            (vec![full, &[]], view(420, 1, 1), vec![Axes::Elements, Axes::One]),
            (vec![full, &[1, 1]], view(420, 1, 1), vec![Axes::Elements, Axes::One]),
            (vec![full, &[3, 1, 1]], view(4, 3, 35), vec![Axes::Elements, Axes::Classes]),
            (vec![&[7]], view(60, 1, 7), vec![Axes::Inner]),
            (vec![&[4, 1, 1, 1]], view(4, 1, 105), vec![Axes::Outer]),
            (vec![&[4, 1, 5, 7]], view(4, 3, 35), vec![Axes::Rows]),
            (vec![&[3, 5, 7]], view(4, 1, 105), vec![Axes::Inner]),
            (vec![&[4, 1, 1, 1], &[7]], view(4, 15, 7), vec![Axes::Outer, Axes::Inner]),
            (
                vec![&[4, 3, 1, 1], &[3, 5, 7]],
                view(4, 3, 35),
                vec![Axes::OuterClasses, Axes::ClassesInner],
            ),
        ] {
            let named: Vec<_> = operands.iter().map(|&shape| ("operand", shape)).collect();
            assert_eq!(broadcast(full, &named), Ok((wanted, axes)), "{operands:?}");
        }
    }

    #[test]
    fn places_are_those_of_numpy() {
        let shape = [4, 3, 5];
        for bits in 0..8 {
            let operand: Vec<usize> =
                (0..3).map(|axis| if bits >> axis & 1 == 1 { shape[axis] } else { 1 }).collect();
            let (view, axes) = broadcast(&shape, &[("operand", &operand), ("c", &[3, 1])]).unwrap();
            let strides = [operand[1] * operand[2], operand[2], 1];
            for element in 0..60 {
                let at = [element / 15, element / 5 % 3, element % 5];
                let wanted: usize =
                    (0..3).filter(|&a| operand[a] > 1).map(|a| at[a] * strides[a]).sum();
                assert_eq!(axes[0].index(&view, element), wanted, "{operand:?} {element}");
            }
        }
    }

    #[test]
    fn what_does_not_broadcast_is_named() {
        for shape in [&[2][..], &[3, 2], &[5, 4, 3], &[0]] {
            let error = broadcast(&[4, 3], &[("target", shape)]).unwrap_err();
            assert!(matches!(error, Error::Broadcast { what: "target", .. }), "{error}");
        }
        let error = broadcast(&[2, 3, 4, 5], &[("a", &[2, 1, 4, 1])]).unwrap_err();
        assert_eq!(error, Error::Groups { groups: 4 });
    }

    #[test]
    fn nothing_to_read_has_a_view() {
        let (view, axes) = broadcast(&[0, 3], &[("a", &[0, 3]), ("b", &[3])]).unwrap();
        assert_eq!((view.elements(), axes), (0, vec![Axes::Elements, Axes::One]));
    }
}
