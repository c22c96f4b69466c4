//! From a value to its tree: a serializer.

use super::Tree;
use serde::Serialize;
use serde::ser;

/// Makes trees.
pub struct Builder;

/// A tree of several parts in the making.
pub struct Parts {
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
pub struct Failed(String);

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
