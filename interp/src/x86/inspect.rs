//! Registers by name, see [`crate::inspect`].

use super::regs::{Cpu, Segment, seg};
pub use crate::inspect::Group;

/// A named register.
pub type Register = crate::inspect::Register<Cpu>;

const GPRS: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15",
];
const SEGMENTS: [&str; 8] = ["es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"];
const BASES: [&str; 8] =
    ["es_base", "cs_base", "ss_base", "ds_base", "fs_base", "gs_base", "ldtr_base", "tr_base"];
const LIMITS: [&str; 8] =
    ["es_limit", "cs_limit", "ss_limit", "ds_limit", "fs_limit", "gs_limit", "ldtr_limit", "tr_limit"];
const RIGHTS: [&str; 8] =
    ["es_flags", "cs_flags", "ss_flags", "ds_flags", "fs_flags", "gs_flags", "ldtr_flags", "tr_flags"];
const DEBUG: [(&str, usize); 6] = [("dr0", 0), ("dr1", 1), ("dr2", 2), ("dr3", 3), ("dr6", 6), ("dr7", 7)];
const STACK: [&str; 8] = ["st0", "st1", "st2", "st3", "st4", "st5", "st6", "st7"];
const XMM: [&str; 16] = [
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
    "xmm12", "xmm13", "xmm14", "xmm15",
];

type Get = fn(&Cpu, usize) -> u128;
type Set = fn(&mut Cpu, usize, u128);

const fn one(name: &'static str, group: Group, bits: u32, get: Get, set: Set) -> Register {
    Register { name, group, bits, get, set, index: 0 }
}

macro_rules! field {
    ($name:literal, $group:ident, $bits:literal, $($field:tt)+) => {
        one($name, Group::$group, $bits, |c, _| c.$($field)+.into(), |c, _, v| c.$($field)+ = v as _)
    };
}

const SINGLE: [Register; 39] = [
    one("rip", Group::General, 64, |c, _| c.rip().into(), |c, _, v| c.set_rip(v as u64)),
    one("rflags", Group::General, 32, |c, _| c.rflags().into(), |c, _, v| c.set_rflags(v as u64)),
    field!("gdtr_base", Segment, 64, gdtr.base),
    field!("gdtr_limit", Segment, 16, gdtr.limit),
    field!("idtr_base", Segment, 64, idtr.base),
    field!("idtr_limit", Segment, 16, idtr.limit),
    one("cpl", Group::Segment, 8, |c, _| c.cpl.into(), |c, _, v| c.cpl = v as u8 & 3),
    field!("cr0", Control, 64, cr0),
    field!("cr2", Control, 64, cr2),
    field!("cr3", Control, 64, cr3),
    field!("cr4", Control, 64, cr4),
    field!("xcr0", Control, 64, xcr0),
    field!("efer", Model, 64, msrs.efer),
    field!("star", Model, 64, msrs.star),
    field!("lstar", Model, 64, msrs.lstar),
    field!("cstar", Model, 64, msrs.cstar),
    field!("fmask", Model, 64, msrs.fmask),
    field!("kernel_gs_base", Model, 64, msrs.kernel_gs_base),
    field!("tsc_aux", Model, 64, msrs.tsc_aux),
    field!("tsc_offset", Model, 64, msrs.tsc_offset),
    field!("tsc_adjust", Model, 64, msrs.tsc_adjust),
    field!("sysenter_cs", Model, 64, msrs.sysenter_cs),
    field!("sysenter_esp", Model, 64, msrs.sysenter_esp),
    field!("sysenter_eip", Model, 64, msrs.sysenter_eip),
    field!("pat", Model, 64, msrs.pat),
    field!("mtrr_def_type", Model, 64, msrs.mtrr_def_type),
    field!("misc_enable", Model, 64, msrs.misc_enable),
    field!("mcg_status", Model, 64, msrs.mcg_status),
    field!("mcg_ctl", Model, 64, msrs.mcg_ctl),
    field!("spec_ctrl", Model, 64, msrs.spec_ctrl),
    field!("fctrl", X87, 16, x87.control),
    field!("fstat", X87, 16, x87.status),
    one("ftag", Group::X87, 16, |c, _| full_tags(c).into(), |c, _, v| c.x87.used = used_of_tags(v as u16)),
    field!("fiseg", X87, 16, x87.ip_selector),
    field!("fioff", X87, 64, x87.ip),
    field!("foseg", X87, 16, x87.dp_selector),
    field!("fooff", X87, 64, x87.dp),
    one("fop", Group::X87, 16, |c, _| c.x87.opcode.into(), |c, _, v| c.x87.opcode = v as u16 & 0x7ff),
    field!("mxcsr", Vector, 32, mxcsr),
];

/// Every register, in the order in which reports list them.
pub fn registers() -> impl Iterator<Item = Register> {
    let many = |names: &'static [&'static str], group, bits, get: Get, set: Set| {
        names.iter().enumerate().map(move |(index, &name)| Register { name, group, bits, get, set, index })
    };
    many(&GPRS, Group::General, 64, |c, i| c.regs[i].into(), |c, i, v| c.regs[i] = v as u64)
        .chain(SINGLE)
        .chain(many(
            &SEGMENTS,
            Group::General,
            16,
            |c, i| c.segs[i].selector.into(),
            |c, i, v| set_selector(c, i, v as u16),
        ))
        .chain(many(
            &BASES,
            Group::Segment,
            64,
            |c, i| c.segs[i].base.into(),
            |c, i, v| {
                c.segs[i].base = v as u64;
            },
        ))
        .chain(many(
            &LIMITS,
            Group::Segment,
            32,
            |c, i| c.segs[i].limit.into(),
            |c, i, v| {
                c.segs[i].limit = v as u32;
            },
        ))
        .chain(many(
            &RIGHTS,
            Group::Segment,
            16,
            |c, i| c.segs[i].rights.into(),
            |c, i, v| {
                c.segs[i].rights = v as u16;
            },
        ))
        .chain(DEBUG.into_iter().map(|(name, index)| Register {
            name,
            group: Group::Control,
            bits: 64,
            get: |c, i| c.dr[i].into(),
            set: |c, i, v| c.dr[i] = v as u64,
            index,
        }))
        .chain(many(&STACK, Group::X87, 80, stack_get, stack_set))
        .chain(many(&XMM, Group::Vector, 128, |c, i| c.vectors[i].xmm(), |c, i, v| c.vectors[i].set_xmm(v)))
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

/// A selector written by a debugger: in real and virtual-8086 mode the base follows it, as a load
/// would have it; elsewhere the hidden part stays.
fn set_selector(cpu: &mut Cpu, index: usize, selector: u16) {
    let real = cpu.real_segments() && index <= usize::from(seg::GS);
    let s: &mut Segment = &mut cpu.segs[index];
    s.selector = selector;
    if real {
        s.base = u64::from(selector) << 4;
    }
}

fn physical(cpu: &Cpu, i: usize) -> usize {
    (usize::from(cpu.x87.status >> 11) + i) & 7
}

fn stack_get(cpu: &Cpu, i: usize) -> u128 {
    let r = physical(cpu, i);
    u128::from(cpu.x87.sign_exp[r]) << 64 | u128::from(cpu.x87.mantissa[r])
}

fn stack_set(cpu: &mut Cpu, i: usize, v: u128) {
    let r = physical(cpu, i);
    cpu.x87.mantissa[r] = v as u64;
    cpu.x87.sign_exp[r] = (v >> 64) as u16;
}

/// The tag word as FNSAVE stores it (SDM volume 1, section 8.1.7).
fn full_tags(cpu: &Cpu) -> u16 {
    (0..8).fold(0, |tags, r| {
        let (m, e) = (cpu.x87.mantissa[r], cpu.x87.sign_exp[r] & 0x7fff);
        let tag = match () {
            () if cpu.x87.used >> r & 1 == 0 => 3,
            () if e == 0 && m == 0 => 1,
            () if e == 0 || e == 0x7fff || m >> 63 == 0 => 2,
            () => 0,
        };
        tags | tag << (2 * r)
    })
}

fn used_of_tags(tags: u16) -> u8 {
    (0..8).fold(0, |used, r| used | u8::from(tags >> (2 * r) & 3 != 3) << r)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x86::model::Model;

    #[test]
    fn every_register_keeps_what_is_set() {
        let mut cpu = Cpu::new(Model::Max, 0, true);
        let mut seen = Vec::new();
        for (n, r) in registers().enumerate() {
            assert!(!seen.contains(&r.name), "{} twice", r.name);
            seen.push(r.name);
            let value = match r.name {
                "rflags" => 0xcd7,
                "cpl" => 3,
                "fop" => 0x123,
                "ftag" => 0xffff,
                // TOP stays 0 for the stack registers' sake.
                "fstat" => 0x41,
                _ => {
                    (0x1111_2222_3333_4444_5555_6666_7777_8888u128 + n as u128)
                        & (u128::MAX >> (128 - r.bits))
                }
            };
            assert!(cpu.set_register(r.name, value));
            assert_eq!(cpu.register(r.name), Some(value), "{}", r.name);
        }
        assert!(!cpu.set_register("nonsense", 1) && cpu.register("nonsense").is_none());
        assert!(seen.len() > 100, "{}", seen.len());
    }
}
