//! Which thread searches which windows of a search backwards.
//!
//! Going back to a snapshot costs: pages are put back, and what was compiled of them is made again. So the
//! user's machine goes backwards in runs of windows, and the others come to meet it forwards, each from where
//! it ended. First the newer half of the windows is shared out like that and then the older, so that what is
//! not far back is found without the rest.

use super::snapshot::Window;
use std::ops::Range;

/// Windows that the machine which goes backwards runs through from one snapshot at most.
const RUN: usize = 64;
/// Windows that are left to who is at them.
const FEW: usize = 4;

/// Windows that nobody took, by index, newest first. Its owner takes the oldest; the thread that goes backwards
/// the newest.
struct Span {
    left: Range<usize>,
    owner: Option<usize>,
}

/// Windows that are taken by several threads. Thread 0 goes backwards.
pub(super) struct Shares<'a> {
    /// Newest first.
    windows: &'a [Window],
    threads: usize,
    spans: Vec<Span>,
    /// The first window that is in no span yet.
    next: usize,
}

impl<'a> Shares<'a> {
    /// These windows, newest first, for so many threads.
    pub fn new(windows: &'a [Window], threads: usize) -> Self {
        Self { windows, threads, spans: Vec::new(), next: 0 }
    }

    /// Takes windows that lie next to each other.
    pub fn take(&mut self, thread: usize) -> Option<Range<usize>> {
        loop {
            let taken = if thread == 0 { self.newest() } else { self.oldest(thread) };
            if taken.is_some() || !self.open() {
                return taken;
            }
        }
    }

    /// Shares out the next windows. False when there are none.
    fn open(&mut self) -> bool {
        let (first, all) = (self.next, self.windows.len());
        if first == all {
            return false;
        }
        self.next = if first == 0 && self.threads > 1 { all.div_ceil(2) } else { all };
        // Two threads meet in the newest part.
        let others = self.threads.saturating_sub(1).max(1);
        let border = |part| first + (self.next - first) * part / (others + 1);
        let parts = (0..others).map(|i| border(if i == 0 { 0 } else { i + 1 })..border(i + 2));
        self.spans.extend(parts.map(|left| Span { left, owner: None }));
        true
    }

    /// A run of the newest windows.
    ///
    /// The further back the longer: a search that ends early has not run much in vain. Where others come to
    /// meet it shorter again, so that none is left alone with a long one.
    fn newest(&mut self) -> Option<Range<usize>> {
        let span = self.spans.iter_mut().find(|s| !s.left.is_empty())?;
        let first = span.left.start;
        // Half as long as what was searched: by that much a search that finds something may be late.
        let left = if self.threads == 1 { RUN } else { span.left.len() / 2 };
        let most = (first / 2).min(left).clamp(1, RUN);
        let touching =
            self.windows[span.left.clone()].windows(2).take_while(|w| w[1].1 == w[0].0).count() + 1;
        span.left.start += most.min(touching);
        Some(first..span.left.start)
    }

    /// The oldest window of the thread's own span, or of one that it gets.
    fn oldest(&mut self, thread: usize) -> Option<Range<usize>> {
        let span = |s: &Span| s.owner == Some(thread) && !s.left.is_empty();
        let own = self.spans.iter().position(span).or_else(|| self.part_for(thread))?;
        let left = &mut self.spans[own].left;
        left.end -= 1;
        Some(left.end..left.end + 1)
    }

    /// Gives a span to a thread that has none: one that nobody has, or the newer half of the longest.
    fn part_for(&mut self, thread: usize) -> Option<usize> {
        let free = |s: &Span| s.owner.is_none() && !s.left.is_empty();
        if let Some(at) = self.spans.iter().position(free) {
            self.spans[at].owner = Some(thread);
            return Some(at);
        }
        let (at, longest) = self.spans.iter_mut().enumerate().max_by_key(|(_, s)| s.left.len())?;
        if longest.left.len() < FEW {
            return None;
        }
        let middle = longest.left.start + longest.left.len() / 2;
        let newer = longest.left.start..middle;
        longest.left.start = middle;
        self.spans.insert(at, Span { left: newer, owner: Some(thread) });
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows of which every seventh is left out, or none.
    fn windows(n: u64, gaps: bool) -> Vec<Window> {
        (0..n).rev().filter(|n| !gaps || n % 7 != 3).map(|n| (n * 10, n * 10 + 10)).collect()
    }

    #[test]
    fn each_window_is_taken_once_whoever_is_fast() {
        for (n, threads, speed) in
            (0..30).flat_map(|n| (1..6).flat_map(move |t| (0..7).map(move |s| (n, t, s))))
        {
            let windows = windows(n * n / 4, n % 3 == 0);
            let mut shares = Shares::new(&windows, threads);
            let mut taken = vec![0; windows.len()];
            let mut working: Vec<usize> = (0..threads).collect();
            let mut turn = 0;
            while !working.is_empty() {
                // Some take more often than others.
                turn += 1 + turn * speed % 3;
                let at = turn % working.len();
                let Some(run) = shares.take(working[at]) else {
                    working.remove(at);
                    continue;
                };
                assert!(!run.is_empty() && run.len() <= RUN);
                assert!(windows[run.clone()].windows(2).all(|w| w[1].1 == w[0].0), "they touch");
                run.for_each(|i| taken[i] += 1);
            }
            assert!(taken.iter().all(|&n| n == 1), "{n} {threads} {speed}: {taken:?}");
        }
    }

    /// The runs that two threads take in turns.
    fn in_turns(windows: &[Window]) -> [Vec<Range<usize>>; 2] {
        let mut shares = Shares::new(windows, 2);
        let mut runs = [Vec::new(), Vec::new()];
        while let Some((thread, run)) = (0..2).find_map(|_| {
            let steps = |runs: &Vec<Range<usize>>| runs.iter().map(Range::len).sum::<usize>();
            let thread = usize::from(steps(&runs[1]) < steps(&runs[0]));
            Some((thread, shares.take(thread)?))
        }) {
            runs[thread].push(run);
        }
        runs
    }

    #[test]
    fn others_go_forwards_to_meet_the_one_that_goes_backwards() {
        let windows = windows(200, false);
        let [back, forth] = in_turns(&windows);
        assert_eq!(back[0], 0..1, "what is newest is searched first");
        let jumps = |runs: &[Range<usize>]| runs.windows(2).filter(|w| w[1].end != w[0].start).count();
        assert_eq!((forth[0].clone(), jumps(&forth)), (99..100, 1), "once to the older half");
        assert!(jumps(&back) < 30, "{back:?}");
        // The newer half is searched before the older.
        let newer =
            |runs: &[Range<usize>]| runs.iter().take_while(|r| r.start < 100).map(Range::len).sum::<usize>();
        assert_eq!(newer(&back) + newer(&forth), 100);
    }

    #[test]
    fn one_thread_takes_longer_runs_the_further_back() {
        let windows = windows(400, false);
        let mut shares = Shares::new(&windows, 1);
        let mut end = 0;
        while let Some(run) = shares.take(0) {
            assert_eq!(run.start, end);
            assert!(run.len() == (run.start / 2).clamp(1, RUN) || run.end == windows.len());
            end = run.end;
        }
        assert_eq!(end, windows.len());
    }
}
