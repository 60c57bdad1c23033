//! Sums and products in another order.

use naga::{BinaryOperator, Expression, Handle, MathFunction, TypeInner, UnaryOperator};

use super::Products;
use super::rewrite::Rewriter;

type Handled = Handle<Expression>;

/// A term of a sum.
#[derive(Clone, Copy)]
enum Term {
    Value(Handled),
    Product(Handled, Handled),
}

/// A term and whether it is subtracted; a factor and whether it divides.
struct Signed<T> {
    what: T,
    inverse: bool,
}

/// Returns the same sum or product, begun with another of its terms; `None` for other expressions.
pub fn reordered(to: &mut Rewriter<'_>, old: Handled) -> Option<Handled> {
    match to.old(old) {
        Expression::Binary { op: BinaryOperator::Add | BinaryOperator::Subtract, .. }
        | Expression::Math { fun: MathFunction::Fma, .. } => {
            let mut terms = Vec::new();
            sum(to, old, false, &mut terms);
            (terms.len() > 1).then(|| fold_sum(to, terms))
        }
        Expression::Binary { op: BinaryOperator::Multiply | BinaryOperator::Divide, .. } => {
            let mut factors = Vec::new();
            product(to, old, false, &mut factors);
            (factors.len() > 2).then(|| fold_product(to, factors))
        }
        _ => None,
    }
}

fn sum(to: &Rewriter<'_>, old: Handled, inverse: bool, terms: &mut Vec<Signed<Term>>) {
    use BinaryOperator::{Add, Multiply, Subtract};
    let fused = to.compiler.products == Products::Fused;
    match *to.old(old) {
        Expression::Binary { op: op @ (Add | Subtract), left, right } => {
            sum(to, left, inverse, terms);
            sum(to, right, inverse ^ (op == Subtract), terms);
        }
        Expression::Unary { op: UnaryOperator::Negate, expr } => sum(to, expr, !inverse, terms),
        Expression::Math {
            fun: MathFunction::Fma, arg, arg1: Some(by), arg2: Some(and), ..
        } => {
            terms.push(Signed { what: Term::Product(arg, by), inverse });
            sum(to, and, inverse, terms);
        }
        Expression::Binary { op: Multiply, left, right }
            if fused && to.same_type(left, right) && to.same_type(left, old) =>
        {
            terms.push(Signed { what: Term::Product(left, right), inverse });
        }
        _ => terms.push(Signed { what: Term::Value(old), inverse }),
    }
}

fn product(to: &Rewriter<'_>, old: Handled, inverse: bool, factors: &mut Vec<Signed<Handled>>) {
    use BinaryOperator::{Divide, Multiply};
    match *to.old(old) {
        Expression::Binary { op: op @ (Multiply | Divide), left, right }
            if to.same_type(left, right) && to.same_type(left, old) =>
        {
            product(to, left, inverse, factors);
            product(to, right, inverse ^ (op == Divide), factors);
        }
        _ => factors.push(Signed { what: old, inverse }),
    }
}

fn fold_sum(to: &mut Rewriter<'_>, mut terms: Vec<Signed<Term>>) -> Handled {
    let count = terms.len();
    if count > 2 {
        terms.rotate_left(to.compiler.first_term % count);
    }
    let mut whole = None;
    for Signed { what, inverse } in terms {
        whole = Some(match (what, whole) {
            (Term::Value(value), None) => {
                let value = to.new_of(value);
                signed(to, value, inverse)
            }
            (Term::Value(value), Some(whole)) => {
                let op = if inverse { BinaryOperator::Subtract } else { BinaryOperator::Add };
                let right = to.new_of(value);
                to.arithmetic(Expression::Binary { op, left: whole, right })
            }
            (Term::Product(a, b), None) => {
                let (left, right) = two_factors(to, a, b);
                let left = signed(to, left, inverse);
                times(to, left, right)
            }
            (Term::Product(a, b), Some(whole)) => {
                let (left, right) = two_factors(to, a, b);
                let left = signed(to, left, inverse);
                if to.compiler.products == Products::Fused {
                    let (arg1, arg2, fun) = (Some(right), Some(whole), MathFunction::Fma);
                    to.arithmetic(Expression::Math { fun, arg: left, arg1, arg2, arg3: None })
                } else {
                    let right = times(to, left, right);
                    let op = BinaryOperator::Add;
                    to.arithmetic(Expression::Binary { op, left: whole, right })
                }
            }
        });
    }
    whole.expect("a term")
}

fn fold_product(to: &mut Rewriter<'_>, mut factors: Vec<Signed<Handled>>) -> Handled {
    let count = factors.len();
    factors.rotate_left(to.compiler.first_term % count);
    fold_factors(to, factors)
}

/// Factors in their order.
fn fold_factors(to: &mut Rewriter<'_>, mut factors: Vec<Signed<Handled>>) -> Handled {
    // A quotient has to begin with what is divided.
    let first = factors.iter().position(|factor| !factor.inverse).unwrap_or(0);
    factors.swap(0, first);
    let mut factors = factors.into_iter();
    let first = factors.next().expect("a factor").what;
    let mut whole = to.new_of(first);
    for Signed { what, inverse } in factors {
        let op = if inverse { BinaryOperator::Divide } else { BinaryOperator::Multiply };
        let right = to.new_of(what);
        whole = to.arithmetic(Expression::Binary { op, left: whole, right });
    }
    whole
}

/// Two new factors with the product of two old ones, which may be products themselves.
fn two_factors(to: &mut Rewriter<'_>, a: Handled, b: Handled) -> (Handled, Handled) {
    let mut factors = Vec::new();
    product(to, a, false, &mut factors);
    product(to, b, false, &mut factors);
    let count = factors.len();
    factors.rotate_left(to.compiler.first_term % count);
    // What divides is no factor by itself.
    let last = factors.iter().rposition(|factor| !factor.inverse);
    match last {
        Some(last) if count > 2 && factors.iter().filter(|factor| !factor.inverse).count() > 1 => {
            let right = to.new_of(factors.remove(last).what);
            (fold_factors(to, factors), right)
        }
        _ => (to.new_of(a), to.new_of(b)),
    }
}

fn times(to: &mut Rewriter<'_>, left: Handled, right: Handled) -> Handled {
    to.arithmetic(Expression::Binary { op: BinaryOperator::Multiply, left, right })
}

fn signed(to: &mut Rewriter<'_>, expr: Handled, inverse: bool) -> Handled {
    match inverse {
        true => to.add(Expression::Unary { op: UnaryOperator::Negate, expr }),
        false => expr,
    }
}

/// Returns the number of components of f32; `None` for other types.
pub fn reals(inner: &TypeInner) -> Option<Option<naga::VectorSize>> {
    match *inner {
        TypeInner::Scalar(naga::Scalar::F32) => Some(None),
        TypeInner::Vector { size, scalar: naga::Scalar::F32 } => Some(Some(size)),
        _ => None,
    }
}
