//! What a call returns, as JavaScript objects.

use js_sys::{Float32Array, Float64Array, Object, Uint32Array};
use wasm_bindgen::prelude::*;
use wgpu_loss::{ClassLosses, Output, Outputs, Summary};

use crate::errors::set;

/// Returns an output on the host. Numbers of rows and elements are typed arrays.
pub fn output(output: &Output<f32>, asked: Outputs) -> JsValue {
    let made: JsValue = Object::new().into();
    let numbers = |numbers: &[f32]| JsValue::from(Float32Array::from(numbers));
    let words = |words: &[u32]| JsValue::from(Uint32Array::from(words));
    let reduced = output.loss_shape.is_empty();
    for (name, losses) in [("loss", &output.loss), ("zLoss", &output.z_loss)] {
        match losses.first() {
            Some(&loss) if reduced => set(&made, name, loss.into()),
            // Distributions have no loss.
            None if reduced || name == "zLoss" => {}
            _ => set(&made, name, numbers(losses)),
        }
    }
    let rows = &output.rows;
    let arrays = [
        ("grad", output.grad.as_deref()),
        ("targetGrad", output.target_grad.as_deref()),
        ("varGrad", output.var_grad.as_deref()),
        ("logProbs", output.log_probs.as_deref()),
        ("probs", output.probs.as_deref()),
        ("lse", rows.lse.as_deref()),
        ("entropy", rows.entropy.as_deref()),
        ("variance", rows.variance.as_deref()),
        ("rowWeights", rows.weights.as_deref()),
    ];
    for (name, array) in arrays {
        array.into_iter().for_each(|array| set(&made, name, numbers(array)));
    }
    for (name, array) in [("argmax", rows.argmax.as_deref()), ("rank", rows.rank.as_deref())] {
        array.into_iter().for_each(|array| set(&made, name, words(array)));
    }
    output.classes.iter().for_each(|of| set(&made, "classLosses", class_losses(of)));
    set(&made, "summary", summary(&output.summary, asked));
    made
}

/// Returns a summary; counts that were not asked for are left out.
pub fn summary(of: &Summary, asked: Outputs) -> JsValue {
    let made: JsValue = Object::new().into();
    let counts = [
        ("rows", Some(of.rows)),
        ("live", Some(of.live)),
        ("ignored", Some(of.ignored())),
        ("nonfinite", Some(of.nonfinite)),
        ("firstNonfinite", of.first_nonfinite),
        ("correct", asked.accuracy.then_some(of.correct)),
        ("inTopK", (asked.top_k > 0).then_some(of.top_k)),
    ];
    for (name, count) in counts {
        count.into_iter().for_each(|count| set(&made, name, (count as f64).into()));
    }
    set(&made, "weight", of.weight.into());
    made
}

/// Returns the sums over the rows of each class.
pub fn class_losses(of: &ClassLosses) -> JsValue {
    let made: JsValue = Object::new().into();
    let counts = |counts: &[u64]| {
        let counts: Vec<f64> = counts.iter().map(|&count| count as f64).collect();
        JsValue::from(Float64Array::from(&counts[..]))
    };
    set(&made, "loss", Float64Array::from(&of.loss[..]).into());
    set(&made, "rows", counts(&of.rows));
    set(&made, "correct", counts(&of.correct));
    made
}
