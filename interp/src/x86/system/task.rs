//! Hardware task switches (SDM volume 3, chapter 8).

use super::segment::{Descriptor, is_null, kind, named, null_segment, rpl, v86_segment};
use crate::x86::exec::{Exec, Flow};
use crate::x86::flags::bit;
use crate::x86::op::Op;
use crate::x86::regs::{Segment, cr0, seg};
use crate::x86::trap::{Trap, vector};

/// DR6.BT: the new task's TSS has its T flag set.
const DR6_BT: u64 = 1 << 15;
/// DR7.L0 to L3 and LE, which a task switch clears.
const DR7_LOCAL: u64 = 0x155;

/// Why a task is switched to (SDM volume 3, table 8-2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    Jmp,
    /// CALL, interrupt or exception: the new task links back.
    Nest,
    Iret,
}

/// Where the fields of a TSS lie (SDM volume 3, figures 8-2 and 8-10).
struct Layout {
    /// Bytes of a register field.
    word: u8,
    ip: u64,
    /// EAX to EDI follow each other.
    registers: u64,
    /// ES, CS, SS, DS, and FS and GS in a 32-bit TSS, follow each other.
    segments: u64,
    segment_count: u8,
    ldt: u64,
    /// The smallest limit.
    limit: u32,
}

const TSS32: Layout =
    Layout { word: 4, ip: 0x20, registers: 0x28, segments: 0x48, segment_count: 6, ldt: 0x60, limit: 0x67 };
const TSS16: Layout =
    Layout { word: 2, ip: 0x0e, registers: 0x12, segments: 0x22, segment_count: 4, ldt: 0x2a, limit: 0x2b };
const CR3: u64 = 0x1c;
const T_FLAG: u64 = 0x64;

fn layout(rights: u16) -> &'static Layout {
    if rights & 8 != 0 { &TSS32 } else { &TSS16 }
}

/// What a TSS holds.
struct Image {
    cr3: Option<u64>,
    ip: u64,
    flags: u64,
    registers: [u64; 8],
    /// In the order of [`seg`].
    selectors: [u16; 6],
    ldt: u16,
    trap: bool,
}

impl Exec<'_> {
    /// An interrupt or exception through a task gate; `flags` is RFLAGS to be saved.
    ///
    /// # Errors
    /// The switch's fault.
    pub fn task_interrupt(
        &mut self,
        selector: u16,
        code: Option<u16>,
        ext: u16,
        flags: u64,
    ) -> Result<(), Trap> {
        let tss = self.task_descriptor(selector, Why::Nest, ext)?;
        self.switch(tss, Why::Nest, ext, flags)?;
        if let Some(code) = code {
            let bytes = layout(self.cpu.seg(seg::TR).rights).word;
            self.push(bytes, code.into())?;
        }
        Ok(())
    }

    /// JMP or CALL to a TSS, directly or through a task gate.
    ///
    /// # Errors
    /// The switch's fault.
    pub fn task_jump(&mut self, op: &Op, selector: u16, call: bool) -> Result<Flow, Trap> {
        let why = if call { Why::Nest } else { Why::Jmp };
        let tss = self.task_descriptor(selector, why, 0)?;
        self.switch_by(op, tss, why)
    }

    /// IRET with RFLAGS.NT: back to the task that the current TSS links to.
    ///
    /// # Errors
    /// The switch's fault.
    pub fn task_return(&mut self, op: &Op) -> Result<Flow, Trap> {
        let tr = *self.cpu.seg(seg::TR);
        let lin = self.wrap(tr.base);
        let selector = self.implicit(|ex| ex.read_lin::<u16>(seg::DS, lin))?;
        let tss = self.task_descriptor(selector, Why::Iret, 0)?;
        self.switch_by(op, tss, Why::Iret)
    }

    fn switch_by(&mut self, op: &Op, tss: Descriptor, why: Why) -> Result<Flow, Trap> {
        let before = self.cpu.seg(seg::TR).selector;
        match self.switch(tss, why, 0, self.cpu.rflags()) {
            Ok(()) => Ok(Flow::Entered),
            Err(trap) => {
                self.task_fault_at(op, before);
                Err(trap)
            }
        }
    }

    /// The TSS descriptor that `selector` names, checked.
    fn task_descriptor(&mut self, selector: u16, why: Why, ext: u16) -> Result<Descriptor, Trap> {
        let fault = if why == Why::Iret { vector::TS } else { vector::GP };
        let refused = Self::selector_fault(fault, selector, ext);
        if selector & 4 != 0 || is_null(selector) {
            return Err(refused);
        }
        let d = self.descriptor(selector, fault, ext)?;
        let busy = if why == Why::Iret { kind::BUSY } else { 0 };
        if d.kind() != kind::TSS | busy && d.kind() != kind::TSS16 | busy {
            return Err(refused);
        }
        if !d.present() {
            return Err(Self::selector_fault(vector::NP, selector, ext));
        }
        if d.limit() < layout(d.rights()).limit {
            return Err(Self::selector_fault(vector::TS, selector, ext));
        }
        Ok(d)
    }

    fn tss_read(&mut self, base: u64, at: u64, bytes: u8) -> Result<u64, Trap> {
        let lin = self.wrap(base.wrapping_add(at));
        Ok(if bytes == 4 {
            self.read_lin::<u32>(seg::DS, lin)?.into()
        } else {
            self.read_lin::<u16>(seg::DS, lin)?.into()
        })
    }

    fn tss_write(&mut self, base: u64, at: u64, bytes: u8, v: u64) -> Result<(), Trap> {
        let lin = self.wrap(base.wrapping_add(at));
        if bytes == 4 {
            self.write_lin(seg::DS, lin, v as u32)
        } else {
            self.write_lin(seg::DS, lin, v as u16)
        }
    }

    fn read_image(&mut self, tss: &Segment) -> Result<Image, Trap> {
        let l = layout(tss.rights);
        let wide = l.word == 4;
        let step = u64::from(l.word);
        let mut image = Image {
            cr3: None,
            ip: self.tss_read(tss.base, l.ip, l.word)?,
            flags: self.tss_read(tss.base, l.ip + step, l.word)?,
            registers: [0; 8],
            selectors: [0; 6],
            ldt: self.tss_read(tss.base, l.ldt, 2)? as u16,
            trap: wide && self.tss_read(tss.base, T_FLAG, 2)? & 1 != 0,
        };
        if wide {
            image.cr3 = Some(self.tss_read(tss.base, CR3, 4)?);
        }
        for (i, r) in image.registers.iter_mut().enumerate() {
            *r = self.tss_read(tss.base, l.registers + step * i as u64, l.word)?;
            if !wide {
                // The upper halves are undefined after a switch to a 16-bit task: ones, as an
                // 80386 leaves them.
                *r |= 0xffff_0000;
            }
        }
        for i in 0..l.segment_count {
            let at = l.segments + step * u64::from(i);
            image.selectors[usize::from(i)] = self.tss_read(tss.base, at, 2)? as u16;
        }
        Ok(image)
    }

    fn write_image(&mut self, tss: &Segment, flags: u64) -> Result<(), Trap> {
        let l = layout(tss.rights);
        let step = u64::from(l.word);
        // Every page is checked before a byte is written.
        for at in [l.ip, l.segments + step * u64::from(l.segment_count) - 1] {
            let lin = self.wrap(tss.base.wrapping_add(at));
            self.check_write(seg::DS, lin, 1)?;
        }
        let ip = self.cpu.rip();
        self.tss_write(tss.base, l.ip, l.word, ip)?;
        self.tss_write(tss.base, l.ip + step, l.word, flags)?;
        for i in 0..8 {
            let v = self.cpu.regs[i];
            self.tss_write(tss.base, l.registers + step * i as u64, l.word, v)?;
        }
        for i in 0..l.segment_count {
            let v = self.cpu.seg(i).selector.into();
            self.tss_write(tss.base, l.segments + step * u64::from(i), 2, v)?;
        }
        Ok(())
    }

    /// Switches to the task of `new` (SDM volume 3, section 8.3). A fault before the switch is
    /// complete belongs to the old task, one while the new task's segments are loaded to the new.
    fn switch(&mut self, new: Descriptor, why: Why, ext: u16, flags: u64) -> Result<(), Trap> {
        let old = *self.cpu.seg(seg::TR);
        let old_layout = layout(old.rights);
        if old.limit < old_layout.limit {
            return Err(Self::selector_fault(vector::TS, old.selector, ext));
        }
        let tss = new.segment();
        let flags = if why == Why::Iret { flags & !bit::NT } else { flags };
        let old_descriptor = self.descriptor(old.selector, vector::TS, ext)?;
        let mut image = self.implicit(|ex| {
            let image = ex.read_image(&tss)?;
            if why == Why::Nest {
                ex.check_write(seg::DS, ex.wrap(tss.base), 2)?;
            }
            ex.check_write(seg::DS, ex.wrap(new.lin.wrapping_add(5)), 1)?;
            ex.check_write(seg::DS, ex.wrap(old_descriptor.lin.wrapping_add(5)), 1)?;
            ex.write_image(&old, flags)?;
            if why == Why::Nest {
                ex.tss_write(tss.base, 0, 2, old.selector.into())?;
            }
            Ok(image)
        })?;
        if why != Why::Nest {
            self.set_busy(&old_descriptor, false)?;
        }
        if why != Why::Iret {
            self.set_busy(&new, true)?;
        }
        if why == Why::Nest {
            image.flags |= bit::NT;
        }
        // The new task from here on.
        let mut tr = tss;
        tr.rights |= kind::BUSY;
        self.cpu.segs[usize::from(seg::TR)] = tr;
        self.cpu.cr0 |= cr0::TS;
        self.cpu.dr[7] &= !DR7_LOCAL;
        self.enter_task(&image, ext)
    }

    /// Loads the new task's state; its segments are checked last.
    fn enter_task(&mut self, image: &Image, ext: u16) -> Result<(), Trap> {
        for i in 0..8u8 {
            self.set(i, image.registers[usize::from(i)] as u32);
        }
        self.cpu.set_rip(image.ip);
        // A 16-bit TSS holds FLAGS only; the upper half is cleared.
        self.cpu.set_rflags(image.flags);
        for (i, &selector) in image.selectors.iter().enumerate() {
            self.cpu.segs[i] = null_segment(selector);
        }
        self.cpu.segs[usize::from(seg::LDTR)] = null_segment(image.ldt);
        let v86 = image.flags & bit::VM != 0;
        let cs = image.selectors[usize::from(seg::CS)];
        let cpl = if v86 { 3 } else { rpl(cs) };
        self.cpu.cpl = cpl;
        self.mode_changed();
        if let Some(cr3) = image.cr3
            && self.cpu.cr0 & cr0::PG != 0
        {
            self.write_cr3(cr3)?;
        }
        let ldt = self.load_task_ldt(image.ldt, ext);
        if v86 {
            for (i, &selector) in image.selectors.iter().enumerate() {
                self.cpu.segs[i] = v86_segment(selector);
            }
            ldt?;
        } else {
            // SS comes before everything else that may be refused, a bad LDT included: the switch
            // is completed all the same (section 8.3), and the handler's frame goes on this stack.
            let stack = self.load_task_stack(image, cpl, ext);
            ldt?;
            stack?;
            self.load_task_segments(image, cpl, ext)?;
        }
        if self.cpu.rip() > self.cpu.seg(seg::CS).limit.into() {
            return Err(Trap::gp(ext));
        }
        // Only a switch that succeeded gets as far as the trap before the first instruction.
        if image.trap {
            self.cpu.debug_pending |= DR6_BT;
        }
        Ok(())
    }

    fn load_task_ldt(&mut self, selector: u16, ext: u16) -> Result<(), Trap> {
        if is_null(selector) {
            return Ok(());
        }
        let refused = Self::selector_fault(vector::TS, selector, ext);
        if selector & 4 != 0 {
            return Err(refused);
        }
        let d = self.descriptor(selector, vector::TS, ext)?;
        if d.kind() != kind::LDT || !d.present() {
            return Err(refused);
        }
        self.cpu.segs[usize::from(seg::LDTR)] = d.segment();
        Ok(())
    }

    fn load_task_stack(&mut self, image: &Image, cpl: u8, ext: u16) -> Result<(), Trap> {
        let ss = self.stack_segment(image.selectors[usize::from(seg::SS)], cpl, vector::TS, ext)?;
        self.cpu.segs[usize::from(seg::SS)] = ss;
        Ok(())
    }

    /// CS and the data segments, in the order of SDM volume 3, table 8-1.
    fn load_task_segments(&mut self, image: &Image, cpl: u8, ext: u16) -> Result<(), Trap> {
        let cs = image.selectors[usize::from(seg::CS)];
        let refused = Trap::ts(named(cs) | ext);
        if is_null(cs) {
            return Err(refused);
        }
        let mut d = self.descriptor(cs, vector::TS, ext)?;
        let fits = if d.conforming() { d.dpl() <= cpl } else { d.dpl() == cpl };
        if !d.code() || !fits {
            return Err(refused);
        }
        if !d.present() {
            return Err(Trap::np(named(cs) | ext));
        }
        self.set_accessed(&mut d)?;
        self.cpu.segs[usize::from(seg::CS)] = d.segment();
        for s in [seg::DS, seg::ES, seg::FS, seg::GS] {
            let selector = image.selectors[usize::from(s)];
            if is_null(selector) {
                continue;
            }
            let mut d = self.descriptor(selector, vector::TS, ext)?;
            self.check_data(&d, vector::TS, cpl).map_err(|trap| match trap {
                Trap::Fault { vector, code } => Trap::Fault { vector, code: code.map(|c| c | ext) },
                other => other,
            })?;
            self.set_accessed(&mut d)?;
            self.cpu.segs[usize::from(s)] = d.segment();
        }
        Ok(())
    }
}
