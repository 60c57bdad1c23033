//! The mergeable state of a softmax: a set of classes in three numbers.

use std::ops::Range;

use rayon::prelude::*;

use super::logits::Logits;
use crate::ClassView;

/// Rows longer than this are folded in pieces of this many classes, in parallel, and merged.
const PIECE: usize = 1 << 16;

/// The state of a set of classes with logits `x`, which become `z(x)` before the softmax:
///
/// ```text
/// max         = max x
/// sum_exp_m1  = sum e_c,     e_c = exp(-d_c),  d_c = z(max) - z(x_c), over all classes but one at the maximum
/// exp_gap_sum = sum e_c d_c
/// log(sum exp z) = z(max) + log(1 + sum_exp_m1)
/// entropy        = log(1 + sum_exp_m1) + exp_gap_sum / (1 + sum_exp_m1)
/// ```
///
/// Leaving one maximum out of the sum keeps a confident row's digits: its loss is `log(1 + sum_exp_m1)` with an
/// arbitrarily small `sum_exp_m1`, while in `log(sum)` the sum would round to 1. Quantities of a class are computed
/// from its distance `d_c`, from [`Logits::below`].
///
/// Classes at `-inf` leave the state as it is. After a NaN or a `+inf` it never has a distribution: see
/// [`State::is_distribution`]. A soft cap maps infinities to numbers before this.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct State {
    /// The largest logit.
    pub max: f64,
    /// The sum of `e_c` over all classes but one of those at the maximum; -1 for no class.
    pub sum_exp_m1: f64,
    /// The sum of `e_c d_c`.
    pub exp_gap_sum: f64,
}

impl State {
    /// The state of no class at all: a merge adds its `1 + sum_exp_m1`, which is 0.
    pub const IDENTITY: State = State { max: f64::MIN, sum_exp_m1: -1.0, exp_gap_sum: 0.0 };

    /// The state of a row without a distribution. All results from it are NaN.
    pub const NAN: State = State { max: f64::NAN, sum_exp_m1: f64::NAN, exp_gap_sum: f64::NAN };

    /// Adds one class with a clean logit.
    pub fn accumulate(&mut self, logits: &Logits, x: f64) {
        if x > self.max {
            // All classes so far are below the new maximum, the old maximum included.
            let (e, d) = fallen(logits.below(x, self.max));
            self.exp_gap_sum = e * (self.exp_gap_sum + d * (1.0 + self.sum_exp_m1));
            self.sum_exp_m1 = self.sum_exp_m1 * e + e;
            self.max = x;
        } else {
            let (e, d) = fallen(logits.below(self.max, x));
            self.exp_gap_sum += e * d;
            self.sum_exp_m1 += e;
        }
    }

    /// Returns the state of both sets together. The side with the lower maximum adds all of its `1 + sum_exp_m1`.
    pub fn merge(self, logits: &Logits, other: State) -> State {
        let (above, below) = if self.max >= other.max { (self, other) } else { (other, self) };
        let (e, d) = fallen(logits.below(above.max, below.max));
        let sum_exp = 1.0 + below.sum_exp_m1;
        State {
            max: above.max,
            sum_exp_m1: above.sum_exp_m1 + sum_exp * e,
            exp_gap_sum: above.exp_gap_sum + e * (below.exp_gap_sum + d * sum_exp),
        }
    }

    /// Returns the state of neighbouring classes.
    fn of<T: Copy + Into<f64> + Sync>(map: &Logits, logits: &[T]) -> State {
        if logits.len() > PIECE {
            let pieces: Vec<State> =
                logits.par_chunks(PIECE).map(|piece| State::of(map, piece)).collect();
            return pieces.into_iter().fold(State::IDENTITY, |all, piece| all.merge(map, piece));
        }
        let mut state = State::IDENTITY;
        for &x in logits {
            state.accumulate(map, map.clean(x.into()));
        }
        state
    }

    /// Returns true if the classes have a distribution: some class is above `-inf`, none is `+inf` or NaN.
    ///
    /// A NaN makes `sum_exp_m1` NaN, which no accumulation or merge changes; a `+inf` stays at the maximum.
    fn is_distribution(&self) -> bool {
        self.max < f64::INFINITY && self.sum_exp_m1 >= 0.0
    }

    /// Returns the state itself, or NaNs if the classes have no distribution.
    fn or_nan(self) -> State {
        if self.is_distribution() { self } else { State::NAN }
    }

    /// Returns true if this is the state of a row without a distribution.
    pub fn is_nan(&self) -> bool {
        self.max.is_nan()
    }

    /// Returns `log(sum exp z) - z(max)`, at least 0.
    pub fn log_sum_exp(&self) -> f64 {
        self.sum_exp_m1.ln_1p()
    }

    /// Returns `-log p` of a class this far below the maximum: a sum of two nonnegative terms, so nothing cancels.
    pub fn surprise(&self, below: f64) -> f64 {
        below + self.log_sum_exp()
    }

    /// Returns `log p` of a class this far below the maximum.
    pub fn log_prob(&self, below: f64) -> f64 {
        0.0 - self.surprise(below)
    }

    /// Returns `p` of a class this far below the maximum.
    pub fn prob(&self, below: f64) -> f64 {
        (-below).exp() / (1.0 + self.sum_exp_m1)
    }

    /// Returns `-sum_c p_c log p_c`: the mean surprise, of nonnegative terms. 0 over no classes.
    pub fn entropy(&self) -> f64 {
        if *self == State::IDENTITY { 0.0 } else { self.log_sum_exp() + self.mean_gap() }
    }

    /// Returns the mean distance from the maximum, `sum_c p_c d_c`.
    pub fn mean_gap(&self) -> f64 {
        self.exp_gap_sum / (1.0 + self.sum_exp_m1)
    }

    /// Returns `V p - v`: the gradient of `sum_c v_c (-log p_c)` with respect to the `z` of a class this far below the
    /// maximum that has the share `v` of the whole `V`.
    ///
    /// At the maximum `p = 1 / (1 + sum_exp_m1)` may round to 1, so there the difference is computed before the
    /// division: `V p - v = ((V - v) - v sum_exp_m1) / (1 + sum_exp_m1)`. For a label `V = v`, and a confident row's
    /// gradient is as exact as its loss.
    pub fn gradient(&self, below: f64, share: f64, whole: f64) -> f64 {
        if below == 0.0 {
            ((whole - share) - share * self.sum_exp_m1) / (1.0 + self.sum_exp_m1)
        } else {
            whole * self.prob(below) - share
        }
    }
}

/// Returns `exp(-d)`, and `d` limited to finite numbers: at an infinite distance the former is 0, as is the
/// product.
fn fallen(d: f64) -> (f64, f64) {
    ((-d).exp(), d.min(f64::MAX))
}

/// Returns the states of neighbouring rows, NaN if a row has no distribution.
pub(super) fn states<T: Copy + Into<f64> + Sync>(
    view: &ClassView,
    map: &Logits,
    logits: &[T],
    rows: Range<usize>,
) -> Vec<State> {
    let mut states = if view.inner == 1 {
        let classes = view.classes;
        rows.map(|row| State::of(map, &logits[row * classes..(row + 1) * classes])).collect()
    } else {
        states_of_columns(view, map, logits, rows)
    };
    // A row without classes has the distribution over nothing.
    if view.classes > 0 {
        for state in &mut states {
            *state = state.or_nan();
        }
    }
    states
}

/// Returns the states of rows that are neighbours in memory: class by class, a run of rows at once.
fn states_of_columns<T: Copy + Into<f64>>(
    view: &ClassView,
    map: &Logits,
    logits: &[T],
    rows: Range<usize>,
) -> Vec<State> {
    let mut states = vec![State::IDENTITY; rows.len()];
    let mut done = 0;
    while done < states.len() {
        let row = rows.start + done;
        let run = (view.inner - row % view.inner).min(states.len() - done);
        let run_states = &mut states[done..done + run];
        for class in 0..view.classes {
            let first = view.row_start(row) + class * view.inner;
            for (state, &x) in run_states.iter_mut().zip(&logits[first..first + run]) {
                state.accumulate(map, map.clean(x.into()));
            }
        }
        done += run;
    }
    states
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Logits = Logits::IDENTITY;

    fn folded_as(map: &Logits, logits: &[f64]) -> State {
        let mut state = State::IDENTITY;
        for &x in logits {
            state.accumulate(map, map.clean(x));
        }
        state
    }

    fn folded(logits: &[f64]) -> State {
        folded_as(&PLAIN, logits)
    }

    /// Scaled, and capped: the two maps that are not the identity.
    fn maps() -> [Logits; 3] {
        let map = |scale, softcap| Logits::new(crate::loss::LogitMap { scale, softcap });
        [PLAIN, map(2.5, None), map(0.5, Some(10.0))]
    }

    /// Each accumulation or merge rounds an exp, a few products and a sum of nonnegative terms: a few times 2^-53 of
    /// `sum_exp_m1`, or of `exp_gap_sum`.
    #[track_caller]
    fn assert_close(a: State, b: State) {
        assert_eq!(a.max, b.max);
        for (got, wanted) in [(a.sum_exp_m1, b.sum_exp_m1), (a.exp_gap_sum, b.exp_gap_sum)] {
            assert!((got - wanted).abs() <= 6e-15 * wanted.abs(), "{a:?} is not {b:?}");
        }
    }

    /// Returns logits of very different sizes, with ties and `-inf`, in a fixed disorder.
    fn logits(count: usize) -> Vec<f64> {
        let mut seed = 1u64;
        let mut next = || {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 40) as f64 / (1u64 << 24) as f64
        };
        (0..count)
            .map(|i| match i % 7 {
                3 => f64::NEG_INFINITY,
                5 => 4.0,
                _ => 40.0 * next() - 35.0,
            })
            .collect()
    }

    #[test]
    fn identity_changes_nothing() {
        let extremes = [f64::from(f32::MIN), f64::from(f32::MAX), 0.0, -1e-30];
        for state in extremes.map(|x| folded(&[x, x, x - 1.0])) {
            assert_eq!(state.merge(&PLAIN, State::IDENTITY), state);
            assert_eq!(State::IDENTITY.merge(&PLAIN, state), state);
        }
        assert_eq!(State::IDENTITY.merge(&PLAIN, State::IDENTITY), State::IDENTITY);
    }

    #[test]
    fn one_class_has_no_excess() {
        for x in [f64::from(f32::MIN), -1.5, 0.0, 7.0, f64::from(f32::MAX)] {
            assert_eq!(folded(&[x]), State { max: x, sum_exp_m1: 0.0, exp_gap_sum: 0.0 });
        }
    }

    #[test]
    fn excess_counts_ties_but_one() {
        assert_eq!(folded(&[2.0; 5]), State { max: 2.0, sum_exp_m1: 4.0, exp_gap_sum: 0.0 });
        assert_eq!(folded(&[-3.0, 2.0, 2.0]).merge(&PLAIN, folded(&[2.0])).sum_exp_m1.floor(), 2.0);
        assert_eq!(folded(&[2.0; 5]).merge(&PLAIN, folded(&[2.0; 3])), folded(&[2.0; 8]));
    }

    #[test]
    fn state_is_the_log_sum_exp() {
        // log(e^1 + e^2 + e^3) = 3 + log(1 + e^-1 + e^-2)
        let e = [(-1f64).exp(), (-2f64).exp()];
        let wanted = State { max: 3.0, sum_exp_m1: e[0] + e[1], exp_gap_sum: e[0] + 2.0 * e[1] };
        for order in [[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [2.0, 3.0, 1.0]] {
            assert_close(folded(&order), wanted);
        }
        assert!((folded(&[1.0, 2.0, 3.0]).surprise(0.0) - 0.40760596444438).abs() < 1e-14);
    }

    #[test]
    fn merge_is_accumulation_of_all() {
        let logits = logits(60);
        for map in maps() {
            let all = folded_as(&map, &logits);
            for cut in 0..=logits.len() {
                let (left, right) = logits.split_at(cut);
                let (left, right) = (folded_as(&map, left), folded_as(&map, right));
                assert_close(left.merge(&map, right), all);
                assert_close(right.merge(&map, left), all);
            }
        }
    }

    #[test]
    fn merge_is_associative() {
        let logits = logits(61);
        for map in maps() {
            for cut in 1..logits.len() - 1 {
                let parts = [&logits[..cut], &logits[cut..cut + 1], &logits[cut + 1..]];
                let [a, b, c] = parts.map(|part| folded_as(&map, part));
                assert_close(a.merge(&map, b).merge(&map, c), a.merge(&map, b.merge(&map, c)));
            }
        }
    }

    #[test]
    fn minus_infinity_contributes_nothing() {
        let inf = f64::INFINITY;
        assert_eq!(folded(&[-inf]), State::IDENTITY);
        assert_eq!(folded(&[-inf, 1.0, -inf, 0.5, -inf]), folded(&[1.0, 0.5]));
        assert_eq!(folded(&[1.0, 0.5]).merge(&PLAIN, folded(&[-inf, -inf])), folded(&[1.0, 0.5]));
        assert!(!folded(&[-inf, -inf]).is_distribution());
        assert!(folded(&[-inf, f64::from(f32::MIN)]).is_distribution());
    }

    #[test]
    fn nan_and_plus_infinity_break_the_state_for_good() {
        let inf = f64::INFINITY;
        for bad in [f64::NAN, inf] {
            for row in [vec![bad], vec![bad, 1.0], vec![1.0, bad], vec![1.0, bad, bad, -inf, 3.0]] {
                let broken = folded(&row);
                assert!(!broken.is_distribution(), "{row:?}");
                assert!(broken.or_nan().is_nan());
                for other in [State::IDENTITY, folded(&[1e30]), folded(&[inf]), folded(&[2.0])] {
                    assert!(
                        !broken.merge(&PLAIN, other).is_distribution(),
                        "{row:?} with {other:?}"
                    );
                    assert!(
                        !other.merge(&PLAIN, broken).is_distribution(),
                        "{other:?} with {row:?}"
                    );
                }
            }
        }
        assert!(folded(&[1.0, -inf, 2.0]).is_distribution());
    }

    #[test]
    fn confident_rows_keep_their_digits() {
        // sum_exp_m1 = 2 e^-40 = 8.5e-18, which 1 + sum_exp_m1 rounds away.
        let state = folded(&[-5.0, 35.0, -5.0]);
        let sum_exp_m1 = 2.0 * (-40f64).exp();
        assert_close(state, State { max: 35.0, sum_exp_m1, exp_gap_sum: 40.0 * sum_exp_m1 });
        assert!((state.surprise(0.0) / sum_exp_m1 - 1.0).abs() < 1e-14);
        assert!((state.gradient(0.0, 1.0, 1.0) / -sum_exp_m1 - 1.0).abs() < 1e-14);
        assert!((state.entropy() / (41.0 * sum_exp_m1) - 1.0).abs() < 1e-14);
    }

    #[test]
    fn the_entropy_is_the_mean_surprise() {
        let row = [0.5, -2.0, 3.0, 3.0, f64::NEG_INFINITY, 1.25];
        for map in maps() {
            let state = folded_as(&map, &row);
            let terms = row.iter().map(|&x| {
                let below = map.below(state.max, map.clean(x));
                let p = state.prob(below);
                if p == 0.0 { 0.0 } else { p * state.surprise(below) }
            });
            assert!((state.entropy() - terms.sum::<f64>()).abs() < 1e-15);
        }
    }

    #[test]
    fn gradient_at_the_top_is_the_gradient_anywhere() {
        let state = folded(&[0.5, 1.0, -0.25]);
        for (share, whole) in [(0.0, 2.0), (2.0, 2.0), (0.75, 2.0)] {
            let wanted = whole * state.prob(0.0) - share;
            assert!((state.gradient(0.0, share, whole) - wanted).abs() < 1e-15);
        }
    }

    #[test]
    fn long_rows_are_folded_in_pieces() {
        let logits: Vec<f32> = (0..2 * PIECE + 77).map(|i| (i * 37 % 101) as f32 / 8.0).collect();
        let wide: Vec<f64> = logits.iter().map(|&x| f64::from(x)).collect();
        let (pieces, whole) = (State::of(&PLAIN, &logits), folded(&wide));
        assert_eq!(pieces.max, whole.max);
        // 131149 sums of nonnegative terms, each rounded: at worst 131149 * 2^-53 = 1.5e-11.
        assert!((pieces.sum_exp_m1 / whole.sum_exp_m1 - 1.0).abs() < 1.5e-11);
        assert_ne!(pieces.sum_exp_m1, 0.0);
    }

    #[test]
    fn columns_are_rows_transposed() {
        let view = ClassView { outer: 2, classes: 5, inner: 3 };
        let columns: Vec<f32> = (0..30).map(|i| (i * 7 % 30) as f32 / 4.0).collect();
        let mut rows = Vec::new();
        for row in 0..6 {
            let start = view.row_start(row);
            rows.extend((0..5).map(|class| columns[start + class * 3]));
        }
        let flat = ClassView { outer: 6, classes: 5, inner: 1 };
        for range in [0..6, 1..5, 2..3, 4..4] {
            for map in maps() {
                let of_columns = states(&view, &map, &columns, range.clone());
                assert_eq!(of_columns, states(&flat, &map, &rows, range.clone()));
            }
        }
    }
}
