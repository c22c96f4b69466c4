"""The debug guest (guests/debug) under gdb: what a person does with source lines and variables, in both
directions. `PASS name` for each test."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import gdb  # noqa: E402
from drive import check, forget, hit, hits, instruction, main, number, pc, registers, rewind, run, same, seek, test, when  # noqa: E402

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../guests/debug/debug.c")
WIDE = os.environ["BITS"] == "64"


def mark(name):
    """The number of the line with the comment `gdb: NAME`."""
    with open(SOURCE) as f:
        for n, text in enumerate(f, 1):
            if f"/* gdb: {name} */" in text:
                return n
    raise KeyError(name)


def function():
    return gdb.selected_frame().name()


def line():
    return gdb.selected_frame().find_sal().line


def at(name, where=None):
    """Stands on the marked line (in the function)."""
    same(line(), mark(name), f"the line, in {function()} at step {when()}")
    if where:
        same(function(), where, "the function")


def go(name):
    """From power-on to the first moment of a marked line or a function."""
    rewind()
    try:
        where = f"debug.c:{mark(name)}"
    except KeyError:
        where = name
    run(f"break {where}")
    run("continue")
    forget()


def names():
    """Functions from the innermost frame outwards."""
    out, frame = [], gdb.newest_frame()
    while frame:
        out.append(frame.name())
        frame = frame.older()
    return out


@test
def start():
    same(when(), 0, "the step")
    check("<_start>" in run("info symbol $pc") or run("info symbol $pc").startswith("_start"), run("info symbol $pc"))
    same(len(gdb.selected_inferior().threads()), 1, "threads")


@test
def every_register():
    go("kmain")
    found = registers()
    wide = ["rax", "r15", "rip", "fs_base", "gs_base", "k_gs_base", "cr0", "cr2", "cr3", "cr4", "efer"]
    narrow = ["eax", "eip", "cr0", "cr2", "cr3", "cr4", "efer"]
    both = ["eflags", "cs", "ss", "ds", "es", "fs", "gs", "st0", "st7", "fctrl", "fop", "xmm0", "xmm7", "mxcsr"]
    for name in (wide if WIDE else narrow) + both:
        check(name in found, f"no register {name} in {sorted(found)}")
    same(number("$cr0") & 1, 1, "CR0.PE")
    same(number("$cr0") >> 31, int(WIDE), "CR0.PG")
    same(number("$cs"), 8, "CS")
    same(number("$mxcsr"), 0x1F80, "MXCSR")
    same(number("$fctrl"), 0x37F if not WIDE else number("$fctrl"), "the x87's control word")
    if WIDE:
        same(number("$efer") & 0x500, 0x500, "EFER.LME and LMA")
        same(number("$cr3"), number("(long) &top"), "CR3")


@test
def break_and_look():
    go("outer")
    # The breakpoint on the call's line came first.
    at("outer", "kmain")
    run("break outer")
    run("continue")
    same(function(), "outer", "the function")
    same(number("n"), 3, "its argument")
    same(names(), ["outer", "kmain"] + names()[2:], "the frames")
    run("up")
    at("outer", "kmain")
    run("down")
    same(number("total"), 0, "a variable")
    run("break inner if a == 26 || b == 2 && a == 1")
    run("continue")
    same((function(), number("a"), number("b")), ("inner", 1, 2), "a condition")
    run("tbreak factorial")
    run("continue")
    same((function(), number("n")), ("factorial", 6), "a temporary breakpoint")
    same(number("results[0]"), 26, "what outer returned")
    run("hbreak divide")
    run("continue")
    same((function(), number("b")), ("divide", 0), "a hardware breakpoint")


@test
def lines_forwards():
    go("first call")
    same(function(), "middle", "the function")
    run("next")
    at("second call", "middle")
    same(number("first"), 1, "a local variable")
    run("step")
    same((function(), number("b")), ("inner", 2), "after step")
    run("finish")
    same(int(gdb.history(0)), 3, "the value returned")
    at("second call", "middle")
    run("next")
    at("after calls", "middle")
    same(number("second"), 3, "a local variable")
    go("loop body")
    run("until %d" % mark("after loop"))
    at("after loop", "outer")
    same(number("sum"), 26, "the loop's sum")
    run("advance factorial")
    same(function(), "kmain", "advance ends where the function returns")
    run("advance factorial")
    same(function(), "factorial", "after advance")


@test
def lines_backwards():
    go("after calls")
    end = when()
    run("reverse-next")
    at("second call", "middle")
    check(when() < end, "time went back")
    run("reverse-next")
    at("first call", "middle")
    run("next")
    at("second call", "middle")
    before = when()
    run("next")
    at("after calls", "middle")
    same(when(), end, "the same moment")
    run("reverse-step")
    same(function(), "inner", "reverse-step enters the function from its end")
    run("reverse-finish")
    at("second call", "middle")
    check("call" in instruction(), f"reverse-finish lands at the call: {instruction()}")
    check(before < when() < end, "between the lines")
    call = when()
    run("stepi")
    same((function(), when()), ("inner", call + 1), "a step from there")
    run("reverse-stepi")
    same((function(), when()), ("middle", call), "and back")
    run("reverse-step")
    at("second call", "middle")
    same(when(), before, "the line's first moment")


@test
def recursion():
    go("deepest")
    same(names()[:7], ["factorial"] * 6 + ["kmain"], "the frames")
    same(number("n"), 1, "the innermost argument")
    for n in range(2, 7):
        run("reverse-finish")
        same((function(), number("n")), ("factorial", n), "the caller")
        check("call" in instruction(), instruction())
    run("reverse-finish")
    at("factorial", "kmain")
    go("deepest")
    for n in range(2, 7):
        run("finish")
        same((function(), number("n")), ("factorial", n), "the caller")
    run("finish")
    same(int(gdb.history(0)), 720, "the value returned")


@test
def who_corrupted_it():
    go("corrupted")
    good = number("(long) &nodes[5]")
    bad = number("(long) book.head")
    check(good != bad, "the list's head is corrupt")
    run("watch book.head")
    end = when()
    run("reverse-continue")
    same(hit(), gdb.BP_HARDWARE_WATCHPOINT, "the stop")
    at("corrupts", "note")
    same((number("kind"), number("noted")), (1008, 8), "the culprit")
    same(number("(long) book.head"), good, "the head before")
    store = when()
    run("stepi")
    same((when(), number("(long) book.head")), (store + 1, bad), "after the store")
    run("reverse-stepi")
    run("reverse-continue")
    same(function(), "list", "the store before")
    same(number("(long) book.head"), 0, "and its value")
    first = when()
    check(first < store < end, "in order")
    run("reverse-continue")
    same((when(), hit()), (0, None), "no earlier one")
    found = hits("continue")
    same([n for n, _ in found][:2], [first + 1, store + 1], "the same ones forwards")


@test
def read_and_access_watchpoints():
    go("strings")
    run("rwatch total")
    run("continue")
    same(hit(), gdb.BP_READ_WATCHPOINT, "the stop")
    same(function(), "kmain", "who read it")
    forget()
    go("outer")
    run("awatch total")
    forwards = hits("continue")
    backwards = hits("reverse-continue")
    check(len(forwards) >= 8, f"{len(forwards)} accesses")
    # A stop forwards is after the access, backwards before it.
    same([n - 1 for n, _ in forwards], [n for n, _ in reversed(backwards)], "the accesses")


@test
def repeated_instructions():
    go("fill")
    before = when()
    run("next")
    check(when() > before + 40, "each iteration is a step")
    same(number("text[39]"), ord("a"), "what it wrote")
    run("reverse-next")
    same((line(), when()), (mark("fill"), before), "back over it")
    same(number("text[39]"), 0, "and it is not written")
    count = "$rcx" if WIDE else "$ecx"
    run("break fill")
    run("continue")
    while "rep stos" not in instruction():
        run("stepi")
    place, here = pc(), when()
    for left in range(40, 0, -1):
        same((pc(), number(count), number(f"text[{40 - left}]")), (place, left, 0), "before an iteration")
        run("stepi")
        same(number(f"text[{40 - left}]"), ord("a"), "after it")
    same((number(count), when()), (0, here + 40), "at the end")
    for left in range(1, 41):
        run("reverse-stepi")
        same((pc(), number(count), number(f"text[{40 - left}]")), (place, left, 0), "and backwards")
    same(when(), here, "where it began")
    forget()
    run("finish")
    run("next")
    at("move", "kmain" if function() == "kmain" else "strings")
    run("watch copy[20]")
    run("continue")
    same((function(), number("copy[20]")), ("move", ord("a")), "a watchpoint inside")
    check("rep movs" in instruction(), instruction())
    after = when()
    run("reverse-continue")
    same((when(), number("copy[20]")), (after - 1, 0), "backwards it is before the iteration")


@test
def interrupts():
    rewind()
    run("break timer_interrupt")
    forwards = []
    for _ in range(12):
        run("continue")
        same(function(), "timer_interrupt", "the handler")
        forwards.append((when(), number("ticks"), number("frame->ip")))
        frame = gdb.selected_frame().older()
        same((frame.name(), frame.type()), ("timer_entry", gdb.SIGTRAMP_FRAME), "the entry")
        same(frame.older().pc(), forwards[-1][2], "the frame that was interrupted")
    same([t for _, t, _ in forwards], list(range(12)), "ticks")
    for expected in reversed(forwards[:-1]):
        run("reverse-continue")
        same((when(), number("ticks"), number("frame->ip")), expected, "backwards")
    run("reverse-continue")
    same(when(), 0, "no earlier one")
    # Back through the entry to the instruction that was interrupted.
    run("continue")
    run("reverse-finish")
    same(function(), "timer_entry", "the caller of the handler")
    check("call" in instruction(), instruction())
    ip = forwards[0][2]
    for _ in range(20):
        if pc() == ip:
            break
        run("reverse-stepi")
    same((pc(), when() < forwards[0][0]), (ip, True), "what was interrupted")
    entered = when()
    run("stepi")
    same((function(), when()), ("timer_entry", entered + 1), "the entry is one step")


@test
def lines_with_interrupts():
    """`next` and `reverse-next` over a call in which the timer strikes, and steps in a line in which it does."""
    go("wait")
    ticks = number("ticks")
    run("next")
    check(number("ticks") >= ticks + 20, "the timer struck")
    same(function(), "kmain", "next")
    run("reverse-next")
    at("wait", "kmain")
    same(number("ticks"), ticks, "reverse-next")
    # In the middle of a line.
    run("break timer_interrupt")
    run("continue")
    ip = number("frame->ip")
    forget()
    while pc() != ip:
        run("reverse-stepi")
    same(function(), "wait", "what was interrupted")
    here, before = when(), number("ticks")
    # A line is gone through without the handlers of interrupts; a breakpoint in one stops it there.
    run("next")
    same(function(), "wait", "next from an instruction that is interrupted")
    same(number("ticks"), before + 1, "the handler ran in between")
    left = when()
    seek(here)
    run("break timer_interrupt")
    run("next")
    same(names()[:3], ["timer_interrupt", "timer_entry", "wait"], "next to a breakpoint in the handler")
    check(here < when() < left, "on the way")
    forget()
    seek(here)
    run("stepi")
    same((function(), when()), ("timer_entry", here + 1), "stepi goes in")
    seek(here)
    run("break *%d" % ip)
    run("continue")
    same((pc(), function(), number("ticks") > ticks), (ip, "wait", True), "back from the interrupt")
    after = when()
    # At `here` the interrupt is entered, the instruction is not executed: it was in the round before.
    run("reverse-continue")
    check(pc() == ip and when() < here, f"the round before: {when()}")
    run("continue")
    same(when(), after, "the next one that is executed")
    forget()


@test
def exceptions():
    go("divide_error")
    same(function(), "divide_error", "the handler")
    ip = number("frame->ip")
    check("div" in instruction(ip), instruction(ip))
    same([n for n in names()[:3]], ["divide_error", "divide_entry", "divide"], "the frames")
    run("reverse-finish")
    for _ in range(20):
        if pc() == ip:
            break
        run("reverse-stepi")
    same((pc(), function()), (ip, "divide"), "the instruction that failed")
    here = when()
    run("stepi")
    same((function(), when()), ("divide_entry", here + 1), "the entry is one step")
    run("reverse-stepi")
    same((pc(), when()), (ip, here), "and back")
    run("break *%d" % (ip + 2))
    run("continue")
    same((pc(), number("errors")), (ip + 2, 1), "the handler skipped it")


@test
def both_ends():
    rewind()
    run("reverse-stepi")
    same(when(), 0, "the start")
    run("continue")
    end = when()
    check(end > 200_000 and hit() is None, f"the end is at {end}")
    run("stepi")
    same(when(), end, "the end")
    run("reverse-stepi")
    same(when(), end - 1, "one back")
    run("stepi")
    same(when(), end, "and on")
    run("reverse-stepi 1000")
    same(when(), end - 1000, "a thousand back")
    run("stepi 1000")
    same(when(), end, "and on")


@test
def steps_and_registers():
    go("outer")
    moments = []
    for _ in range(200):
        moments.append((when(), pc(), registers()))
        run("stepi")
    for moment in reversed(moments):
        run("reverse-stepi")
        same((when(), pc(), registers()), moment, "a moment")


@test
def all_hits():
    rewind()
    run("break inner")
    run("break *note")
    run("break print")
    forwards = hits("continue")
    backwards = hits("reverse-continue")
    check(len(forwards) >= 18, f"{len(forwards)} hits")
    same(backwards, forwards[::-1], "the hits backwards")


@test
def many_breakpoints():
    go("outer")
    first = number("(long) print")
    for i in range(500):
        run(f"break *{first + i}")
    here = when()
    run("continue")
    same(function(), "print", "one of them is hit")
    run("reverse-continue")
    check(when() <= here, "back")
    forget()


@test
def what_is_not_there():
    go("outer")
    for command in ["x/4x 0xffff900000000000", "x/i 0x7fffffff0000", "print *(int *) 0x123456789abc",
                    "set var *(int *) 0x123456789abc = 1"] if WIDE else ["print $nothing.at"]:
        try:
            said = run(command)
        except gdb.error as e:
            said = str(e)
        check("annot access memory" in said or "nvalid" in said or "ttempt" in said, f"{command}: {said}")
    at("outer", "kmain")
    try:
        said = run("monitor no-such-command")
    except gdb.error as e:
        said = str(e)
    check(said, "an answer to a command that is none")


@test
def seeking():
    go("factorial")
    here = when()
    seek(0)
    same(when(), 0, "the start")
    seek(here)
    at("factorial", "kmain")
    seek("end")
    end = when()
    check(end > here, "the end")
    seek("50%")
    same(when(), end // 2, "the middle")


@test
def writing_branches():
    """Last: the recording is left."""
    go("after loop")
    run("set var sum = 1234")
    same(number("sum"), 1234, "a variable written")
    run("finish")
    run("next")
    same(number("results[0]"), 1234, "and used")
    register = "$rdx" if WIDE else "$edx"
    run(f"set {register} = 77")
    same(number(register), 77, "a register written")
    if WIDE:
        same(number("$cr8"), 0, "the task priority, which the local APIC keeps")
        run("set $cr8 = 5")
        run("stepi")
        same(number("$cr8"), 5, "it stays written")


main()
