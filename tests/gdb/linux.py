"""A replayed boot of a Debian kernel under gdb, with the kernel's own symbols. `PASS name` for each test.

FUNCTIONS names the functions whose every call is visited, PLACE is where single steps begin."""

import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import gdb  # noqa: E402
from drive import check, forget, hit, hits, instruction, main, number, pc, registers, rewind, run, same, seek, test, when  # noqa: E402

FUNCTIONS = os.environ["FUNCTIONS"].split()
WIDE = "x86-64" in run("show architecture")


def address(name):
    return number(f"(unsigned long) &{name}")


def jiffies():
    """The address of jiffies_64; i386's kernel has no names of variables, but do_timer adds to it."""
    try:
        return address("jiffies_64")
    except gdb.error:
        code = gdb.selected_frame().architecture().disassemble(address("do_timer"), count=40)
        for line in code:
            if found := re.fullmatch(r"add[lq]?\s+%eax,0x([0-9a-f]+)", line["asm"]):
                return int(found[1], 16)
        raise


def symbol():
    """The function that the machine stands in."""
    said = run("info symbol $pc")
    return re.split(r"[ +]", said)[0]


@test
def the_kernel_is_there():
    seek(os.environ["PLACE"])
    # i386's kernel has no names of variables.
    if WIDE:
        banner = gdb.parse_and_eval("(char *) &linux_banner").string(length=17)
        same(banner, "Linux version 6.1", "the kernel's name")
    check(pc() >= address("_stext"), f"the kernel runs: {pc():#x}")
    check(number("$cr0") & 0x80000001 == 0x80000001, "paging is on")


@test
def a_thousand_steps():
    """Forward with every register noted, and back through all of them."""
    seek(os.environ["PLACE"])
    moments = []
    for _ in range(1000):
        moments.append((when(), pc(), registers()))
        run("stepi")
    same(when(), moments[0][0] + 1000, "the step after")
    check(len({p for _, p, _ in moments}) > 10, "not one loop of one instruction")
    for moment in reversed(moments):
        run("reverse-stepi")
        found = when(), pc(), registers()
        if found != moment:
            other = {k: (v, found[2].get(k)) for k, v in moment[2].items() if found[2].get(k) != v}
            raise AssertionError(f"at step {moment[0]}: {moment[:2]} was {found[:2]}; {other}")


@test
def every_call():
    """Every hit of a breakpoint backwards, in order, down to the start."""
    for name in FUNCTIONS:
        rewind()
        place = address(name)
        run(f"break *{place}")
        forwards = hits("continue")
        check(len(forwards) >= 10, f"{name} is called {len(forwards)} times only")
        same({p for _, p in forwards}, {place}, "where it stopped")
        end = when()
        backwards = hits("reverse-continue")
        same(backwards, forwards[::-1], f"the calls of {name} backwards")
        same(when(), 0, "where it ended")
        forget()
        seek(end)
        print(f"{name}: {len(forwards)} calls to step {end}", flush=True)


@test
def last_writer():
    """`watch` on a kernel variable and `reverse-continue`."""
    seek("end")
    end = when()
    where = jiffies()
    value = number(f"*(unsigned int *) {where}")
    run(f"watch *(unsigned int *) {where}")
    run("reverse-continue")
    same(hit(), gdb.BP_HARDWARE_WATCHPOINT, "the stop")
    store = when()
    check(store < end, "time went back")
    old = number(f"*(unsigned int *) {where}")
    check(old < value, f"{old} before, {value} at the end")
    print(f"step {store}: {symbol()}: {instruction()}", flush=True)
    run("stepi")
    same((when(), number(f"*(unsigned int *) {where}")), (store + 1, value), "after the store")
    run("continue")
    same((when(), hit()), (end, None), "no store after it")
    # The one before, and the same one again.
    run("reverse-continue")
    same(when(), store, "the last store")
    run("reverse-continue")
    before = when()
    check(before < store, "the store before")
    run("continue")
    same((when(), number(f"*(unsigned int *) {where}")), (before + 1, old), "that one forwards")
    run("continue")
    same((when(), number(f"*(unsigned int *) {where}")), (store + 1, value), "and the last one forwards")


@test
def nothing_to_find():
    """A breakpoint that is never hit: back to the start."""
    seek("end")
    run(f"break *{address('panic')}")
    run("reverse-continue")
    same((when(), hit()), (0, None), "the start")


main()
