//! Memory operands: the TLB's hit path, and everything beside it.

use super::exec::{Exec, Trap, class};
use super::mmu::{Translation, key, status};
use super::regs::sctlr;
use crate::mem::{PAGE_SIZE, Place, attr};
use crate::probe::What;
use crate::tlb::Access;

impl Exec<'_> {
    /// Loads `size` (1, 2, 4, 8, 16) bytes in the current byte order.
    ///
    /// # Errors
    /// The access's abort.
    #[inline(always)]
    pub fn load(&mut self, va: u64, size: u8) -> Result<u128, Trap> {
        let e = self.tlb.entry(va, Access::Read);
        let d = va.wrapping_sub(e.tag);
        let v = if d <= PAGE_SIZE - u64::from(size) && !self.strict(va, size) {
            let o = (e.offset + d) as usize;
            match self.mem.bytes().get(o..o + usize::from(size)) {
                Some(b) => from_bytes(b),
                None => self.load_slow(va, size, false)?,
            }
        } else {
            self.load_slow(va, size, false)?
        };
        Ok(self.ordered(v, size))
    }

    /// Stores `size` bytes in the current byte order.
    ///
    /// # Errors
    /// The access's abort.
    #[inline(always)]
    pub fn store(&mut self, va: u64, size: u8, v: u128) -> Result<(), Trap> {
        let v = self.ordered(v, size);
        let e = self.tlb.entry(va, Access::Write);
        let d = va.wrapping_sub(e.tag);
        if d <= PAGE_SIZE - u64::from(size) && !self.strict(va, size) {
            let o = (e.offset + d) as usize;
            if let Some(b) = self.mem.bytes_mut().get_mut(o..o + usize::from(size)) {
                b.copy_from_slice(&v.to_le_bytes()[..usize::from(size)]);
                return Ok(());
            }
        }
        self.store_slow(va, size, v, false)
    }

    /// Loads with EL0's rights (LDTR).
    ///
    /// # Errors
    /// The access's abort.
    pub fn load_unprivileged(&mut self, va: u64, size: u8) -> Result<u128, Trap> {
        let v = self.load_slow(va, size, true)?;
        Ok(self.ordered(v, size))
    }

    /// Stores with EL0's rights (STTR).
    ///
    /// # Errors
    /// The access's abort.
    pub fn store_unprivileged(&mut self, va: u64, size: u8, v: u128) -> Result<(), Trap> {
        let v = self.ordered(v, size);
        self.store_slow(va, size, v, true)
    }

    /// Loads a pair of registers of `size` bytes each: nothing is loaded when either faults.
    ///
    /// # Errors
    /// The access's abort.
    #[inline(always)]
    pub fn load_pair(&mut self, va: u64, size: u8) -> Result<(u128, u128), Trap> {
        let first = self.load(va, size)?;
        let second = self.load(va.wrapping_add(size.into()), size)?;
        Ok((first, second))
    }

    /// Stores a pair of registers; nothing is stored when either part faults.
    ///
    /// # Errors
    /// The access's abort.
    #[inline(always)]
    pub fn store_pair(&mut self, va: u64, size: u8, a: u128, b: u128) -> Result<(), Trap> {
        let next = va.wrapping_add(size.into());
        if va % PAGE_SIZE > PAGE_SIZE - 2 * u64::from(size) {
            self.check_store(next.wrapping_add(u64::from(size) - 1))?;
            self.check_store(next)?;
            self.check_store(va)?;
        }
        self.watchpoint(va, 2 * size, Access::Write, false)?;
        self.store(va, size, a)?;
        self.store(next, size, b)
    }

    /// Checks that the byte at `va` can be stored to.
    ///
    /// # Errors
    /// The abort that the store would raise.
    pub fn check_store(&mut self, va: u64) -> Result<(), Trap> {
        self.translate(false, va, Access::Write).map(|_| ())
    }

    #[inline(always)]
    fn ordered(&self, v: u128, size: u8) -> u128 {
        if self.cpu.big_endian() { v.swap_bytes() >> (128 - 8 * u32::from(size)) } else { v }
    }

    /// SCTLR.A: misaligned accesses fault.
    #[inline(always)]
    fn strict(&self, va: u64, size: u8) -> bool {
        va & (u64::from(size) - 1) != 0 && self.cpu.sctlr() & sctlr::A != 0
    }

    /// The alignment fault of an access.
    pub fn misaligned(&self, va: u64, access: Access) -> Trap {
        self.abort(va, access, status::ALIGNMENT)
    }

    /// Checks SP's alignment before an access through it (D1.8.2).
    ///
    /// # Errors
    /// The stack pointer alignment fault.
    #[inline(always)]
    pub fn check_sp(&self, n: u8) -> Result<(), Trap> {
        if n != 31 || self.cpu.sp() & 15 == 0 {
            return Ok(());
        }
        let bit = if self.cpu.el == 0 { sctlr::SA0 } else { sctlr::SA };
        if self.cpu.sctlr() & bit != 0 { Err(Trap::new(class::SP_ALIGNMENT, 0)) } else { Ok(()) }
    }

    /// The pages of an access; both are translated before anything is done.
    fn pieces(
        &mut self,
        va: u64,
        size: u8,
        access: Access,
        unprivileged: bool,
    ) -> Result<(Translation, u8, Option<Translation>), Trap> {
        if self.strict(va, size) {
            return Err(self.misaligned(va, access));
        }
        let first = self.translate(unprivileged, va, access)?;
        if first.device && va & (u64::from(size) - 1) != 0 {
            return Err(self.misaligned(va, access));
        }
        let room = PAGE_SIZE - va % PAGE_SIZE;
        if u64::from(size) <= room {
            self.watchpoint(va, size, access, unprivileged)?;
            return Ok((first, size, None));
        }
        let second = self.translate(unprivileged, va.wrapping_add(room), access)?;
        self.watchpoint(va, size, access, unprivileged)?;
        Ok((first, room as u8, Some(second)))
    }

    #[inline(never)]
    fn load_slow(&mut self, va: u64, size: u8, unprivileged: bool) -> Result<u128, Trap> {
        let (first, split, second) = self.pieces(va, size, Access::Read, unprivileged)?;
        match second {
            None if size == 16 => {
                let low = self.read_place(first, 8);
                Ok(u128::from(self.read_place(step(first, 8), 8)) << 64 | u128::from(low))
            }
            None => Ok(self.read_place(first, size).into()),
            Some(second) => {
                let mut v = 0;
                for i in 0..size {
                    let t = if i < split { step(first, i) } else { step(second, i - split) };
                    v |= u128::from(self.read_place(t, 1)) << (8 * i);
                }
                Ok(v)
            }
        }
    }

    #[inline(never)]
    fn store_slow(&mut self, va: u64, size: u8, v: u128, unprivileged: bool) -> Result<(), Trap> {
        if !unprivileged
            && size <= 8
            && !self.strict(va, size)
            && let Some(offset) = self.tlb.barred(va, size)
        {
            self.store_at(offset, size, v as u64);
            self.tlb.fill_stored(self.mem, va, offset);
            return Ok(());
        }
        let (first, split, second) = self.pieces(va, size, Access::Write, unprivileged)?;
        match second {
            None if size == 16 => {
                self.write_place(first, 8, v as u64);
                self.write_place(step(first, 8), 8, (v >> 64) as u64);
            }
            None => self.write_place(first, size, v as u64),
            Some(second) => {
                for i in 0..size {
                    let t = if i < split { step(first, i) } else { step(second, i - split) };
                    self.write_place(t, 1, (v >> (8 * i)) as u64 & 0xff);
                }
                return Ok(());
            }
        }
        // The permission is cached after the store passed the barrier.
        let tagged = va >> 48 != 0 && va >> 48 != 0xffff;
        if first.write_ok
            && !first.device
            && !tagged
            && let Place::Ram(o) = first.place
        {
            let own = self.tlb.current();
            if unprivileged && self.cpu.el != 0 {
                let Some(space) = self.tlb.find(&key(self.cpu, true)) else { return Ok(()) };
                self.tlb.set_current(space);
            }
            self.tlb.fill_stored(self.mem, va, o);
            self.tlb.set_current(own);
        }
        Ok(())
    }

    fn read_place(&mut self, t: Translation, size: u8) -> u64 {
        match t.place {
            Place::Ram(o) | Place::Rom(o) => {
                if self.mem.attrs(o) & attr::WATCH != 0 {
                    self.mem.barrier_read(o, size.into());
                    self.attention |= self.mem.has_hits();
                }
                self.mem.value(o, size)
            }
            Place::Bus => {
                let at = self.at();
                let value = self.bus.mmio_read(self.mem, at, t.phys, size);
                self.event(What::Mmio { addr: t.phys, size, write: false, value });
                self.after_bus();
                value
            }
        }
    }

    fn write_place(&mut self, t: Translation, size: u8, v: u64) {
        match t.place {
            Place::Ram(o) => self.store_at(o, size, v),
            Place::Rom(_) | Place::Bus => {
                let at = self.at();
                self.bus.mmio_write(self.mem, at, t.phys, size, v);
                self.event(What::Mmio { addr: t.phys, size, write: true, value: v });
                self.after_bus();
            }
        }
    }
}

/// A translation of the byte `by` further on in the same page.
fn step(t: Translation, by: u8) -> Translation {
    let by = u64::from(by);
    let place = match t.place {
        Place::Ram(o) => Place::Ram(o + by),
        Place::Rom(o) => Place::Rom(o + by),
        Place::Bus => Place::Bus,
    };
    Translation { phys: t.phys + by, place, ..t }
}

#[inline(always)]
fn from_bytes(b: &[u8]) -> u128 {
    let mut a = [0; 16];
    a[..b.len()].copy_from_slice(b);
    u128::from_le_bytes(a)
}
