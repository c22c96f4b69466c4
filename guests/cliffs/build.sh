#!/bin/sh
# Assembles every cliff guest (NAME.S) into NAME.elf with the host's gcc and ld
# (x86). The same tools make the same bytes. With --check, compares with the
# committed images instead of replacing them.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=${CROSS_COMPILE:-}
cd "$here"
bad=0
for source in *.S; do
    name=${source%.S}
    "${prefix}gcc" -m32 -x assembler-with-cpp -c "$source" -o "$work/$name.o"
    "${prefix}ld" -m elf_i386 -z noexecstack --no-warn-rwx-segments --build-id=none -n -s -T link.ld \
        -o "$work/$name.elf" "$work/$name.o"
    if [ "${1:-}" = --check ]; then
        cmp "$work/$name.elf" "$name.elf" || bad=1
    else
        cmp -s "$work/$name.elf" "$name.elf" || cp "$work/$name.elf" "$name.elf"
    fi
done
if [ "$bad" = 1 ]; then
    echo "guests/cliffs: the images above are not what these sources make" >&2
    exit 1
fi
