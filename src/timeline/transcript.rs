//! What the serial ports sent, as far as it is known, and finding a text in it.
//!
//! The output is part of the run: whoever replays some steps learns what was sent in them, for all
//! later searches.

use super::snapshot::Window;
use crate::replay::Output;
use crate::replay::replayer::Watcher;
use std::collections::BTreeMap;

/// Bytes that are kept before those far from the present search are forgotten.
const LIMIT: usize = 1 << 22;

/// A byte that a port sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The boundary before the step that sent it.
    pub step: u64,
    /// The port.
    pub port: u8,
    /// The byte.
    pub byte: u8,
}

/// Notes what is sent.
#[derive(Debug, Default)]
pub struct Listener(pub Vec<Sent>);

impl Watcher for Listener {
    fn output(&mut self, step: u64, output: &Output) {
        if let &Output::Serial { port, byte } = output {
            self.0.push(Sent { step, port, byte });
        }
    }
}

/// All that was sent in the steps of a window.
#[derive(Debug)]
struct Part {
    to: u64,
    sent: Vec<Sent>,
}

/// What is known, by the first step of the parts.
#[derive(Debug, Default)]
pub struct Transcript {
    parts: BTreeMap<u64, Part>,
    bytes: usize,
}

impl Transcript {
    /// The parts of a window that are not known, in order.
    pub fn gaps(&self, (from, to): Window) -> Vec<Window> {
        let mut gaps = Vec::new();
        let mut at = from;
        let earlier = self.parts.range(..=from).next_back();
        for (&start, part) in earlier.into_iter().chain(self.parts.range(from + 1..to.max(from + 1))) {
            if start > at {
                gaps.push((at, start));
            }
            at = at.max(part.to);
        }
        if at < to {
            gaps.push((at, to));
        }
        gaps
    }

    /// Learns what was sent in a window. When it is much, what lies outside of `present` is
    /// forgotten.
    pub fn learn(&mut self, window: Window, sent: &[Sent], present: Window) {
        for (from, to) in self.gaps(window) {
            let first = sent.partition_point(|s| s.step < from);
            let new = &sent[first..sent.partition_point(|s| s.step < to)];
            self.bytes += new.len();
            match self.parts.range_mut(..from).next_back() {
                Some((_, part)) if part.to == from => {
                    part.sent.extend_from_slice(new);
                    part.to = to;
                }
                _ => {
                    self.parts.insert(from, Part { to, sent: new.to_vec() });
                }
            }
        }
        if self.bytes > LIMIT {
            self.parts.retain(|&from, part| from < present.1 && present.0 < part.to);
            self.bytes = self.parts.values().map(|p| p.sent.len()).sum();
        }
    }

    /// What a port sent in the steps of a window, of which all is known.
    pub fn sent(&self, port: u8, (from, to): Window) -> Vec<Sent> {
        let earlier = self.parts.range(..from).next_back();
        let parts = earlier.into_iter().chain(self.parts.range(from..to.max(from)));
        let all = parts.flat_map(|(_, part)| {
            let first = part.sent.partition_point(|s| s.step < from);
            &part.sent[first..part.sent.partition_point(|s| s.step < to).max(first)]
        });
        all.filter(|s| s.port == port).copied().collect()
    }

    /// Forgets what comes from a step on: the guest lives on in another way.
    pub fn forget_from(&mut self, step: u64) {
        self.parts.split_off(&step);
        if let Some((_, part)) = self.parts.iter_mut().next_back() {
            part.to = part.to.min(step);
            part.sent.truncate(part.sent.partition_point(|s| s.step < step));
        }
        self.bytes = self.parts.values().map(|p| p.sent.len()).sum();
    }
}

/// The steps that sent the last byte of the text, in order.
pub fn ends(text: &[u8], sent: &[Sent]) -> Vec<u64> {
    if text.is_empty() {
        return Vec::new();
    }
    let all = sent.windows(text.len());
    let hits = all.filter(|w| w.iter().zip(text).all(|(s, b)| s.byte == *b));
    hits.filter_map(|w| w.last().map(|s| s.step)).collect()
}

/// True when the text may have begun before the first of these bytes, and end in a step from `from`
/// on: one of its ends is what they begin with.
pub fn may_straddle(text: &[u8], sent: &[Sent], from: u64) -> bool {
    let most = text.len().saturating_sub(1).min(sent.len());
    (1..=most).any(|n| {
        sent[n - 1].step >= from && sent[..n].iter().zip(&text[text.len() - n..]).all(|(s, b)| s.byte == *b)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(text: &str, first: u64) -> Vec<Sent> {
        text.bytes()
            .enumerate()
            .map(|(i, byte)| Sent { step: first + i as u64 * 10, port: 0, byte })
            .collect()
    }

    #[test]
    fn learns_in_any_order_and_only_once() {
        let all = sent("abcdefghij", 5);
        let part =
            |from, to| all.iter().copied().filter(|s| s.step >= from && s.step < to).collect::<Vec<_>>();
        let mut t = Transcript::default();
        assert_eq!(t.gaps((0, 100)), [(0, 100)]);
        t.learn((30, 60), &part(30, 60), (0, 100));
        t.learn((60, 80), &part(60, 80), (0, 100));
        t.learn((10, 20), &part(10, 20), (0, 100));
        assert_eq!(t.gaps((0, 100)), [(0, 10), (20, 30), (80, 100)]);
        assert_eq!(t.gaps((35, 70)), []);
        t.learn((0, 100), &all, (0, 100));
        assert_eq!(t.gaps((0, 100)), []);
        assert_eq!(t.sent(0, (0, 100)), all);
        assert_eq!(t.sent(0, (15, 26)), part(15, 26));
        assert_eq!(t.sent(1, (0, 100)), []);
        t.forget_from(45);
        assert_eq!(t.gaps((0, 100)), [(45, 100)]);
        assert_eq!(t.sent(0, (0, 100)), part(0, 45));
    }

    #[test]
    fn finds_texts_also_where_they_overlap() {
        assert_eq!(ends(b"aa", &sent("aaba", 0)), [10]);
        assert_eq!(ends(b"aba", &sent("ababa", 0)), [20, 40]);
        assert!(may_straddle(b"login", &sent("in: ", 0), 0));
        assert!(may_straddle(b"login", &sent("ogin", 0), 0));
        assert!(!may_straddle(b"login", &sent("login", 0), 0));
        assert!(!may_straddle(b"login", &sent("go", 0), 0));
        assert!(!may_straddle(b"l", &sent("l", 0), 0));
        assert!(
            may_straddle(b"login", &sent("ogin", 0), 30) && !may_straddle(b"login", &sent("ogin", 0), 31)
        );
    }

    #[test]
    fn much_output_is_forgotten_but_for_the_present_search() {
        let mut t = Transcript::default();
        let many: Vec<Sent> = (0..LIMIT as u64).map(|step| Sent { step, port: 0, byte: b'x' }).collect();
        let half = LIMIT as u64 / 2;
        t.learn((0, half), &many, (half + 1, u64::MAX));
        t.learn((half + 1, LIMIT as u64 + 2), &many, (half + 1, u64::MAX));
        t.learn(
            (LIMIT as u64 + 3, LIMIT as u64 + 9),
            &[Sent { step: LIMIT as u64 + 3, ..many[0] }; 3],
            (half + 1, u64::MAX),
        );
        assert_eq!(t.gaps((0, 10)), [(0, 10)]);
        assert_eq!(t.gaps((half + 1, half + 10)), []);
    }
}
