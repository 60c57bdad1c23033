//! A call over classes, and its comparison with the reference.

use support::answer::Answer;
use support::close::Judged;
use support::data::Data;
use support::extras::Extras;
use support::rounding::Rounding;
use wgpu_loss::stream::Device;
use wgpu_loss::{
    CrossEntropy, Entropy, Error, Loss, Nll, Output, Outputs, Reduction, Softmax, reference,
};
use wgpu_loss_fuzz::draw::Draw;

/// A loss, its tensors, and the requested outputs.
pub struct Call {
    pub loss: Box<dyn Loss + Send + Sync>,
    pub data: Data,
    pub outputs: Outputs,
}

impl Call {
    /// Draws a loss over random data of this shape, whose classes lie along axis 1.
    pub fn draw(draw: &Draw<'_>, shape: &[usize]) -> Self {
        let mut data = Data::random(shape, 1);
        let turn = draw.below(data.input.len());
        data.input.rotate_left(turn);
        let reduction = draw.one_of(&[Reduction::Mean, Reduction::None, Reduction::Sum]);
        let grad = Outputs::loss().with_grad();
        let labels = || CrossEntropy::new().reduction(reduction);
        let without = || Data::new(shape, 1, data.input.clone());
        let call = |loss: Box<dyn Loss + Send + Sync>, data, outputs| Self { loss, data, outputs };
        match draw.below(7) {
            0 => call(Box::new(labels()), data, grad),
            1 => call(Box::new(labels().label_smoothing(0.1)), data.random_weight(), grad),
            2 => call(Box::new(labels().z_loss(1e-3)), data, grad.with_lse().with_argmax()),
            3 => call(Box::new(labels()), data.random_probabilities(), grad.with_log_probs()),
            4 => call(Box::new(Nll::new().reduction(reduction)), data.random_weight(), grad),
            5 => call(Box::new(Entropy::new().axis(1).reduction(reduction)), without(), grad),
            _ => call(Box::new(Softmax::probs().axis(1)), without(), Outputs::loss()),
        }
    }

    /// Draws a call that is done at once.
    pub fn small(draw: &Draw<'_>) -> Self {
        let shapes: [&[usize]; 4] = [&[403, 33], &[61, 7, 9], &[900, 5], &[3, 11, 211]];
        Self::draw(draw, draw.one_of(&shapes))
    }

    /// Returns the device's result.
    pub fn on(&self, device: &dyn Device) -> Result<Output<f32>, Error> {
        device.run(&*self.loss, &self.data.inputs(), self.outputs)
    }

    /// Returns the reference's result.
    pub fn truth(&self) -> Output<f64> {
        self.data.truth(&*self.loss, self.outputs)
    }

    /// Compares the result of a call that must succeed.
    ///
    /// # Panics
    /// If it fails, or if a number is too far off.
    pub fn check(&self, what: &str, device: &dyn Device) -> Judged {
        let got = self.on(device).unwrap_or_else(|error| panic!("{what}: {error}"));
        self.compare(what, &got, &self.truth())
    }

    /// Compares a result with the reference's.
    ///
    /// # Panics
    /// If a number is too far off.
    pub fn compare(&self, what: &str, got: &Output<f32>, truth: &Output<f64>) -> Judged {
        let what = format!("{what}: {:?} {:?}", self.data.shape(), self.outputs);
        let rounding = Rounding::new(&*self.loss, &self.data, self.outputs);
        let (_, judged) = rounding.compare(&what, &Answer::from(got), &Answer::from(truth));
        let (_, extras) = rounding.compare_extras(&what, &Extras::from(got), &Extras::from(truth));
        let (got, wanted) = (got.summary, truth.summary);
        assert_eq!((got.rows, got.live, got.bad), (wanted.rows, wanted.live, wanted.bad), "{what}");
        judged.and(extras)
    }

    /// Asserts that a call on a lost device says so.
    pub fn is_lost(&self, what: &str, device: &dyn Device) {
        let error = self.on(device).err();
        assert!(matches!(error, Some(Error::Lost { .. })), "{what}: {error:?}");
    }
}

/// The losses of a tensor's rows in batches: offsets of rows, as a loader gives them, from none to half of all at once.
pub fn batches(draw: &Draw<'_>, rows: usize) -> Vec<(usize, usize)> {
    let (mut all, mut start) = (Vec::new(), 0);
    while start < rows {
        let size = draw.one_of(&[1, 3, 64, 0, 200, rows / 2]).min(rows - start);
        // Once the bytes are used up, every choice is the first.
        let size = if all.len() > 40 { rows - start } else { size };
        all.push((start, start + size));
        start += size;
    }
    all
}

/// Returns the reference's mean of a call's losses.
pub fn mean(data: &Data) -> f64 {
    let loss = CrossEntropy::new();
    reference::run(&loss, &data.inputs(), Outputs::loss()).expect("a loss").loss[0]
}
