//! A small assembler: machine code for 16-, 32- or 64-bit segments, written front to back.

/// How code reaches any address with a plain displacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Flat data segments, 32- or 64-bit code.
    Flat,
    /// 16-bit protected mode: FS is flat.
    FlatFs,
    /// Real mode: FS begins at this address.
    RealFs(u64),
    /// Real mode: DS begins at 0.
    RealDs,
}

/// Code being written.
#[derive(Clone, Debug)]
pub struct Code {
    /// 16, 32 or 64.
    pub bits: u32,
    /// Offset in the code segment of the first byte.
    pub base: u64,
    /// How absolute addresses are reached.
    pub reach: Reach,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A branch whose target is not known yet: where its displacement lies.
#[derive(Clone, Copy, Debug)]
pub struct Forward(usize);

/// Condition codes, as in the encodings of Jcc.
pub mod cc {
    pub const B: u8 = 2;
    pub const AE: u8 = 3;
    pub const E: u8 = 4;
    pub const NE: u8 = 5;
}

impl Code {
    pub fn new(bits: u32, base: u64, reach: Reach) -> Self {
        Self { bits, base, reach, bytes: Vec::new() }
    }

    /// Offset in the code segment of what comes next.
    pub fn ip(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    pub fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn displacement(&self) -> usize {
        if self.bits == 16 { 2 } else { 4 }
    }

    /// `mov r32, imm32`; sign and upper half as the mode has it.
    pub fn mov32(&mut self, reg: u8, value: u32) {
        if self.bits == 16 {
            self.put(&[0x66]);
        }
        if reg >= 8 {
            self.put(&[0x41]);
        }
        self.put(&[0xb8 | reg & 7]);
        self.put(&value.to_le_bytes());
    }

    /// The widest `mov reg, imm` of the mode (in 16-bit code of 32 bits).
    pub fn mov(&mut self, reg: u8, value: u64) {
        if self.bits == 64 {
            self.put(&[0x48 | reg >> 3, 0xb8 | reg & 7]);
            self.put(&value.to_le_bytes());
        } else {
            self.mov32(reg & 7, value as u32);
        }
    }

    /// `mov sreg, selector` by way of AX. Segment registers as ES, CS, SS, DS, FS, GS.
    pub fn mov_sreg(&mut self, sreg: u8, selector: u16) {
        if self.bits != 16 {
            self.put(&[0x66]);
        }
        self.put(&[0xb8]);
        self.put(&selector.to_le_bytes());
        self.put(&[0x8e, 0xc0 | sreg << 3]);
    }

    /// An instruction with a ModRM operand at an absolute address: `prefix opcode /reg [addr]`, and
    /// the immediate.
    pub fn absolute(&mut self, prefix: &[u8], opcode: &[u8], reg: u8, addr: u64, immediate: &[u8]) {
        let wide = (addr as u32).to_le_bytes();
        match self.reach {
            Reach::Flat => {}
            Reach::FlatFs => self.put(&[0x64, 0x67]),
            Reach::RealFs(_) => self.put(&[0x64]),
            Reach::RealDs => {}
        }
        self.put(prefix);
        self.put(opcode);
        match self.reach {
            Reach::Flat if self.bits == 64 => {
                self.put(&[reg << 3 | 4, 0x25]);
                self.put(&wide);
            }
            Reach::Flat | Reach::FlatFs => {
                self.put(&[reg << 3 | 5]);
                self.put(&wide);
            }
            Reach::RealFs(base) => {
                self.put(&[reg << 3 | 6]);
                self.put(&(addr.wrapping_sub(base) as u16).to_le_bytes());
            }
            Reach::RealDs => {
                self.put(&[reg << 3 | 6]);
                self.put(&(addr as u16).to_le_bytes());
            }
        }
        self.put(immediate);
    }

    /// Stores 1, 2 or 4 bytes at an absolute address.
    pub fn store(&mut self, addr: u64, size: usize, value: u32) {
        let v = &value.to_le_bytes()[..size];
        match size {
            1 => self.absolute(&[], &[0xc6], 0, addr, v),
            2 if self.bits == 16 => self.absolute(&[], &[0xc7], 0, addr, v),
            2 => self.absolute(&[0x66], &[0xc7], 0, addr, v),
            _ if self.bits == 16 => self.absolute(&[0x66], &[0xc7], 0, addr, v),
            _ => self.absolute(&[], &[0xc7], 0, addr, v),
        }
    }

    /// The operand-size prefix that makes an instruction 32-bit.
    pub fn size32(&self) -> &'static [u8] {
        if self.bits == 16 { &[0x66] } else { &[] }
    }

    /// `mov crN, eax` after `mov eax, value`.
    pub fn control(&mut self, n: u8, value: u64) {
        self.mov32(0, value as u32);
        self.put(&[0x0f, 0x22, 0xc0 | n << 3]);
    }

    /// `mov drN, eax` after `mov eax, value`.
    pub fn debug(&mut self, n: u8, value: u64) {
        self.mov32(0, value as u32);
        self.put(&[0x0f, 0x23, 0xc0 | n << 3]);
    }

    pub fn wrmsr(&mut self, msr: u32, value: u64) {
        self.mov32(1, msr);
        self.mov32(0, value as u32);
        self.mov32(2, (value >> 32) as u32);
        self.put(&[0x0f, 0x30]);
    }

    /// `out port, al` after `mov al, value`.
    pub fn out8(&mut self, port: u16, value: u8) {
        self.put(&[0xb0, value]);
        if port < 0x100 {
            self.put(&[0xe6, port as u8]);
        } else {
            self.mov32(2, port.into());
            self.put(&[0xee]);
        }
    }

    /// A Jcc whose target is still to be written.
    pub fn jcc(&mut self, cc: u8) -> Forward {
        self.put(&[0x0f, 0x80 | cc]);
        self.forward()
    }

    /// A JMP whose target is still to be written.
    pub fn jmp(&mut self) -> Forward {
        self.put(&[0xe9]);
        self.forward()
    }

    fn forward(&mut self) -> Forward {
        let at = self.bytes.len();
        self.put(&[0; 4][..self.displacement()]);
        Forward(at)
    }

    /// Makes a branch lead here.
    pub fn land(&mut self, from: Forward) {
        let n = self.displacement();
        let rel = self.bytes.len() - from.0 - n;
        self.bytes[from.0..from.0 + n].copy_from_slice(&(rel as u32).to_le_bytes()[..n]);
    }

    /// A near branch to an offset in the segment: `opcode` and its displacement.
    pub fn branch_to(&mut self, opcode: &[u8], target: u64) {
        self.put(opcode);
        let n = self.displacement();
        let rel = target.wrapping_sub(self.ip() + n as u64);
        self.put(&rel.to_le_bytes()[..n]);
    }

    /// A branch of one opcode byte and a byte of displacement back to an offset in the segment;
    /// false, with nothing written, when that is too far.
    #[must_use]
    pub fn short_to(&mut self, opcode: u8, target: u64) -> bool {
        let rel = target.wrapping_sub(self.ip() + 2) as i64;
        let Ok(rel) = i8::try_from(rel) else { return false };
        self.put(&[opcode, rel as u8]);
        true
    }
}
