//! The symbol table of an ELF file. Only the table is read: a kernel with debug information has
//! hundreds of megabytes.

use super::Symbol;
use object::elf;
use object::read::ReadCache;
use object::read::elf::{FileHeader, SectionHeader, Sym};
use std::fs::File;

/// The symbols of an ELF file.
///
/// # Errors
/// What is wrong.
pub fn symbols(file: &File) -> Result<Vec<Symbol>, String> {
    let cache = ReadCache::new(file);
    let symbols = match object::FileKind::parse(&cache) {
        Ok(object::FileKind::Elf32) => table::<elf::FileHeader32<object::Endianness>>(&cache),
        Ok(object::FileKind::Elf64) => table::<elf::FileHeader64<object::Endianness>>(&cache),
        Ok(_) => return Err("not an ELF file".to_owned()),
        Err(e) => Err(e),
    };
    match symbols {
        Ok(Some(symbols)) => Ok(symbols),
        Ok(None) => Err("is not linked: its symbols have no addresses".to_owned()),
        Err(e) => Err(format!("damaged ELF file: {e}")),
    }
}

/// The symbols, or `None` for a relocatable file.
fn table<Elf: FileHeader<Endian = object::Endianness>>(
    cache: &ReadCache<&File>,
) -> object::Result<Option<Vec<Symbol>>> {
    let header = Elf::parse(cache)?;
    let endian = header.endian()?;
    if header.e_type(endian) == elf::ET_REL {
        return Ok(None);
    }
    let sections = header.sections(endian, cache)?;
    let of = |kind| sections.iter().find(|s| s.sh_type(endian) == kind);
    let Some(section) = of(elf::SHT_SYMTAB).or_else(|| of(elf::SHT_DYNSYM)) else {
        return Ok(Some(Vec::new()));
    };
    let entries: &[Elf::Sym] = section.data_as_array(endian, cache)?;
    let strings = sections.section(section.link(endian))?.data(endian, cache)?;
    Ok(Some(entries.iter().filter_map(|s| symbol::<Elf>(s, endian, strings)).collect()))
}

fn symbol<Elf: FileHeader<Endian = object::Endianness>>(
    s: &Elf::Sym,
    endian: object::Endianness,
    strings: &[u8],
) -> Option<Symbol> {
    let kind = s.st_type();
    let shndx = s.st_shndx(endian);
    let skipped = [elf::STT_SECTION, elf::STT_FILE, elf::STT_TLS].contains(&kind);
    if skipped || shndx == elf::SHN_UNDEF {
        return None;
    }
    let name = strings.get(s.st_name(endian) as usize..)?;
    let name = &name[..name.iter().position(|&b| b == 0)?];
    if name.is_empty() {
        return None;
    }
    let typed = kind == elf::STT_FUNC || kind == elf::STT_OBJECT || kind == elf::STT_GNU_IFUNC;
    let global = s.st_bind() != elf::STB_LOCAL;
    Some(Symbol {
        name: String::from_utf8_lossy(name).into_owned(),
        addr: s.st_value(endian).into(),
        size: s.st_size(endian).into(),
        rank: u8::from(typed) * 2 + u8::from(global),
        absolute: shndx == elf::SHN_ABS,
    })
}
