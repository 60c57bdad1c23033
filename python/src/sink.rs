//! Arrays that receive results, progress that is reported, and Ctrl-C.

use std::ptr;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::PyDict;
use wgpu_loss::stream::Progress;
use wgpu_loss::{Error, LargeOutput, Sink};

use crate::arrays::address_of;

/// The least time between two looks for Ctrl-C.
const LOOK: Duration = Duration::from_millis(20);

/// Large outputs by their names in Python.
pub const NAMES: [(LargeOutput, &str); 14] = [
    (LargeOutput::RowLoss, "loss"),
    (LargeOutput::ZLoss, "z_loss"),
    (LargeOutput::Grad, "grad"),
    (LargeOutput::Distribution, "log_probs"),
    (LargeOutput::Distribution, "probs"),
    (LargeOutput::TargetGrad, "target_grad"),
    (LargeOutput::VarGrad, "var_grad"),
    (LargeOutput::Lse, "lse"),
    (LargeOutput::Argmax, "argmax"),
    (LargeOutput::Rank, "rank"),
    (LargeOutput::Entropy, "entropy"),
    (LargeOutput::Variance, "variance"),
    (LargeOutput::RowWeights, "row_weights"),
    (LargeOutput::States, "states"),
];

/// The arrays that receive a call's large outputs.
pub struct Destinations {
    /// Output, address, bytes.
    places: Vec<(LargeOutput, usize, usize)>,
    /// What keeps their memory.
    #[allow(dead_code, reason = "holds them")]
    owners: Vec<Py<PyAny>>,
    /// Called with rows done, and rows in all or nothing.
    report: Option<Py<PyAny>>,
    looked: Instant,
    /// The exception that ended the call.
    pub raised: Option<PyErr>,
}

impl Destinations {
    /// Borrows the arrays of a dictionary: name of an output to array, shape and bytes of an element.
    pub fn of(given: &Bound<'_, PyDict>, report: Option<Py<PyAny>>) -> PyResult<Self> {
        let (mut places, mut owners) = (Vec::new(), Vec::new());
        for (name, value) in given {
            let name: String = name.extract()?;
            let (array, shape, bytes): (Bound<'_, PyAny>, Vec<usize>, usize) = value.extract()?;
            let size = shape.iter().product::<usize>() * bytes;
            let what = NAMES.iter().find(|(_, other)| *other == name).map(|&(what, _)| what);
            let Some(what) = what else { continue };
            places.push((what, address_of(&array, &shape, bytes)?, size));
            owners.push(array.unbind());
        }
        Ok(Self { places, owners, report, looked: Instant::now(), raised: None })
    }

    /// Lets Python see a signal, and report the progress.
    fn look(&self, py: Python<'_>, done: &Progress) -> PyResult<()> {
        py.check_signals()?;
        match &self.report {
            Some(report) => report.call1(py, (done.rows, done.of)).map(drop),
            None => Ok(()),
        }
    }
}

impl Sink for Destinations {
    fn write(&mut self, what: LargeOutput, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let Some(&(_, address, size)) = self.places.iter().find(|(other, ..)| *other == what)
        else {
            return Ok(());
        };
        let end = offset.checked_add(bytes.len() as u64);
        if end.is_none_or(|end| end > size as u64) {
            let reason = format!("bytes {offset} and following of an array of {size}");
            return Err(Error::Sink { what: what.name(), reason });
        }
        // SAFETY: the range is inside the array, whose owner is held here. The array was made for this call, so that
        // nobody else reads or writes it.
        unsafe {
            let to = ptr::with_exposed_provenance_mut::<u8>(address + offset as usize);
            ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
        Ok(())
    }

    fn progress(&mut self, done: &Progress) -> Result<(), Error> {
        let is_last = done.of == Some(done.rows);
        if self.looked.elapsed() < LOOK && !(is_last && self.report.is_some()) {
            return Ok(());
        }
        let looked = Python::attach(|py| self.look(py, done));
        self.looked = Instant::now();
        looked.map_err(|error| {
            self.raised = Some(error);
            Error::Stopped
        })
    }
}
