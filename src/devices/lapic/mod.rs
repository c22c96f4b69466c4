//! The local APIC of one CPU (SDM volume 3, chapter 10), in xAPIC and x2APIC mode.
//!
//! What it sends to others ([`LocalApic::out`], [`LocalApic::eois`]) and what its CPU has to do
//! ([`LocalApic::signals`]) is taken by the board in the same step.

pub mod message;
pub mod spec;
mod timer;

use super::{Ctx, Device};
use crate::machine::events::TimerId;
use message::{Delivery, Message, Target};
use serde::{Deserialize, Serialize};
use spec::lvt;
use timer::Timer;

/// What a local APIC tells its CPU besides interrupts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signals {
    /// A non-maskable interrupt.
    pub nmi: bool,
    /// INIT.
    pub init: bool,
    /// A start-up IPI with its page.
    pub startup: Option<u8>,
}

/// 256 bits, one a vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Vectors([u32; 8]);

impl Vectors {
    fn set(&mut self, v: u8) {
        self.0[usize::from(v >> 5)] |= 1 << (v & 31);
    }

    fn clear(&mut self, v: u8) {
        self.0[usize::from(v >> 5)] &= !(1 << (v & 31));
    }

    fn has(&self, v: u8) -> bool {
        self.0[usize::from(v >> 5)] & 1 << (v & 31) != 0
    }

    fn highest(&self) -> Option<u8> {
        (0..8u8).rev().find_map(|i| {
            let word = self.0[usize::from(i)];
            (word != 0).then(|| i * 32 + (31 - word.leading_zeros()) as u8)
        })
    }
}

/// A local APIC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalApic {
    /// Index of the CPU, which is its initial APIC id.
    index: u8,
    x2apic_supported: bool,
    deadline_supported: bool,
    base: u64,
    id: u8,
    tpr: u8,
    ldr: u32,
    dfr: u32,
    svr: u32,
    isr: Vectors,
    tmr: Vectors,
    irr: Vectors,
    esr: u32,
    /// Errors since the last write to ESR.
    errors: u32,
    icr: u64,
    lvt: [u32; lvt::COUNT],
    timer: Timer,
    lint0: bool,
    /// An I/O APIC message asked for an 8259A's vector.
    ext_int: bool,
    /// Messages for the board to deliver; empty between steps.
    pub out: Vec<Message>,
    /// Ends of level-triggered interrupts to broadcast; empty between steps.
    pub eois: Vec<u8>,
    /// What the CPU has to be told; empty between steps.
    pub signals: Signals,
}

impl LocalApic {
    /// The local APIC of CPU `index` after reset.
    pub fn new(index: u8, x2apic: bool, tsc_deadline: bool, timer: TimerId) -> Self {
        let bsp = if index == 0 { spec::BASE_BSP } else { 0 };
        let mut entries = [spec::LVT_MASKED; lvt::COUNT];
        if index == 0 {
            // The bootstrap CPU takes the 8259's interrupts from power-on, as in QEMU: what
            // firmware would set up ("virtual wire mode", MP specification section 3.6.2.2).
            entries[lvt::LINT0] = spec::VIRTUAL_WIRE;
        }
        Self {
            index,
            x2apic_supported: x2apic,
            deadline_supported: tsc_deadline,
            base: spec::BASE | spec::BASE_ENABLE | bsp,
            id: index,
            tpr: 0,
            ldr: 0,
            dfr: u32::MAX,
            svr: 0xff,
            isr: Vectors::default(),
            tmr: Vectors::default(),
            irr: Vectors::default(),
            esr: 0,
            errors: 0,
            icr: 0,
            lvt: entries,
            timer: Timer::new(timer),
            lint0: false,
            ext_int: false,
            out: Vec::new(),
            eois: Vec::new(),
            signals: Signals::default(),
        }
    }

    /// INIT: like a reset, but base and id stay (SDM volume 3, section 10.4.7.3).
    fn init(&mut self, ctx: &mut Ctx<'_>) {
        let fresh = Self::new(self.index, self.x2apic_supported, self.deadline_supported, self.timer.id);
        let tsc_offset = self.timer.tsc_offset;
        *self = Self {
            base: self.base,
            id: self.id,
            lint0: self.lint0,
            signals: self.signals,
            out: std::mem::take(&mut self.out),
            eois: std::mem::take(&mut self.eois),
            ..fresh
        };
        self.timer.tsc_offset = tsc_offset;
        ctx.set_timer(self.timer.id, None);
    }

    /// IA32_APIC_BASE enables it.
    pub fn enabled(&self) -> bool {
        self.base & spec::BASE_ENABLE != 0
    }

    fn x2apic(&self) -> bool {
        self.base & spec::BASE_X2APIC != 0
    }

    /// True when `addr` lies in its page of registers.
    pub fn claims(&self, addr: u64) -> bool {
        self.enabled() && !self.x2apic() && addr & !(spec::SIZE - 1) == self.base & spec::BASE_ADDRESS
    }

    fn software_enabled(&self) -> bool {
        self.enabled() && self.svr & spec::SVR_ENABLE != 0
    }

    /// Processor priority (section 10.8.3.1).
    fn ppr(&self) -> u8 {
        let serving = self.isr.highest().unwrap_or(0) & 0xf0;
        if self.tpr & 0xf0 >= serving { self.tpr } else { serving }
    }

    /// Arbitration priority (section 10.6.2.4): what the lowest-priority mode compares. The
    /// lowest wins, of equals the lowest CPU index.
    pub fn arbitration_priority(&self) -> u8 {
        let requested = self.irr.highest().unwrap_or(0) & 0xf0;
        self.ppr().max(requested)
    }

    /// The vector that would interrupt the CPU now.
    fn deliverable(&self) -> Option<u8> {
        if !self.software_enabled() {
            return None;
        }
        self.irr.highest().filter(|v| v & 0xf0 > self.ppr() & 0xf0)
    }

    /// True when an interrupt waits for the CPU; `pic` is the 8259A's output.
    pub fn intr(&self, pic: bool) -> bool {
        self.deliverable().is_some() || self.external(pic)
    }

    /// An interrupt whose vector the 8259A gives waits.
    fn external(&self, pic: bool) -> bool {
        if !pic {
            return false;
        }
        if !self.enabled() {
            // LINT0 is the INTR pin, which only the bootstrap CPU has connected.
            return self.index == 0;
        }
        let entry = self.lvt[lvt::LINT0];
        let lint0 =
            entry & spec::LVT_MASKED == 0 && Delivery::from_bits(u64::from(entry >> 8)) == Delivery::ExtInt;
        lint0 || self.ext_int
    }

    /// Answers the CPU's acknowledge: a vector, or `Err` when the 8259A has to give it, or
    /// nothing.
    pub fn acknowledge(&mut self, pic: bool) -> Option<Result<u8, FromPic>> {
        if self.external(pic) {
            self.ext_int = false;
            return Some(Err(FromPic));
        }
        let vector = self.deliverable()?;
        self.irr.clear(vector);
        self.isr.set(vector);
        Some(Ok(vector))
    }

    /// The 8259A's output, wired to LINT0.
    pub fn set_lint0(&mut self, level: bool) {
        let rises = level && !self.lint0;
        self.lint0 = level;
        let entry = self.lvt[lvt::LINT0];
        if entry & spec::LVT_LEVEL != 0 {
            self.level_lint0();
        } else if rises {
            self.local(lvt::LINT0);
        }
    }

    /// A level-triggered LINT0 that is high and not being served requests.
    fn level_lint0(&mut self) {
        let entry = self.lvt[lvt::LINT0];
        let fixed = Delivery::from_bits(u64::from(entry >> 8)) == Delivery::Fixed;
        let busy = entry & (spec::LVT_REMOTE_IRR | spec::LVT_MASKED) != 0;
        if self.lint0 && fixed && !busy && entry & spec::LVT_LEVEL != 0 && self.software_enabled() {
            self.lvt[lvt::LINT0] |= spec::LVT_REMOTE_IRR;
            self.request(entry as u8, true);
        }
    }

    /// The NMI pin, wired to LINT1.
    pub fn pulse_nmi(&mut self) {
        if self.enabled() {
            self.local(lvt::LINT1);
        } else {
            self.signals.nmi = true;
        }
    }

    /// Delivers entry `i` of the local vector table.
    fn local(&mut self, i: usize) {
        let entry = self.lvt[i];
        if entry & spec::LVT_MASKED != 0 || !self.enabled() {
            return;
        }
        let delivery = if i == lvt::TIMER || i == lvt::ERROR {
            Delivery::Fixed
        } else {
            Delivery::from_bits(u64::from(entry >> 8))
        };
        match delivery {
            Delivery::Fixed => self.request(entry as u8, false),
            Delivery::Nmi => self.signals.nmi = true,
            Delivery::Init => self.signals.init = true,
            // ExtINT is the 8259A's affair; there is no system management mode.
            _ => {}
        }
    }

    fn error(&mut self, bit: u32) {
        let fresh = self.errors & bit == 0;
        self.errors |= bit;
        if fresh && bit != 0 {
            let vector = self.lvt[lvt::ERROR] as u8;
            // An illegal error vector must not recurse.
            if vector >= spec::FIRST_VECTOR {
                self.local(lvt::ERROR);
            }
        }
    }

    fn request(&mut self, vector: u8, level: bool) {
        if vector < spec::FIRST_VECTOR {
            self.error(spec::ESR_RECEIVE_ILLEGAL);
            return;
        }
        self.irr.set(vector);
        if level {
            self.tmr.set(vector);
        } else {
            self.tmr.clear(vector);
        }
    }

    /// True when a message to `id` is for this APIC (section 10.6.2).
    pub fn matches(&self, id: u32, logical: bool) -> bool {
        if !self.enabled() {
            return false;
        }
        if self.x2apic() {
            if !logical {
                return id == u32::from(self.index) || id == u32::MAX || id == 0xff;
            }
            let own = self.logical_x2();
            return id == u32::MAX || id >> 16 == own >> 16 && id & own & 0xffff != 0;
        }
        if !logical {
            return id == u32::from(self.id) || id & 0xff == 0xff;
        }
        let (own, id) = ((self.ldr >> 24) as u8, id as u8);
        if self.dfr >> 28 == spec::DFR_FLAT {
            id & own != 0
        } else {
            // Clusters: the upper nibble names the cluster, 15 all of them.
            (id >> 4 == own >> 4 || id >> 4 == 0xf) && id & own & 0xf != 0
        }
    }

    /// The logical x2APIC id (section 10.12.10.2).
    fn logical_x2(&self) -> u32 {
        u32::from(self.index >> 4) << 16 | 1 << (self.index & 15)
    }

    /// Accepts a message that is for this APIC.
    pub fn accept(&mut self, ctx: &mut Ctx<'_>, message: &Message) {
        if !self.enabled() {
            return;
        }
        match message.delivery {
            Delivery::Fixed | Delivery::LowestPriority => {
                if self.software_enabled() {
                    self.request(message.vector, message.level);
                }
            }
            Delivery::Nmi => self.signals.nmi = true,
            Delivery::Init => {
                if message.assert {
                    self.signals = Signals { init: true, ..Signals::default() };
                    self.init(ctx);
                }
            }
            Delivery::StartUp => self.signals.startup = Some(message.vector),
            Delivery::ExtInt => self.ext_int = true,
            Delivery::Smi | Delivery::Reserved => {}
        }
    }

    fn end_of_interrupt(&mut self) {
        let Some(vector) = self.isr.highest() else { return };
        self.isr.clear(vector);
        if self.tmr.has(vector) {
            self.eois.push(vector);
            if self.lvt[lvt::LINT0] as u8 == vector {
                self.lvt[lvt::LINT0] &= !spec::LVT_REMOTE_IRR;
                self.level_lint0();
            }
        }
    }

    /// Writing the low half of ICR sends an IPI.
    fn send(&mut self) {
        let icr = self.icr;
        let delivery = Delivery::from_bits(icr >> 8);
        let vector = icr as u8;
        if matches!(delivery, Delivery::Fixed | Delivery::LowestPriority) && vector < spec::FIRST_VECTOR {
            self.error(spec::ESR_SEND_ILLEGAL);
            return;
        }
        let logical = icr & spec::ICR_LOGICAL != 0;
        let id = if self.x2apic() { (icr >> 32) as u32 } else { (icr >> 56) as u32 };
        let target = match icr >> spec::ICR_SHORTHAND_SHIFT & 3 {
            0 => Target::Apic { id, logical },
            1 => Target::Myself,
            2 => Target::All,
            _ => Target::Others,
        };
        // IPIs are edge-triggered but for the INIT de-assert, which nothing needs any more.
        let deassert = icr & spec::ICR_LEVEL != 0 && icr & spec::ICR_ASSERT == 0;
        self.out.push(Message { target, delivery, vector, level: false, assert: !deassert });
    }

    /// The task priority in CR8.
    pub fn cr8(&self) -> u8 {
        self.tpr >> 4
    }

    /// Writes the task priority by CR8.
    pub fn set_cr8(&mut self, v: u8) {
        self.tpr = v << 4;
    }

    fn register(&mut self, ctx: &Ctx<'_>, reg: u16) -> u32 {
        match reg {
            spec::ID if self.x2apic() => self.index.into(),
            spec::ID => u32::from(self.id) << 24,
            spec::VERSION => spec::VERSION_VALUE,
            spec::TPR => self.tpr.into(),
            spec::APR => self.arbitration_priority().into(),
            spec::PPR => self.ppr().into(),
            spec::LDR if self.x2apic() => self.logical_x2(),
            spec::LDR => self.ldr,
            spec::DFR => self.dfr,
            spec::SVR => self.svr,
            spec::ISR..=0x170 => self.isr.0[usize::from(reg >> 4 & 7)],
            spec::TMR..=0x1f0 => self.tmr.0[usize::from(reg >> 4 & 7)],
            spec::IRR..=0x270 => self.irr.0[usize::from(reg >> 4 & 7)],
            spec::ESR => self.esr,
            spec::ICR_LOW => self.icr as u32,
            spec::ICR_HIGH => (self.icr >> 32) as u32,
            spec::LVT_TIMER..=spec::LVT_ERROR => self.lvt[usize::from((reg - spec::LVT_TIMER) >> 4)],
            spec::INITIAL_COUNT => self.timer.initial(),
            spec::CURRENT_COUNT => self.timer.current(ctx.now, self.lvt[lvt::TIMER]),
            spec::DIVIDE => self.timer.divide(),
            spec::EOI => 0,
            _ => {
                self.error(spec::ESR_ILLEGAL_REGISTER);
                0
            }
        }
    }

    fn set_register(&mut self, ctx: &mut Ctx<'_>, reg: u16, v: u32) {
        match reg {
            spec::ID => self.id = (v >> 24) as u8,
            spec::TPR => self.tpr = v as u8,
            spec::EOI => self.end_of_interrupt(),
            spec::LDR => self.ldr = v & 0xff00_0000,
            spec::DFR => self.dfr = v | 0x0fff_ffff,
            spec::SVR => {
                self.svr = v & spec::SVR_WRITABLE;
                if v & spec::SVR_ENABLE == 0 {
                    // Disabled by software: every entry is masked (section 10.4.7.2).
                    for entry in &mut self.lvt {
                        *entry |= spec::LVT_MASKED;
                    }
                }
            }
            spec::ESR => {
                self.esr = std::mem::take(&mut self.errors);
            }
            spec::ICR_LOW => {
                self.icr = self.icr & !0xffff_ffff | u64::from(v) & spec::ICR_LOW_WRITABLE;
                self.send();
            }
            spec::ICR_HIGH => self.icr = self.icr & 0xffff_ffff | u64::from(v) << 32,
            spec::LVT_TIMER..=spec::LVT_ERROR => {
                self.set_lvt(ctx, usize::from((reg - spec::LVT_TIMER) >> 4), v);
            }
            spec::INITIAL_COUNT => {
                self.timer.set_initial(ctx, self.lvt[lvt::TIMER], v);
            }
            spec::DIVIDE => self.timer.set_divide(ctx, self.lvt[lvt::TIMER], v),
            // Read-only registers: a write is an error without effect.
            _ => self.error(spec::ESR_ILLEGAL_REGISTER),
        }
    }

    fn set_lvt(&mut self, ctx: &mut Ctx<'_>, i: usize, v: u32) {
        let mut writable = spec::LVT_WRITABLE[i];
        if i == lvt::TIMER && !self.deadline_supported {
            writable &= !(spec::TIMER_TSC_DEADLINE << spec::TIMER_MODE_SHIFT);
        }
        let old = self.lvt[i];
        let mut new = v & writable | old & spec::LVT_REMOTE_IRR;
        if self.svr & spec::SVR_ENABLE == 0 {
            new |= spec::LVT_MASKED;
        }
        if new & spec::LVT_LEVEL == 0 {
            new &= !spec::LVT_REMOTE_IRR;
        }
        self.lvt[i] = new;
        match i {
            lvt::TIMER => self.timer.mode_changed(ctx, old, new),
            lvt::LINT0 => self.level_lint0(),
            _ => {}
        }
    }

    /// Reads an MSR; `None` is a general-protection fault.
    pub fn msr_read(&mut self, ctx: &mut Ctx<'_>, msr: u32) -> Option<u64> {
        match msr {
            spec::MSR_APIC_BASE => Some(self.base),
            spec::MSR_TSC_DEADLINE if self.deadline_supported => Some(self.timer.deadline()),
            spec::MSR_X2APIC..=spec::MSR_X2APIC_LAST if self.x2apic() => {
                let reg = ((msr - spec::MSR_X2APIC) << 4) as u16;
                match reg {
                    spec::ICR_LOW => Some(self.icr),
                    // Write-only, or gone in x2APIC mode (table 10-6).
                    spec::EOI | spec::SELF_IPI | spec::DFR | spec::APR | spec::ICR_HIGH => None,
                    _ if Self::exists(reg) => Some(self.register(ctx, reg).into()),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Writes an MSR; `None` is a general-protection fault. A write to [`spec::MSR_TSC`] tells
    /// the TSC's new offset from the virtual clock, on which deadlines depend.
    pub fn msr_write(&mut self, ctx: &mut Ctx<'_>, msr: u32, v: u64) -> Option<()> {
        match msr {
            spec::MSR_TSC => self.timer.set_tsc_offset(ctx, v),
            spec::MSR_APIC_BASE => return self.set_base(ctx, v),
            spec::MSR_TSC_DEADLINE if self.deadline_supported => {
                self.timer.set_deadline(ctx, self.lvt[lvt::TIMER], v);
            }
            spec::MSR_X2APIC..=spec::MSR_X2APIC_LAST if self.x2apic() => {
                let reg = ((msr - spec::MSR_X2APIC) << 4) as u16;
                match reg {
                    spec::ICR_LOW => {
                        self.icr = v & (0xffff_ffff << 32 | spec::ICR_LOW_WRITABLE);
                        self.send();
                    }
                    spec::SELF_IPI if v <= 0xff => {
                        let own = Message {
                            target: Target::Myself,
                            delivery: Delivery::Fixed,
                            vector: v as u8,
                            level: false,
                            assert: true,
                        };
                        self.out.push(own);
                    }
                    spec::EOI | spec::ESR if v != 0 => return None,
                    spec::EOI
                    | spec::ESR
                    | spec::TPR
                    | spec::SVR
                    | spec::INITIAL_COUNT
                    | spec::DIVIDE
                    | spec::LVT_TIMER..=spec::LVT_ERROR
                        if v >> 32 == 0 =>
                    {
                        self.set_register(ctx, reg, v as u32);
                    }
                    _ => return None,
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// A readable register of the x2APIC.
    fn exists(reg: u16) -> bool {
        matches!(
            reg,
            spec::ID
                | spec::VERSION
                | spec::TPR
                | spec::PPR
                | spec::LDR
                | spec::SVR
                | spec::ISR..=spec::ESR
                | spec::LVT_TIMER..=spec::LVT_ERROR
                | spec::INITIAL_COUNT
                | spec::CURRENT_COUNT
                | spec::DIVIDE
        )
    }

    /// IA32_APIC_BASE with the transitions that figure 10-27 allows.
    fn set_base(&mut self, ctx: &mut Ctx<'_>, v: u64) -> Option<()> {
        let mut allowed = spec::BASE_ADDRESS | spec::BASE_BSP | spec::BASE_ENABLE;
        if self.x2apic_supported {
            allowed |= spec::BASE_X2APIC;
        }
        let mode = |b: u64| (b & spec::BASE_ENABLE != 0, b & spec::BASE_X2APIC != 0);
        let illegal = matches!(
            (mode(self.base), mode(v)),
            (_, (false, true)) | ((true, true), (true, false)) | ((false, false), (true, true))
        );
        if v & !allowed != 0 || illegal {
            return None;
        }
        let was = mode(self.base);
        self.base = v;
        match (was, mode(v)) {
            ((true, _), (false, _)) => self.init(ctx),
            ((_, false), (_, true)) => self.ldr = 0,
            _ => {}
        }
        Some(())
    }
}

/// The 8259A gives the vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FromPic;

impl Device for LocalApic {
    /// Reads a register by its offset in the page. Registers are 32 bits at multiples of 16;
    /// narrower reads give their part (the manual leaves them undefined).
    fn read(&mut self, ctx: &mut Ctx<'_>, addr: u64, _size: u8) -> u64 {
        let reg = (addr & (spec::SIZE - 1)) as u16;
        if reg & 0xc != 0 {
            return 0;
        }
        let v = self.register(ctx, reg & !0xf);
        u64::from(v) >> (8 * (addr & 3))
    }

    /// Writes a register; bytes beside its lowest address are dropped.
    fn write(&mut self, ctx: &mut Ctx<'_>, addr: u64, _size: u8, value: u64) {
        let reg = (addr & (spec::SIZE - 1)) as u16;
        if reg & 0xf == 0 {
            self.set_register(ctx, reg, value as u32);
        }
    }

    fn timer(&mut self, ctx: &mut Ctx<'_>, _timer: TimerId) {
        if self.timer.fire(ctx, self.lvt[lvt::TIMER]) {
            self.local(lvt::TIMER);
        }
    }

    fn reset(&mut self) {
        *self = Self::new(self.index, self.x2apic_supported, self.deadline_supported, self.timer.id);
    }
}
