//! Comparison.

use super::format::{Class, Format, Unpacked};
use super::round::{any_nan, denormal_stops, operand};
use super::{Env, Flags};

/// How two numbers relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The first is less.
    Less,
    /// They are equal; zeros of either sign are.
    Equal,
    /// The first is greater.
    Greater,
    /// At least one is a NaN or an unsupported encoding.
    Unordered,
}

/// Compares; any NaN is an invalid operation (COMISS, FCOM).
pub fn compare<F: Format>(a: F, b: F, env: &mut Env) -> Order {
    compare_with(a, b, true, env)
}

/// Compares; only a signalling NaN is an invalid operation (UCOMISS, FUCOM).
pub fn compare_quiet<F: Format>(a: F, b: F, env: &mut Env) -> Order {
    compare_with(a, b, false, env)
}

fn compare_with<F: Format>(a: F, b: F, signal_quiet: bool, env: &mut Env) -> Order {
    let (a, b) = (operand(a, env), operand(b, env));
    if any_nan([&a, &b]) {
        let bad = |o: &Unpacked| matches!(o.class, Class::Signalling | Class::Unsupported);
        if signal_quiet || bad(&a) || bad(&b) {
            env.raise(Flags::INVALID);
        }
        return Order::Unordered;
    }
    denormal_stops([&a, &b], env);
    // Infinity above all exponents, zero below.
    let key = |o: &Unpacked| {
        let exp = match o.class {
            Class::Zero => i32::MIN,
            Class::Infinity => i32::MAX,
            _ => o.exp,
        };
        (exp, o.sig)
    };
    let (x, y) = (key(&a), key(&b));
    let zeros = a.class == Class::Zero && b.class == Class::Zero;
    let order = match (a.sign, b.sign) {
        _ if zeros => std::cmp::Ordering::Equal,
        (false, false) => x.cmp(&y),
        (true, true) => y.cmp(&x),
        (true, false) => std::cmp::Ordering::Less,
        (false, true) => std::cmp::Ordering::Greater,
    };
    match order {
        std::cmp::Ordering::Less => Order::Less,
        std::cmp::Ordering::Equal => Order::Equal,
        std::cmp::Ordering::Greater => Order::Greater,
    }
}
