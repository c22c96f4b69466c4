//! Registers by name, see [`crate::inspect`]: those that hold state. What only tells the model (MIDR_EL1, the ID
//! registers) and what lies outside the CPU (the timer's and the interrupt controller's) is not among them.

use super::regs::{Cpu, psr};
pub use crate::inspect::Group;

/// A named register.
pub type Register = crate::inspect::Register<Cpu>;

type Get = fn(&Cpu, usize) -> u128;
type Set = fn(&mut Cpu, usize, u128);

#[rustfmt::skip]
const X: [&str; 31] = [
    "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7",
    "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15",
    "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23",
    "x24", "x25", "x26", "x27", "x28", "x29", "x30",
];
#[rustfmt::skip]
const V: [&str; 32] = [
    "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7",
    "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15",
    "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23",
    "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31",
];
#[rustfmt::skip]
const DBGBVR: [&str; 6] = [
    "dbgbvr0_el1", "dbgbvr1_el1", "dbgbvr2_el1", "dbgbvr3_el1", "dbgbvr4_el1", "dbgbvr5_el1",
];
#[rustfmt::skip]
const DBGBCR: [&str; 6] = [
    "dbgbcr0_el1", "dbgbcr1_el1", "dbgbcr2_el1", "dbgbcr3_el1", "dbgbcr4_el1", "dbgbcr5_el1",
];
#[rustfmt::skip]
const DBGWVR: [&str; 4] = [
    "dbgwvr0_el1", "dbgwvr1_el1", "dbgwvr2_el1", "dbgwvr3_el1",
];
#[rustfmt::skip]
const DBGWCR: [&str; 4] = [
    "dbgwcr0_el1", "dbgwcr1_el1", "dbgwcr2_el1", "dbgwcr3_el1",
];

const fn one(name: &'static str, group: Group, bits: u32, get: Get, set: Set) -> Register {
    Register { name, group, bits, get, set, index: 0 }
}

/// A field of the CPU.
macro_rules! field {
    ($name:literal, $group:ident, $bits:literal, $($field:tt)+) => {
        one($name, Group::$group, $bits, |c, _| c.$($field)+.into(), |c, _, v| c.$($field)+ = v as _)
    };
}

/// Bits of PSTATE that are kept at their places in SPSR.
macro_rules! pstate {
    ($name:literal, $field:ident, $mask:expr) => {
        one(
            $name,
            Group::General,
            64,
            |c, _| (c.$field & $mask).into(),
            |c, _, v| c.$field = c.$field & !$mask | v as u64 & $mask,
        )
    };
}

/// A system register of one exception level.
macro_rules! level {
    ($name:literal, $field:ident, $el:literal) => {
        one(
            $name,
            Group::Control,
            64,
            |c, _| c.sys.$field[$el].into(),
            |c, _, v| c.sys.$field[$el] = v as u64,
        )
    };
}

/// Any other system register.
macro_rules! system {
    ($name:literal, $field:ident) => {
        one($name, Group::Control, 64, |c, _| c.sys.$field.into(), |c, _, v| c.sys.$field = v as u64)
    };
}

/// PC, the stack pointer in use, PSTATE as SPSR shows it (gdb's cpsr) and by fields.
const GENERAL: [Register; 11] = [
    one("sp", Group::General, 64, |c, _| c.sp().into(), |c, _, v| c.set_sp(v as u64)),
    field!("pc", General, 64, pc),
    one("cpsr", Group::General, 32, |c, _| c.spsr().into(), |c, _, v| c.set_spsr(v as u64)),
    pstate!("nzcv", nzcv, psr::NZCV),
    pstate!("daif", daif, psr::DAIF),
    one("currentel", Group::General, 64, |c, _| u128::from(c.el) << 2, |c, _, v| c.el = v as u8 >> 2 & 3),
    one("spsel", Group::General, 64, |c, _| c.sp_sel.into(), |c, _, v| c.sp_sel = v & 1 != 0),
    pstate!("pan", pstate, psr::PAN),
    pstate!("uao", pstate, psr::UAO),
    pstate!("ss", pstate, psr::SS),
    pstate!("il", pstate, psr::IL),
];

/// FPSR and FPCR: no bits but those that instructions can set.
const FP: [Register; 2] = [field!("fpsr", Vector, 32, fpsr), field!("fpcr", Vector, 32, fpcr)];

/// System registers, in the manual's order (D19.2 by function).
const SYSTEM: [Register; 72] = [
    level!("sctlr_el1", sctlr, 1),
    level!("sctlr_el2", sctlr, 2),
    level!("sctlr_el3", sctlr, 3),
    level!("actlr_el1", actlr, 1),
    level!("actlr_el2", actlr, 2),
    level!("actlr_el3", actlr, 3),
    system!("cpacr_el1", cpacr),
    system!("hcr_el2", hcr),
    level!("cptr_el2", cptr, 2),
    system!("hstr_el2", hstr),
    system!("scr_el3", scr),
    level!("cptr_el3", cptr, 3),
    level!("ttbr0_el1", ttbr0, 1),
    level!("ttbr0_el2", ttbr0, 2),
    level!("ttbr0_el3", ttbr0, 3),
    system!("ttbr1_el1", ttbr1),
    level!("tcr_el1", tcr, 1),
    level!("tcr_el2", tcr, 2),
    level!("tcr_el3", tcr, 3),
    system!("vttbr_el2", vttbr),
    system!("vtcr_el2", vtcr),
    level!("mair_el1", mair, 1),
    level!("mair_el2", mair, 2),
    level!("mair_el3", mair, 3),
    level!("amair_el1", amair, 1),
    level!("amair_el2", amair, 2),
    level!("amair_el3", amair, 3),
    level!("contextidr_el1", contextidr, 1),
    level!("elr_el1", elr, 1),
    level!("elr_el2", elr, 2),
    level!("elr_el3", elr, 3),
    level!("spsr_el1", spsr, 1),
    level!("spsr_el2", spsr, 2),
    level!("spsr_el3", spsr, 3),
    level!("sp_el0", sp, 0),
    level!("sp_el1", sp, 1),
    level!("sp_el2", sp, 2),
    level!("sp_el3", sp, 3),
    level!("esr_el1", esr, 1),
    level!("esr_el2", esr, 2),
    level!("esr_el3", esr, 3),
    level!("afsr0_el1", afsr0, 1),
    level!("afsr0_el2", afsr0, 2),
    level!("afsr0_el3", afsr0, 3),
    level!("afsr1_el1", afsr1, 1),
    level!("afsr1_el2", afsr1, 2),
    level!("afsr1_el3", afsr1, 3),
    level!("far_el1", far, 1),
    level!("far_el2", far, 2),
    level!("far_el3", far, 3),
    system!("hpfar_el2", hpfar),
    system!("par_el1", par),
    level!("vbar_el1", vbar, 1),
    level!("vbar_el2", vbar, 2),
    level!("vbar_el3", vbar, 3),
    level!("rmr_el1", rmr, 1),
    level!("rmr_el3", rmr, 3),
    level!("tpidr_el0", tpidr, 0),
    level!("tpidr_el1", tpidr, 1),
    level!("tpidr_el2", tpidr, 2),
    level!("tpidr_el3", tpidr, 3),
    system!("tpidrro_el0", tpidrro),
    system!("csselr_el1", csselr),
    system!("vpidr_el2", vpidr),
    system!("vmpidr_el2", vmpidr),
    system!("cntkctl_el1", cntkctl),
    system!("mdscr_el1", mdscr),
    system!("mdccint_el1", mdccint),
    level!("mdcr_el2", mdcr, 2),
    level!("mdcr_el3", mdcr, 3),
    system!("osdlr_el1", osdlr),
    one(
        "oslsr_el1",
        Group::Control,
        64,
        |c, _| (8 | u64::from(c.sys.oslar_locked) << 1).into(),
        |c, _, v| c.sys.oslar_locked = v & 2 != 0,
    ),
];

/// Every register, in the order in which reports list them.
pub fn registers() -> impl Iterator<Item = Register> {
    let many = |names: &'static [&'static str], group, bits, get: Get, set: Set| {
        names.iter().enumerate().map(move |(index, &name)| Register { name, group, bits, get, set, index })
    };
    let debug = |names, get, set| many(names, Group::Control, 64, get, set);
    many(&X, Group::General, 64, |c, i| c.x[i].into(), |c, i, v| c.x[i] = v as u64)
        .chain(GENERAL)
        .chain(many(&V, Group::Vector, 128, |c, i| c.v[i], |c, i, v| c.v[i] = v))
        .chain(FP)
        .chain(SYSTEM)
        .chain(debug(&DBGBVR, |c, i| c.sys.dbgbvr[i].into(), |c, i, v| c.sys.dbgbvr[i] = v as u64))
        .chain(debug(&DBGBCR, |c, i| c.sys.dbgbcr[i].into(), |c, i, v| c.sys.dbgbcr[i] = v as u64))
        .chain(debug(&DBGWVR, |c, i| c.sys.dbgwvr[i].into(), |c, i, v| c.sys.dbgwvr[i] = v as u64))
        .chain(debug(&DBGWCR, |c, i| c.sys.dbgwcr[i].into(), |c, i, v| c.sys.dbgwcr[i] = v as u64))
}

impl Cpu {
    /// A register's value by its name.
    pub fn register(&self, name: &str) -> Option<u128> {
        registers().find(|r| r.name == name).map(|r| r.get(self))
    }

    /// Sets a register by its name. False when there is none of this name.
    #[must_use]
    pub fn set_register(&mut self, name: &str, value: u128) -> bool {
        let found = registers().find(|r| r.name == name);
        if let Some(r) = &found {
            r.set(self, value);
        }
        found.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aarch64::regs::Model;

    #[test]
    fn every_register_keeps_what_is_set() {
        let mut cpu = Cpu::new(Model::Max, 0, 3, 0);
        let mut seen = Vec::new();
        for (n, r) in registers().enumerate() {
            assert!(!seen.contains(&r.name), "{} twice", r.name);
            seen.push(r.name);
            let value = match r.name {
                // EL2 with SP_EL2, N, C and all of D, A, I, F.
                "cpsr" => 0xa000_03c9,
                "nzcv" => 0x9000_0000,
                "daif" => 0x2c0,
                "currentel" => 4,
                "spsel" => 1,
                "pan" => psr::PAN.into(),
                "uao" => psr::UAO.into(),
                "ss" => psr::SS.into(),
                "il" => psr::IL.into(),
                "oslsr_el1" => 0xa,
                _ => {
                    (0x1111_2222_3333_4444_5555_6666_7777_8888u128 + n as u128)
                        & (u128::MAX >> (128 - r.bits))
                }
            };
            assert!(cpu.set_register(r.name, value));
            assert_eq!(cpu.register(r.name), Some(value), "{}", r.name);
        }
        assert!(!cpu.set_register("nonsense", 1) && cpu.register("nonsense").is_none());
        assert!(seen.len() > 150, "{}", seen.len());
    }

    /// The stack pointer in use is one of the four.
    #[test]
    fn sp_is_the_levels() {
        let mut cpu = Cpu::new(Model::CortexA53, 0, 2, 0);
        assert!(cpu.set_register("sp", 0x1230) && cpu.register("sp_el2") == Some(0x1230));
        assert!(cpu.set_register("spsel", 0) && cpu.set_register("sp", 0x4560));
        assert_eq!((cpu.register("sp_el0"), cpu.register("sp_el2")), (Some(0x4560), Some(0x1230)));
    }
}
