//! The interpreter agrees with qemu-aarch64 on random user-level instructions.

use dejavm_interp::aarch64::decode::rows;
use dejavm_oracle::aarch64::case::{case, excluded, table};
use dejavm_oracle::aarch64::known::excused;
use dejavm_oracle::aarch64::peer::{self, Peer};
use dejavm_oracle::aarch64::subject::Subject;
use std::collections::BTreeMap;

const SIGTRAP: u64 = 5;
const SEED: u64 = 20_261_124;

#[test]
fn interpreter_agrees_with_qemu() {
    let cases: u64 = std::env::var("DEJAVM_CASES")
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or_else(|| if std::env::var_os("CI").is_some() { 1_000_000 } else { 200_000 });
    let folder = std::env::temp_dir().join(format!("dejavm-a64-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let started = peer::build(&folder).and_then(|harness| Peer::start(&harness));
    let mut peer = match started {
        Ok(peer) => peer,
        Err(reason) => {
            assert!(std::env::var_os("CI").is_none(), "{reason}");
            eprintln!("not run: {reason}");
            return;
        }
    };
    let mut subject = Subject::new().unwrap();
    let table = table();
    let mut reached: BTreeMap<&str, [u64; 5]> = BTreeMap::new();
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    let mut examples = Vec::new();
    let batch = |first: u64| -> Vec<_> {
        (first..cases.min(first + Peer::BATCH)).map(|n| case(&table, SEED, n)).collect()
    };
    let mut ahead = batch(0);
    peer.send(&ahead).expect("the harness lives");
    for first in (0..cases).step_by(Peer::BATCH as usize) {
        let batch = std::mem::replace(&mut ahead, batch(first + Peer::BATCH));
        peer.send(&ahead).expect("the harness lives");
        let answers = peer.receive(batch.len()).expect("the harness lives");
        for (i, (case, theirs)) in batch.iter().zip(&answers).enumerate() {
            let counts = reached.entry(case.row).or_default();
            let Ok(ours) = subject.run(case) else {
                counts[2] += 1;
                continue;
            };
            counts[0] += 1;
            counts[4] += u64::from(ours.signal == SIGTRAP);
            if ours == *theirs {
                continue;
            }
            if let Some(reason) = excused(case, theirs, &ours) {
                counts[3] += 1;
                *reasons.entry(reason).or_default() += 1;
                continue;
            }
            counts[1] += 1;
            if counts[1] <= 2 {
                let mut text = format!("case {} {}: {:08x}", first + i as u64, case.row, case.word);
                if (ours.signal, ours.pc) != (theirs.signal, theirs.pc) {
                    text += &format!(
                        "\n  signal, pc: {} {:#x}, peer {} {:#x}",
                        ours.signal, ours.pc, theirs.signal, theirs.pc
                    );
                }
                for d in ours.state.differences(&theirs.state).iter().take(6) {
                    text += &format!("\n  {d}");
                }
                examples.push(text);
            }
        }
    }
    let _ = std::fs::remove_dir_all(&folder);
    let sum = |i: usize| reached.values().map(|c| c[i]).sum::<u64>();
    let never: Vec<_> =
        table.iter().map(|r| r.name).filter(|name| reached.get(name).is_none_or(|c| c[4] == 0)).collect();
    eprintln!(
        "{} cases, {} of {} rows completed, {} excused",
        sum(0),
        table.len() - never.len(),
        table.len(),
        sum(3)
    );
    eprintln!("never completed: {never:?}");
    for (reason, n) in &reasons {
        eprintln!("excused: {reason}: {n}");
    }
    for row in rows() {
        if let Some(reason) = excluded(row.name) {
            eprintln!("no cases: {}: {reason}", row.name);
        }
    }
    for (row, counts) in reached.iter().filter(|r| r.1[2] > 0) {
        eprintln!("not implemented: {row}: {}", counts[2]);
    }
    assert_eq!(sum(1), 0, "{}", examples.join("\n"));
    assert!(cases < 100_000 || never.is_empty(), "rows that no case completed: {never:?}");
}
