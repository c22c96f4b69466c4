//! Guest instructions per second of the interpreter, on a few guest loops.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dejavm::machine::loader::start::{PAGE_TABLES, Start, identity_tables};
use dejavm_interp::engine::{Clock, Engine, Stop};
use dejavm_interp::mem::{Memory, Region};
use dejavm_interp::x86::model::Model;
use dejavm_interp::x86::{Cpu, Interpreter, NoBus, X86Bus};
use iced_x86::code_asm::*;

/// Steps of one iteration of the bench.
const STEPS: u64 = 1_000_000;
const CODE: u64 = 0x10_0000;
const DATA: u64 = 0x20_0000;
const STACK: u64 = 0x30_0000;

/// Assembles an endless loop around `body`.
fn endless(body: impl Fn(&mut CodeAssembler)) -> Vec<u8> {
    let mut a = CodeAssembler::new(64).expect("64-bit code");
    let mut top = a.create_label();
    a.set_label(&mut top).expect("a fresh label");
    body(&mut a);
    a.jmp(top).expect("a jump");
    a.assemble(CODE).expect("encodable instructions")
}

fn integer(a: &mut CodeAssembler) {
    a.add(rax, rbx).unwrap();
    a.xor(rbx, rcx).unwrap();
    a.imul_2(rcx, rax).unwrap();
    a.rol(rbx, 7).unwrap();
    a.lea(rdx, qword_ptr(rax + rbx * 4 + 3)).unwrap();
    a.sub(rcx, rdx).unwrap();
    a.test(rcx, rcx).unwrap();
    let mut skip = a.create_label();
    a.js(skip).unwrap();
    a.inc(rsi).unwrap();
    a.set_label(&mut skip).unwrap();
    a.nop().unwrap();
}

fn memory(a: &mut CodeAssembler) {
    a.mov(rax, qword_ptr(rdi + rcx * 8)).unwrap();
    a.add(rax, rbx).unwrap();
    a.mov(qword_ptr(rdi + rcx * 8), rax).unwrap();
    a.add(qword_ptr(rdi + 8), 3).unwrap();
    a.inc(rcx).unwrap();
    a.and(ecx, 0xfff).unwrap();
}

fn calls(a: &mut CodeAssembler) {
    let mut function = a.create_label();
    let mut over = a.create_label();
    a.jmp(over).unwrap();
    a.set_label(&mut function).unwrap();
    a.push(rbx).unwrap();
    a.mov(rbx, rax).unwrap();
    a.inc(rax).unwrap();
    a.pop(rbx).unwrap();
    a.ret().unwrap();
    a.set_label(&mut over).unwrap();
    a.call(function).unwrap();
    a.call(function).unwrap();
}

fn strings(a: &mut CodeAssembler) {
    a.mov(rsi, DATA).unwrap();
    a.mov(rdi, DATA + 0x8000).unwrap();
    a.mov(ecx, 512).unwrap();
    a.rep().movsq().unwrap();
}

fn loops(c: &mut Criterion) {
    let mut group = c.benchmark_group("interpreter");
    group.throughput(Throughput::Elements(STEPS));
    for (name, code) in [
        ("integer", endless(integer)),
        ("memory", endless(memory)),
        ("calls", endless(calls)),
        ("strings", endless(strings)),
    ] {
        let mut mem = Memory::new(16 << 20).expect("16 MiB");
        mem.set_regions(vec![Region { start: 0, len: 16 << 20, offset: 0, writable: true }])
            .expect("one region");
        assert!(mem.load(PAGE_TABLES, &identity_tables()) && mem.load(CODE, &code));
        let mut cpu = Cpu::new(Model::Qemu64, 0, true);
        Start::Long { entry: CODE, rsi: 0 }.apply(&mut cpu);
        cpu.regs[4] = STACK;
        cpu.regs[7] = DATA;
        let mut engine = Interpreter::new();
        let mut clock = Clock { icount: 0, shift: 3, warp: 0 };
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| {
                let bus: &mut dyn X86Bus = &mut NoBus;
                let exit = engine.run(&mut cpu, 0, &mut mem, bus, clock, STEPS);
                assert_eq!((exit.steps, &exit.stop), (STEPS, &Stop::Budget));
                clock.icount += STEPS;
            });
        });
    }
    group.finish();
}

criterion_group!(benches, loops);
criterion_main!(benches);
