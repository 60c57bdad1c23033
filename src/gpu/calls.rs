//! Calls on host data.

use super::Gpu;
use super::stream::{self, Executor};
use super::upload::Tensors;
use crate::broadcast::stated;
use crate::plan::Plan;
use crate::poll::{Wait, block_on};
use crate::stream::{Batches, Device, Sink};
use crate::{Bound, Error, Inputs, Loss, Output, Outputs, Partial};

impl Gpu {
    /// Computes `loss` over host data and waits for the results. Data of any size is processed in pieces: see
    /// [`stream`](crate::stream).
    ///
    /// # Errors
    /// The errors of [`Loss::problem`] and [`Plan::of`]; [`Error::Length`] for data that does not fill its shape;
    /// [`Error::BadTargets`] for labels out of range; [`Error::Budget`] if the memory budget does not hold one row;
    /// [`Error::OutOfMemory`] and [`Error::Device`] if the device fails.
    pub fn run(
        &self,
        loss: &(impl Loss + ?Sized),
        inputs: &Inputs<'_>,
        outputs: Outputs,
    ) -> Result<Output<f32>, Error> {
        let mut room = None;
        let (problem, inputs) = stated(loss, inputs, outputs, &mut room)?;
        block_on(stream::collected(Executor::new(self, Wait::Here, false), problem, &inputs))
    }

    /// Computes as [`Gpu::run`] does, under any executor: a thread polls the device, one for all calls on it.
    ///
    /// # Errors
    /// As [`Gpu::run`].
    pub async fn run_async(
        &self,
        loss: &(impl Loss + ?Sized),
        inputs: &Inputs<'_>,
        outputs: Outputs,
    ) -> Result<Output<f32>, Error> {
        let mut room = None;
        let (problem, inputs) = stated(loss, inputs, outputs, &mut room)?;
        let wait = Wait::Elsewhere(self.kernels.poller());
        stream::collected(Executor::new(self, wait, false), problem, &inputs).await
    }

    /// Uploads host data and binds `loss` to it, to be recorded any number of times. The buffers, the outputs'
    /// included, live as long as the returned value.
    ///
    /// ```no_run
    /// use wgpu_loss::{CrossEntropy, Gpu, Inputs, Outputs, Tensor};
    ///
    /// let gpu = Gpu::new()?;
    /// let inputs = Inputs::new(Tensor::new(&[3.5, -3.45], &[1, 2])).labels(&[0u8], &[1]);
    /// let bound = gpu.bind(&CrossEntropy::new(), &inputs, Outputs::loss())?;
    /// println!("{:?}", gpu.timer()?.resident(9, &bound)?.median());
    /// # Ok::<(), wgpu_loss::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Limit`] for tensors larger than the device's buffers, and as [`Gpu::run`], except for bad labels:
    /// nothing is computed yet.
    pub fn bind(
        &self,
        loss: &(impl Loss + ?Sized),
        inputs: &Inputs<'_>,
        outputs: Outputs,
    ) -> Result<Bound, Error> {
        let mut room = None;
        let (problem, inputs) = stated(loss, inputs, outputs, &mut room)?;
        let plan = Plan::of(problem, self.kernels.profile())?;
        inputs.check()?;
        let tensors = Tensors::upload(self, plan.problem(), &inputs)?;
        Bound::new(&self.kernels, plan, &tensors.buffers())
    }
}

impl Device for Gpu {
    fn run(
        &self,
        loss: &dyn Loss,
        inputs: &Inputs<'_>,
        outputs: Outputs,
    ) -> Result<Output<f32>, Error> {
        Gpu::run(self, loss, inputs, outputs)
    }

    fn run_into(
        &self,
        loss: &dyn Loss,
        inputs: &Inputs<'_>,
        outputs: Outputs,
        sink: &mut dyn Sink,
    ) -> Result<Output<f32>, Error> {
        Gpu::run_into(self, loss, inputs, outputs, sink)
    }

    fn partial(
        &self,
        loss: &dyn Loss,
        inputs: &Inputs<'_>,
        outputs: Outputs,
        sink: &mut dyn Sink,
    ) -> Result<Partial, Error> {
        stream::partial(Executor::new(self, Wait::Here, false), loss, inputs, outputs, sink)
    }

    fn stream<'a>(&'a self, loss: &'a dyn Loss, outputs: Outputs) -> Box<dyn Batches + 'a> {
        Box::new(Gpu::stream(self, loss, outputs))
    }
}
