//! `dejavm query` and `dejavm replay --monitor` as processes.

use crate::guest::{DEMO, Folder, ask, demo, recorded};
use dejavm::debug::query::{Event, Table};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Output, Stdio};

const DEJAVM: &str = env!("CARGO_BIN_EXE_dejavm");

fn dejavm(args: &[&str]) -> Output {
    Command::new(DEJAVM).args(args).stdin(Stdio::null()).output().unwrap()
}

fn expect(status: i32, args: &[&str]) -> (String, String) {
    let out = dejavm(args);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(out.stdout), text(out.stderr));
    assert_eq!(out.status.code(), Some(status), "{args:?}: {stderr}");
    (stdout, stderr)
}

#[test]
fn json_and_table_have_the_same_rows() {
    let dir = Folder::new("json");
    let file = dir.file("demo.dvm", recorded());
    let mut t = demo();
    // An instruction that is surely executed.
    t.seek(2, &mut ()).unwrap();
    let start = t.machine().state.board.cpus()[0].linear_pc();
    let map = dir.file("System.map", format!("{start:016x} T _start\n").as_bytes());
    let end = t.end().to_string();
    let address = {
        let rows = ask(&mut t, "writes phys:0x104000:0x1000 --limit 1");
        let Event::Write { phys, .. } = rows[0].event else { panic!() };
        phys.0
    };
    let question = format!("phys:{address:#x}:8");
    let from = t.end() / 2;
    let last = format!("--from {from}");
    let last = last.split_once(' ').unwrap();
    for (what, args) in [
        ("last-write", vec![question.as_str()]),
        ("writes", vec![question.as_str(), "--limit", "20"]),
        ("reads", vec![question.as_str(), "--limit", "20"]),
        ("executions", vec!["_start"]),
        ("interrupts", vec!["--limit", "20", last.0, last.1]),
        ("exceptions", vec![]),
        ("io", vec!["0x20-0x21", "0x3f8", "--limit", "20"]),
        ("console", vec!["demo:", "--to", end.as_str()]),
    ] {
        let mut json = vec!["query", &file, what];
        json.extend(&args);
        json.extend(["--symbols", &map]);
        let (table, err) = expect(0, &json);
        assert_eq!(err, "", "{what}");
        json.push("--json");
        let (lines, _) = expect(0, &json);
        let line = format!("{what} {}", args.join(" ")).replace("_start", &format!("{start:#x}"));
        let rows = ask(&mut t, &line);
        let parsed: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert_eq!(parsed.len(), rows.len(), "{what}");
        assert!(!rows.is_empty(), "{what}");
        for (value, row) in parsed.iter().zip(&rows) {
            let mut expected = serde_json::to_value(row).unwrap();
            let offset = row.pc.0.wrapping_sub(start);
            expected["symbol"] = match offset {
                0 => "_start".into(),
                1..0x1_0000 => format!("_start+{offset:#x}").into(),
                _ => Value::Null,
            };
            assert_eq!(value, &expected);
        }
        // The table has them too, under one head, in columns.
        let shown: Vec<&str> = table.lines().collect();
        assert_eq!(shown.len(), rows.len() + 1, "{what}");
        for (line, row) in shown[1..].iter().zip(&rows) {
            assert!(line.starts_with(&Table::new(t.end()).row(row)), "{line}");
            assert_eq!(line.contains("_start"), row.pc.0.wrapping_sub(start) < 0x1_0000, "{line}");
        }
    }
}

#[test]
fn nothing_is_no_error() {
    let dir = Folder::new("nothing");
    let file = dir.file("demo.dvm", recorded());
    let (out, err) = expect(0, &["query", &file, "console", "no such text", "--json"]);
    assert_eq!((out.as_str(), err.as_str()), ("", "dejavm: nothing found\n"));
    let (out, err) = expect(0, &["query", &file, "interrupts", "0x99"]);
    assert_eq!((out.as_str(), err.as_str()), ("", "dejavm: nothing found\n"));
}

#[test]
fn what_is_wrong_is_named() {
    let dir = Folder::new("wrong");
    let file = dir.file("demo.dvm", recorded());
    let damaged = dir.file("damaged.dvm", &recorded()[..100]);
    let text = dir.file("text", b"hello\n");
    let fail = |args: &[&str], words: &[&str]| {
        let (out, err) = expect(2, args);
        assert_eq!((out.as_str(), err.lines().count()), ("", 1), "{args:?}: {err}");
        for word in words {
            assert!(err.contains(word), "{args:?}: '{word}' in {err}");
        }
    };
    let query = |rest: &[&str], words: &[&str]| {
        let mut args = vec!["query", file.as_str()];
        args.extend(rest);
        fail(&args, words);
    };
    query(&[], &["WHAT"]);
    query(&["everything"], &["everything"]);
    query(&["writes"], &["usage", "ADDR"]);
    query(&["writes", "jiffies"], &["jiffies", "not a symbol"]);
    query(&["writes", "1", "2"], &["usage"]);
    query(&["writes", "0x1000:0"], &["length"]);
    query(&["writes", "phys:0:0xffffffffffff"], &["more than"]);
    query(&["writes", "0xffff800000000000"], &["not mapped", "--at"]);
    query(&["executions", "phys:1"], &["virtual"]);
    query(&["executions", "$rip"], &["registers"]);
    query(&["interrupts", "256"], &["256"]);
    query(&["exceptions", "#XX"], &["#XX"]);
    query(&["io", "5-4"], &["5-4"]);
    query(&["console", ""], &["empty"]);
    query(&["interrupts", "--from", "x"], &["--from x"]);
    query(&["interrupts", "--to", "-1"], &["-1"]);
    query(&["interrupts", "--to", "1", "--before", "2"], &["--before"]);
    query(&["interrupts", "--limit", "many"], &["--limit"]);
    query(&["interrupts", "--cpu", "7"], &["--cpu 7"]);
    query(&["interrupts", "--jobs", "0"], &["--jobs"]);
    query(&["interrupts", "--snapshot-memory", "lots"], &["--snapshot-memory lots"]);
    query(&["interrupts", "--symbols", "/nowhere/vmlinux"], &["/nowhere/vmlinux"]);
    query(&["interrupts", "--symbols", &text], &["System.map"]);
    query(&["interrupts", "--engine", "magic"], &["magic"]);
    fail(&["query", "/nowhere", "interrupts"], &["/nowhere"]);
    fail(&["query", &damaged, "interrupts"], &["damaged.dvm"]);
    fail(&["replay", &file, "--monitor", "nowhere"], &["--monitor nowhere"]);
    fail(&["replay", &file, "--monitor", "unix:/nowhere/socket"], &["/nowhere/socket"]);
    fail(&["replay", &file, "--gdb", "0", "--monitor", "stdio"], &["--gdb", "--monitor"]);
    fail(&["run", "--kernel", DEMO, "--monitor", "stdio"], &["--monitor stdio", "version"]);
    fail(&["record", "--kernel", DEMO, "-o", "/nowhere/x", "--monitor", "1"], &["--monitor 1"]);
}

#[test]
fn the_monitor_on_standard_input() {
    let dir = Folder::new("stdio");
    let file = dir.file("demo.dvm", recorded());
    let mut child = Command::new(DEJAVM)
        .args(["replay", &file, "--monitor", "stdio", "--to", "1000"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"when\nseek 2000\nnonsense\n\nwhen").unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    let answers: Vec<&str> = text.split("(dejavm) ").collect();
    assert_eq!(answers.len(), 7, "{text}");
    assert!(answers[1].starts_with("step 1000 ("), "{text}");
    assert!(answers[2].starts_with("step 2000 (") && answers[5] == answers[2], "{text}");
    assert!(answers[3].contains("'nonsense' is no command"), "{text}");
}

/// A monitor on a socket, and the address that it names.
fn serve(file: &str, addr: &str) -> (Child, String) {
    let mut child = Command::new(DEJAVM)
        .args(["replay", file, "--monitor", addr])
        .stderr(Stdio::piped())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
    let addr = line.trim().rsplit(' ').next().unwrap().to_owned();
    (child, addr)
}

/// Reads up to a prompt.
fn answer(from: &mut impl Read) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"(dejavm) ") {
        let mut byte = [0];
        if from.read(&mut byte).unwrap() == 0 {
            break;
        }
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn the_monitor_on_a_socket() {
    let dir = Folder::new("socket");
    let file = dir.file("demo.dvm", recorded());
    let (mut child, addr) = serve(&file, "0");
    assert!(addr.starts_with("127.0.0.1:"), "{addr}");
    // One leaves in the middle of a line, one sends what is no text; the next finds it alive.
    let mut rude = TcpStream::connect(&addr).unwrap();
    answer(&mut rude);
    rude.write_all(b"see").unwrap();
    drop(rude);
    let mut rude = TcpStream::connect(&addr).unwrap();
    rude.write_all(&[0xff, 0, 0xfe, b'\n', 0x80, b'"', b'\n']).unwrap();
    answer(&mut rude);
    answer(&mut rude);
    drop(rude);
    let mut user = TcpStream::connect(&addr).unwrap();
    answer(&mut user);
    user.write_all(b"seek 5000\n").unwrap();
    assert!(answer(&mut user).starts_with("step 5000 ("));
    user.write_all(b"quit\n").unwrap();
    answer(&mut user);
    assert!(child.wait().unwrap().success());

    let path = dir.path("socket");
    let (mut child, addr) = serve(&file, &format!("unix:{path}"));
    assert_eq!(addr, format!("unix:{path}"));
    let mut user = UnixStream::connect(&path).unwrap();
    answer(&mut user);
    user.write_all(b"info replay\nquit\n").unwrap();
    assert!(answer(&mut user).contains("demo.dvm"));
    assert!(child.wait().unwrap().success());
    assert!(!std::path::Path::new(&path).exists());
}
