//! Names and lines of guest addresses, from ELF files and System.maps.
//!
//! What a file says is a hint for people: a damaged one gives an error or fewer names, never a panic.

mod elf;
mod lines;
mod map;
#[cfg(test)]
mod tests;

use crate::host::files::plain;
use lines::Lines;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes that a System.map may have.
const MAX_MAP: u64 = 256 << 20;
/// How far a symbol without a size reaches at most.
const REACH: u64 = 1 << 16;
/// How many symbols before an address are looked at for one that covers it.
const NESTING: usize = 64;

/// A file of symbols cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {what}")]
pub struct SymbolError {
    file: String,
    what: String,
}

/// A name for an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// The name.
    pub name: String,
    /// Where it is.
    pub addr: u64,
    /// Bytes, 0 if the file does not say.
    pub size: u64,
    /// Which of several symbols of one address is shown: the one with the highest rank.
    rank: u8,
    /// A number, or an offset into something, rather than an address.
    absolute: bool,
}

/// Symbols of one file, where they lie in the guest.
struct Table {
    /// Sorted by address, then rank.
    symbols: Vec<Symbol>,
    /// Places in `symbols`, sorted by name, then by rank.
    names: Vec<u32>,
    lines: Lines,
    /// Where the guest has them: this far behind where the file says.
    offset: u64,
}

/// All symbols that are known.
#[derive(Default)]
pub struct Symbols {
    tables: Vec<Table>,
}

impl std::fmt::Debug for Symbols {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Symbols").field("count", &self.len()).finish()
    }
}

impl Symbols {
    /// Adds the symbols of `FILE` or `FILE@OFFSET`; returns how many there are. The offset, which
    /// may be negative, is added to every address of the file: what address space randomisation
    /// did to a kernel.
    ///
    /// # Errors
    /// [`SymbolError`] that names the file.
    pub fn add(&mut self, spec: &str) -> Result<usize, SymbolError> {
        let (file, offset) = split_offset(spec);
        let wrong = |what: String| SymbolError { file: file.to_owned(), what };
        let table = read(Path::new(file)).map_err(wrong)?;
        let count = table.0.len();
        if count == 0 {
            return Err(wrong("has no symbols".to_owned()));
        }
        self.tables.push(Table::new(table.0, table.1, offset));
        Ok(count)
    }

    /// Number of symbols.
    pub fn len(&self) -> usize {
        self.tables.iter().map(|t| t.symbols.len()).sum()
    }

    /// True when none is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Address and size (0 if unknown) of a name. Files that were added first come first.
    pub fn find(&self, name: &str) -> Option<(u64, u64)> {
        self.tables.iter().find_map(|t| t.find(name))
    }

    /// The symbol that covers an address, and how far into it the address lies.
    pub fn name(&self, addr: u64) -> Option<(&str, u64)> {
        self.tables.iter().find_map(|t| t.name(addr))
    }

    /// The same as text: `name` or `name+0x12`.
    pub fn describe(&self, addr: u64) -> Option<String> {
        self.name(addr).map(|(name, offset)| match offset {
            0 => name.to_owned(),
            _ => format!("{name}+{offset:#x}"),
        })
    }

    /// File and line of an instruction, as `file:line`.
    pub fn line(&self, addr: u64) -> Option<String> {
        self.tables.iter().find_map(|t| t.lines.find(addr.wrapping_sub(t.offset)))
    }
}

impl Table {
    fn new(mut symbols: Vec<Symbol>, lines: Lines, offset: u64) -> Self {
        symbols.sort_by(|a, b| (a.addr, a.rank, &b.name).cmp(&(b.addr, b.rank, &a.name)));
        let mut names: Vec<u32> = (0..symbols.len() as u32).collect();
        let key = |&i: &u32| (symbols[i as usize].name.as_str(), u8::MAX - symbols[i as usize].rank, i);
        names.sort_by(|a, b| key(a).cmp(&key(b)));
        Self { symbols, names, lines, offset }
    }

    fn find(&self, name: &str) -> Option<(u64, u64)> {
        let at = self.names.partition_point(|&i| self.symbols[i as usize].name.as_str() < name);
        let symbol = &self.symbols[*self.names.get(at)? as usize];
        (symbol.name == name).then(|| {
            let offset = if symbol.absolute { 0 } else { self.offset };
            (symbol.addr.wrapping_add(offset), symbol.size)
        })
    }

    fn name(&self, addr: u64) -> Option<(&str, u64)> {
        let addr = addr.wrapping_sub(self.offset);
        let end = self.symbols.partition_point(|s| s.addr <= addr);
        let mut after_sized = false;
        for symbol in self.symbols[..end].iter().rev().filter(|s| !s.absolute).take(NESTING) {
            let into = addr - symbol.addr;
            let covers = if symbol.size == 0 { into < REACH && !after_sized } else { into < symbol.size };
            if covers {
                return Some((&symbol.name, into));
            }
            after_sized |= symbol.size != 0;
        }
        None
    }
}

/// The file and the offset of `FILE@OFFSET`; a tail that is no number belongs to the name.
fn split_offset(spec: &str) -> (&str, u64) {
    let number = |text: &str| match text.strip_prefix('-') {
        Some(text) => super::expr::number(text).map(u64::wrapping_neg),
        None => super::expr::number(text.strip_prefix('+').unwrap_or(text)),
    };
    let split = spec.rsplit_once('@').and_then(|(file, tail)| Some((file, number(tail)?)));
    split.unwrap_or((spec, 0))
}

fn read(path: &Path) -> Result<(Vec<Symbol>, Lines), String> {
    let mut file = File::open(path).map_err(|e| plain(&e))?;
    let meta = file.metadata().map_err(|e| plain(&e))?;
    if meta.is_dir() {
        return Err("is a directory".to_owned());
    }
    if !meta.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let mut magic = Vec::new();
    (&mut file).take(4).read_to_end(&mut magic).map_err(|e| plain(&e))?;
    if magic == *b"\x7fELF" {
        let symbols = elf::symbols(&file)?;
        return Ok((symbols, Lines::of(file)));
    }
    if meta.len() > MAX_MAP {
        return Err("neither an ELF file nor a System.map".to_owned());
    }
    let mut text = magic;
    file.read_to_end(&mut text).map_err(|e| plain(&e))?;
    Ok((map::symbols(&text)?, Lines::none()))
}
