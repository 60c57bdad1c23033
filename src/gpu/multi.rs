//! Several GPUs as one device.

use super::adapters::{self, GpuOptions};
use super::handle::Gpu;
use super::stream::{self, Executor, Ledger, Share, Stream};
use crate::broadcast::stated;
use crate::poll::block_on;
use crate::stream::{Batches, Device, Sink};
use crate::{Error, Inputs, Loss, Output, Outputs, Partial};

/// Several GPUs that share the pieces of each call. It is a [`Device`], whose methods do what a [`Gpu`]'s do.
///
/// A call is cut into pieces that every GPU has memory for. Each GPU takes the next piece when it is done with one, so a
/// faster one does more, and a slow one takes none that the others would finish without it. Calls of one piece, and
/// calls with rows that are larger than the memory budget, run on one GPU.
///
/// The bits of the results do not depend on who has computed which piece if the GPUs and their drivers are alike;
/// otherwise they differ as the GPUs' roundings do. (Gradients of variances that many elements share are the exception:
/// they are summed in f64 in the order in which pieces are done.)
///
/// If a GPU is lost, fails, or has no memory for a piece, the others compute what it has not;
/// [`shares`](Self::shares) has its error. A call fails if no GPU is left. Errors of the caller, such as those of a
/// sink, end the call and leave all GPUs usable.
///
/// Sinks are called from the calling thread, in the order in which pieces are done. Any number of threads may share a
/// `MultiGpu`. A batch of a [stream](Self::stream) is complete when its push returns, so it should have several pieces
/// for every GPU, of 32 MiB each.
///
/// ```no_run
/// use wgpu_loss::MultiGpu;
/// use wgpu_loss::stream::Device;
/// use wgpu_loss::{CrossEntropy, GpuOptions, Inputs, Outputs, Tensor};
///
/// let gpus = MultiGpu::all(&GpuOptions::new())?;
/// let (logits, labels) = (vec![0.5f32; 1_000_000 * 256], vec![3u8; 1_000_000]);
/// let inputs = Inputs::new(Tensor::new(&logits, &[1_000_000, 256])).labels(&labels, &[1_000_000]);
/// let output = gpus.run(&CrossEntropy::new(), &inputs, Outputs::loss())?;
/// println!("the loss is {}", output.loss[0]);
/// for (gpu, share) in gpus.gpus().zip(gpus.shares()) {
///     println!("{}: {} rows", gpu.info().name, share.rows);
///     if let Some(failure) = share.failure {
///         println!("it has failed: {failure}");
///     }
/// }
/// # Ok::<(), wgpu_loss::Error>(())
/// ```
#[derive(Debug)]
pub struct MultiGpu {
    gpus: Vec<(Gpu, Ledger)>,
}

impl MultiGpu {
    /// Returns these GPUs as one device. They may be devices on one adapter.
    ///
    /// # Errors
    /// [`Error::Option`] if there are none.
    pub fn new(gpus: Vec<Gpu>) -> Result<Self, Error> {
        if gpus.is_empty() {
            return Err(Error::Option {
                option: "the number of GPUs",
                given: "0".into(),
                wanted: "a device needs at least one",
            });
        }
        Ok(Self { gpus: gpus.into_iter().map(|gpu| (gpu, Ledger::default())).collect() })
    }

    /// Opens all adapters that match [`GpuOptions::adapter`], each GPU once; if it is not set, all but software drivers,
    /// or the best software driver where there is no GPU. An adapter that cannot be opened is left out, with a warning in
    /// the log. The options, such as the memory budget, are those of each GPU.
    ///
    /// # Errors
    /// As [`Gpu::with_options`]; the first adapter's error if none can be opened; [`Error::Option`] with
    /// [`GpuOptions::in_turn`], which takes one of them.
    pub fn all(options: &GpuOptions) -> Result<Self, Error> {
        block_on(Self::open_all(options))
    }

    async fn open_all(options: &GpuOptions) -> Result<Self, Error> {
        if let Some(turn) = options.turn {
            return Err(Error::Option {
                option: "in_turn",
                given: turn.to_string(),
                wanted: "all GPUs are opened, not one of them",
            });
        }
        let (adapters, opening) = adapters::find_all(options).await?;
        let (mut gpus, mut refused) = (Vec::new(), None);
        for adapter in &adapters {
            match Gpu::open_on(adapter, options, opening).await {
                Ok(gpu) => gpus.push(gpu),
                Err(error) => {
                    log::warn!("{} is left out: {error}", adapter.get_info().name);
                    refused.get_or_insert(error);
                }
            }
        }
        match refused {
            Some(error) if gpus.is_empty() => Err(error),
            _ => Self::new(gpus),
        }
    }

    /// Returns the GPUs, in the order in which they were given, or best first.
    pub fn gpus(&self) -> impl ExactSizeIterator<Item = &Gpu> {
        self.gpus.iter().map(|(gpu, _)| gpu)
    }

    /// Returns what each GPU has done in all calls so far, and its last failure, in the order of [`gpus`](Self::gpus).
    pub fn shares(&self) -> Vec<Share> {
        self.gpus.iter().map(|(_, ledger)| ledger.share()).collect()
    }

    /// Computes `loss` over batches that come one by one, as if they were one tensor, batch after batch along the first
    /// axis. See [`Stream`].
    pub fn stream<'a>(&'a self, loss: &'a dyn Loss, outputs: Outputs) -> Stream<'a> {
        Stream::on(self.executor(true), loss, outputs)
    }

    /// Returns an executor on the GPUs that are not lost.
    fn executor(&self, open: bool) -> Executor<'_> {
        let usable = self.gpus.iter().filter(|(_, ledger)| ledger.is_usable());
        Executor::shared(usable.map(|(gpu, ledger)| (gpu, ledger)), open)
    }
}

impl Device for MultiGpu {
    fn run(
        &self,
        loss: &dyn Loss,
        inputs: &Inputs<'_>,
        outputs: Outputs,
    ) -> Result<Output<f32>, Error> {
        let mut room = None;
        let (problem, inputs) = stated(loss, inputs, outputs, &mut room)?;
        block_on(stream::collected(self.executor(false), problem, &inputs))
    }

    fn run_into(
        &self,
        loss: &dyn Loss,
        inputs: &Inputs<'_>,
        outputs: Outputs,
        sink: &mut dyn Sink,
    ) -> Result<Output<f32>, Error> {
        stream::passed_on(self.executor(false), loss, inputs, outputs, sink)
    }

    fn partial(
        &self,
        loss: &dyn Loss,
        inputs: &Inputs<'_>,
        outputs: Outputs,
        sink: &mut dyn Sink,
    ) -> Result<Partial, Error> {
        stream::partial(self.executor(false), loss, inputs, outputs, sink)
    }

    fn stream<'a>(&'a self, loss: &'a dyn Loss, outputs: Outputs) -> Box<dyn Batches + 'a> {
        Box::new(MultiGpu::stream(self, loss, outputs))
    }
}
