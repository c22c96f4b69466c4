//! Any plain value as a tree of named parts: to name one, to flip a bit of it, to tell two apart.
//!
//! The tree is what serde says of the value, so no part is forgotten and no part is named twice.
//! Numbers keep their widths. Back from the tree goes by MessagePack, whose bytes are those of the
//! value itself.

mod builder;
mod path;
mod show;
#[cfg(test)]
mod tests;
mod wrong;

use builder::Builder;
use path::{Part, join, parts};
use serde::Serialize;
use serde::de::DeserializeSeed;
pub use wrong::Wrong;

/// A value as a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// A boolean.
    Bool(bool),
    /// A number without sign.
    Unsigned(u32, u128),
    /// A number with sign.
    Signed(u32, i128),
    /// A number in floating point, by its bits.
    Float(u32, u64),
    /// Text.
    Text(String),
    /// Bytes in one piece; their parts are the bytes.
    Bytes(Vec<u8>),
    /// Nothing: an absent value.
    Nothing,
    /// A list or a tuple.
    List(Vec<Tree>),
    /// A map, in the order in which it says its keys.
    Map(Vec<(Tree, Tree)>),
    /// A structure with named fields.
    Struct(Vec<(&'static str, Tree)>),
    /// A choice without further data: its number, and its name unless a flipped bit took it away.
    Choice(u32, Option<&'static str>),
    /// A choice with data; the data's path has the choice's name in it.
    Data(&'static str, Box<Tree>),
}

/// Two values of the same name that are not the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unequal {
    /// The path.
    pub path: String,
    /// What people call it, where that says more than the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The first value.
    pub first: String,
    /// The second value.
    pub second: String,
}

/// The root's name in messages.
pub const ROOT: &str = "the machine";

/// Longest text of a value in a report.
const MAX_TEXT: usize = 240;

impl Tree {
    /// The tree of a value.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        value.serialize(Builder).unwrap_or_else(|e| unreachable!("plain data has a tree: {e}"))
    }

    /// The value of a tree, which `seed` reads.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn value<S: for<'de> DeserializeSeed<'de, Value = T>, T>(&self, seed: S) -> Result<T, String> {
        let bytes = rmp_serde::to_vec(self).map_err(|e| e.to_string())?;
        seed.deserialize(&mut rmp_serde::Deserializer::new(&bytes[..])).map_err(|e| e.to_string())
    }

    /// Bits of a single value.
    fn bits(&self) -> Option<u32> {
        match self {
            Self::Bool(_) => Some(1),
            Self::Unsigned(bits, _) | Self::Signed(bits, _) | Self::Float(bits, _) => Some(*bits),
            Self::Text(text) => Some(8 * text.len() as u32),
            Self::Choice(..) => Some(8),
            _ => None,
        }
    }

    /// The names of its parts, as they follow in a path.
    pub fn names(&self) -> Vec<String> {
        let indices = |n: usize| match n {
            0 => vec!["nothing now".to_owned()],
            1 => vec!["[0]".to_owned()],
            n => vec![format!("[0] to [{}]", n - 1)],
        };
        match self {
            Self::Struct(fields) => fields.iter().map(|f| f.0.to_owned()).collect(),
            Self::Map(pairs) => pairs.iter().map(|p| format!("[{}]", p.0)).collect(),
            Self::List(items) => indices(items.len()),
            Self::Bytes(bytes) => indices(bytes.len()),
            Self::Data(variant, _) => vec![(*variant).to_owned()],
            _ => Vec::new(),
        }
    }

    /// Flips a bit of the value that a path names.
    ///
    /// # Errors
    /// [`Wrong`].
    pub fn flip(&mut self, path: &str, bit: u32) -> Result<(), Wrong> {
        let mut node = self;
        let mut place = String::new();
        for part in parts(path)? {
            if let Self::Bytes(bytes) = node {
                return flip_byte(bytes, &place, part, path, bit);
            }
            node = node.part(part, &place)?;
            join(&mut place, part);
        }
        let Some(bits) = node.bits() else {
            return Err(match node {
                Self::Nothing => Wrong::Empty { place },
                _ => Wrong::Inner { names: node.names(), place },
            });
        };
        if bit >= bits {
            return Err(Wrong::Bit { place, bits, bit });
        }
        match node {
            Self::Bool(b) => *b = !*b,
            Self::Unsigned(_, v) => *v ^= 1 << bit,
            Self::Signed(bits, v) => {
                let up = 128 - *bits;
                *v = ((*v ^ 1 << bit) << up) >> up;
            }
            Self::Float(_, v) => *v ^= 1 << bit,
            Self::Choice(index, name) => (*index, *name) = (*index ^ 1 << bit, None),
            Self::Text(text) => {
                let mut bytes = std::mem::take(text).into_bytes();
                bytes[bit as usize / 8] ^= 1 << (bit % 8);
                *text = String::from_utf8(bytes).map_err(|e| {
                    let why = e.to_string();
                    Wrong::Value { place, bit, why }
                })?;
            }
            _ => unreachable!("only single values have bits"),
        }
        Ok(())
    }

    fn part(&mut self, part: Part<'_>, place: &str) -> Result<&mut Self, Wrong> {
        let names = self.names();
        let passing = !matches!(self, Self::Struct(_));
        if self.bits().is_some() {
            return Err(Wrong::Leaf { place: place.to_owned() });
        }
        let found = match (self, part) {
            (Self::Struct(fields), Part::Name(name)) => {
                fields.iter_mut().find(|f| f.0 == name).map(|f| &mut f.1)
            }
            (Self::Data(variant, body), Part::Name(name)) if *variant == name => Some(&mut **body),
            (Self::List(items), Part::Index(index)) => {
                index.parse().ok().and_then(|i: usize| items.get_mut(i))
            }
            (Self::Map(pairs), Part::Index(index)) => {
                pairs.iter_mut().find(|p| p.0.to_string() == index).map(|p| &mut p.1)
            }
            (Self::Nothing, _) => return Err(Wrong::Empty { place: place.to_owned() }),
            _ => None,
        };
        found.ok_or_else(|| no_name(place, part, names, passing))
    }

    /// Calls `f` for each single value: its path and the number of its bits.
    pub fn leaves(&self, f: &mut dyn FnMut(&str, u32)) {
        self.walk(&mut String::new(), f);
    }

    fn walk(&self, path: &mut String, f: &mut dyn FnMut(&str, u32)) {
        let mut inner = |part: Part<'_>, tree: &Self| {
            let len = path.len();
            join(path, part);
            tree.walk(path, f);
            path.truncate(len);
        };
        match self {
            Self::Struct(fields) => fields.iter().for_each(|(name, t)| inner(Part::Name(name), t)),
            Self::Data(variant, body) => inner(Part::Name(variant), body),
            Self::List(items) => {
                items.iter().enumerate().for_each(|(i, t)| inner(Part::Index(&i.to_string()), t));
            }
            Self::Map(pairs) => pairs.iter().for_each(|(k, t)| inner(Part::Index(&k.to_string()), t)),
            Self::Bytes(bytes) => {
                let byte = |(i, b): (usize, &u8)| {
                    inner(Part::Index(&i.to_string()), &Self::Unsigned(8, (*b).into()));
                };
                bytes.iter().enumerate().for_each(byte);
            }
            leaf => {
                if let Some(bits) = leaf.bits() {
                    f(path, bits);
                }
            }
        }
    }

    /// Where two trees differ: the innermost parts.
    pub fn unequal(&self, other: &Self) -> Vec<Unequal> {
        let mut all = Vec::new();
        self.compare(other, &mut String::new(), &mut all);
        all
    }

    fn compare(&self, other: &Self, path: &mut String, all: &mut Vec<Unequal>) {
        if self == other {
            return;
        }
        let mut inner = |part: Part<'_>, a: &Self, b: &Self| {
            let len = path.len();
            join(path, part);
            a.compare(b, path, all);
            path.truncate(len);
        };
        match (self, other) {
            (Self::Struct(a), Self::Struct(b)) if a.len() == b.len() => {
                for (a, b) in a.iter().zip(b) {
                    inner(Part::Name(a.0), &a.1, &b.1);
                }
            }
            (Self::Data(a, x), Self::Data(b, y)) if a == b => inner(Part::Name(a), x, y),
            (Self::List(a), Self::List(b)) if a.len() == b.len() => {
                for (i, (a, b)) in a.iter().zip(b).enumerate() {
                    inner(Part::Index(&i.to_string()), a, b);
                }
            }
            (Self::Bytes(a), Self::Bytes(b)) if a.len() == b.len() => {
                for (i, (&a, &b)) in a.iter().zip(b).enumerate() {
                    let byte = |v: u8| Self::Unsigned(8, v.into());
                    inner(Part::Index(&i.to_string()), &byte(a), &byte(b));
                }
            }
            (Self::Map(a), Self::Map(b)) if a.iter().map(|p| &p.0).eq(b.iter().map(|p| &p.0)) => {
                for ((key, a), (_, b)) in a.iter().zip(b) {
                    inner(Part::Index(&key.to_string()), a, b);
                }
            }
            _ => all.push(Unequal {
                path: path.clone(),
                name: None,
                first: self.short(),
                second: other.short(),
            }),
        }
    }

    fn short(&self) -> String {
        let text = self.to_string();
        if text.len() <= MAX_TEXT {
            return text;
        }
        format!("{}...", &text[..text.floor_char_boundary(MAX_TEXT)])
    }
}

fn no_name(place: &str, part: Part<'_>, names: Vec<String>, passing: bool) -> Wrong {
    let mut name = String::new();
    join(&mut name, part);
    let place = if place.is_empty() { ROOT } else { place };
    Wrong::Name { place: place.to_owned(), name, names, passing }
}

fn flip_byte(bytes: &mut [u8], place: &str, part: Part<'_>, path: &str, bit: u32) -> Result<(), Wrong> {
    let index = match part {
        Part::Index(index) => index.parse::<usize>().ok(),
        Part::Name(_) => None,
    };
    let names = Tree::Bytes(bytes.to_vec()).names();
    let Some(byte) = index.and_then(|i| bytes.get_mut(i)) else {
        return Err(no_name(place, part, names, true));
    };
    let mut here = place.to_owned();
    join(&mut here, part);
    if here != path {
        return Err(Wrong::Leaf { place: here });
    }
    if bit >= 8 {
        return Err(Wrong::Bit { place: here, bits: 8, bit });
    }
    *byte ^= 1 << bit;
    Ok(())
}
