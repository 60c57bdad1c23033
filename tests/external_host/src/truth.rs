//! The losses by the application's own formulas, in f64.

/// The results of cross-entropy of rows of logits.
#[derive(Default)]
pub struct CrossEntropy {
    /// The loss of each row, times its label's weight; 0 for a row that is left out.
    pub rows: Vec<f64>,
    /// The log-sum-exp of each row.
    pub lse: Vec<f64>,
    /// The class of each row's largest logit.
    pub predicted: Vec<u32>,
    /// The sum of the weights of the rows that count.
    pub weight: f64,
    /// The mean.
    pub loss: f64,
    /// The gradient of the mean.
    pub grad: Vec<f64>,
}

/// Weighted cross-entropy of `(rows, classes)`; labels that are no class leave their row out.
pub fn cross_entropy(logits: &[f32], labels: &[u8], weights: &[f32]) -> CrossEntropy {
    let classes = weights.len();
    let mut truth = CrossEntropy::default();
    for (row, &label) in logits.chunks_exact(classes).zip(labels) {
        let row: Vec<f64> = row.iter().map(|&x| x.into()).collect();
        let top = row.iter().copied().fold(f64::MIN, f64::max);
        let lse = top + row.iter().map(|x| (x - top).exp()).sum::<f64>().ln();
        let weight = weights.get(usize::from(label)).map_or(0.0, |&w| f64::from(w));
        let at_label = row.get(usize::from(label)).map_or(lse, |x| *x);
        let grad = row.iter().enumerate().map(|(class, x)| {
            weight * ((x - lse).exp() - if class == usize::from(label) { 1.0 } else { 0.0 })
        });
        truth.grad.extend(grad);
        truth.rows.push(weight * (lse - at_label));
        truth.predicted.push(row.iter().position(|x| *x == top).unwrap_or(0) as u32);
        truth.lse.push(lse);
        truth.weight += weight;
    }
    truth.loss = truth.rows.iter().sum::<f64>() / truth.weight;
    truth.grad.iter_mut().for_each(|grad| *grad /= truth.weight);
    truth
}

/// Weighted binary cross-entropy of a probability, and its derivative.
pub fn bce(x: f64, t: f64, w: f64) -> (f64, f64) {
    (-w * (t * x.ln() + (1.0 - t) * (1.0 - x).ln()), w * (x - t) / (x * (1.0 - x)))
}

/// The negative log-likelihood of `t` under a normal distribution, and its derivatives by `x` and by the variance.
pub fn gaussian(x: f64, t: f64, var: f64) -> (f64, f64, f64) {
    let d = x - t;
    ((var.ln() + d * d / var) / 2.0, d / var, (1.0 - d * d / var) / (2.0 * var))
}
