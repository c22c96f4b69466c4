#!/bin/sh
# Runs the test guests under QEMU: a second opinion on the tests themselves.
# Where QEMU's TCG is known to be wrong, qemu.known says so, "GUEST: name" a
# line; any other failure, and any of these that passes, is reported.
#   guests/tests/qemu.sh [NAME...]
set -u
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- $(ls *.elf | sed 's/\.elf$//')
status=0
for name; do
    text=$(timeout 60 qemu-system-x86_64 -machine pc -cpu "${CPU:-max}" -m 64 -display none \
        -debugcon stdio -net none -no-reboot -device isa-debug-exit,iobase=0x501 \
        -kernel "$name.elf" </dev/null 2>/dev/null)
    failed=$(echo "$text" | sed -n "s/^FAIL /$name: /p")
    known=$(grep "^$name: " qemu.known)
    case $text in
        *"ALL PASS"* | *"SOME FAILED"*) ;;
        *) echo "$name: did not end"; status=1 ;;
    esac
    if [ "$failed" != "$known" ]; then
        echo "$name: differs from qemu.known (< known, > now)"
        printf '%s\n' "$known" >/tmp/known.$$
        printf '%s\n' "$failed" | diff /tmp/known.$$ - | grep '^[<>]'
        rm -f /tmp/known.$$
        status=1
    fi
    echo "$name: $(echo "$text" | grep -c '^PASS') passed, $(echo "$failed" | grep -c .) known failures of QEMU"
done
exit $status
