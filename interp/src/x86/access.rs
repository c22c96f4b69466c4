//! Memory operands: segmentation, the TLB's hit path, and everything beside it.

use super::exec::Exec;
use super::mmu::{Rights, Translation};
use super::op::Op;
use super::regs::{gpr, right, seg};
use super::tlb::Access;
use super::trap::Trap;
use super::word::Word;
use crate::mem::{PAGE_SIZE, Place, attr};
use crate::probe::What;

/// The linear pieces of an access that crosses a page, or the one piece of one that does not.
struct Pieces {
    first: Translation,
    /// Bytes in the first piece.
    split: u8,
    second: Option<Translation>,
}

impl Exec<'_> {
    /// The linear address of `size` bytes at `off` in segment `s`, checked against the
    /// segment's type and limit (SDM volume 3, sections 5.3 to 5.5); canonicality is checked
    /// where the address misses the TLB.
    ///
    /// # Errors
    /// #SS(0) for the stack segment, else #GP(0).
    #[inline(always)]
    pub fn linear(&self, s: u8, off: u64, size: u64, write: bool) -> Result<u64, Trap> {
        if self.cpu.mode64() {
            return Ok(if s >= seg::FS { off.wrapping_add(self.cpu.seg(s).base) } else { off });
        }
        self.linear_legacy(s, off, size, write)
    }

    #[inline]
    fn linear_legacy(&self, s: u8, off: u64, size: u64, write: bool) -> Result<u64, Trap> {
        let segment = self.cpu.seg(s);
        let r = segment.rights;
        // Flat data segments are by far the most common.
        let plain = right::P | right::S | right::RW;
        let type_ok = if r & (plain | right::CODE) == plain {
            true
        } else if self.cpu.real_segments() {
            // Only limits are checked in real and virtual-8086 mode.
            true
        } else {
            let readable = r & right::CODE == 0 || r & right::RW != 0;
            let writable = r & right::CODE == 0 && r & right::RW != 0;
            r & right::P != 0 && if write { writable } else { readable }
        };
        let (lo, hi) = if r & (right::CODE | right::DC) == right::DC || r & right::P == 0 {
            segment.bounds()
        } else {
            (0, segment.limit)
        };
        let last = off.wrapping_add(size - 1);
        if !type_ok || off < u64::from(lo) || last > u64::from(hi) || last < off {
            return Err(if s == seg::SS { Trap::SS } else { Trap::GP });
        }
        Ok(segment.base.wrapping_add(off) & 0xffff_ffff)
    }

    /// The linear address of the memory operand of `op`.
    ///
    /// # Errors
    /// See [`Exec::linear`].
    #[inline(always)]
    pub fn operand(&self, op: &Op, size: u64, write: bool) -> Result<u64, Trap> {
        self.linear(op.seg, self.ea(op), size, write)
    }

    /// Loads the memory operand.
    ///
    /// # Errors
    /// The access's fault.
    #[inline(always)]
    pub fn load<T: Word>(&mut self, op: &Op) -> Result<T, Trap> {
        let lin = self.operand(op, T::BYTES.into(), false)?;
        self.read_lin(op.seg, lin)
    }

    /// Stores to the memory operand.
    ///
    /// # Errors
    /// The access's fault.
    #[inline(always)]
    pub fn store<T: Word>(&mut self, op: &Op, v: T) -> Result<(), Trap> {
        let lin = self.operand(op, T::BYTES.into(), true)?;
        self.write_lin(op.seg, lin, v)
    }

    /// Reads the memory operand, checked for writing, hands it to `f` and stores its result. `f`
    /// runs only when the access cannot fault any more.
    ///
    /// # Errors
    /// The access's fault.
    #[inline(always)]
    pub fn modify<T: Word>(&mut self, op: &Op, f: impl FnOnce(&mut Self, T) -> T) -> Result<(), Trap> {
        let lin = self.operand(op, T::BYTES.into(), true)?;
        self.modify_lin(op.seg, lin, f)
    }

    /// [`Exec::modify`] at a linear address.
    ///
    /// # Errors
    /// The access's fault.
    #[inline(always)]
    pub fn modify_lin<T: Word>(
        &mut self,
        s: u8,
        lin: u64,
        f: impl FnOnce(&mut Self, T) -> T,
    ) -> Result<(), Trap> {
        let e = self.tlb.entry(lin, Access::Write);
        let d = lin.wrapping_sub(e.tag);
        if d <= PAGE_SIZE - u64::from(T::BYTES) {
            let o = (e.offset + d) as usize;
            let n = usize::from(T::BYTES);
            if let Some(b) = self.mem.bytes().get(o..o + n) {
                let v = T::from_bytes(b);
                let v = f(self, v);
                v.put_bytes(&mut self.mem.bytes_mut()[o..o + n]);
                return Ok(());
            }
        }
        let pieces = self.pieces(s, lin, T::BYTES, Access::Write)?;
        let v = T::from_u64(self.read_pieces(&pieces, T::BYTES));
        let v = f(self, v);
        self.write_pieces(&pieces, T::BYTES, v.to_u64());
        self.permit_write(lin, &pieces);
        Ok(())
    }

    /// Reads `T` at segment `s`, offset `off`.
    ///
    /// # Errors
    /// The access's fault.
    #[inline(always)]
    pub fn read<T: Word>(&mut self, s: u8, off: u64) -> Result<T, Trap> {
        let lin = self.linear(s, off, T::BYTES.into(), false)?;
        self.read_lin(s, lin)
    }

    /// Writes `T` at segment `s`, offset `off`.
    ///
    /// # Errors
    /// The access's fault.
    #[inline(always)]
    pub fn write<T: Word>(&mut self, s: u8, off: u64, v: T) -> Result<(), Trap> {
        let lin = self.linear(s, off, T::BYTES.into(), true)?;
        self.write_lin(s, lin, v)
    }

    /// Reads `T` at a linear address; `s` decides between #SS and #GP.
    ///
    /// # Errors
    /// The access's fault.
    #[inline(always)]
    pub fn read_lin<T: Word>(&mut self, s: u8, lin: u64) -> Result<T, Trap> {
        let e = self.tlb.entry(lin, Access::Read);
        let d = lin.wrapping_sub(e.tag);
        if d <= PAGE_SIZE - u64::from(T::BYTES) {
            let o = (e.offset + d) as usize;
            if let Some(b) = self.mem.bytes().get(o..o + usize::from(T::BYTES)) {
                return Ok(T::from_bytes(b));
            }
        }
        self.read_slow(s, lin, T::BYTES).map(T::from_u64)
    }

    /// Writes `T` at a linear address; `s` decides between #SS and #GP.
    ///
    /// # Errors
    /// The access's fault.
    #[inline(always)]
    pub fn write_lin<T: Word>(&mut self, s: u8, lin: u64, v: T) -> Result<(), Trap> {
        let e = self.tlb.entry(lin, Access::Write);
        let d = lin.wrapping_sub(e.tag);
        if d <= PAGE_SIZE - u64::from(T::BYTES) {
            let o = (e.offset + d) as usize;
            if let Some(b) = self.mem.bytes_mut().get_mut(o..o + usize::from(T::BYTES)) {
                v.put_bytes(b);
                return Ok(());
            }
        }
        self.write_slow(s, lin, T::BYTES, v.to_u64())
    }

    #[inline(never)]
    fn read_slow(&mut self, s: u8, lin: u64, size: u8) -> Result<u64, Trap> {
        let pieces = self.pieces(s, lin, size, Access::Read)?;
        Ok(self.read_pieces(&pieces, size))
    }

    #[inline(never)]
    fn write_slow(&mut self, s: u8, lin: u64, size: u8, v: u64) -> Result<(), Trap> {
        if let Some(offset) = self.tlb.barred(lin, size) {
            self.store_at(offset, size, v);
            self.tlb.fill_stored(self.mem, lin, offset);
            return Ok(());
        }
        let pieces = self.pieces(s, lin, size, Access::Write)?;
        self.write_pieces(&pieces, size, v);
        self.permit_write(lin, &pieces);
        Ok(())
    }

    /// Checks the alignment of an operand that is not one access of its own size: far pointers
    /// 80-bit numbers, x87 environments (SDM volume 3, table 6-7). `to` is a power of two.
    ///
    /// # Errors
    /// #AC(0) at privilege level 3 when RFLAGS.AC asks for it.
    #[inline]
    pub fn check_alignment(&self, lin: u64, to: u64) -> Result<(), Trap> {
        let checked = lin & (to - 1) != 0 && self.cpu.alignment_checked();
        // The fault of an address that is not canonical comes with the access.
        let reachable = !self.cpu.long_mode() || Self::canonical(lin);
        if checked && reachable { Err(Trap::AC) } else { Ok(()) }
    }

    /// Checks that `size` bytes at `lin` can be written, without writing.
    ///
    /// # Errors
    /// The fault that a write would raise.
    pub fn check_write(&mut self, s: u8, lin: u64, size: u8) -> Result<(), Trap> {
        self.pieces(s, lin, size, Access::Write).map(|_| ())
    }

    /// Wraps a linear address to 32 bits outside 64-bit mode.
    #[inline(always)]
    pub fn wrap(&self, lin: u64) -> u64 {
        if self.cpu.long_mode() { lin } else { lin & 0xffff_ffff }
    }

    /// Translates both pages of an access before anything is read or written: an access that
    /// crosses into a page which faults has no effect.
    fn pieces(&mut self, s: u8, lin: u64, size: u8, access: Access) -> Result<Pieces, Trap> {
        let last = lin.wrapping_add(u64::from(size) - 1);
        if self.cpu.long_mode() && (!Self::canonical(lin) || !Self::canonical(last)) {
            return Err(if s == seg::SS { Trap::SS } else { Trap::GP });
        }
        if self.cpu.alignment_checked() && lin & (u64::from(size) - 1) != 0 {
            return Err(Trap::AC);
        }
        let first = self.translate(Rights::Current, lin, access)?;
        let room = PAGE_SIZE - lin % PAGE_SIZE;
        let (split, second) = if u64::from(size) > room {
            let next = self.wrap(lin.wrapping_add(room));
            (room as u8, Some(self.translate(Rights::Current, next, access)?))
        } else {
            (size, None)
        };
        if self.cpu.data_breakpoints() {
            self.note_data_breakpoints(lin, size, access);
        }
        Ok(Pieces { first, split, second })
    }

    /// Records hits of data breakpoints: the debug trap is taken after the instruction (SDM
    /// volume 3, section 17.2.4).
    fn note_data_breakpoints(&mut self, lin: u64, size: u8, access: Access) {
        for i in 0..4 {
            let control = self.cpu.dr[7] >> (16 + 4 * i) & 15;
            let enabled = self.cpu.dr[7] >> (2 * i) & 3 != 0;
            let kind_hit = match control & 3 {
                1 => access == Access::Write,
                3 => access != Access::Fetch,
                _ => false,
            };
            let len = [1, 2, 8, 4][(control >> 2) as usize];
            let start = self.cpu.dr[i] & !(len - 1);
            let overlap = lin.wrapping_sub(start) < len || start.wrapping_sub(lin) < u64::from(size);
            if enabled && kind_hit && overlap {
                self.cpu.debug_pending |= 1 << i;
                self.attention = true;
            }
        }
    }

    fn read_pieces(&mut self, p: &Pieces, size: u8) -> u64 {
        match &p.second {
            None => self.read_place(p.first, size),
            Some(second) => {
                // Devices see the bytes one by one: their registers have no odd sizes.
                let mut v = 0;
                for i in 0..size {
                    let t = if i < p.split { (p.first, i) } else { (*second, i - p.split) };
                    v |= self.read_place(step(t.0, t.1), 1) << (8 * i);
                }
                v
            }
        }
    }

    fn write_pieces(&mut self, p: &Pieces, size: u8, v: u64) {
        match &p.second {
            None => self.write_place(p.first, size, v),
            Some(second) => {
                for i in 0..size {
                    let t = if i < p.split { (p.first, i) } else { (*second, i - p.split) };
                    self.write_place(step(t.0, t.1), 1, v >> (8 * i) & 0xff);
                }
            }
        }
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
                let value = self.bus.mmio_read(self.mem, self.at(), t.phys, size);
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
                self.bus.mmio_write(self.mem, self.at(), t.phys, size, v);
                self.event(What::Mmio { addr: t.phys, size, write: true, value: v });
                self.after_bus();
            }
        }
    }

    /// Caches what a store has shown, after it passed the barrier.
    fn permit_write(&mut self, lin: u64, p: &Pieces) {
        if p.second.is_none()
            && p.first.write_ok
            && let Place::Ram(o) = p.first.place
        {
            self.tlb.fill_stored(self.mem, lin, o);
        }
    }

    /// Reads `into.len()` bytes (at most a page) at a linear address, for operands that are no
    /// `Word`: SSE, x87, descriptors.
    ///
    /// # Errors
    /// The access's fault; nothing was read from a device then.
    pub fn read_bytes(&mut self, s: u8, lin: u64, into: &mut [u8]) -> Result<(), Trap> {
        let n = into.len();
        let e = self.tlb.entry(lin, Access::Read);
        let d = lin.wrapping_sub(e.tag);
        if d <= PAGE_SIZE - n as u64 {
            let o = (e.offset + d) as usize;
            if let Some(b) = self.mem.bytes().get(o..o + n) {
                into.copy_from_slice(b);
                return Ok(());
            }
        }
        // Every page is translated before a byte is read.
        let room = (PAGE_SIZE - lin % PAGE_SIZE) as usize;
        self.pieces(s, lin, 1, Access::Read)?;
        if n > room {
            self.pieces(s, self.wrap(lin.wrapping_add(room as u64)), 1, Access::Read)?;
        }
        let mut done = 0;
        while done < n {
            let at = self.wrap(lin.wrapping_add(done as u64));
            let chunk = chunk(at, n - done);
            let v = self.read_slow(s, at, chunk)?;
            into[done..done + usize::from(chunk)].copy_from_slice(&v.to_le_bytes()[..usize::from(chunk)]);
            done += usize::from(chunk);
        }
        Ok(())
    }

    /// Writes `data` (at most a page) at a linear address.
    ///
    /// # Errors
    /// The access's fault; nothing was written then.
    pub fn write_bytes(&mut self, s: u8, lin: u64, data: &[u8]) -> Result<(), Trap> {
        let n = data.len();
        let e = self.tlb.entry(lin, Access::Write);
        let d = lin.wrapping_sub(e.tag);
        if d <= PAGE_SIZE - n as u64 {
            let o = (e.offset + d) as usize;
            if let Some(b) = self.mem.bytes_mut().get_mut(o..o + n) {
                b.copy_from_slice(data);
                return Ok(());
            }
        }
        let room = (PAGE_SIZE - lin % PAGE_SIZE) as usize;
        self.pieces(s, lin, 1, Access::Write)?;
        if n > room {
            self.pieces(s, self.wrap(lin.wrapping_add(room as u64)), 1, Access::Write)?;
        }
        let mut done = 0;
        while done < n {
            let at = self.wrap(lin.wrapping_add(done as u64));
            let chunk = chunk(at, n - done);
            let mut b = [0; 8];
            b[..usize::from(chunk)].copy_from_slice(&data[done..done + usize::from(chunk)]);
            self.write_slow(s, at, chunk, u64::from_le_bytes(b))?;
            done += usize::from(chunk);
        }
        Ok(())
    }

    /// Loads a 128-bit memory operand; `aligned` raises #GP(0) unless it lies on 16 bytes.
    ///
    /// # Errors
    /// The access's fault.
    #[inline]
    pub fn load_xmm(&mut self, op: &Op, aligned: bool) -> Result<u128, Trap> {
        let lin = self.operand(op, 16, false)?;
        if aligned && lin & 15 != 0 {
            return Err(Trap::GP);
        }
        let mut b = [0; 16];
        self.read_bytes(op.seg, lin, &mut b)?;
        Ok(u128::from_le_bytes(b))
    }

    /// Stores a 128-bit memory operand; `aligned` raises #GP(0) unless it lies on 16 bytes.
    ///
    /// # Errors
    /// The access's fault.
    #[inline]
    pub fn store_xmm(&mut self, op: &Op, v: u128, aligned: bool) -> Result<(), Trap> {
        let lin = self.operand(op, 16, true)?;
        if aligned && lin & 15 != 0 {
            return Err(Trap::GP);
        }
        self.write_bytes(op.seg, lin, &v.to_le_bytes())
    }

    /// Pushes the low `size` bytes (2, 4 or 8) of `v`.
    ///
    /// # Errors
    /// The access's fault; RSP is unchanged then.
    #[inline(always)]
    pub fn push(&mut self, size: u8, v: u64) -> Result<(), Trap> {
        let sp = self.stack_offset(0u64.wrapping_sub(u64::from(size)));
        match size {
            2 => self.write(seg::SS, sp, v as u16)?,
            4 => self.write(seg::SS, sp, v as u32)?,
            _ => self.write(seg::SS, sp, v)?,
        }
        self.set_sp(sp);
        Ok(())
    }

    /// Pops `size` bytes (2, 4 or 8), zero-extended.
    ///
    /// # Errors
    /// The access's fault; RSP is unchanged then.
    #[inline(always)]
    pub fn pop(&mut self, size: u8) -> Result<u64, Trap> {
        let v = self.peek(0, size)?;
        let sp = self.stack_offset(size.into());
        self.set_sp(sp);
        Ok(v)
    }

    /// Reads `size` bytes at `offset` above the top of the stack.
    ///
    /// # Errors
    /// The access's fault.
    #[inline(always)]
    pub fn peek(&mut self, offset: u64, size: u8) -> Result<u64, Trap> {
        let sp = self.stack_offset(offset);
        Ok(match size {
            2 => self.read::<u16>(seg::SS, sp)?.into(),
            4 => self.read::<u32>(seg::SS, sp)?.into(),
            _ => self.read(seg::SS, sp)?,
        })
    }

    /// The stack pointer plus `delta`, wrapped to the stack's size.
    #[inline(always)]
    pub fn stack_offset(&self, delta: u64) -> u64 {
        let sp = self.cpu.regs[usize::from(gpr::RSP)].wrapping_add(delta);
        match self.cpu.stack_size() {
            8 => sp,
            4 => sp & 0xffff_ffff,
            _ => sp & 0xffff,
        }
    }

    /// Sets the stack pointer, as wide as the stack's size.
    #[inline(always)]
    pub fn set_sp(&mut self, sp: u64) {
        match self.cpu.stack_size() {
            8 => self.set(gpr::RSP, sp),
            4 => self.set(gpr::RSP, sp as u32),
            _ => self.set(gpr::RSP, sp as u16),
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
    Translation { phys: t.phys + by, place, write_ok: t.write_ok }
}

/// The largest aligned power of two of bytes at `at`, up to 8 and `left`.
fn chunk(at: u64, left: usize) -> u8 {
    let align = 1 << at.trailing_zeros().min(3);
    let mut n = 8;
    while n > align || usize::from(n) > left {
        n /= 2;
    }
    n
}
