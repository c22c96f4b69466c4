//! Control instructions and the environment's memory images (SDM volume 1, section 8.3.11 and
//! figures 8-9 to 8-12).

use super::state::{Done, sw};
use crate::softfloat::F80;
use crate::x86::exec::{Exec, Flow};
use crate::x86::op::{Handler, Op};
use crate::x86::regs::{X87, cr0, gpr};
use crate::x86::trap::Trap;
use iced_x86::{Code, Instruction};

/// Bytes of the larger environment and of the registers after it.
const MAX_SAVE: usize = 28 + 80;

/// Which of the four images applies.
#[derive(Clone, Copy)]
struct Layout {
    /// 32-bit fields (28 bytes) instead of 16-bit ones (14 bytes).
    wide: bool,
    /// Linear addresses instead of selectors and offsets.
    real: bool,
}

impl Layout {
    fn new(ex: &Exec<'_>, wide: bool) -> Layout {
        Layout { wide, real: ex.cpu.real_segments() }
    }

    fn bytes(self) -> usize {
        if self.wide { 28 } else { 14 }
    }

    /// What the image must be aligned to.
    fn align(self) -> u64 {
        if self.wide { 4 } else { 2 }
    }

    /// The seven fields of the image.
    fn fields(self, x87: &X87) -> [u32; 7] {
        let linear = |selector: u16, offset: u64| (u32::from(selector) << 4).wrapping_add(offset as u32);
        let (ip, dp) = (x87.ip as u32, x87.dp as u32);
        let opcode = u32::from(x87.opcode);
        let pointers = match self {
            Layout { real: false, wide: true } => {
                let upper = 0xffff_0000;
                [ip, u32::from(x87.ip_selector) | opcode << 16, dp, u32::from(x87.dp_selector) | upper]
            }
            Layout { real: false, wide: false } => [ip, x87.ip_selector.into(), dp, x87.dp_selector.into()],
            Layout { real: true, wide } => {
                let ip = linear(x87.ip_selector, x87.ip);
                let dp = linear(x87.dp_selector, x87.dp);
                // Bits 31:16 of an address go to bits 27:12; the narrow image keeps four of them.
                let high = |v: u32| v >> 16 << 12;
                let upper = if wide { 0xffff_0000 } else { 0 };
                [ip & 0xffff | upper, high(ip) | opcode, dp & 0xffff | upper, high(dp)]
            }
        };
        let upper = if self.wide { 0xffff_0000 } else { 0 };
        let [a, b, c, d] = pointers;
        [
            u32::from(x87.control) | upper,
            u32::from(x87.status) | upper,
            u32::from(x87.tags()) | upper,
            a,
            b,
            c,
            d,
        ]
    }

    fn write(self, x87: &X87, image: &mut [u8]) {
        for (i, field) in self.fields(x87).into_iter().enumerate() {
            if self.wide {
                image[4 * i..4 * i + 4].copy_from_slice(&field.to_le_bytes());
            } else {
                image[2 * i..2 * i + 2].copy_from_slice(&(field as u16).to_le_bytes());
            }
        }
    }

    fn read(self, x87: &mut X87, image: &[u8]) {
        let field = |i: usize| {
            if self.wide {
                let b = &image[4 * i..];
                u32::from_le_bytes([b[0], b[1], b[2], b[3]])
            } else {
                u16::from_le_bytes([image[2 * i], image[2 * i + 1]]).into()
            }
        };
        x87.status = field(1) as u16;
        x87.set_tags(field(2) as u16);
        x87.set_control(field(0) as u16);
        let (a, b, c, d) = (field(3), field(4), field(5), field(6));
        if self.real {
            x87.ip = (a & 0xffff | b >> 12 << 16 & 0xffff_0000).into();
            x87.dp = (c & 0xffff | d >> 12 << 16 & 0xffff_0000).into();
            x87.ip_selector = 0;
            x87.dp_selector = 0;
            x87.opcode = b as u16 & 0x7ff;
        } else {
            x87.ip = a.into();
            x87.dp = c.into();
            x87.ip_selector = b as u16;
            x87.dp_selector = d as u16;
            if self.wide {
                x87.opcode = (b >> 16) as u16 & 0x7ff;
            }
        }
    }
}

fn store_image(ex: &mut Exec<'_>, op: &Op, layout: Layout, image: &[u8]) -> Result<(), Trap> {
    let lin = ex.x87_address(op, image.len(), layout.align(), true)?;
    ex.write_bytes(op.seg, lin, image)
}

fn load_image(ex: &mut Exec<'_>, op: &Op, layout: Layout, image: &mut [u8]) -> Result<(), Trap> {
    let lin = ex.x87_address(op, image.len(), layout.align(), false)?;
    ex.read_bytes(op.seg, lin, image)
}

fn fnstenv<const WIDE: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_x87()?;
    let layout = Layout::new(ex, WIDE);
    let mut image = [0; MAX_SAVE];
    layout.write(&ex.cpu.x87, &mut image);
    store_image(ex, op, layout, &image[..layout.bytes()])?;
    // All exceptions are masked afterwards.
    let control = ex.cpu.x87.control | sw::EXCEPTIONS;
    ex.cpu.x87.set_control(control);
    ex.update_ferr();
    Ok(Flow::Next)
}

fn fldenv<const WIDE: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    let layout = Layout::new(ex, WIDE);
    let mut image = [0; MAX_SAVE];
    load_image(ex, op, layout, &mut image[..layout.bytes()])?;
    layout.read(&mut ex.cpu.x87, &image);
    ex.update_ferr();
    Ok(Flow::Next)
}

fn fnsave<const WIDE: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_x87()?;
    let layout = Layout::new(ex, WIDE);
    let mut image = [0; MAX_SAVE];
    layout.write(&ex.cpu.x87, &mut image);
    let n = layout.bytes();
    for i in 0..8 {
        let at = n + 10 * usize::from(i);
        image[at..at + 10].copy_from_slice(&ex.cpu.x87.st(i).to_bytes());
    }
    store_image(ex, op, layout, &image[..n + 80])?;
    ex.cpu.x87.init();
    ex.update_ferr();
    Ok(Flow::Next)
}

fn frstor<const WIDE: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    let layout = Layout::new(ex, WIDE);
    let n = layout.bytes();
    let mut image = [0; MAX_SAVE];
    load_image(ex, op, layout, &mut image[..n + 80])?;
    layout.read(&mut ex.cpu.x87, &image);
    let used = ex.cpu.x87.used;
    for i in 0..8 {
        let at = n + 10 * usize::from(i);
        let mut bytes = [0; 10];
        bytes.copy_from_slice(&image[at..at + 10]);
        ex.cpu.x87.set_st(i, F80::from_bytes(bytes));
    }
    ex.cpu.x87.used = used;
    ex.update_ferr();
    Ok(Flow::Next)
}

fn fldcw(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    let control = ex.load::<u16>(op)?;
    ex.cpu.x87.set_control(control);
    ex.update_ferr();
    Ok(Flow::Next)
}

fn fnstcw(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_x87()?;
    let control = ex.cpu.x87.control;
    ex.store(op, control)?;
    Ok(Flow::Next)
}

fn fnstsw_mem(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.check_x87()?;
    let status = ex.cpu.x87.status;
    ex.store(op, status)?;
    Ok(Flow::Next)
}

fn fnstsw_ax(ex: &mut Exec<'_>, _: &Op) -> Done {
    ex.check_x87()?;
    let status = ex.cpu.x87.status;
    ex.set(gpr::RAX, status);
    Ok(Flow::Next)
}

fn fnclex(ex: &mut Exec<'_>, _: &Op) -> Done {
    ex.check_x87()?;
    ex.cpu.x87.status &= !(sw::EXCEPTIONS | sw::SF | sw::ES | sw::B);
    ex.update_ferr();
    Ok(Flow::Next)
}

fn fninit(ex: &mut Exec<'_>, _: &Op) -> Done {
    ex.check_x87()?;
    ex.cpu.x87.init();
    ex.update_ferr();
    Ok(Flow::Next)
}

/// The 8087's and 80287's FENI, FDISI, FSETPM: no operation since.
fn ignored(ex: &mut Exec<'_>, _: &Op) -> Done {
    ex.check_x87()?;
    Ok(Flow::Next)
}

fn fnop(ex: &mut Exec<'_>, op: &Op) -> Done {
    ex.x87_begin()?;
    ex.x87_note(op);
    Ok(Flow::Next)
}

fn fincstp(ex: &mut Exec<'_>, op: &Op) -> Done {
    fnop(ex, op)?;
    ex.cpu.x87.set_conditions(sw::C1, 0);
    ex.cpu.x87.rotate(1);
    Ok(Flow::Next)
}

fn fdecstp(ex: &mut Exec<'_>, op: &Op) -> Done {
    fnop(ex, op)?;
    ex.cpu.x87.set_conditions(sw::C1, 0);
    ex.cpu.x87.rotate(7);
    Ok(Flow::Next)
}

fn ffree<const POP: bool>(ex: &mut Exec<'_>, op: &Op) -> Done {
    fnop(ex, op)?;
    ex.cpu.x87.set_conditions(sw::C1, 0);
    ex.cpu.x87.free(op.r0);
    if POP {
        ex.cpu.x87.pop();
    }
    Ok(Flow::Next)
}

/// FWAIT: #NM only if CR0.MP and CR0.TS are both set.
fn fwait(ex: &mut Exec<'_>, _: &Op) -> Done {
    if ex.cpu.cr0 & (cr0::MP | cr0::TS) == cr0::MP | cr0::TS {
        return Err(Trap::NM);
    }
    ex.x87_wait()?;
    Ok(Flow::Next)
}

fn emms(ex: &mut Exec<'_>, _: &Op) -> Done {
    ex.mmx_begin()?;
    ex.cpu.x87.used = 0;
    Ok(Flow::Next)
}

/// The handler for `ins`, if it belongs to this group.
pub fn select(ins: &Instruction) -> Option<Handler> {
    Some(match ins.code() {
        Code::Fnstenv_m14byte => fnstenv::<false>,
        Code::Fnstenv_m28byte => fnstenv::<true>,
        Code::Fldenv_m14byte => fldenv::<false>,
        Code::Fldenv_m28byte => fldenv::<true>,
        Code::Fnsave_m94byte => fnsave::<false>,
        Code::Fnsave_m108byte => fnsave::<true>,
        Code::Frstor_m94byte => frstor::<false>,
        Code::Frstor_m108byte => frstor::<true>,
        Code::Fldcw_m2byte => fldcw,
        Code::Fnstcw_m2byte => fnstcw,
        Code::Fnstsw_m2byte => fnstsw_mem,
        Code::Fnstsw_AX => fnstsw_ax,
        Code::Fnclex => fnclex,
        Code::Fninit => fninit,
        Code::Fneni | Code::Fndisi | Code::Fnsetpm => ignored,
        Code::Fnop => fnop,
        Code::Fincstp => fincstp,
        Code::Fdecstp => fdecstp,
        Code::Ffree_sti => ffree::<false>,
        Code::Ffreep_sti => ffree::<true>,
        Code::Wait => fwait,
        Code::Emms => emms,
        _ => return None,
    })
}
