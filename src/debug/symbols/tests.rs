//! The test's own binary is a large ELF file with lines; everything is cut and garbled.

use super::*;
use std::io::Write;

/// A file that goes away with the test.
struct Temporary(std::path::PathBuf);

impl Temporary {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("dejavm-symbols-{name}-{}", std::process::id()));
        File::create(&path).unwrap().write_all(bytes).unwrap();
        Self(path)
    }

    fn spec(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

const MAP: &str = "0000000000000000 A zero\n\
    ffffffff81000000 T _text\n\
    ffffffff81000000 t local\n\
    ffffffff81000040 t helper\n\
    ffffffff81000100 D jiffies\n\
    \x20                U missing\n";

#[test]
fn a_system_map() {
    let file = Temporary::new("map", MAP.as_bytes());
    let mut symbols = Symbols::default();
    assert_eq!(symbols.add(file.spec()).unwrap(), 5);
    assert_eq!(symbols.find("jiffies"), Some((0xffff_ffff_8100_0100, 0)));
    assert_eq!(symbols.find("missing"), None);
    assert_eq!(symbols.find("zero"), Some((0, 0)));
    assert_eq!(symbols.describe(0xffff_ffff_8100_0000).unwrap(), "_text");
    assert_eq!(symbols.describe(0xffff_ffff_8100_003f).unwrap(), "_text+0x3f");
    assert_eq!(symbols.describe(0xffff_ffff_8100_0041).unwrap(), "helper+0x1");
    assert_eq!(symbols.describe(0xffff_ffff_8101_0100), None, "too far behind the last");
    assert_eq!(symbols.describe(0x10), None, "an absolute symbol is no place");
    assert_eq!(symbols.line(0xffff_ffff_8100_0041), None);

    let mut shifted = Symbols::default();
    shifted.add(&format!("{}@0x1000000", file.spec())).unwrap();
    assert_eq!(shifted.find("jiffies"), Some((0xffff_ffff_8200_0100, 0)));
    assert_eq!(shifted.find("zero"), Some((0, 0)), "an absolute symbol is not moved");
    assert_eq!(shifted.describe(0xffff_ffff_8200_0041).unwrap(), "helper+0x1");
    let mut back = Symbols::default();
    back.add(&format!("{}@-0x1000000", file.spec())).unwrap();
    assert_eq!(back.find("jiffies"), Some((0xffff_ffff_8000_0100, 0)));
}

#[test]
fn an_elf_file_with_lines() {
    let file = Temporary::new("elf", include_bytes!("fixture.elf"));
    let mut symbols = Symbols::default();
    symbols.add(file.spec()).unwrap();
    let (addr, size) = symbols.find("work").unwrap();
    assert_eq!(symbols.name(addr), Some(("work", 0)));
    assert_eq!(symbols.name(addr + size - 1), Some(("work", size - 1)));
    assert!(symbols.name(addr + size).is_none_or(|n| n.0 != "work"));
    assert_eq!(symbols.find("counter").unwrap().1, 4);
    assert_eq!(symbols.find("fixture.c"), None, "a file's name is no symbol");
    let source = include_str!("fixture.c");
    let number = source.lines().position(|l| l.starts_with("int work")).unwrap() + 1;
    let line = symbols.line(addr).unwrap();
    assert!(line.ends_with(&format!("fixture.c:{number}")), "{line}");
    assert_eq!(symbols.line(0x10), None);
    // Elsewhere in memory.
    let mut shifted = Symbols::default();
    shifted.add(&format!("{}@0x7000", file.spec())).unwrap();
    assert_eq!(shifted.line(addr + 0x7000), Some(line));
    assert_eq!(shifted.find("work"), Some((addr + 0x7000, size)));
}

#[test]
fn a_large_elf_file() {
    let own = std::env::current_exe().unwrap();
    let mut symbols = Symbols::default();
    assert!(symbols.add(own.to_str().unwrap()).unwrap() > 1000);
    assert!(symbols.find("main").is_some_and(|(addr, _)| symbols.describe(addr).as_deref() == Some("main")));
}

/// Asks a file whatever can be asked; it must answer or refuse, no more.
fn ask(name: &str, bytes: &[u8]) -> bool {
    let file = Temporary::new(name, bytes);
    let mut symbols = Symbols::default();
    let taken = symbols.add(file.spec()).is_ok();
    for addr in [0, 1, 0x10_0000, 0x40_1000, u64::MAX, 0xffff_ffff_8100_0000] {
        let _ = (symbols.describe(addr), symbols.line(addr));
    }
    let _ = (symbols.find(""), symbols.find("main"));
    taken
}

#[test]
fn damaged_files_are_refused_or_give_less() {
    let mut random = 88_172_645_463_325_252u64;
    let mut below = |n: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % n as u64) as usize
    };
    let elf = include_bytes!("fixture.elf");
    assert!(ask("whole", elf));
    let mut taken = 0;
    for round in 0..300 {
        let mut bytes = elf.to_vec();
        if round % 3 == 0 {
            bytes.truncate(below(elf.len()));
        }
        for _ in 0..=below(20) {
            if !bytes.is_empty() {
                // Mostly where it hurts: the headers at both ends.
                let at = match below(3) {
                    0 => below(bytes.len().min(64)),
                    1 => bytes.len() - 1 - below(bytes.len().min(2048)),
                    _ => below(bytes.len()),
                };
                bytes[at] = [0, 0xff, 0x7f, 0x80, below(256) as u8][below(5)];
            }
        }
        taken += usize::from(ask("garbled", &bytes));
    }
    assert!(taken > 10, "some are good enough to be asked: {taken}");
    for length in 0..MAP.len() {
        ask("map-cut", &MAP.as_bytes()[..length]);
    }
    for bad in
        ["", "\n\n", "hello", "0 T\n", "xyz T name\n", "+1 T name\n", "\u{0}\u{1}", "1 TT name\n", "123"]
    {
        assert!(!ask("map-bad", bad.as_bytes()), "{bad:?}");
    }
}

#[test]
fn errors_name_the_file() {
    for (spec, word) in [("/nowhere/x", "No such file"), ("/", "directory"), ("/dev/null", "regular")] {
        let error = Symbols::default().add(spec).unwrap_err().to_string();
        assert!(error.starts_with(spec) && error.contains(word), "{error}");
    }
    assert_eq!(split_offset("a@b"), ("a@b", 0));
    assert_eq!(split_offset("a@b@0x10"), ("a@b", 16));
}
