//! Comparing two recordings as they are in their files; nothing is replayed.

use super::Input;
use super::log::{Header, Recording};
use super::record::Record;
use crate::machine::config::MachineConfig;
use crate::machine::tree::{Tree, Unequal};
use serde::Serialize;

/// Where two recordings part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// The header's fields that differ.
    pub headers: Vec<Unequal>,
    /// The first records that differ.
    pub records: Option<Parting>,
}

/// The first records that differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Parting {
    /// Number of records before it, which are the same.
    pub same: usize,
    /// The next record of the first recording, if it has one.
    pub first: Option<Record>,
    /// The next record of the second recording, if it has one.
    pub second: Option<Record>,
}

impl Comparison {
    /// True when nothing differs.
    pub fn same(&self) -> bool {
        self.headers.is_empty() && self.records.is_none()
    }
}

/// Compares two recordings. Where checkpoints were taken at different moments they are left out.
pub fn compare(a: &Recording, b: &Recording) -> Comparison {
    let headers = Tree::of(&a.header).unequal(&Tree::of(&b.header));
    let aligned = a.header.checkpoints == b.header.checkpoints;
    let counts = |r: &&Record| aligned || !matches!(r, Record::Checkpoint(_));
    let (mut first, mut second) = (a.records.iter().filter(counts), b.records.iter().filter(counts));
    let mut same = 0;
    let records = loop {
        match (first.next(), second.next()) {
            (None, None) => break None,
            (a, b) if a == b => same += 1,
            (a, b) => break Some(Parting { same, first: a.cloned(), second: b.cloned() }),
        }
    };
    Comparison { headers, records }
}

/// True when both are of the same machine with the same images, whatever the images' files are called.
pub fn same_machine(a: &Header, b: &Header) -> bool {
    let nameless = |h: &Header| {
        let mut machine: MachineConfig = h.machine.clone();
        machine.images.iter_mut().for_each(|i| i.file.clear());
        machine
    };
    nameless(a) == nameless(b)
}

/// An input as a line of text says it.
pub fn describe(input: &Input) -> String {
    match input {
        Input::Serial { port, bytes } => format!("serial {port}: \"{}\"", bytes.escape_ascii()),
        Input::Fault { target, bit } => format!("fault: bit {bit} of {target}"),
        other => format!("{other:?}"),
    }
}
