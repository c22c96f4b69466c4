use super::*;
use serde::Deserialize;
use std::marker::PhantomData;

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
    assert_eq!(tree.value(PhantomData::<All>).unwrap(), value);
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
            if let Ok(value) = other.value(PhantomData::<All>) {
                let back = Tree::of(&value);
                assert_eq!(tree.unequal(&back).len(), 1, "{path} bit {bit}");
            } else {
                assert!(matches!(tree.flip_of(&path), Tree::Choice(..)) || path.starts_with("map"), "{path}");
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
    assert_eq!(on.value(PhantomData::<All>).unwrap().mode, Mode::Off);
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
