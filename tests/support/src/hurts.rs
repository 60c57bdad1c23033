//! Harmful constructs in a translated kernel: a store to a component of a vector in a buffer, and a constant that is
//! added to a sum of floats.

use std::collections::{HashMap, HashSet};

use naga::valid::ModuleInfo;
use naga::{BinaryOperator, Expression, Function, Handle, Module};
use spirv::{Op, StorageClass, Word};

use super::hostile::reals;

/// Stores to components of vectors in buffers, in SPIR-V: the pointers' numbers.
pub fn component_stores(words: &[Word]) -> Vec<Word> {
    let mut found = Stores::default();
    // After a header of five words: instructions, each with its length and its opcode in its first word.
    let mut rest = &words[5..];
    while let [first, ..] = rest {
        let (instruction, after) = rest.split_at((first >> 16) as usize);
        let op = Op::from_u32(first & 0xffff).expect("an opcode");
        found.take(op, &instruction[1..]);
        rest = after;
    }
    found.stores
}

/// A type, as far as access chains go.
enum Type {
    /// Components; whether they are those of a vector, which share a location.
    Of {
        element: Word,
        vector: bool,
    },
    Struct(Vec<Word>),
    Pointer {
        buffer: bool,
        to: Word,
    },
}

#[derive(Default)]
struct Stores {
    types: HashMap<Word, Type>,
    constants: HashMap<Word, u32>,
    /// Pointers' types.
    pointers: HashMap<Word, Word>,
    /// Pointers to components.
    components: HashSet<Word>,
    stores: Vec<Word>,
}

impl Stores {
    /// Returns true if the last step of an access chain is into a vector in a buffer.
    fn is_component(&self, base: Word, steps: &[Word]) -> bool {
        let Some(Type::Pointer { buffer: true, to }) =
            self.pointers.get(&base).and_then(|of| self.types.get(of))
        else {
            return false;
        };
        let (mut at, mut last) = (*to, false);
        for step in steps {
            match self.types.get(&at) {
                Some(Type::Of { element, vector }) => (at, last) = (*element, *vector),
                Some(Type::Struct(members)) => {
                    let member = self.constants.get(step).copied().unwrap_or_default();
                    (at, last) = (members[member as usize], false);
                }
                _ => return false,
            }
        }
        last
    }

    fn take(&mut self, op: Op, operands: &[Word]) {
        match (op, operands) {
            (Op::TypeVector, &[name, element, ..]) => {
                self.types.insert(name, Type::Of { element, vector: true });
            }
            (Op::TypeArray | Op::TypeRuntimeArray, &[name, element, ..]) => {
                self.types.insert(name, Type::Of { element, vector: false });
            }
            (Op::TypeStruct, [name, members @ ..]) => {
                self.types.insert(*name, Type::Struct(members.to_vec()));
            }
            (Op::TypePointer, &[name, class, to]) => {
                let buffer = class == StorageClass::StorageBuffer as Word;
                self.types.insert(name, Type::Pointer { buffer, to });
            }
            (Op::Constant, &[_, name, value, ..]) => drop(self.constants.insert(name, value)),
            (Op::Variable, &[of, name, ..]) => drop(self.pointers.insert(name, of)),
            (Op::AccessChain | Op::InBoundsAccessChain, [of, name, base, steps @ ..]) => {
                self.pointers.insert(*name, *of);
                if self.is_component(*base, steps) {
                    self.components.insert(*name);
                }
            }
            (Op::Store, [pointer, ..]) if self.components.contains(pointer) => {
                self.stores.push(*pointer);
            }
            _ => {}
        }
    }
}

/// Stores to components of vectors in buffers, in MSL: the lines.
pub fn component_stores_in_msl(text: &str) -> Vec<&str> {
    // `typedef metal::uint4 type_7[1];` and `device type_7& grad`.
    let vectors: HashSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("typedef metal::")?.split_once(' '))
        .filter(|(element, _)| element.ends_with(['2', '3', '4']))
        .filter_map(|(_, name)| name.split_once('[').map(|(name, _)| name))
        .collect();
    let buffers: HashSet<&str> = text
        .lines()
        .flat_map(|line| line.split("device ").skip(1))
        .filter_map(|rest| rest.split_once("& "))
        .filter(|(of, _)| vectors.contains(of))
        .map(|(_, name)| {
            name.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or(name)
        })
        .collect();
    let stores = |line: &&str| {
        let line = line.trim_start();
        let Some((target, _)) = line.split_once(" = ") else { return false };
        let Some((buffer, rest)) = target.split_once('[') else { return false };
        // After the index of the load: `.x`, or an index of its own.
        buffers.contains(buffer) && after(rest).is_some_and(|rest| !rest.is_empty())
    };
    text.lines().filter(stores).collect()
}

/// Returns the text after the bracket that closes an index.
fn after(text: &str) -> Option<&str> {
    let mut depth = 1;
    for (at, c) in text.char_indices() {
        depth += match c {
            '[' => 1,
            ']' => -1,
            _ => 0,
        };
        if depth == 0 {
            return Some(&text[at + 1..]);
        }
    }
    None
}

/// Sums of three and more floats, one of them a constant: which two a compiler adds first is its own choice, in
/// every language, since naga writes expression by expression. The functions' names.
pub fn constants_in_sums(module: &Module, info: &ModuleInfo) -> Vec<String> {
    let functions = module.functions.iter().map(|(handle, function)| (function, &info[handle]));
    let entries = module.entry_points.iter().enumerate();
    let entries = entries.map(|(number, entry)| (&entry.function, info.get_entry_point(number)));
    functions
        .chain(entries)
        .filter(|(function, info)| {
            function.expressions.iter().any(|(sum, _)| {
                let mut terms = Vec::new();
                let is_real = reals(info[sum].ty.inner_with(&module.types)).is_some();
                add_terms(function, sum, &mut terms);
                is_real && terms.len() > 2 && terms.iter().any(|term| is_constant(function, *term))
            })
        })
        .map(|(function, _)| function.name.clone().unwrap_or_default())
        .collect()
}

fn add_terms(function: &Function, of: Handle<Expression>, terms: &mut Vec<Handle<Expression>>) {
    match function.expressions[of] {
        Expression::Binary { op: BinaryOperator::Add | BinaryOperator::Subtract, left, right } => {
            add_terms(function, left, terms);
            add_terms(function, right, terms);
        }
        _ => terms.push(of),
    }
}

fn is_constant(function: &Function, of: Handle<Expression>) -> bool {
    match function.expressions[of] {
        Expression::Literal(_) | Expression::Constant(_) => true,
        Expression::Splat { value, .. } => is_constant(function, value),
        _ => false,
    }
}
