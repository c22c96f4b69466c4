//! The layout of the software TLB, as compiled code reads it.

use dejavm_interp::tlb::{Access, Entry, WAYS};
use std::mem::{offset_of, size_of};

/// Bytes of a TLB entry; a power of two that the shifts below count on.
pub const ENTRY: usize = size_of::<Entry>();
const _: () = assert!(ENTRY == 16 && WAYS == 4096);

/// Offset of the entries for an access from the start of the space.
pub const fn table(access: Access) -> i32 {
    (access as usize * WAYS * ENTRY) as i32
}

/// Offset of an entry's tag.
pub const TAG: i32 = offset_of!(Entry, tag) as i32;
/// Offset of an entry's place in the host mapping.
pub const OFFSET: i32 = offset_of!(Entry, offset) as i32;
