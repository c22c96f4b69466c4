//! The registers of AArch64 CPUs in gdb's features, and the system registers in one of our own.

use super::layout::{Description, Flags, Layout, Part, Row};
use crate::machine::cpu::Named;
use dejavm_interp::aarch64::inspect::{self, Group};

const CPSR: Flags = (
    "cpsr_flags",
    4,
    &[
        ("SP", 0),
        ("F", 6),
        ("I", 7),
        ("A", 8),
        ("D", 9),
        ("IL", 20),
        ("SS", 21),
        ("PAN", 22),
        ("V", 28),
        ("C", 29),
        ("Z", 30),
        ("N", 31),
    ],
);

/// The parts of a vector register.
const VECTOR_PARTS: [Part; 7] = [
    ("d", "v2d", "ieee_double", 2),
    ("s", "v4f", "ieee_single", 4),
    ("h", "v8h", "ieee_half", 8),
    ("di", "v2i", "int64", 2),
    ("si", "v4i", "int32", 4),
    ("hi", "v8i", "int16", 8),
    ("bi", "v16i", "int8", 16),
];

const CORE: [Row; 3] =
    [("sp", "sp", 64, "data_ptr"), ("pc", "pc", 64, "code_ptr"), ("cpsr", "pstate", 32, "cpsr_flags")];
const STATUS: [Row; 2] = [("fpsr", "fpsr", 32, "int"), ("fpcr", "fpcr", 32, "int")];

/// The layout of every AArch64 CPU.
pub fn layout() -> Layout {
    let all: Vec<Named> = inspect::registers().map(Named::from).collect();
    let of = |group, bits| -> Vec<Named> {
        all.iter().filter(|r| r.group == group && r.bits == bits).copied().collect()
    };
    let (general, vector) = (of(Group::General, 64), of(Group::Vector, 128));
    let mut d = Description::new("aarch64", all);
    d.feature("org.gnu.gdb.aarch64.core", |d| {
        d.flags(&CPSR);
        for register in general.iter().filter(|r| r.name.starts_with('x')) {
            d.register(register.name, register.name, 64, "int", "general");
        }
        d.rows(&CORE, "general");
    });
    d.feature("org.gnu.gdb.aarch64.fpu", |d| {
        d.vector("aarch64v", &VECTOR_PARTS);
        for register in &vector {
            d.register(register.name, register.name, 128, "aarch64v", "vector");
        }
        d.rows(&STATUS, "float");
    });
    let together = d.count();
    d.feature("org.dejavm.aarch64.system", |d| {
        for register in d.rest() {
            d.system(register.name, register, None);
        }
    });
    // A Watchpoint exception is taken before the access (D2.10).
    Layout { before: true, ..d.finish(together, ["pc", "sp", "x29"], u64::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::cpu::Core;
    use dejavm_interp::aarch64::Cpu;
    use dejavm_interp::aarch64::regs::Model;

    #[test]
    fn the_order_is_gdbs() {
        let layout = layout();
        let names: Vec<&str> = layout.registers.iter().map(|r| r.name).collect();
        assert_eq!(names[..3], ["x0", "x1", "x2"]);
        assert_eq!(names[30..36], ["x30", "sp", "pc", "cpsr", "v0", "v1"]);
        assert_eq!(names[65..68], ["v31", "fpsr", "fpcr"]);
        assert_eq!((layout.together, layout.hot), (68, [32, 31, 29]));
        for name in ["sctlr_el1", "ttbr0_el1", "esr_el1", "tpidr_el0", "vbar_el1", "mdscr_el1"] {
            assert!(names.contains(&name), "{name}");
        }
        assert_eq!(layout.xml.matches("<reg ").count(), layout.registers.len());
    }

    #[test]
    fn registers_are_read_in_their_size() {
        let mut cpu = Cpu::new(Model::MAX, 0, 1, 0);
        assert!(cpu.set_register("v3", 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10));
        assert!(cpu.set_register("x29", 0x1122_3344_5566_7788));
        for r in layout().registers {
            let value = cpu.register(r.source).unwrap().to_le_bytes();
            assert_eq!(r.get(&Core::A64(&mut cpu)).unwrap(), value[..r.bytes], "{}", r.name);
        }
    }
}
