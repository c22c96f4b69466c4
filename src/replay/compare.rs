//! Comparing two recordings.

use super::log::{Header, Recording};
use super::record::Record;
use serde::Serialize;

/// Where two recordings part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Parting {
    /// They are the same.
    Same,
    /// They are of different machines or runs; the names of the header's fields that differ.
    Headers(Vec<String>),
    /// The records differ from this one on.
    Records {
        /// Number of records that are the same.
        same: usize,
        /// The next record of the first recording, if it has one.
        first: Option<Record>,
        /// The next record of the second recording, if it has one.
        second: Option<Record>,
    },
}

/// Compares two recordings: headers first, then records.
pub fn compare(a: &Recording, b: &Recording) -> Parting {
    let headers = headers(&a.header, &b.header);
    if !headers.is_empty() {
        return Parting::Headers(headers);
    }
    let same = a.records.iter().zip(&b.records).take_while(|(a, b)| a == b).count();
    let (first, second) = (a.records.get(same).cloned(), b.records.get(same).cloned());
    if first.is_none() && second.is_none() { Parting::Same } else { Parting::Records { same, first, second } }
}

/// The names of the fields that differ.
fn headers(a: &Header, b: &Header) -> Vec<String> {
    let fields = |h: &Header| {
        let mut all = Vec::new();
        if let Ok(serde_json::Value::Object(top)) = serde_json::to_value(h) {
            for (name, value) in top {
                match value {
                    serde_json::Value::Object(inner) => {
                        all.extend(inner.into_iter().map(|(n, v)| (format!("{name}.{n}"), v)));
                    }
                    other => all.push((name, other)),
                }
            }
        }
        all
    };
    fields(a).into_iter().zip(fields(b)).filter(|(a, b)| a != b).map(|(a, _)| a.0).collect()
}
