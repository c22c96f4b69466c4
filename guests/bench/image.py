#!/usr/bin/env python3
"""Packs the workloads as an archive that follows an initramfs, and takes that initramfs's busybox
out, so that the same program runs natively.

    image.py INITRD FOLDER    reads FOLDER/bin, writes FOLDER/initrd.img and FOLDER/bin/busybox
"""

import gzip
import os
import stat
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "initramfs"))
from pack import Cpio  # noqa: E402


def member(archive, name):
    """A file's bytes in a newc archive."""
    at = 0
    while archive[at:at + 6] == b"070701":
        fields = [int(archive[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i in range(13)]
        size, length = fields[6], fields[11]
        start = at + (110 + length + 3) // 4 * 4
        if archive[at + 110:at + 109 + length] == name.encode():
            return archive[start:start + size]
        at = start + (size + 3) // 4 * 4
    sys.exit(f"image.py: no {name} in the archive")


def main():
    initrd, folder = sys.argv[1:]
    programs = os.path.join(folder, "bin")
    with open(initrd, "rb") as f:
        first = f.read()
    busybox = os.path.join(programs, "busybox")
    with open(busybox, "wb") as f:
        f.write(member(gzip.decompress(first), "bin/busybox"))
    os.chmod(busybox, 0o755)
    c = Cpio()
    for name in sorted(os.listdir(programs)):
        if name != "busybox":
            c.file(f"bench/{name}", os.path.join(programs, name), 0o755)
    for name in ("list", "setup"):
        c.file(f"bench/{name}", os.path.join(HERE, name))
    c.add("etc", stat.S_IFDIR | 0o755)
    c.add("etc/run", stat.S_IFDIR | 0o755)
    c.file("etc/run/bench", os.path.join(HERE, "run"))
    with open(os.path.join(folder, "initrd.img"), "wb") as f:
        f.write(first)
        with gzip.GzipFile("", "wb", 9, f, mtime=0) as z:
            c.write(z)


main()
