//! The losses by the page's own formulas, in f64, and numbers to test them on.

/// A loss and its gradient.
pub struct Truth {
    pub loss: f64,
    pub grad: Vec<f64>,
}

/// The mean cross-entropy of `(images, classes, positions)`; rows with a label that is no class are left out.
pub fn cross_entropy(
    logits: &[f32],
    labels: &[u32],
    [images, classes, positions]: [usize; 3],
) -> Truth {
    let mut truth = Truth { loss: 0.0, grad: vec![0.0; logits.len()] };
    let mut live = 0.0;
    assert_eq!(labels.len(), images * positions);
    for (row, &label) in labels.iter().enumerate() {
        let label = label as usize;
        if label >= classes {
            continue;
        }
        live += 1.0;
        let at = |class| (row / positions * classes + class) * positions + row % positions;
        let x = |class| f64::from(logits[at(class)]);
        let top = (0..classes).map(x).fold(f64::MIN, f64::max);
        let lse = top + (0..classes).map(|class| (x(class) - top).exp()).sum::<f64>().ln();
        truth.loss += lse - x(label);
        for class in 0..classes {
            let hit = f64::from(u8::from(class == label));
            truth.grad[at(class)] = (x(class) - lse).exp() - hit;
        }
    }
    truth.loss /= live;
    truth.grad.iter_mut().for_each(|grad| *grad /= live);
    truth
}

/// The mean binary cross-entropy of logits.
pub fn bce_with_logits(logits: &[f32], targets: &[f32]) -> Truth {
    let count = logits.len() as f64;
    let pairs = || logits.iter().zip(targets).map(|(&x, &t)| (f64::from(x), f64::from(t)));
    let loss: f64 = pairs().map(|(x, t)| x.max(0.0) - x * t + (-x.abs()).exp().ln_1p()).sum();
    let grad = pairs().map(|(x, t)| (1.0 / (1.0 + (-x).exp()) - t) / count).collect();
    Truth { loss: loss / count, grad }
}

/// Numbers between -3 and 3, the same for the same seed.
pub fn noise(count: usize, seed: u32) -> Vec<f32> {
    let number = |place: u32| {
        let mut bits = (place ^ seed.wrapping_mul(0x9e37_79b9)).wrapping_mul(0x85eb_ca6b);
        bits = (bits ^ bits >> 13).wrapping_mul(0xc2b2_ae35);
        ((bits ^ bits >> 16) >> 8) as f32 / (1 << 24) as f32 * 6.0 - 3.0
    };
    (0..count as u32).map(number).collect()
}

/// Compares f32 results with f64 numbers: the allowed error is a share of each number, and a tenth of that share of the
/// largest, for differences of numbers that are close. WGSL's `exp` of such logits may be wrong by 15 units in the last
/// place, 1.8e-6, and a sum of them by little more.
pub fn close(what: &str, got: &[f32], wanted: &[f64], part: f64) -> Result<(), String> {
    if got.len() != wanted.len() {
        return Err(format!("{what}: {} numbers, {} wanted", got.len(), wanted.len()));
    }
    let largest = wanted.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    let far = |place: usize| {
        let allowed = part * (wanted[place].abs() + largest / 10.0);
        let off = (f64::from(got[place]) - wanted[place]).abs();
        off.is_nan() || off > allowed
    };
    match (0..got.len()).find(|&place| far(place)) {
        Some(place) => Err(format!("{what} at {place}: {} is not {}", got[place], wanted[place])),
        None => Ok(()),
    }
}
