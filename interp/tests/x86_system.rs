//! Segmentation, paging, exceptions, mode switches: small programs in each mode.

mod system_machine;

use dejavm_interp::engine::Stop;
use dejavm_interp::x86::flags::bit;
use dejavm_interp::x86::model::Model;
use dejavm_interp::x86::regs::{Shadow, cr0, cr4, efer, gpr, seg};
use iced_x86::code_asm::*;
use system_machine::*;

fn code(bits: u32, f: impl FnOnce(&mut CodeAssembler) -> Result<(), iced_x86::IcedError>) -> Vec<u8> {
    let mut a = CodeAssembler::new(bits).unwrap();
    f(&mut a).unwrap();
    a.assemble(CODE).unwrap()
}

#[test]
fn real_mode_interrupts_use_the_vector_table() {
    let mut m = Machine::real();
    m.put(0x21 * 4, &[0x34, 0x12, 0x00, 0x02]);
    m.put(0x2000 + 0x1234, &[0xf4]);
    m.cpu.rflags |= bit::IF;
    m.put(CODE, &[0xcd, 0x21]);
    m.halted();
    assert_eq!((m.cpu.seg(seg::CS).selector, m.cpu.rip()), (0x200, 0x1235));
    assert_eq!(m.cpu.rflags & bit::IF, 0);
    let top = m.cpu.regs[4];
    assert_eq!(top, STACK - 6);
    assert_eq!(m.u16(top), CODE as u16 + 2);
    assert_eq!(m.u16(top + 4) as u64 & bit::IF, bit::IF);
    // And back.
    m.put(0x2000 + 0x1235, &[0xcf]);
    m.put(CODE + 2, &[0xf4]);
    m.resume();
    assert_eq!((m.cpu.rip(), m.cpu.regs[4]), (CODE + 3, STACK));
    assert_eq!(m.cpu.rflags & bit::IF, bit::IF);
}

#[test]
fn enters_protected_mode_and_long_mode_by_itself() {
    let mut m = Machine::real();
    m.tables(false);
    m.paging_identity();
    m.put(0x700, &[0xff, 0]);
    m.put(0x702, &(GDT as u32).to_le_bytes());
    // Real mode: LGDT, CR0.PE, far jump to 32-bit code.
    let mut c = code(16, |a| {
        a.lgdt(ptr(0x700u64))?;
        a.mov(eax, cr0)?;
        a.mov(eax, 0x11)?;
        a.mov(cr0, eax)
    });
    let next = CODE + c.len() as u64 + 8;
    c.extend([0x66, 0xea]);
    c.extend((next as u32).to_le_bytes());
    c.extend((CODE32 as u16).to_le_bytes());
    let mut p = CodeAssembler::new(32).unwrap();
    p.mov(eax, 0x10).unwrap();
    p.mov(ds, eax).unwrap();
    p.mov(ss, eax).unwrap();
    p.mov(eax, cr4::PAE as u32).unwrap();
    p.mov(cr4, eax).unwrap();
    p.mov(eax, PML4 as u32).unwrap();
    p.mov(cr3, eax).unwrap();
    p.mov(ecx, 0xc000_0080u32).unwrap();
    p.mov(eax, (efer::LME | efer::NXE | efer::SCE) as u32).unwrap();
    p.mov(edx, 0).unwrap();
    p.wrmsr().unwrap();
    p.mov(eax, 0x8000_0011u32).unwrap();
    p.mov(cr0, eax).unwrap();
    c.extend(p.assemble(next).unwrap());
    let long = CODE + c.len() as u64 + 7;
    c.push(0xea);
    c.extend((long as u32).to_le_bytes());
    c.extend((CODE64 as u16).to_le_bytes());
    c.extend(code(64, |a| {
        a.mov(rbx, 0x1122_3344_5566_7788u64)?;
        a.hlt()
    }));
    m.put(CODE, &c);
    m.halted();
    assert!(m.cpu.mode64());
    assert_eq!(m.cpu.regs[3], 0x1122_3344_5566_7788);
    assert_eq!(m.cpu.msrs.efer & efer::LMA, efer::LMA);
}

/// What a handler of `vector` finds in 64-bit mode at level `cpl` after `bytes` ran.
fn fault64(m: &mut Machine, bytes: &[u8]) -> (u8, Option<u64>) {
    m.put(CODE, bytes);
    m.halted();
    m.taken()
}

#[test]
fn privileged_instructions_fault_at_level_3() {
    let privileged: &[&[u8]] = &[
        &[0xf4],
        &[0x0f, 0x20, 0xc0],
        &[0x0f, 0x22, 0xd8],
        &[0x0f, 0x21, 0xf8],
        &[0x0f, 0x30],
        &[0x0f, 0x32],
        &[0x0f, 0x06],
        &[0x0f, 0x08],
        &[0x0f, 0x09],
        &[0xfa],
        &[0xfb],
        &[0xe4, 0x60],
        &[0xee],
        &[0x0f, 0x01, 0x3b],
        &[0x0f, 0x01, 0x13],
        &[0x0f, 0x01, 0xf0],
        &[0x0f, 0x00, 0xd0],
        &[0x0f, 0x00, 0xd8],
        &[0x0f, 0x01, 0xf8],
    ];
    for bytes in privileged {
        let mut m = Machine::long(3);
        m.cpu.regs[3] = 0x700;
        assert_eq!(fault64(&mut m, bytes), (13, Some(0)), "{bytes:02x?}");
        let frame = m.frame64(true);
        assert_eq!(frame.rip, CODE, "{bytes:02x?}");
        assert_eq!((frame.cs, frame.ss, frame.rsp), (CODE64_USER | 3, DATA_USER | 3, USER_STACK));
        // Faults save RF.
        assert_eq!(frame.flags & bit::RF, bit::RF);
        assert_eq!(m.cpu.cpl, 0);
    }
}

#[test]
fn long_mode_stacks() {
    // Same level: the stack is aligned and always switched through SS:RSP.
    let mut m = Machine::long(0);
    m.cpu.regs[4] = STACK - 3;
    assert_eq!(fault64(&mut m, &[0x0f, 0x0b]), (6, None));
    let f = m.frame64(false);
    assert_eq!((f.rip, f.rsp, f.ss), (CODE, STACK - 3, DATA32));
    assert_eq!(m.cpu.regs[4], ((STACK - 3) & !15) - 40);
    // IST.
    let mut m = Machine::long(0);
    m.idt(6, 0x8e | 2 << 8, handler(6));
    assert_eq!(fault64(&mut m, &[0x0f, 0x0b]), (6, None));
    assert_eq!(m.cpu.regs[4], IST2 - 40);
    // IRETQ comes back to level 3.
    let mut m = Machine::long(3);
    m.idt(0x80, 0xee, handler(0x80));
    m.put(handler(0x80), &[0x48, 0xcf]);
    m.put(CODE, &[0xcd, 0x80, 0x0f, 0x0b]);
    m.halted();
    assert_eq!(m.taken(), (6, None));
    assert_eq!((m.frame64(false).rip, m.frame64(false).rsp), (CODE + 2, USER_STACK));
}

#[test]
fn int_n_checks_the_gate() {
    // The gate's level is 0: #GP with the vector, IDT bit, no EXT.
    let mut m = Machine::long(3);
    assert_eq!(fault64(&mut m, &[0xcd, 0x80]), (13, Some(0x80 * 8 + 2)));
    // Beyond the limit.
    let mut m = Machine::long(3);
    m.cpu.idtr.limit = 16 * 0x80 - 1;
    assert_eq!(fault64(&mut m, &[0xcd, 0x80]), (13, Some(0x80 * 8 + 2)));
    // Not present.
    let mut m = Machine::long(0);
    m.idt(0x80, 0x0e, handler(0x80));
    assert_eq!(fault64(&mut m, &[0xcd, 0x80]), (11, Some(0x80 * 8 + 2)));
    // A missing gate for a fault: EXT is set.
    let mut m = Machine::long(0);
    m.idt(6, 0, 0);
    assert_eq!(fault64(&mut m, &[0x0f, 0x0b]), (13, Some(6 * 8 + 3)));
}

#[test]
fn double_and_triple_faults() {
    let mut m = Machine::long(0);
    m.idt(13, 0x0e, handler(13));
    // #GP, then #NP in its delivery.
    assert_eq!(fault64(&mut m, &[0x0f, 0x22, 0xc0]), (8, Some(0)));
    let mut m = Machine::long(0);
    m.idt(13, 0x0e, handler(13));
    m.idt(8, 0x0e, handler(8));
    m.put(CODE, &[0x0f, 0x22, 0xc0]);
    assert_eq!(m.run(10).stop, Stop::Shutdown);
    // A page fault whose delivery page-faults.
    let mut m = Machine::long(0);
    m.cpu.regs[4] = 0x40_0000_0000;
    assert_eq!(m.after(&[0x0f, 0x0b]).stop, Stop::Shutdown);
}

#[test]
fn page_faults_say_why() {
    // (level, what the leaf has, what is done, error code)
    let cases: &[(u8, u64, &[u8], u64)] = &[
        (0, 0, &[0x8b, 0x03], 0),
        (0, 0, &[0x89, 0x03], 2),
        (3, 0, &[0x8b, 0x03], 4),
        (3, 0, &[0x89, 0x03], 6),
        (3, PTE_P, &[0x8b, 0x03], 5),
        (3, PTE_P | PTE_U, &[0x89, 0x03], 7),
        (0, PTE_P, &[0x89, 0x03], 3),
        (0, PTE_P | 1 << 51, &[0x8b, 0x03], 9),
        (3, PTE_P | PTE_U | 1 << 45, &[0x89, 0x03], 15),
        (0, PTE_P | PTE_NX, &[0xff, 0xe3], 0x11),
        (3, PTE_P | PTE_U | PTE_NX, &[0xff, 0xe3], 0x15),
        (3, 0, &[0xff, 0xe3], 0x14),
    ];
    for &(cpl, leaf, bytes, error) in cases {
        if bytes[0] == 0xff {
            // Jumps need a group that is tested elsewhere: go there by hand.
            let mut m = Machine::long(cpl);
            m.map(TEST_PAGE, leaf);
            m.cpu.set_rip(TEST_PAGE);
            m.halted();
            assert_eq!(m.taken(), (14, Some(error)), "{leaf:x}");
            assert_eq!(m.cpu.cr2, TEST_PAGE);
            continue;
        }
        let mut m = Machine::long(cpl);
        m.map(TEST_PAGE, leaf);
        m.cpu.regs[3] = TEST_PAGE + 0x123;
        assert_eq!(fault64(&mut m, bytes), (14, Some(error)), "{leaf:x} {bytes:02x?}");
        assert_eq!(m.cpu.cr2, TEST_PAGE + 0x123);
    }
}

#[test]
fn smep_smap_and_wp() {
    let user = PTE_P | PTE_U | PTE_W;
    let mut m = Machine::long_with(0, Model::Max);
    m.map(TEST_PAGE, user);
    m.cpu.cr4 |= cr4::SMAP;
    m.cpu.regs[3] = TEST_PAGE;
    assert_eq!(fault64(&mut m, &[0x8b, 0x03]), (14, Some(1)));
    // STAC suspends it, CLAC brings it back.
    let mut m = Machine::long_with(0, Model::Max);
    m.map(TEST_PAGE, user);
    m.cpu.cr4 |= cr4::SMAP;
    m.cpu.regs[3] = TEST_PAGE;
    let c = [0x0f, 0x01, 0xcb, 0x8b, 0x03, 0x0f, 0x01, 0xca, 0x8b, 0x03];
    assert_eq!(fault64(&mut m, &c), (14, Some(1)));
    assert_eq!(m.frame64(true).rip, CODE + 8);
    // AC does not excuse an implicit access: the GDT lies on a user page.
    let mut m = Machine::long_with(0, Model::Max);
    m.map(TEST_PAGE, user);
    m.copy_page(GDT, m.frame_of_test_page());
    m.cpu.gdtr.base = TEST_PAGE + GDT % 4096;
    m.cpu.cr4 |= cr4::SMAP;
    m.cpu.rflags |= bit::AC;
    m.put(CODE, &[0x8e, 0xd8]);
    m.cpu.regs[0] = DATA32;
    // The delivery cannot read the descriptor either: shutdown.
    assert_eq!(m.run(5).stop, Stop::Shutdown);
    let mut m = Machine::long_with(0, Model::Max);
    m.map(TEST_PAGE, user);
    m.cpu.cr4 |= cr4::SMEP;
    m.cpu.set_rip(TEST_PAGE);
    m.halted();
    assert_eq!(m.taken(), (14, Some(0x11)));
    // Without WP a supervisor writes read-only pages.
    let mut m = Machine::long(0);
    m.map(TEST_PAGE, PTE_P);
    m.cpu.cr0 &= !cr0::WP;
    m.cpu.regs[3] = TEST_PAGE;
    m.put(CODE, &[0x89, 0x03, 0xf4]);
    m.halted();
    assert_eq!(m.cpu.rip(), CODE + 3);
}

#[test]
fn accessed_and_dirty_bits() {
    let mut m = Machine::long(0);
    m.map(TEST_PAGE, PTE_P | PTE_W);
    m.cpu.regs[3] = TEST_PAGE;
    m.put(CODE, &[0x8b, 0x03, 0xf4, 0x89, 0x03, 0xf4]);
    m.halted();
    assert_eq!(m.leaf(TEST_PAGE) & 0x60, 0x20);
    m.resume();
    assert_eq!(m.leaf(TEST_PAGE) & 0x60, 0x60);
    // Cleared without a flush: set again by the next access.
    m.set_leaf(TEST_PAGE, m.leaf(TEST_PAGE) & !0x60);
    m.cpu.set_rip(CODE + 3);
    m.resume();
    assert_eq!(m.leaf(TEST_PAGE) & 0x60, 0x60);
}

#[test]
fn a_stored_page_table_entry_counts_at_the_next_instruction() {
    let mut m = Machine::long(0);
    m.map(TEST_PAGE, PTE_P | PTE_W);
    m.map(PT_WINDOW, PTE_P | PTE_W);
    m.point(PT_WINDOW, m.table_of(TEST_PAGE));
    m.cpu.regs[3] = TEST_PAGE;
    m.cpu.regs[6] = PT_WINDOW + (TEST_PAGE >> 12 & 511) * 8;
    m.cpu.regs[2] = m.leaf(TEST_PAGE) & !PTE_W;
    // A store that works, the entry made read-only, a store that faults.
    m.cpu.regs[0] = 0x55;
    m.put(CODE, &[0x89, 0x03, 0x48, 0x89, 0x16, 0x89, 0x03]);
    m.halted();
    assert_eq!(m.taken(), (14, Some(3)));
    assert_eq!(m.frame64(true).rip, CODE + 5);
}

/// The stack lies in the page table that maps it: what an interrupt's first pushes store there, its others find.
#[test]
fn a_table_entry_stored_by_a_step_counts_in_the_rest_of_the_step() {
    let mut m = Machine::long(0);
    m.map(PT_WINDOW, PTE_P | PTE_W);
    m.point(PT_WINDOW, m.table_of(PT_WINDOW));
    let own = PT_WINDOW + (PT_WINDOW >> 12 & 511) * 8;
    // SS or RSP is stored over the entry: not present. No other frame can be pushed then.
    m.cpu.regs[4] = (own + 16) & !15;
    m.cpu.regs[6] = PT_WINDOW + (PT_WINDOW >> 12 & 511 ^ 256) * 8;
    // mov [rsi], rdi, so that the place is known, and int3.
    m.put(CODE, &[0x48, 0x89, 0x3e, 0x48, 0x89, 0x3e, 0xcc]);
    m.cpu.set_rip(CODE);
    assert_eq!(m.run(10).stop, Stop::Shutdown);
}

/// A loop changes an operand, then an opcode, before it comes to them, so often that it is not kept in any cache.
#[test]
fn a_loop_that_rewrites_itself_runs_as_it_is_each_time() {
    let mut m = Machine::long(0);
    let (operand, opcode) = (CODE as u32 + 13, CODE as u32 + 31);
    // MOV ECX, 1000; MOV [operand], ECX; MOV EAX, 0; ADD EBX, EAX; DEC ECX; JNZ back
    let mut code = vec![0xb9, 0xe8, 3, 0, 0, 0x89, 0x0c, 0x25];
    code.extend(operand.to_le_bytes());
    code.extend([0xb8, 0, 0, 0, 0, 0x01, 0xc3, 0xff, 0xc9, 0x75, 0xee]);
    // XOR BYTE [opcode], 8: INC ESI, or DEC ESI
    code.extend([0x80, 0x34, 0x25]);
    code.extend((opcode + 1).to_le_bytes());
    code.extend([8, 0xff, 0xc6]);
    // INC ECX; CMP ECX, 1001; JNE back
    code.extend([0xff, 0xc1, 0x81, 0xf9, 0xe9, 3, 0, 0, 0x75, 0xec]);
    m.put(CODE, &code);
    m.cpu.set_rip(CODE);
    (m.cpu.regs[3], m.cpu.regs[6]) = (0, 0);
    let steps = 1 + 1000 * 5 + 1001 * 5;
    assert_eq!(m.run(steps).steps, steps);
    assert_eq!(m.cpu.rip(), CODE + code.len() as u64);
    assert_eq!(m.cpu.regs[3], 500_500);
    assert_eq!(m.cpu.regs[6] as u32, -1i32 as u32, "501 times DEC, 500 times INC");
}

/// Also where its code is not kept.
#[test]
fn a_repeated_instruction_that_overwrites_itself_is_repeated_no_more() {
    let mut m = Machine::long(0);
    let rep = CODE as u32 + 33;
    // MOV ECX, 20; MOV [operand], ECX; MOV EAX, 0; DEC ECX; JNZ back
    let mut code = vec![0xb9, 20, 0, 0, 0, 0x89, 0x0c, 0x25];
    code.extend((CODE as u32 + 13).to_le_bytes());
    code.extend([0xb8, 0, 0, 0, 0, 0xff, 0xc9, 0x75, 0xf0]);
    // MOV ECX, 8; MOV EDI, rep; MOV AL, 90H; REP STOSB, which becomes NOP; STOSB
    code.extend([0xb9, 8, 0, 0, 0, 0xbf]);
    code.extend(rep.to_le_bytes());
    code.extend([0xb0, 0x90, 0xf3, 0xaa]);
    assert_eq!(CODE + code.len() as u64 - 2, rep.into());
    m.put(CODE, &code);
    m.cpu.set_rip(CODE);
    let steps = 1 + 20 * 4 + 3 + 3;
    assert_eq!(m.run(steps).steps, steps);
    assert_eq!(m.cpu.rip(), u64::from(rep) + 2);
    assert_eq!((m.cpu.regs[1], m.cpu.regs[7]), (7, u64::from(rep) + 2));
}

/// Two pages that lie in one frame: an instruction that goes on from one to the other has both parts of its code there.
#[test]
fn an_instruction_across_pages_of_the_same_frame_is_overwritten_at_either_end() {
    let mut m = Machine::long(0);
    m.map(TEST_PAGE, PTE_P | PTE_W);
    m.set_leaf(TEST_PAGE + 0x1000, m.leaf(TEST_PAGE));
    // MOV AL, 11H from the last byte on; MOV [RSI], DL; JMP RDI.
    let frame = m.leaf(TEST_PAGE) & 0xffff_f000;
    m.put(frame + 0xfff, &[0xb0]);
    m.put(frame, &[0x11, 0x88, 0x16, 0xff, 0xe7]);
    m.cpu.regs[2] = 0x22;
    m.cpu.regs[6] = TEST_PAGE;
    m.cpu.regs[7] = TEST_PAGE + 0xfff;
    m.cpu.set_rip(TEST_PAGE + 0xfff);
    m.run(1);
    assert_eq!(m.cpu.regs[0] & 0xff, 0x11);
    m.run(3);
    assert_eq!((m.cpu.regs[0] & 0xff, m.cpu.rip()), (0x22, TEST_PAGE + 0x1001));
    // MOV AH, 22H
    m.cpu.regs[2] = 0xb4;
    m.cpu.regs[6] = TEST_PAGE + 0xfff;
    m.run(3);
    assert_eq!(m.cpu.regs[0] & 0xffff, 0x2222);
}

#[test]
fn protected_mode_gates_push_by_their_size() {
    // 16-bit interrupt gate, same level.
    let mut m = Machine::protected(0);
    m.idt32(0x80, 0x86, CODE32, handler(0x80));
    m.cpu.rflags |= bit::IF;
    m.put(CODE, &[0xcd, 0x80]);
    m.halted();
    assert_eq!(m.cpu.regs[4], STACK - 6);
    assert_eq!(m.u16(STACK - 6), CODE as u16 + 2);
    assert_eq!(m.cpu.rflags & bit::IF, 0);
    // 32-bit trap gate from level 3: the stack of the TSS, IF stays.
    let mut m = Machine::protected(3);
    m.idt32(0x80, 0xef, CODE32, handler(0x80));
    m.cpu.rflags |= bit::IF;
    m.put(CODE, &[0xcd, 0x80]);
    m.halted();
    assert_eq!(m.cpu.regs[4], KERNEL_STACK - 20);
    assert_eq!(m.u32(KERNEL_STACK - 4), DATA_USER as u32 | 3);
    assert_eq!(m.u32(KERNEL_STACK - 8), USER_STACK as u32);
    assert_eq!(m.u32(KERNEL_STACK - 16), CODE32_USER as u32 | 3);
    assert_eq!(m.cpu.rflags & bit::IF, bit::IF);
    // IRETD returns, and drops segments that level 3 may not use.
    m.cpu.segs[usize::from(seg::ES)] = *m.cpu.seg(seg::SS);
    m.put(handler(0x80) + 1, &[0xcf]);
    m.put(CODE + 2, &[0x0f, 0x0b]);
    m.idt32(6, 0x8e, CODE32, handler(6));
    m.resume();
    assert_eq!(m.taken32().0, 6);
    assert_eq!(m.cpu.seg(seg::ES).selector, 0);
}

#[test]
fn segment_loads_check_what_they_load() {
    // (register's ModRM, selector, vector, error)
    let cases: &[(u8, u64, u8, u16)] = &[
        (0xd8, 0x1000, 13, 0x1000),
        (0xd8, TSS, 13, TSS as u16),
        (0xd8, NOT_PRESENT, 11, NOT_PRESENT as u16),
        (0xd8, EXECUTE_ONLY, 13, EXECUTE_ONLY as u16),
        (0xd0, 0, 13, 0),
        (0xd0, CODE32, 13, CODE32 as u16),
        (0xd0, DATA_USER | 3, 13, DATA_USER as u16),
        (0xd0, NOT_PRESENT, 12, NOT_PRESENT as u16),
        (0xd8, 4 | 8, 13, 12),
    ];
    for &(modrm, selector, vector, error) in cases {
        let mut m = Machine::protected(0);
        m.cpu.regs[0] = selector;
        m.put(CODE, &[0x8e, modrm]);
        m.halted();
        assert_eq!(m.taken32(), (vector, Some(error.into())), "{modrm:x} {selector:x}");
        assert_eq!(m.u32(m.cpu.regs[4] + 4), CODE as u32);
    }
    // A good one sets the accessed bit.
    let mut m = Machine::protected(0);
    m.cpu.regs[0] = DATA_USER;
    assert_eq!(m.u8(GDT + DATA_USER + 5) & 1, 0);
    m.put(CODE, &[0x8e, 0xd8, 0xf4]);
    m.halted();
    assert_eq!(m.u8(GDT + DATA_USER + 5) & 1, 1);
    // MOV SS casts a shadow.
    let mut m = Machine::protected(0);
    m.cpu.regs[0] = DATA32;
    m.put(CODE, &[0x8e, 0xd0, 0xf4]);
    assert_eq!(m.run(1).stop, Stop::Budget);
    assert_eq!(m.cpu.shadow, Shadow::MovSs);
}

#[test]
fn call_gates_copy_parameters() {
    let mut m = Machine::protected(3);
    // 32-bit call gate to level 0 with two parameters.
    m.call_gate(CALL_GATE, 0xec, CODE32, 0x9000, 2);
    m.put(0x9000, &[0xf4, 0xca, 8, 0]);
    m.put32(USER_STACK - 8, 0x11);
    m.put32(USER_STACK - 4, 0x22);
    m.cpu.regs[4] = USER_STACK - 8;
    let mut c = vec![0x9a, 0, 0, 0, 0];
    c.extend((CALL_GATE as u16 | 3).to_le_bytes());
    c.extend([0x0f, 0x0b]);
    m.put(CODE, &c);
    m.halted();
    assert_eq!(m.cpu.rip(), 0x9001);
    let words: Vec<u32> = (0..6).map(|i| m.u32(m.cpu.regs[4] + 4 * i)).collect();
    assert_eq!(
        words,
        [CODE as u32 + 7, CODE32_USER as u32 | 3, 0x11, 0x22, USER_STACK as u32 - 8, DATA_USER as u32 | 3]
    );
    // RETF 8 goes back out and releases the parameters of both stacks.
    m.resume();
    assert_eq!(m.taken32().0, 6);
    assert_eq!(m.u32(m.cpu.regs[4]), CODE as u32 + 7);
    assert_eq!(m.u32(m.cpu.regs[4] + 12), USER_STACK as u32);
}

#[test]
fn tasks_switch_and_return() {
    for through_gate in [false, true] {
        let mut m = Machine::protected(0);
        m.second_task(0x9100, 0);
        m.put(0x9100, &[0xf4, 0xcf]);
        m.cpu.regs[1] = 0x1234;
        let target = if through_gate { TASK_GATE } else { TSS2 };
        let mut c = vec![0x9a, 0, 0, 0, 0];
        c.extend((target as u16).to_le_bytes());
        c.push(0xf4);
        m.put(CODE, &c);
        m.halted();
        assert_eq!(m.cpu.rip(), 0x9101);
        assert_eq!(u64::from(m.cpu.seg(seg::TR).selector), TSS2);
        assert_eq!(m.u16(TSS2_BASE), TSS as u16);
        assert_eq!(m.u32(TSS_BASE + 0x20), CODE as u32 + 7);
        assert_eq!(m.u32(TSS_BASE + 0x2c), 0x1234);
        assert_eq!(m.cpu.rflags & bit::NT, bit::NT);
        assert_ne!(m.cpu.cr0 & cr0::TS, 0);
        assert_eq!(m.u8(GDT + TSS2 + 5) & 15, 0xb);
        assert_eq!(m.u8(GDT + TSS + 5) & 15, 0xb);
        // IRET with NT goes back.
        m.resume();
        assert_eq!(m.cpu.rip(), CODE + 8);
        assert_eq!(m.cpu.regs[1], 0x1234);
        assert_eq!(m.u8(GDT + TSS2 + 5) & 15, 9);
        assert_eq!(m.cpu.rflags & bit::NT, 0);
    }
    // An exception through a task gate pushes its error code on the new task's stack.
    let mut m = Machine::protected(0);
    m.second_task(0x9100, 0);
    m.put(0x9100, &[0xf4]);
    m.idt32(13, 0x85, TSS2, 0);
    m.put(CODE, &[0x8e, 0xd8]);
    m.cpu.regs[0] = TSS;
    m.halted();
    assert_eq!(m.cpu.rip(), 0x9101);
    assert_eq!(m.u32(m.cpu.regs[4]), TSS as u32);
    assert_eq!(m.u32(TSS_BASE + 0x20), CODE as u32);
    // A bad SS in the new task: #TS there, handled in its context.
    let mut m = Machine::protected(0);
    m.second_task(0x9100, 0x1000);
    m.put(CODE, &[0xea, 0, 0, 0, 0, TSS2 as u8, 0]);
    assert_eq!(m.run(1).stop, Stop::Shutdown);
}

#[test]
fn faults_of_a_new_task_are_its_own() {
    // Where in the TSS, what is put there (error code of the #TS).
    const CS: u64 = 0x4c;
    const DS: u64 = 0x54;
    const LDT: u64 = 0x60;
    for (field, bad) in [(CS, DATA32), (CS, 0), (DS, 0x1000), (LDT, DATA32)] {
        let mut m = Machine::protected(0);
        m.second_task(0x9100, 0);
        m.put32(TSS2_BASE + field, bad as u32);
        // The fault comes instead of the T flag's trap.
        m.put32(TSS2_BASE + 0x64, 1);
        m.put(CODE, &[0xea, 0, 0, 0, 0, TSS2 as u8, 0]);
        m.halted();
        assert_eq!(m.taken32(), (10, Some(bad)), "field {field:#x}");
        // The frame lies on the new task's stack and names its first instruction.
        assert_eq!(m.cpu.regs[4], 0xb800 - 16);
        assert_eq!(m.u32(m.cpu.regs[4] + 4), 0x9100);
        assert_eq!(u64::from(m.cpu.seg(seg::TR).selector), TSS2);
        assert_eq!(m.u8(GDT + TSS2 + 5) & 15, 0xb);
        assert_eq!(m.u8(GDT + TSS + 5) & 15, 9);
        assert_eq!(m.cpu.dr[6] & 0x8000, 0);
    }
    // IRET with NT, refused by the old task (no TSS) and in the new one (CS): it unblocks NMIs.
    for (link, code, rip) in [(DATA32, DATA32, CODE), (TSS2, EXECUTE_ONLY + 0x1000, 0x9100)] {
        let mut m = Machine::protected(0);
        m.second_task(0x9100, 0);
        m.put64(GDT + TSS2, m.u64(GDT + TSS2) | 2 << 40);
        m.put32(TSS2_BASE + CS, EXECUTE_ONLY as u32 + 0x1000);
        m.put(TSS_BASE, &(link as u16).to_le_bytes());
        m.put(CODE, &[0xcf]);
        m.cpu.rflags |= bit::NT;
        m.cpu.nmi_blocked = true;
        m.halted();
        assert_eq!(m.taken32(), (10, Some(code)));
        assert_eq!(m.u32(m.cpu.regs[4] + 4), rip as u32);
        assert!(!m.cpu.nmi_blocked);
    }
    // The T flag traps before the first instruction.
    let mut m = Machine::protected(0);
    m.second_task(0x9100, 0);
    m.put32(TSS2_BASE + 0x64, 1);
    m.put(CODE, &[0xea, 0, 0, 0, 0, TSS2 as u8, 0]);
    m.halted();
    assert_eq!(m.taken32(), (1, None));
    assert_eq!(m.u32(m.cpu.regs[4]), 0x9100);
    assert_eq!(m.cpu.dr[6] & 0xe00f, 0x8000);
}

#[test]
fn v86_mode() {
    // IRETD into it, INT n back out through a gate.
    let v86 = |vme: bool, iopl: u64| {
        let mut m = Machine::protected(0);
        m.idt32(0x21, 0xee, CODE32, handler(0x21));
        m.idt32(13, 0x8e, CODE32, handler(13));
        if vme {
            m.cpu.cr4 |= cr4::VME;
        }
        let frame: [u32; 9] = [
            0x10,
            0x100,
            (bit::VM | bit::IF | bit::ONE | iopl << 12) as u32,
            0x800,
            0x200,
            0x11,
            0x22,
            0x33,
            0x44,
        ];
        for (i, v) in frame.iter().enumerate() {
            m.put32(STACK - 36 + 4 * i as u64, *v);
        }
        m.cpu.regs[4] = STACK - 36;
        m.put(CODE, &[0xcf]);
        m.put(0x1010, &[0xcd, 0x21]);
        m
    };
    let mut m = v86(false, 3);
    m.run(1);
    assert!(m.cpu.v86() && m.cpu.cpl == 3);
    assert_eq!(m.cpu.seg(seg::CS).base, 0x1000);
    m.halted();
    assert_eq!(m.taken32().0, 0x21);
    let words: Vec<u32> = (0..9).map(|i| m.u32(KERNEL_STACK - 36 + 4 * i)).collect();
    assert_eq!(words[0], 0x12);
    assert_eq!(words[2] as u64 & bit::VM, bit::VM);
    assert_eq!(words[5..], [0x11, 0x22, 0x33, 0x44]);
    assert_eq!(m.cpu.seg(seg::DS).selector, 0);
    // Without IOPL 3: #GP(0).
    let mut m = v86(false, 0);
    m.halted();
    assert_eq!(m.taken32(), (13, Some(0)));
    // With VME and a clear bit in the redirection bitmap: the 8086 way.
    let mut m = v86(true, 0);
    m.put(0x21 * 4, &[0x00, 0x00, 0x00, 0x05]);
    m.put(0x5000, &[0xcf]);
    m.put(0x1012, &[0xfa, 0xcd, 0x22]);
    m.set_redirection(0x22);
    m.run(2);
    assert!(m.cpu.v86());
    assert_eq!(m.cpu.seg(seg::CS).selector, 0x500);
    assert_eq!(m.u16(0x2000 + 0x800 - 2) as u64 & bit::IOPL, bit::IOPL);
    // IRET and CLI work on VIF; INT 22H is redirected to the monitor.
    m.run(2);
    assert_eq!(m.cpu.rip(), 0x13);
    assert_ne!(m.cpu.rflags & bit::IF, 0);
    m.halted();
    assert_eq!(m.taken32(), (13, Some(0)));
}

#[test]
fn single_steps_and_breakpoints() {
    // TF traps after each instruction, with BS.
    let mut m = Machine::long(0);
    m.cpu.rflags |= bit::TF;
    m.put(CODE, &[0x89, 0xc0, 0x89, 0xc0]);
    m.halted();
    assert_eq!(m.taken(), (1, None));
    assert_eq!(m.frame64(false).rip, CODE + 2);
    assert_ne!(m.cpu.dr[6] & 1 << 14, 0);
    // An instruction breakpoint is a fault; RF passes it.
    let mut m = Machine::long(0);
    m.cpu.dr[0] = CODE + 2;
    m.cpu.dr[7] |= 1;
    m.put(CODE, &[0x89, 0xc0, 0x89, 0xc0, 0xf4]);
    m.put(handler(1), &[0xf4]);
    m.halted();
    assert_eq!(m.taken(), (1, None));
    assert_eq!(m.frame64(false).rip, CODE + 2);
    assert_eq!(m.frame64(false).flags & bit::RF, 0);
    let top = m.cpu.regs[4];
    m.put32(top + 16, (m.frame64(false).flags | bit::RF) as u32);
    m.put(handler(1) + 1, &[0x48, 0xcf]);
    m.resume();
    assert_eq!(m.cpu.rip(), CODE + 5);
    // DR7.GD.
    let mut m = Machine::long(0);
    m.cpu.dr[7] |= 1 << 13;
    assert_eq!(fault64(&mut m, &[0x0f, 0x21, 0xc0]), (1, None));
    assert_ne!(m.cpu.dr[6] & 1 << 13, 0);
    assert_eq!(m.frame64(false).rip, CODE);
    // DR4 is DR6 until CR4.DE.
    let mut m = Machine::long(0);
    m.put(CODE, &[0x0f, 0x21, 0xe0, 0xf4]);
    m.halted();
    assert_eq!(m.cpu.regs[0], 0xffff_0ff0);
    let mut m = Machine::long(0);
    m.cpu.cr4 |= cr4::DE;
    assert_eq!(fault64(&mut m, &[0x0f, 0x21, 0xe0]), (6, None));
    // A data breakpoint traps after the access.
    let mut m = Machine::long(0);
    m.cpu.dr[1] = TEST_PAGE;
    m.cpu.dr[7] |= 4 | 0xd << 20;
    m.map(TEST_PAGE, PTE_P | PTE_W);
    m.cpu.regs[3] = TEST_PAGE;
    assert_eq!(fault64(&mut m, &[0x89, 0x03]), (1, None));
    assert_eq!(m.frame64(false).rip, CODE + 2);
    assert_eq!(m.cpu.dr[6] & 15, 2);
}

#[test]
fn system_calls() {
    let mut m = Machine::long(3);
    m.cpu.msrs.star = (CODE64 << 32) | ((CODE64_USER - 16) | 3) << 48;
    m.cpu.msrs.lstar = 0x9200;
    m.cpu.msrs.fmask = bit::IF | bit::TF;
    m.cpu.rflags |= bit::IF | bit::TF;
    m.put(0x9200, &[0x48, 0x0f, 0x07]);
    m.put(CODE, &[0x0f, 0x05, 0x89, 0xc0]);
    // TF is masked: no trap in the kernel.
    m.run(1);
    assert_eq!((m.cpu.cpl, m.cpu.rip()), (0, 0x9200));
    assert_eq!(m.cpu.regs[1], CODE + 2);
    assert_eq!(m.cpu.rflags & (bit::IF | bit::TF), 0);
    // SYSRET restores it: the trap comes at once.
    m.run(2);
    m.halted();
    assert_eq!(m.taken(), (1, None));
    assert_eq!(m.frame64(false).rip, CODE + 2);
    assert_eq!(m.frame64(false).cs, CODE64_USER | 3);
    // Without SCE.
    let mut m = Machine::long(3);
    m.cpu.msrs.efer &= !efer::SCE;
    assert_eq!(fault64(&mut m, &[0x0f, 0x05]), (6, None));
    // SYSENTER in long mode: not on AMD's processors.
    let mut m = Machine::long(3);
    assert_eq!(fault64(&mut m, &[0x0f, 0x34]), (6, None));
    let mut m = Machine::long_with(3, Model::Nehalem);
    m.cpu.msrs.sysenter_cs = CODE64;
    m.cpu.msrs.sysenter_eip = 0x9300;
    m.cpu.msrs.sysenter_esp = STACK;
    m.put(0x9300, &[0xf4]);
    m.put(CODE, &[0x0f, 0x34]);
    m.halted();
    assert_eq!((m.cpu.cpl, m.cpu.rip(), m.cpu.regs[4]), (0, 0x9301, STACK));
}

#[test]
fn control_registers_refuse_nonsense() {
    // (CR number, value)
    for &(cr, v) in &[
        (0u8, cr0::PG),
        (0, cr0::NW | cr0::PE | cr0::PG),
        (0, 1 << 32),
        (0, 0x11),
        (4, 1 << 15),
        (4, 0),
        (3, 1 << 45),
        (8, 16),
    ] {
        let mut m = Machine::long(0);
        m.cpu.regs[0] = v;
        let c: Vec<u8> =
            if cr == 8 { vec![0x44, 0x0f, 0x22, 0xc0] } else { vec![0x0f, 0x22, 0xc0 | cr << 3] };
        assert_eq!(fault64(&mut m, &c), (13, Some(0)), "CR{cr} {v:x}");
    }
    // EFER's unknown bits, LME under paging, an unknown MSR.
    for (msr, v) in
        [(0xc000_0080u32, 1u64 << 1 | 0xd00), (0xc000_0080, 0x800), (0xdead, 0), (0xc000_0082, 1 << 50)]
    {
        let mut m = Machine::long(0);
        m.cpu.regs[1] = msr.into();
        m.cpu.regs[0] = v & 0xffff_ffff;
        m.cpu.regs[2] = v >> 32;
        assert_eq!(fault64(&mut m, &[0x0f, 0x30]), (13, Some(0)), "{msr:x} {v:x}");
    }
}

#[test]
fn ports_are_checked_by_the_bitmap() {
    for (port, ok) in [(0x60u64, true), (0x61, false)] {
        let mut m = Machine::long(3);
        m.io_bitmap(&[0x60]);
        m.cpu.regs[2] = port;
        m.put(CODE, &[0xec, 0x0f, 0x0b]);
        m.halted();
        assert_eq!(m.taken(), if ok { (6, None) } else { (13, Some(0)) });
    }
    // REP OUTSB: one step and one access an iteration.
    let mut m = Machine::long(0);
    m.map(TEST_PAGE, PTE_P | PTE_W);
    m.cpu.regs[6] = TEST_PAGE;
    m.cpu.regs[2] = 0x3f8;
    m.cpu.regs[1] = 3;
    m.put(CODE, &[0xf3, 0x6e, 0xf4]);
    m.put(m.frame_of_test_page(), b"abc");
    let steps = m.halted();
    assert_eq!(steps, 4);
    assert_eq!(m.bus.out, [(0, 0x3f8, 0x61), (1, 0x3f8, 0x62), (2, 0x3f8, 0x63)]);
    assert_eq!(m.cpu.regs[1], 0);
}

#[test]
fn interrupts_wait_for_the_shadow() {
    let mut m = Machine::long(0);
    m.idt(0x30, 0x8e, handler(0x30));
    m.cpu.intr = true;
    m.bus.vector = Some(0x30);
    // STI; one more instruction; then the interrupt.
    m.put(CODE, &[0xfb, 0x89, 0xc0, 0x89, 0xc0]);
    m.halted();
    assert_eq!(m.taken(), (0x30, None));
    assert_eq!(m.frame64(false).rip, CODE + 3);
    // NMI is blocked until IRET.
    let mut m = Machine::long(0);
    m.cpu.nmi_pending = true;
    m.put(CODE, &[0xf4]);
    m.run(1);
    assert_eq!(m.cpu.rip(), handler(2));
    m.cpu.nmi_pending = true;
    m.put(handler(2), &[0x48, 0xcf]);
    m.run(1);
    assert_eq!(m.cpu.rip(), CODE);
    m.run(1);
    assert_eq!(m.cpu.rip(), handler(2));
}

#[test]
fn pae_and_two_level_paging() {
    // PSE: a 4 MiB page above 4 GiB's limit of 32 bits needs PSE-36; bit 21 is reserved.
    for (entry, vector) in [(0x83u32, 6u8), (0x83 | 1 << 21, 14)] {
        let mut m = Machine::protected(0);
        m.put32(PML4, 0x83);
        m.put32(PML4 + 4 * 4, entry);
        m.cpu.cr3 = PML4;
        m.cpu.cr4 |= cr4::PSE;
        m.cpu.cr0 |= cr0::PG | cr0::WP;
        m.cpu.regs[3] = 4 << 22;
        m.put(CODE, &[0x8b, 0x03, 0x0f, 0x0b]);
        m.halted();
        assert_eq!(m.taken32().0, vector);
        if vector == 14 {
            assert_eq!(m.taken32().1, Some(9));
        }
    }
    // PAE: reserved bits in a page-directory-pointer entry refuse the load of CR3.
    for (pdpte, vector) in [(1u32, 6u8), (1 | 2, 13)] {
        let mut m = Machine::protected(0);
        m.put32(PML4, PML4 as u32 + 0x1000 | pdpte);
        m.put32(PML4 + 4, 0);
        m.put32(PML4 + 0x1000, 0x83);
        m.cpu.pdptrs = [PML4 + 0x1001, 0, 0, 0];
        m.cpu.cr4 |= cr4::PAE;
        m.cpu.cr0 |= cr0::PG;
        m.cpu.regs[0] = PML4;
        m.put(CODE, &[0x0f, 0x22, 0xd8, 0x0f, 0x0b]);
        m.halted();
        assert_eq!(m.taken32().0, vector);
    }
}

#[test]
fn lar_lsl_verr_verw_arpl() {
    let mut m = Machine::protected(3);
    let z = |m: &Machine| m.cpu.flags.zf();
    m.cpu.regs[0] = DATA_USER;
    let mut check = |bytes: &[u8], ok: bool, result: Option<u64>| {
        m.cpu.regs[1] = 0xbad;
        m.cpu.set_rip(CODE);
        m.put(CODE, bytes);
        m.run(1);
        assert_eq!(z(&m), ok, "{bytes:02x?}");
        assert_eq!(m.cpu.regs[1], result.unwrap_or(0xbad), "{bytes:02x?}");
    };
    check(&[0x0f, 0x02, 0xc8], true, Some(0x00cf_f200));
    check(&[0x0f, 0x03, 0xc8], true, Some(0xffff_ffff));
    check(&[0x0f, 0x00, 0xe0], true, None);
    check(&[0x0f, 0x00, 0xe8], true, None);
    m.cpu.regs[0] = DATA32;
    let mut check = |bytes: &[u8]| {
        m.cpu.set_rip(CODE);
        m.put(CODE, bytes);
        m.run(1);
        assert!(!z(&m), "{bytes:02x?}");
    };
    check(&[0x0f, 0x02, 0xc8]);
    check(&[0x0f, 0x03, 0xc8]);
    check(&[0x0f, 0x00, 0xe0]);
    m.cpu.regs[0] = 0x20;
    m.cpu.regs[1] = 0x33;
    m.cpu.set_rip(CODE);
    m.put(CODE, &[0x63, 0xc8]);
    m.run(1);
    assert!(m.cpu.flags.zf());
    assert_eq!(m.cpu.regs[usize::from(gpr::RAX)], 0x23);
}

#[test]
fn models_have_their_instructions() {
    use Model::{I486, Max, Nehalem, Pentium3, Qemu64};
    let all = [I486, Pentium3, Qemu64, Nehalem, Max];
    let cases: &[(&[u8], &[Model])] = &[
        // CPUID, CMOVcc, RDTSC, multi-byte NOP
        (&[0x0f, 0xa2], &all),
        (&[0x0f, 0x44, 0xc0], &all[1..]),
        (&[0x0f, 0x31], &all[1..]),
        (&[0x0f, 0x1f, 0xc0], &all[1..]),
        // PAUSE and ENDBR64 are NOPs where they mean nothing.
        (&[0xf3, 0x90], &all),
        (&[0xf3, 0x0f, 0x1e, 0xfa], &all),
        // REP BSF stays BSF.
        (&[0xf3, 0x0f, 0xbc, 0xc0], &all),
        // SYSENTER (#GP without its MSR), RDTSCP, RDRAND, POPCNT
        (&[0x0f, 0x01, 0xf9], &[Max]),
        (&[0x0f, 0xc7, 0xf0], &[Max]),
        (&[0xf3, 0x0f, 0xb8, 0xc0], &[Nehalem, Max]),
        // CLAC, XGETBV (#UD without CR4.OSXSAVE), VMCALL, VMMCALL
        (&[0x0f, 0x01, 0xca], &[Max]),
        (&[0x0f, 0x01, 0xc1], &[]),
        (&[0x0f, 0x01, 0xd9], &[]),
        (&[0x0f, 0xaa], &[]),
    ];
    for &(bytes, models) in cases {
        for model in all {
            let mut m = Machine::protected(0);
            m.cpu.model = model;
            m.put(CODE, bytes);
            m.run(1);
            let undefined = m.cpu.rip() == handler(6);
            assert_eq!(!undefined, models.contains(&model), "{model:?} {bytes:02x?}");
        }
    }
}

#[test]
fn cpuid_names_the_vendor_and_the_size_of_addresses() {
    let mut m = Machine::long(0);
    m.put(CODE, &[0x0f, 0xa2, 0xf4]);
    m.halted();
    let [b, d, c] = [3, 2, 1].map(|r| (m.cpu.regs[r] as u32).to_le_bytes());
    assert_eq!([b, d, c].concat(), b"AuthenticAMD");
    m.cpu.regs[0] = 0x8000_0008;
    m.cpu.set_rip(CODE);
    m.resume();
    assert_eq!(m.cpu.regs[0], 0x3028);
}

#[test]
fn virtual_interrupts_of_protected_mode() {
    // PVI at level 3 with IOPL 0: CLI and STI work on VIF, VIP makes STI fault.
    let mut m = Machine::protected(3);
    m.cpu.cr4 |= cr4::PVI;
    m.put(CODE, &[0xfb, 0xfa, 0xfb]);
    m.run(1);
    assert_eq!(m.cpu.rflags & (bit::VIF | bit::IF), bit::VIF);
    m.run(1);
    assert_eq!(m.cpu.rflags & bit::VIF, 0);
    m.cpu.rflags |= bit::VIP;
    m.run(1);
    assert_eq!(m.cpu.rip(), handler(13));
}

#[test]
fn far_returns_and_compatibility_mode() {
    // From 64-bit code to compatibility code and to 64-bit code at level 3.
    for (target, l) in [(CODE32_USER, false), (CODE64_USER, true)] {
        let mut m = Machine::long(3);
        m.cpu.segs[usize::from(seg::CS)].selector = CODE64 as u16;
        m.cpu.segs[usize::from(seg::CS)].rights &= !(3 << 5);
        m.cpu.segs[usize::from(seg::SS)].selector = DATA32 as u16;
        m.cpu.cpl = 0;
        m.cpu.regs[4] = STACK - 32;
        for (i, v) in [0x9400, target | 3, USER_STACK, DATA_USER | 3].iter().enumerate() {
            m.put64(STACK - 32 + 8 * i as u64, *v);
        }
        m.put(CODE, &[0x48, 0xcb]);
        m.run(1);
        assert_eq!((m.cpu.rip(), m.cpu.cpl, m.cpu.mode64()), (0x9400, 3, l));
        assert_eq!(m.cpu.regs[4], USER_STACK);
    }
    // A selector with L and D both set is refused.
    let mut m = Machine::long(0);
    m.put(GDT + CODE32 + 6, &[0xef]);
    m.put64(STACK - 16, 0x9400);
    m.put64(STACK - 8, CODE32);
    m.cpu.regs[4] = STACK - 16;
    assert_eq!(fault64(&mut m, &[0x48, 0xcb]), (13, Some(CODE32)));
}

#[test]
fn debug_traps_around_loads_of_ss() {
    // The single-step trap after MOV SS is lost; the next instruction's comes.
    let mut m = Machine::long(0);
    m.cpu.rflags |= bit::TF;
    m.cpu.regs[0] = DATA32;
    m.put(CODE, &[0x8e, 0xd0, 0x89, 0xc0, 0x89, 0xc0]);
    m.halted();
    assert_eq!(m.taken(), (1, None));
    assert_eq!(m.frame64(false).rip, CODE + 4);
    // A data breakpoint hit by MOV SS waits for the next instruction, and is taken in the
    // handler when that is INT3.
    let mut m = Machine::long(0);
    m.map(TEST_PAGE, PTE_P | PTE_W);
    m.put(m.frame_of_test_page(), &(DATA32 as u16).to_le_bytes());
    m.cpu.dr[0] = TEST_PAGE;
    m.cpu.dr[7] |= 1 | 0x7 << 16;
    m.cpu.regs[3] = TEST_PAGE;
    m.put(CODE, &[0x8e, 0x13, 0xcc]);
    m.halted();
    assert_eq!(m.taken(), (1, None));
    assert_eq!(m.frame64(false).rip, handler(3));
    // A store that faults leaves no trap behind.
    let mut m = Machine::long(0);
    m.map(TEST_PAGE + 0x1000, 0);
    m.map(TEST_PAGE, PTE_P | PTE_W);
    m.cpu.dr[0] = TEST_PAGE + 0xff8;
    m.cpu.dr[7] |= 1 | 0xb << 16;
    m.cpu.regs[3] = TEST_PAGE + 0xffe;
    assert_eq!(fault64(&mut m, &[0x89, 0x03]), (14, Some(2)));
    assert_eq!(m.cpu.cr2, TEST_PAGE + 0x1000);
}
