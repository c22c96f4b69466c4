//! Any plain value as a tree of named parts: to name one, to flip a bit of it, to tell two apart.
//!
//! The tree is what serde says of the value, so no part is forgotten and no part is named twice.
//! Numbers keep their widths. Back from the tree goes by MessagePack, whose bytes are those of the
//! value itself.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::ser::{self, SerializeMap, SerializeSeq};

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

/// Why a part cannot be named or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// The path cannot be read.
    #[error("'{0}' is no path such as devices.pit.channels[0].count")]
    Syntax(String),
    /// There is no such name.
    #[error("{place} has no '{name}' (it has {})", names.join(", "))]
    Name {
        /// Where the path went wrong.
        place: String,
        /// What was asked for.
        name: String,
        /// What there is.
        names: Vec<String>,
        /// True when this can change while the machine runs.
        passing: bool,
    },
    /// The path ends before a value.
    #[error("{place} is no single value (it has {})", names.join(", "))]
    Inner {
        /// The path.
        place: String,
        /// What there is.
        names: Vec<String>,
    },
    /// The path goes on after a value.
    #[error("{place} is a single value")]
    Leaf {
        /// The value's path.
        place: String,
    },
    /// There is nothing now.
    #[error("{place} is empty now")]
    Empty {
        /// The path.
        place: String,
    },
    /// There is no memory.
    #[error("{place} lies outside RAM and ROM")]
    Outside {
        /// The address.
        place: String,
    },
    /// The value has fewer bits.
    #[error("{place} has bits 0 to {}, not {bit}", bits.saturating_sub(1))]
    Bit {
        /// The value's path.
        place: String,
        /// How many bits it has.
        bits: u32,
        /// What was asked for.
        bit: u32,
    },
    /// With the bit flipped the value is none that there can be.
    #[error("{place} with bit {bit} flipped is no possible value: {why}")]
    Value {
        /// The value's path.
        place: String,
        /// The bit.
        bit: u32,
        /// What is wrong with it.
        why: String,
    },
}

impl Wrong {
    /// True when it will not become right while the machine runs.
    pub fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Syntax(_) | Self::Name { passing: false, .. } | Self::Inner { .. } | Self::Leaf { .. }
        )
    }
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

    /// The value of a tree.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn value<T: DeserializeOwned>(&self) -> Result<T, String> {
        let bytes = rmp_serde::to_vec(self).map_err(|e| e.to_string())?;
        rmp_serde::from_slice(&bytes).map_err(|e| e.to_string())
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

/// A part of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'a> {
    Name(&'a str),
    Index(&'a str),
}

fn join(path: &mut String, part: Part<'_>) {
    match part {
        Part::Name(name) => {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(name);
        }
        Part::Index(index) => {
            path.push('[');
            path.push_str(index);
            path.push(']');
        }
    }
}

/// The parts of `a.b[3].c`.
fn parts(path: &str) -> Result<Vec<Part<'_>>, Wrong> {
    let wrong = || Wrong::Syntax(path.to_owned());
    let mut parts = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(index) = rest.strip_prefix('[') {
            let (index, after) = index.split_once(']').ok_or_else(wrong)?;
            parts.push(Part::Index(index));
            rest = after;
        } else {
            let name = if parts.is_empty() { rest } else { rest.strip_prefix('.').ok_or_else(wrong)? };
            let end = name.find(['.', '[']).unwrap_or(name.len());
            if end == 0 {
                return Err(wrong());
            }
            parts.push(Part::Name(&name[..end]));
            rest = &name[end..];
        }
    }
    if parts.is_empty() { Err(wrong()) } else { Ok(parts) }
}

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

/// Makes trees.
struct Builder;

/// A tree of several parts in the making.
struct Parts {
    variant: Option<&'static str>,
    items: Vec<Tree>,
    fields: Vec<(&'static str, Tree)>,
    pairs: Vec<(Tree, Tree)>,
}

impl Parts {
    fn new(variant: Option<&'static str>) -> Self {
        Self { variant, items: Vec::new(), fields: Vec::new(), pairs: Vec::new() }
    }

    fn whole(variant: Option<&'static str>, tree: Tree) -> Tree {
        match variant {
            Some(variant) => Tree::Data(variant, Box::new(tree)),
            None => tree,
        }
    }
}

/// A value refused to say what it is made of.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failed(String);

impl ser::Error for Failed {
    fn custom<T: std::fmt::Display>(text: T) -> Self {
        Self(text.to_string())
    }
}

type Built = Result<Tree, Failed>;

macro_rules! single {
    ($($method:ident($t:ty) => |$v:ident| $tree:expr;)*) => {
        $(fn $method(self, $v: $t) -> Built { Ok($tree) })*
    };
}

impl ser::Serializer for Builder {
    type Ok = Tree;
    type Error = Failed;
    type SerializeSeq = Parts;
    type SerializeTuple = Parts;
    type SerializeTupleStruct = Parts;
    type SerializeTupleVariant = Parts;
    type SerializeMap = Parts;
    type SerializeStruct = Parts;
    type SerializeStructVariant = Parts;

    single! {
        serialize_bool(bool) => |v| Tree::Bool(v);
        serialize_u8(u8) => |v| Tree::Unsigned(8, v.into());
        serialize_u16(u16) => |v| Tree::Unsigned(16, v.into());
        serialize_u32(u32) => |v| Tree::Unsigned(32, v.into());
        serialize_u64(u64) => |v| Tree::Unsigned(64, v.into());
        serialize_u128(u128) => |v| Tree::Unsigned(128, v);
        serialize_i8(i8) => |v| Tree::Signed(8, v.into());
        serialize_i16(i16) => |v| Tree::Signed(16, v.into());
        serialize_i32(i32) => |v| Tree::Signed(32, v.into());
        serialize_i64(i64) => |v| Tree::Signed(64, v.into());
        serialize_i128(i128) => |v| Tree::Signed(128, v);
        serialize_f32(f32) => |v| Tree::Float(32, v.to_bits().into());
        serialize_f64(f64) => |v| Tree::Float(64, v.to_bits());
        serialize_char(char) => |v| Tree::Text(v.to_string());
        serialize_str(&str) => |v| Tree::Text(v.to_owned());
        serialize_bytes(&[u8]) => |v| Tree::Bytes(v.to_vec());
        serialize_unit_struct(&'static str) => |_v| Tree::List(Vec::new());
    }

    fn serialize_none(self) -> Built {
        Ok(Tree::Nothing)
    }

    fn serialize_unit(self) -> Built {
        Ok(Tree::Nothing)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Built {
        value.serialize(self)
    }

    fn serialize_unit_variant(self, _: &'static str, index: u32, variant: &'static str) -> Built {
        Ok(Tree::Choice(index, Some(variant)))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Built {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Built {
        Ok(Tree::Data(variant, Box::new(value.serialize(self)?)))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts, Failed> {
        Ok(Parts::new(None))
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts, Failed> {
        Ok(Parts::new(None))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts, Failed> {
        Ok(Parts::new(None))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts, Failed> {
        Ok(Parts::new(Some(variant)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts, Failed> {
        Ok(Parts::new(None))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts, Failed> {
        Ok(Parts::new(None))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts, Failed> {
        Ok(Parts::new(Some(variant)))
    }
}

macro_rules! several {
    ($($kind:ident . $method:ident;)*) => {
        $(impl ser::$kind for Parts {
            type Ok = Tree;
            type Error = Failed;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
                self.items.push(value.serialize(Builder)?);
                Ok(())
            }

            fn end(self) -> Built {
                Ok(Self::whole(self.variant, Tree::List(self.items)))
            }
        })*
    };
}

several! {
    SerializeSeq.serialize_element;
    SerializeTuple.serialize_element;
    SerializeTupleStruct.serialize_field;
    SerializeTupleVariant.serialize_field;
}

macro_rules! fields {
    ($($kind:ident)*) => {
        $(impl ser::$kind for Parts {
            type Ok = Tree;
            type Error = Failed;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Failed> {
                self.fields.push((name, value.serialize(Builder)?));
                Ok(())
            }

            fn end(self) -> Built {
                Ok(Self::whole(self.variant, Tree::Struct(self.fields)))
            }
        })*
    };
}

fields! { SerializeStruct SerializeStructVariant }

impl ser::SerializeMap for Parts {
    type Ok = Tree;
    type Error = Failed;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Failed> {
        self.pairs.push((key.serialize(Builder)?, Tree::Nothing));
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
        if let Some(pair) = self.pairs.last_mut() {
            pair.1 = value.serialize(Builder)?;
        }
        Ok(())
    }

    fn end(self) -> Built {
        Ok(Tree::Map(self.pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
    enum Mode {
        Off,
        On,
        Timed { left: u16, why: Option<u8> },
        Pair(i8, bool),
        One(u64),
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct All {
        wide: u128,
        sign: i64,
        float: f64,
        mode: Mode,
        modes: Vec<Mode>,
        name: String,
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
        map: std::collections::BTreeMap<u32, Option<char>>,
        pair: (u8, [u16; 2]),
        none: Option<u8>,
    }

    fn all() -> All {
        All {
            wide: u128::MAX - 5,
            sign: i64::MIN,
            float: 1.5,
            mode: Mode::On,
            modes: vec![
                Mode::Off,
                Mode::Timed { left: 7, why: Some(3) },
                Mode::Pair(-1, true),
                Mode::One(1 << 63),
                Mode::Timed { left: 1, why: None },
            ],
            name: "abc".into(),
            bytes: vec![1, 2, 255],
            map: [(3, Some('x')), (70_000, None)].into(),
            pair: (1, [2, 3]),
            none: None,
        }
    }

    #[test]
    fn a_tree_says_what_the_value_says() {
        let value = all();
        let tree = Tree::of(&value);
        assert_eq!(rmp_serde::to_vec(&tree).unwrap(), rmp_serde::to_vec(&value).unwrap());
        assert_eq!(tree.value::<All>().unwrap(), value);
    }

    #[test]
    fn every_bit_flips_and_flips_back() {
        let tree = Tree::of(&all());
        let mut leaves = Vec::new();
        tree.leaves(&mut |path, bits| leaves.push((path.to_owned(), bits)));
        let expected = ["modes[1].Timed.left", "modes[2].Pair[0]", "modes[3].One", "bytes[2]", "map[0x3]"];
        for name in expected {
            assert!(leaves.iter().any(|l| l.0 == name), "{name} in {leaves:?}");
        }
        for (path, bits) in leaves {
            for bit in 0..bits {
                let mut other = tree.clone();
                let flipped = other.flip(&path, bit);
                if matches!(flipped, Err(Wrong::Value { .. })) {
                    assert!(path == "name" || path.starts_with("map"));
                    continue;
                }
                assert_eq!(flipped, Ok(()));
                let unequal = tree.unequal(&other);
                assert_eq!(unequal.len(), 1);
                assert_eq!(unequal[0].path, path);
                if let Ok(value) = other.value::<All>() {
                    let back = Tree::of(&value);
                    assert_eq!(tree.unequal(&back).len(), 1, "{path} bit {bit}");
                } else {
                    assert!(
                        matches!(tree.flip_of(&path), Tree::Choice(..)) || path.starts_with("map"),
                        "{path}"
                    );
                }
                if !matches!(tree.flip_of(&path), Tree::Choice(..)) {
                    other.flip(&path, bit).unwrap();
                    assert_eq!(other, tree);
                }
            }
            assert!(matches!(tree.clone().flip(&path, bits), Err(Wrong::Bit { .. })), "{path}");
        }
        let mut on = tree.clone();
        on.flip("mode", 0).unwrap();
        assert_eq!(on.value::<All>().unwrap().mode, Mode::Off);
    }

    impl Tree {
        /// The part that a path names; a byte's piece for a byte.
        fn flip_of(&self, path: &str) -> Self {
            let mut node = self.clone();
            for part in parts(path).unwrap() {
                if matches!(node, Self::Bytes(_)) {
                    return node;
                }
                node = node.part(part, "").unwrap().clone();
            }
            node
        }
    }

    #[test]
    fn a_wrong_path_says_what_there_is() {
        let mut tree = Tree::of(&all());
        let mut text = |path: &str| tree.flip(path, 0).unwrap_err().to_string();
        assert!(text("mod").starts_with("the machine has no 'mod' (it has wide, sign, "));
        assert_eq!(text("modes[9]"), "modes has no '[9]' (it has [0] to [4])");
        assert_eq!(text("modes[1].left"), "modes[1] has no 'left' (it has Timed)");
        assert_eq!(text("modes[1].Timed"), "modes[1].Timed is no single value (it has left, why)");
        assert_eq!(text("wide.x"), "wide is a single value");
        assert_eq!(text("bytes[3]"), "bytes has no '[3]' (it has [0] to [2])");
        assert_eq!(text("bytes[1][2]"), "bytes[1] is a single value");
        assert_eq!(text("none"), "none is empty now");
        assert_eq!(text("none.x"), "none is empty now");
        for bad in ["", ".", "a..b", "a[", "a[1", "a.", "a]b"] {
            assert!(!text(bad).is_empty(), "{bad}");
        }
        assert_eq!(tree.flip("sign", 64).unwrap_err().to_string(), "sign has bits 0 to 63, not 64");
    }
}
