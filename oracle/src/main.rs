//! Runs random x86 instructions on the host's CPU and on DejaVM and prints what differs.
#![allow(clippy::disallowed_methods, reason = "progress and the default seed come from the clock")]

use clap::Parser;
use dejavm_oracle::forms::Forms;
use dejavm_oracle::generate;
use dejavm_oracle::interp::Interp;
use dejavm_oracle::native::{self, Native};
use dejavm_oracle::run::{Bench, Totals};
use dejavm_oracle::state::{Outcome, Subject};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Compares DejaVM's x86 interpreter with this machine's CPU, instruction by instruction.
#[derive(Parser)]
struct Args {
    /// Number of cases; 0 runs until it is stopped.
    #[arg(long, default_value_t = 1_000_000)]
    cases: u64,
    /// Seed of the random numbers; by default one from the clock, which is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Run this case of the seed only, and print everything about it.
    #[arg(long)]
    case: Option<u64>,
    /// First case of a run.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Only encodings whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Print this many failing cases in full.
    #[arg(long, default_value_t = 3)]
    show: usize,
    /// Do not simplify the cases that are printed.
    #[arg(long)]
    no_shrink: bool,
    /// Print what was not implemented and where undefined results differ.
    #[arg(long, short)]
    verbose: bool,
    /// The guest is a 32-bit kernel's program; only what means the same there is run.
    #[arg(long)]
    legacy: bool,
    /// Compare the host with itself: tests the test.
    #[arg(long)]
    against_itself: bool,
}

/// The native oracle again, for `--against-itself`.
struct Again(std::rc::Rc<std::cell::RefCell<Native>>);

impl Subject for Again {
    fn name(&self) -> String {
        self.0.borrow().name()
    }
    fn run(
        &mut self,
        case: &dejavm_oracle::state::Case,
        out: &mut Outcome,
    ) -> Result<(), dejavm_oracle::state::Failure> {
        self.0.borrow_mut().run(case, out)
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(e) => {
            eprintln!("x86-oracle: {e}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<bool, String> {
    let native = std::rc::Rc::new(std::cell::RefCell::new(Native::new()?));
    let mut host = Again(native.clone());
    let mut subject: Box<dyn Subject> =
        if args.against_itself { Box::new(Again(native)) } else { Box::new(Interp::new(args.legacy)?) };
    let mut forms = Forms::new(&native::features(), args.only.as_deref());
    if args.legacy {
        forms = forms.into_legacy();
    }
    if forms.list.is_empty() {
        return Err("no instruction is left to test".into());
    }
    let seed = args.seed.unwrap_or_else(|| {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |d| d.as_nanos() as u64 % 1_000_000_007)
    });
    println!("host: {}; subject: {}; seed {seed}", host.name(), subject.name());
    let mut bench = Bench {
        forms: &forms,
        seed,
        host: &mut host,
        subject: subject.as_mut(),
        outcomes: Default::default(),
    };
    if let Some(number) = args.case {
        let case = generate::case(&forms, seed, number);
        print!("{}", dejavm_oracle::report::disassembly(&case));
        print!("{}", bench.explain(&case));
        return Ok(bench.run(&case).is_ok_and(|v| v.defined.is_empty()));
    }
    let mut totals = Totals::default();
    let start = Instant::now();
    let mut shown = start;
    let mut number = args.from;
    while args.cases == 0 || totals.cases < args.cases {
        bench.count(number, &mut totals);
        number += 1;
        if number.is_multiple_of(256) && shown.elapsed() > Duration::from_secs(10) {
            shown = Instant::now();
            let rate = totals.cases as f64 / start.elapsed().as_secs_f64();
            println!("{:.0} s: {} ({rate:.0} a second)", start.elapsed().as_secs_f64(), totals.line());
        }
    }
    for number in totals.examples().into_iter().take(args.show) {
        let case = generate::case(&forms, seed, number);
        let small = if args.no_shrink { case } else { bench.shrink(&case) };
        println!("{}", bench.explain(&small));
    }
    print!("{}", totals.coverage(&forms));
    if args.verbose {
        print!("not yet implemented:\n{}", totals.missing());
        print!("undefined state that differs from this host:\n{}", totals.loose());
    }
    if totals.failed > 0 {
        print!("failing forms (one example each; --seed {seed} --case N repeats it):\n{}", totals.failures());
    }
    println!("{} in {:.1} s", totals.line(), start.elapsed().as_secs_f64());
    Ok(totals.failed == 0)
}
