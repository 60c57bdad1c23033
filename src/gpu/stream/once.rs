//! A sink for rows that a second GPU continues.

use crate::stream::{Progress, Sink};
use crate::{Error, LargeOutput};

/// Passes on what was not passed on before: a row that a GPU has left half done comes again from its start. Within a row,
/// the bytes of an output come in their order.
pub(super) struct Once<'s, S: ?Sized> {
    sink: &'s mut S,
    /// The end of the bytes of each output of the row that were passed on.
    ends: Vec<(LargeOutput, u64)>,
    /// True if an error is the sink's.
    pub has_failed: bool,
}

impl<'s, S: Sink + ?Sized> Once<'s, S> {
    pub fn new(sink: &'s mut S) -> Self {
        Self { sink, ends: Vec::new(), has_failed: false }
    }

    /// Begins a row that was not begun before.
    pub fn open_row(&mut self) {
        self.ends.clear();
    }

    fn noted(&mut self, passed: Result<(), Error>) -> Result<(), Error> {
        self.has_failed |= passed.is_err();
        passed
    }
}

impl<S: Sink + ?Sized> Sink for Once<'_, S> {
    fn write(&mut self, what: LargeOutput, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let end = offset + bytes.len() as u64;
        let place = self.ends.iter().position(|(other, _)| *other == what);
        let place = place.unwrap_or_else(|| {
            self.ends.push((what, 0));
            self.ends.len() - 1
        });
        let before = self.ends[place].1.clamp(offset, end);
        if before == end {
            return Ok(());
        }
        self.ends[place].1 = end;
        let passed = self.sink.write(what, before, &bytes[(before - offset) as usize..]);
        self.noted(passed)
    }

    fn progress(&mut self, done: &Progress) -> Result<(), Error> {
        let passed = self.sink.progress(done);
        self.noted(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Kept(Vec<(LargeOutput, u64, Vec<u8>)>);

    impl Sink for Kept {
        fn write(&mut self, what: LargeOutput, offset: u64, bytes: &[u8]) -> Result<(), Error> {
            self.0.push((what, offset, bytes.to_vec()));
            if offset == 99 { Err(Error::Stopped) } else { Ok(()) }
        }
    }

    #[test]
    fn a_row_that_comes_again_is_passed_on_once() {
        use LargeOutput::{Distribution, Grad};
        let mut kept = Kept::default();
        let mut once = Once::new(&mut kept);
        once.write(Grad, 10, &[1, 2, 3]).unwrap();
        once.write(Distribution, 10, &[4]).unwrap();
        // Again, in boxes of other sizes.
        once.write(Grad, 10, &[1, 2]).unwrap();
        once.write(Grad, 12, &[3, 5, 6]).unwrap();
        once.write(Distribution, 10, &[4, 7]).unwrap();
        // The next row begins before this one's end.
        once.open_row();
        once.write(Grad, 11, &[8]).unwrap();
        assert!(!once.has_failed);
        assert_eq!(once.write(Grad, 99, &[9]), Err(Error::Stopped));
        assert!(once.has_failed);
        let wanted = [
            (Grad, 10, vec![1, 2, 3]),
            (Distribution, 10, vec![4]),
            (Grad, 13, vec![5, 6]),
            (Distribution, 11, vec![7]),
            (Grad, 11, vec![8]),
            (Grad, 99, vec![9]),
        ];
        assert_eq!(kept.0, wanted);
    }
}
