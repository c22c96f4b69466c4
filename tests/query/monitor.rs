//! The monitor's commands.

use crate::guest::{Folder, ask, demo};
use dejavm::debug::monitor::Monitor;
use dejavm::debug::query::{Hex, Table};
use dejavm::debug::symbols::Symbols;
use dejavm::machine::pc::Pc;
use dejavm::replay::Input;
use dejavm::timeline::Timeline;
use dejavm_interp::x86::Cpu;

struct Session {
    monitor: Monitor,
    t: Timeline<Pc>,
}

impl Session {
    fn new() -> Self {
        Self { monitor: Monitor::new("demo.dvm", Symbols::default()), t: demo() }
    }

    fn say(&mut self, line: &str) -> String {
        let before = self.t.icount();
        let answer = self.monitor.command(&mut self.t, line, &mut ()).unwrap();
        assert!(answer.text.is_empty() || answer.text.ends_with('\n'));
        assert_eq!(answer.moved, self.t.icount() != before, "{line}");
        answer.text
    }

    fn at(&mut self, line: &str) -> u64 {
        let text = self.say(line);
        assert!(
            text.lines().last().unwrap().starts_with(&format!("step {} ", self.t.icount())),
            "{line}: {text}"
        );
        self.t.icount()
    }

    fn cpu(&mut self) -> Cpu {
        self.t.machine().state.board.cpus()[0].clone()
    }
}

#[test]
fn moving_about() {
    let mut s = Session::new();
    let end = s.t.end();
    assert_eq!(s.at("seek 1_000"), 1000);
    assert_eq!(s.at("seek 0x2000"), 0x2000);
    assert_eq!(s.at("seek +10"), 0x200a);
    assert_eq!(s.at("seek -20"), 0x200a - 20);
    assert_eq!(s.at("seek 50%"), end / 2);
    assert_eq!(s.at("seek end"), end);
    assert_eq!(s.at("seek 99999999999999"), end);
    assert_eq!(s.at("back"), end / 2);
    assert_eq!(s.at("back"), 0x200a - 20);
    assert_eq!(s.at("forward"), end / 2);
    // A stop that the debugger saw.
    s.t.seek(777, &mut ()).unwrap();
    s.monitor.visited(777);
    assert_eq!(s.at("seek start"), 0);
    assert_eq!(s.at("back"), 777);
    assert_eq!(s.at("back"), end / 2);
    assert_eq!(s.at("forward"), 777);
    assert_eq!(s.at("forward"), 0);
    assert_eq!(s.say("forward"), "there is nothing to go forward to\n");
    for _ in 0..20 {
        s.say("back");
    }
    assert_eq!((s.say("back").as_str(), s.t.icount()), ("there is nothing to go back to\n", 0));

    s.at("seek 25%");
    let text = s.say("when");
    let pc = s.cpu().linear_pc();
    let ns = s.t.machine().state.now().0;
    for part in
        ["(25.00%)".to_owned(), format!("pc {pc:#x}"), "CPU 0".into(), format!("{:09} s", ns % 1_000_000_000)]
    {
        assert!(text.contains(&part), "{part}: {text}");
    }
}

#[test]
fn checkpoints() {
    let mut s = Session::new();
    s.at("seek 5000");
    assert_eq!(s.say("checkpoint"), "checkpoint 1 at step 5000\n");
    s.at("seek 7000");
    assert_eq!(s.say("checkpoint good"), "checkpoint 2 good at step 7000\n");
    for bad in ["checkpoint good", "checkpoint 3"] {
        assert!(s.say(bad).contains("taken"), "{bad}");
    }
    assert_eq!(s.at("restart 1"), 5000);
    assert_eq!(s.at("restart good"), 7000);
    assert_eq!(s.say("info checkpoints").lines().count(), 2);
    assert!(s.say("delete checkpoint 1").contains("step 5000"));
    assert!(s.say("restart 1").contains("no checkpoint '1'"));
    assert!(s.say("delete checkpoint best").contains("'best'"));
    s.say("delete checkpoint good");
    assert_eq!(s.say("info checkpoints"), "no checkpoints\n");
}

#[test]
fn questions_have_the_same_rows_and_move_nothing() {
    let mut s = Session::new();
    let end = s.t.end();
    s.at("seek 60%");
    let here = s.t.icount();
    let table = Table::new(end);
    for question in [
        "interrupts --limit 5",
        "exceptions 3",
        "io 0x20 --limit 3",
        "console demo:",
        "reads phys:0x104000:64 --limit 4",
    ] {
        let text = s.say(question);
        let rows = ask(&mut demo(), question);
        assert_eq!(s.t.icount(), here);
        let lines: Vec<&str> = text.lines().filter(|l| !l.contains("--limit")).collect();
        assert_eq!(lines[0], table.head(&rows[0]));
        let expected: Vec<String> = rows.iter().map(|r| table.row(r)).collect();
        assert_eq!(lines[1..], expected, "{question}");
    }
    assert_eq!(s.say("console \"no such text\""), "nothing found\n");
    // Registers are those of now.
    let cpu = s.cpu();
    let (pc, sp) = (cpu.linear_pc(), cpu.regs[4] & !7);
    let text = s.say("executions $pc --limit 1");
    assert!(text.contains(&format!("{pc:#x}")), "{text}");

    // Some place about the stack pointer was written; the last write is the last of all writes.
    let mut twin = demo();
    let found = (0..16).map(|n| sp + 64 - 8 * n).find_map(|addr| {
        let last = ask(&mut twin, &format!("last-write {addr:#x} --before {here}"));
        let all = ask(&mut twin, &format!("writes {addr:#x} --before {here}"));
        assert_eq!(last.first(), all.last(), "{addr:#x}");
        last.first().cloned().map(|row| (addr, row))
    });
    let (place, row) = found.unwrap();
    let before = s.t.machine().mem.value(place, 8);
    let off = place as i64 - cpu.regs[4] as i64;
    let text = s.say(&format!("last $rsp{off:+}"));
    assert!(text.contains(&table.row(&row)), "{text}");
    assert_eq!(s.t.icount(), here);
    assert_eq!(s.at("last -g"), row.icount);
    assert_eq!(Hex(s.cpu().linear_pc()), row.pc);
    s.at("seek +1");
    assert_eq!(s.t.machine().mem.value(place, 8), before, "this was the write");
    s.at("seek 60%");
    assert_eq!(s.at(&format!("last -g {place:#x}")), row.icount);
}

#[test]
fn looking_at_memory_and_registers() {
    let mut s = Session::new();
    assert_eq!(s.say("last -g"), "'last' has found nothing yet\n");
    s.at("seek 60%");
    let cpu = s.cpu();
    let general = s.say("info registers");
    assert!(general.contains(&format!("rsp      {:016x}", cpu.regs[4])), "{general}");
    assert!(s.say("info registers control").contains(&format!("cr3      {:016x}", cpu.cr3)));
    let all = s.say("info registers all");
    for name in ["rax", "gs_base", "cr0", "efer", "st7", "xmm15", "mxcsr"] {
        assert!(all.lines().any(|l| l.split_whitespace().any(|w| w == name)), "{name}");
    }

    let value = |s: &mut Session, at, len| s.t.machine().mem.value(at, len);
    let (a, b) = (value(&mut s, 0x10_0000, 8), value(&mut s, 0x10_0008, 8));
    let expected = format!("0000000000100000: {a:#018x} {b:#018x}\n");
    assert_eq!(s.say("x/2xg 0x100000"), expected);
    assert_eq!(s.say("xp/2xg 0x100000"), expected);
    assert_eq!(s.say("xp/2xg phys:0x100000"), expected);
    assert_eq!(s.say("x/db 0x100001"), format!("0000000000100001: {}\n", (a >> 8) as i8));
    assert_eq!(s.say("x/40xb 0x100000").lines().count(), 3);
    assert_eq!(s.say("x 0x7ffffffff000"), "00007ffffffff000: not mapped to memory\n");
    // Device memory is not read.
    assert!(s.say("xp/4xb 0xfee00000").contains("no memory"));

    let pc = cpu.linear_pc();
    let code = s.say("disas $pc 3");
    assert_eq!(code.lines().count(), 3, "{code}");
    assert!(code.starts_with(&format!("{pc:016x}: ")), "{code}");
    assert_eq!(s.say("x/3i $pc"), code);
    assert_eq!(s.say("disas").lines().count(), 10);
    // The entry of the guest is 32-bit code, which is decoded as such while it runs.
    s.at("seek 2");
    assert_eq!(s.cpu().code_size(), 4);
    let early = s.say("disas $pc 1");
    let pc32 = s.cpu().linear_pc();
    let bytes = s.t.machine().mem.value(pc32, 8).to_le_bytes();
    let mut decoder = iced_x86::Decoder::with_ip(32, &bytes, 0, 0);
    let len = decoder.decode().len();
    let hex: String = bytes[..len].iter().map(|b| format!("{b:02x}")).collect();
    assert!(early.contains(&format!(": {hex} ")), "{early}");

    let dir = Folder::new("monitor");
    let map = dir.file("System.map", format!("{pc:x} T here\n").as_bytes());
    assert_eq!(s.say(&format!("symbols {map}")), "1 symbols\n");
    s.at("seek 60%");
    assert!(s.say("when").trim_end().ends_with(" here"));
    assert!(s.say("disas here 1").starts_with("here:\n"));
    assert_eq!(s.say("x/i here"), s.say("disas $pc 1"));
    assert!(s.say("symbols /nowhere").contains("/nowhere"));
    let info = s.say("info replay");
    for word in ["demo.dvm", "x86_64", "position", "MiB", "branch     no"] {
        assert!(info.to_lowercase().contains(word.to_lowercase().as_str()), "{word}: {info}");
    }
}

#[test]
fn a_branch() {
    let mut s = Session::new();
    s.at("seek 60%");
    let here = s.t.icount();
    s.t.write(Input::WriteRegister { cpu: 0, name: "r15".into(), value: 1 });
    assert!(s.say("info replay").contains("branch     yes"));
    assert!(s.say("seek end").contains("no end") && s.say("seek 10%").contains("no end"));
    assert!(s.say("when").contains("in a branch"));
    assert!(s.say("interrupts --limit 2").lines().count() >= 3);
    assert_eq!(s.t.icount(), here);
    assert!(s.t.branched());
}

#[test]
fn every_command_helps_and_refuses() {
    let mut s = Session::new();
    let list = s.say("help");
    for name in [
        "when",
        "seek",
        "back",
        "forward",
        "checkpoint",
        "last",
        "info replay",
        "writes",
        "disas",
        "x",
        "xp",
        "help",
    ] {
        assert!(list.lines().any(|l| l.starts_with(&format!("{name} "))), "{name}: {list}");
    }
    let width = list.lines().map(|l| l.find("  ").unwrap()).max().unwrap();
    for line in list.lines() {
        let name = line[..width].trim();
        let help = s.say(&format!("help {name}"));
        assert!(help.starts_with(name), "{name}: {help}");
        // Too much for any of them.
        let refused = s.say(&format!("{name} a b c d e"));
        if name != "help" && name != "io" {
            assert!(refused.starts_with(&format!("usage: {name}")), "{name}: {refused}");
        }
    }
    assert_eq!(s.say("info"), "'info' is no command; 'help' lists them\n");
    assert!(s.say("help info").lines().count() >= 3);
    assert!(s.say("help nothing").contains("'nothing'"));
    assert_eq!(s.say(""), "");
    assert!(s.say("seek \"").contains("quotation"));
    for bad in [
        "seek x",
        "seek",
        "seek 101%",
        "seek -x",
        "seek %",
        "seek nan%",
        "seek +",
        "x/0x 1",
        "x/q 1",
        "disas 1 0",
        "disas 1 x",
        "info registers none",
        "writes --limit",
        "writes 1 --what",
        "last",
        "last -x",
    ] {
        let text = s.say(bad);
        assert!(text.starts_with("usage: ") || text.contains('\''), "{bad}: {text}");
        assert_eq!(s.t.icount(), 0, "{bad}");
    }
}

/// Whatever is typed is answered.
#[test]
fn any_line_is_answered() {
    let mut s = Session::new();
    s.at("seek 3000");
    let words = [
        "x/4xg",
        "x/9i",
        "disas",
        "writes",
        "reads",
        "seek",
        "last",
        "-g",
        "$rsp",
        "$pc",
        "$nothing",
        "phys:0",
        ":",
        "-1",
        "0xffffffffffffffff",
        "99999999999999999999",
        "+",
        "%",
        "\"",
        "\\",
        "é",
        "\u{0}",
        "--from",
        "--to",
        "--at",
        "--cpu",
        "--limit",
        "1",
        "0",
        "end",
        "start",
        "info",
        "replay",
        "registers",
        "checkpoint",
        "delete",
        "restart",
        "help",
        "io",
        "executions",
        "console",
        "symbols",
        "xp",
        "xp/65536xb",
        "back",
        "forward",
        "/",
        "$",
    ];
    let mut random = 88_172_645_463_325_252u64;
    for _ in 0..400 {
        let mut line = String::new();
        for _ in 0..4 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            line.push_str(words[(random >> 20) as usize % words.len()]);
            line.push(if random & 3 == 0 { ':' } else { ' ' });
        }
        // Never far: the window of a search and the goal of a seek stay small.
        if line.contains("end") || line.contains("999") || line.contains('%') {
            continue;
        }
        let limit = if line.starts_with("seek") || line.starts_with("help") { "" } else { " --to 3000" };
        let _ = s.monitor.command(&mut s.t, &format!("{line}{limit}"), &mut ()).unwrap();
        let head: String = line.chars().filter(char::is_ascii).take(12).collect();
        let _ = s.monitor.command(&mut s.t, &format!("{head}{limit}"), &mut ()).unwrap();
    }
}
