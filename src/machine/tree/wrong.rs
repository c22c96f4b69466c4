//! Why a part of a tree cannot be named or changed.

/// Why a part cannot be named or changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// The path cannot be read.
    #[error("'{0}' is no path such as devices.pit.counters[0].mode")]
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
