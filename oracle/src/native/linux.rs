#![allow(unsafe_code, reason = "maps pages at fixed addresses, runs random code, handles signals")]

use crate::layout::{self, CODE, CONST, DATA, LDT, STACK, Window};
use crate::state::{Case, End, Failure, Mode, Outcome, State, Subject, seg};
use iced_x86::CpuidFeature;
use libc::{c_int, c_void};
use std::arch::asm;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of the alternate signal stack: a frame with AVX-512 state takes about 3 KiB.
const SIGNAL_STACK: usize = 128 << 10;
/// Microseconds of CPU time after two to three of which a case that does not end is given up.
const PATIENCE: i64 = 100_000;

/// What the signal handlers work on.
struct Shared {
    phase: Phase,
    /// In: what to load. Out: what was found.
    state: State,
    end: End,
    long: bool,
    /// FS.base of this thread: the handlers must not touch thread-local storage without it.
    host_fs: u64,
    host_gs: u64,
    /// The frame of the UD2.
    gregs: [i64; 23],
    fpu: [u8; FXSAVE],
    /// Alarms since the case was entered.
    alarms: u32,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    /// A signal now is a defect of this program.
    Idle,
    /// The UD2 comes next.
    Armed,
    /// The case runs.
    Running,
}

const FXSAVE: usize = 512;

static mut SHARED: Shared = Shared {
    phase: Phase::Idle,
    state: State {
        gpr: [0; 16],
        rip: 0,
        rflags: 0,
        seg: [0; 6],
        fs_gs_base: [0; 2],
        fcw: 0,
        fsw: 0,
        ftw: 0,
        fop: 0,
        fip_fdp: [0; 2],
        st: [0; 8],
        mxcsr: 0,
        xmm: [0; 16],
    },
    end: End::Timeout,
    long: true,
    host_fs: 0,
    host_gs: 0,
    gregs: [0; 23],
    fpu: [0; FXSAVE],
    alarms: 0,
};

fn shared() -> *mut Shared {
    &raw mut SHARED
}

/// The windows' addresses are one per process.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Positions in the frame of the general registers, in the order of their encodings.
const GREGS: [c_int; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

/// Clears AC, DF, ID and NT. A case may have set them; the kernel does not clear all of them on
/// the way into a handler, and neither ID nor NT on the way out of it. Has to run before
/// anything that may access memory unaligned.
#[inline(always)]
unsafe fn sane_flags() {
    // SAFETY: changes flags that the compiler expects to be clear; the stack is aligned.
    unsafe {
        asm!("pushfq", "and qword ptr [rsp], {m}", "popfq", m = const !0x24_4400i32);
    }
}

unsafe fn read_selectors() -> [u16; 6] {
    let (mut es, mut ds, mut fs, mut gs): (u16, u16, u16, u16);
    // SAFETY: reads segment registers.
    unsafe {
        asm!("mov {0:x}, es", "mov {1:x}, ds", "mov {2:x}, fs", "mov {3:x}, gs",
            out(reg) es, out(reg) ds, out(reg) fs, out(reg) gs, options(nomem, nostack));
    }
    [es, 0, 0, ds, fs, gs]
}

/// Loads the data segment registers, then the bases if asked.
#[inline(always)]
unsafe fn load_segments(sel: [u16; 6], bases: Option<[u64; 2]>) {
    // SAFETY: the selectors are null or name present data segments; no code here uses ES, DS
    // (ignored in 64-bit mode), FS or GS until they are loaded again.
    unsafe {
        asm!("mov es, {0:x}", "mov ds, {1:x}", "mov fs, {2:x}", "mov gs, {3:x}",
            in(reg) sel[seg::ES], in(reg) sel[seg::DS],
            in(reg) sel[seg::FS], in(reg) sel[seg::GS], options(nostack));
        if let Some([fs, gs]) = bases {
            asm!("wrfsbase {0}", "wrgsbase {1}", in(reg) fs, in(reg) gs, options(nostack));
        }
    }
}

unsafe fn read_bases() -> [u64; 2] {
    let (fs, gs): (u64, u64);
    // SAFETY: reads two registers; FSGSBASE was checked.
    unsafe {
        asm!("rdfsbase {0}", "rdgsbase {1}", out(reg) fs, out(reg) gs, options(nomem, nostack));
    }
    [fs, gs]
}

/// Puts an address back to the signal's default action: the fault then repeats and ends the
/// process with the right signal.
unsafe fn give_up(signal: c_int) {
    // SAFETY: `sigaction` is async-signal-safe.
    unsafe {
        let mut act: libc::sigaction = std::mem::zeroed();
        act.sa_sigaction = libc::SIG_DFL;
        libc::sigaction(signal, &act, ptr::null_mut());
    }
}

extern "C" fn on_fault(signal: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: this is a signal handler with SA_SIGINFO, so `context` is a ucontext_t whose
    // fpregs points to an XSAVE image. SHARED is used by one thread, which waits in `enter`
    // while this runs.
    unsafe {
        sane_flags();
        let bases = read_bases();
        let s = &mut *shared();
        let uc = &mut *context.cast::<libc::ucontext_t>();
        match s.phase {
            Phase::Idle => give_up(signal),
            Phase::Armed => {
                save_host(s, uc);
                s.alarms = 0;
                s.phase = Phase::Running;
                put_frame(&s.state, uc);
                load_segments(s.state.seg, s.long.then_some(s.state.fs_gs_base));
            }
            Phase::Running => {
                let g = &uc.uc_mcontext.gregs;
                let vector = g[libc::REG_TRAPNO as usize] as u8;
                s.end = End::Exception {
                    vector,
                    error: g[libc::REG_ERR as usize] as u32,
                    cr2: if vector == 14 { g[libc::REG_CR2 as usize] as u64 } else { 0 },
                };
                leave(s, uc, bases);
            }
        }
    }
}

extern "C" fn on_alarm(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: as in `on_fault`; when the case is not given up, nothing that it can see changes.
    unsafe {
        sane_flags();
        let bases = read_bases();
        let s = &mut *shared();
        if s.phase == Phase::Running {
            s.alarms += 1;
            if s.alarms > 2 {
                s.end = End::Timeout;
                leave(s, &mut *context.cast::<libc::ucontext_t>(), bases);
            }
        }
    }
}

/// Takes the case's registers out of the frame and makes the signal return to after the UD2.
unsafe fn leave(s: &mut Shared, uc: &mut libc::ucontext_t, bases: [u64; 2]) {
    // SAFETY: see `on_fault`.
    unsafe {
        s.state.seg = read_selectors();
        load_segments([0; 6], Some([s.host_fs, s.host_gs]));
        s.state.fs_gs_base = bases;
        get_frame(&mut s.state, uc);
        uc.uc_mcontext.gregs = s.gregs;
        ptr::copy_nonoverlapping(s.fpu.as_ptr(), uc.uc_mcontext.fpregs.cast::<u8>(), FXSAVE);
        s.phase = Phase::Idle;
    }
}

unsafe fn save_host(s: &mut Shared, uc: &libc::ucontext_t) {
    // SAFETY: fpregs points to at least the FXSAVE area.
    unsafe {
        s.gregs = uc.uc_mcontext.gregs;
        s.gregs[libc::REG_RIP as usize] += 2;
        ptr::copy_nonoverlapping(uc.uc_mcontext.fpregs.cast::<u8>(), s.fpu.as_mut_ptr(), FXSAVE);
    }
}

unsafe fn put_frame(st: &State, uc: &mut libc::ucontext_t) {
    let g = &mut uc.uc_mcontext.gregs;
    for (i, r) in GREGS.iter().enumerate() {
        g[*r as usize] = st.gpr[i] as i64;
    }
    g[libc::REG_RIP as usize] = st.rip as i64;
    g[libc::REG_EFL as usize] = st.rflags as i64;
    let (cs, ss) = (u64::from(st.seg[seg::CS]), u64::from(st.seg[seg::SS]));
    g[libc::REG_CSGSFS as usize] = (cs | ss << 48) as i64;
    // SAFETY: fpregs points to an XSAVE image (checked in `Native::new`): FXSAVE's layout, then
    // the header whose first word says what is valid.
    unsafe {
        let f = uc.uc_mcontext.fpregs.cast::<u8>();
        let put16 = |at: usize, v: u16| f.add(at).cast::<u16>().write_unaligned(v);
        let put64 = |at: usize, v: u64| f.add(at).cast::<u64>().write_unaligned(v);
        put16(0, st.fcw);
        put16(2, st.fsw);
        put16(4, u16::from(st.ftw));
        put16(6, st.fop);
        put64(8, st.fip_fdp[0]);
        put64(16, st.fip_fdp[1]);
        f.add(24).cast::<u32>().write_unaligned(st.mxcsr);
        for (i, v) in st.st.iter().enumerate() {
            f.add(32 + 16 * i).cast::<u128>().write_unaligned(*v);
        }
        for (i, v) in st.xmm.iter().enumerate() {
            f.add(160 + 16 * i).cast::<u128>().write_unaligned(*v);
        }
        let valid = f.add(FXSAVE).cast::<u64>();
        valid.write_unaligned(valid.read_unaligned() | 3);
    }
}

unsafe fn get_frame(st: &mut State, uc: &libc::ucontext_t) {
    let g = &uc.uc_mcontext.gregs;
    for (i, r) in GREGS.iter().enumerate() {
        st.gpr[i] = g[*r as usize] as u64;
    }
    st.rip = g[libc::REG_RIP as usize] as u64;
    st.rflags = g[libc::REG_EFL as usize] as u64;
    st.seg[seg::CS] = g[libc::REG_CSGSFS as usize] as u16;
    st.seg[seg::SS] = (g[libc::REG_CSGSFS as usize] >> 48) as u16;
    // SAFETY: as in `put_frame`.
    unsafe {
        let f = uc.uc_mcontext.fpregs.cast::<u8>();
        let get16 = |at: usize| f.add(at).cast::<u16>().read_unaligned();
        let get64 = |at: usize| f.add(at).cast::<u64>().read_unaligned();
        st.fcw = get16(0);
        st.fsw = get16(2);
        st.ftw = get16(4) as u8;
        st.fop = get16(6) & 0x7ff;
        st.fip_fdp = [get64(8), get64(16)];
        st.mxcsr = f.add(24).cast::<u32>().read_unaligned();
        for (i, v) in st.st.iter_mut().enumerate() {
            *v = f.add(32 + 16 * i).cast::<u128>().read_unaligned() & ((1 << 80) - 1);
        }
        for (i, v) in st.xmm.iter_mut().enumerate() {
            *v = f.add(160 + 16 * i).cast::<u128>().read_unaligned();
        }
    }
}

/// Runs the case that SHARED holds.
#[inline(never)]
unsafe fn enter() {
    // SAFETY: the handlers bring every register back.
    unsafe { asm!("ud2") }
}

/// The host's CPU. One at a time in a process.
pub struct Native {
    code: NonNull<u8>,
    background: Vec<u8>,
    dirty_code: (usize, usize),
    dirty_mem: bool,
}

impl Native {
    /// Maps the windows, sets up the LDT and the signal handlers; an error says what this host
    /// does not have.
    pub fn new() -> Result<Self, String> {
        if TAKEN.swap(true, Ordering::SeqCst) {
            return Err("there is one native oracle in a process, and it is taken".into());
        }
        // SAFETY: all of these are system calls with arguments that live long enough; addresses
        // are taken only where nothing is mapped.
        unsafe {
            if libc::getauxval(libc::AT_HWCAP2) & 2 == 0 {
                return Err("the kernel does not let programs use WRFSBASE".into());
            }
            if !std::arch::is_x86_feature_detected!("xsave") {
                return Err("this CPU has no XSAVE".into());
            }
            set_up_ldt()?;
            let code = map_code()?;
            for w in [DATA, STACK, CONST] {
                map(w, libc::PROT_READ | libc::PROT_WRITE, -1)?;
            }
            let constants = layout::constants();
            ptr::copy_nonoverlapping(constants.as_ptr(), CONST.addr as *mut u8, constants.len());
            libc::mprotect(CONST.addr as *mut c_void, CONST.len as usize, libc::PROT_READ);
            set_up_signals()?;
            let s = &mut *shared();
            [s.host_fs, s.host_gs] = read_bases();
            let mut native = Native {
                code,
                background: layout::background(),
                dirty_code: (0, CODE.len as usize),
                dirty_mem: true,
            };
            native.clean();
            native.probe()?;
            Ok(native)
        }
    }

    /// Brings the windows to what they are before every case.
    fn clean(&mut self) {
        let (from, to) = self.dirty_code;
        // SAFETY: the range lies in the code window's writable alias; the data windows are
        // mapped and written by nobody now.
        unsafe {
            ptr::write_bytes(self.code.as_ptr().add(from), 0xf4, to - from);
            if self.dirty_mem {
                let mut offset = 0;
                for w in layout::WINDOWS {
                    let len = w.len as usize;
                    let from = self.background[offset..offset + len].as_ptr();
                    ptr::copy_nonoverlapping(from, w.addr as *mut u8, len);
                    offset += len;
                }
            }
        }
        self.dirty_code = (0, 0);
        self.dirty_mem = false;
    }

    /// Checks with an empty case that the way in and out works on this kernel.
    fn probe(&mut self) -> Result<(), String> {
        for (mode, cs) in [
            (Mode::Bits64, layout::gdt::USER_CS),
            (Mode::Bits32, layout::gdt::USER_CS32),
            (Mode::Bits16, layout::CODE16.selector()),
        ] {
            let mut state = State { rip: 0x100, ..State::default() };
            state.seg = [layout::gdt::USER_DS; 6];
            state.seg[seg::CS] = cs;
            state.gpr[4] = STACK.addr;
            state.xmm[3] = 0x1234_5678_9abc_def0_0011_2233_4455_6677;
            state.st[2] = 0x4000_c000_0000_0000_0000;
            if mode != Mode::Bits16 {
                state.rip += CODE.addr;
            }
            let code_addr = CODE.addr + 0x100;
            let case =
                Case { number: 0, mode, code: Vec::new(), code_addr, lead: 0, state, patches: Vec::new() };
            let mut out = Outcome::default();
            self.run(&case, &mut out).map_err(|e| format!("{mode:?}: {e:?}"))?;
            let want = End::Exception { vector: 13, error: 0, cr2: 0 };
            let same = out.state.xmm == case.state.xmm && out.state.st == case.state.st;
            if out.end != want || out.state.rip != case.state.rip || !same {
                return Err(format!("{mode:?}: a HLT ended with {} {:x?}", out.end, out.state));
            }
        }
        Ok(())
    }
}

impl Subject for Native {
    fn name(&self) -> String {
        model()
    }

    fn run(&mut self, case: &Case, out: &mut Outcome) -> Result<(), Failure> {
        self.clean();
        let at = (case.code_addr - CODE.addr) as usize;
        let len = case.code.len().min(CODE.len as usize - at);
        self.dirty_code = (at, at + len);
        self.dirty_mem = true;
        // SAFETY: code and patches are clipped to their windows. `enter` ends when the case's
        // exception has been taken; see the module's head for why the case cannot touch more.
        unsafe {
            ptr::copy_nonoverlapping(case.code.as_ptr(), self.code.as_ptr().add(at), len);
            for p in &case.patches {
                for (i, b) in p.bytes.iter().enumerate() {
                    let addr = p.addr.wrapping_add(i as u64);
                    if layout::mem_offset(addr).is_some() {
                        (addr as *mut u8).write(*b);
                    }
                }
            }
            let s = &mut *shared();
            s.state.clone_from(&case.state);
            s.long = case.mode == Mode::Bits64;
            s.phase = Phase::Armed;
            enter();
            let s = &*shared();
            out.end = s.end;
            out.state.clone_from(&s.state);
            let mut offset = 0;
            for w in layout::WINDOWS {
                let len = w.len as usize;
                let to = out.mem[offset..offset + len].as_mut_ptr();
                ptr::copy_nonoverlapping(w.addr as *const u8, to, len);
                offset += len;
            }
        }
        Ok(())
    }
}

fn failed(what: &str) -> String {
    format!("{what}: {}", std::io::Error::last_os_error())
}

unsafe fn map(w: Window, prot: c_int, fd: c_int) -> Result<(), String> {
    let kind = if fd < 0 { libc::MAP_PRIVATE | libc::MAP_ANONYMOUS } else { libc::MAP_SHARED };
    let flags = kind | libc::MAP_FIXED_NOREPLACE | libc::MAP_POPULATE;
    // SAFETY: MAP_FIXED_NOREPLACE replaces nothing.
    unsafe {
        let p = libc::mmap(w.addr as *mut c_void, w.len as usize, prot, flags, fd, 0);
        if p as u64 != w.addr {
            return Err(failed(&format!("cannot map {:#x}", w.addr)));
        }
    }
    Ok(())
}

/// Maps the code window, not writable, and a writable alias of it elsewhere.
unsafe fn map_code() -> Result<NonNull<u8>, String> {
    // SAFETY: system calls; the alias goes where the kernel finds room.
    unsafe {
        let fd = libc::memfd_create(c"x86-oracle-code".as_ptr(), libc::MFD_CLOEXEC);
        if fd < 0 || libc::ftruncate(fd, CODE.len as libc::off_t) != 0 {
            return Err(failed("cannot make the code window"));
        }
        map(CODE, libc::PROT_READ | libc::PROT_EXEC, fd)?;
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        let p = libc::mmap(ptr::null_mut(), CODE.len as usize, prot, flags, fd, 0);
        libc::close(fd);
        match NonNull::new(p.cast::<u8>()) {
            Some(code) if p != libc::MAP_FAILED => Ok(code),
            _ => Err(failed("cannot map the code window's alias")),
        }
    }
}

/// Linux's `struct user_desc`.
#[repr(C)]
struct UserDesc {
    entry_number: u32,
    base: u32,
    limit: u32,
    bits: u32,
}

unsafe fn set_up_ldt() -> Result<(), String> {
    for s in LDT {
        let bits = u32::from(s.big)
            | u32::from(s.contents) << 1
            | u32::from(s.restricted) << 3
            | u32::from(s.pages) << 4
            | u32::from(s.absent) << 5;
        let desc = UserDesc { entry_number: u32::from(s.index), base: s.base, limit: s.limit, bits };
        // SAFETY: func 0x11 reads one user_desc.
        let r = unsafe { libc::syscall(libc::SYS_modify_ldt, 0x11, &raw const desc, size_of::<UserDesc>()) };
        if r as i32 != 0 {
            return Err(failed("modify_ldt"));
        }
    }
    Ok(())
}

unsafe fn set_up_signals() -> Result<(), String> {
    // SAFETY: the handlers are made for this; the stack is never freed.
    unsafe {
        let stack: &'static mut [u8] = Vec::leak(vec![0; SIGNAL_STACK]);
        let stack = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: SIGNAL_STACK };
        if libc::sigaltstack(&stack, ptr::null_mut()) != 0 {
            return Err(failed("sigaltstack"));
        }
        let mut act: libc::sigaction = std::mem::zeroed();
        act.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        libc::sigfillset(&mut act.sa_mask);
        for signal in [libc::SIGSEGV, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGBUS] {
            libc::sigdelset(&mut act.sa_mask, signal);
        }
        act.sa_sigaction = on_fault as *const () as usize;
        for signal in [libc::SIGSEGV, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGBUS] {
            if libc::sigaction(signal, &act, ptr::null_mut()) != 0 {
                return Err(failed("sigaction"));
            }
        }
        act.sa_sigaction = on_alarm as *const () as usize;
        libc::sigaction(libc::SIGPROF, &act, ptr::null_mut());
        let every = libc::timeval { tv_sec: 0, tv_usec: PATIENCE };
        let timer = libc::itimerval { it_interval: every, it_value: every };
        libc::setitimer(libc::ITIMER_PROF, &timer, ptr::null_mut());
    }
    Ok(())
}

/// The host CPU's name.
pub fn model() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |key: &str| {
        info.lines()
            .find_map(|l| l.strip_prefix(key)?.split_once(": ").map(|x| x.1.to_string()))
            .unwrap_or_default()
    };
    format!(
        "{} (family {}, model {}, stepping {})",
        field("model name"),
        field("cpu family"),
        field("model\t"),
        field("stepping")
    )
}

/// Which of the features that cases are made of the host has. What is part of x86-64 is there.
pub fn features() -> Vec<CpuidFeature> {
    use CpuidFeature as F;
    let mut v = vec![F::SSE, F::SSE2, F::MMX, F::FPU, F::CMOV, F::CX8, F::FXSR, F::CLFSH];
    macro_rules! probe {
        ($($name:tt $feature:ident),*) => {
            $(if std::arch::is_x86_feature_detected!($name) { v.push(F::$feature); })*
        };
    }
    probe!("sse3" SSE3, "ssse3" SSSE3, "sse4.1" SSE4_1, "sse4.2" SSE4_2, "aes" AES);
    probe!("pclmulqdq" PCLMULQDQ, "popcnt" POPCNT, "cmpxchg16b" CMPXCHG16B, "movbe" MOVBE);
    probe!("sha" SHA);
    // No name in the standard library's macro; the kernel's list has it.
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = info.lines().find(|l| l.starts_with("flags")).unwrap_or_default();
    if flags.split(' ').any(|f| f == "3dnowprefetch") {
        v.push(F::PREFETCHW);
    }
    v.push(F::FSGSBASE); // checked by `Native::new`
    v
}
