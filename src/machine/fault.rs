//! Faults: one flipped bit of a register, of memory or of any field of the state. A tool for tests.

use super::board::Board;
use super::state::StateLike;
use super::tree::{ROOT, Tree, Wrong};
use super::{Machine, State};
use crate::replay::Input;
use dejavm_interp::mem::{Memory, PhysAddr, Place};

/// What a fault hits.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    /// A register of a CPU, by the CPU's number and the register's name.
    Register(usize, String),
    /// A byte of physical memory.
    Memory(PhysAddr),
    /// A field of the state, by its path.
    Field(String),
}

/// A flipped bit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    target: Target,
    bit: u32,
}

/// What flipping the bit does to a machine.
enum Change<B> {
    State(Box<State<B>>),
    Memory(PhysAddr, u8),
}

/// Fields of the state that say what the machine is and when, not how it stands.
const FIXED: [&str; 4] = ["icount", "warp", "shift", "config"];

impl Fault {
    /// A flip of `bit` of the target that `text` names: `cpu0.rax`, `mem:0x1000`, `devices.pit...`.
    ///
    /// # Errors
    /// When the text names nothing.
    pub fn parse(text: &str, bit: u32) -> Result<Self, Wrong> {
        let target = if let Some(addr) = text.strip_prefix("mem:") {
            Target::Memory(number(addr).ok_or_else(|| Wrong::Syntax(text.to_owned()))?)
        } else if let Some((cpu, register)) = register(text) {
            Target::Register(cpu, register.to_owned())
        } else {
            Target::Field(text.strip_prefix("board.").unwrap_or(text).to_owned())
        };
        Ok(Self { target, bit })
    }

    /// The fault as it is logged.
    pub fn input(&self) -> Input {
        Input::Fault { target: self.target(), bit: self.bit }
    }

    /// The target's name.
    pub fn target(&self) -> String {
        match &self.target {
            Target::Register(cpu, name) => format!("cpu{cpu}.{name}"),
            Target::Memory(addr) => format!("mem:{addr:#x}"),
            Target::Field(path) => path.clone(),
        }
    }

    /// Tells whether the bit can be flipped now; the machine stays as it is.
    ///
    /// # Errors
    /// What is wrong with the target or the bit.
    pub fn check<B: Board>(&self, machine: &Machine<B>) -> Result<(), Wrong> {
        self.change(&machine.state, &machine.mem).map(|_| ())
    }

    /// Flips the bit.
    ///
    /// # Errors
    /// What is wrong with the target or the bit; the machine is then as before.
    pub fn apply<B: Board>(&self, machine: &mut Machine<B>) -> Result<(), Wrong> {
        match self.change(&machine.state, &machine.mem)? {
            Change::Memory(addr, byte) => {
                let there = machine.mem.load(addr, &[byte]);
                debug_assert!(there, "the change was made from what is there");
            }
            Change::State(mut state) => {
                let (old, new) = (machine.state.board.world(), state.board.world());
                // What is not part of the state stays.
                new.outputs = std::mem::take(&mut old.outputs);
                new.attention = old.attention;
                machine.restore(&state);
            }
        }
        Ok(())
    }

    fn change<B: Board>(&self, state: &State<B>, mem: &Memory) -> Result<Change<B>, Wrong> {
        match &self.target {
            Target::Memory(addr) => self.memory(*addr, mem).map(|byte| Change::Memory(*addr, byte)),
            Target::Register(cpu, name) => {
                let mut state = state.clone();
                self.register(&mut state.board, *cpu, name)?;
                Ok(Change::State(Box::new(state)))
            }
            Target::Field(path) => self.field(state, path).map(|s| Change::State(Box::new(s))),
        }
    }

    fn memory(&self, addr: PhysAddr, mem: &Memory) -> Result<u8, Wrong> {
        let place = self.target();
        let (Place::Ram(offset) | Place::Rom(offset)) = mem.place(addr) else {
            return Err(Wrong::Outside { place });
        };
        match self.bit {
            bit @ 0..8 => Ok(mem.bytes()[offset as usize] ^ 1 << bit),
            bit => Err(Wrong::Bit { place, bits: 8, bit }),
        }
    }

    fn register<B: Board>(&self, board: &mut B, cpu: usize, name: &str) -> Result<(), Wrong> {
        let bit = self.bit;
        if cpu >= board.cpus() {
            let names = (0..board.cpus()).map(|i| format!("cpu{i}")).collect();
            let name = format!("cpu{cpu}");
            return Err(Wrong::Name { place: "the machine".to_owned(), name, names, passing: false });
        }
        let mut core = board.core(cpu);
        let Some((bits, old)) = core.width(name).zip(core.get(name)) else {
            let mut names: Vec<String> = core.registers().iter().map(|r| r.name.to_owned()).collect();
            if names.is_empty() {
                names.push("no registers".to_owned());
            }
            let name = name.to_owned();
            return Err(Wrong::Name { place: format!("cpu{cpu}"), name, names, passing: false });
        };
        if bit >= bits {
            return Err(Wrong::Bit { place: self.target(), bits, bit });
        }
        let new = old ^ 1 << bit;
        if !core.set(name, new) || core.get(name) != Some(new) {
            let why = "the register keeps this bit".to_owned();
            return Err(Wrong::Value { place: self.target(), bit, why });
        }
        Ok(())
    }

    fn field<B: Board>(&self, state: &State<B>, path: &str) -> Result<State<B>, Wrong> {
        let bit = self.bit;
        let first = path.split(['.', '[']).next().unwrap_or(path);
        let mut tree = of_state(state);
        if FIXED.contains(&first) {
            let (place, name) = (ROOT.to_owned(), path.to_owned());
            return Err(changeable(Wrong::Name { place, name, names: tree.names(), passing: false }));
        }
        tree.flip(path, bit).map_err(changeable)?;
        let wrong = |why| Wrong::Value { place: path.to_owned(), bit, why };
        let new = nested(tree).value(StateLike(&state.board)).map_err(wrong)?;
        if new.turn.cpu >= new.board.cpus() {
            return Err(wrong("there is no such CPU".to_owned()));
        }
        Ok(new)
    }
}

/// At the root only what can be changed is offered.
fn changeable(mut wrong: Wrong) -> Wrong {
    if let Wrong::Name { place, names, .. } = &mut wrong
        && place == ROOT
    {
        names.retain(|n| !FIXED.contains(&n.as_str()));
        *place = "what can be changed".to_owned();
    }
    wrong
}

/// The state as a tree; the board's fields stand beside the machine's own.
pub fn of_state<B: Board>(state: &State<B>) -> Tree {
    let Tree::Struct(mut fields) = Tree::of(state) else { unreachable!("the state has fields") };
    if let Some((_, Tree::Struct(board))) = fields.pop() {
        fields.extend(board);
    }
    Tree::Struct(fields)
}

/// Number of the machine's own fields, which come before the board.
const OWN: usize = 4;

/// The tree as the state itself has it.
fn nested(tree: Tree) -> Tree {
    let Tree::Struct(mut fields) = tree else { unreachable!("the state has fields") };
    let board = fields.split_off(OWN);
    fields.push(("board", Tree::Struct(board)));
    Tree::Struct(fields)
}

/// `cpuN.NAME`.
fn register(text: &str) -> Option<(usize, &str)> {
    let (cpu, name) = text.strip_prefix("cpu")?.split_once('.')?;
    Some((cpu.parse().ok()?, name))
}

/// A number, hexadecimal after `0x`.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}
