//! The results in a folder, and look-up in them.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use crate::grid::{self, Shape};
use crate::part::Part;

/// Element types, in the order of the report, with their bytes.
pub const DTYPES: [(&str, u64); 3] = [("f32", 4), ("bf16", 2), ("f16", 2)];
/// Passes: the names in `wgpu-loss bench`, and the peers' names.
pub const PASSES: [(&str, &str); 2] = [("fwd", "forward"), ("fwd+bwd", "forward+backward")];

/// All parts that were run on the same adapter with the same build.
pub struct Results {
    pub machine: Value,
    pub pack: Value,
    /// By the part's name.
    parts: Map<String, Value>,
    /// Results of other builds or adapters, which do not count.
    pub others: Vec<String>,
}

impl Results {
    /// Reads a folder.
    pub fn read(out: &Path) -> Result<Self, String> {
        let read = |name: &str| -> Result<Value, String> {
            let file = out.join("parts").join(format!("{name}.json"));
            let wrong = |error: String| format!("{}: {error}", file.display());
            let text = fs::read_to_string(&file).map_err(|error| wrong(error.to_string()))?;
            serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))
        };
        let (machine, pack) = (read("machine")?, read("pack")?);
        let (mut parts, mut others) = (Map::new(), Vec::new());
        for part in Part::all().map(Part::name) {
            if !out.join("parts").join(format!("{part}.json")).exists() {
                continue;
            }
            let found = read(&part)?;
            match found["commit"] == pack["commit"] && found["adapter"] == machine["adapter"] {
                true => drop(parts.insert(part, found)),
                false => others.push(part),
            }
        }
        Ok(Self { machine, pack, parts, others })
    }

    /// Returns true if the measured adapter is a GPU.
    pub fn gpu(&self) -> bool {
        self.machine["gpu"] == true
    }

    /// Returns the measured adapter's name.
    pub fn name(&self) -> &str {
        self.machine["adapter"]["name"].as_str().unwrap_or("unknown")
    }

    /// Returns a part, as it was stored.
    pub fn part(&self, name: &str) -> Option<&Value> {
        self.parts.get(name)
    }

    /// Returns a part's result.
    pub fn result(&self, name: &str) -> Option<&Value> {
        self.part(name)?.get("result")
    }

    /// Returns all shapes and passes of the grid in an element type.
    pub fn grid(&self, dtype: &str) -> &[Value] {
        list(self.result(&format!("bench-{dtype}")).map(|result| &result["results"]))
    }

    /// Returns one of them.
    pub fn cell(&self, dtype: &str, shape: &[u64], pass: &str) -> Option<&Value> {
        let is = |m: &&Value| m["pass"] == pass && grid::read(&m["shape"]) == shape;
        self.grid(dtype).iter().find(is)
    }

    /// Returns the comparisons with others, one for each element type.
    pub fn peers(&self) -> impl Iterator<Item = &Value> {
        DTYPES.iter().filter_map(|(dtype, _)| self.result(&format!("peers-{dtype}")))
    }

    /// Returns all shapes, passes and contenders of these.
    pub fn contenders(&self) -> impl Iterator<Item = &Value> {
        self.peers().flat_map(|peers| list(peers.get("results")))
    }

    /// Returns the comparison with others for one shape, element type and pass (by the peers' name).
    pub fn contest(&self, dtype: &str, shape: &[u64], pass: &str) -> Vec<&Value> {
        let is = |cell: &&Value| {
            (&cell["dtype"], &cell["pass"]) == (&dtype.into(), &pass.into())
                && grid::read(&cell["shape"]) == shape
        };
        self.contenders().filter(is).collect()
    }

    /// Returns the shapes of the contenders, each once.
    pub fn contested(&self) -> Vec<Shape> {
        let mut shapes: Vec<Shape> = Vec::new();
        for shape in self.contenders().map(|cell| grid::read(&cell["shape"])) {
            if !shapes.contains(&shape) {
                shapes.push(shape);
            }
        }
        shapes
    }

    /// Returns all parts, for the report in JSON.
    pub fn json(&self) -> Map<String, Value> {
        self.parts.clone()
    }
}

/// Returns an array's elements; none if the value is no array.
pub fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Returns a contender's time: by the device's own clock, if that was used.
pub fn device_ms(cell: &Value) -> Option<f64> {
    cell["device_median_ms"].as_f64().or_else(|| cell["median_ms"].as_f64())
}

/// Returns true if a contender's answer is right, as far as it gave one.
pub fn is_right(cell: &Value) -> bool {
    list(cell.get("wrong")).is_empty()
}
