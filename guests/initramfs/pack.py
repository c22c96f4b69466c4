#!/usr/bin/env python3
"""Packs an initramfs (newc cpio, to standard output).

Deterministic: entries sorted by name, owner 0, time 0, inode numbers counted
from 1. Module dependencies and aliases are read from the modules' own .modinfo
sections, so no depmod is needed and a foreign architecture is no problem.
"""

import argparse
import os
import re
import stat
import struct
import sys


def die(text):
    sys.exit(f"pack.py: {text}")


def modinfo(path):
    """The key=value pairs of an ELF module's .modinfo section."""
    with open(path, "rb") as f:
        elf = f.read()
    if elf[:4] != b"\x7fELF":
        die(f"{path}: not an ELF file (a compressed module?)")
    wide = elf[4] == 2
    if wide:
        shoff, = struct.unpack_from("<Q", elf, 40)
        size, count, names = struct.unpack_from("<HHH", elf, 58)
        place = lambda at: struct.unpack_from("<QQ", elf, at + 24)
    else:
        shoff, = struct.unpack_from("<I", elf, 32)
        size, count, names = struct.unpack_from("<HHH", elf, 46)
        place = lambda at: struct.unpack_from("<II", elf, at + 16)
    strings, _ = place(shoff + names * size)
    for i in range(count):
        at = shoff + i * size
        name, = struct.unpack_from("<I", elf, at)
        end = elf.index(b"\0", strings + name)
        if elf[strings + name:end] == b".modinfo":
            start, length = place(at)
            out = {}
            for pair in elf[start:start + length].split(b"\0"):
                key, sep, value = pair.decode().partition("=")
                if sep:
                    out.setdefault(key, []).append(value)
            return out
    die(f"{path}: no .modinfo section")


def key(name):
    """Modules are named with - and _ alike."""
    return name.replace("-", "_")


def choose_modules(root, wanted):
    """Wanted modules and all they need: {path below root: (dependencies, modinfo)}."""
    have = {}
    for folder, _, files in os.walk(root):
        for f in files:
            if f.endswith(".ko"):
                have[key(f[:-3])] = os.path.relpath(os.path.join(folder, f), root)
    if not have:
        die(f"{root}: no .ko files")
    info = {}
    queue = [key(w) for w in wanted]
    while queue:
        name = queue.pop()
        if name in info or name not in have:
            continue
        info[name] = modinfo(os.path.join(root, have[name]))
        queue += [key(d) for d in info[name].get("depends", [""])[0].split(",") if d]
        for soft in info[name].get("softdep", []):
            queue += [key(d) for d in re.findall(r"[\w-]+", re.sub(r"(pre|post):", " ", soft))]
    # A dependency must be loaded first, so a module's list is in reverse
    # topological order: nearest first, as depmod writes it.
    def needs(name, seen):
        for d in info[name].get("depends", [""])[0].split(","):
            d = key(d)
            if d in have and d not in seen:
                seen.append(d)
                needs(d, seen)
            elif d in seen:
                # Needed again further down: it has to come later in the list.
                below = []
                needs(d, below)
                for b in [d] + below:
                    if b in seen:
                        seen.remove(b)
                    seen.append(b)
        return seen
    return {have[n]: ([have[d] for d in needs(n, [])], info[n]) for n in info}


class Cpio:
    """A newc archive with nothing in it that depends on the host."""

    def __init__(self):
        self.entries = {}

    def add(self, name, mode, data=b"", rdev=(0, 0)):
        parent = os.path.dirname(name)
        if parent and parent not in self.entries:
            self.add(parent, stat.S_IFDIR | 0o755)
        self.entries[name] = (mode, data, rdev)

    def file(self, name, path, mode=0o644):
        with open(path, "rb") as f:
            self.add(name, stat.S_IFREG | mode, f.read())

    def record(self, ino, name, mode, data, rdev):
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = (ino, mode, 0, 0, links, 0, len(data), 0, 0, *rdev, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % f for f in fields) + name.encode() + b"\0"
        return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)

    def write(self, out):
        size = 0
        items = sorted(self.entries.items())
        for ino, (name, (mode, data, rdev)) in enumerate(items, 1):
            size += out.write(self.record(ino, name, mode, data, rdev))
        size += out.write(self.record(0, "TRAILER!!!", 0, b"", (0, 0)))
        out.write(b"\0" * (-size % 512))


def main():
    p = argparse.ArgumentParser()
    for name in ("busybox", "modules", "wanted", "init", "run", "release"):
        p.add_argument("--" + name, required=True)
    a = p.parse_args()
    c = Cpio()
    for folder in ("bin", "sbin", "dev", "etc", "proc", "sys", "tmp", "root"):
        c.add(folder, stat.S_IFDIR | 0o755)
    # The kernel opens /dev/console for the first process before /init mounts.
    c.add("dev/console", stat.S_IFCHR | 0o600, rdev=(5, 1))
    c.add("dev/null", stat.S_IFCHR | 0o666, rdev=(1, 3))
    c.file("bin/busybox", a.busybox, 0o755)
    c.add("bin/sh", stat.S_IFLNK | 0o777, b"busybox")
    c.file("init", a.init, 0o755)
    own = os.path.dirname(os.path.abspath(a.init))
    c.file("sbin/coldplug", os.path.join(own, "coldplug"), 0o755)
    c.file("etc/shrc", os.path.join(own, "shrc"))
    c.add("etc/passwd", stat.S_IFREG | 0o644, b"root::0:0:root:/root:/bin/sh\n")
    c.add("etc/group", stat.S_IFREG | 0o644, b"root:x:0:\ntty:x:5:\n")
    for f in sorted(os.listdir(a.run)):
        c.file(f"etc/run/{f}", os.path.join(a.run, f))
    with open(a.wanted) as f:
        wanted = [w for w in (line.partition("#")[0].strip() for line in f) if w]
    chosen = choose_modules(a.modules, wanted)
    base = f"lib/modules/{a.release}"
    deps, aliases = [], []
    for path in sorted(chosen):
        needs, info = chosen[path]
        c.file(f"{base}/{path}", os.path.join(a.modules, path))
        deps.append(f"{path}:{''.join(' ' + n for n in needs)}\n")
        name = key(os.path.basename(path)[:-3])
        aliases += [f"alias {x} {name}\n" for x in info.get("alias", [])]
    c.add(f"{base}/modules.dep", stat.S_IFREG | 0o644, "".join(deps).encode())
    c.add(f"{base}/modules.alias", stat.S_IFREG | 0o644, "".join(aliases).encode())
    for f in ("modules.builtin", "modules.order"):
        if os.path.exists(os.path.join(a.modules, f)):
            c.file(f"{base}/{f}", os.path.join(a.modules, f))
    c.write(sys.stdout.buffer)


if __name__ == "__main__":
    main()
