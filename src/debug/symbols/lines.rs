//! Source lines, from DWARF. Nothing is read before the first question.

use addr2line::Context;
use gimli::{EndianArcSlice, RunTimeEndian, SectionId};
use object::read::ReadCache;
use object::{Object, ObjectSection};
use std::cell::OnceCell;
use std::fs::File;
use std::sync::Arc;

/// Bytes that one section may have once it is unpacked.
const MAX_SECTION: u64 = 4 << 30;
/// How much larger than the file unpacked sections may be.
const MAX_RATIO: u64 = 100;

type Reader = EndianArcSlice<RunTimeEndian>;

/// The lines of a file.
pub struct Lines {
    file: Option<File>,
    context: OnceCell<Option<Context<Reader>>>,
}

impl Lines {
    /// No lines.
    pub fn none() -> Self {
        Self { file: None, context: OnceCell::new() }
    }

    /// The lines of an ELF file.
    pub fn of(file: File) -> Self {
        Self { file: Some(file), context: OnceCell::new() }
    }

    /// `file:line` of an instruction, by the file's own addresses.
    pub fn find(&self, addr: u64) -> Option<String> {
        let load = || self.file.as_ref().and_then(|f| load(f).ok());
        let context = self.context.get_or_init(load).as_ref()?;
        let location = context.find_location(addr).ok()??;
        let (file, line) = (location.file?, location.line?);
        Some(format!("{file}:{line}"))
    }
}

fn load(file: &File) -> Result<Context<Reader>, gimli::Error> {
    let dwarf = gimli::Dwarf::load(|id| section(file, id).ok_or(gimli::Error::Io))?;
    Context::from_dwarf(dwarf)
}

/// A section's bytes; none at all for one that is missing. The cache is a new one each time, so
/// that only one section is in memory twice.
fn section(file: &File, id: SectionId) -> Option<Reader> {
    let cache = ReadCache::new(file);
    let elf = object::File::parse(&cache).ok()?;
    let endian = if elf.is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big };
    let empty = || EndianArcSlice::new(Arc::from([].as_slice()), endian);
    let Some(section) = elf.section_by_name(id.name()) else { return Some(empty()) };
    let packed = section.compressed_data().ok()?;
    let bound = MAX_SECTION.min((packed.data.len() as u64).saturating_mul(MAX_RATIO));
    if packed.format != object::CompressionFormat::None && packed.uncompressed_size > bound {
        return None;
    }
    let data = packed.decompress().ok()?;
    Some(EndianArcSlice::new(Arc::from(&*data), endian))
}
