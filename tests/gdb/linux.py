"""A replayed boot of a Debian kernel under gdb, with the kernel's own symbols. `PASS name` for each test.

FUNCTIONS names the functions whose every call is visited, PLACE is where single steps begin."""

import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import gdb  # noqa: E402
from drive import check, forget, hit, hits, instruction, main, number, pc, registers, rewind, run, same, seek, test, when  # noqa: E402

FUNCTIONS = os.environ["FUNCTIONS"].split()
ARCH = re.findall(r'"(.*?)"', run("show architecture"))[-1]


def address(name):
    return number(f"(unsigned long) &{name}")


def variable(name):
    """The address of a variable; None where the kernel's table has only functions, as those of i386 and arm64."""
    try:
        return address(name)
    except gdb.error:
        return None


def jiffies():
    """The address of jiffies_64, which do_timer adds to."""
    if found := variable("jiffies_64"):
        return found
    code = [line["asm"] for line in gdb.selected_frame().architecture().disassemble(address("do_timer"), count=40)]
    pages = {}
    for text in code:
        # i386 adds in place, AArch64 stores at an offset in a page.
        if found := re.fullmatch(r"add[lq]?\s+%eax,0x([0-9a-f]+)", text):
            return int(found[1], 16)
        if found := re.match(r"adrp\s+(x\d+), 0x([0-9a-f]+)", text):
            pages[found[1]] = int(found[2], 16)
        if (found := re.match(r"str\s+x\d+, \[(x\d+), #(\d+)\]", text)) and found[1] in pages:
            return pages[found[1]] + int(found[2])
    raise AssertionError("do_timer does not add to jiffies_64: " + "; ".join(code))


def symbol():
    """The function that the machine stands in."""
    said = run("info symbol $pc")
    return re.split(r"[ +]", said)[0]


@test
def the_kernel_is_there():
    seek(os.environ["PLACE"])
    if variable("linux_banner"):
        banner = gdb.parse_and_eval("(char *) &linux_banner").string(length=17)
        same(banner, "Linux version 6.1", "the kernel's name")
    check(pc() >= address("_stext"), f"the kernel runs: {pc():#x}")
    if ARCH == "aarch64":
        check(number("$sctlr_el1") & 1 == 1, "the MMU is on")
        same(number("$cpsr") & 0x1F, 5, "EL1 with its own stack pointer")
        check(number("$ttbr1_el1") != 0, "the kernel's page table")
    else:
        check(number("$cr0") & 0x80000001 == 0x80000001, "paging is on")


@test
def a_thousand_steps():
    """Forward with every register noted, and back through all of them."""
    seek(os.environ["PLACE"])
    moments = {}
    for _ in range(1000):
        moments[when()] = pc(), registers()
        before, text = when(), instruction()
        run("stepi")
        # On AArch64 gdb goes from a load exclusive past its store in one, as a stop between them would make the
        # store fail on hardware.
        check(when() == before + 1 or ARCH == "aarch64" and re.match("lda?x[rp]", text),
              f"from step {before} to {when()}: {text}")
    begin, end = min(moments), when()
    check(len({p for p, _ in moments.values()}) > 10, "not one loop of one instruction")
    for at in reversed(range(begin, end)):
        run("reverse-stepi")
        same(when(), at, "one step back")
        if at not in moments:
            continue
        was, found = moments[at], (pc(), registers())
        if found != was:
            other = {k: (v, found[1].get(k)) for k, v in was[1].items() if found[1].get(k) != v}
            raise AssertionError(f"at step {at}: {was[0]:#x} was {found[0]:#x}; {other}")


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
