//! Shifts (SDM volume 1, sections 5.4.6 and 5.6.3). Counts are unsigned 64-bit numbers; those
//! above the lane's width clear the lane, or fill it with its sign.

use super::pack::Pack;
use super::shape::{both_or_imm, lanes, table, whole, xmm_by_imm};
use crate::x86::op::Handler;
use iced_x86::Instruction;

lanes! { V;
    Psllw = |a, b, _| { let n = count(b); V::map(a, |a: u16| a.checked_shl(n).unwrap_or(0)) };
    Pslld = |a, b, _| { let n = count(b); V::map(a, |a: u32| a.checked_shl(n).unwrap_or(0)) };
    Psllq = |a, b, _| { let n = count(b); V::map(a, |a: u64| a.checked_shl(n).unwrap_or(0)) };
    Psrlw = |a, b, _| { let n = count(b); V::map(a, |a: u16| a.checked_shr(n).unwrap_or(0)) };
    Psrld = |a, b, _| { let n = count(b); V::map(a, |a: u32| a.checked_shr(n).unwrap_or(0)) };
    Psrlq = |a, b, _| { let n = count(b); V::map(a, |a: u64| a.checked_shr(n).unwrap_or(0)) };
    Psraw = |a, b, _| { let n = count(b).min(15); V::map(a, |a: i16| a >> n) };
    Psrad = |a, b, _| { let n = count(b).min(31); V::map(a, |a: i32| a >> n) };
}

/// The count in the low 64 bits, capped.
#[inline(always)]
fn count<V: Pack>(b: V) -> u32 {
    b.lane::<u64>(0).min(64) as u32
}

whole! {
    Pslldq = |a, _, imm| a.checked_shl(u32::from(imm) * 8).unwrap_or(0);
    Psrldq = |a, _, imm| a.checked_shr(u32::from(imm) * 8).unwrap_or(0);
}

/// The handler for `ins`, if it is here.
pub fn select(ins: &Instruction) -> Option<Handler> {
    table!(ins;
        both_or_imm: Psllw Pslld Psllq Psrlw Psrld Psrlq Psraw Psrad;
        xmm_by_imm: Pslldq Psrldq;
    )
}
