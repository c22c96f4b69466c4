//! `--stats` and `--perf-map`: what the engine did, in figures, and names for its code.

use crate::debug::symbols::Symbols;
use crate::host::clock::Stopwatch;
use crate::host::perf::{Instructions, PerfMap};
use crate::machine::Machine;
use crate::machine::board::Board;
use clap::Args;
use serde::Serialize;
use std::collections::BTreeMap;

/// Options of commands that run a machine.
#[derive(Args, Clone, Debug)]
pub struct StatsArgs {
    /// Print at the end what the engine did: see docs/performance.md
    #[arg(long)]
    pub stats: bool,
    /// With --stats: print it as one line of JSON on standard error
    #[arg(long, requires = "stats")]
    pub json: bool,
    /// Name compiled code for Linux perf, in /tmp/perf-PID.map; by these symbols if given (ELF or System.map)
    #[arg(
        long,
        value_name = "FILE[@OFFSET]",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        hide_short_help = true
    )]
    pub perf_map: Option<String>,
}

/// A run that is measured, if the user wants that.
pub struct Stats {
    args: StatsArgs,
    watch: Stopwatch,
    instructions: Instructions,
}

impl Stats {
    /// Begins to measure. The machine must not have run yet.
    ///
    /// # Errors
    /// One line that names the option.
    pub fn start<B: Board>(args: &StatsArgs, machine: &mut Machine<B>) -> Result<Self, String> {
        if let Some(spec) = &args.perf_map {
            let mut symbols = Symbols::default();
            if !spec.is_empty() {
                symbols.add(spec).map_err(|e| format!("--perf-map={spec}: {e}"))?;
            }
            let mut map = PerfMap::create().map_err(|e| format!("--perf-map: {e}"))?;
            machine.tell_code(Box::new(move |code| {
                let name = match code.pc {
                    None => "dejavm: entry and exit".to_owned(),
                    Some(pc) => match symbols.describe(pc) {
                        Some(name) => format!("{pc:#x} {name}"),
                        None => format!("{pc:#x}"),
                    },
                };
                map.add(code.at, code.len, &name);
            }));
        }
        if args.stats {
            machine.count();
        }
        Ok(Self::of(args))
    }

    /// Begins to measure machines that nothing is known of.
    pub fn of(args: &StatsArgs) -> Self {
        let instructions = if args.stats { Instructions::count() } else { Instructions::not_wanted() };
        Self { args: args.clone(), watch: Stopwatch::start(), instructions }
    }

    /// Prints what was measured, if the user wants it.
    pub fn print(&self, steps: u64, counters: &[(&'static str, u64)]) {
        if !self.args.stats {
            return;
        }
        let report =
            Report::new(steps, self.watch.elapsed().as_secs_f64(), self.instructions.read(), counters);
        if self.args.json {
            match serde_json::to_string(&report) {
                Ok(line) => eprintln!("{line}"),
                Err(e) => eprintln!("dejavm: --stats: {e}"),
            }
        } else {
            report.print();
        }
    }
}

/// The figures. As JSON: fields may be added, never changed or taken away; the names of counters belong to the build.
#[derive(Debug, Serialize)]
struct Report {
    steps: u64,
    seconds: f64,
    mips: f64,
    /// Instructions of the host, of this thread outside the kernel; null where they cannot be counted.
    host_instructions: Option<u64>,
    host_instructions_per_step: Option<f64>,
    /// Why they cannot.
    host_instructions_missing: Option<String>,
    /// Parts of the steps; null where no code is compiled.
    compiled_steps: Option<f64>,
    handed_steps: Option<f64>,
    interpreted_steps: Option<f64>,
    /// Part of the compiled blocks that were entered from a compiled block.
    chain_rate: Option<f64>,
    /// Accesses of compiled code that the interpreter had to make.
    tlb_miss_rate: Option<f64>,
    /// Translations cached, in a thousand steps.
    translations_per_1000_steps: Option<f64>,
    counters: BTreeMap<&'static str, u64>,
}

impl Report {
    fn new(steps: u64, seconds: f64, host: Result<u64, String>, counters: &[(&'static str, u64)]) -> Self {
        let counters: BTreeMap<_, _> = counters.iter().copied().collect();
        let get = |name: &str| counters.get(name).copied();
        let part = |n: Option<u64>, of: Option<u64>| match (n, of) {
            (Some(n), Some(of)) if of > 0 => Some(n as f64 / of as f64),
            _ => None,
        };
        let compiled = get("steps in compiled code");
        let handed = get("of those, handed to the interpreter");
        let own = compiled.zip(handed).map(|(c, h)| c.saturating_sub(h));
        let exits = counters.iter().filter(|c| c.0.starts_with("exits ")).map(|c| c.1).sum::<u64>();
        let blocks = get("compiled blocks run");
        // Compiled code is entered as often as it is left.
        let chained = blocks.map(|b| b.saturating_sub(exits));
        let (host, missing) = match host {
            Ok(n) => (Some(n), None),
            Err(why) => (None, Some(why)),
        };
        Self {
            steps,
            seconds,
            mips: steps as f64 / seconds.max(1e-9) / 1e6,
            host_instructions: host,
            host_instructions_per_step: part(host, Some(steps)),
            host_instructions_missing: missing,
            compiled_steps: part(own, Some(steps)),
            handed_steps: part(handed, Some(steps)),
            interpreted_steps: part(compiled.map(|c| steps.saturating_sub(c)), Some(steps)),
            chain_rate: part(chained, blocks),
            tlb_miss_rate: part(
                get("of those, compiled but for this case"),
                get("accesses to memory of compiled code"),
            ),
            translations_per_1000_steps: part(get("translations cached"), Some(steps)).map(|x| x * 1000.0),
            counters,
        }
    }

    fn print(&self) {
        let Self { steps, seconds, mips, .. } = self;
        eprintln!("dejavm: {steps} steps in {seconds:.3} s, {mips:.1} million a second");
        match (&self.host_instructions_per_step, &self.host_instructions_missing) {
            (Some(n), _) => eprintln!("dejavm: host instructions per step: {n:.2}"),
            (None, Some(why)) => eprintln!("dejavm: host instructions per step: not available: {why}"),
            (None, None) => {}
        }
        let parts = [
            ("steps in compiled code alone", self.compiled_steps),
            ("steps handed over by compiled code", self.handed_steps),
            ("steps interpreted", self.interpreted_steps),
            ("blocks entered from compiled code (chain rate)", self.chain_rate),
            ("accesses of compiled code that were handed over (TLB miss rate)", self.tlb_miss_rate),
        ];
        for (name, part) in parts.into_iter().filter_map(|(name, part)| Some((name, part?))) {
            eprintln!("dejavm: {name}: {:.3} %", part * 100.0);
        }
        if let Some(n) = self.translations_per_1000_steps {
            eprintln!("dejavm: translations cached in 1000 steps: {n:.3}");
        }
        for (name, n) in &self.counters {
            eprintln!("dejavm: {name}: {n}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_the_steps() {
        let counters = [
            ("steps in compiled code", 900),
            ("of those, handed to the interpreter", 100),
            ("of those, compiled but for this case", 20),
            ("exits for the budget", 3),
            ("exits for unknown direct targets", 7),
            ("compiled blocks run", 200),
            ("accesses to memory of compiled code", 400),
            ("translations cached", 5),
        ];
        let report = Report::new(1000, 0.5, Ok(4000), &counters);
        let near = |x: Option<f64>, y: f64| assert!(x.is_some_and(|x| (x - y).abs() < 1e-9), "{x:?} {y}");
        near(report.compiled_steps, 0.8);
        near(report.handed_steps, 0.1);
        near(report.interpreted_steps, 0.1);
        near(report.chain_rate, 0.95);
        near(report.tlb_miss_rate, 0.05);
        near(report.host_instructions_per_step, 4.0);
        near(report.translations_per_1000_steps, 5.0);
    }

    /// What is not known is null, not 0.
    #[test]
    fn nothing_is_made_up() {
        let report = Report::new(0, 0.0, Err("no counters here".to_owned()), &[]);
        let json = serde_json::to_value(&report).expect("plain data");
        for field in ["chain_rate", "compiled_steps", "tlb_miss_rate", "host_instructions_per_step"] {
            assert!(json[field].is_null(), "{field}: {json}");
        }
        assert_eq!(json["host_instructions_missing"], "no counters here");
    }
}
