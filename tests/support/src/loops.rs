//! Loops of a kernel that are not seen to end: wgpu is told that all of them do.
//!
//! A loop ends if it has a counter that every turn moves in one direction and nothing else changes, and if it goes on only
//! while the counter is on one side of a bound that no turn changes. That a counter does not wrap on its way, and that a
//! step which is a parameter is not 0, is shown by the plans' own tests.

use std::collections::HashSet;

use naga::{
    AddressSpace, BinaryOperator, Block, Expression, Function, Handle, Literal, LocalVariable,
    Module, Statement,
};

/// Returns a line for each loop that is not seen to end.
pub fn endless(module: &Module) -> Vec<String> {
    let named = module.functions.iter().map(|(_, function)| function);
    let all = named.chain(module.entry_points.iter().map(|entry| &entry.function));
    all.flat_map(|function| {
        let mut found = Vec::new();
        in_block(module, function, &function.body, &mut found);
        found
    })
    .collect()
}

fn in_block(module: &Module, function: &Function, block: &Block, found: &mut Vec<String>) {
    for (number, statement) in block.iter().enumerate() {
        match statement {
            Statement::Block(inner) => in_block(module, function, inner, found),
            Statement::If { accept, reject, .. } => {
                in_block(module, function, accept, found);
                in_block(module, function, reject, found);
            }
            Statement::Switch { cases, .. } => {
                cases.iter().for_each(|case| in_block(module, function, &case.body, found));
            }
            Statement::Loop { body, continuing, break_if } => {
                let before = &block[..number];
                let turn = Turn::new(module, function, before, body, continuing);
                if break_if.is_some() || !turn.ends() {
                    let name = function.name.as_deref().unwrap_or("the entry point");
                    found.push(format!("a loop in {name}"));
                }
                in_block(module, function, body, found);
                in_block(module, function, continuing, found);
            }
            _ => {}
        }
    }
}

/// One turn of a loop.
struct Turn<'a> {
    module: &'a Module,
    function: &'a Function,
    /// The statements before the loop, in its block.
    before: &'a [Statement],
    body: &'a Block,
    continuing: &'a Block,
    /// What is evaluated in each turn.
    inside: HashSet<Handle<Expression>>,
}

/// The direction of a counter.
#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Up,
    Down,
}

impl<'a> Turn<'a> {
    fn new(
        module: &'a Module,
        function: &'a Function,
        before: &'a [Statement],
        body: &'a Block,
        continuing: &'a Block,
    ) -> Self {
        let mut inside = HashSet::new();
        evaluated(body, &mut inside);
        evaluated(continuing, &mut inside);
        Self { module, function, before, body, continuing, inside }
    }

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
        self.variable(pointer)
    }

    fn variable(&self, pointer: Handle<Expression>) -> Option<Handle<LocalVariable>> {
        match *self.expression(pointer) {
            Expression::LocalVariable(variable) => Some(variable),
            _ => None,
        }
    }

    fn literal(&self, handle: Handle<Expression>) -> Option<u32> {
        match *self.expression(handle) {
            Expression::Literal(Literal::U32(number)) => Some(number),
            Expression::Constant(constant) => {
                let value = self.module.constants[constant].init;
                match self.module.global_expressions[value] {
                    Expression::Literal(Literal::U32(number)) => Some(number),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Returns the variable that each turn moves at its end, if that is all that happens there.
    fn counter(&self) -> Option<(Handle<LocalVariable>, Direction)> {
        let mut moves =
            self.continuing.iter().filter(|statement| !matches!(statement, Statement::Emit(_)));
        let (Some(&Statement::Store { pointer, value }), None) = (moves.next(), moves.next())
        else {
            return None;
        };
        let counter = self.variable(pointer)?;
        let Expression::Binary { op, left, right } = *self.expression(value) else { return None };
        let direction = match (op, self.literal(right)) {
            // The steps that are no literals are parts of a row, lanes and groups: there is one of each at least.
            (BinaryOperator::Add, step) if step != Some(0) && self.is_fixed(right) => Direction::Up,
            (BinaryOperator::Multiply, Some(2..)) if self.start(counter) >= Some(1) => {
                Direction::Up
            }
            (BinaryOperator::Divide, Some(2..)) => Direction::Down,
            _ => return None,
        };
        (self.loaded(left) == Some(counter)).then_some((counter, direction))
    }

    /// Returns the number that a counter starts at, if it is a literal.
    fn start(&self, counter: Handle<LocalVariable>) -> Option<u32> {
        let stored = self.before.iter().rev().find_map(|statement| match *statement {
            Statement::Store { pointer, value } => {
                (self.variable(pointer) == Some(counter)).then_some(value)
            }
            _ => None,
        });
        self.literal(stored.or(self.function.local_variables[counter].init)?)
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
                let both = self.variable(pointer);
                let is_false =
                    matches!(self.expression(value), Expression::Literal(Literal::Bool(false)));
                let Some(Statement::If { condition, reject, .. }) = statements.next() else {
                    return false;
                };
                let leaves = matches!(reject.first(), Some(Statement::Break));
                both.is_some() && is_false && leaves && self.loaded(*condition) == both
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

    /// Returns true if an expression is the same in all turns: it is evaluated before the loop, or from constants,
    /// parameters and variables that no turn stores.
    fn is_fixed(&self, handle: Handle<Expression>) -> bool {
        match *self.expression(handle) {
            Expression::Literal(_) | Expression::Constant(_) | Expression::FunctionArgument(_) => {
                true
            }
            _ if !self.inside.contains(&handle) => self.is_evaluated(handle),
            Expression::Load { pointer } => self.is_unchanged(pointer),
            Expression::AccessIndex { base, .. } => self.is_fixed(base),
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

    /// Returns true for what has a value of its own, and is no place in memory.
    fn is_evaluated(&self, handle: Handle<Expression>) -> bool {
        !matches!(
            self.expression(handle),
            Expression::LocalVariable(_) | Expression::GlobalVariable(_)
        )
    }

    /// Returns true for a place that no turn stores: in a variable of the function, or in the parameters.
    fn is_unchanged(&self, pointer: Handle<Expression>) -> bool {
        match *self.expression(pointer) {
            Expression::AccessIndex { base, .. } => self.is_unchanged(base),
            Expression::LocalVariable(variable) => {
                let stored = |block| stores(self.function, block, variable);
                !stored(self.body) && !stored(self.continuing)
            }
            Expression::GlobalVariable(variable) => {
                self.module.global_variables[variable].space == AddressSpace::Uniform
            }
            _ => false,
        }
    }
}

/// Collects what a block evaluates.
fn evaluated(block: &Block, all: &mut HashSet<Handle<Expression>>) {
    for statement in block {
        match statement {
            Statement::Emit(range) => all.extend(range.clone()),
            Statement::Call { result, .. } => all.extend(*result),
            Statement::Block(inner) => evaluated(inner, all),
            Statement::If { accept, reject, .. } => {
                evaluated(accept, all);
                evaluated(reject, all);
            }
            Statement::Switch { cases, .. } => {
                cases.iter().for_each(|case| evaluated(&case.body, all));
            }
            Statement::Loop { body, continuing, .. } => {
                evaluated(body, all);
                evaluated(continuing, all);
            }
            Statement::Atomic { result, .. } => all.extend(*result),
            Statement::SubgroupBallot { result, .. }
            | Statement::SubgroupGather { result, .. }
            | Statement::SubgroupCollectiveOperation { result, .. }
            | Statement::WorkGroupUniformLoad { result, .. } => {
                all.insert(*result);
            }
            _ => {}
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
