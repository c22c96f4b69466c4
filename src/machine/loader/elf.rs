//! ELF program segments.

use super::{Image, LoadError};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, elf};

/// A loadable segment: physical address, bytes from the file, bytes in memory.
pub struct Segment {
    /// Physical address.
    pub addr: u64,
    /// The file's bytes, followed by zeros.
    pub bytes: Vec<u8>,
}

/// What is needed of an ELF file.
pub struct Program {
    /// The entry point.
    pub entry: u64,
    /// What to load.
    pub segments: Vec<Segment>,
    /// The 32-bit entry point of a PVH note, if there is one.
    pub pvh_entry: Option<u32>,
}

/// The Xen ELF note that holds the PVH entry point (XEN_ELFNOTE_PHYS32_ENTRY).
const PHYS32_ENTRY: u32 = 18;

/// Reads the program headers of `image`. `memory` bounds what zero-filled segments may claim;
/// without it only the notes are read.
pub fn program(image: &Image, memory: Option<u64>) -> Result<Program, LoadError> {
    let bytes = image.bytes.as_slice();
    match bytes.get(4) {
        Some(1) => read::<elf::FileHeader32<Endianness>>(image, bytes, memory),
        Some(2) => read::<elf::FileHeader64<Endianness>>(image, bytes, memory),
        _ => Err(unusable(image, "not an ELF file")),
    }
}

fn unusable(image: &Image, what: impl std::fmt::Display) -> LoadError {
    LoadError::Unusable { name: image.name.clone(), what: what.to_string() }
}

fn read<H: FileHeader<Endian = Endianness>>(
    image: &Image,
    bytes: &[u8],
    memory: Option<u64>,
) -> Result<Program, LoadError> {
    let bad = |e: object::Error| unusable(image, format_args!("damaged ELF: {e}"));
    let header = H::parse(bytes).map_err(bad)?;
    let endian = header.endian().map_err(bad)?;
    let mut program = Program { entry: header.e_entry(endian).into(), segments: Vec::new(), pvh_entry: None };
    for p in header.program_headers(endian, bytes).map_err(bad)? {
        if let Some(memory) = memory
            && p.p_type(endian) == elf::PT_LOAD
        {
            let data = p.data(endian, bytes).map_err(|()| LoadError::Truncated {
                name: image.name.clone(),
                what: "a segment lies outside the file".into(),
            })?;
            let size: u64 = p.p_memsz(endian).into();
            let addr: u64 = p.p_paddr(endian).into();
            if size < data.len() as u64 {
                return Err(unusable(image, "damaged ELF: a segment is larger in the file than in memory"));
            }
            if addr.checked_add(size).is_none_or(|end| end > memory) {
                return Err(LoadError::NoRoom {
                    name: image.name.clone(),
                    what: format!("a segment of {size} bytes at {addr:#x}"),
                    memory: memory >> 20,
                });
            }
            let mut segment = data.to_vec();
            segment.resize(size as usize, 0);
            program.segments.push(Segment { addr, bytes: segment });
        }
        if let Some(mut notes) = p.notes(endian, bytes).map_err(bad)? {
            while let Some(note) = notes.next().map_err(bad)? {
                if note.name() == b"Xen" && note.n_type(endian) == PHYS32_ENTRY {
                    program.pvh_entry = note.desc().get(..4).map(|d| super::u32_at(d, 0));
                }
            }
        }
    }
    Ok(program)
}
