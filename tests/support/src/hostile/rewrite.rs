//! A function's expressions and statements, each made anew from the old one.

use std::collections::HashMap;

use naga::valid::FunctionInfo;
use naga::{
    AddressSpace, Arena, BinaryOperator, Block, Expression, Function, GlobalVariable, Handle,
    LocalVariable, MathFunction, Module, Range, Span, Statement, SwitchCase, TypeInner, VectorSize,
};

use super::Compiler;
use super::helpers::{After, Helpers};
use super::sums::{reals, reordered};

/// A function as the compiler makes it.
pub fn function(
    compiler: &Compiler,
    helpers: &Helpers,
    module: &Module,
    old: &Function,
    info: &FunctionInfo,
) -> Function {
    let mut to = Rewriter {
        compiler,
        helpers,
        module,
        old,
        info,
        new: Arena::new(),
        locals: old.local_variables.clone(),
        made: vec![None; old.expressions.len()],
        block: Block::new(),
        operand: None,
        held: HashMap::new(),
    };
    for (handle, expression) in old.expressions.iter() {
        if expression.needs_pre_emit() {
            to.made[handle.index()] = Some(to.new.append(expression.clone(), Span::UNDEFINED));
        }
    }
    for (handle, local) in old.local_variables.iter() {
        to.locals[handle].init = local.init.map(|init| to.constant(init));
    }
    to.hold_vectors();
    let mut body = std::mem::replace(&mut to.block, Block::new());
    body.append(&mut to.block(&old.body));
    Function {
        name: old.name.clone(),
        arguments: old.arguments.clone(),
        result: old.result.clone(),
        local_variables: to.locals,
        expressions: to.new,
        named_expressions: Default::default(),
        body,
        diagnostic_filter_leaf: old.diagnostic_filter_leaf,
    }
}

pub struct Rewriter<'a> {
    pub compiler: &'a Compiler,
    helpers: &'a Helpers,
    module: &'a Module,
    old: &'a Function,
    info: &'a FunctionInfo,
    new: Arena<Expression>,
    locals: Arena<LocalVariable>,
    /// The new expression of each old one that is in scope.
    made: Vec<Option<Handle<Expression>>>,
    /// The statements that are being made.
    block: Block,
    /// Components of the operation that is being made.
    operand: Option<Option<VectorSize>>,
    /// Vectors of buffers that are kept in variables, by buffer and the argument that is their index.
    held: HashMap<(Handle<GlobalVariable>, u32), Handle<LocalVariable>>,
}

impl Rewriter<'_> {
    pub fn old(&self, handle: Handle<Expression>) -> &Expression {
        &self.old.expressions[handle]
    }

    pub fn new_of(&self, old: Handle<Expression>) -> Handle<Expression> {
        self.made[old.index()].expect("an expression in scope")
    }

    fn inner(&self, old: Handle<Expression>) -> &TypeInner {
        self.info[old].ty.inner_with(&self.module.types)
    }

    pub fn same_type(&self, a: Handle<Expression>, b: Handle<Expression>) -> bool {
        reals(self.inner(a)) == reals(self.inner(b))
    }

    /// A new expression, evaluated here.
    pub fn add(&mut self, expression: Expression) -> Handle<Expression> {
        let emitted = !expression.needs_pre_emit();
        let handle = self.new.append(expression, Span::UNDEFINED);
        if emitted {
            let range = Range::new_from_bounds(handle, handle);
            self.block.push(Statement::Emit(range), Span::UNDEFINED);
        }
        handle
    }

    /// Adds a new operation on f32, and the change of its value.
    pub fn arithmetic(&mut self, expression: Expression) -> Handle<Expression> {
        use BinaryOperator::Divide;
        let size = self.operand.expect("an operation on f32");
        let (after, argument) = match expression {
            Expression::Binary { op: Divide, .. } => (After::Quotient, None),
            Expression::Math { fun: MathFunction::Exp, arg, .. } => (After::Exp, Some(arg)),
            Expression::Math { fun: MathFunction::Log, arg, .. } => (After::Log, Some(arg)),
            Expression::Math { fun: MathFunction::Unpack2x16float, .. } => (After::Half, None),
            _ => (After::Result, None),
        };
        let value = self.add(expression);
        let arguments = [value].into_iter().chain(argument).collect();
        self.call(self.helpers.after(after, size), arguments)
    }

    fn call(
        &mut self,
        function: Handle<Function>,
        arguments: Vec<Handle<Expression>>,
    ) -> Handle<Expression> {
        let result = self.new.append(Expression::CallResult(function), Span::UNDEFINED);
        let call = Statement::Call { function, arguments, result: Some(result) };
        self.block.push(call, Span::UNDEFINED);
        result
    }

    /// A constant expression, which is not evaluated at any place.
    fn constant(&mut self, old: Handle<Expression>) -> Handle<Expression> {
        if let Some(made) = self.made[old.index()] {
            return made;
        }
        let expression = match self.old(old).clone() {
            Expression::Splat { size, value } => {
                Expression::Splat { size, value: self.constant(value) }
            }
            Expression::Compose { ty, components } => {
                let components = components.into_iter().map(|part| self.constant(part)).collect();
                Expression::Compose { ty, components }
            }
            other => panic!("an initializer that no kernel has: {other:?}"),
        };
        self.new.append(expression, Span::UNDEFINED)
    }

    /// Evaluates an old expression.
    fn emit(&mut self, old: Handle<Expression>) {
        let mut expression = self.old(old).clone();
        self.map(&mut expression);
        self.operand = reals(self.inner(old));
        let computes = match expression {
            Expression::Binary { .. } | Expression::Math { .. } => true,
            Expression::Load { .. } => self.compiler.flushes && self.is_bound(old),
            _ => false,
        };
        let made = match (self.operand, computes) {
            (Some(_), true) => match reordered(self, old) {
                Some(made) => made,
                None => self.arithmetic(expression),
            },
            _ => self.add(expression),
        };
        self.made[old.index()] = Some(made);
    }

    /// Returns true if a load is of memory outside the function.
    fn is_bound(&self, load: Handle<Expression>) -> bool {
        let Expression::Load { pointer } = *self.old(load) else { return false };
        let space = self.inner(pointer).pointer_space();
        matches!(space, Some(AddressSpace::Storage { .. } | AddressSpace::Uniform))
    }

    /// Puts new expressions in the place of an expression's old operands.
    fn map(&self, expression: &mut Expression) {
        let new = |old: &mut Handle<Expression>| *old = self.new_of(*old);
        match expression {
            Expression::Compose { components, .. } => components.iter_mut().for_each(new),
            Expression::Access { base, index } => [base, index].into_iter().for_each(new),
            Expression::AccessIndex { base, .. } => new(base),
            Expression::Splat { value, .. } => new(value),
            Expression::Swizzle { vector, .. } => new(vector),
            Expression::Load { pointer } => new(pointer),
            Expression::Unary { expr, .. } | Expression::As { expr, .. } => new(expr),
            Expression::Binary { left, right, .. } => [left, right].into_iter().for_each(new),
            Expression::Select { condition, accept, reject } => {
                [condition, accept, reject].into_iter().for_each(new);
            }
            Expression::Relational { argument, .. } => new(argument),
            Expression::Math { arg, arg1, arg2, arg3, .. } => {
                [Some(arg), arg1.as_mut(), arg2.as_mut(), arg3.as_mut()]
                    .into_iter()
                    .flatten()
                    .for_each(new);
            }
            Expression::ArrayLength(array) => new(array),
            other => panic!("an expression that no kernel has: {other:?}"),
        }
    }

    /// The result of a statement.
    fn result(&mut self, old: Handle<Expression>) -> Handle<Expression> {
        let made = self.new.append(self.old(old).clone(), Span::UNDEFINED);
        self.made[old.index()] = Some(made);
        made
    }

    fn block(&mut self, old: &Block) -> Block {
        let outer = std::mem::replace(&mut self.block, Block::new());
        for statement in old.iter() {
            self.statement(statement);
        }
        std::mem::replace(&mut self.block, outer)
    }

    fn statement(&mut self, old: &Statement) {
        let made = match old.clone() {
            Statement::Emit(range) => {
                range.for_each(|handle| self.emit(handle));
                return;
            }
            Statement::Store { pointer, value } => {
                self.store(pointer, value);
                return;
            }
            Statement::Block(block) => Statement::Block(self.block(&block)),
            Statement::If { condition, accept, reject } => Statement::If {
                condition: self.new_of(condition),
                accept: self.block(&accept),
                reject: self.block(&reject),
            },
            Statement::Switch { selector, cases } => Statement::Switch {
                selector: self.new_of(selector),
                cases: cases
                    .into_iter()
                    .map(|case| SwitchCase { body: self.block(&case.body), ..case })
                    .collect(),
            },
            Statement::Loop { body, continuing, break_if } => Statement::Loop {
                body: self.block(&body),
                continuing: self.block(&continuing),
                break_if: break_if.map(|condition| self.new_of(condition)),
            },
            Statement::Return { value } => {
                Statement::Return { value: value.map(|value| self.new_of(value)) }
            }
            Statement::Atomic { pointer, fun, value, result } => Statement::Atomic {
                pointer: self.new_of(pointer),
                fun,
                value: self.new_of(value),
                result: result.map(|result| self.result(result)),
            },
            Statement::Call { function, arguments, result } => Statement::Call {
                function,
                arguments: arguments.into_iter().map(|argument| self.new_of(argument)).collect(),
                result: result.map(|result| self.result(result)),
            },
            Statement::SubgroupGather { mode, argument, result } => Statement::SubgroupGather {
                mode: match mode {
                    naga::GatherMode::ShuffleXor(mask) => {
                        naga::GatherMode::ShuffleXor(self.new_of(mask))
                    }
                    other => panic!("a gather that no kernel has: {other:?}"),
                },
                argument: self.new_of(argument),
                result: self.result(result),
            },
            Statement::SubgroupCollectiveOperation { op, collective_op, argument, result } => {
                Statement::SubgroupCollectiveOperation {
                    op,
                    collective_op,
                    argument: self.new_of(argument),
                    result: self.result(result),
                }
            }
            other @ (Statement::Break
            | Statement::Continue
            | Statement::ControlBarrier(_)
            | Statement::MemoryBarrier(_)) => other,
            other => panic!("a statement that no kernel has: {other:?}"),
        };
        self.block.push(made, Span::UNDEFINED);
    }

    /// Loads vectors whose components are stored once, before any of these stores: nothing else in the function may
    /// write them meanwhile, and the language lets a compiler ignore writes of other invocations.
    fn hold_vectors(&mut self) {
        for (pointer, _) in self.old.expressions.iter() {
            let Some((vector, ty)) = self.vector_of(pointer) else { continue };
            let Some((buffer, argument)) = self.place_of(vector) else { continue };
            if self.held.contains_key(&(buffer, argument)) {
                continue;
            }
            let base = self.add(Expression::GlobalVariable(buffer));
            let index = self.add(Expression::FunctionArgument(argument));
            let vector = self.add(Expression::Access { base, index });
            let local = self.held_from(vector, ty);
            self.held.insert((buffer, argument), local);
        }
    }

    /// Makes a new variable with a vector's value.
    fn held_from(
        &mut self,
        vector: Handle<Expression>,
        ty: Handle<naga::Type>,
    ) -> Handle<LocalVariable> {
        let variable = LocalVariable { name: None, ty, init: None };
        let variable = self.locals.append(variable, Span::UNDEFINED);
        let value = self.add(Expression::Load { pointer: vector });
        let pointer = self.add(Expression::LocalVariable(variable));
        self.block.push(Statement::Store { pointer, value }, Span::UNDEFINED);
        variable
    }

    /// A store; of a component of a vector in a buffer, as a store of the vector.
    fn store(&mut self, pointer: Handle<Expression>, value: Handle<Expression>) {
        let value = self.new_of(value);
        let Some((old_vector, ty)) = self.vector_of(pointer) else {
            let pointer = self.new_of(pointer);
            self.block.push(Statement::Store { pointer, value }, Span::UNDEFINED);
            return;
        };
        let vector = self.new_of(old_vector);
        let held = self.place_of(old_vector).map(|place| self.held[&place]);
        let local = held.unwrap_or_else(|| self.held_from(vector, ty));
        let local = self.add(Expression::LocalVariable(local));
        let component = match *self.old(pointer) {
            Expression::Access { index, .. } => {
                Expression::Access { base: local, index: self.new_of(index) }
            }
            Expression::AccessIndex { index, .. } => Expression::AccessIndex { base: local, index },
            _ => unreachable!("`vector_of` found a component"),
        };
        let component = self.add(component);
        self.block.push(Statement::Store { pointer: component, value }, Span::UNDEFINED);
        let whole = self.add(Expression::Load { pointer: local });
        self.block.push(Statement::Store { pointer: vector, value: whole }, Span::UNDEFINED);
    }

    /// Returns the buffer that a vector is in and the argument that is its index, if these determine its place.
    fn place_of(&self, vector: Handle<Expression>) -> Option<(Handle<GlobalVariable>, u32)> {
        let Expression::Access { base, index } = *self.old(vector) else { return None };
        match (self.old(base), self.old(index)) {
            (&Expression::GlobalVariable(buffer), &Expression::FunctionArgument(argument)) => {
                Some((buffer, argument))
            }
            _ => None,
        }
    }

    /// Returns the vector that a pointer is a component of, and its type, if it is in a buffer.
    fn vector_of(
        &self,
        pointer: Handle<Expression>,
    ) -> Option<(Handle<Expression>, Handle<naga::Type>)> {
        let (Expression::Access { base, .. } | Expression::AccessIndex { base, .. }) =
            *self.old(pointer)
        else {
            return None;
        };
        match *self.inner(base) {
            TypeInner::Pointer { base: ty, space: AddressSpace::Storage { .. } }
                if matches!(self.module.types[ty].inner, TypeInner::Vector { .. }) =>
            {
                Some((base, ty))
            }
            TypeInner::ValuePointer {
                size: Some(_), space: AddressSpace::Storage { .. }, ..
            } => {
                panic!("a pointer to a vector without a type")
            }
            _ => None,
        }
    }
}
