//! The loop: makes cases, runs them on the host and on the subject, compares, counts.

use crate::compare::{Verdict, compare};
use crate::forms::{Form, Forms, Shape};
use crate::generate;
use crate::report;
use crate::state::{Case, Failure, Outcome, Subject};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Counts of a run.
#[derive(Default)]
pub struct Totals {
    /// Cases run.
    pub cases: u64,
    /// Cases that differ in defined state.
    pub failed: u64,
    /// Cases that differ in undefined state only.
    pub undefined: u64,
    /// Cases that the subject does not implement.
    pub unimplemented: u64,
    /// Cases that ended with the exception of the instruction itself.
    pub faulted: u64,
    forms: BTreeMap<Form, Count>,
    missing: BTreeMap<String, u64>,
    loose: BTreeMap<String, u64>,
}

#[derive(Default)]
struct Count {
    cases: u64,
    failed: u64,
    completed: u64,
    example: Option<Example>,
}

struct Example {
    number: u64,
    verdict: Verdict,
}

/// Runs case `number` and returns the subject's and the host's outcomes with the verdict.
pub struct Bench<'a> {
    /// What to test.
    pub forms: &'a Forms,
    /// The seed.
    pub seed: u64,
    /// The oracle.
    pub host: &'a mut dyn Subject,
    /// What is tested.
    pub subject: &'a mut dyn Subject,
    /// Results of the last case.
    pub outcomes: [Outcome; 2],
}

impl Bench<'_> {
    /// Runs one case on both.
    pub fn run(&mut self, case: &Case) -> Result<Verdict, Failure> {
        let [host, subject] = &mut self.outcomes;
        self.host.run(case, host)?;
        self.subject.run(case, subject)?;
        Ok(compare(case, host, subject))
    }

    /// Makes and runs case `number`, and counts it.
    pub fn count(&mut self, number: u64, totals: &mut Totals) {
        let case = generate::case(self.forms, self.seed, number);
        let form = report::form(&case);
        totals.cases += 1;
        let result = self.run(&case);
        let count = totals.forms.entry(form).or_default();
        count.cases += 1;
        match result {
            Err(Failure::Unimplemented(_)) => {
                totals.unimplemented += 1;
                *totals.missing.entry(format!("{:?}", form.code)).or_default() += 1;
            }
            Err(Failure::Stuck(how)) => {
                totals.failed += 1;
                count.failed += 1;
                let verdict = Verdict { defined: vec![how], undefined: Vec::new() };
                count.example.get_or_insert(Example { number, verdict });
            }
            Ok(verdict) => {
                let first = case.state.rip + case.lead as u64;
                if self.outcomes[0].state.rip == first {
                    totals.faulted += 1;
                } else {
                    count.completed += 1;
                }
                if !verdict.defined.is_empty() {
                    totals.failed += 1;
                    count.failed += 1;
                    count.example.get_or_insert(Example { number, verdict });
                } else if !verdict.undefined.is_empty() {
                    totals.undefined += 1;
                    let what = &verdict.undefined[0];
                    let what =
                        if what.contains("host:") { what.split(' ').next().unwrap_or("") } else { what };
                    let key = format!("{:?}: {what}", form.code.mnemonic());
                    *totals.loose.entry(key).or_default() += 1;
                }
            }
        }
    }

    /// Simplifies a failing case: registers and memory that do not matter become zero.
    pub fn shrink(&mut self, case: &Case) -> Case {
        let mut best = case.clone();
        let Ok(before) = self.run(case) else { return best };
        let mut attempt = |best: &mut Case, change: &dyn Fn(&mut Case)| {
            let mut c = best.clone();
            change(&mut c);
            if matches!(self.run(&c), Ok(v) if v.defined.len() == before.defined.len()
                && !v.defined.is_empty())
            {
                *best = c;
            }
        };
        for n in 0..16 {
            attempt(&mut best, &|c| c.state.gpr[n] = 0);
            attempt(&mut best, &|c| c.state.xmm[n] = 0);
        }
        for n in 0..8 {
            attempt(&mut best, &|c| c.state.st[n] = 0);
        }
        attempt(&mut best, &|c| c.state.rflags = 0x202);
        attempt(&mut best, &|c| c.state.mxcsr = 0x1f80);
        attempt(&mut best, &|c| c.state.fcw = 0x37f);
        attempt(&mut best, &|c| c.state.fsw &= 0x3800);
        for n in (0..best.patches.len()).rev() {
            attempt(&mut best, &|c| {
                c.patches.remove(n);
            });
        }
        best
    }

    /// The report of one case.
    pub fn explain(&mut self, case: &Case) -> String {
        match self.run(case) {
            Err(e) => format!(
                "{}{}{e:?}\n{}{}",
                report::disassembly(case),
                report::registers(&case.state, case.mode),
                self.outcomes[0].end,
                report::registers(&self.outcomes[0].state, case.mode)
            ),
            Ok(v) if v.same() => {
                format!("{}  the same on both: {}\n", report::disassembly(case), self.outcomes[0].end)
            }
            Ok(v) => report::failure(case, &self.outcomes[0], &self.outcomes[1], &v),
        }
    }
}

impl Totals {
    /// One line of progress.
    pub fn line(&self) -> String {
        format!(
            "{} cases, {} failed, {} differ in undefined state only, {} not yet implemented",
            self.cases, self.failed, self.undefined, self.unimplemented
        )
    }

    /// Numbers of one failing case of each form, the most frequent first.
    pub fn examples(&self) -> Vec<u64> {
        let mut v: Vec<_> =
            self.forms.values().filter_map(|c| Some((c.failed, c.example.as_ref()?.number))).collect();
        v.sort_unstable_by_key(|(n, number)| (u64::MAX - n, *number));
        v.into_iter().map(|(_, number)| number).collect()
    }

    /// The failing forms, one line each.
    pub fn failures(&self) -> String {
        let mut lines: Vec<_> = self
            .forms
            .iter()
            .filter_map(|(f, c)| {
                let e = c.example.as_ref()?;
                let what = e.verdict.defined.join("; ");
                let share = format!("{}/{}", c.failed, c.cases);
                Some((
                    c.failed,
                    format!(
                        "  {share:>9} {:?} {:?} {:?}, case {}: {what}",
                        f.mode, f.code, f.shape, e.number
                    ),
                ))
            })
            .collect();
        lines.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        lines.iter().fold(String::new(), |s, (_, l)| s + l + "\n")
    }

    /// What was not implemented, with counts.
    pub fn missing(&self) -> String {
        self.missing.iter().fold(String::new(), |s, (k, n)| s + &format!("  {n:>8} {k}\n"))
    }

    /// Where undefined results differ from this host's, with counts.
    pub fn loose(&self) -> String {
        self.loose.iter().fold(String::new(), |s, (k, n)| s + &format!("  {n:>8} {k}\n"))
    }

    /// Number of forms that no case had.
    pub fn unreached(&self, forms: &Forms) -> usize {
        forms.list.iter().filter(|f| !self.forms.contains_key(f)).count()
    }

    /// How much of what was to be tested was: forms reached, and those never reached or never
    /// completed.
    pub fn coverage(&self, forms: &Forms) -> String {
        let mut out = String::new();
        let mut reached = 0;
        let mut least = u64::MAX;
        for f in &forms.list {
            match self.forms.get(f) {
                Some(c) => {
                    reached += 1;
                    least = least.min(c.cases);
                    if c.completed == 0 && c.cases >= 20 {
                        let _ = writeln!(out, "  only faults: {:?} {:?} {:?}", f.mode, f.code, f.shape);
                    }
                }
                None => {
                    let _ = writeln!(out, "  never reached: {:?} {:?} {:?}", f.mode, f.code, f.shape);
                }
            }
        }
        let memory = forms.list.iter().filter(|f| f.shape == Shape::Mem).count();
        let codes: std::collections::BTreeSet<_> = forms.list.iter().map(|f| f.code).collect();
        let _ = writeln!(
            out,
            "coverage: {reached} of {} forms (mode x encoding x register or memory; {memory} with \
             memory), of {} encodings; at least {} cases each; {} cases ended in a fault of \
             their own",
            forms.list.len(),
            codes.len(),
            if reached > 0 { least } else { 0 },
            self.faulted
        );
        for (reason, codes) in &forms.skipped {
            let _ = writeln!(out, "skipped, {}: {codes:?}", reason);
        }
        out
    }
}
