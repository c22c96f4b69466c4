//! What common guest instructions compile to, and how many host instructions that are.
//!
//! Each file in `golden/` is a list of cases: `== BITS: BYTES`, then what the test made of it. To
//! add a case write its first line; `DEJAVM_BLESS=1 cargo test -p dejavm-jit --test golden` writes
//! the rest anew. Nothing of the process is in the files: code is compiled for an address that is
//! always the same.

use dejavm_interp::cache::{Block, block_key};
use dejavm_interp::x86::decode::decode;
use dejavm_interp::x86::model::Model;
use dejavm_jit::x86::block::{self, Shared};
use dejavm_jit::x86::steps::Source;
use iced_x86::{
    Decoder, DecoderOptions, Formatter, Instruction, NasmFormatter, SymbolResolver, SymbolResult,
};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Where the host's code would run.
const BASE: usize = 0x10_0000;
/// Where the guest's code lies.
const RIP: u64 = 0x40_1000;

/// The code that all blocks share, at addresses of its own.
const SHARED: Shared = Shared {
    enter: 0x1000,
    run_op: 0x2000,
    exit: 0x3000,
    indirect: 0x4000,
    level: 0xa000,
    renew: 0x7000,
    load_sse: 0x5000,
    load_x87: 0x6000,
    miss_read: 0x8000,
    miss_write: 0x9000,
    syscall: 0xb000,
    sysret: 0xc000,
};
const NAMES: [(u64, &str); 12] = [
    (0x1000, "enter"),
    (0x2000, "run_op"),
    (0x3000, "exit"),
    (0x4000, "indirect"),
    (0x5000, "load_sse"),
    (0x6000, "load_x87"),
    (0x7000, "renew"),
    (0x8000, "miss_read"),
    (0x9000, "miss_write"),
    (0xb000, "syscall"),
    (0xc000, "sysret"),
    (0xa000, "level"),
];

/// Names of what host code jumps to.
struct Names(BTreeMap<u64, String>);

impl SymbolResolver for Names {
    fn symbol(
        &mut self,
        ins: &Instruction,
        _: u32,
        _: Option<u32>,
        address: u64,
        _: u32,
    ) -> Option<SymbolResult<'_>> {
        let branch = ins.is_jcc_short_or_near() || ins.is_jmp_short_or_near() || ins.is_call_near();
        let name = self.0.get(&address).filter(|_| branch)?;
        Some(SymbolResult::with_str(address, name))
    }
}

fn formatter(names: BTreeMap<u64, String>) -> NasmFormatter {
    let mut formatter = NasmFormatter::with_options(Some(Box::new(Names(names))), None);
    let options = formatter.options_mut();
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_space_after_operand_separator(true);
    options.set_show_branch_size(false);
    options.set_rip_relative_addresses(true);
    formatter
}

fn instructions(bits: u32, bytes: &[u8], at: u64) -> Vec<Instruction> {
    Decoder::with_ip(bits, bytes, at, DecoderOptions::NONE).into_iter().collect()
}

/// A case as its file has it.
fn case(bits: u32, bytes: &[u8]) -> String {
    let model = Model::Max;
    let code_size = (bits / 8) as u8;
    let (mut ops, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let Some(op) = decode(&bytes[at..], code_size, model) else {
            panic!("{bytes:02x?}: not whole instructions")
        };
        at += usize::from(op.len);
        ops.push(op);
    }
    let decoded = Block {
        key: block_key(RIP, code_size),
        start: 0,
        len: ops.len() as u32,
        bytes: bytes.len() as u32,
        second: u64::MAX,
    };
    let source = Source {
        block: &decoded,
        ops: &ops,
        bytes,
        rip: RIP,
        long: bits == 64,
        user: false,
        model,
        sse: true,
        x87: true,
        most: usize::MAX,
        second: None,
        count: false,
    };
    let code = block::compile(&source, SHARED, BASE, 0, 0, 0).expect("it compiles");
    let mut text = String::new();
    let hex: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let _ = writeln!(text, "== {bits}: {}", hex.join(" "));
    let mut line = String::new();
    let mut guest = formatter(BTreeMap::new());
    for ins in instructions(bits, bytes, RIP) {
        line.clear();
        guest.format(&ins, &mut line);
        let _ = writeln!(text, "{line}");
    }
    let host = instructions(64, &code.bytes, BASE as u64);
    let mut names: BTreeMap<u64, String> = NAMES.iter().map(|(at, n)| (*at, (*n).to_owned())).collect();
    let end = BASE as u64 + code.bytes.len() as u64;
    let targets: std::collections::BTreeSet<u64> =
        host.iter().map(Instruction::near_branch_target).filter(|t| (BASE as u64..end).contains(t)).collect();
    names.extend(targets.iter().enumerate().map(|(n, at)| (*at, format!("L{n}"))));
    let labels = names.clone();
    let mut formatter = formatter(names);
    let cold = BASE as u64 + code.hot as u64;
    for ins in &host {
        if ins.ip() == cold {
            let _ = writeln!(text, "    -- out of line --");
        }
        if let Some(label) = labels.get(&ins.ip()) {
            let _ = writeln!(text, "  {label}:");
        }
        line.clear();
        formatter.format(ins, &mut line);
        let _ = writeln!(text, "    {line}");
    }
    let hot = host.iter().filter(|i| i.ip() < cold).count();
    let _ = writeln!(text, "  {hot} host instructions, {} more out of line", host.len() - hot);
    text
}

/// The files, in order.
fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "txt"));
    files.sort();
    files
}

#[test]
fn emitted_code() {
    let bless = std::env::var_os("DEJAVM_BLESS").is_some();
    let mut cases = 0;
    let mut wrong = String::new();
    for file in files() {
        let before = std::fs::read_to_string(&file).unwrap();
        let mut after = String::new();
        for head in before.lines().filter_map(|l| l.strip_prefix("== ")) {
            let (bits, hex) = head.split_once(": ").expect("BITS: BYTES");
            let bytes: Vec<u8> =
                hex.split(' ').map(|b| u8::from_str_radix(b, 16).expect("bytes in hexadecimal")).collect();
            if !after.is_empty() {
                after.push('\n');
            }
            let text = case(bits.parse().expect("32 or 64"), &bytes);
            if !bless && !before.contains(&text) {
                let from = before.find(&format!("== {head}\n")).unwrap_or(0);
                let old =
                    before[from + 3..].find("\n== ").map_or(&before[from..], |n| &before[from..from + 3 + n]);
                let _ = writeln!(wrong, "{}: expected\n{old}\nmade\n{text}", file.display());
            }
            after += &text;
            cases += 1;
        }
        if bless && after != before {
            std::fs::write(&file, after).unwrap();
        }
    }
    assert!(cases > 200, "only {cases} cases");
    assert!(wrong.is_empty(), "{wrong}DEJAVM_BLESS=1 accepts what was made");
}
