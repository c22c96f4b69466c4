//! What differs between two machines at the step where they part. The JSON form is stable and
//! described in docs/diff.md.

use super::disassembly::{LONGEST, disassemble};
use super::lockstep::{Lockstep, Part};
use crate::machine::board::{Board, Core};
use crate::machine::cpu::Named;
use crate::machine::fault;
use crate::machine::tree::Unequal;
use crate::replay::compare::describe;
use crate::replay::{Input, Moment, Output};
use crate::timeline::pages::{PAGE, frame_bytes};
use dejavm_interp::inspect::Group;
use dejavm_interp::mem::{Memory, PAGE_SIZE, PhysAddr};
use dejavm_interp::probe::{Hit, Interest, Keep, Vectors, What};
use serde::Serialize;

/// What made the difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// It was there at the first step that was compared.
    Start,
    /// An instruction.
    Instruction,
    /// The entry into an interrupt.
    Interrupt,
    /// The entry into an exception.
    Exception,
    /// What a debugger or a test wrote at this moment.
    Write,
    /// An input at this moment, before the step.
    Input,
    /// A reading of the host's clock by the step, or by a timer at its end.
    Clock,
    /// What came after the last step.
    End,
}

/// Two machines part here.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// The step: before it both machines are equal.
    #[serde(flatten)]
    pub at: Moment,
    /// Index of the CPU that makes the step.
    pub cpu: usize,
    /// Linear address of that CPU's next instruction.
    #[serde(serialize_with = "hex")]
    pub pc: u64,
    /// What made the difference.
    pub cause: Cause,
    /// The step in words: its instruction, the vector that is entered, the input.
    pub text: String,
    /// Fields of CPUs and devices.
    pub fields: Vec<Unequal>,
    /// Ranges of memory, the first [`MAX_RANGES`] of them.
    pub memory: Vec<Range>,
    /// Bytes of memory that differ.
    pub memory_bytes: u64,
    /// The first output that differs.
    pub output: Option<Outputs>,
    /// Why a machine could not go on, if that differs.
    pub ended: Option<Ended>,
}

/// A range of memory in which every byte differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Range {
    /// Its first physical address; the offset in RAM where none is mapped to it.
    #[serde(serialize_with = "hex")]
    pub addr: PhysAddr,
    /// False when no physical address leads there.
    pub mapped: bool,
    /// Bytes.
    pub len: u64,
    /// The first machine's bytes in hexadecimal, at most [`MAX_BYTES`] of them.
    pub first: String,
    /// The second machine's bytes.
    pub second: String,
}

/// Two outputs, each with the step that sent it.
#[derive(Clone, Debug, Serialize)]
pub struct Outputs {
    /// The first machine's.
    pub first: Option<(u64, Output)>,
    /// The second machine's.
    pub second: Option<(u64, Output)>,
}

/// Why the machines stopped, `None` for one that goes on.
#[derive(Clone, Debug, Serialize)]
pub struct Ended {
    /// The first machine.
    pub first: Option<String>,
    /// The second machine.
    pub second: Option<String>,
}

/// Most ranges of memory in a report.
pub const MAX_RANGES: usize = 64;
/// Most bytes of a range in a report.
pub const MAX_BYTES: usize = 32;

fn hex<S: serde::Serializer>(value: &u64, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(&format_args!("{value:#x}"))
}

/// The moment and the step; what differs is still to be added.
pub(super) fn before<B: Board>(pair: &Lockstep<B>, part: Part) -> Found {
    let machine = pair.sides[0].player.look();
    let cpu = machine.current_cpu();
    let mut state = machine.state.clone();
    let pc = state.board.pc(cpu);
    let (cause, text) = match part {
        Part::Start => (Cause::Start, "they differ where the comparison begins".to_owned()),
        Part::End(_) => (Cause::End, "after the last step".to_owned()),
        Part::Write(at) => {
            let inputs = pair.sides.each_ref().map(|s| s.inputs(at, true));
            (Cause::Write, said(inputs))
        }
        Part::Step(at) => {
            let inputs = pair.sides.each_ref().map(|s| s.inputs(at, false));
            let clocks = pair.sides.each_ref().map(|s| s.clocks(at));
            if inputs[0] != inputs[1] {
                (Cause::Input, said(inputs))
            } else if clocks[0] != clocks[1] {
                let said = clocks.map(|c| c.iter().map(|c| c.1.to_string()).collect::<Vec<_>>().join(", "));
                (
                    Cause::Clock,
                    format!("the host's clock: {} or {}", or_nothing(&said[0]), or_nothing(&said[1])),
                )
            } else {
                let read = |addr| {
                    let at = machine.state.board.translate(cpu, &machine.mem, addr)?;
                    let mut byte = [0];
                    machine.mem.read(at, &mut byte);
                    Some(byte[0])
                };
                (Cause::Instruction, instruction(&state.board.core(cpu), pc, read))
            }
        }
    };
    found(machine.state.icount, machine.state.warp, cpu, pc, cause, text)
}

fn found(icount: u64, warp: u64, cpu: usize, pc: u64, cause: Cause, text: String) -> Found {
    Found {
        at: Moment { icount, warp },
        cpu,
        pc,
        cause,
        text,
        fields: Vec::new(),
        memory: Vec::new(),
        memory_bytes: 0,
        output: None,
        ended: None,
    }
}

fn or_nothing(text: &str) -> &str {
    if text.is_empty() { "nothing" } else { text }
}

/// The inputs of both in words.
fn said(inputs: [Vec<Input>; 2]) -> String {
    let [a, b] = inputs.map(|i| i.iter().map(describe).collect::<Vec<_>>().join(", "));
    format!("{} in the first, {} in the second", or_nothing(&a), or_nothing(&b))
}

/// The instruction at `pc`, disassembled.
fn instruction(core: &Core<'_>, pc: u64, read: impl Fn(u64) -> Option<u8>) -> String {
    let bytes: Vec<u8> = (0..LONGEST).map_while(|i| read(pc.wrapping_add(i))).collect();
    if bytes.is_empty() {
        return "an instruction that is not mapped".to_owned();
    }
    match disassemble(core, pc, &bytes) {
        Some(line) => line.text.unwrap_or_else(|| format!("no instruction: {}", digits(&bytes))),
        None => "a step".to_owned(),
    }
}

/// Has the first machine note what it enters.
pub(super) fn probe<B: Board>(pair: &mut Lockstep<B>) {
    let interest = Interest { interrupts: Vectors::ALL, exceptions: Vectors::ALL, ..Interest::default() };
    pair.sides[0].player.machine().probe_from_here(interest, Keep::Last);
}

/// Adds what the first machine entered.
pub(super) fn probed<B: Board>(pair: &mut Lockstep<B>, found: &mut Found) {
    let machine = pair.sides[0].player.machine();
    let hits = machine.take_hits();
    machine.probe(Interest::default(), Keep::Last);
    if found.cause != Cause::Instruction {
        return;
    }
    let entered = |hit: &Hit| match hit.what {
        What::Interrupt { vector, software: false } => {
            Some((Cause::Interrupt, format!("entry into interrupt {vector:#x}")))
        }
        What::Exception { vector, .. } => Some((Cause::Exception, format!("entry into exception {vector}"))),
        _ => None,
    };
    if let Some((cause, text)) = hits.iter().find_map(entered) {
        (found.cause, found.text) = (cause, text);
    }
}

/// Adds what differs now.
pub(super) fn after<B: Board>(pair: &mut Lockstep<B>, found: &mut Found) {
    let [a, b] = pair.sides.each_mut().map(|s| &mut s.player.machine().state);
    let trees = [fault::of_state(a), fault::of_state(b)];
    let fields = trees[0].unequal(&trees[1]);
    found.fields = named(&mut a.board, &mut b.board, fields);
    let [a, b] = pair.sides.each_ref().map(|s| &s.player.look().mem);
    (found.memory, found.memory_bytes) = ranges(a, b, pair.frames());
    let [a, b] = &pair.sides;
    let (left, right) = (a.outputs(), b.outputs());
    let same = left.iter().zip(right).take_while(|(a, b)| a == b).count();
    if same < left.len().max(right.len()) {
        found.output = Some(Outputs { first: left.get(same).cloned(), second: right.get(same).cloned() });
    }
    if a.ended != b.ended {
        found.ended = Some(Ended { first: a.ended.clone(), second: b.ended.clone() });
    }
}

/// Puts registers in the place of the fields that they are made of.
fn named<B: Board>(a: &mut B, b: &mut B, mut fields: Vec<Unequal>) -> Vec<Unequal> {
    let mut all = Vec::new();
    for i in 0..a.cpus().min(b.cpus()) {
        let (x, y) = (a.core(i), b.core(i));
        let prefix = format!("cpus[{i}].");
        let mut explained = Vec::new();
        for register in x.registers() {
            let values = [&x, &y].map(|core| core.get(register.name).unwrap_or_default());
            if values[0] == values[1] {
                continue;
            }
            let parts: Vec<String> = x.parts(register.name).iter().map(|p| format!("{prefix}{p}")).collect();
            if fields.iter().any(|f| parts.contains(&f.path)) {
                all.push(Unequal {
                    path: format!("cpu{i}.{}", register.name),
                    name: Some(manual_name(&register)),
                    first: format!("{:#x}", values[0]),
                    second: format!("{:#x}", values[1]),
                });
                explained.extend(parts);
            }
        }
        fields.retain(|f| !explained.contains(&f.path));
    }
    all.append(&mut fields);
    all
}

/// What the manual calls a register.
fn manual_name(register: &Named) -> String {
    let name = register.name;
    let upper = name.to_uppercase();
    for (suffix, what) in [("_base", "base"), ("_limit", "limit"), ("_flags", "access rights")] {
        if let Some(segment) = name.strip_suffix(suffix)
            && register.group == Group::Segment
        {
            return format!("{} {what}", segment.to_uppercase());
        }
    }
    match name {
        "fctrl" => "FCW".to_owned(),
        "fstat" => "FSW".to_owned(),
        "ftag" => "FTW".to_owned(),
        "fiseg" => "FCS".to_owned(),
        "fioff" => "FIP".to_owned(),
        "foseg" => "FDS".to_owned(),
        "fooff" => "FDP".to_owned(),
        "fop" => "FOP".to_owned(),
        "tsc_offset" => "time-stamp counter".to_owned(),
        _ if name.starts_with("st") && register.group == Group::X87 => format!("ST({})", &name[2..]),
        _ if register.group == Group::Model => format!("IA32_{upper}"),
        _ => upper,
    }
}

/// The ranges in which memory differs, in these frames, and how many bytes that are.
fn ranges(a: &Memory, b: &Memory, frames: impl Iterator<Item = u32>) -> (Vec<Range>, u64) {
    let (mut ranges, mut total): (Vec<Range>, u64) = (Vec::new(), 0);
    for frame in frames {
        let (x, y) = (frame_bytes(a, frame), frame_bytes(b, frame));
        let mut at = 0;
        while at < PAGE {
            let len = x[at..].iter().zip(&y[at..]).take_while(|(x, y)| x != y).count();
            if len == 0 {
                at += 1;
                continue;
            }
            total += len as u64;
            if ranges.len() < MAX_RANGES {
                let offset = u64::from(frame) * PAGE_SIZE + at as u64;
                let addr = physical(a, offset);
                let shown = at..at + len.min(MAX_BYTES);
                ranges.push(Range {
                    addr: addr.unwrap_or(offset),
                    mapped: addr.is_some(),
                    len: len as u64,
                    first: digits(&x[shown.clone()]),
                    second: digits(&y[shown]),
                });
            }
            at += len;
        }
    }
    (ranges, total)
}

/// The first physical address of a place in RAM.
fn physical(mem: &Memory, offset: u64) -> Option<PhysAddr> {
    let region = mem.regions().iter().find(|r| (r.offset..r.offset + r.len).contains(&offset))?;
    Some(region.start + (offset - region.offset))
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
