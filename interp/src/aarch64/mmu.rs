//! Stage 1 translation (D8): two regions below EL2, one from EL2 on; granules of 4, 16 and 64 KiB.

use super::exec::{Exec, Trap, class};
use super::regs::{Cpu, psr, sctlr};
use crate::mem::{Memory, PhysAddr, Place, attr};
use crate::tlb::{Access, Key};

/// Bits of [`Key::mode`].
mod mode {
    pub const MMU: u32 = 1 << 0;
    pub const WXN: u32 = 1 << 1;
    /// The accesses are unprivileged.
    pub const USER: u32 = 1 << 2;
    pub const PAN: u32 = 1 << 3;
    /// Translation tables are big-endian.
    pub const EE: u32 = 1 << 4;
    /// The exception level whose registers translate, at bit 8.
    pub const EL: u32 = 8;
}

/// Fault status codes (ESR_ELx.ISS.DFSC), to which the level is added.
pub mod status {
    #![allow(missing_docs, reason = "the names are the manual's")]
    pub const ADDRESS_SIZE: u32 = 0x00;
    pub const TRANSLATION: u32 = 0x04;
    pub const ACCESS_FLAG: u32 = 0x08;
    pub const PERMISSION: u32 = 0x0c;
    pub const EXTERNAL: u32 = 0x10;
    pub const EXTERNAL_WALK: u32 = 0x14;
    pub const ALIGNMENT: u32 = 0x21;
}

/// What accesses are translated by. `unprivileged`: those of LDTR and STTR, and of EL0.
pub fn key(cpu: &Cpu, unprivileged: bool) -> Key {
    let el = cpu.el.max(1);
    let i = usize::from(el & 3);
    let s = cpu.sys.sctlr[i];
    let user = unprivileged || cpu.el == 0;
    let mut m = u32::from(el) << mode::EL;
    let mut set = |condition: bool, bit: u32| {
        if condition {
            m |= bit;
        }
    };
    set(user, mode::USER);
    if s & sctlr::M == 0 {
        return Key { mode: m, ..Key::default() };
    }
    set(true, mode::MMU);
    set(s & sctlr::WXN != 0, mode::WXN);
    set(s & sctlr::EE != 0, mode::EE);
    set(!user && cpu.pstate & psr::PAN != 0, mode::PAN);
    let ttbr1 = if el == 1 { cpu.sys.ttbr1 } else { 0 };
    // The ASID is no part of it: entries are tagged by the tables themselves.
    let root = |v: u64| v & 0x0000_ffff_ffff_fffe;
    Key { root: root(cpu.sys.ttbr0[i]), more: [root(ttbr1), cpu.sys.tcr[i], cpu.sys.mair[i], 0], mode: m }
}

/// A translation that was found.
#[derive(Clone, Copy, Debug)]
pub struct Translation {
    /// The physical address of the byte that was asked for.
    pub phys: PhysAddr,
    /// What lies there.
    pub place: Place,
    /// Stores are allowed too.
    pub write_ok: bool,
    /// Device memory: accesses must be aligned.
    pub device: bool,
}

#[derive(Clone, Copy, Default)]
struct Step {
    offset: u64,
    span: u32,
}

struct Found {
    translation: Translation,
    steps: [Step; 4],
    n: usize,
}

/// The fault status code of a walk that failed.
struct Fault(u32);

/// The regions' geometry (D8.2).
struct Region {
    /// Bits of input address.
    bits: u32,
    /// Binary logarithm of the granule.
    granule: u32,
    table: u64,
    /// The top byte is ignored.
    tbi: bool,
    /// Walks are disabled.
    disabled: bool,
    /// Hierarchical permissions count.
    output_bits: u32,
}

/// Physical address sizes by TCR_ELx.IPS and PS.
fn output_bits(code: u64) -> u32 {
    [32, 36, 40, 42, 44, 48, 48, 48][(code & 7) as usize]
}

fn region(key: &Key, va: u64) -> Region {
    let el = key.mode >> mode::EL & 3;
    let [ttbr1, tcr, ..] = key.more;
    if el == 1 {
        let high = va >> 55 & 1 != 0;
        let output_bits = output_bits(tcr >> 32);
        if high {
            let granule = match tcr >> 30 & 3 {
                1 => 14,
                3 => 16,
                _ => 12,
            };
            let (tbi, disabled) = (tcr >> 38 & 1 != 0, tcr >> 23 & 1 != 0);
            Region { bits: 64 - (tcr >> 16 & 63) as u32, granule, table: ttbr1, tbi, disabled, output_bits }
        } else {
            let (tbi, disabled) = (tcr >> 37 & 1 != 0, tcr >> 7 & 1 != 0);
            let granule = granule0(tcr);
            Region { bits: 64 - (tcr & 63) as u32, granule, table: key.root, tbi, disabled, output_bits }
        }
    } else {
        Region {
            bits: 64 - (tcr & 63) as u32,
            granule: granule0(tcr),
            table: key.root,
            tbi: tcr >> 20 & 1 != 0,
            disabled: false,
            output_bits: output_bits(tcr >> 16),
        }
    }
}

fn granule0(tcr: u64) -> u32 {
    match tcr >> 14 & 3 {
        1 => 16,
        2 => 14,
        _ => 12,
    }
}

/// The address without its tag, when the top byte is ignored.
fn untag(va: u64, tbi: bool) -> u64 {
    if tbi { (va << 8) as i64 as u64 >> 8 | if va >> 55 & 1 != 0 { 0xff << 56 } else { 0 } } else { va }
}

/// Translates with no side effect, as EL1 (or the current higher level) would, for a debugger.
pub fn probe(cpu: &Cpu, mem: &Memory, va: u64) -> Option<PhysAddr> {
    let key = key(cpu, false);
    let key = Key { mode: key.mode & !(mode::USER | mode::PAN), ..key };
    find(cpu, mem, &key, va, Access::Read).ok().map(|f| f.translation.phys)
}

/// A table's descriptor and its place.
fn descriptor(mem: &Memory, addr: PhysAddr, big: bool) -> Option<(u64, u64)> {
    match mem.place(addr) {
        Place::Ram(o) | Place::Rom(o) => {
            let v = mem.value(o, 8);
            Some((if big { v.swap_bytes() } else { v }, o))
        }
        Place::Bus => None,
    }
}

fn find(cpu: &Cpu, mem: &Memory, key: &Key, va: u64, access: Access) -> Result<Found, Fault> {
    let m = key.mode;
    let pa_bits = if cpu.model == super::regs::Model::CortexA53 { 40 } else { 44 };
    let mut steps = [Step::default(); 4];
    if m & mode::MMU == 0 {
        // Addresses beyond the physical size fault at level 0 (D8.2.10).
        let r = region(key, va);
        let phys = untag(va, r.tbi) & !(if r.tbi { 0xff << 56 } else { 0 });
        if phys >> pa_bits != 0 {
            return Err(Fault(status::ADDRESS_SIZE));
        }
        let place = mem.place(phys);
        let device = access != Access::Fetch;
        let translation = Translation { phys, place, write_ok: true, device };
        return Ok(Found { translation, steps, n: 0 });
    }
    let r = region(key, va);
    let min_bits = 25;
    let max_bits = 48;
    let bits = r.bits.clamp(min_bits, max_bits);
    let address = untag(va, r.tbi);
    let top = (address as i64 >> bits) as u64;
    let expected = if (m >> mode::EL & 3) == 1 && address >> 55 & 1 != 0 { u64::MAX } else { 0 };
    let stride = r.granule - 3;
    let levels = (bits - r.granule).div_ceil(stride);
    let start = 4 - levels;
    if top != expected || r.disabled {
        return Err(Fault(status::TRANSLATION));
    }
    let output = r.output_bits.min(pa_bits);
    let mut table = r.table & !((1u64 << r.granule.min(6)) - 1);
    if table >> output != 0 {
        return Err(Fault(status::ADDRESS_SIZE));
    }
    let big = m & mode::EE != 0;
    let mut level = start;
    let mut n = 0;
    // Hierarchical limits: no EL0 access, read-only, PXN, UXN.
    let (mut no_user, mut read_only, mut pxn, mut uxn) = (false, false, false, false);
    let (entry, span) = loop {
        let span = r.granule + stride * (3 - level);
        let index_bits = if level == start { bits - span } else { stride };
        let index = address >> span & ((1 << index_bits) - 1);
        if level == start {
            // The first table is aligned to its size.
            table &= !((8u64 << index_bits) - 1);
        }
        let Some((d, offset)) = descriptor(mem, table + index * 8, big) else {
            return Err(Fault(status::EXTERNAL_WALK + level));
        };
        steps[n] = Step { offset, span };
        n += 1;
        if d & 1 == 0 {
            return Err(Fault(status::TRANSLATION + level));
        }
        let is_table = d & 2 != 0 && level < 3;
        if is_table {
            let next = d & ((1 << 48) - (1 << r.granule));
            if next >> output != 0 {
                return Err(Fault(status::ADDRESS_SIZE + level));
            }
            no_user |= d >> 61 & 1 != 0;
            read_only |= d >> 62 & 1 != 0;
            pxn |= d >> 59 & 1 != 0;
            uxn |= d >> 60 & 1 != 0;
            table = next;
            level += 1;
            continue;
        }
        let block_ok = match r.granule {
            12 => level == 1 || level == 2,
            _ => level == 2,
        };
        if level < 3 && !block_ok || level == 3 && d & 2 == 0 {
            return Err(Fault(status::TRANSLATION + level));
        }
        break (d, span);
    };
    let base = entry & ((1 << 48) - 1) & !((1u64 << span) - 1);
    if base >> output != 0 {
        return Err(Fault(status::ADDRESS_SIZE + level));
    }
    if entry >> 10 & 1 == 0 {
        return Err(Fault(status::ACCESS_FLAG + level));
    }
    let el = m >> mode::EL & 3;
    let user_region = el == 1;
    let ap = entry >> 6 & 3;
    let user_access = user_region && ap & 1 != 0 && !no_user;
    let writable = ap & 2 == 0 && !read_only;
    let (user, fetch, write) = (m & mode::USER != 0, access == Access::Fetch, access == Access::Write);
    let xn = entry >> 54 & 1 != 0 || uxn;
    let privileged_xn = if user_region {
        // What EL0 may write is never executable at EL1.
        entry >> 53 & 1 != 0 || pxn || user_access && writable
    } else {
        xn
    };
    let wxn = m & mode::WXN != 0 && writable;
    let allowed = if user {
        if fetch {
            !xn && user_access_fetch(user_access, ap) && !wxn
        } else {
            user_access && (!write || writable)
        }
    } else if fetch {
        !privileged_xn && !wxn
    } else {
        !(m & mode::PAN != 0 && user_access) && (!write || writable)
    };
    if !allowed {
        return Err(Fault(status::PERMISSION + level));
    }
    let phys = base | address & ((1 << span) - 1);
    let mair = key.more[2] >> (8 * (entry >> 2 & 7)) & 0xff;
    let write_ok = writable && (!user || user_access);
    let translation = Translation { phys, place: mem.place(phys), write_ok, device: mair & 0xf0 == 0 };
    Ok(Found { translation, steps, n })
}

/// EL0 fetches need no more than that the page is not execute-never: pages without EL0 data access
/// may still be executed (execute-only, D8.4.1).
fn user_access_fetch(_user_access: bool, _ap: u64) -> bool {
    true
}

impl Exec<'_> {
    /// The exception for a fault with status `code` at `va`. `ISS` as in D19.2.37.
    pub(super) fn abort(&self, va: u64, access: Access, code: u32) -> Trap {
        let same = self.cpu.el > 0;
        let class = match (access == Access::Fetch, same) {
            (true, false) => class::INSTRUCTION_ABORT_LOWER,
            (true, true) => class::INSTRUCTION_ABORT,
            (false, false) => class::DATA_ABORT_LOWER,
            (false, true) => class::DATA_ABORT,
        };
        let wnr = u32::from(access == Access::Write) << 6;
        Trap::Exception { class, iss: code | wnr, far: Some(va) }
    }

    /// Translates for an access and caches the result.
    ///
    /// # Errors
    /// The abort.
    pub fn translate(&mut self, unprivileged: bool, va: u64, access: Access) -> Result<Translation, Trap> {
        let key = key(self.cpu, unprivileged);
        let Found { translation: t, steps, n } = match find(self.cpu, self.mem, &key, va, access) {
            Ok(found) => found,
            Err(Fault(code)) => return Err(self.abort(va, access, code)),
        };
        let offset = match t.place {
            Place::Ram(o) => o,
            Place::Rom(o) if access != Access::Write => o,
            _ => return Ok(t),
        };
        // Device memory must be aligned: never by the fast path. A tagged address is not cached.
        let tagged = va >> 48 != 0 && va >> 48 != 0xffff;
        if t.device && access != Access::Fetch || tagged {
            return Ok(t);
        }
        let own = self.tlb.current();
        if unprivileged && self.cpu.el != 0 {
            // It belongs to EL0's space, if there is one.
            let Some(space) = self.tlb.find(&key) else { return Ok(t) };
            self.tlb.set_current(space);
        }
        self.tlb.note_walk(self.mem, va, 3, steps[..n].iter().map(|s| (s.offset, s.span)));
        let watched = access == Access::Read && self.mem.attrs(offset) & attr::WATCH != 0;
        if access != Access::Write && !watched {
            self.tlb.fill(va, access, offset);
        }
        self.tlb.set_current(own);
        Ok(t)
    }

    /// AT: translates for PAR_EL1 (D19.2.108). `Err` is the fault status code.
    pub(super) fn address_translate(
        &mut self,
        el0: bool,
        write: bool,
        va: u64,
    ) -> Result<(PhysAddr, u64), u32> {
        let mut key = key(self.cpu, el0);
        if !el0 {
            key.mode &= !mode::USER;
        }
        let access = if write { Access::Write } else { Access::Read };
        match find(self.cpu, self.mem, &key, va, access) {
            Ok(found) => {
                let attributes = if found.translation.device { 0 } else { 0xff };
                Ok((found.translation.phys, attributes))
            }
            Err(Fault(code)) => Err(code),
        }
    }

    /// The address that a branch to `target` reaches: without its tag (`BranchAddr`).
    pub fn branch_target(&self, target: u64) -> u64 {
        let el = self.cpu.el.max(1);
        let tcr = self.cpu.sys.tcr[usize::from(el & 3)];
        let tbi = if el == 1 { tcr >> (37 + (target >> 55 & 1)) & 1 } else { tcr >> 20 & 1 };
        match tbi {
            0 => target,
            _ if el == 1 => untag(target, true),
            _ => target & !(0xff << 56),
        }
    }
}
