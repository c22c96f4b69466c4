"""What the scripts of the gdb tests share. They run inside gdb (`gdb -batch -x guest.py`)."""

import os
import re
import time
import traceback

import gdb

TESTS = []


def test(function):
    """Marks a test; its name is what is printed."""
    TESTS.append(function)
    return function


# What the last stop was; gdb prints why it stopped past what a command gives.
LAST = []
gdb.events.stop.connect(lambda event: LAST.append(event))


def run(command):
    """A command's output."""
    LAST.clear()
    return gdb.execute(command, to_string=True)


def hit():
    """The kind of breakpoint or watchpoint that the last command stopped at; None if it was none."""
    points = [b for event in LAST if isinstance(event, gdb.BreakpointEvent) for b in event.breakpoints]
    return points[0].type if points else None


def check(holds, what):
    if not holds:
        raise AssertionError(what)


def same(found, expected, what):
    check(found == expected, f"{what}: found {found!r}, expected {expected!r}")


def number(expression):
    return int(gdb.parse_and_eval(expression)) & (1 << 64) - 1


def pc():
    return gdb.selected_frame().pc()


def when():
    """The step at which the machine stands."""
    return int(re.search(r"\d+", run("monitor when"))[0])


def seek(where):
    """Moves by the monitor; gdb does not know that, so it has to forget what it read."""
    run(f"monitor seek {where}")
    run("maintenance flush register-cache")


def instruction(at=None):
    """The text of an instruction."""
    at = pc() if at is None else at
    return gdb.selected_frame().architecture().disassemble(at)[0]["asm"]


def forget():
    """No breakpoints, no watchpoints."""
    for b in gdb.breakpoints():
        b.delete()


def rewind():
    """To power-on."""
    forget()
    run("reverse-continue")
    same((when(), hit()), (0, None), "the start")


def hits(command):
    """Goes on until history's end; where each stop was. Breakpoints are set already."""
    found = []
    while True:
        run(command)
        if hit() is None:
            return found
        found.append((when(), pc()))


def registers(groups="all"):
    """All registers by name, as gdb shows them."""
    out = {}
    for line in run(f"info registers {groups}").splitlines():
        name, _, value = line.partition(" ")
        out[name] = value.strip()
    return out


def main():
    """Connects and runs the tests; each prints a line. The exit status is 0 if all passed."""
    run("set pagination off")
    run("set confirm off")
    run("set width 0")
    run("set remotetimeout 60")
    status = 0
    only = os.environ.get("ONLY", "").split()
    try:
        run(f"target remote {os.environ['TARGET']}")
        for function in TESTS:
            name = function.__name__
            if only and name not in only:
                continue
            start = time.monotonic()
            try:
                forget()
                function()
                print(f"PASS {name} {time.monotonic() - start:.2f} s", flush=True)
            except (AssertionError, gdb.error, TypeError, KeyError, IndexError, AttributeError) as e:
                status = 1
                print(f"FAIL {name}: {type(e).__name__}: {e}", flush=True)
                traceback.print_exc()
        run("kill" if os.environ.get("KILL") else "disconnect")
    except gdb.error as e:
        status = 1
        print(f"FAIL connection: {e}", flush=True)
    gdb.execute(f"quit {status}")
