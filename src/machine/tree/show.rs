//! What a tree says of itself: to people, and in MessagePack.

use super::{MAX_TEXT, Tree};
use serde::Serialize;
use serde::ser::{self, SerializeMap, SerializeSeq};

impl std::fmt::Display for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list =
            |f: &mut std::fmt::Formatter<'_>, items: &mut dyn Iterator<Item = String>, ends: [char; 2]| {
                let items: Vec<String> = items.take(MAX_TEXT).collect();
                write!(f, "{}{}{}", ends[0], items.join(", "), ends[1])
            };
        match self {
            Self::Bool(b) => write!(f, "{b}"),
            Self::Unsigned(_, v) => write!(f, "{v:#x}"),
            Self::Signed(_, v) => write!(f, "{v}"),
            Self::Float(_, bits) => write!(f, "{bits:#x}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Nothing => f.write_str("none"),
            Self::Choice(_, Some(name)) => f.write_str(name),
            Self::Choice(index, None) => write!(f, "choice {index}"),
            Self::Data(variant, body) => write!(f, "{variant} {body}"),
            Self::Bytes(bytes) => list(f, &mut bytes.iter().map(|b| format!("{b:#x}")), ['[', ']']),
            Self::List(items) => list(f, &mut items.iter().map(Self::to_string), ['[', ']']),
            Self::Map(pairs) => list(f, &mut pairs.iter().map(|(k, v)| format!("{k}: {v}")), ['{', '}']),
            Self::Struct(fields) => list(f, &mut fields.iter().map(|(k, v)| format!("{k}: {v}")), ['{', '}']),
        }
    }
}

/// As the value itself says it in MessagePack: structures and tuples are lists there.
impl Serialize for Tree {
    fn serialize<S: ser::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(b) => s.serialize_bool(*b),
            Self::Unsigned(128, v) => s.serialize_u128(*v),
            Self::Unsigned(_, v) => s.serialize_u64(*v as u64),
            Self::Signed(128, v) => s.serialize_i128(*v),
            Self::Signed(_, v) => s.serialize_i64(*v as i64),
            Self::Float(32, bits) => s.serialize_f32(f32::from_bits(*bits as u32)),
            Self::Float(_, bits) => s.serialize_f64(f64::from_bits(*bits)),
            Self::Text(text) => s.serialize_str(text),
            Self::Bytes(bytes) => s.serialize_bytes(bytes),
            Self::Nothing => s.serialize_none(),
            Self::Choice(_, Some(name)) => s.serialize_str(name),
            Self::Choice(index, None) => s.serialize_u32(*index),
            Self::List(items) => s.collect_seq(items),
            Self::Struct(fields) => {
                let mut seq = s.serialize_seq(Some(fields.len()))?;
                fields.iter().try_for_each(|f| seq.serialize_element(&f.1))?;
                seq.end()
            }
            Self::Map(pairs) => s.collect_map(pairs.iter().map(|p| (&p.0, &p.1))),
            Self::Data(variant, body) => {
                let mut map = s.serialize_map(Some(1))?;
                map.serialize_entry(variant, body)?;
                map.end()
            }
        }
    }
}
