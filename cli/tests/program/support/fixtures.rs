//! The library's fixtures as files and words for the program: PyTorch's numbers in float64.

use serde_json::Value;

use super::Folder;

/// A case: the command, and its right results.
pub struct Case {
    /// Its name.
    pub name: String,
    /// The words of the program.
    pub words: String,
    /// Files that it saves, and what is in them.
    pub saved: Vec<(&'static str, Vec<f64>)>,
    /// Entries of its JSON object.
    pub reported: Vec<(&'static str, Value)>,
}

/// The cases of `tests/fixtures/<name>.json`.
pub fn read(name: &str) -> Vec<Value> {
    let said = std::env::var("CARGO_MANIFEST_DIR");
    let folder = said.unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").into());
    let path = format!("{folder}/../tests/fixtures/{name}.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap()
}

/// Numbers, some of which JSON has no name for.
fn numbers(value: &Value) -> Vec<f64> {
    let number = |value: &Value| match value {
        Value::String(name) => name.parse().unwrap(),
        value => value.as_f64().unwrap(),
    };
    value.as_array().unwrap().iter().map(number).collect()
}

fn shape(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect()
}

impl Case {
    /// Saves a tensor of floats, if there is one, and gives a flag with its name.
    fn tensor(folder: &Folder, file: &str, shape: &[usize], value: &Value) -> bool {
        if !value.is_null() {
            let floats: Vec<f32> = numbers(value).iter().map(|&x| x as f32).collect();
            folder.save(file, shape, &floats);
        }
        !value.is_null()
    }

    /// Requires that a file is saved with these numbers, if there are any.
    fn saves(&mut self, flag: &str, file: &'static str, value: &Value) {
        if !value.is_null() {
            self.words += &format!(" --{flag} {file}");
            self.saved.push((file, numbers(value)));
        }
    }

    fn flag(&mut self, name: &str, value: &Value) {
        if !value.is_null() {
            self.words += &format!(" --{name} {}", value.to_string().trim_matches('"'));
        }
    }

    fn new(value: &Value, function: &str, operands: &str) -> Self {
        let name = value["name"].as_str().unwrap().to_string();
        let words = format!("{} {operands}", function.replace('_', "-"));
        Self { name, words, saved: Vec::new(), reported: Vec::new() }
    }

    /// The upstream gradient: one number, or one for each loss.
    fn upstream(&mut self, folder: &Folder, value: &Value, rows: &[usize]) {
        let none = value["reduction"] == "none";
        if Self::tensor(folder, "up.npy", if none { rows } else { &[] }, &value["upstream"]) {
            self.words += " --upstream up.npy";
        }
    }

    /// A loss of single elements.
    pub fn pointwise(folder: &Folder, value: &Value) -> Self {
        let shape = shape(&value["shape"]);
        Self::tensor(folder, "x.npy", &shape, &value["input"]);
        Self::tensor(folder, "t.npy", &shape, &value["target"]);
        let function = value["loss_function"].as_str().unwrap();
        let mut case = Self::new(value, function, "x.npy t.npy");
        for role in ["weight", "pos_weight", "var"] {
            let tensor = &value[role];
            if !tensor.is_null() {
                let file = format!("{role}.npy");
                Self::tensor(folder, &file, &self::shape(&tensor["shape"]), &tensor["data"]);
                case.words += &format!(" --{} {file}", role.replace('_', "-"));
            }
        }
        for (key, flag, on) in [
            ("log_target", "log-target", true),
            ("full", "full", true),
            ("log_input", "no-log-input", false),
        ] {
            if value[key] == on && (on || function == "poisson_nll") {
                case.words += &format!(" --{flag}");
            }
        }
        if matches!(function, "gaussian_nll" | "poisson_nll") {
            case.flag("eps", &value["eps"]);
        }
        case.flag("reduction", &value["reduction"]);
        case.upstream(folder, value, &shape);
        case.saves("save-loss", "loss.npy", &value["loss"]);
        case.saves("save-grad", "grad.npy", &value["grad"]);
        case.saves("save-target-grad", "target_grad.npy", &value["target_grad"]);
        case.saves("save-var-grad", "var_grad.npy", &value["var_grad"]);
        case
    }

    /// A softmax, a log-softmax or an entropy.
    pub fn softmax(folder: &Folder, value: &Value) -> Self {
        let shape = shape(&value["shape"]);
        Self::tensor(folder, "x.npy", &shape, &value["input"]);
        let function = value["function"].as_str().unwrap();
        let mut case = Self::new(value, function, "x.npy");
        case.flag("class-axis", &value["axis"]);
        if function == "entropy" {
            let axis = value["axis"].as_i64().unwrap();
            let mut rows = shape.clone();
            rows.remove(if axis < 0 { shape.len() as i64 + axis } else { axis } as usize);
            case.flag("reduction", &value["reduction"]);
            case.upstream(folder, value, &rows);
            case.saves("save-loss", "loss.npy", &value["loss"]);
        } else {
            if Self::tensor(folder, "up.npy", &shape, &value["upstream"]) {
                case.words += " --upstream up.npy";
            }
            case.saves("save-output", "elements.npy", &value["elements"]);
        }
        case.saves("save-grad", "grad.npy", &value["grad"]);
        case
    }

    /// Makes a cross-entropy or nll with its optional outputs.
    pub fn extras(folder: &Folder, value: &Value) -> Self {
        let shape = shape(&value["shape"]);
        Self::tensor(folder, "x.npy", &shape, &value["input"]);
        let axis = value["class_axis"].as_i64().unwrap_or(if shape.len() == 1 { 0 } else { 1 });
        let axis = if axis < 0 { shape.len() as i64 + axis } else { axis } as usize;
        let mut rows = shape.clone();
        let classes = rows.remove(axis);
        let function = value["loss_function"].as_str().unwrap();
        let mut case = Self::new(value, function, "x.npy t.npy");
        if !Self::tensor(folder, "t.npy", &shape, &value["probabilities"]) {
            let labels: Vec<i64> =
                value["labels"].as_array().unwrap().iter().map(|n| n.as_i64().unwrap()).collect();
            match value["label_type"].as_str().unwrap() {
                "u8" => folder.save(
                    "t.npy",
                    &rows,
                    &labels.iter().map(|&n| n as u8).collect::<Vec<_>>(),
                ),
                "i32" => folder.save(
                    "t.npy",
                    &rows,
                    &labels.iter().map(|&n| n as i32).collect::<Vec<_>>(),
                ),
                "u32" => folder.save(
                    "t.npy",
                    &rows,
                    &labels.iter().map(|&n| n as u32).collect::<Vec<_>>(),
                ),
                _ => folder.save("t.npy", &rows, &labels),
            }
            case.flag("ignore-index", &value["ignore_index"]);
        }
        case.flag("class-axis", &value["class_axis"]);
        case.flag("reduction", &value["reduction"]);
        if Self::tensor(folder, "w.npy", &[classes], &value["weight"]) {
            case.words += " --weight w.npy";
        }
        if Self::tensor(folder, "r.npy", &rows, &value["row_weights"]) {
            case.words += " --row-weights r.npy";
        }
        case.upstream(folder, value, &rows);
        case.saves("save-loss", "loss.npy", &value["loss"]);
        case.saves("save-grad", "grad.npy", &value["grad"]);
        if function == "nll" {
            return case;
        }
        for flag in ["label_smoothing", "logit_scale", "softcap", "z_loss"] {
            case.flag(&flag.replace('_', "-"), &value[flag]);
        }
        for (flag, file, key) in [
            ("save-log-probs", "log_probs.npy", "log_probs"),
            ("save-lse", "lse.npy", "lse"),
            ("save-argmax", "argmax.npy", "argmax"),
            ("save-rank", "rank.npy", "rank"),
            ("save-entropy", "entropy.npy", "entropy"),
            ("save-variance", "variance.npy", "variance"),
            ("save-row-weights", "row_weights.npy", "row_weights_out"),
        ] {
            case.saves(flag, file, &value[key]);
        }
        if !value["correct"].is_null() {
            case.words += " --accuracy";
            case.reported.push(("correct", value["correct"].clone()));
            // More than there are classes are refused.
            if value["k"].as_u64().is_some_and(|k| k <= classes as u64) {
                case.words += &format!(" --top-k {}", value["k"]);
                case.reported.push(("top_k", value["top_k"].clone()));
            }
        }
        if !value["z_loss_out"].is_null() {
            case.reported.push(("z_loss", value["z_loss_out"].clone()));
        }
        if !value["class_loss"].is_null() {
            case.words += " --per-class";
            case.reported.push(("classes", classes_of(value)));
        }
        case
    }

    /// Asserts that the saved and printed numbers are PyTorch's, to this much of each number or of the largest of its
    /// tensor.
    #[track_caller]
    pub fn check(&self, folder: &Folder, json: &Value, relative: f64, of_largest: f64) {
        let Self { name, words, .. } = self;
        for (file, wanted) in &self.saved {
            let (descr, _, body) = folder.load_bytes(file);
            let given: Vec<f64> = body
                .chunks(4)
                .map(|b| <[u8; 4]>::try_from(b).unwrap())
                .map(|b| {
                    if descr == "<u4" {
                        u32::from_le_bytes(b).into()
                    } else {
                        f32::from_le_bytes(b).into()
                    }
                })
                .collect();
            close(&given, wanted, relative, of_largest, &format!("{name} {file}: {words}"));
        }
        for (key, wanted) in &self.reported {
            self::reported(&json[key], wanted, relative, &format!("{name} {key}: {words}"));
        }
    }
}

/// The classes that have rows, with their mean losses, as the program's JSON has them by class.
fn classes_of(value: &Value) -> Value {
    let (losses, rows) = (numbers(&value["class_loss"]), numbers(&value["class_rows"]));
    let all = losses.iter().zip(&rows).enumerate().filter(|(_, (_, rows))| **rows > 0.0);
    let entry = |(class, (loss, rows)): (usize, (&f64, &f64))| {
        let mean = loss / rows;
        let mean: Value = if mean.is_finite() { mean.into() } else { mean.to_string().into() };
        serde_json::json!({ "class": class, "rows": *rows as u64, "mean_loss": mean })
    };
    Value::Array(all.map(entry).collect())
}

#[track_caller]
fn reported(given: &Value, wanted: &Value, relative: f64, what: &str) {
    let classes = |value: &Value| {
        let mut all = value.as_array().unwrap().clone();
        all.sort_by_key(|class| class["class"].as_u64());
        all
    };
    let is_classes = wanted.as_array().is_some_and(|all| all.iter().all(|one| one.is_object()));
    if is_classes && wanted != &serde_json::json!([]) {
        let (given, wanted) = (classes(given), classes(wanted));
        assert_eq!(given.len(), wanted.len(), "{what}");
        for (given, wanted) in given.iter().zip(&wanted) {
            assert_eq!(
                (&given["class"], &given["rows"]),
                (&wanted["class"], &wanted["rows"]),
                "{what}"
            );
            let mean = |value: &Value| numbers(&serde_json::json!([value["mean_loss"]]));
            // A GPU's are sums in units of 2^-56.
            let (given, wanted) = (mean(given)[0], mean(wanted)[0]);
            match (given - wanted).abs() <= 2f64.powi(-56) {
                true => {}
                false => close(&[given], &[wanted], relative, 0.0, what),
            }
        }
        return;
    }
    let all = |value: &Value| match value {
        Value::Array(_) => numbers(value),
        one => numbers(&serde_json::json!([one])),
    };
    close(&all(given), &all(wanted), relative, 0.0, what);
}

#[track_caller]
fn close(given: &[f64], wanted: &[f64], relative: f64, of_largest: f64, what: &str) {
    assert_eq!(given.len(), wanted.len(), "{what}");
    let largest = wanted.iter().filter(|x| x.is_finite()).fold(0.0, |a: f64, x| a.max(x.abs()));
    for (i, (&a, &b)) in given.iter().zip(wanted).enumerate() {
        let allowed = relative * b.abs() + of_largest * largest + f64::from(f32::MIN_POSITIVE);
        let same = a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= allowed;
        assert!(same, "{i}: {a} for {b}, {what}");
    }
}
