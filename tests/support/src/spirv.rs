//! SPIR-V without the parts that drivers ignore: the numbers of ids, the order of declarations, and code that the entry
//! point does not reach.

use std::collections::{HashMap, VecDeque};

use rspirv::binary::Assemble;
use rspirv::dr::{Function, Instruction, Module, Operand, load_words};
use rspirv::spirv::Word;

/// The words of a module with one entry point, written anew: functions in the order in which they are first called,
/// ids numbered as they are first met, and each type, constant and variable defined there. The same for two modules
/// that differ in names and in the order of what they declare, and in nothing else.
pub fn canonical(words: &[Word]) -> Vec<Word> {
    let module = load_words(words).unwrap_or_else(|error| panic!("SPIR-V: {error}"));
    let [entry] = &module.entry_points[..] else { panic!("not one entry point") };
    let Some(&Operand::IdRef(main)) = entry.operands.get(1) else {
        panic!("an entry point without a function")
    };
    let mut walk = Walk::new(&module);
    let mut capabilities: Vec<Word> = module
        .capabilities
        .iter()
        .flat_map(|capability| capability.operands[0].assemble())
        .collect();
    capabilities.sort_unstable();
    walk.words.extend(capabilities);
    walk.id(main);
    module.execution_modes.iter().for_each(|mode| walk.instruction(mode));
    while let Some(function) = walk.called.pop_front() {
        function.all_inst_iter().for_each(|instruction| walk.instruction(instruction));
    }
    walk.words
}

struct Walk<'a> {
    /// Types, constants, variables and sets of instructions.
    globals: HashMap<Word, &'a Instruction>,
    decorations: HashMap<Word, Vec<&'a Instruction>>,
    functions: HashMap<Word, &'a Function>,
    numbers: HashMap<Word, Word>,
    called: VecDeque<&'a Function>,
    words: Vec<Word>,
}

impl<'a> Walk<'a> {
    fn new(module: &'a Module) -> Self {
        let globals = module.types_global_values.iter().chain(&module.ext_inst_imports);
        let mut decorations: HashMap<Word, Vec<&Instruction>> = HashMap::new();
        for decoration in &module.annotations {
            let of = decoration.operands[0].id_ref_any().expect("what is decorated");
            decorations.entry(of).or_default().push(decoration);
        }
        Self {
            globals: globals.filter_map(|global| Some((global.result_id?, global))).collect(),
            decorations,
            functions: module.functions.iter().filter_map(|f| Some((f.def_id()?, f))).collect(),
            numbers: HashMap::new(),
            called: VecDeque::new(),
            words: Vec::new(),
        }
    }

    /// The id's number; where it is met first, also its definition, unless it is local to a function.
    fn id(&mut self, id: Word) {
        if let Some(&number) = self.numbers.get(&id) {
            return self.words.push(number);
        }
        let number = self.numbers.len() as Word;
        self.numbers.insert(id, number);
        self.words.push(number);
        self.called.extend(self.functions.get(&id));
        if let Some(&global) = self.globals.get(&id) {
            self.instruction(global);
            let decorations = self.decorations.get(&id).cloned();
            decorations.into_iter().flatten().for_each(|decoration| self.instruction(decoration));
        }
    }

    fn instruction(&mut self, instruction: &Instruction) {
        self.words.push(instruction.class.opcode as Word);
        let ids = instruction.result_type.into_iter().chain(instruction.result_id);
        ids.for_each(|id| self.id(id));
        for operand in &instruction.operands {
            match operand.id_ref_any() {
                Some(id) => self.id(id),
                None => operand.assemble_into(&mut self.words),
            }
        }
    }
}
