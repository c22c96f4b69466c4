//! Records: what the frames of a recording say, and how they are written.
//!
//! A record is a tag and numbers (see [`super::varint`]). Moments are differences to the moment of
//! the record before, across frames, beginning at power-on; host clock readings are differences to
//! the reading before.

use super::varint::{self, Cursor};
use super::{Input, Moment};
use serde::Serialize;

/// A digest of the machine at a moment that depends on the timeline alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Checkpoint {
    /// The moment.
    pub at: Moment,
    /// Digest of CPUs and devices.
    #[serde(serialize_with = "hex")]
    pub state: u64,
    /// Digest of all output so far, with the moments of each.
    #[serde(serialize_with = "hex")]
    pub output: u64,
    /// Digest of memory, at some checkpoints only.
    #[serde(serialize_with = "hex_option")]
    pub memory: Option<u64>,
}

/// Digests are text in JSON: many readers round large numbers.
fn hex<S: serde::Serializer>(digest: &u64, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(&format_args!("{digest:016x}"))
}

fn hex_option<S: serde::Serializer>(digest: &Option<u64>, s: S) -> Result<S::Ok, S::Error> {
    match digest {
        Some(digest) => hex(digest, s),
        None => s.serialize_none(),
    }
}

/// Why a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// The guest switched the machine off.
    PowerOff,
    /// The guest ended the run with a code (isa-debug-exit).
    Exit(u8),
    /// The guest reset the machine, and that was to end the run.
    Reset,
    /// Every CPU waits and nothing will ever wake one.
    Halted,
    /// The limit that the user gave was reached.
    MaxIcount,
    /// The user stopped the run.
    Stopped,
    /// The guest used something that is not implemented; the text names it.
    Unimplemented(String),
}

impl EndReason {
    /// True when the run ended by itself, so that a replay ends there by itself too.
    pub fn by_guest(&self) -> bool {
        !matches!(self, Self::MaxIcount | Self::Stopped)
    }
}

impl std::fmt::Display for EndReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PowerOff => f.write_str("the guest powered off"),
            Self::Exit(code) => write!(f, "the guest exited with code {code}"),
            Self::Reset => f.write_str("the guest reset the machine"),
            Self::Halted => f.write_str("every CPU halted for ever"),
            Self::MaxIcount => f.write_str("the step limit was reached"),
            Self::Stopped => f.write_str("stopped by the user"),
            Self::Unimplemented(what) => write!(f, "not implemented: {what}"),
        }
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Record {
    /// An input was injected.
    Input {
        /// When.
        at: Moment,
        /// What.
        input: Input,
    },
    /// The host's clock was read.
    HostClock {
        /// The boundary before the step (or at the timer) that read it.
        icount: u64,
        /// Nanoseconds since 1970.
        ns: u64,
    },
    /// The machine's digests.
    Checkpoint(Checkpoint),
    /// The run ended.
    End {
        /// When.
        at: Moment,
        /// Why.
        reason: EndReason,
    },
}

impl Record {
    /// The number of steps before it.
    pub fn icount(&self) -> u64 {
        match self {
            Self::Input { at, .. } | Self::End { at, .. } => at.icount,
            Self::HostClock { icount, .. } => *icount,
            Self::Checkpoint(c) => c.at.icount,
        }
    }
}

mod tag {
    pub const SERIAL: u8 = 1;
    pub const KEY: u8 = 2;
    pub const POINTER: u8 = 3;
    pub const POWER_BUTTON: u8 = 4;
    pub const RESET: u8 = 5;
    pub const NMI: u8 = 6;
    pub const WRITE_MEMORY: u8 = 7;
    pub const WRITE_REGISTER: u8 = 8;
    pub const FAULT: u8 = 9;
    pub const HOST_CLOCK: u8 = 16;
    pub const CHECKPOINT: u8 = 17;
    pub const CHECKPOINT_MEMORY: u8 = 18;
    pub const END: u8 = 19;
}

mod end {
    pub const POWER_OFF: u8 = 0;
    pub const EXIT: u8 = 1;
    pub const RESET: u8 = 2;
    pub const HALTED: u8 = 3;
    pub const MAX_ICOUNT: u8 = 4;
    pub const STOPPED: u8 = 5;
    pub const UNIMPLEMENTED: u8 = 6;
}

/// Most bytes of a text, of serial input or of a debugger's write in one record.
pub const MAX_BYTES: usize = 4096;

/// The last moment and clock reading, which the next record's are differences to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Coder {
    at: Moment,
    clock: u64,
}

impl Coder {
    fn put_moment(&mut self, into: &mut Vec<u8>, at: Moment) {
        debug_assert!(at >= self.at, "time goes on");
        varint::put(into, at.icount - self.at.icount);
        varint::put(into, at.warp - self.at.warp);
        self.at = at;
    }

    fn moment(&mut self, c: &mut Cursor<'_>) -> Option<Moment> {
        self.at.icount = self.at.icount.checked_add(c.number()?)?;
        self.at.warp = self.at.warp.checked_add(c.number()?)?;
        Some(self.at)
    }

    /// Appends a record.
    pub fn put(&mut self, into: &mut Vec<u8>, record: &Record) {
        match record {
            Record::Input { at, input } => {
                into.push(match input {
                    Input::Serial { .. } => tag::SERIAL,
                    Input::Key { .. } => tag::KEY,
                    Input::Pointer { .. } => tag::POINTER,
                    Input::PowerButton => tag::POWER_BUTTON,
                    Input::Reset => tag::RESET,
                    Input::Nmi => tag::NMI,
                    Input::WriteMemory { .. } => tag::WRITE_MEMORY,
                    Input::WriteRegister { .. } => tag::WRITE_REGISTER,
                    Input::Fault { .. } => tag::FAULT,
                });
                self.put_moment(into, *at);
                match input {
                    Input::Serial { port, bytes } => {
                        into.push(*port);
                        put_bytes(into, bytes);
                    }
                    Input::Key { code, down } => {
                        varint::put(into, u64::from(*code) << 1 | u64::from(*down));
                    }
                    Input::Pointer { dx, dy, wheel, buttons } => {
                        for v in [dx, dy, wheel] {
                            varint::put_signed(into, i64::from(*v));
                        }
                        into.push(*buttons);
                    }
                    Input::PowerButton | Input::Reset | Input::Nmi => {}
                    Input::WriteMemory { addr, bytes } => {
                        varint::put(into, *addr);
                        put_bytes(into, bytes);
                    }
                    Input::WriteRegister { cpu, name, value } => {
                        into.push(*cpu);
                        put_bytes(into, name.as_bytes());
                        into.extend_from_slice(&value.to_le_bytes());
                    }
                    Input::Fault { target, bit } => {
                        put_bytes(into, target.as_bytes());
                        varint::put(into, u64::from(*bit));
                    }
                }
            }
            Record::HostClock { icount, ns } => {
                into.push(tag::HOST_CLOCK);
                debug_assert!(*icount >= self.at.icount, "time goes on");
                varint::put(into, icount - self.at.icount);
                self.at.icount = *icount;
                varint::put_signed(into, ns.wrapping_sub(self.clock) as i64);
                self.clock = *ns;
            }
            Record::Checkpoint(checkpoint) => {
                let Checkpoint { at, state, output, memory } = checkpoint;
                into.push(if memory.is_some() { tag::CHECKPOINT_MEMORY } else { tag::CHECKPOINT });
                self.put_moment(into, *at);
                for digest in [Some(*state), Some(*output), *memory].into_iter().flatten() {
                    into.extend_from_slice(&digest.to_le_bytes());
                }
            }
            Record::End { at, reason } => {
                into.push(tag::END);
                self.put_moment(into, *at);
                match reason {
                    EndReason::PowerOff => into.push(end::POWER_OFF),
                    EndReason::Exit(code) => into.extend_from_slice(&[end::EXIT, *code]),
                    EndReason::Reset => into.push(end::RESET),
                    EndReason::Halted => into.push(end::HALTED),
                    EndReason::MaxIcount => into.push(end::MAX_ICOUNT),
                    EndReason::Stopped => into.push(end::STOPPED),
                    EndReason::Unimplemented(what) => {
                        into.push(end::UNIMPLEMENTED);
                        let cut = what.floor_char_boundary(what.len().min(MAX_BYTES));
                        put_bytes(into, &what.as_bytes()[..cut]);
                    }
                }
            }
        }
    }

    /// Takes the next record; `None` when the bytes are not one.
    pub fn take(&mut self, c: &mut Cursor<'_>) -> Option<Record> {
        let tag = c.byte()?;
        if tag == tag::HOST_CLOCK {
            self.at.icount = self.at.icount.checked_add(c.number()?)?;
            self.clock = self.clock.wrapping_add(c.signed()? as u64);
            return Some(Record::HostClock { icount: self.at.icount, ns: self.clock });
        }
        let at = self.moment(c)?;
        let input = match tag {
            tag::SERIAL => Input::Serial { port: c.byte()?, bytes: bytes(c)?.to_vec() },
            tag::KEY => {
                let v = c.number()?;
                Input::Key { code: u16::try_from(v >> 1).ok()?, down: v & 1 != 0 }
            }
            tag::POINTER => {
                let mut v = || c.signed().and_then(|v| i32::try_from(v).ok());
                let (dx, dy, wheel) = (v()?, v()?, v()?);
                Input::Pointer { dx, dy, wheel, buttons: c.byte()? }
            }
            tag::POWER_BUTTON => Input::PowerButton,
            tag::RESET => Input::Reset,
            tag::NMI => Input::Nmi,
            tag::WRITE_MEMORY => Input::WriteMemory { addr: c.number()?, bytes: bytes(c)?.to_vec() },
            tag::WRITE_REGISTER => {
                let cpu = c.byte()?;
                let name = String::from_utf8(bytes(c)?.to_vec()).ok()?;
                let value = u128::from_le_bytes(c.bytes(16)?.try_into().ok()?);
                Input::WriteRegister { cpu, name, value }
            }
            tag::FAULT => {
                let target = String::from_utf8(bytes(c)?.to_vec()).ok()?;
                Input::Fault { target, bit: u32::try_from(c.number()?).ok()? }
            }
            tag::CHECKPOINT | tag::CHECKPOINT_MEMORY => {
                let (state, output) = (c.fixed()?, c.fixed()?);
                let memory = if tag == tag::CHECKPOINT_MEMORY { Some(c.fixed()?) } else { None };
                return Some(Record::Checkpoint(Checkpoint { at, state, output, memory }));
            }
            tag::END => {
                let reason = match c.byte()? {
                    end::POWER_OFF => EndReason::PowerOff,
                    end::EXIT => EndReason::Exit(c.byte()?),
                    end::RESET => EndReason::Reset,
                    end::HALTED => EndReason::Halted,
                    end::MAX_ICOUNT => EndReason::MaxIcount,
                    end::STOPPED => EndReason::Stopped,
                    end::UNIMPLEMENTED => {
                        EndReason::Unimplemented(String::from_utf8(bytes(c)?.to_vec()).ok()?)
                    }
                    _ => return None,
                };
                return Some(Record::End { at, reason });
            }
            _ => return None,
        };
        Some(Record::Input { at, input })
    }
}

fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    varint::put(into, bytes.len() as u64);
    into.extend_from_slice(bytes);
}

fn bytes<'a>(c: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let n = usize::try_from(c.number()?).ok().filter(|&n| n <= MAX_BYTES)?;
    c.bytes(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_record() -> Vec<Record> {
        let mut at = Moment { icount: 0, warp: 0 };
        let mut next = || {
            at = Moment { icount: at.icount * 3 + 1, warp: at.warp * 2 + 5 };
            at
        };
        let mut v = vec![Record::Checkpoint(Checkpoint { at: next(), state: 1, output: 2, memory: None })];
        for input in [
            Input::Serial { port: 1, bytes: b"hello".to_vec() },
            Input::Key { code: 0x2ff, down: true },
            Input::Pointer { dx: -1, dy: i32::MAX, wheel: i32::MIN, buttons: 7 },
            Input::PowerButton,
            Input::Reset,
            Input::Nmi,
            Input::WriteMemory { addr: 1 << 40, bytes: vec![0, 1, 255] },
            Input::WriteRegister { cpu: 3, name: "xmm0".to_owned(), value: u128::MAX - 7 },
            Input::Fault { target: "devices.pit.channels[0].count".to_owned(), bit: 15 },
        ] {
            v.push(Record::Input { at: next(), input });
        }
        for ns in [1_700_000_000_000_000_000, 5, u64::MAX] {
            v.push(Record::HostClock { icount: next().icount, ns });
        }
        let (state, output) = (u64::MAX, 0x0123_4567_89ab_cdef);
        v.push(Record::Checkpoint(Checkpoint { at: next(), state, output, memory: Some(3) }));
        for reason in [
            EndReason::PowerOff,
            EndReason::Exit(3),
            EndReason::Reset,
            EndReason::Halted,
            EndReason::MaxIcount,
            EndReason::Stopped,
            EndReason::Unimplemented("FNORD at 7c00".to_owned()),
        ] {
            v.push(Record::End { at: next(), reason });
        }
        v
    }

    #[test]
    fn every_record_comes_back() {
        let (mut bytes, mut coder) = (Vec::new(), Coder::default());
        let records = every_record();
        for r in &records {
            coder.put(&mut bytes, r);
        }
        let (mut cursor, mut coder) = (Cursor::new(&bytes), Coder::default());
        for r in &records {
            assert_eq!(coder.take(&mut cursor).as_ref(), Some(r));
        }
        assert!(cursor.at_end());
    }

    #[test]
    fn hostile_bytes_end_in_none() {
        let mut seed = 1u64;
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..24)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (seed >> 33) as u8 & if seed >> 62 == 0 { 0xff } else { 0x13 }
                })
                .collect();
            let (mut cursor, mut coder) = (Cursor::new(&bytes), Coder::default());
            let mut n = 0;
            while coder.take(&mut cursor).is_some() {
                n += 1;
            }
            assert!(n <= 24);
        }
        let huge = [tag::SERIAL, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert_eq!(Coder::default().take(&mut Cursor::new(&huge)), None);
    }
}
