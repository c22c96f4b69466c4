//! System.map and /proc/kallsyms: `ADDRESS TYPE NAME`, one symbol a line.

use super::Symbol;

/// The symbols of a System.map.
///
/// # Errors
/// What is wrong, and in which line.
pub fn symbols(text: &[u8]) -> Result<Vec<Symbol>, String> {
    let mut symbols = Vec::new();
    for (n, line) in text.split(|&b| b == b'\n').enumerate() {
        // An undefined symbol has no address, as nm prints it.
        if line.is_empty() || line.starts_with(b" ") {
            continue;
        }
        let symbol = std::str::from_utf8(line).ok().and_then(parse);
        match symbol {
            Some(symbol) => symbols.push(symbol),
            None if n == 0 => return Err("neither an ELF file nor a System.map".to_owned()),
            None => return Err(format!("line {}: not 'ADDRESS TYPE NAME'", n + 1)),
        }
    }
    Ok(symbols)
}

fn parse(line: &str) -> Option<Symbol> {
    let mut words = line.split_ascii_whitespace();
    let (addr, kind, name) = (words.next()?, words.next()?, words.next()?);
    let &[kind] = kind.as_bytes() else { return None };
    let hex = addr.bytes().all(|b| b.is_ascii_hexdigit());
    let addr = u64::from_str_radix(addr, 16).ok().filter(|_| hex)?;
    kind.is_ascii_graphic().then(|| Symbol {
        name: name.to_owned(),
        addr,
        size: 0,
        rank: u8::from(kind.is_ascii_uppercase()) + u8::from(kind.eq_ignore_ascii_case(&b't')) * 2,
        absolute: kind.eq_ignore_ascii_case(&b'a'),
    })
}
