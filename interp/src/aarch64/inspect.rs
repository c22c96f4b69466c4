//! Registers by name, see [`crate::inspect`].

use super::regs::{Cpu, psr};
pub use crate::inspect::Group;

/// A named register.
pub type Register = crate::inspect::Register<Cpu>;

type Get = fn(&Cpu, usize) -> u128;
type Set = fn(&mut Cpu, usize, u128);

const X: [&str; 31] = [
    "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15",
    "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29", "x30",
];
const V: [&str; 32] = [
    "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15",
    "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30",
    "v31",
];

const fn one(name: &'static str, group: Group, bits: u32, get: Get, set: Set) -> Register {
    Register { name, group, bits, get, set, index: 0 }
}

/// A register of [`super::regs::Sys`].
macro_rules! sys {
    ($name:literal, $($field:tt)+) => {
        one($name, Group::Control, 64, |c, _| c.sys.$($field)+.into(), |c, _, v| c.sys.$($field)+ = v as u64)
    };
}

/// A register that exists at several exception levels: its names from `$first` on.
macro_rules! levels {
    ($field:ident: $first:literal $($name:literal)*) => {
        [$($name),*].into_iter().enumerate().map(|(i, name)| Register {
            name,
            group: Group::Control,
            bits: 64,
            get: |c, el| c.sys.$field[el].into(),
            set: |c, el, v| c.sys.$field[el] = v as u64,
            index: $first + i,
        })
    };
}

/// PSTATE as an SPSR shows it. A level that the CPU does not have is not set.
fn set_pstate(cpu: &mut Cpu, v: u64) {
    let el = (v >> 2 & 3) as u8;
    cpu.nzcv = v & psr::NZCV;
    cpu.daif = v & psr::DAIF;
    cpu.pstate = v & (psr::SS | psr::IL | if cpu.model.features().pan { psr::PAN } else { 0 });
    if el <= cpu.highest {
        cpu.el = el;
        cpu.sp_sel = v & 1 != 0;
    }
}

/// CurrentEL, if the CPU has that level.
fn set_level(cpu: &mut Cpu, el: u8) {
    if el <= cpu.highest {
        cpu.el = el;
    }
}

/// Bits of PSTATE that a system register of their own shows.
macro_rules! pstate {
    ($name:literal, $field:ident, $mask:expr) => {
        one(
            $name,
            Group::Control,
            64,
            |c, _| (c.$field & $mask).into(),
            |c, _, v| c.$field = c.$field & !$mask | v as u64 & $mask,
        )
    };
}

const SINGLE: [Register; 36] = [
    pstate!("nzcv", nzcv, psr::NZCV),
    pstate!("daif", daif, psr::DAIF),
    pstate!("pan", pstate, psr::PAN),
    one(
        "currentel",
        Group::Control,
        64,
        |c, _| u128::from(c.el) << 2,
        |c, _, v| set_level(c, v as u8 >> 2 & 3),
    ),
    one("spsel", Group::Control, 64, |c, _| c.sp_sel.into(), |c, _, v| c.sp_sel = v & 1 != 0),
    sys!("ttbr1_el1", ttbr1),
    sys!("tpidrro_el0", tpidrro),
    sys!("par_el1", par),
    sys!("cpacr_el1", cpacr),
    sys!("csselr_el1", csselr),
    sys!("cntkctl_el1", cntkctl),
    sys!("mdscr_el1", mdscr),
    sys!("mdccint_el1", mdccint),
    sys!("osdlr_el1", osdlr),
    sys!("dbgbvr0_el1", dbgbvr[0]),
    sys!("dbgbcr0_el1", dbgbcr[0]),
    sys!("dbgbvr1_el1", dbgbvr[1]),
    sys!("dbgbcr1_el1", dbgbcr[1]),
    sys!("dbgbvr2_el1", dbgbvr[2]),
    sys!("dbgbcr2_el1", dbgbcr[2]),
    sys!("dbgbvr3_el1", dbgbvr[3]),
    sys!("dbgbcr3_el1", dbgbcr[3]),
    sys!("dbgbvr4_el1", dbgbvr[4]),
    sys!("dbgbcr4_el1", dbgbcr[4]),
    sys!("dbgbvr5_el1", dbgbvr[5]),
    sys!("dbgbcr5_el1", dbgbcr[5]),
    sys!("hcr_el2", hcr),
    sys!("hstr_el2", hstr),
    sys!("hpfar_el2", hpfar),
    sys!("vttbr_el2", vttbr),
    sys!("vtcr_el2", vtcr),
    sys!("vpidr_el2", vpidr),
    sys!("vmpidr_el2", vmpidr),
    sys!("scr_el3", scr),
    one("mpidr_el1", Group::Control, 64, |c, _| (1 << 31 | c.affinity).into(), |_, _, _| {}),
    one("midr_el1", Group::Control, 64, |c, _| c.model.midr().into(), |_, _, _| {}),
];

/// Every register, in the order in which reports list them. MPIDR_EL1 and MIDR_EL1 belong to the model: setting them
/// changes nothing.
pub fn registers() -> impl Iterator<Item = Register> {
    let many = |names: &'static [&'static str], group, bits, get: Get, set: Set| {
        names.iter().enumerate().map(move |(index, &name)| Register { name, group, bits, get, set, index })
    };
    let general = [
        one("sp", Group::General, 64, |c, _| c.sp().into(), |c, _, v| c.set_sp(v as u64)),
        one("pc", Group::General, 64, |c, _| c.pc.into(), |c, _, v| c.pc = v as u64),
        one("pstate", Group::General, 32, |c, _| c.spsr().into(), |c, _, v| set_pstate(c, v as u64)),
    ];
    let status = [
        one("fpsr", Group::Vector, 32, |c, _| c.fpsr.into(), |c, _, v| c.fpsr = v as u32),
        one("fpcr", Group::Vector, 32, |c, _| c.fpcr.into(), |c, _, v| c.fpcr = v as u32),
    ];
    many(&X, Group::General, 64, |c, i| c.x[i].into(), |c, i, v| c.x[i] = v as u64)
        .chain(general)
        .chain(many(&V, Group::Vector, 128, |c, i| c.v[i], |c, i, v| c.v[i] = v))
        .chain(status)
        .chain(levels!(sp: 0 "sp_el0" "sp_el1" "sp_el2" "sp_el3"))
        .chain(levels!(elr: 1 "elr_el1" "elr_el2" "elr_el3"))
        .chain(levels!(spsr: 1 "spsr_el1" "spsr_el2" "spsr_el3"))
        .chain(levels!(esr: 1 "esr_el1" "esr_el2" "esr_el3"))
        .chain(levels!(far: 1 "far_el1" "far_el2" "far_el3"))
        .chain(levels!(afsr0: 1 "afsr0_el1" "afsr0_el2" "afsr0_el3"))
        .chain(levels!(afsr1: 1 "afsr1_el1" "afsr1_el2" "afsr1_el3"))
        .chain(levels!(vbar: 1 "vbar_el1" "vbar_el2" "vbar_el3"))
        .chain(levels!(sctlr: 1 "sctlr_el1" "sctlr_el2" "sctlr_el3"))
        .chain(levels!(actlr: 1 "actlr_el1" "actlr_el2" "actlr_el3"))
        .chain(levels!(ttbr0: 1 "ttbr0_el1" "ttbr0_el2" "ttbr0_el3"))
        .chain(levels!(tcr: 1 "tcr_el1" "tcr_el2" "tcr_el3"))
        .chain(levels!(mair: 1 "mair_el1" "mair_el2" "mair_el3"))
        .chain(levels!(amair: 1 "amair_el1" "amair_el2" "amair_el3"))
        .chain(levels!(tpidr: 0 "tpidr_el0" "tpidr_el1" "tpidr_el2" "tpidr_el3"))
        .chain(levels!(contextidr: 1 "contextidr_el1"))
        .chain(levels!(mdcr: 2 "mdcr_el2" "mdcr_el3"))
        .chain(levels!(cptr: 2 "cptr_el2" "cptr_el3"))
        .chain(levels!(dbgwvr: 0 "dbgwvr0_el1" "dbgwvr1_el1" "dbgwvr2_el1" "dbgwvr3_el1"))
        .chain(levels!(dbgwcr: 0 "dbgwcr0_el1" "dbgwcr1_el1" "dbgwcr2_el1" "dbgwcr3_el1"))
        .chain(SINGLE)
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
        let mut cpu = Cpu::new(Model::MAX, 0, 3, 0);
        let mut seen = Vec::new();
        for (n, r) in registers().enumerate() {
            assert!(!seen.contains(&r.name), "{} twice", r.name);
            seen.push(r.name);
            let value = match r.name {
                "pstate" => u128::from(psr::N | psr::V | psr::I | psr::PAN | 0b0101),
                "mpidr_el1" | "midr_el1" => continue,
                "nzcv" => psr::Z.into(),
                "daif" => (psr::D | psr::F).into(),
                "pan" => psr::PAN.into(),
                "currentel" => 4,
                "spsel" => 1,
                _ => {
                    (0x1111_2222_3333_4444_5555_6666_7777_8888u128 + n as u128)
                        & (u128::MAX >> (128 - r.bits))
                }
            };
            assert!(cpu.set_register(r.name, value));
            assert_eq!(cpu.register(r.name), Some(value), "{}", r.name);
        }
        assert!(!cpu.set_register("nonsense", 1) && cpu.register("nonsense").is_none());
        assert!(seen.len() > 120, "{}", seen.len());
    }
}
