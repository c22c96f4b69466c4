//! The registers of x86 CPUs as gdb wants them: its own features first, with its names, sizes and
//! order, then everything else that the CPU has.

use crate::machine::board::Core;
use crate::machine::config::Arch;
use dejavm_interp::x86::inspect::{self, Group};
use std::fmt::Write;

/// A register as gdb sees it.
#[derive(Clone, Debug)]
pub struct Register {
    /// gdb's name.
    pub name: &'static str,
    /// Bytes.
    pub bytes: usize,
    /// The manual's name.
    source: &'static str,
    /// `None`: a device keeps it.
    register: Option<inspect::Register>,
}

impl Register {
    /// The manual's name.
    pub fn source(&self) -> &'static str {
        self.source
    }

    /// Its bytes, if it is the CPU's own and the board has such a CPU.
    pub fn get(&self, core: &Core<'_>) -> Option<Vec<u8>> {
        match core {
            Core::X86(cpu) => Some(self.cut(self.register?.get(cpu))),
            Core::None => None,
        }
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
}

/// gdb's name, the manual's name, bits, gdb's type.
type Row = (&'static str, &'static str, u32, &'static str);

const GENERAL_64: [Row; 16] = [
    ("rax", "rax", 64, "int64"),
    ("rbx", "rbx", 64, "int64"),
    ("rcx", "rcx", 64, "int64"),
    ("rdx", "rdx", 64, "int64"),
    ("rsi", "rsi", 64, "int64"),
    ("rdi", "rdi", 64, "int64"),
    ("rbp", "rbp", 64, "data_ptr"),
    ("rsp", "rsp", 64, "data_ptr"),
    ("r8", "r8", 64, "int64"),
    ("r9", "r9", 64, "int64"),
    ("r10", "r10", 64, "int64"),
    ("r11", "r11", 64, "int64"),
    ("r12", "r12", 64, "int64"),
    ("r13", "r13", 64, "int64"),
    ("r14", "r14", 64, "int64"),
    ("r15", "r15", 64, "int64"),
];
const GENERAL_32: [Row; 8] = [
    ("eax", "rax", 32, "int32"),
    ("ecx", "rcx", 32, "int32"),
    ("edx", "rdx", 32, "int32"),
    ("ebx", "rbx", 32, "int32"),
    ("esp", "rsp", 32, "data_ptr"),
    ("ebp", "rbp", 32, "data_ptr"),
    ("esi", "rsi", 32, "int32"),
    ("edi", "rdi", 32, "int32"),
];
const RIP: Row = ("rip", "rip", 64, "code_ptr");
const EIP: Row = ("eip", "rip", 32, "code_ptr");
const FLAGS_AND_SEGMENTS: [Row; 7] = [
    ("eflags", "rflags", 32, "i386_eflags"),
    ("cs", "cs", 32, "int32"),
    ("ss", "ss", 32, "int32"),
    ("ds", "ds", 32, "int32"),
    ("es", "es", 32, "int32"),
    ("fs", "fs", 32, "int32"),
    ("gs", "gs", 32, "int32"),
];
const X87: [Row; 16] = [
    ("st0", "st0", 80, "i387_ext"),
    ("st1", "st1", 80, "i387_ext"),
    ("st2", "st2", 80, "i387_ext"),
    ("st3", "st3", 80, "i387_ext"),
    ("st4", "st4", 80, "i387_ext"),
    ("st5", "st5", 80, "i387_ext"),
    ("st6", "st6", 80, "i387_ext"),
    ("st7", "st7", 80, "i387_ext"),
    ("fctrl", "fctrl", 32, "int"),
    ("fstat", "fstat", 32, "int"),
    ("ftag", "ftag", 32, "int"),
    ("fiseg", "fiseg", 32, "int"),
    ("fioff", "fioff", 32, "int"),
    ("foseg", "foseg", 32, "int"),
    ("fooff", "fooff", 32, "int"),
    ("fop", "fop", 32, "int"),
];
const MXCSR: Row = ("mxcsr", "mxcsr", 32, "i386_mxcsr");
const SEGMENT_BASES: [Row; 2] = [("fs_base", "fs_base", 64, "int"), ("gs_base", "gs_base", 64, "int")];

/// Bits with names: the type's name, bytes, and each bit's name and number.
type Flags = (&'static str, u32, &'static [(&'static str, u32)]);

const CORE_FLAGS: Flags = (
    "i386_eflags",
    4,
    &[
        ("CF", 0),
        ("", 1),
        ("PF", 2),
        ("AF", 4),
        ("ZF", 6),
        ("SF", 7),
        ("TF", 8),
        ("IF", 9),
        ("DF", 10),
        ("OF", 11),
        ("NT", 14),
        ("RF", 16),
        ("VM", 17),
        ("AC", 18),
        ("VIF", 19),
        ("VIP", 20),
        ("ID", 21),
    ],
);
const SSE_FLAGS: Flags = (
    "i386_mxcsr",
    4,
    &[
        ("IE", 0),
        ("DE", 1),
        ("ZE", 2),
        ("OE", 3),
        ("UE", 4),
        ("PE", 5),
        ("DAZ", 6),
        ("IM", 7),
        ("DM", 8),
        ("ZM", 9),
        ("OM", 10),
        ("UM", 11),
        ("PM", 12),
        ("FZ", 15),
    ],
);
const SYSTEM_FLAGS: [Flags; 3] = [
    (
        "x86_cr0",
        8,
        &[
            ("PE", 0),
            ("MP", 1),
            ("EM", 2),
            ("TS", 3),
            ("ET", 4),
            ("NE", 5),
            ("WP", 16),
            ("AM", 18),
            ("NW", 29),
            ("CD", 30),
            ("PG", 31),
        ],
    ),
    (
        "x86_cr4",
        8,
        &[
            ("VME", 0),
            ("PVI", 1),
            ("TSD", 2),
            ("DE", 3),
            ("PSE", 4),
            ("PAE", 5),
            ("MCE", 6),
            ("PGE", 7),
            ("PCE", 8),
            ("OSFXSR", 9),
            ("OSXMMEXCPT", 10),
            ("UMIP", 11),
            ("LA57", 12),
            ("FSGSBASE", 16),
            ("PCIDE", 17),
            ("OSXSAVE", 18),
            ("SMEP", 20),
            ("SMAP", 21),
            ("PKE", 22),
        ],
    ),
    ("x86_efer", 8, &[("SCE", 0), ("LME", 8), ("LMA", 10), ("NXE", 11), ("SVME", 12), ("FFXSR", 14)]),
];

/// The parts of an XMM register: gdb's name, type, and the types and counts of its elements.
const XMM_PARTS: [(&str, &str, &str, u32); 6] = [
    ("v4_float", "v4f", "ieee_single", 4),
    ("v2_double", "v2d", "ieee_double", 2),
    ("v16_int8", "v16i8", "int8", 16),
    ("v8_int16", "v8i16", "int16", 8),
    ("v4_int32", "v4i32", "int32", 4),
    ("v2_int64", "v2i64", "int64", 2),
];

impl Layout {
    /// The layout for an architecture.
    pub fn new(arch: Arch) -> Self {
        let long = arch == Arch::X86_64;
        let mut d = Description::new(if long { "i386:x86-64" } else { "i386" });
        d.feature("org.gnu.gdb.i386.core", |d| {
            d.flags(&CORE_FLAGS);
            let general: &[Row] = if long { &GENERAL_64 } else { &GENERAL_32 };
            d.rows(general, "general");
            d.rows(&[if long { RIP } else { EIP }], "general");
            d.rows(&FLAGS_AND_SEGMENTS, "general");
            d.rows(&X87, "float");
        });
        d.feature("org.gnu.gdb.i386.sse", |d| {
            d.flags(&SSE_FLAGS);
            d.vector();
            let xmm = inspect::registers().filter(|r| r.group == Group::Vector && r.bits == 128);
            for register in xmm.take(if long { 16 } else { 8 }) {
                d.register(register.name, register, 128, "vec128", "vector");
            }
            d.rows(&[MXCSR], "vector");
        });
        if long {
            d.feature("org.gnu.gdb.i386.segments", |d| d.rows(&SEGMENT_BASES, "general"));
        }
        let together = d.registers.len();
        d.feature("org.dejavm.x86.system", |d| {
            SYSTEM_FLAGS.iter().for_each(|flags| d.flags(flags));
            for register in inspect::registers() {
                let shown = d.registers.iter().any(|r| r.source() == register.name);
                // The selectors of LDTR and TR are in no feature of gdb's.
                let named = !matches!(register.name, "ldtr" | "tr");
                let long_only = named && matches!(register.group, Group::General | Group::Vector);
                if !shown && !long_only {
                    d.system(register);
                }
                if long && register.name == "cr4" {
                    // The local APIC keeps it; only 64-bit mode has it (SDM volume 3, 2.5).
                    d.row("cr8", "cr8", None, 64, "uint64", "system");
                }
            }
        });
        let Description { registers, mut xml } = d;
        xml.push_str("</target>\n");
        let number = |name| registers.iter().position(|r| r.source() == name).unwrap_or_default();
        let hot = [number("rip"), number("rsp"), number("rbp")];
        let mask = if long { u64::MAX } else { u32::MAX.into() };
        Self { registers, together, xml, hot, mask }
    }
}

/// A description that is being written.
struct Description {
    registers: Vec<Register>,
    xml: String,
}

impl Description {
    fn new(architecture: &str) -> Self {
        let mut d = Self { registers: Vec::new(), xml: String::new() };
        d.line("<?xml version=\"1.0\"?>");
        d.line("<!DOCTYPE target SYSTEM \"gdb-target.dtd\">");
        d.line("<target>");
        d.line(&format!("<architecture>{architecture}</architecture>"));
        d
    }

    fn line(&mut self, text: &str) {
        self.xml.push_str(text);
        self.xml.push('\n');
    }

    fn feature(&mut self, name: &str, fill: impl FnOnce(&mut Self)) {
        self.line(&format!("<feature name=\"{name}\">"));
        fill(self);
        self.line("</feature>");
    }

    fn flags(&mut self, (id, bytes, bits): &Flags) {
        self.line(&format!("<flags id=\"{id}\" size=\"{bytes}\">"));
        for (name, bit) in *bits {
            self.line(&format!("<field name=\"{name}\" start=\"{bit}\" end=\"{bit}\"/>"));
        }
        self.line("</flags>");
    }

    fn vector(&mut self) {
        for (_, id, element, count) in XMM_PARTS {
            self.line(&format!("<vector id=\"{id}\" type=\"{element}\" count=\"{count}\"/>"));
        }
        self.line("<union id=\"vec128\">");
        for (name, id, ..) in XMM_PARTS {
            self.line(&format!("<field name=\"{name}\" type=\"{id}\"/>"));
        }
        self.line("<field name=\"uint128\" type=\"uint128\"/>");
        self.line("</union>");
    }

    fn rows(&mut self, rows: &[Row], group: &str) {
        for &(name, source, bits, kind) in rows {
            let found = inspect::registers().find(|r| r.name == source);
            let register = found.unwrap_or_else(|| unreachable!("every CPU has {source}"));
            self.register(name, register, bits, kind, group);
        }
    }

    fn register(
        &mut self,
        name: &'static str,
        register: inspect::Register,
        bits: u32,
        kind: &str,
        group: &str,
    ) {
        self.row(name, register.name, Some(register), bits, kind, group);
    }

    fn row(
        &mut self,
        name: &'static str,
        source: &'static str,
        register: Option<inspect::Register>,
        bits: u32,
        kind: &str,
        group: &str,
    ) {
        let _ = write!(self.xml, "<reg name=\"{name}\" bitsize=\"{bits}\" type=\"{kind}\" group=\"{group}\"");
        // Calls that gdb makes into the guest leave what is not the program's alone.
        self.line(if group == "system" { " save-restore=\"no\"/>" } else { "/>" });
        self.registers.push(Register { name, bytes: bits as usize / 8, source, register });
    }

    fn system(&mut self, register: inspect::Register) {
        let kind = match register.name {
            "cr0" => "x86_cr0",
            "cr4" => "x86_cr4",
            "efer" => "x86_efer",
            _ => match register.bits {
                8 => "uint8",
                16 => "uint16",
                32 => "uint32",
                _ => "uint64",
            },
        };
        let name = if register.name == "kernel_gs_base" { "k_gs_base" } else { register.name };
        self.register(name, register, register.bits, kind, "system");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dejavm_interp::x86::Cpu;
    use dejavm_interp::x86::model::Model;

    fn names(layout: &Layout) -> Vec<&str> {
        layout.registers.iter().map(|r| r.name).collect()
    }

    #[test]
    fn the_order_is_gdbs() {
        let long = Layout::new(Arch::X86_64);
        let all = names(&long);
        assert_eq!(all[..9], ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8"]);
        assert_eq!(all[15..19], ["r15", "rip", "eflags", "cs"]);
        assert_eq!(all[24..26], ["st0", "st1"]);
        assert_eq!(all[40], "xmm0");
        assert_eq!(all[56..60], ["mxcsr", "fs_base", "gs_base", "gdtr_base"]);
        assert_eq!((long.together, long.hot), (59, [16, 7, 6]));
        assert!(all.contains(&"cr8"));
        let short = Layout::new(Arch::I386);
        let all = names(&short);
        assert!(!all.contains(&"cr8"));
        assert_eq!(all[..9], ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip"]);
        assert_eq!((short.together, short.hot), (41, [8, 4, 5]));
        for layout in [long, short] {
            let mut all = names(&layout);
            for name in ["cr0", "cr2", "cr3", "cr4", "efer", "k_gs_base", "dr7", "tr", "cs_limit", "lstar"] {
                assert!(all.contains(&name), "{name}");
            }
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), layout.registers.len());
            assert_eq!(layout.xml.matches("<reg ").count(), layout.registers.len());
        }
    }

    #[test]
    fn registers_are_read_in_their_size() {
        let mut cpu = Cpu::new(Model::Max, 0, true);
        for (i, r) in inspect::registers().enumerate() {
            assert!(cpu.set_register(r.name, 0x0102_0304_0506_0708 * (i as u128 % 7 + 1)));
        }
        for layout in [Layout::new(Arch::X86_64), Layout::new(Arch::I386)] {
            for r in layout.registers.iter().filter(|r| r.name != "cr8") {
                let value = cpu.register(r.source()).unwrap().to_le_bytes();
                assert_eq!(r.get(&Core::X86(&mut cpu)).unwrap(), value[..r.bytes], "{}", r.name);
            }
        }
    }
}
