//! MMX and SSE instructions: every encoding against the host's own, with random operands, and
//! the faults that no user-level program can compare.
#![allow(unsafe_code, reason = "runs generated machine code on the host, to compare with it")]

use dejavm_interp::engine::Clock;
use dejavm_interp::mem::{Memory, Region};
use dejavm_interp::probe::Probes;
use dejavm_interp::tlb::Tlb;
use dejavm_interp::x86::exec::Exec;
use dejavm_interp::x86::model::Model;
use dejavm_interp::x86::op::REG_RIP;
use dejavm_interp::x86::regs::{cr0, cr4, efer, gpr, right, seg};
use dejavm_interp::x86::trap::Trap;
use dejavm_interp::x86::{Cpu, NoBus, decode};

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
    tlb: Tlb,
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
        Machine { cpu, mem, tlb: Tlb::default() }
    }

    /// Executes one instruction.
    fn step(&mut self, code: &[u8]) -> Result<(), Trap> {
        let mut bytes = [0x90; 15];
        bytes[..code.len()].copy_from_slice(code);
        let Some(op) = decode::decode(&bytes, 8, self.cpu.model) else {
            panic!("{code:x?} is cut short");
        };
        assert_eq!(usize::from(op.len), code.len(), "{code:x?}");
        self.cpu.regs[usize::from(REG_RIP)] = NEXT;
        let mut ex = Exec {
            cpu: &mut self.cpu,
            tlb: &mut self.tlb,
            mem: &mut self.mem,
            bus: &mut NoBus,
            index: 0,
            clock: Clock::default(),
            left: 1,
            budget: 1,
            attention: false,
            probes: &mut Probes::default(),
            pc: 0,
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
            ) || *f == F::SHA && is_x86_feature_detected!("sha")
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

    /// Which of several NaNs a dot product gives depends on the order in which a CPU adds: AMD's order is ours, Intel's
    /// is another. Where both results are NaNs, they count as the same.
    fn same_of_several_nans(ins: &Instruction, ours: &mut State, native: &State) {
        let (bits, quiet) = match ins.mnemonic() {
            iced_x86::Mnemonic::Dpps => (32, 0x7fc0_0000),
            iced_x86::Mnemonic::Dppd => (64, 0x7ff8_0000_0000_0000),
            _ => return,
        };
        for (a, b) in ours.xmm.iter_mut().zip(native.xmm) {
            for lane in (0..128).step_by(bits) {
                let nan = |v: u128| v >> lane & quiet == quiet;
                if nan(*a) && nan(b) {
                    let mask = (u128::MAX >> (128 - bits)) << lane;
                    *a = *a & !mask | b & mask;
                }
            }
        }
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
                        same_of_several_nans(&ins, &mut ours, &native);
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

/// Bytes of the instructions that the tests below use, with (RSI) or register operands.
mod code {
    pub const ADDPS_MEM: &[u8] = &[0x0f, 0x58, 0x0e];
    pub const ADDPS: &[u8] = &[0x0f, 0x58, 0xca];
    pub const ADDSS: &[u8] = &[0xf3, 0x0f, 0x58, 0xca];
    pub const DIVPS: &[u8] = &[0x0f, 0x5e, 0xca];
    pub const SQRTPS: &[u8] = &[0x0f, 0x51, 0xca];
    pub const DPPS_FF: &[u8] = &[0x66, 0x0f, 0x3a, 0x40, 0xca, 0xff];
    pub const MOVUPS_LOAD: &[u8] = &[0x0f, 0x10, 0x0e];
    pub const MOVAPS_LOAD: &[u8] = &[0x0f, 0x28, 0x0e];
    pub const MOVAPS_STORE: &[u8] = &[0x0f, 0x29, 0x0e];
    pub const MOVUPS_STORE: &[u8] = &[0x0f, 0x11, 0x0e];
    pub const MOVNTDQ: &[u8] = &[0x66, 0x0f, 0xe7, 0x0e];
    pub const MOVNTI: &[u8] = &[0x0f, 0xc3, 0x06];
    pub const LDDQU: &[u8] = &[0xf2, 0x0f, 0xf0, 0x0e];
    pub const PCMPISTRI: &[u8] = &[0x66, 0x0f, 0x3a, 0x63, 0x0e, 0x00];
    pub const PADDB_MEM: &[u8] = &[0x66, 0x0f, 0xfc, 0x0e];
    pub const PADDB_MM: &[u8] = &[0x0f, 0xfc, 0xca];
    pub const PADDB_MM_MEM: &[u8] = &[0x0f, 0xfc, 0x0e];
    pub const MOVQ_STORE_MM: &[u8] = &[0x0f, 0x7f, 0x0e];
    pub const PUNPCKLBW_MM_MEM: &[u8] = &[0x0f, 0x60, 0x0e];
    pub const CVTPI2PS: &[u8] = &[0x0f, 0x2a, 0xca];
    pub const CVTPI2PS_MEM: &[u8] = &[0x0f, 0x2a, 0x0e];
    pub const CVTPI2PD_MEM: &[u8] = &[0x66, 0x0f, 0x2a, 0x0e];
    pub const CVTPS2PI: &[u8] = &[0x0f, 0x2d, 0xca];
    pub const MOVDQ2Q: &[u8] = &[0xf2, 0x0f, 0xd6, 0xca];
    pub const UCOMISS: &[u8] = &[0x0f, 0x2e, 0xca];
    pub const LDMXCSR: &[u8] = &[0x0f, 0xae, 0x16];
    pub const STMXCSR: &[u8] = &[0x0f, 0xae, 0x1e];
    pub const MASKMOVDQU: &[u8] = &[0x66, 0x0f, 0xf7, 0xca];
    pub const MASKMOVQ: &[u8] = &[0x0f, 0xf7, 0xca];
    pub const RCPPS: &[u8] = &[0x0f, 0x53, 0xca];
    pub const RSQRTSS: &[u8] = &[0xf3, 0x0f, 0x52, 0xca];
}
use code::*;

/// Four floats, the first in the low lane.
fn floats(v: [f32; 4]) -> u128 {
    v.iter().rev().fold(0, |x, f| x << 32 | u128::from(f.to_bits()))
}

#[test]
fn control_registers_disable() {
    let sse = [ADDPS, ADDPS_MEM, MOVUPS_LOAD, MOVAPS_STORE, UCOMISS, STMXCSR, PCMPISTRI, RCPPS, PADDB_MEM];
    let mmx = [PADDB_MM, PADDB_MM_MEM, MOVQ_STORE_MM, MASKMOVQ];
    let mixed = [CVTPI2PS, CVTPS2PI, MOVDQ2Q];
    let outcome = |code: &[u8], cr0: u64, no_sse: bool, pending: bool| {
        let mut m = Machine::new();
        m.cpu.cr0 |= cr0;
        if no_sse {
            m.cpu.cr4 &= !cr4::OSFXSR;
        }
        if pending {
            m.cpu.x87.status |= 0x8081;
            m.cpu.x87.control &= !1;
        }
        let before = m.take();
        let r = m.step(code);
        if r.is_err() {
            assert_eq!(before, m.take());
        }
        r
    };
    for code in sse {
        assert_eq!(outcome(code, 0, false, true), Ok(()), "{code:x?}");
        assert_eq!(outcome(code, cr0::TS, false, false), Err(Trap::NM), "{code:x?}");
        assert_eq!(outcome(code, cr0::TS | cr0::EM, false, false), Err(Trap::UD), "{code:x?}");
        assert_eq!(outcome(code, cr0::TS, true, false), Err(Trap::UD), "{code:x?}");
        assert_eq!(outcome(code, 0, true, false), Err(Trap::UD), "{code:x?}");
    }
    for code in mmx {
        assert_eq!(outcome(code, 0, true, false), Ok(()), "{code:x?}");
        assert_eq!(outcome(code, cr0::TS, false, true), Err(Trap::NM), "{code:x?}");
        assert_eq!(outcome(code, cr0::TS | cr0::EM, false, true), Err(Trap::UD), "{code:x?}");
        assert_eq!(outcome(code, 0, false, true), Err(Trap::MF), "{code:x?}");
    }
    for code in mixed {
        assert_eq!(outcome(code, 0, true, true), Err(Trap::UD), "{code:x?}");
        assert_eq!(outcome(code, cr0::TS, false, true), Err(Trap::NM), "{code:x?}");
        assert_eq!(outcome(code, 0, false, true), Err(Trap::MF), "{code:x?}");
        assert_eq!(outcome(code, 0, false, false), Ok(()), "{code:x?}");
    }
    assert_eq!(outcome(MOVNTI, cr0::TS | cr0::EM, true, true), Ok(()));
}

#[test]
fn alignment_is_checked_where_the_manual_says() {
    let mut m = Machine::new();
    m.cpu.regs[usize::from(gpr::RSI)] = DATA + 8;
    for code in [ADDPS_MEM, MOVAPS_LOAD, MOVAPS_STORE, MOVNTDQ, PADDB_MEM] {
        let before = m.take();
        assert_eq!(m.step(code), Err(Trap::GP), "{code:x?}");
        assert_eq!(m.take(), before);
    }
    // Page crossings too.
    m.cpu.regs[usize::from(gpr::RSI)] = DATA + 0xff9;
    for code in [MOVUPS_STORE, MOVUPS_LOAD, LDDQU, PCMPISTRI, PADDB_MM_MEM] {
        assert_eq!(m.step(code), Ok(()), "{code:x?}");
    }
    let value = 0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100;
    m.cpu.vectors[1].set_xmm(value);
    assert_eq!(m.step(MOVUPS_STORE), Ok(()));
    let mut bytes = [0; 16];
    m.mem.read(DATA + 0xff9, &mut bytes);
    assert_eq!(u128::from_le_bytes(bytes), value);
    m.cpu.vectors[1].set_xmm(0);
    assert_eq!(m.step(MOVUPS_LOAD), Ok(()));
    assert_eq!(m.cpu.vectors[1].xmm(), value);
}

#[test]
fn legacy_encodings_keep_the_upper_half() {
    let mut m = Machine::new();
    m.cpu.vectors[1].0 = [1, 2, 3, 4];
    for code in [ADDPS, MOVUPS_LOAD, ADDSS, PADDB_MEM, RCPPS] {
        assert_eq!(m.step(code), Ok(()));
        assert_eq!(m.cpu.vectors[1].0[2..], [3, 4], "{code:x?}");
    }
}

#[test]
fn mmx_instructions_take_the_x87_registers() {
    let dirty = || {
        let mut m = Machine::new();
        m.cpu.x87.status = 5 << 11;
        m.cpu.x87.used = 0x21;
        m.cpu.x87.sign_exp = [0x3fff; 8];
        m
    };
    let mut m = dirty();
    assert_eq!(m.step(PADDB_MM), Ok(()));
    assert_eq!((m.cpu.x87.status, m.cpu.x87.used), (0, 0xff));
    assert_eq!(m.cpu.x87.sign_exp[1], 0xffff, "written");
    assert_eq!(m.cpu.x87.sign_exp[2], 0x3fff, "only read");
    for code in [MOVQ_STORE_MM, MASKMOVQ, CVTPI2PS, CVTPS2PI, MOVDQ2Q, PUNPCKLBW_MM_MEM] {
        let mut m = dirty();
        assert_eq!(m.step(code), Ok(()));
        assert_eq!((m.cpu.x87.status, m.cpu.x87.used), (0, 0xff), "{code:x?}");
    }
    for code in [CVTPI2PD_MEM, CVTPI2PS_MEM] {
        let mut m = dirty();
        assert_eq!(m.step(code), Ok(()));
        assert_eq!((m.cpu.x87.status, m.cpu.x87.used), (5 << 11, 0x21), "{code:x?} has no MMX register");
    }
    // A fault leaves the x87 as it was.
    let mut m = dirty();
    m.cpu.regs[usize::from(gpr::RSI)] = 1 << 63;
    assert_eq!(m.step(PADDB_MM_MEM), Err(Trap::GP));
    assert_eq!((m.cpu.x87.status, m.cpu.x87.used), (5 << 11, 0x21));
    assert_eq!(m.cpu.x87.sign_exp, [0x3fff; 8]);
}

/// Flags and masks of MXCSR, by bit.
const IE: u32 = 1;
const DE: u32 = 2;
const ZE: u32 = 4;
const OE: u32 = 8;
const UE: u32 = 16;
const PE: u32 = 32;

/// Runs with the exceptions `unmasked`: the trap, the flags, and whether XMM1 changed.
fn exceptions(code: &[u8], unmasked: u32, a: u128, b: u128) -> (Result<(), Trap>, u32, bool) {
    let mut m = Machine::new();
    m.cpu.mxcsr = 0x1f80 & !(unmasked << 7);
    m.cpu.vectors[1].set_xmm(a);
    m.cpu.vectors[2].set_xmm(b);
    let r = m.step(code);
    (r, m.cpu.mxcsr & 0x3f, m.cpu.vectors[1].xmm() != a)
}

#[test]
fn unmasked_exceptions_fault_and_keep_the_destination() {
    let tiny = f32::from_bits(1);
    let (xm, ok) = (Err(Trap::XM), Ok(()));
    // Lanes: 1/0, 1/3, 0/0, denormal/3.
    let a = floats([1.0, 1.0, 0.0, tiny]);
    let b = floats([0.0, 3.0, 0.0, 3.0]);
    assert_eq!(exceptions(DIVPS, 0, a, b), (ok, IE | DE | ZE | UE | PE, true));
    // Before the computation: all of that kind, none that follows from computing.
    for unmasked in [IE, ZE, IE | PE, DE | UE] {
        assert_eq!(exceptions(DIVPS, unmasked, a, b), (xm, IE | DE | ZE, false), "{unmasked:x}");
    }
    // After it: all.
    assert_eq!(exceptions(DIVPS, PE, a, b), (xm, IE | DE | ZE | UE | PE, false));
    let (a, b) = (floats([f32::MAX, 1.0, 1.0, 1.0]), floats([f32::MAX, 1.0, 1.0, 1.0]));
    assert_eq!(exceptions(ADDPS, 0, a, b), (ok, OE | PE, true));
    // Exact, had the exponent more room: no PE.
    assert_eq!(exceptions(ADDPS, OE, a, b), (xm, OE, false));
    assert_eq!(exceptions(ADDSS, OE, a, b), (xm, OE, false));
    // An unmasked exception that does not occur.
    assert_eq!(exceptions(ADDPS, IE | DE | ZE | UE, a, b), (ok, OE | PE, true));
    // An exact denormal result is an underflow only when that is unmasked.
    let (a, b) =
        (floats([f32::from_bits(0x80_0001), 0.0, 0.0, 0.0]), floats([-f32::MIN_POSITIVE, 0.0, 0.0, 0.0]));
    assert_eq!(exceptions(ADDPS, 0, a, b), (ok, 0, true));
    assert_eq!(exceptions(ADDPS, UE, a, b), (xm, UE, false));
    let negative = floats([-1.0; 4]);
    assert_eq!(exceptions(SQRTPS, IE, 0, negative), (xm, IE, false));
    // Stages of the dot product: the overflow of a product ends it before the sums.
    let (a, b) = (floats([f32::MAX, f32::MAX, 1.0, 1.0]), floats([2.0, -2.0, 1.0, 1.0]));
    assert_eq!(exceptions(DPPS_FF, 0, a, b), (ok, IE | OE | PE, true));
    assert_eq!(exceptions(DPPS_FF, OE, a, b), (xm, OE, false));
    assert_eq!(exceptions(DPPS_FF, IE, a, b), (xm, IE | OE | PE, false));
}

#[test]
fn unmasked_exceptions_are_invalid_opcodes_without_osxmmexcpt() {
    let mut m = Machine::new();
    m.cpu.cr4 &= !cr4::OSXMMEXCPT;
    m.cpu.mxcsr = 0;
    m.cpu.vectors[1].set_xmm(floats([1.0; 4]));
    assert_eq!(m.step(DIVPS), Err(Trap::UD));
    assert_eq!(m.cpu.mxcsr, ZE);
}

#[test]
fn comparisons_that_fault_keep_the_flags() {
    let mut m = Machine::new();
    m.cpu.mxcsr = 0x1f80 & !(IE << 7);
    m.cpu.flags.set_bits(STATUS);
    m.cpu.vectors[1].set_xmm(0x7f80_0001);
    assert_eq!(m.step(UCOMISS), Err(Trap::XM));
    assert_eq!(m.cpu.flags.bits(), STATUS);
    m.cpu.vectors[1].set_xmm(0x7fc0_0001);
    assert_eq!(m.step(UCOMISS), Ok(()));
    assert_eq!(m.cpu.flags.bits(), 0x45, "unordered");
}

#[test]
fn mxcsr_has_no_upper_bits() {
    let mut m = Machine::new();
    for (v, result) in [(0xffff_u32, Ok(())), (0x1_0000, Err(Trap::GP)), (0x8000_1f80, Err(Trap::GP))] {
        m.mem.write(DATA, &v.to_le_bytes());
        assert_eq!(m.step(LDMXCSR), result, "{v:x}");
        assert_eq!(m.cpu.mxcsr, 0xffff);
    }
    m.mem.write(DATA, &[0; 4]);
    assert_eq!(m.step(STMXCSR), Ok(()));
    let mut bytes = [0; 4];
    m.mem.read(DATA, &mut bytes);
    assert_eq!(bytes, [0xff, 0xff, 0, 0]);
}

#[test]
fn masked_stores_touch_the_chosen_bytes_only() {
    let mut m = Machine::new();
    m.cpu.vectors[1].set_xmm(0x1110_0f0e_0d0c_0b0a_0908_0706_0504_0302);
    m.cpu.vectors[2].set_xmm(0x80);
    // The whole operand must be canonical.
    for (rdi, result) in [((1 << 47) - 16, Ok(())), ((1 << 47) - 15, Err(Trap::GP)), (u64::MAX << 47, Ok(()))]
    {
        m.cpu.regs[usize::from(gpr::RDI)] = rdi;
        assert_eq!(m.step(MASKMOVDQU), result, "{rdi:x}");
    }
    // With alignment checks on, MASKMOVQ's must be aligned; MASKMOVDQU's need not.
    m.cpu.cpl = 3;
    m.cpu.cr0 |= cr0::AM;
    m.cpu.rflags |= 1 << 18;
    m.cpu.regs[usize::from(gpr::RDI)] = DATA + 4;
    assert_eq!(m.step(MASKMOVQ), Err(Trap::AC));
    assert_eq!(m.step(MASKMOVDQU), Ok(()));
    m.cpu.regs[usize::from(gpr::RDI)] = DATA + 0xfff;
    m.cpu.vectors[2].set_xmm(0x80ff_007f << 32 | 0x8000_0080);
    m.mem.write(DATA + 0xfff, &[0xaa; 16]);
    assert_eq!(m.step(MASKMOVDQU), Ok(()));
    let mut bytes = [0; 16];
    m.mem.read(DATA + 0xfff, &mut bytes);
    assert_eq!(bytes[..9], [2, 0xaa, 0xaa, 5, 0xaa, 0xaa, 8, 9, 0xaa]);
}

#[test]
fn a_narrow_mmx_operand_is_read_as_narrow() {
    let mut m = Machine::new();
    // The last four bytes below the hole of non-canonical addresses.
    m.cpu.regs[usize::from(gpr::RSI)] = (1 << 47) - 4;
    assert_eq!(m.step(PUNPCKLBW_MM_MEM), Ok(()));
    assert_eq!(m.step(PADDB_MM_MEM), Err(Trap::GP));
}

#[test]
fn approximations_ignore_mxcsr() {
    let mut m = Machine::new();
    // Everything unmasked: nothing is reported.
    m.cpu.mxcsr = 0;
    m.cpu.vectors[2].set_xmm(0x7f80_0001_0000_0001_8000_0000_4080_0000);
    assert_eq!(m.step(RCPPS), Ok(()));
    assert_eq!(m.cpu.vectors[1].xmm(), 0x7fc0_0001_7f80_0000_ff80_0000_3e80_0000);
    assert_eq!(m.step(RSQRTSS), Ok(()));
    assert_eq!(m.cpu.vectors[1].xmm(), 0x7fc0_0001_7f80_0000_ff80_0000_3f00_0000);
    assert_eq!(m.cpu.mxcsr, 0);
}
