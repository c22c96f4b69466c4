#!/bin/sh
# Builds demo.elf with the host's gcc, as, ld and objcopy (x86-64). Reproducible:
# the same tools make the same bytes, wherever they run. With --check, compares
# with the committed image instead of replacing it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=${CROSS_COMPILE:-}
flags='-m64 -Os -ffreestanding -fno-pic -fno-pie -fno-stack-protector -fno-asynchronous-unwind-tables
    -fcf-protection=none -fno-tree-loop-distribute-patterns -mno-red-zone -mcmodel=small -mno-mmx
    -Wall -Wextra'
cd "$here"
"${prefix}gcc" -m64 -c boot.S -o "$work/boot.o"
"${prefix}gcc" $flags -mgeneral-regs-only -c demo.c -o "$work/demo.o"
"${prefix}gcc" $flags -O2 -ffp-contract=off -c fp.c -o "$work/fp.o"
"${prefix}ld" -m elf_x86_64 -z max-page-size=4096 -z noexecstack --no-warn-rwx-segments --build-id=none -n -T link.ld \
    -o "$work/demo.elf64" "$work/boot.o" "$work/demo.o" "$work/fp.o"
# Multiboot loaders want a 32-bit ELF file, whatever the code in it is.
"${prefix}objcopy" -S -O elf32-i386 "$work/demo.elf64" "$work/demo.elf"
if [ "${1:-}" = --check ]; then
    cmp "$work/demo.elf" demo.elf || {
        echo "guests/demo: demo.elf is not what these sources make with $("${prefix}gcc" --version | head -1)" >&2
        exit 1
    }
else
    cmp -s "$work/demo.elf" demo.elf || cp "$work/demo.elf" demo.elf
fi
