//! The calls whose kernels are compiled.

use std::error::Error;
use std::fmt;

use wgpu_loss::loss::Shapes;
use wgpu_loss::plan::Tuning;
use wgpu_loss::{
    Bce, BceWithLogits, CrossEntropy, ElementType, KlDiv, LabelType, Loss, Nll, Outputs, Plan,
    Profile, TargetType, wgpu,
};

/// The table of geometries.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Table {
    Discrete,
    Integrated,
}

/// A loss of one shape.
pub struct Call {
    pub loss: String,
    pub shape: Vec<usize>,
    pub dtype: String,
    pub pass: String,
}

impl Call {
    /// Returns every combination.
    pub fn all(
        losses: &[String],
        shapes: &[String],
        dtypes: &[String],
        passes: &[String],
    ) -> Result<Vec<Self>, Box<dyn Error>> {
        let mut calls = Vec::new();
        for loss in losses {
            for shape in shapes {
                let shape: Vec<usize> =
                    shape.split('x').map(str::parse).collect::<Result<_, _>>()?;
                for dtype in dtypes {
                    for pass in passes {
                        let (loss, dtype) = (loss.clone(), dtype.clone());
                        calls.push(Self { loss, shape: shape.clone(), dtype, pass: pass.clone() });
                    }
                }
            }
        }
        Ok(calls)
    }

    pub fn shape_name(&self) -> String {
        self.shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
    }

    /// Returns its plan on a GPU whose subgroups all have that size, and whose driver may round to f16.
    pub fn plan(
        &self,
        table: Table,
        subgroup: u32,
        rounds_f16: bool,
    ) -> Result<Plan, Box<dyn Error>> {
        let device_type = match table {
            Table::Discrete => wgpu::DeviceType::DiscreteGpu,
            Table::Integrated => wgpu::DeviceType::IntegratedGpu,
        };
        let mut profile = Profile::portable().with_device_type(device_type);
        profile.tuning = Tuning::of(device_type);
        profile.subgroup_size = Some(subgroup);
        profile.subgroups_alike = true;
        (profile.f16, profile.f16_rounds) = (true, rounds_f16);
        profile.limits.max_storage_buffer_binding_size = 1 << 31;
        profile.limits.max_compute_invocations_per_workgroup = 1024;
        profile.limits.max_compute_workgroup_size_x = 1024;
        profile.limits.max_compute_workgroup_storage_size = 32 << 10;
        let input = match self.dtype.as_str() {
            "f32" => ElementType::F32,
            "f16" => ElementType::F16,
            "bf16" => ElementType::BF16,
            other => return Err(format!("no element type {other}").into()),
        };
        let outputs = match self.pass.as_str() {
            "fwd" => Outputs::loss(),
            "fwd+bwd" => Outputs::loss().with_grad(),
            other => return Err(format!("no pass {other}").into()),
        };
        let rows = [&self.shape[..1], &self.shape[2..]].concat();
        let shapes = Shapes::new(&self.shape).input_type(input);
        let values = shapes.target(TargetType::Values(input), &self.shape);
        let labels = shapes.target(TargetType::Labels(LabelType::I64), &rows);
        let (loss, shapes): (Box<dyn Loss>, _) = match self.loss.as_str() {
            "ce" => (Box::new(CrossEntropy::new()), labels),
            "nll" => (Box::new(Nll::new()), labels),
            "bce" => (Box::new(Bce::new()), values),
            "bce-with-logits" => (Box::new(BceWithLogits::new()), values),
            "kl" => (Box::new(KlDiv::new()), values),
            other => return Err(format!("no loss {other}").into()),
        };
        Ok(Plan::new(&*loss, &shapes, outputs, &profile)?)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}-{}", self.loss, self.shape_name(), self.dtype, self.pass)
    }
}
