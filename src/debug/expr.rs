//! Addresses as people write them: `0xffffffff81000000`, `jiffies`, `start_kernel+0x10`,
//! `$rsp-8`, `phys:0xb8000`.

use super::symbols::Symbols;

/// Bytes that an address without a length means.
const WORD: u64 = 8;

/// A place in the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A linear address, which page tables translate.
    Virtual(u64),
    /// A physical address.
    Physical(u64),
}

impl Place {
    /// The address.
    pub fn addr(self) -> u64 {
        match self {
            Self::Virtual(addr) | Self::Physical(addr) => addr,
        }
    }
}

/// Gives a register's value by its name.
pub type Registers<'a> = &'a dyn Fn(&str) -> Option<u64>;

/// What names in an expression mean.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// Symbols.
    pub symbols: &'a Symbols,
    /// Registers, for `$name`; none where no moment is meant.
    pub register: Option<Registers<'a>>,
}

/// A decimal or, with `0x`, hexadecimal number; `_` may stand between digits.
pub fn number(text: &str) -> Option<u64> {
    let digits = text.replace('_', "");
    let first = text.bytes().next()?;
    if !first.is_ascii_digit() {
        return None;
    }
    match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => u64::from_str_radix(hex, 16).ok(),
        Some(_) => None,
        None if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok(),
        None => None,
    }
}

impl Scope<'_> {
    /// The place that an expression names.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub fn place(&self, text: &str) -> Result<Place, String> {
        match text.strip_prefix("phys:") {
            Some(rest) => Ok(Place::Physical(self.value(rest)?)),
            None => Ok(Place::Virtual(self.value(text)?)),
        }
    }

    /// Place and length of `ADDR[:LEN]`. Without a length: the size of the symbol, if the
    /// expression is one and its file tells, or 8 bytes.
    ///
    /// # Errors
    /// A text that says what is wrong.
    pub fn range(&self, text: &str) -> Result<(Place, u64), String> {
        let (prefix, rest) = text.strip_prefix("phys:").map_or(("", text), |rest| ("phys:", rest));
        let (addr, len) = match rest.split_once(':') {
            Some((addr, len)) => {
                let n = number(len).filter(|&n| n > 0);
                (addr, n.ok_or_else(|| format!("'{len}' is not a length in bytes"))?)
            }
            None => (rest, self.symbols.find(rest).map_or(WORD, |s| if s.1 == 0 { WORD } else { s.1 })),
        };
        let place = self.place(&format!("{prefix}{addr}"))?;
        if place.addr().checked_add(len - 1).is_none() {
            return Err(format!("'{text}' goes beyond the last address"));
        }
        Ok((place, len))
    }

    fn value(&self, text: &str) -> Result<u64, String> {
        let mut value = 0u64;
        let mut rest = text.trim();
        let mut negative = false;
        loop {
            let end = rest.find(['+', '-']).unwrap_or(rest.len());
            let term = self.term(rest[..end].trim(), text)?;
            value = if negative { value.wrapping_sub(term) } else { value.wrapping_add(term) };
            match rest[end..].chars().next() {
                None => return Ok(value),
                Some(sign) => negative = sign == '-',
            }
            rest = &rest[end + 1..];
        }
    }

    fn term(&self, term: &str, whole: &str) -> Result<u64, String> {
        if term.is_empty() {
            return Err(format!("'{whole}' is not an address"));
        }
        if let Some(name) = term.strip_prefix('$') {
            let Some(register) = self.register else {
                return Err(format!("'{term}': registers have no value here"));
            };
            return register(name).ok_or_else(|| format!("'{term}' is not a register"));
        }
        if term.starts_with(|c: char| c.is_ascii_digit()) {
            return number(term).ok_or_else(|| format!("'{term}' is not a number"));
        }
        let hex = if term.bytes().all(|b| b.is_ascii_hexdigit()) {
            " (a hexadecimal number begins with 0x)"
        } else if self.symbols.is_empty() {
            " (no symbols are loaded)"
        } else {
            ""
        };
        let found = self.symbols.find(term).map(|s| s.0);
        found.ok_or_else(|| format!("'{term}' is not a symbol{hex}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let symbols = Symbols::default();
        let register = |name: &str| (name == "rsp").then_some(0x1000);
        let scope = Scope { symbols: &symbols, register: Some(&register) };
        assert_eq!(scope.place("0x10+4-1"), Ok(Place::Virtual(0x13)));
        assert_eq!(scope.place("$rsp - 8"), Ok(Place::Virtual(0xff8)));
        assert_eq!(scope.place("phys:1_000"), Ok(Place::Physical(1000)));
        assert_eq!(scope.place("0-1"), Ok(Place::Virtual(u64::MAX)));
        assert_eq!(scope.range("0x20"), Ok((Place::Virtual(0x20), 8)));
        assert_eq!(scope.range("phys:0x20:3"), Ok((Place::Physical(0x20), 3)));
        assert_eq!(scope.range("0-1:1"), Ok((Place::Virtual(u64::MAX), 1)));
        for bad in
            ["", "+", "1+", "-", "phys:", "0x", "0xg", "1x", "$pc", "$", "nothing", "ff", "phys:phys:1", "é"]
        {
            assert!(scope.place(bad).is_err(), "{bad}");
        }
        for bad in ["1:0", "1:", "1:x", "0-1:2", "1:2:3", ":4", "1:0xffffffffffffffff:"] {
            assert!(scope.range(bad).is_err(), "{bad}");
        }
        assert!(scope.range("0x10:0xffffffffffffffff").is_err());
        assert!(Scope { symbols: &symbols, register: None }.place("$rsp").is_err());
    }
}
