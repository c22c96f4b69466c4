//! MMX and SSE instructions: every encoding against the host's own, with random operands, and
//! the faults that no user-level program can compare.
#![allow(unsafe_code, reason = "runs generated machine code on the host, to compare with it")]

use dejavm_interp::engine::{At, Bus, Clock};
use dejavm_interp::mem::{Memory, PhysAddr, Region};
use dejavm_interp::x86::exec::Exec;
use dejavm_interp::x86::model::Model;
use dejavm_interp::x86::op::REG_RIP;
use dejavm_interp::x86::regs::{cr0, cr4, efer, gpr, right, seg};
use dejavm_interp::x86::tlb::Tlb;
use dejavm_interp::x86::trap::Trap;
use dejavm_interp::x86::{Cpu, X86Bus, decode};

/// A board with nothing on it.
struct Board;

impl Bus for Board {
    fn mmio_read(&mut self, _: &mut Memory, _: At, _: PhysAddr, _: u8) -> u64 {
        0
    }
    fn mmio_write(&mut self, _: &mut Memory, _: At, _: PhysAddr, _: u8, _: u64) {}
    fn attention(&self) -> bool {
        false
    }
}

impl X86Bus for Board {
    fn port_read(&mut self, _: &mut Memory, _: At, _: u16, _: u8) -> u32 {
        0
    }
    fn port_write(&mut self, _: &mut Memory, _: At, _: u16, _: u8, _: u32) {}
    fn acknowledge_interrupt(&mut self, _: &mut Memory, _: At) -> Option<u8> {
        None
    }
    fn apic_msr_read(&mut self, _: &mut Memory, _: At, _: u32) -> Option<u64> {
        None
    }
    fn apic_msr_write(&mut self, _: &mut Memory, _: At, _: u32, _: u64) -> Option<()> {
        None
    }
    fn tpr_read(&mut self, _: At) -> u8 {
        0
    }
    fn tpr_write(&mut self, _: &mut Memory, _: At, _: u8) {}
    fn ferr(&mut self, _: &mut Memory, _: At, _: bool) {}
}

/// What instructions compare in, in the layout that the host's stub knows.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct State {
    xmm: [u128; 4],
    mm: [u64; 4],
    rax: u64,
    rcx: u64,
    rdx: u64,
    flags: u64,
    mxcsr: u64,
    pad: [u64; 7],
    memory: [u64; 8],
}

/// Where the memory operand lies in [`State`].
const MEMORY: usize = 192;
/// CF, PF, AF, ZF, SF, OF.
const STATUS: u64 = 0x8d5;
/// Where the guest finds its memory operand.
const DATA: u64 = 0x2000;
/// RIP of the next instruction.
const NEXT: u64 = 0x1010;

/// A 64-bit CPU without paging.
struct Machine {
    cpu: Cpu,
    mem: Memory,
}

impl Machine {
    fn new() -> Machine {
        let mut cpu = Cpu::new(Model::Max, 0, true);
        cpu.cr0 = cr0::NE | cr0::ET | cr0::PE;
        cpu.cr4 = cr4::OSFXSR | cr4::OSXMMEXCPT;
        cpu.msrs.efer = efer::LMA | efer::LME;
        let cs = &mut cpu.segs[usize::from(seg::CS)];
        cs.base = 0;
        cs.rights |= right::L;
        cpu.regs[usize::from(gpr::RSI)] = DATA;
        cpu.regs[usize::from(gpr::RDI)] = DATA;
        let mut mem = Memory::new(1 << 16).expect("memory");
        mem.set_regions(vec![Region { start: 0, len: 1 << 16, offset: 0, writable: true }])
            .expect("a region");
        Machine { cpu, mem }
    }

    /// Executes one instruction.
    fn step(&mut self, code: &[u8]) -> Result<(), Trap> {
        let mut bytes = [0x90; 15];
        bytes[..code.len()].copy_from_slice(code);
        let decode::Decoded::Op(op, _) = decode::decode(&bytes, 8, self.cpu.model) else {
            panic!("{code:x?} is cut short");
        };
        assert_eq!(usize::from(op.len), code.len(), "{code:x?}");
        self.cpu.regs[usize::from(REG_RIP)] = NEXT;
        let mut tlb = Tlb::default();
        let mut ex = Exec {
            cpu: &mut self.cpu,
            tlb: &mut tlb,
            mem: &mut self.mem,
            bus: &mut Board,
            index: 0,
            clock: Clock::default(),
            left: 1,
            budget: 1,
            attention: false,
        };
        ex.mode_changed();
        (op.run)(&mut ex, &op).map(|_| ())
    }

    fn put(&mut self, s: &State) {
        for (v, x) in self.cpu.vectors.iter_mut().zip(s.xmm) {
            v.set_xmm(x);
        }
        self.cpu.x87.mantissa[..4].copy_from_slice(&s.mm);
        self.cpu.regs[usize::from(gpr::RAX)] = s.rax;
        self.cpu.regs[usize::from(gpr::RCX)] = s.rcx;
        self.cpu.regs[usize::from(gpr::RDX)] = s.rdx;
        self.cpu.flags.set_bits(s.flags & STATUS);
        self.cpu.mxcsr = s.mxcsr as u32;
        for (i, q) in s.memory.iter().enumerate() {
            self.mem.write(DATA + 8 * i as u64, &q.to_le_bytes());
        }
    }

    fn take(&self) -> State {
        let mut s = State {
            rax: self.cpu.regs[usize::from(gpr::RAX)],
            rcx: self.cpu.regs[usize::from(gpr::RCX)],
            rdx: self.cpu.regs[usize::from(gpr::RDX)],
            flags: self.cpu.flags.bits(),
            mxcsr: self.cpu.mxcsr.into(),
            ..State::default()
        };
        for (x, v) in s.xmm.iter_mut().zip(&self.cpu.vectors) {
            *x = v.xmm();
        }
        s.mm.copy_from_slice(&self.cpu.x87.mantissa[..4]);
        for (i, q) in s.memory.iter_mut().enumerate() {
            let mut b = [0; 8];
            self.mem.read(DATA + 8 * i as u64, &mut b);
            *q = u64::from_le_bytes(b);
        }
        s
    }
}

/// A generator of operands that like the edges.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn f32(&mut self) -> u32 {
        const EDGES: [u32; 14] = [
            0,
            1,
            0x7f_ffff,
            0x80_0000,
            0x80_0001,
            0x3f80_0000,
            0x3fc0_0000,
            0x4f00_0000,
            0x5f00_0000,
            0x7f7f_ffff,
            0x7f80_0000,
            0x7f80_0001,
            0x7fc0_0000,
            0x4b00_0001,
        ];
        let sign = (self.next() as u32) << 31;
        let v = self.next() as u32;
        match self.below(6) {
            0 => v,
            1 => EDGES[self.below(EDGES.len())] | sign,
            2 => v & 0x7f_ffff | sign,
            3 => (v & 0x7f_ffff) >> self.below(20) | 0x7f80_0000 | sign,
            // Exponents around those of one and of integers.
            _ => v & 0x7f_ffff | (120 + self.below(44) as u32) << 23 | sign,
        }
    }

    fn f64(&mut self) -> u64 {
        const EDGES: [u64; 12] = [
            0,
            1,
            0xf_ffff_ffff_ffff,
            0x10_0000_0000_0000,
            0x3ff0_0000_0000_0000,
            0x3ff8_0000_0000_0000,
            0x41e0_0000_0000_0000,
            0x43e0_0000_0000_0000,
            0x7fef_ffff_ffff_ffff,
            0x7ff0_0000_0000_0000,
            0x7ff0_0000_0000_0001,
            0x7ff8_0000_0000_0000,
        ];
        const FRACTION: u64 = (1 << 52) - 1;
        let sign = self.next() << 63;
        let v = self.next();
        match self.below(7) {
            0 => v,
            1 => EDGES[self.below(EDGES.len())] | sign,
            2 => v & FRACTION | sign,
            3 => (v & FRACTION) >> self.below(50) | 0x7ff << 52 | sign,
            // The range that single precision has, and its edges.
            4 => v & FRACTION | (865 + self.below(290) as u64) << 52 | sign,
            _ => v & FRACTION | (1015 + self.below(72) as u64) << 52 | sign,
        }
    }

    fn qword(&mut self) -> u64 {
        const BYTES: [u8; 10] = [0, 1, 2, 7, 15, 63, 0x7f, 0x80, 0xff, b'a'];
        match self.below(6) {
            0 => self.next(),
            1 | 2 => u64::from(self.f32()) | u64::from(self.f32()) << 32,
            3 => self.f64(),
            // Small counts.
            4 => self.next() & 0x7f,
            _ => u64::from_le_bytes(std::array::from_fn(|_| BYTES[self.below(BYTES.len())])),
        }
    }

    fn xmm(&mut self) -> u128 {
        match self.below(4) {
            0 => u128::from(self.f64()) | u128::from(self.f64()) << 64,
            1 => (0..4).fold(0, |v, i| v | u128::from(self.f32()) << (32 * i)),
            _ => u128::from(self.qword()) | u128::from(self.qword()) << 64,
        }
    }

    fn state(&mut self) -> State {
        let mut s = State {
            xmm: std::array::from_fn(|_| self.xmm()),
            mm: std::array::from_fn(|_| self.qword()),
            rax: self.qword(),
            rcx: self.qword(),
            rdx: self.qword(),
            flags: self.next() & STATUS,
            // All exceptions masked, any rounding, DAZ and FTZ, some flags.
            mxcsr: 0x1f80 | self.next() & 0x603f,
            memory: std::array::from_fn(|_| self.qword()),
            ..State::default()
        };
        if self.below(2) == 0 {
            s.mxcsr |= self.next() & 0x8040;
        }
        // Lengths of PCMPESTRx.
        if self.below(3) == 0 {
            s.rax = self.below(20) as u64;
            s.rdx = self.below(20) as u64;
        }
        // Equal operands, and operands that are almost equal.
        if self.below(4) == 0 {
            s.xmm[2] = s.xmm[1];
            s.mm[2] = s.mm[1];
            s.memory[0] = s.xmm[1] as u64;
            if self.below(2) == 0 {
                let i = self.below(16);
                s.xmm[2] ^= u128::from(self.next() as u8) << (8 * i);
            }
        }
        s
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod host {
    use super::*;
    use iced_x86::code_asm::*;
    use iced_x86::{
        Code, CpuidFeature, Encoder, EncodingKind, Instruction, OpCodeOperandKind, OpKind, Register,
    };
    use memmap2::{Mmap, MmapMut};

    /// A page of machine code: a stub around one instruction.
    struct Stub {
        page: Mmap,
    }

    impl Stub {
        fn new(instruction: &[u8]) -> Stub {
            let assemble = || -> Result<Vec<u8>, IcedError> {
                let mut a = CodeAssembler::new(64)?;
                let state = r8;
                let moves = |a: &mut CodeAssembler, load: bool| -> Result<(), IcedError> {
                    for (i, x) in [xmm0, xmm1, xmm2, xmm3].into_iter().enumerate() {
                        let at = xmmword_ptr(state + 16 * i as i32);
                        if load { a.movdqu(x, at)? } else { a.movdqu(at, x)? }
                    }
                    for (i, m) in [mm0, mm1, mm2, mm3].into_iter().enumerate() {
                        let at = qword_ptr(state + 64 + 8 * i as i32);
                        if load { a.movq(m, at)? } else { a.movq(at, m)? }
                    }
                    for (i, r) in [rax, rcx, rdx].into_iter().enumerate() {
                        let at = qword_ptr(state + 96 + 8 * i as i32);
                        if load { a.mov(r, at)? } else { a.mov(at, r)? }
                    }
                    Ok(())
                };
                a.mov(state, rdi)?;
                a.lea(rsi, ptr(state + MEMORY as i32))?;
                a.mov(rdi, rsi)?;
                a.ldmxcsr(dword_ptr(state + 128))?;
                moves(&mut a, true)?;
                a.push(qword_ptr(state + 120))?;
                a.popfq()?;
                a.db(instruction)?;
                a.pushfq()?;
                a.pop(qword_ptr(state + 120))?;
                moves(&mut a, false)?;
                a.stmxcsr(dword_ptr(state + 128))?;
                a.emms()?;
                a.push(0x1f80)?;
                a.ldmxcsr(dword_ptr(rsp))?;
                a.pop(rax)?;
                a.ret()?;
                a.assemble(0)
            };
            let code = assemble().expect("the stub assembles");
            let mut page = MmapMut::map_anon(4096).expect("a page");
            page[..code.len()].copy_from_slice(&code);
            Stub { page: page.make_exec().expect("an executable page") }
        }

        fn run(&self, s: &mut State) {
            // SAFETY: the page holds a function with this signature, which touches only the
            // state, its stack, and registers that a call may change, and restores MXCSR.
            let f: extern "sysv64" fn(&mut State) = unsafe { std::mem::transmute(self.page.as_ptr()) };
            f(s);
            s.flags &= STATUS;
        }
    }

    fn wanted(code: Code) -> bool {
        use CpuidFeature as F;
        let o = code.op_code();
        let family = code.cpuid_features().iter().any(|f| {
            matches!(
                f,
                F::MMX
                    | F::SSE
                    | F::SSE2
                    | F::SSE3
                    | F::SSSE3
                    | F::SSE4_1
                    | F::SSE4_2
                    | F::AES
                    | F::PCLMULQDQ
            )
        });
        let name = format!("{code:?}");
        let elsewhere = [
            // Of other groups.
            "Emms", "Lfence", "Mfence", "Sfence", "Prefetch", "Crc32", "Fisttp", "Monitor", "Mwait", "Pause",
            "Clflush", "Popcnt", // Tested below, without the host.
            "Ldmxcsr", "Rcpps", "Rcpss", "Rsqrt",
        ];
        o.is_instruction()
            && o.mode64()
            && o.encoding() == EncodingKind::Legacy
            && family
            && !elsewhere.iter().any(|e| name.starts_with(e))
    }

    /// A machine code of `code` with some registers, from memory if the form allows and
    /// `memory` asks for it; nothing if it has no such form.
    fn encode(code: Code, memory: bool, random: &mut Random) -> Option<(Vec<u8>, Instruction)> {
        use OpCodeOperandKind as K;
        let mut ins = Instruction::default();
        ins.set_code(code);
        let o = code.op_code();
        let mut from_memory = false;
        for i in 0..o.op_count() {
            let xmm = [Register::XMM1, Register::XMM2, Register::XMM3, Register::XMM0][random.below(4)];
            let mm = [Register::MM1, Register::MM2, Register::MM3][random.below(3)];
            let g = random.below(3);
            let r32 = [Register::EAX, Register::ECX, Register::EDX][g];
            let r64 = [Register::RAX, Register::RCX, Register::RDX][g];
            let register = match o.op_kind(i) {
                K::xmm_reg | K::xmm_rm | K::xmm_or_mem => xmm,
                K::mm_reg | K::mm_rm | K::mm_or_mem => mm,
                K::r32_reg | K::r32_rm | K::r32_or_mem | K::r32_reg_mem => r32,
                K::r64_reg | K::r64_rm | K::r64_or_mem | K::r64_reg_mem => r64,
                _ => Register::None,
            };
            match o.op_kind(i) {
                K::imm8 => {
                    ins.set_op_kind(i, OpKind::Immediate8);
                    let v = if random.below(2) == 0 { random.below(32) as u8 } else { random.next() as u8 };
                    ins.set_immediate8(v);
                    continue;
                }
                K::seg_rDI => {
                    ins.set_op_kind(i, OpKind::MemorySegRDI);
                    from_memory = true;
                    continue;
                }
                K::mem => {}
                K::xmm_or_mem
                | K::mm_or_mem
                | K::r32_or_mem
                | K::r64_or_mem
                | K::r32_reg_mem
                | K::r64_reg_mem
                    if memory => {}
                _ if register != Register::None => {
                    ins.set_op_kind(i, OpKind::Register);
                    ins.set_op_register(i, register);
                    continue;
                }
                kind => panic!("{code:?} has an operand of kind {kind:?}"),
            }
            from_memory = true;
            ins.set_op_kind(i, OpKind::Memory);
            ins.set_memory_base(Register::RSI);
            let displacement = [0u64, 16, 32][random.below(3)];
            ins.set_memory_displ_size(1);
            ins.set_memory_displacement64(displacement);
        }
        if from_memory != memory {
            return None;
        }
        let mut encoder = Encoder::new(64);
        // A few forms cannot be had with the prefixes that their operands need.
        encoder.encode(&ins, 0).ok()?;
        Some((encoder.take_buffer(), ins))
    }

    /// Runs `rounds` random cases of each form of each instruction; what differs, a line each.
    fn compare(rounds: usize, seed: u64, filter: &str) -> (usize, usize, Vec<String>) {
        let mut random = Random(seed);
        let mut machine = Machine::new();
        let (mut forms, mut cases, mut bad) = (0, 0, Vec::new());
        for code in Code::values().filter(|c| wanted(*c) && format!("{c:?}").contains(filter)) {
            for memory in [false, true] {
                let mut reported = 0;
                let mut seen = false;
                for _ in 0..rounds.div_ceil(8) {
                    let Some((bytes, ins)) = encode(code, memory, &mut random) else { continue };
                    seen = true;
                    let stub = Stub::new(&bytes);
                    for _ in 0..8 {
                        let before = random.state();
                        let mut native = before;
                        stub.run(&mut native);
                        machine.put(&before);
                        let trap = machine.step(&bytes);
                        let mut ours = machine.take();
                        ours.pad = native.pad;
                        cases += 1;
                        if (trap.is_err() || ours != native) && reported < 2 {
                            reported += 1;
                            bad.push(format!(
                                "{code:?} {bytes:02x?} imm {:x}: {trap:?}\n{}",
                                ins.immediate8(),
                                difference(&before, &ours, &native)
                            ));
                        }
                    }
                }
                forms += usize::from(seen);
            }
        }
        (forms, cases, bad)
    }

    fn difference(before: &State, ours: &State, host: &State) -> String {
        let mut text = format!(
            "  before: xmm {:032x?} mm {:016x?} rax {:x} rcx {:x} rdx {:x} flags {:x} mxcsr {:x}\n    memory {:016x?}\n",
            before.xmm,
            before.mm,
            before.rax,
            before.rcx,
            before.rdx,
            before.flags,
            before.mxcsr,
            before.memory
        );
        let mut line = |what: &str, a: u128, b: u128| {
            if a != b {
                text += &format!("  {what}: ours {a:x}, host {b:x}\n");
            }
        };
        for i in 0..4 {
            line(&format!("xmm{i}"), ours.xmm[i], host.xmm[i]);
            line(&format!("mm{i}"), ours.mm[i].into(), host.mm[i].into());
        }
        line("rax", ours.rax.into(), host.rax.into());
        line("rcx", ours.rcx.into(), host.rcx.into());
        line("rdx", ours.rdx.into(), host.rdx.into());
        line("flags", ours.flags.into(), host.flags.into());
        line("mxcsr", ours.mxcsr.into(), host.mxcsr.into());
        for i in 0..8 {
            line(&format!("memory {i}"), ours.memory[i].into(), host.memory[i].into());
        }
        text
    }

    /// `DEJAVM_SIMD_ROUNDS` asks for longer runs, `DEJAVM_SIMD_SEED` for others.
    #[test]
    fn every_encoding_agrees_with_the_host() {
        let need = ["sse4.2", "aes", "pclmulqdq", "ssse3"];
        let have = [
            is_x86_feature_detected!("sse4.2"),
            is_x86_feature_detected!("aes"),
            is_x86_feature_detected!("pclmulqdq"),
            is_x86_feature_detected!("ssse3"),
        ];
        if have.contains(&false) {
            eprintln!("skipped: this host has not all of {need:?}: {have:?}");
            return;
        }
        let number = |name, default| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
        let filter = std::env::var("DEJAVM_SIMD_FILTER").unwrap_or_default();
        let (forms, cases, bad) =
            compare(number("DEJAVM_SIMD_ROUNDS", 160), number("DEJAVM_SIMD_SEED", 1) as u64, &filter);
        println!("{forms} forms, {cases} cases");
        assert!(bad.is_empty(), "{} differences\n{}", bad.len(), bad.join("\n"));
        assert!(!filter.is_empty() || forms > 600, "only {forms} forms were reached");
    }
}
