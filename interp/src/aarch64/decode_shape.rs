//! How rows of the decoder's table choose a handler by element size.
//!
//! Each macro gives a row's `make`: in the handler's path, `T` stands for the element type, `F` for
//! the floating-point type that the encoding's size, sz, immh or ftype names.

use super::op::bits;

/// The element type of a letter.
macro_rules! ty {
    (B) => {
        u8
    };
    (H) => {
        u16
    };
    (S) => {
        u32
    };
    (D) => {
        u64
    };
}

/// The value of size.
macro_rules! size {
    (B) => {
        0
    };
    (H) => {
        1
    };
    (S) => {
        2
    };
    (D) => {
        3
    };
}

/// The values of size and Q of a vector: of 64-bit elements there are two.
macro_rules! size_q {
    (B) => {
        (0, _)
    };
    (H) => {
        (1, _)
    };
    (S) => {
        (2, _)
    };
    (D) => {
        (3, 1)
    };
}

/// Vectors by size (bits 23:22) and Q.
macro_rules! vector {
    ($($s:ident)+ => $h:expr) => {
        |w| match (bits(w, 23, 22), bits(w, 30, 30)) {
            $(size_q!($s) => {
                type T = ty!($s);
                Some(($h as Handler, 0))
            })+
            _ => None,
        }
    };
}

/// Scalars, or shapes where Q does not matter, by size (bits 23:22).
macro_rules! scalar {
    ($($s:ident)+ => $h:expr) => {
        |w| match bits(w, 23, 22) {
            $(size!($s) => {
                type T = ty!($s);
                Some(($h as Handler, 0))
            })+
            _ => None,
        }
    };
}

/// Floating-point vectors by sz (bit 22) and Q.
macro_rules! float {
    ($h:expr) => {
        |w| match (bits(w, 22, 22), bits(w, 30, 30)) {
            (0, _) => {
                type F = F32;
                Some(($h as Handler, 0))
            }
            (_, 1) => {
                type F = F64;
                Some(($h as Handler, 0))
            }
            _ => None,
        }
    };
}

/// Floating-point scalars by sz (bit 22).
macro_rules! float_scalar {
    ($h:expr) => {
        |w| {
            if bits(w, 22, 22) == 0 {
                type F = F32;
                Some(($h as Handler, 0))
            } else {
                type F = F64;
                Some(($h as Handler, 0))
            }
        }
    };
}

/// Half precision.
macro_rules! half {
    ($h:expr) => {
        |_| {
            type F = F16;
            Some(($h as Handler, 0))
        }
    };
}

/// Floating-point scalars by ftype (bits 23:22), with an immediate.
macro_rules! ftype {
    ($h:expr) => {
        ftype!(|_w| 0, $h)
    };
    ($imm:expr, $h:expr) => {
        |w| {
            let imm: fn(u32) -> u64 = $imm;
            match bits(w, 23, 22) {
                0 => {
                    type F = F32;
                    Some(($h as Handler, imm(w)))
                }
                1 => {
                    type F = F64;
                    Some(($h as Handler, imm(w)))
                }
                3 => {
                    type F = F16;
                    Some(($h as Handler, imm(w)))
                }
                _ => None,
            }
        }
    };
}

/// Shifts by immediate: immh's leading one names the size; the amount by `$amount`.
macro_rules! shift_row {
    ($q:expr, $amount:expr; $($s:ident)+ => $h:expr) => {
        |w| match bits(w, 22, 19).checked_ilog2() {
            $(Some(size!($s)) if size!($s) < 3 || !$q || bits(w, 30, 30) != 0 => {
                type T = ty!($s);
                Some(($h as Handler, $amount(w)))
            })+
            _ => None,
        }
    };
}

/// Right shifts of vectors.
macro_rules! right {
    ($($s:ident)+ => $h:expr) => { shift_row!(true, right_amount; $($s)+ => $h) };
}

/// Left shifts of vectors.
macro_rules! left {
    ($($s:ident)+ => $h:expr) => { shift_row!(true, left_amount; $($s)+ => $h) };
}

/// Right shifts of scalars.
macro_rules! right_scalar {
    ($($s:ident)+ => $h:expr) => { shift_row!(false, right_amount; $($s)+ => $h) };
}

/// Left shifts of scalars.
macro_rules! left_scalar {
    ($($s:ident)+ => $h:expr) => { shift_row!(false, left_amount; $($s)+ => $h) };
}

/// Fixed-point conversions: immh names the type, the immediate is fraction bits.
macro_rules! fixed {
    ($q:expr, $h:expr) => {
        |w| match bits(w, 22, 19).checked_ilog2() {
            Some(1) => {
                type F = F16;
                Some(($h as Handler, right_amount(w)))
            }
            Some(2) => {
                type F = F32;
                Some(($h as Handler, right_amount(w)))
            }
            Some(3) if !$q || bits(w, 30, 30) != 0 => {
                type F = F64;
                Some(($h as Handler, right_amount(w)))
            }
            _ => None,
        }
    };
}

/// By element, of 16 or 32 bits: the index is H:L:M or H:L.
macro_rules! element {
    ($h:expr) => {
        |w| match bits(w, 23, 22) {
            1 => {
                type T = u16;
                Some(($h as Handler, index_h(w)))
            }
            2 => {
                type T = u32;
                Some(($h as Handler, index_s(w)))
            }
            _ => None,
        }
    };
}

/// By element, floating-point: the index is H:L, or H (with Q for vectors).
macro_rules! float_element {
    ($q:expr, $h:expr) => {
        |w| match bits(w, 23, 21) {
            4 | 5 => {
                type F = F32;
                Some(($h as Handler, index_s(w)))
            }
            6 if !$q || bits(w, 30, 30) != 0 => {
                type F = F64;
                Some(($h as Handler, bits(w, 11, 11).into()))
            }
            _ => None,
        }
    };
}

/// By element of half precision.
macro_rules! half_element {
    ($h:expr) => {
        |w| {
            type F = F16;
            Some(($h as Handler, index_h(w)))
        }
    };
}

/// Copies: imm5's lowest one names the size, the bits above it are the index.
macro_rules! copy {
    ($($s:ident)+ => $h:expr) => { copy!(|_| true; $($s)+ => $h) };
    ($ok:expr; $($s:ident)+ => $h:expr) => {
        |w| {
            let ok: fn(u32) -> bool = $ok;
            let imm5 = bits(w, 20, 16);
            match imm5.trailing_zeros() {
                $(size!($s) if ok(w) => {
                    type T = ty!($s);
                    Some(($h as Handler, u64::from(imm5 >> (size!($s) + 1))))
                })+
                _ => None,
            }
        }
    };
}

pub(super) use {
    copy, element, fixed, float, float_element, float_scalar, ftype, half, half_element, left, left_scalar,
    right, right_scalar, scalar, shift_row, size, size_q, ty, vector,
};

/// 2 × esize - immh:immb.
pub(super) fn right_amount(w: u32) -> u64 {
    let immh = bits(w, 22, 19);
    u64::from((16 << immh.ilog2()) - bits(w, 22, 16))
}

/// immh:immb - esize.
pub(super) fn left_amount(w: u32) -> u64 {
    let immh = bits(w, 22, 19);
    u64::from(bits(w, 22, 16) - (8 << immh.ilog2()))
}

/// H:L:M.
pub(super) fn index_h(w: u32) -> u64 {
    u64::from(bits(w, 11, 11) << 2 | bits(w, 21, 20))
}

/// H:L.
pub(super) fn index_s(w: u32) -> u64 {
    u64::from(bits(w, 11, 11) << 1 | bits(w, 21, 21))
}
