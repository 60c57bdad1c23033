//! Results of subgroup operations that only some lanes use. A compiler may compute a value where it is used, and
//! NVIDIA's does so with `subgroupOr`: in the branch of one lane, without the others.

use std::collections::HashSet;

use naga::{Block, Expression, Function, Handle, LocalVariable, Module, Statement};

/// Returns the functions that keep such a result in a variable which is read only under conditions from there on.
pub fn used_by_some_lanes(module: &Module) -> Vec<String> {
    let mut collecting: HashSet<Handle<Function>> = HashSet::new();
    let mut found = Vec::new();
    // A function is declared after those that it calls.
    for (handle, function) in module.functions.iter() {
        let Uses { collects, waiting, lost, .. } = Uses::of(function, &collecting);
        if collects {
            collecting.insert(handle);
        }
        if lost || !waiting.is_empty() {
            found.push(function.name.clone().unwrap_or_default());
        }
    }
    found
}

/// The events in a function, in order.
struct Uses<'a> {
    function: &'a Function,
    collecting: &'a HashSet<Handle<Function>>,
    collects: bool,
    results: HashSet<Handle<Expression>>,
    /// Variables with results that no lane has used yet outside of conditions.
    waiting: HashSet<Handle<LocalVariable>>,
    /// True if there was such a variable, and it was assigned another value.
    lost: bool,
}

impl<'a> Uses<'a> {
    fn of(function: &'a Function, collecting: &'a HashSet<Handle<Function>>) -> Self {
        let (results, waiting) = Default::default();
        let (collects, lost) = (false, false);
        let mut uses = Self { function, collecting, collects, results, waiting, lost };
        uses.walk(&function.body, false);
        uses
    }

    fn walk(&mut self, block: &Block, conditional: bool) {
        for statement in block {
            match statement {
                Statement::SubgroupCollectiveOperation { result, .. } => {
                    self.collects = true;
                    self.results.insert(*result);
                }
                Statement::Call { function, result: Some(result), .. }
                    if self.collecting.contains(function) =>
                {
                    self.collects = true;
                    self.results.insert(*result);
                }
                Statement::Store { pointer, value } => self.store(*pointer, *value, conditional),
                Statement::Emit(range) if !conditional => {
                    for handle in range.clone() {
                        if let Expression::Load { pointer } = self.function.expressions[handle] {
                            let read = self.variable(pointer);
                            self.waiting.retain(|variable| Some(*variable) != read);
                        }
                    }
                }
                Statement::Block(block) => self.walk(block, conditional),
                Statement::If { accept, reject, .. } => {
                    self.walk(accept, true);
                    self.walk(reject, true);
                }
                Statement::Loop { body, continuing, .. } => {
                    self.walk(body, conditional);
                    self.walk(continuing, conditional);
                }
                _ => {}
            }
        }
    }

    fn store(&mut self, pointer: Handle<Expression>, value: Handle<Expression>, conditional: bool) {
        let Some(variable) = self.variable(pointer) else { return };
        let whole = matches!(self.function.expressions[pointer], Expression::LocalVariable(_));
        // A value that is overwritten before all lanes have read it can no longer be read.
        if whole && !conditional && self.waiting.remove(&variable) {
            self.lost = true;
        }
        if self.results.contains(&value) {
            self.waiting.insert(variable);
        }
    }

    fn variable(&self, pointer: Handle<Expression>) -> Option<Handle<LocalVariable>> {
        match self.function.expressions[pointer] {
            Expression::LocalVariable(variable) => Some(variable),
            Expression::AccessIndex { base, .. } | Expression::Access { base, .. } => {
                self.variable(base)
            }
            _ => None,
        }
    }
}
