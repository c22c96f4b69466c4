//! The torture harness: random guests and real ones on every engine, with everything done to the
//! engines that no guest may notice, compared with the plain interpreter.
//!
//! `cargo test --release --test torture` runs about a minute, the same programs each time. By hand:
//! `DEJAVM_TORTURE=30 cargo test --release --test torture -- --nocapture` runs for 30 minutes, other
//! programs each time. A failure prints its seed; `DEJAVM_TORTURE_SEED=SEED` runs that one.

#[path = "torture/chunks.rs"]
mod chunks;
#[path = "torture/code.rs"]
mod code;
#[path = "torture/compare.rs"]
mod compare;
#[path = "torture/engines.rs"]
mod engines;
#[path = "torture/handlers.rs"]
mod handlers;
#[path = "torture/instructions.rs"]
mod instructions;
#[path = "torture/layout.rs"]
mod layout;
#[path = "torture/program.rs"]
mod program;

use compare::{Outcome, Run, compare};
use dejavm::machine::Machine;
use dejavm::machine::pc::Pc;
use dejavm::replay::Input;
use engines::{Fault, Profile};
use instructions::Instructions;
use program::{PcEngine, Program};
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Programs of a run in CI.
const PROGRAMS: u64 = if cfg!(debug_assertions) { 40 } else { 1500 };

impl Run for Program {
    fn machine(&self, engine: Box<PcEngine>) -> Machine<Pc> {
        Program::machine(self, engine)
    }
    fn inputs(&self) -> &[(u64, Input)] {
        &self.inputs
    }
    fn stops(&self) -> &[u64] {
        &self.stops
    }
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    };
    Some(number.unwrap_or_else(|| panic!("{name}={text}: not a number")))
}

/// One random program; the report of what is wrong.
fn one(instructions: &Instructions, seed: u64) -> Result<Outcome, String> {
    let program = Program::new(instructions, seed);
    let mut outcome = compare(&program, &Profile::reference(), &Profile::random(seed));
    match outcome.difference.take() {
        None => Ok(outcome),
        Some(d) => Err(format!(
            "\nDEJAVM_TORTURE_SEED={seed} cargo test --release --test torture random_programs -- --nocapture\n{:?}, {} CPUs: {}",
            program.kind, program.cpus, d.report
        )),
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the run is limited in real time")]
fn random_programs() {
    let instructions = Instructions::new();
    eprintln!("torture: {} forms of instructions", instructions.len());
    if let Some(seed) = variable("DEJAVM_TORTURE_SEED") {
        let outcome = one(&instructions, seed).unwrap_or_else(|e| panic!("{e}"));
        eprintln!("torture: seed {seed}: {} steps, {:?}: no difference", outcome.steps, outcome.ended);
        return;
    }
    let (start, minutes) = (Instant::now(), variable("DEJAVM_TORTURE"));
    let first = match minutes {
        None => 1,
        Some(_) => std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |d| d.as_secs() << 16),
    };
    let failures = AtomicUsize::new(0);
    let mut counts = vec![0u64; 0x84];
    let (mut steps, mut programs, mut ended) = (0, 0, std::collections::BTreeMap::new());
    for batch in 0.. {
        let size = 64;
        let done = match minutes {
            None => batch * size >= PROGRAMS,
            Some(m) => start.elapsed() >= Duration::from_secs(60 * m),
        };
        if done || failures.load(Ordering::Relaxed) > 3 {
            break;
        }
        let seeds = first + batch * size..first + (batch + 1) * size;
        let outcomes: Vec<_> = seeds.into_par_iter().map(|seed| one(&instructions, seed)).collect();
        for outcome in outcomes {
            match outcome {
                Ok(o) => {
                    steps += o.steps;
                    programs += 1;
                    counts.iter_mut().zip(&o.counts).for_each(|(c, n)| *c += u64::from(*n));
                    *ended.entry(o.ended.unwrap_or_default()).or_insert(0) += 1;
                }
                Err(report) => {
                    failures.fetch_add(1, Ordering::Relaxed);
                    eprintln!("{report}");
                }
            }
        }
    }
    let vectors: Vec<_> = counts.iter().enumerate().filter(|c| *c.1 > 0).collect();
    eprintln!("torture: {programs} programs from seed {first}, {steps} steps, {:?}", start.elapsed());
    eprintln!("torture: ends {ended:?}; vectors {vectors:?}");
    assert_eq!(failures.into_inner(), 0, "programs differ between engines");
}

/// The harness finds what is wrong, at its step: a bit of a register, a bit of memory.
#[test]
fn injected_faults_are_found() {
    let instructions = Instructions::new();
    let mut found_all = 0;
    for seed in 100..105 {
        let mut program = Program::new(&instructions, seed);
        let step = program.steps / 7 * 3;
        // What is lost again before it is looked at is not seen.
        program.stops.push(step);
        program.stops.sort_unstable();
        let reach = compare(&program, &Profile::reference(), &Profile::reference()).steps;
        if reach <= step {
            continue;
        }
        for fault in [Fault::Register(15, 40), Fault::Memory(layout::DATA + 0xffff, 3)] {
            let subject = Profile { fault: Some((step, fault)), ..Profile::reference() };
            let found = compare(&program, &Profile::reference(), &subject).difference.expect("a difference");
            assert_eq!(found.step, step - 1, "seed {seed}: {}", found.report);
            let named = match fault {
                Fault::Register(..) => "r15:",
                Fault::Memory(..) => "memory 0x4ffff:",
            };
            assert!(found.report.contains(named), "{}", found.report);
            found_all += 1;
        }
    }
    assert!(found_all >= 4, "only {found_all} faults were looked for");
}
