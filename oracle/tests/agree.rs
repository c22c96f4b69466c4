//! The interpreter agrees with this host's CPU on random user-level instructions.
//!
//! The seed is fixed, so that a failure is the same everywhere with this CPU; longer runs with
//! other seeds are `cargo run --release -p dejavm-oracle -- --cases 0`.

use dejavm_oracle::forms::Forms;
use dejavm_oracle::generate;
use dejavm_oracle::interp::Interp;
use dejavm_oracle::native::{Native, features};
use dejavm_oracle::run::{Bench, Totals};
use dejavm_oracle::state::{Outcome, Subject};

const SEED: u64 = 20261122;

/// The number of cases: a million with optimisation, else what takes about as long.
const CASES: u64 = if cfg!(debug_assertions) { 150_000 } else { 1_000_000 };

/// Runs `cases` and fails with everything about one case that differs.
fn check(host: &mut Native, legacy: bool, cases: u64) {
    let mut subject = Interp::new(legacy).expect("the guest can be set up");
    let mut forms = Forms::new(&features(), None);
    if legacy {
        forms = forms.into_legacy();
    }
    let mut totals = Totals::default();
    eprintln!("host: {}; subject: {}", host.name(), subject.name());
    let mut bench =
        Bench { forms: &forms, seed: SEED, host, subject: &mut subject, outcomes: <[Outcome; 2]>::default() };
    for number in 0..cases {
        bench.count(number, &mut totals);
    }
    eprintln!("{}\n{}", totals.line(), totals.coverage(&forms));
    if let Some(number) = totals.examples().first() {
        let case = generate::case(&forms, SEED, *number);
        let small = bench.shrink(&case);
        eprintln!("{}", bench.explain(&small));
    }
    assert_eq!(totals.failed, 0, "failing forms, seed {SEED}:\n{}", totals.failures());
    assert_eq!(totals.unimplemented, 0, "not implemented:\n{}", totals.missing());
    assert_eq!(totals.unreached(&forms), 0, "forms that no case reached");
}

/// One test, because the host's windows are one in a process.
#[test]
fn interpreter_agrees_with_the_host() {
    let mut host = match Native::new() {
        Ok(host) => host,
        Err(reason) => {
            eprintln!("not run: {reason}");
            return;
        }
    };
    check(&mut host, false, CASES);
    check(&mut host, true, CASES / 4);
}
