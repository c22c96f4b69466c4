//! The toy board computes on its memory and prints, without a CPU.

#[path = "../common/mod.rs"]
mod common;

use crate::guest::ask;
use common::{SPACING, Script, config, record};
use dejavm::debug::query::Event;
use dejavm::machine::config::Images;
use dejavm::machine::toy::Toy;
use dejavm::replay::log::Recording;
use dejavm::timeline::{Options, Timeline};
use std::sync::Arc;

fn toy() -> Timeline<Toy> {
    // No events from outside: a reset would clear memory between two steps.
    let mut script = Script::quiet();
    let config = config("busy=3000 clock say");
    let (bytes, _) = record(&config, SPACING, &mut script, 1_500_000);
    let recording = Arc::new(Recording::read(bytes.as_slice()).unwrap());
    let make = Arc::new(move || Toy::build(&config, &Images::default()));
    Timeline::new(recording, make, Options::default()).unwrap()
}

fn memory(t: &mut Timeline<Toy>, at: u64) -> Vec<u8> {
    t.seek(at, &mut ()).unwrap();
    t.machine().mem.bytes().to_vec()
}

#[test]
fn writes_of_a_board_without_cpu() {
    let mut t = toy();
    let end = t.end();
    let (from, to) = (end / 4, end / 2);
    let rows = ask(&mut t, &format!("writes phys:0:0x400000 --from {from} --to {to}"));
    assert!(rows.len() > 50, "{}", rows.len());
    let mut bytes = memory(&mut t, from);
    for row in &rows {
        let Event::Write { phys, len, old, new, .. } = row.event else { panic!("{row:?}") };
        let place = &mut bytes[phys.0 as usize..phys.0 as usize + usize::from(len)];
        assert_eq!(place, old.0.to_le_bytes());
        place.copy_from_slice(&new.0.to_le_bytes());
        assert!((from..to).contains(&row.icount));
    }
    assert!(bytes == memory(&mut t, to), "no write is missing");
    let last = rows.last().unwrap();
    let Event::Write { phys, new, .. } = last.event else { unreachable!() };
    let answer = ask(&mut t, &format!("last-write phys:{phys} --before {to}"));
    assert!(matches!(&answer[..], [row] if row == last), "{answer:?}");
    t.seek(last.icount + 1, &mut ()).unwrap();
    assert_eq!(t.machine().mem.value(phys.0, 8), new.0);
    let reads = ask(&mut t, &format!("reads phys:0:0x400000 --from {from} --to {to}"));
    let steps = |rows: &[dejavm::debug::query::Row]| rows.iter().map(|r| r.icount).collect::<Vec<_>>();
    assert_eq!(steps(&reads), steps(&rows), "each of its writes reads first");
}

#[test]
fn nothing_of_what_it_has_not() {
    let mut t = toy();
    for question in ["executions 0x1000", "interrupts", "exceptions", "io", "console no-such-text"] {
        assert_eq!(ask(&mut t, question), [], "{question}");
    }
    assert!(!ask(&mut t, "console e").is_empty());
}
