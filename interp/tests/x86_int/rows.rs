//! Rows measured on a processor (AMD, family 25): code; its text; registers, flags and memory
//! before; what differs after. `rows.txt` explains the format.

use crate::bench::{Bench, CODE, DATA, DATA_PHYS};
use dejavm_interp::engine::Stop;
use dejavm_interp::x86::flags::bit;
use dejavm_interp::x86::regs::gpr::RSP;

const NAMES: [&str; 8] = ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "flags"];
/// Numbers of the registers in [`NAMES`].
const NUMBERS: [usize; 7] = [0, 3, 1, 2, 6, 7, 8];
/// The stack lies beyond what rows show.
const STACK: u64 = DATA + 0x800;
/// Flags that rows hold: the status flags.
const SHOWN: u64 = bit::STATUS;

fn unhex(s: &str) -> Vec<u8> {
    (0..s.len() / 2).map(|i| u8::from_str_radix(&s[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn check(row: &str) -> Result<(), String> {
    let mut fields = row.split(" ; ");
    let mut field = || fields.next().unwrap_or_else(|| panic!("short row: {row}"));
    let code = unhex(field());
    let text = field();
    let (before, after) = (field(), field());
    let mut before: Vec<_> = before.split(' ').collect();
    let memory = unhex(before.pop().unwrap());
    let before: Vec<_> = before.iter().map(|v| u64::from_str_radix(v, 16).unwrap()).collect();
    let mut expected = before.clone();
    let mut expected_memory = memory.clone();
    for change in after.split(' ').filter(|c| !c.is_empty()) {
        let (name, value) = change.split_once('=').unwrap();
        if let Some(i) = NAMES.iter().position(|n| *n == name) {
            expected[i] = u64::from_str_radix(value, 16).unwrap();
        } else {
            let at = usize::from_str_radix(name.strip_prefix('@').unwrap(), 16).unwrap();
            let bytes = unhex(value);
            expected_memory[at..at + bytes.len()].copy_from_slice(&bytes);
        }
    }

    let mut b = Bench::long();
    b.cpu.regs[usize::from(RSP)] = STACK;
    for (i, r) in NUMBERS.iter().enumerate() {
        b.cpu.regs[*r] = before[i];
    }
    b.cpu.set_rflags(before[7] | bit::IF);
    b.put(DATA_PHYS, &memory);
    b.code(&code);
    let end = CODE + code.len() as u64;
    let mut steps = 0;
    while b.cpu.rip() != end {
        let exit = b.run(1);
        if exit.steps != 1 || !matches!(exit.stop, Stop::Budget | Stop::Yield) || steps == 200 {
            return Err(format!("{text}: {exit:?} at {:#x}", b.cpu.rip()));
        }
        steps += 1;
    }
    let got: Vec<_> = NUMBERS.iter().map(|r| b.cpu.regs[*r]).chain([b.cpu.rflags() & SHOWN]).collect();
    let wrong: Vec<_> = (0..8)
        .filter(|&i| got[i] != expected[i])
        .map(|i| format!("{} {:x} is {:x}, not {:x}", NAMES[i], before[i], got[i], expected[i]))
        .collect();
    if !wrong.is_empty() {
        return Err(format!("{text}: {wrong:?}"));
    }
    if b.bytes(DATA_PHYS, memory.len()) != expected_memory {
        return Err(format!("{text}: memory {:02x?}", b.bytes(DATA_PHYS, memory.len())));
    }

    // The same in one run: blocks, fast paths, and an exact budget.
    let mut whole = Bench::long();
    whole.cpu.regs[usize::from(RSP)] = STACK;
    for (i, r) in NUMBERS.iter().enumerate() {
        whole.cpu.regs[*r] = before[i];
    }
    whole.cpu.set_rflags(before[7] | bit::IF);
    whole.put(DATA_PHYS, &memory);
    whole.code(&code);
    let mut left = steps;
    while left > 0 {
        let made = whole.run(left).steps;
        left -= made;
    }
    if whole.cpu != b.cpu || whole.bytes(DATA_PHYS, 4096) != b.bytes(DATA_PHYS, 4096) {
        return Err(format!("{text}: one run of {steps} steps differs from single steps"));
    }
    Ok(())
}

#[test]
fn measured_rows() {
    let rows = include_str!("rows.txt").lines().filter(|l| !l.starts_with('#') && !l.is_empty());
    let failures: Vec<_> = rows.filter_map(|row| check(row).err()).collect();
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn measured_decimal_rows() {
    let mut b = Bench::protected(0);
    for row in include_str!("decimal.txt").lines().filter(|l| !l.starts_with('#')) {
        let fields: Vec<_> = row.split(" ; ").collect();
        let pair =
            |s: &str| -> Vec<_> { s.split(' ').map(|v| u64::from_str_radix(v, 16).unwrap()).collect() };
        let before = pair(fields[2]);
        b.cpu.regs[0] = before[0];
        b.cpu.flags.set_bits(before[1]);
        b.next(&unhex(fields[0]));
        assert_eq!(vec![b.cpu.regs[0], b.cpu.flags.bits()], pair(fields[3]), "{row}");
    }
}
