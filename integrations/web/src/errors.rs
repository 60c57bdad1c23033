//! The library's errors as JavaScript's, whose `kind` is the class that the package makes of them.

use js_sys::Reflect;
use wasm_bindgen::prelude::*;
use wgpu_loss::Error;

/// Returns the JavaScript error for an error of the library.
pub fn error(error: Error) -> JsValue {
    let kind = match error {
        Error::BadTargets { .. } => "label",
        Error::BadValues { .. } => "value",
        Error::NoAdapter { .. } | Error::NoDevice { .. } => "adapter",
        Error::Feature { .. }
        | Error::Lost { .. }
        | Error::Device { .. }
        | Error::OutOfMemory { .. }
        | Error::Budget { .. } => "device",
        // Shapes and options that do not fit.
        _ => "argument",
    };
    let message = match &error {
        // The library's hint is about drivers, which are not a page's to install.
        Error::NoAdapter { .. } => "this browser gives no WebGPU adapter".into(),
        error => in_javascript(error.clone()).to_string(),
    };
    let made = of_kind(kind, &message);
    match error {
        Error::BadTargets { count, first, value, .. } => {
            set(&made, "position", (first as f64).into());
            set(&made, "value", (value as f64).into());
            set(&made, "count", (count as f64).into());
        }
        Error::BadValues { what, count, first, value, .. } => {
            set(&made, "tensor", what.into());
            set(&made, "position", (first as f64).into());
            set(&made, "value", value.into());
            set(&made, "count", (count as f64).into());
        }
        _ => {}
    }
    made
}

/// Returns the error for an argument that does not fit.
pub fn argument(message: &str) -> JsValue {
    of_kind("argument", message)
}

/// Returns what serde says of a value that does not fit.
pub fn said(error: &serde_wasm_bindgen::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("Error: ").unwrap_or(&text).to_owned()
}

fn of_kind(kind: &str, message: &str) -> JsValue {
    let made: JsValue = js_sys::Error::new(message).into();
    set(&made, "kind", kind.into());
    made
}

/// Sets a property of an object of ours, which never fails.
pub fn set(object: &JsValue, name: &str, value: JsValue) {
    let _ = Reflect::set(object, &name.into(), &value);
}

/// Returns the error with the names of JavaScript's arguments.
fn in_javascript(mut error: Error) -> Error {
    let name = match &mut error {
        Error::Shape { what, .. } | Error::Length { what, .. } | Error::Broadcast { what, .. } => {
            what
        }
        Error::Range { what, .. } | Error::Usage { what, .. } => what,
        Error::Operand { operand, .. } => operand,
        Error::Option { option, .. } => option,
        _ => return error,
    };
    *name = match *name {
        "labels" | "class probabilities" => "target",
        "class weight" | "element weight" => "weight",
        "row weight" | "row weights" | "row_weights" => "rowWeights",
        "upstream gradient" => "upstream",
        "pos_weight" => "posWeight",
        "gradient" => "grad",
        "gradient of the target" => "targetGrad",
        "gradient of the variance" => "varGrad",
        "unreduced loss" => "losses",
        "label_smoothing" => "labelSmoothing",
        "logit_scale" => "logitScale",
        "z_loss" => "zLoss",
        "top_k" => "topK",
        "log_probs" => "logProbs",
        "target_grad" => "targetGrad",
        "var_grad" => "varGrad",
        "class_losses" => "classLosses",
        other => other,
    };
    error
}
