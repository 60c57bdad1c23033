//! Memory of the host's arrays, borrowed for the time of a call.

use std::slice;

use bytemuck::AnyBitPattern;
use dlpark::AllocationDeleter;
use dlpark::ffi::{DLDataType, DLDataTypeCode, DLDevice, DLDeviceType};
use dlpark::python::ImportRequest;
use pyo3::exceptions::{PyBufferError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use wgpu_loss::loss::Shapes;
use wgpu_loss::{ElementType, Floats, Inputs, LabelType, Labels, TargetType, Tensor};

/// An array of Python's: the address of its first element, and no more claim on it than that.
///
/// An address, and no pointer, so that it may cross threads. Whoever reads it holds the array's owner.
pub struct Array {
    kind: String,
    address: usize,
    shape: Vec<usize>,
}

impl Array {
    /// Reads an array with our name of its elements' type, and its shape: a NumPy array that is contiguous in C order and
    /// aligned, as the Python files make them, or none where the shape alone is asked about.
    fn of((array, kind, shape): (Option<Bound<'_, PyAny>>, String, Vec<usize>)) -> PyResult<Self> {
        let mut this = Self { kind, address: 0, shape };
        if let Some(array) = array {
            let bytes = this.element_type().map(ElementType::bytes);
            let bytes = bytes.or(this.label_type().map(LabelType::bytes)).unwrap_or(0);
            this.address = address_of(&array, &this.shape, bytes as usize)?;
        }
        Ok(this)
    }

    /// Returns the number of elements. NumPy has none whose number overflows.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    fn slice<T: AnyBitPattern>(&self) -> &[T] {
        let (pointer, len) = (self.address as *const T, self.len());
        if len == 0 {
            return &[];
        }
        assert!(pointer.is_aligned() && !pointer.is_null(), "arrays are aligned");
        // SAFETY: NumPy vouches for address and shape; the owner is held by `Arrays`, for longer than this borrow, and any
        // bits are a `T`. Other threads of Python's may write to the array meanwhile, as they may while NumPy reads it:
        // then the numbers are any, and so is the result. What indexes by a number checks it where it does.
        unsafe { slice::from_raw_parts(pointer, len) }
    }

    fn element_type(&self) -> Option<ElementType> {
        ElementType::ALL.into_iter().find(|one| one.name() == self.kind)
    }

    fn label_type(&self) -> Option<LabelType> {
        let name = |one: &LabelType| format!("{one:?}").to_lowercase();
        LabelType::ALL.into_iter().find(|one| name(one) == self.kind)
    }

    fn floats(&self) -> Option<Floats<'_>> {
        Some(match self.element_type()? {
            ElementType::F32 => Floats::F32(self.slice()),
            ElementType::F16 => Floats::F16(self.slice()),
            ElementType::BF16 => Floats::BF16(self.slice()),
            _ => return None,
        })
    }

    fn labels(&self) -> Option<Labels<'_>> {
        Some(match self.label_type()? {
            LabelType::U8 => Labels::U8(self.slice()),
            LabelType::I8 => Labels::I8(self.slice()),
            LabelType::U16 => Labels::U16(self.slice()),
            LabelType::I16 => Labels::I16(self.slice()),
            LabelType::U32 => Labels::U32(self.slice()),
            LabelType::I32 => Labels::I32(self.slice()),
            LabelType::U64 => Labels::U64(self.slice()),
            LabelType::I64 => Labels::I64(self.slice()),
            _ => return None,
        })
    }
}

/// Returns the address of a NumPy array's first element, if the array is what it is taken for.
pub fn address_of(array: &Bound<'_, PyAny>, shape: &[usize], bytes: usize) -> PyResult<usize> {
    let interface = array.getattr(pyo3::intern!(array.py(), "__array_interface__"))?;
    let (address, _): (usize, bool) = interface.get_item("data")?.extract()?;
    let of: Vec<usize> = interface.get_item("shape")?.extract()?;
    // Order of bytes, kind, and bytes of an element, as in "<f4".
    let typestr: String = interface.get_item("typestr")?.extract()?;
    let is_of_bytes = typestr.get(2..).and_then(|size| size.parse().ok()) == Some(bytes);
    if of != shape || !is_of_bytes || !interface.get_item("strides")?.is_none() {
        return Err(PyValueError::new_err(
            "the array has another shape, type or layout than was said",
        ));
    }
    Ok(address)
}

/// The arrays of one call by their names, which are those of [`Inputs`].
#[derive(Default)]
pub struct Arrays {
    arrays: Vec<(String, Array)>,
    /// What keeps their memory.
    #[allow(dead_code, reason = "holds them")]
    owners: Vec<Py<PyAny>>,
}

impl Arrays {
    /// Borrows the arrays of a dictionary: name to array, kind and shape.
    pub fn of(given: &Bound<'_, PyDict>) -> PyResult<Self> {
        let mut arrays = Self::default();
        for (name, value) in given {
            arrays.owners.push(value.clone().unbind());
            arrays.arrays.push((name.extract()?, Array::of(value.extract()?)?));
        }
        Ok(arrays)
    }

    fn get(&self, name: &str) -> Option<&Array> {
        self.arrays.iter().find(|(other, _)| other == name).map(|(_, array)| array)
    }

    /// Returns the floats of a name.
    pub fn floats(&self, name: &str) -> PyResult<Option<Floats<'_>>> {
        let Some(array) = self.get(name) else { return Ok(None) };
        array.floats().map(Some).ok_or_else(|| wrong_kind(name, array, "floats"))
    }

    fn tensor(&self, name: &str) -> PyResult<Option<Tensor<'_>>> {
        let Some(data) = self.floats(name)? else { return Ok(None) };
        Ok(self.get(name).map(|array| Tensor::new(data, &array.shape)))
    }

    /// Returns the arrays as the inputs of a loss.
    pub fn inputs(&self) -> PyResult<Inputs<'_>> {
        let Some(input) = self.tensor("input")? else {
            return Err(PyTypeError::new_err("there is no input"));
        };
        let mut inputs = Inputs::new(input);
        if let Some(array) = self.get("labels") {
            let labels = array.labels().ok_or_else(|| wrong_kind("labels", array, "integers"))?;
            inputs = inputs.labels(labels, &array.shape);
        }
        if let Some(probabilities) = self.tensor("probabilities")? {
            inputs = inputs.probabilities(probabilities);
        }
        if let Some(target) = self.tensor("target")? {
            inputs = inputs.target(target);
        }
        if let Some(weight) = self.class_weights()? {
            inputs = inputs.weight(weight);
        }
        inputs.row_weights = self.tensor("row_weights")?;
        inputs.element_weight = self.tensor("element_weight")?;
        inputs.pos_weight = self.tensor("pos_weight")?;
        inputs.var = self.tensor("var")?;
        if let Some((words, shards)) = self.states()? {
            inputs = inputs.states(words, shards);
        }
        inputs.upstream = self.tensor("upstream")?;
        Ok(inputs)
    }

    /// Returns the shapes of the arrays, whose memory need not be there.
    pub fn shapes(&self) -> PyResult<Shapes<'_>> {
        let typed = |name: &str| match self.get(name) {
            None => Ok(None),
            Some(array) => match array.element_type() {
                Some(element_type) => Ok(Some((element_type, &*array.shape))),
                None => Err(wrong_kind(name, array, "floats")),
            },
        };
        let Some((input_type, input)) = typed("input")? else {
            return Err(PyTypeError::new_err("there is no input"));
        };
        let mut shapes = Shapes::new(input).input_type(input_type);
        if let Some(array) = self.get("labels") {
            let wrong = || wrong_kind("labels", array, "integers");
            let label_type = array.label_type().ok_or_else(wrong)?;
            shapes = shapes.target(TargetType::Labels(label_type), &array.shape);
        }
        if let Some((element_type, shape)) = typed("probabilities")? {
            shapes = shapes.target(TargetType::Probabilities(element_type), shape);
        }
        if let Some((element_type, shape)) = typed("target")? {
            shapes = shapes.target(TargetType::Values(element_type), shape);
        }
        if let (Some((element_type, _)), Some(classes)) =
            (typed("weight")?, self.classes_of_weights()?)
        {
            shapes = shapes.weight(classes).weight_type(element_type);
        }
        if let Some((element_type, shape)) = typed("upstream")? {
            shapes = shapes.upstream(shape).upstream_type(element_type);
        }
        shapes.row_weights = typed("row_weights")?.map(|(_, shape)| shape);
        shapes.element_weight = typed("element_weight")?;
        shapes.pos_weight = typed("pos_weight")?;
        shapes.var = typed("var")?;
        shapes.states = self.get("states").and_then(|array| array.shape.first().copied());
        Ok(shapes)
    }

    /// Returns the states of rows, and the number of shards that they are of.
    fn states(&self) -> PyResult<Option<(&[u32], usize)>> {
        match self.get("states") {
            None => Ok(None),
            Some(array) if array.kind == "u32" && !array.shape.is_empty() => {
                Ok(Some((array.slice(), array.shape[0])))
            }
            Some(array) => {
                Err(wrong_kind("states", array, "uint32, with the shards as the first axis"))
            }
        }
    }

    /// Returns the weights of classes.
    pub fn class_weights(&self) -> PyResult<Option<Floats<'_>>> {
        self.classes_of_weights()?;
        self.floats("weight")
    }

    /// Returns the number of class weights.
    fn classes_of_weights(&self) -> PyResult<Option<usize>> {
        match self.get("weight").map(|array| &*array.shape) {
            None => Ok(None),
            Some(&[classes]) => Ok(Some(classes)),
            Some(shape) => Err(PyValueError::new_err(format!(
                "weight has shape {shape:?}, expected one axis, with a weight of each class"
            ))),
        }
    }

    /// Returns a call's labels.
    pub fn labels(&self) -> Option<Labels<'_>> {
        self.get("labels")?.labels()
    }
}

fn wrong_kind(name: &str, array: &Array, wanted: &str) -> PyErr {
    PyTypeError::new_err(format!("{name} has elements of type {}, expected {wanted}", array.kind))
}

/// The memory of a DLPack tensor, for `numpy.asarray`. bf16, which NumPy lacks, is seen as unsigned integers.
#[pyclass(frozen, module = "wgpu_loss._native")]
pub struct View {
    address: usize,
    shape: Vec<i64>,
    /// In bytes.
    strides: Vec<i64>,
    typestr: String,
    /// True if the elements are bf16.
    #[pyo3(get)]
    is_bf16: bool,
    _owner: AllocationDeleter,
}

#[pymethods]
impl View {
    /// Borrows a tensor; `name` is that of the argument, for errors.
    #[new]
    fn new(tensor: &Bound<'_, PyAny>, name: &str) -> PyResult<Self> {
        let request = ImportRequest::new(tensor.as_borrowed())?;
        if let Ok(device) = request.device() {
            check_device(name, device)?;
        }
        let imported = match request.import(None, None) {
            // Before DLPack 1.0, exporters knew no versions.
            Err(error) if error.is_instance_of::<PyTypeError>(tensor.py()) => {
                let capsule = tensor.call_method0("__dlpack__")?;
                ImportRequest::new(capsule.as_borrowed())?.import(None, None)?
            }
            imported => imported?,
        };
        let invalid = |error: dlpark::tensor::Error| PyBufferError::new_err(error.to_string());
        let tensor = imported.validate().map_err(invalid)?;
        check_device(name, tensor.device())?;
        let (typestr, is_bf16) = typestr(name, tensor.dtype())?;
        let bytes = i64::from(tensor.dtype().bits) / 8;
        let strides = tensor.strides_or_compact().map_err(invalid)?;
        Ok(Self {
            address: tensor.data_ptr() as usize,
            shape: tensor.shape().to_vec(),
            strides: strides.iter().map(|stride| stride * bytes).collect(),
            typestr,
            is_bf16,
            _owner: imported.into_deleter(),
        })
    }

    /// NumPy's description of the memory, which may not be written to.
    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let interface = PyDict::new(py);
        interface.set_item("version", 3)?;
        interface.set_item("shape", PyTuple::new(py, &self.shape)?)?;
        interface.set_item("strides", PyTuple::new(py, &self.strides)?)?;
        interface.set_item("typestr", &self.typestr)?;
        interface.set_item("data", (self.address, true))?;
        Ok(interface)
    }
}

/// Returns NumPy's name for a type of elements, and true for bf16.
fn typestr(name: &str, dtype: DLDataType) -> PyResult<(String, bool)> {
    let bytes = dtype.bits / 8;
    let letter = match (dtype.code, dtype.bits) {
        (DLDataTypeCode::INT, 8 | 16 | 32 | 64) => "i",
        (DLDataTypeCode::UINT, 8 | 16 | 32 | 64) | (DLDataTypeCode::BFLOAT, 16) => "u",
        (DLDataTypeCode::FLOAT, 16 | 32 | 64) => "f",
        (DLDataTypeCode::BOOL, 8) => "b",
        _ => "",
    };
    if letter.is_empty() || dtype.lanes != 1 {
        let DLDataType { code, bits, lanes } = dtype;
        return Err(PyTypeError::new_err(format!(
            "{name} has elements of a type that losses are not defined for (DLPack code {}, {bits} bits, {lanes} lanes)",
            code.0
        )));
    }
    let order = if bytes == 1 { '|' } else { '<' };
    Ok((format!("{order}{letter}{bytes}"), dtype.code == DLDataTypeCode::BFLOAT))
}

fn check_device(name: &str, device: DLDevice) -> PyResult<()> {
    let place = match device.device_type {
        // The host's own memory, and memory of the host that a GPU reaches too.
        DLDeviceType::CPU | DLDeviceType::CUDAHOST | DLDeviceType::ROCMHOST => return Ok(()),
        DLDeviceType::CUDA | DLDeviceType::CUDAMANAGED => "CUDA",
        DLDeviceType::ROCM => "ROCm",
        DLDeviceType::METAL => "Metal",
        DLDeviceType::VULKAN => "Vulkan",
        _ => "another",
    };
    Err(PyTypeError::new_err(format!(
        "{name} is on a {place} device ({}): wgpu-loss reads the host's memory, so move it there first, as by \
         tensor.cpu()",
        device.device_id
    )))
}
