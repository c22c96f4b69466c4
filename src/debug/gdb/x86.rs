//! The registers of x86 CPUs in gdb's features, and the system's registers in one of our own.

use super::layout::{Description, Flags, Layout, Part, Row};
use crate::machine::cpu::Named;
use dejavm_interp::x86::inspect::{self, Group};

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

/// The parts of an XMM register.
const XMM_PARTS: [Part; 6] = [
    ("v4_float", "v4f", "ieee_single", 4),
    ("v2_double", "v2d", "ieee_double", 2),
    ("v16_int8", "v16i8", "int8", 16),
    ("v8_int16", "v8i16", "int16", 8),
    ("v4_int32", "v4i32", "int32", 4),
    ("v2_int64", "v2i64", "int64", 2),
];

/// The local APIC keeps it; only 64-bit mode has it (SDM volume 3, section 2.5).
const CR8: Named = Named { name: "cr8", group: Group::Control, bits: 64 };

/// The layout of a CPU with or without 64-bit mode.
pub fn layout(long: bool) -> Layout {
    let all: Vec<Named> = inspect::registers().map(Named::from).collect();
    let xmm: Vec<Named> = all.iter().filter(|r| r.group == Group::Vector && r.bits == 128).copied().collect();
    let mut d = Description::new(if long { "i386:x86-64" } else { "i386" }, all);
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
        d.vector("vec128", &XMM_PARTS);
        for register in xmm.iter().take(if long { 16 } else { 8 }) {
            d.register(register.name, register.name, 128, "vec128", "vector");
        }
        d.rows(&[MXCSR], "vector");
    });
    if long {
        d.feature("org.gnu.gdb.i386.segments", |d| d.rows(&SEGMENT_BASES, "general"));
    }
    let together = d.count();
    d.feature("org.dejavm.x86.system", |d| {
        SYSTEM_FLAGS.iter().for_each(|flags| d.flags(flags));
        for register in d.rest() {
            // The selectors of LDTR and TR are in no feature of gdb's.
            let named = !matches!(register.name, "ldtr" | "tr");
            if named && matches!(register.group, Group::General | Group::Vector) {
                continue;
            }
            let kind = match register.name {
                "cr0" => Some("x86_cr0"),
                "cr4" => Some("x86_cr4"),
                "efer" => Some("x86_efer"),
                _ => None,
            };
            let name = if register.name == "kernel_gs_base" { "k_gs_base" } else { register.name };
            d.system(name, register, kind);
            if long && name == "cr4" {
                d.system("cr8", CR8, None);
            }
        }
    });
    let mask = if long { u64::MAX } else { u32::MAX.into() };
    d.finish(together, ["rip", "rsp", "rbp"], mask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::config::Arch;
    use crate::machine::cpu::Core;
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
            for r in layout.registers.iter().filter(|r| r.name != CR8.name) {
                let value = cpu.register(r.source).unwrap().to_le_bytes();
                assert_eq!(r.get(&Core::X86(&mut cpu)).unwrap(), value[..r.bytes], "{}", r.name);
            }
        }
    }
}
