//! Sums that have a product in them, without `fma`: compilers may round the product before it is added or not, and may
//! do so in one kernel and not in the next, whose text around it differs. NVIDIA's does; it treats a quotient as a
//! product, by the reciprocal. Rows that several kernels compute would differ in their last bits.
//!
//! The search sees what a compiler sees after it has inlined all functions: values go through variables, members,
//! arguments and results. `min`, `max` and bit casts hide a product.

use std::collections::{BTreeSet, HashSet};

use naga::valid::{FunctionInfo, ModuleInfo};
use naga::{
    BinaryOperator, Block, Expression, Function, Handle, Literal, LocalVariable, Module, Statement,
    Type, TypeInner, UnaryOperator,
};

use super::hostile::reals;

type Handled = Handle<Expression>;
/// Members of members.
type Path = Vec<u32>;

/// The lines with such sums.
pub fn contractions(text: &str, module: &Module, info: &ModuleInfo) -> BTreeSet<String> {
    let functions = module
        .functions
        .iter()
        .map(|(handle, function)| Seen::of(module, Some(handle), function, &info[handle]));
    let entries = module.entry_points.iter().enumerate().map(|(number, entry)| {
        Seen::of(module, None, &entry.function, info.get_entry_point(number))
    });
    let all: Vec<_> = functions.chain(entries).collect();
    let mut known = Known::default();
    // Repeated until nothing more is found: products go from function to function.
    loop {
        let before = known.results.len() + known.arguments.len();
        all.iter().for_each(|seen| seen.pass_on(&mut known));
        if before == known.results.len() + known.arguments.len() {
            break;
        }
    }
    all.iter().flat_map(|seen| seen.sums(text, &known)).collect()
}

/// Products that go between functions: the results and arguments that may be products.
#[derive(Default)]
struct Known {
    results: HashSet<(Handle<Function>, Path)>,
    arguments: HashSet<(Handle<Function>, u32, Path)>,
}

/// A function, and its stores, calls and results.
struct Seen<'a> {
    module: &'a Module,
    handle: Option<Handle<Function>>,
    function: &'a Function,
    info: &'a FunctionInfo,
    stores: Vec<(Handle<LocalVariable>, Path, Handled)>,
    calls: Vec<(Handle<Function>, Vec<Handled>)>,
    returned: Vec<Handled>,
}

impl<'a> Seen<'a> {
    fn of(
        module: &'a Module,
        handle: Option<Handle<Function>>,
        function: &'a Function,
        info: &'a FunctionInfo,
    ) -> Self {
        let (stores, calls, returned) = Default::default();
        let mut seen = Self { module, handle, function, info, stores, calls, returned };
        seen.walk(&function.body);
        seen
    }

    fn walk(&mut self, block: &Block) {
        for statement in block {
            match statement {
                Statement::Store { pointer, value } => {
                    if let Some((local, path)) = self.place(*pointer) {
                        self.stores.push((local, path, *value));
                    }
                }
                Statement::Call { function, arguments, .. } => {
                    self.calls.push((*function, arguments.clone()));
                }
                Statement::Return { value } => self.returned.extend(value),
                Statement::Block(block) => self.walk(block),
                Statement::If { accept, reject, .. } => {
                    self.walk(accept);
                    self.walk(reject);
                }
                Statement::Switch { cases, .. } => {
                    cases.iter().for_each(|case| self.walk(&case.body));
                }
                Statement::Loop { body, continuing, .. } => {
                    self.walk(body);
                    self.walk(continuing);
                }
                _ => {}
            }
        }
    }

    /// Returns the variable that a pointer points into, and the path in it. Elements of an array are one.
    fn place(&self, pointer: Handled) -> Option<(Handle<LocalVariable>, Path)> {
        match self.function.expressions[pointer] {
            Expression::LocalVariable(local) => Some((local, Path::new())),
            Expression::AccessIndex { base, index } => {
                let (local, mut path) = self.place(base)?;
                if self.is_struct(base) {
                    path.push(index);
                }
                Some((local, path))
            }
            Expression::Access { base, .. } => self.place(base),
            _ => None,
        }
    }

    fn inner(&self, of: Handled) -> &TypeInner {
        self.info[of].ty.inner_with(&self.module.types)
    }

    /// Returns true if a value, or the value that a pointer points to, has members.
    fn is_struct(&self, of: Handled) -> bool {
        match *self.inner(of) {
            TypeInner::Struct { .. } => true,
            TypeInner::Pointer { base, .. } => {
                matches!(self.module.types[base].inner, TypeInner::Struct { .. })
            }
            _ => false,
        }
    }

    /// Returns true if the value at a path in a value may be a product.
    fn is_product(
        &self,
        of: Handled,
        path: &[u32],
        known: &Known,
        visited: &mut HashSet<(Handled, Path)>,
    ) -> bool {
        if !visited.insert((of, path.to_vec())) {
            return false;
        }
        let mut is = |of: Handled, path: &[u32]| self.is_product(of, path, known, visited);
        match self.function.expressions[of] {
            Expression::Binary {
                op: op @ (BinaryOperator::Multiply | BinaryOperator::Divide),
                left,
                right,
            } => {
                // By a power of two it is exact, and the same however it is added.
                match (self.is_power_of_two(left), self.is_power_of_two(right)) {
                    (true, _) if op == BinaryOperator::Multiply => is(right, path),
                    (_, true) => is(left, path),
                    _ => true,
                }
            }
            Expression::Unary { op: UnaryOperator::Negate, expr } => is(expr, path),
            Expression::Splat { value, .. } => is(value, path),
            Expression::Swizzle { vector, .. } => is(vector, path),
            Expression::Compose { ref components, .. } => match path {
                [first, rest @ ..] if self.is_struct(of) => is(components[*first as usize], rest),
                _ => components.iter().any(|component| is(*component, path)),
            },
            Expression::AccessIndex { base, index } if self.is_struct(base) => {
                is(base, &[&[index], path].concat())
            }
            Expression::AccessIndex { base, .. } | Expression::Access { base, .. } => {
                is(base, path)
            }
            Expression::Select { accept, reject, .. } => is(accept, path) || is(reject, path),
            Expression::Load { pointer } => {
                let Some((local, at)) = self.place(pointer) else { return false };
                let wanted = [&at, path].concat();
                self.stores.iter().any(|(stored, to, value)| {
                    let rest = wanted.strip_prefix(&to[..]);
                    *stored == local && rest.is_some_and(|rest| is(*value, rest))
                })
            }
            Expression::CallResult(function) => known.results.contains(&(function, path.to_vec())),
            Expression::FunctionArgument(number) => self
                .handle
                .is_some_and(|handle| known.arguments.contains(&(handle, number, path.to_vec()))),
            _ => false,
        }
    }

    fn is_power_of_two(&self, of: Handled) -> bool {
        match self.function.expressions[of] {
            Expression::Literal(Literal::F32(value)) => {
                value != 0.0 && value.to_bits() & 0x7f_ffff == 0
            }
            Expression::Splat { value, .. } => self.is_power_of_two(value),
            _ => false,
        }
    }

    /// Records the products that this function returns and passes to others.
    fn pass_on(&self, known: &mut Known) {
        if let (Some(handle), Some(result)) = (self.handle, &self.function.result) {
            for path in self.paths(result.ty) {
                let is = |of| self.is_product(of, &path, known, &mut HashSet::new());
                if self.returned.iter().any(|&value| is(value)) {
                    known.results.insert((handle, path));
                }
            }
        }
        for (function, arguments) in &self.calls {
            let wanted = &self.module.functions[*function].arguments;
            for (number, (argument, value)) in wanted.iter().zip(arguments).enumerate() {
                for path in self.paths(argument.ty) {
                    if self.is_product(*value, &path, known, &mut HashSet::new()) {
                        known.arguments.insert((*function, number as u32, path));
                    }
                }
            }
        }
    }

    /// Returns the members of a type, and theirs; the whole of a type without members.
    fn paths(&self, ty: Handle<Type>) -> Vec<Path> {
        let TypeInner::Struct { members, .. } = &self.module.types[ty].inner else {
            return vec![Path::new()];
        };
        let of_member = |(number, member): (usize, &naga::StructMember)| {
            let rest = self.paths(member.ty).into_iter();
            rest.map(move |rest| [vec![number as u32], rest].concat())
        };
        members.iter().enumerate().flat_map(of_member).collect()
    }

    fn sums(&self, text: &str, known: &Known) -> Vec<String> {
        let expressions = self.function.expressions.iter();
        let sums = expressions.filter(|(sum, expression)| match expression {
            Expression::Binary {
                op: BinaryOperator::Add | BinaryOperator::Subtract,
                left,
                right,
            } => {
                let is = |of| self.is_product(of, &[], known, &mut HashSet::new());
                reals(self.inner(*sum)).is_some() && (is(*left) || is(*right))
            }
            _ => false,
        });
        let line = |sum| {
            let span = self.function.expressions.get_span(sum);
            let number = span.location(text).line_number as usize;
            let line = text.lines().nth(number.saturating_sub(1)).unwrap_or_default();
            let name = self.function.name.as_deref().unwrap_or("main");
            format!("{name}: {}", line.trim())
        };
        sums.map(|(sum, _)| line(sum)).collect()
    }
}
