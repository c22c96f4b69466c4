//! Numbers as the log writes them: seven bits a byte, low bits first, the high bit says that more
//! follow; and a cursor over bytes that may be hostile.

/// Bytes of the longest number.
const MAX: usize = 10;

/// Appends `value`.
pub fn put(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// Appends a signed `value`, small magnitudes short (zigzag).
pub fn put_signed(into: &mut Vec<u8>, value: i64) {
    put(into, ((value << 1) ^ (value >> 63)) as u64);
}

/// Reads bytes in order; every read is bounded, and [`None`] once it would pass the end.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// A cursor at the first of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// True when everything was read.
    pub fn at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(head)
    }

    /// Takes all bytes that are left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Takes one byte.
    pub fn byte(&mut self) -> Option<u8> {
        self.bytes(1).map(|b| b[0])
    }

    /// Takes a fixed 64-bit number, low byte first.
    pub fn fixed(&mut self) -> Option<u64> {
        self.bytes(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    /// Takes a number. Only its shortest form is one.
    pub fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for i in 0..MAX {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if i == MAX - 1 && bits > 1 || byte == 0 && i > 0 {
                return None;
            }
            value |= bits << (7 * i);
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// Takes a signed number.
    pub fn signed(&mut self) -> Option<i64> {
        self.number().map(|v| (v >> 1) as i64 ^ -((v & 1) as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let mut v = Vec::new();
        let numbers = (0..64).flat_map(|i| [1u64 << i, (1 << i) - 1, u64::MAX >> i]);
        let numbers: Vec<u64> = numbers.collect();
        for &n in &numbers {
            put(&mut v, n);
            put_signed(&mut v, n as i64);
        }
        let mut c = Cursor::new(&v);
        for &n in &numbers {
            assert_eq!(c.number(), Some(n));
            assert_eq!(c.signed(), Some(n as i64));
        }
        assert!(c.at_end());
        assert_eq!(c.number(), None);
    }

    #[test]
    fn hostile_numbers_are_refused() {
        assert_eq!(Cursor::new(&[0xff; 10]).number(), None, "65 bits and more");
        assert_eq!(Cursor::new(&[0x80, 0x00]).number(), None, "not the shortest form");
        assert_eq!(Cursor::new(&[0x80]).number(), None, "cut");
        assert_eq!(Cursor::new(&[0]).number(), Some(0));
    }
}
