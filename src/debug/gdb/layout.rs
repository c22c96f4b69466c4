//! The registers of a CPU as gdb wants them: its own features first, with its names, sizes and order, then
//! everything else that the CPU has.

use super::{aarch64, x86};
use crate::machine::config::Arch;
use crate::machine::cpu::{Core, Named};
use std::fmt::Write;

/// A register as gdb sees it.
#[derive(Clone, Debug)]
pub struct Register {
    /// gdb's name.
    pub name: &'static str,
    /// Bytes.
    pub bytes: usize,
    /// The manual's name.
    pub source: &'static str,
}

impl Register {
    /// Its bytes, if it is the CPU's own and the board has such a CPU.
    pub fn get(&self, core: &Core<'_>) -> Option<Vec<u8>> {
        core.get(self.source).map(|value| self.cut(value))
    }

    /// A value in its size.
    pub fn cut(&self, value: u128) -> Vec<u8> {
        value.to_le_bytes()[..self.bytes].to_vec()
    }
}

/// The registers of an architecture, in gdb's order. The same for as long as the machine lives,
/// whatever mode its CPUs are in.
#[derive(Clone, Debug)]
pub struct Layout {
    /// All of them.
    pub registers: Vec<Register>,
    /// How many of them are read together; the others one by one.
    pub together: usize,
    /// The description for gdb.
    pub xml: String,
    /// Numbers of the program counter, stack pointer and frame pointer, sent with every stop.
    pub hot: [usize; 3],
    /// Address bits that the architecture has.
    pub mask: u64,
    /// gdb takes a watchpoint's stop to be before the access.
    pub before: bool,
}

impl Layout {
    /// The layout for an architecture.
    pub fn new(arch: Arch) -> Self {
        match arch {
            Arch::X86_64 => x86::layout(true),
            Arch::I386 => x86::layout(false),
            Arch::Aarch64 => aarch64::layout(),
        }
    }
}

/// gdb's name, the manual's name, bits, gdb's type.
pub(super) type Row = (&'static str, &'static str, u32, &'static str);

/// Bits with names: the type's name, bytes, and each bit's name and number.
pub(super) type Flags = (&'static str, u32, &'static [(&'static str, u32)]);

/// A part of a vector register: gdb's name, type, and the types and counts of its elements.
pub(super) type Part = (&'static str, &'static str, &'static str, u32);

/// A description that is being written.
pub(super) struct Description {
    /// What the CPU has.
    all: Vec<Named>,
    registers: Vec<Register>,
    xml: String,
}

impl Description {
    /// The beginning, for a CPU that gdb knows by the name `architecture` and that has the registers `all`.
    pub fn new(architecture: &str, all: Vec<Named>) -> Self {
        let mut d = Self { all, registers: Vec::new(), xml: String::new() };
        d.line("<?xml version=\"1.0\"?>");
        d.line("<!DOCTYPE target SYSTEM \"gdb-target.dtd\">");
        d.line("<target>");
        d.line(&format!("<architecture>{architecture}</architecture>"));
        d
    }

    /// The layout: the first `together` registers are read together, those named in `hot` sent with every stop.
    pub fn finish(self, together: usize, hot: [&str; 3], mask: u64) -> Layout {
        let Self { registers, mut xml, .. } = self;
        xml.push_str("</target>\n");
        let number = |name| registers.iter().position(|r| r.source == name).unwrap_or_default();
        Layout { hot: hot.map(number), registers, together, xml, mask, before: false }
    }

    /// Registers described so far.
    pub fn count(&self) -> usize {
        self.registers.len()
    }

    /// What the CPU has and no feature shows yet.
    pub fn rest(&self) -> Vec<Named> {
        let shown = |r: &&Named| !self.registers.iter().any(|shown| shown.source == r.name);
        self.all.iter().filter(shown).copied().collect()
    }

    fn line(&mut self, text: &str) {
        self.xml.push_str(text);
        self.xml.push('\n');
    }

    /// A feature, filled by `fill`.
    pub fn feature(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        self.line(&format!("<feature name=\"{name}\">"));
        fill(self);
        self.line("</feature>");
    }

    /// A type of named bits.
    pub fn flags(&mut self, (id, bytes, bits): &Flags) {
        self.line(&format!("<flags id=\"{id}\" size=\"{bytes}\">"));
        for (name, bit) in *bits {
            self.line(&format!("<field name=\"{name}\" start=\"{bit}\" end=\"{bit}\"/>"));
        }
        self.line("</flags>");
    }

    /// The type `id` of a vector register, which can be seen in several ways.
    pub fn vector(&mut self, id: &str, parts: &[Part]) {
        for (_, part, element, count) in parts {
            self.line(&format!("<vector id=\"{part}\" type=\"{element}\" count=\"{count}\"/>"));
        }
        self.line(&format!("<union id=\"{id}\">"));
        for (name, part, ..) in parts {
            self.line(&format!("<field name=\"{name}\" type=\"{part}\"/>"));
        }
        self.line("<field name=\"uint128\" type=\"uint128\"/>");
        self.line("</union>");
    }

    /// Registers by gdb's names.
    pub fn rows(&mut self, rows: &[Row], group: &str) {
        for &(name, source, bits, kind) in rows {
            debug_assert!(self.all.iter().any(|r| r.name == source), "every CPU has {source}");
            self.register(name, source, bits, kind, group);
        }
    }

    /// One register.
    pub fn register(&mut self, name: &'static str, source: &'static str, bits: u32, kind: &str, group: &str) {
        let _ = write!(self.xml, "<reg name=\"{name}\" bitsize=\"{bits}\" type=\"{kind}\" group=\"{group}\"");
        // Calls that gdb makes into the guest leave what is not the program's alone.
        self.line(if group == "system" { " save-restore=\"no\"/>" } else { "/>" });
        self.registers.push(Register { name, bytes: bits as usize / 8, source });
    }

    /// One register of the system's, as an unsigned number unless it has a type of its own.
    pub fn system(&mut self, name: &'static str, register: Named, kind: Option<&str>) {
        let kind = kind.unwrap_or(match register.bits {
            8 => "uint8",
            16 => "uint16",
            32 => "uint32",
            _ => "uint64",
        });
        self.register(name, register.name, register.bits, kind, "system");
    }
}
