#!/usr/bin/env python3
"""Takes a Linux kernel's symbols out of its bzImage, or arm64's out of its Image.

    guests/symbols.py vmlinuz --elf vmlinux --map System.map

A distribution's kernel is stripped, and its System.map may be a stub, but the
names for /proc/kallsyms are in it. `vmlinux` is the ELF file from inside the
bzImage, or one made around the Image, with these as its symbol table, for
`gdb vmlinux`; the map has the form of System.map. The addresses are those of a
kernel booted with `nokaslr`.

The names are in compressed form, as scripts/kallsyms.c of the kernel writes
them: tables that follow each other in the order of Linux 4.20 to 6.1 (offsets,
base, number of symbols, names, markers, tokens, index of tokens). They are
found by the tokens "0" to "9", which every kernel's names leave as they are.
"""

import argparse
import bz2
import gzip
import lzma
import struct
import sys

PACKED = [(b"\xfd7zXZ\0", lzma.decompress), (b"\x1f\x8b", gzip.decompress),
          (b"\x5d\0\0", lzma.decompress), (b"BZh", bz2.decompress)]
DIGITS = b"".join(b"%d\0" % n for n in range(10))
SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_NOBITS, SHN_ABS = 1, 2, 3, 8, 0xFFF1
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR = 1, 2, 4
EM_AARCH64, R_AARCH64_RELATIVE = 183, 1027
# Of an ELF file of 64 bits: its header, a segment's, a section's.
EHDR, PHDR, SHDR = "<16sHHIQQQIHHHHHH", "<IIQQQQQQ", "<IIQQQQIIQQ"


class Bad(Exception):
    """The file is not what this script can read."""


def is_image(kernel):
    """True for an Image (Documentation/arm64/booting.rst)."""
    return kernel[0x38:0x3C] == b"ARM\x64"


def unpack(image):
    """The ELF file inside a bzImage (Documentation/arch/x86/boot.rst), or the file itself if it is one or an Image."""
    if image[:4] == b"\x7fELF" or is_image(image):
        return image
    if image[:2] == b"\x1f\x8b":
        return unpack(gzip.decompress(image))
    if image[0x202:0x206] != b"HdrS":
        raise Bad("neither a bzImage nor an Image nor an ELF file")
    setup = (image[0x1F1] or 4) + 1
    offset, length = struct.unpack_from("<II", image, 0x248)
    # The last four bytes are the size of what was packed.
    payload = image[setup * 512 + offset:][:length - 4]
    for magic, decompress in PACKED:
        if payload.startswith(magic):
            elf = decompress(payload)
            if elf[:4] != b"\x7fELF":
                raise Bad("what the bzImage holds is not an ELF file")
            return elf
    raise Bad(f"the kernel is compressed in a way that is not known here ({payload[:4].hex()})")


def align(n, to):
    return -(-n // to) * to


def tokens(elf):
    """The table of tokens, and its place."""
    at = elf.find(DIGITS)
    while at >= 0:
        # The tokens from "0" on lead to the table's end, where its index is.
        end = at
        for _ in range(ord("0"), 256):
            end = elf.index(b"\0", end) + 1
        for place in {align(end, 4), align(end, 8)}:
            index = struct.unpack_from("<256H", elf, place)
            start = at - index[ord("0")]
            whole = index[0] == 0 and all(a < b for a, b in zip(index, index[1:]))
            if whole and elf.index(b"\0", start + index[255]) + 1 == end:
                return [elf[start + i:elf.index(b"\0", start + i)] for i in index], start
        at = elf.find(DIGITS, at + 1)
    raise Bad("no table of kallsyms tokens in the kernel")


def markers(elf, end):
    """Where each 256th name is, and the place of this table, which lies before `end`."""
    for place in range(end - end % 4, max(end - (4 << 20), 0), -4):
        if elf[place:place + 4] != bytes(4):
            continue
        values = [0]
        for at in range(place + 4, end - 3, 4):
            value, = struct.unpack_from("<I", elf, at)
            # A name takes from 2 bytes to some dozens.
            if not 2 * 256 <= value - values[-1] <= 64 * 256:
                break
            values.append(value)
        if len(values) > 16:
            return values, place
    raise Bad("no table of markers of the kallsyms names in the kernel")


def lengths(elf, start, count, marks):
    """The places of `count` names from `start`; None if the markers do not agree."""
    at, names = start, []
    for n in range(count):
        if n % 256 == 0 and at != start + marks[n // 256]:
            return None
        size = elf[at]
        at += 1
        if size & 0x80:
            size = size & 0x7F | elf[at] << 7
            at += 1
        names.append((at, size))
        at += size
    return names


def relocated(image, at):
    """Where an Image runs, and the word at an offset, the address of the first function, as it is there: until the
    kernel relocates itself it is zero."""
    kind = struct.pack("<Q", R_AARCH64_RELATIVE)
    fits = set()
    found = image.find(kind)
    while found >= 0:
        if found % 8 == 0:
            place, _, value = struct.unpack_from("<QQQ", image, found - 8)
            # Kernels are built for a multiple of 2 MiB in the upper half, and begin with code.
            start = place - at
            if place >> 48 == 0xFFFF and start % 0x200000 == 0 and start <= value < start + 0x200000:
                fits.add((start, value))
        found = image.find(kind, found + 1)
    if len(fits) != 1:
        raise Bad("the Image does not tell where it runs")
    return fits.pop()


def kallsyms(elf):
    """All symbols: (address, letter, name), by address; and where an Image runs."""
    arm = is_image(elf)
    wide = arm or elf[4] == 2
    word = 8 if wide else 4
    table, start = tokens(elf)
    marks, end = markers(elf, start)
    # The number of symbols is the word before the names.
    at = end - marks[-1] - (end - marks[-1]) % word
    for place in range(at, at - 256 * 512, -word):
        count, = struct.unpack_from("<I", elf, place - word)
        if align(count, 256) == 256 * len(marks) and (names := lengths(elf, place, count, marks)):
            break
    else:
        raise Bad("the kallsyms names are not where Linux 6.1 has them")
    base_at = place - 2 * word
    runs = None
    if arm:
        runs, base = relocated(elf, base_at)
    else:
        base, = struct.unpack_from("<Q" if wide else "<I", elf, base_at)
    # On x86-64 an offset that is not negative is an address of a variable of each CPU.
    percpu = wide and not arm
    offsets = struct.unpack_from(f"<{count}{'i' if percpu else 'I'}", elf, base_at - align(4 * count, word))
    out = []
    for (at, size), offset in zip(names, offsets):
        text = b"".join(table[b] for b in elf[at:at + size]).decode()
        address = base + offset if not percpu else offset if offset >= 0 else base - 1 - offset
        out.append((address, text[0], text[1:]))
    # Stable, as the kernel lists them.
    out.sort(key=lambda s: s[0])
    if not any(name == "_stext" for _, _, name in out):
        raise Bad("the kallsyms names make no sense")
    return out, runs


def around(image, start):
    """An ELF file with an Image in it, that runs from `start` on."""
    size = max(struct.unpack_from("<Q", image, 16)[0], len(image))
    names = b"\0.text\0.bss\0.shstrtab\0"
    # Offset and address of a segment agree in the lowest bits.
    at = 0x10000
    behind = at + len(image)
    table = align(behind + len(names), 8)
    out = bytearray(struct.pack(EHDR, b"\x7fELF\2\1\1", 2, EM_AARCH64, 1, start, 64, table, 0, 64, 56, 1, 64, 4, 3))
    out += struct.pack(PHDR, 1, 7, at, start, start, len(image), size, at)
    out += bytes(at - len(out)) + image + names
    out += bytes(table - len(out))
    # Which part of it is code only the symbols tell.
    flags = SHF_ALLOC | SHF_WRITE
    for row in [(0,) * 10, (1, SHT_PROGBITS, flags | SHF_EXECINSTR, start, at, len(image), 0, 0, 8, 0),
                (7, SHT_NOBITS, flags, start + len(image), behind, size - len(image), 0, 0, 8, 0),
                (12, SHT_STRTAB, 0, 0, behind, len(names), 0, 0, 1, 0)]:
        out += struct.pack(SHDR, *row)
    return bytes(out)


def with_symbols(elf, symbols):
    """The ELF file with a symbol table."""
    wide = elf[4] == 2
    header, section, symbol = ("<QIHHHHHH", SHDR, "<IBBHQQ") if wide else \
        ("<IIHHHHHH", "<IIIIIIIIII", "<IIIBBH")
    where = 40 if wide else 32
    shoff, flags, ehsize, phsize, phnum, shsize, shnum, shstr = struct.unpack_from(header, elf, where)
    sections = [list(struct.unpack_from(section, elf, shoff + i * shsize)) for i in range(shnum)]
    # In memory, by address: (start, end, number).
    places = sorted((s[3], s[3] + s[5], i) for i, s in enumerate(sections) if s[2] & 2)

    strings, table = bytearray(b"\0"), bytearray(struct.calcsize(symbol))
    following = sorted({s[0] for s in symbols})
    after = dict(zip(following, following[1:]))
    at = 0
    for address, letter, name in symbols:
        while at < len(places) and places[at][1] <= address:
            at += 1
        inside = at < len(places) and places[at][0] <= address
        number = places[at][2] if inside else SHN_ABS
        bind = 1 << 4 if letter.isupper() else 0
        kind = (2 if letter in "tTwW" else 1) if inside else 0
        size = min(after.get(address, address), places[at][1]) - address if inside else 0
        place = len(strings)
        strings += name.encode() + b"\0"
        table += struct.pack(symbol, place, bind | kind, 0, number, address, size) if wide else \
            struct.pack(symbol, place, address, size, bind | kind, 0, number)

    old = sections[shstr]
    names = elf[old[4]:old[4] + old[5]]
    extra = len(names)
    names += b".symtab\0.strtab\0.shstrtab\0"
    out = bytearray(elf[:shoff] if shoff + shnum * shsize >= len(elf) else elf)

    def put(data):
        out.extend(bytes(-len(out) % 8))
        place = len(out)
        out.extend(data)
        return place

    size = struct.calcsize(symbol)
    # Local symbols are not told apart from others by place, so none counts as such.
    sections.append([extra, SHT_SYMTAB, 0, 0, put(table), len(table), shnum + 1, 1, 8, size])
    sections.append([extra + 8, SHT_STRTAB, 0, 0, put(strings), len(strings), 0, 0, 1, 0])
    sections[shstr] = [extra + 16, SHT_STRTAB, 0, 0, put(names), len(names), 0, 0, 1, 0]
    place = put(b"".join(struct.pack(section, *s) for s in sections))
    struct.pack_into(header, out, where, place, flags, ehsize, phsize, phnum, shsize, len(sections), shstr)
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("kernel", help="bzImage, or the ELF file inside; Image or Image.gz")
    p.add_argument("--elf", metavar="FILE", help="write the kernel's ELF file with symbols")
    p.add_argument("--map", metavar="FILE", help="write a System.map")
    a = p.parse_args()
    try:
        with open(a.kernel, "rb") as f:
            elf = unpack(f.read())
        symbols, runs = kallsyms(elf)
        if runs is not None:
            elf = around(elf, runs)
    except (Bad, struct.error, IndexError, ValueError, lzma.LZMAError, EOFError, OSError) as e:
        sys.exit(f"symbols.py: {a.kernel}: {e}")
    if a.map:
        with open(a.map, "w") as f:
            width = 16 if elf[4] == 2 else 8
            f.writelines(f"{address:0{width}x} {letter} {name}\n" for address, letter, name in symbols)
    if a.elf:
        with open(a.elf, "wb") as f:
            f.write(with_symbols(elf, symbols))


if __name__ == "__main__":
    main()
