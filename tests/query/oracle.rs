//! Each question against single steps: instructions decoded where the machine stands, registers
//! and memory before and after each.

use crate::guest::{ask, demo, try_ask};
use dejavm::debug::query::{Event, Hex, Row};
use dejavm::machine::build::EngineKind;
use dejavm::machine::pc::Pc;
use dejavm::replay::Output;
use dejavm::replay::replayer::{Replayer, Watcher};
use dejavm::replay::runner::Runner;
use dejavm::replay::tape::Tape;
use dejavm::timeline::{Control, Timeline};
use dejavm_interp::mem::Place;
use dejavm_interp::x86::Cpu;
use iced_x86::{
    Code, Decoder, DecoderOptions, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Steps of a window.
const WINDOW: u64 = 4000;

/// What one step did, as seen from before and after it.
struct Step {
    icount: u64,
    before: Cpu,
    after: Cpu,
    instruction: Instruction,
    /// The vector whose handler was entered.
    entered: Option<u8>,
    /// Accesses to RAM: physical address, bytes, read, written.
    accesses: Vec<(u64, u64, bool, bool)>,
}

fn cpu(t: &mut Timeline<Pc>) -> Cpu {
    t.machine().state.board.cpus()[0].clone()
}

fn read(t: &mut Timeline<Pc>, addr: u64, len: usize) -> Vec<u8> {
    let machine = t.machine();
    let mut bytes = vec![0; len];
    for (i, byte) in bytes.iter_mut().enumerate() {
        let phys =
            dejavm_interp::x86::mmu::probe(&machine.state.board.cpus()[0], &machine.mem, addr + i as u64);
        machine.mem.read(phys.unwrap_or(u64::MAX - 0xfff), std::slice::from_mut(byte));
    }
    bytes
}

/// Handlers by their address.
fn handlers(t: &mut Timeline<Pc>, cpu: &Cpu) -> BTreeMap<u64, u8> {
    let mut map = BTreeMap::new();
    for vector in 0..=255u8 {
        if u64::from(vector) * 16 + 15 > cpu.idtr.limit.into() {
            break;
        }
        let gate = read(t, cpu.idtr.base + u64::from(vector) * 16, 16);
        let part = |range: std::ops::Range<usize>| {
            gate[range].iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte))
        };
        if gate[5] & 0x80 != 0 {
            map.insert(part(0..2) | part(6..8) << 16 | part(8..12) << 32, vector);
        }
    }
    map
}

fn register(cpu: &Cpu, r: iced_x86::Register) -> Option<u64> {
    if r.is_segment_register() {
        let name = format!("{r:?}").to_lowercase() + "_base";
        return cpu.register(&name).map(|v| v as u64);
    }
    if r == iced_x86::Register::RIP {
        return Some(cpu.rip());
    }
    let full = format!("{:?}", r.full_register()).to_lowercase();
    let value = cpu.register(&full)? as u64;
    Some(if r.size() == 4 { value & 0xffff_ffff } else { value })
}

fn trace(t: &mut Timeline<Pc>, from: u64, steps: u64) -> Vec<Step> {
    let mut factory = InstructionInfoFactory::new();
    let mut all = Vec::new();
    t.seek(from, &mut ()).unwrap();
    for icount in from..from + steps {
        let before = cpu(t);
        let bytes = read(t, before.linear_pc(), 15);
        let bits = 8 * u32::from(before.code_size());
        let instruction = Decoder::with_ip(bits, &bytes, before.rip(), DecoderOptions::NONE).decode();
        let mut accesses = Vec::new();
        let none = instruction.has_rep_prefix() && before.regs[1] == 0;
        for used in factory.info(&instruction).used_memory().iter().filter(|_| !none) {
            let addr = used.virtual_address(0, |r, _, _| register(&before, r)).unwrap();
            let machine = t.machine();
            let phys = dejavm_interp::x86::mmu::probe(&before, &machine.mem, addr);
            let Some(phys) = phys.filter(|&p| matches!(machine.mem.place(p), Place::Ram(_))) else {
                continue;
            };
            use OpAccess::{CondRead, CondWrite, Read, ReadCondWrite, ReadWrite, Write};
            let access = used.access();
            let loads = matches!(access, Read | CondRead | ReadWrite | ReadCondWrite);
            let stores = matches!(access, Write | CondWrite | ReadWrite | ReadCondWrite);
            // With a repeat prefix iced does not say how long; a step is one element.
            let len = match used.memory_size().size() {
                0 => instruction.memory_size().size(),
                len => len,
            };
            accesses.push((phys, len as u64, loads, stores));
        }
        t.step(1, &mut ()).unwrap();
        let after = cpu(t);
        let entered = handlers(t, &after).get(&after.rip()).copied();
        all.push(Step { icount, before, after, instruction, entered, accesses });
    }
    all
}

/// Beginnings of windows: about exceptions, and elsewhere.
fn windows(t: &mut Timeline<Pc>) -> Vec<u64> {
    let end = t.end();
    let mut starts: Vec<u64> = (1..6).map(|i| end / 6 * i).collect();
    let exceptions = ask(t, "exceptions");
    assert!(exceptions.len() >= 4, "{exceptions:?}");
    starts.extend(exceptions.iter().step_by(2).take(3).map(|r| r.icount - WINDOW / 3));
    starts.retain(|&s| s + WINDOW < end);
    starts
}

fn within(t: &mut Timeline<Pc>, question: &str, from: u64) -> Vec<Row> {
    ask(t, &format!("{question} --from {from} --to {}", from + WINDOW))
}

#[test]
fn steps_show_the_same() {
    let mut t = demo();
    let mut totals = [0; 6];
    for from in windows(&mut t) {
        let trace = trace(&mut t, from, WINDOW);
        totals[0] += events(&mut t, from, &trace);
        totals[1] += ports(&mut t, from, &trace);
        totals[2] += executions(&mut t, from, &trace);
        let (writes, reads) = accesses(&mut t, from, &trace);
        totals[3] += writes;
        totals[4] += reads;
    }
    totals[5] = console(&mut t);
    assert!(totals.iter().all(|&n| n > 3), "every question had something to find: {totals:?}");
}

/// Interrupts and exceptions.
fn events(t: &mut Timeline<Pc>, from: u64, trace: &[Step]) -> usize {
    let mut expected = Vec::new();
    for s in trace {
        let Some(vector) = s.entered else { continue };
        let software = s.instruction.code() == Code::Int_imm8;
        let pc = Hex(s.before.linear_pc());
        let event = if vector >= 32 || vector == 2 || software {
            Event::Interrupt { vector, software }
        } else {
            let has_code = [8, 10, 11, 12, 13, 14, 17].contains(&vector);
            let code = has_code.then(|| {
                t.seek(s.icount + 1, &mut ()).unwrap();
                let code = read(t, s.after.regs[4], 8);
                Hex(u64::from_le_bytes(code.try_into().unwrap()))
            });
            let names = [(3, "#BP"), (6, "#UD"), (7, "#NM"), (13, "#GP"), (14, "#PF"), (0, "#DE")];
            let name = names.iter().find(|n| n.0 == vector).map(|n| n.1);
            let address = (vector == 14).then_some(Hex(s.after.cr2));
            Event::Exception { vector, name, code, address }
        };
        expected.push((s.icount, pc, event));
    }
    let mut found = within(t, "interrupts", from);
    found.extend(within(t, "exceptions", from));
    found.sort_by_key(|r| r.icount);
    let found: Vec<_> = found.into_iter().map(|r| (r.icount, r.pc, r.event)).collect();
    assert_eq!(found, expected, "from {from}");
    for (icount, _, event) in &expected {
        let question = match event {
            Event::Interrupt { vector, .. } => format!("interrupts {vector}"),
            Event::Exception { vector, .. } => format!("exceptions {vector}"),
            _ => unreachable!(),
        };
        assert!(within(t, &question, from).iter().any(|r| r.icount == *icount), "{question}");
        assert!(!within(t, "exceptions 21", from).iter().any(|r| r.icount == *icount));
    }
    expected.len()
}

fn ports(t: &mut Timeline<Pc>, from: u64, trace: &[Step]) -> usize {
    let mut expected = Vec::new();
    for s in trace.iter().filter(|s| s.entered.is_none()) {
        let i = &s.instruction;
        let write = match i.mnemonic() {
            Mnemonic::In => false,
            Mnemonic::Out => true,
            _ => continue,
        };
        let (data, port) = if write { (1, 0) } else { (0, 1) };
        let port = match i.op_kind(port) {
            OpKind::Immediate8 => u64::from(i.immediate8()),
            _ => s.before.regs[2] & 0xffff,
        };
        let len = i.op_register(data).size() as u8;
        let rax = if write { s.before.regs[0] } else { s.after.regs[0] };
        let value = Hex(rax & (u64::MAX >> (64 - 8 * u32::from(len))));
        expected.push((s.icount, Event::Port { port: Hex(port), len, write, value }));
    }
    let all = within(t, "io", from);
    let found: Vec<_> = all
        .into_iter()
        .filter(|r| matches!(r.event, Event::Port { .. }))
        .map(|r| (r.icount, r.event))
        .collect();
    assert_eq!(found, expected, "from {from}");
    if let Some((_, Event::Port { port, .. })) = expected.first() {
        let one: Vec<_> = within(t, &format!("io {port}-{port}"), from);
        let wanted = |e: &&(u64, Event)| matches!(e.1, Event::Port { port: p, .. } if p == *port);
        assert_eq!(one.len(), expected.iter().filter(wanted).count());
    }
    expected.len()
}

fn executions(t: &mut Timeline<Pc>, from: u64, trace: &[Step]) -> usize {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    for s in trace {
        *counts.entry(s.before.linear_pc()).or_default() += 1;
    }
    let most = counts.iter().max_by_key(|c| c.1).map(|c| *c.0).unwrap();
    let some = counts.keys().step_by(counts.len() / 3 + 1).copied();
    let mut total = 0;
    for pc in some.chain([most]) {
        // An interrupt from outside is entered instead of the instruction.
        let outside = |s: &Step| s.entered.is_some_and(|v| v >= 32) && s.instruction.code() != Code::Int_imm8;
        let at = |s: &&Step| s.before.linear_pc() == pc && !outside(s);
        let expected: Vec<u64> = trace.iter().filter(at).map(|s| s.icount).collect();
        let rows = within(t, &format!("executions {pc:#x}"), from);
        assert!(rows.iter().all(|r| r.pc == Hex(pc) && r.event == Event::Execution && r.cpu == 0));
        assert_eq!(rows.iter().map(|r| r.icount).collect::<Vec<_>>(), expected, "{pc:#x} from {from}");
        total += rows.len();
    }
    total
}

/// Reads and writes of the addresses that are read and written most, the stack apart: entering a
/// handler writes there without an instruction that says so.
fn accesses(t: &mut Timeline<Pc>, from: u64, trace: &[Step]) -> (usize, usize) {
    let mut totals = (0, 0);
    for store in [true, false] {
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        for s in trace {
            for a in s.accesses.iter().filter(|a| if store { a.3 } else { a.2 }) {
                if a.0.abs_diff(s.before.regs[4]) > 0x4000 {
                    *counts.entry(a.0 & !7).or_default() += 1;
                }
            }
        }
        let Some(addr) = counts.iter().max_by_key(|c| c.1).map(|c| *c.0) else { continue };
        let mut expected = Vec::new();
        for s in trace.iter().filter(|s| s.entered.is_none()) {
            for &(start, len, loads, stores) in &s.accesses {
                let (first, last) = (start.max(addr), (start + len).min(addr + 8));
                if first >= last || !(if store { stores } else { loads }) {
                    continue;
                }
                let len = (last - first) as u8;
                t.seek(s.icount, &mut ()).unwrap();
                let old = value(t, first, len);
                t.step(1, &mut ()).unwrap();
                let new = value(t, first, len);
                let place = Hex(first);
                expected.push((
                    s.icount,
                    Hex(s.before.linear_pc()),
                    if store {
                        Event::Write { addr: place, phys: place, len, old, new }
                    } else {
                        Event::Read { addr: place, phys: place, len, value: old }
                    },
                ));
            }
        }
        let name = if store { "writes" } else { "reads" };
        let rows = within(t, &format!("{name} phys:{addr:#x}:8"), from);
        let found: Vec<_> = rows.into_iter().map(|r| (r.icount, r.pc, r.event)).collect();
        assert_eq!(found, expected, "{name} of {addr:#x} from {from}");
        if store {
            totals.0 += found.len();
            last_writes(t, addr, from, &expected);
        } else {
            totals.1 += found.len();
        }
    }
    totals
}

fn value(t: &mut Timeline<Pc>, phys: u64, len: u8) -> Hex {
    let mem = &t.machine().mem;
    match mem.place(phys) {
        Place::Ram(offset) => Hex(mem.value(offset, len)),
        other => panic!("{phys:#x}: {other:?}"),
    }
}

fn last_writes(t: &mut Timeline<Pc>, addr: u64, from: u64, writes: &[(u64, Hex, Event)]) {
    for before in [from + WINDOW, from + WINDOW / 2, from + 1] {
        let expected: Vec<_> = writes.iter().rev().filter(|w| w.0 < before).take(3).collect();
        let line = format!("last-write phys:{addr:#x}:8 --before {before} --from {from}");
        let rows = ask(t, &line);
        let found: Vec<_> = rows.iter().map(|r| (r.icount, r.pc, r.event.clone())).collect();
        assert_eq!(found.first(), expected.first().copied(), "{line}");
        let three = ask(t, &format!("{line} --limit 3"));
        assert_eq!(
            three.iter().map(|r| r.icount).collect::<Vec<_>>(),
            expected.iter().map(|w| w.0).collect::<Vec<_>>()
        );
        for row in rows {
            t.seek(row.icount, &mut ()).unwrap();
            assert_eq!((t.icount(), Hex(cpu(t).linear_pc())), (row.icount, row.pc), "seeking lands there");
        }
    }
}

#[derive(Default)]
struct Printed(Vec<(u64, u8)>);

impl Watcher for Printed {
    fn output(&mut self, icount: u64, output: &Output) {
        if let Output::Serial { port: 0, byte } = output {
            self.0.push((icount, *byte));
        }
    }
}

fn console(t: &mut Timeline<Pc>) -> usize {
    let recording = t.recording().clone();
    let bytes = std::fs::read(crate::guest::DEMO).unwrap();
    let config = &recording.header.machine;
    let image = &config.images[0];
    let images = dejavm::machine::config::Images(vec![dejavm::machine::config::LoadedImage {
        role: image.role,
        file: image.file.clone(),
        args: String::new(),
        bytes,
    }]);
    let machine = dejavm::machine::build::pc(config, &images, EngineKind::default()).unwrap();
    let runner = Runner::new(machine, true, Some(recording.header.checkpoints));
    let mut printed = Printed::default();
    Replayer::new(runner, Arc::new(Tape::new(&recording))).run(None, &mut printed);
    let text: Vec<u8> = printed.0.iter().map(|p| p.1).collect();
    let mut total = 0;
    for wanted in ["demo:", "o", "nowhere"] {
        let ends = text.windows(wanted.len()).enumerate().filter(|w| w.1 == wanted.as_bytes());
        let expected: Vec<u64> = ends.map(|(i, _)| printed.0[i + wanted.len() - 1].0).collect();
        let rows = ask(t, &format!("console {wanted}"));
        assert_eq!(rows.iter().map(|r| r.icount).collect::<Vec<_>>(), expected, "{wanted}");
        let Some(row) = rows.last() else { continue };
        t.seek(row.icount, &mut ()).unwrap();
        assert_eq!(Hex(cpu(t).linear_pc()), row.pc);
        assert_eq!(row.event, Event::Console { text: wanted.to_owned() });
        let limited = ask(t, &format!("console {wanted} --limit 2 --from {}", expected[1]));
        assert_eq!(limited.iter().map(|r| r.icount).collect::<Vec<_>>(), expected[1..3]);
        total += rows.len();
    }
    total
}

/// What all stores together did is what memory became: none is missing.
#[test]
fn writes_tell_how_memory_became_what_it_is() {
    let mut t = demo();
    let end = t.end();
    let (start, len) = (0x10_0000u64, 0x10_0000usize);
    let mut stores = 0;
    for from in [end / 7, end / 2, end - 3 * WINDOW] {
        let to = from + 2 * WINDOW;
        let image = |t: &mut Timeline<Pc>, at| {
            t.seek(at, &mut ()).unwrap();
            let mut bytes = vec![0; len];
            t.machine().mem.read(start, &mut bytes);
            bytes
        };
        let mut memory = image(&mut t, from);
        let rows = ask(&mut t, &format!("writes phys:{start:#x}:{len} --from {from} --to {to}"));
        for row in &rows {
            let Event::Write { phys, len, old, new, .. } = row.event else { panic!("{row:?}") };
            let at = (phys.0 - start) as usize;
            let place = &mut memory[at..at + usize::from(len)];
            assert_eq!(place, &old.0.to_le_bytes()[..usize::from(len)], "{row:?}");
            place.copy_from_slice(&new.0.to_le_bytes()[..usize::from(len)]);
        }
        stores += rows.len();
        assert!(memory == image(&mut t, to), "from {from}");
    }
    assert!(stores > 100, "{stores}");
}

/// Wants to stop after so many looks.
struct Impatient(u32);

impl Control for Impatient {
    fn cancelled(&mut self) -> bool {
        self.0 = self.0.saturating_sub(1);
        self.0 == 0
    }
}

#[test]
fn a_search_can_be_stopped() {
    let mut t = demo();
    let (all, found) = try_ask(&mut t, "interrupts", &mut ()).unwrap();
    assert!(!found.cancelled && !found.more);
    let (some, found) = try_ask(&mut t, "interrupts", &mut Impatient(5)).unwrap();
    assert!(found.cancelled && !some.is_empty() && some.len() < all.len());
    assert_eq!(some, all[..some.len()]);
    let (limited, found) = try_ask(&mut t, "interrupts --limit 7", &mut ()).unwrap();
    assert!(found.more && limited == all[..7]);
    let (none, found) = try_ask(&mut t, "last-write phys:0x100000:4", &mut Impatient(1)).unwrap();
    assert!(found.cancelled && none.is_empty());
}

#[test]
fn virtual_addresses_are_those_of_a_moment() {
    let mut t = demo();
    let end = t.end();
    t.seek(end / 2, &mut ()).unwrap();
    let sp = cpu(&mut t).regs[4] & !7;
    let machine = t.machine();
    let phys = dejavm_interp::x86::mmu::probe(&machine.state.board.cpus()[0], &machine.mem, sp).unwrap();
    let by_virtual = ask(&mut t, &format!("writes {sp:#x} --to {} --at {}", end / 2, end / 2));
    let by_physical = ask(&mut t, &format!("writes phys:{phys:#x}:8 --to {}", end / 2));
    assert!(!by_virtual.is_empty());
    assert_eq!(by_virtual.len(), by_physical.len());
    let Event::Write { addr, phys: p, .. } = by_virtual[0].event else { panic!() };
    assert_eq!(addr.0 - sp, p.0 - phys);
    let unmapped = try_ask(&mut t, "writes 0x7ffffffff000", &mut ()).unwrap_err().to_string();
    assert!(unmapped.contains("0x7ffffffff000") && unmapped.contains(&end.to_string()), "{unmapped}");
    let none = try_ask(&mut t, "interrupts --cpu 1", &mut ()).unwrap_err().to_string();
    assert!(none.contains("--cpu 1"), "{none}");
    assert!(ask(&mut t, &format!("interrupts --from {end}")).is_empty());
    assert_eq!(ask(&mut t, "interrupts --limit 0"), []);
}
