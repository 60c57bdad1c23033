//! Loops of a kernel that are not seen to end: wgpu is told that all of them do.
//!
//! A loop ends if it has a counter that every turn moves in one direction and nothing else changes, and if it goes on only
//! while the counter is on one side of a bound that no turn changes. That a counter does not wrap on its way is shown by the
//! plans' own tests: bounds and steps are far below 2^32.

use naga::{
    BinaryOperator, Block, Expression, Function, Handle, Literal, LocalVariable, Module, Statement,
};

/// Returns a line for each loop that is not seen to end.
pub fn endless(module: &Module) -> Vec<String> {
    let named = module.functions.iter().map(|(_, function)| function);
    let all = named.chain(module.entry_points.iter().map(|entry| &entry.function));
    all.flat_map(|function| {
        let mut found = Vec::new();
        in_block(function, &function.body, &mut found);
        found
    })
    .collect()
}

fn in_block(function: &Function, block: &Block, found: &mut Vec<String>) {
    for statement in block {
        match statement {
            Statement::Block(inner) => in_block(function, inner, found),
            Statement::If { accept, reject, .. } => {
                in_block(function, accept, found);
                in_block(function, reject, found);
            }
            Statement::Switch { cases, .. } => {
                cases.iter().for_each(|case| in_block(function, &case.body, found));
            }
            Statement::Loop { body, continuing, break_if } => {
                let ends = break_if.is_none() && Turn { function, body, continuing }.ends();
                if !ends {
                    let name = function.name.as_deref().unwrap_or("the entry point");
                    found.push(format!("a loop in {name}"));
                }
                in_block(function, body, found);
            }
            _ => {}
        }
    }
}

/// One turn of a loop.
struct Turn<'a> {
    function: &'a Function,
    body: &'a Block,
    continuing: &'a Block,
}

/// The direction of a counter.
#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Up,
    Down,
}

impl Turn<'_> {
    fn ends(&self) -> bool {
        let Some((counter, direction)) = self.counter() else { return false };
        !stores(self.function, self.body, counter) && self.goes_on_within_bounds(counter, direction)
    }

    fn expression(&self, handle: Handle<Expression>) -> &Expression {
        &self.function.expressions[handle]
    }

    /// Returns the variable that an expression loads.
    fn loaded(&self, handle: Handle<Expression>) -> Option<Handle<LocalVariable>> {
        let Expression::Load { pointer } = *self.expression(handle) else { return None };
        match *self.expression(pointer) {
            Expression::LocalVariable(variable) => Some(variable),
            _ => None,
        }
    }

    fn literal(&self, handle: Handle<Expression>) -> Option<u32> {
        match *self.expression(handle) {
            Expression::Literal(Literal::U32(number)) => Some(number),
            _ => None,
        }
    }

    /// Returns the variable that each turn moves at its end, if that is all that is stored there.
    fn counter(&self) -> Option<(Handle<LocalVariable>, Direction)> {
        let mut stored = self.continuing.iter().filter_map(|statement| match *statement {
            Statement::Store { pointer, value } => Some((pointer, value)),
            _ => None,
        });
        let ((pointer, value), None) = (stored.next()?, stored.next()) else { return None };
        let Expression::LocalVariable(counter) = *self.expression(pointer) else { return None };
        let Expression::Binary { op, left, right } = *self.expression(value) else { return None };
        let direction = match (op, self.literal(right)) {
            // The steps that are no literals are parts of a row, lanes, and groups: there is one of each at least.
            (BinaryOperator::Add, step) if step != Some(0) && self.is_fixed(right) => Direction::Up,
            (BinaryOperator::Multiply, Some(2..)) => Direction::Up,
            (BinaryOperator::Divide, Some(2..)) => Direction::Down,
            _ => return None,
        };
        (self.loaded(left) == Some(counter)).then_some((counter, direction))
    }

    /// Returns true if a loop is left, before anything else, unless the counter is below a bound, or above one.
    fn goes_on_within_bounds(&self, counter: Handle<LocalVariable>, direction: Direction) -> bool {
        let mut statements =
            self.body.iter().filter(|statement| !matches!(statement, Statement::Emit(_)));
        let Some(Statement::If { condition, reject, .. }) = statements.next() else { return false };
        if !self.bounds(*condition, counter, direction) {
            return false;
        }
        match reject.last() {
            Some(Statement::Break) => true,
            // `a && b` is a variable, which is false if `a` is. The loop is left if the variable is false.
            Some(&Statement::Store { pointer, value }) => {
                let both = match *self.expression(pointer) {
                    Expression::LocalVariable(both) => Some(both),
                    _ => None,
                };
                let is_false =
                    matches!(self.expression(value), Expression::Literal(Literal::Bool(false)));
                let left = matches!(statements.next(), Some(Statement::If { condition, reject, .. })
                    if matches!(reject.first(), Some(Statement::Break)) && self.loaded(*condition) == both);
                both.is_some() && is_false && left
            }
            _ => false,
        }
    }

    fn bounds(
        &self,
        condition: Handle<Expression>,
        counter: Handle<LocalVariable>,
        direction: Direction,
    ) -> bool {
        let Expression::Binary { op, left, right } = *self.expression(condition) else {
            return false;
        };
        match op {
            BinaryOperator::Less | BinaryOperator::LessEqual => {
                direction == Direction::Up && self.is_ahead(left, counter) && self.is_fixed(right)
            }
            BinaryOperator::Greater => {
                direction == Direction::Down
                    && self.loaded(left) == Some(counter)
                    && self.literal(right) == Some(0)
            }
            _ => false,
        }
    }

    /// Returns true for the counter, or a place some fixed steps ahead of it.
    fn is_ahead(&self, handle: Handle<Expression>, counter: Handle<LocalVariable>) -> bool {
        match *self.expression(handle) {
            Expression::Binary { op: BinaryOperator::Add, left, right } => {
                self.is_ahead(left, counter) && self.is_fixed(right)
            }
            _ => self.loaded(handle) == Some(counter),
        }
    }

    /// Returns true if no turn changes an expression: it is made of constants, parameters and variables that no turn
    /// stores.
    fn is_fixed(&self, handle: Handle<Expression>) -> bool {
        match *self.expression(handle) {
            Expression::Literal(_)
            | Expression::Constant(_)
            | Expression::FunctionArgument(_)
            | Expression::CallResult(_) => true,
            Expression::AccessIndex { base, .. } => self.is_fixed(base),
            Expression::GlobalVariable(_) => true,
            Expression::LocalVariable(variable) => !stores(self.function, self.body, variable),
            Expression::Load { pointer } => self.is_parameter(pointer) && self.is_fixed(pointer),
            Expression::Binary { left, right, .. } => self.is_fixed(left) && self.is_fixed(right),
            Expression::Select { condition, accept, reject } => {
                [condition, accept, reject].into_iter().all(|part| self.is_fixed(part))
            }
            Expression::Math { arg, arg1, .. } => {
                self.is_fixed(arg) && arg1.is_none_or(|other| self.is_fixed(other))
            }
            Expression::As { expr, .. } => self.is_fixed(expr),
            _ => false,
        }
    }

    /// Returns true for a pointer into a variable of the function, or into the first binding, the parameters.
    fn is_parameter(&self, pointer: Handle<Expression>) -> bool {
        match *self.expression(pointer) {
            Expression::AccessIndex { base, .. } => self.is_parameter(base),
            Expression::LocalVariable(_) => true,
            Expression::GlobalVariable(variable) => variable.index() == 0,
            _ => false,
        }
    }
}

/// Returns true if a block stores a variable, or passes a pointer to it.
fn stores(function: &Function, block: &Block, variable: Handle<LocalVariable>) -> bool {
    let is_it = |handle: Handle<Expression>| points_to(function, handle, variable);
    block.iter().any(|statement| match statement {
        Statement::Store { pointer, .. } => is_it(*pointer),
        Statement::Call { arguments, .. } => arguments.iter().any(|&argument| is_it(argument)),
        Statement::Block(inner) => stores(function, inner, variable),
        Statement::If { accept, reject, .. } => {
            stores(function, accept, variable) || stores(function, reject, variable)
        }
        Statement::Switch { cases, .. } => {
            cases.iter().any(|case| stores(function, &case.body, variable))
        }
        Statement::Loop { body, continuing, .. } => {
            stores(function, body, variable) || stores(function, continuing, variable)
        }
        _ => false,
    })
}

/// Returns true for a pointer to a variable, or to a part of it.
fn points_to(
    function: &Function,
    handle: Handle<Expression>,
    variable: Handle<LocalVariable>,
) -> bool {
    match function.expressions[handle] {
        Expression::LocalVariable(local) => local == variable,
        Expression::AccessIndex { base, .. } | Expression::Access { base, .. } => {
            points_to(function, base, variable)
        }
        _ => false,
    }
}
