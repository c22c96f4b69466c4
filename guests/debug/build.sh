#!/bin/sh
# Builds debug64.elf (x86-64) and debug32.elf (i386), with debugging information,
# from the same sources, with the host's gcc, as and ld. Reproducible: the same
# tools make the same bytes, wherever they run. With --check, compares with the
# committed images instead of replacing them.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=${CROSS_COMPILE:-}
# Not optimised, so that every line and variable is where a reader expects it.
flags='-g -O0 -ffreestanding -fno-pic -fno-pie -fno-stack-protector -fno-asynchronous-unwind-tables
    -fcf-protection=none -mgeneral-regs-only -Wall -Wextra'
cd "$here"
bad=0
for bits in 64 32; do
    case $bits in
        64) more='-mno-red-zone -mcmodel=small' emulation=elf_x86_64 ;;
        32) more='-march=i686' emulation=elf_i386 ;;
    esac
    for source in boot.S debug.c; do
        # The names of folders do not go into the image.
        "${prefix}gcc" -m$bits $flags $more -ffile-prefix-map="$here=guests/debug" -c "$source" \
            -o "$work/${source%.*}.o"
    done
    "${prefix}ld" -m $emulation -z max-page-size=4096 -z noexecstack --no-warn-rwx-segments --build-id=none \
        -n -T link.ld -o "$work/debug$bits.elf" "$work/boot.o" "$work/debug.o"
    if [ "${1:-}" = --check ]; then
        cmp "$work/debug$bits.elf" debug$bits.elf || bad=1
    else
        cmp -s "$work/debug$bits.elf" debug$bits.elf || cp "$work/debug$bits.elf" debug$bits.elf
    fi
done
if [ "$bad" = 1 ]; then
    echo "guests/debug: the images above are not what these sources make with $("${prefix}gcc" --version | head -1)" >&2
    exit 1
fi
