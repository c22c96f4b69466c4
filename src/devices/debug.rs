//! Ports for guests that want to tell something: the debug consoles of Bochs (E9H) and SeaBIOS
//! (402H), QEMU's isa-debug-exit (here at 501H), the POST code port 80H.

use super::{Ctx, Device, Request, read_bytes, write_bytes};
use crate::replay::Output;
use serde::{Deserialize, Serialize};

/// Ports.
pub mod spec {
    #![allow(missing_docs, reason = "the names say it")]
    pub const POST: u64 = 0x80;
    pub const BOCHS: u64 = 0xe9;
    pub const SEABIOS: u64 = 0x402;
    pub const EXIT: u64 = 0x501;
    /// What the consoles read as, so that guests can find them.
    pub const PRESENT: u8 = 0xe9;
}

/// The ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebugPorts {
    /// The last POST code.
    post: u8,
}

impl Device for DebugPorts {
    fn read(&mut self, _ctx: &mut Ctx<'_>, addr: u64, size: u8) -> u64 {
        read_bytes(addr, size, |port| match port {
            spec::POST => self.post,
            spec::BOCHS | spec::SEABIOS => spec::PRESENT,
            spec::EXIT => 0,
            _ => 0xff,
        })
    }

    fn write(&mut self, ctx: &mut Ctx<'_>, addr: u64, size: u8, value: u64) {
        if addr == spec::EXIT {
            // QEMU's rule: an even status cannot be expressed, so that 0 means a clean power-off.
            ctx.request(Request::Exit((value as u8) << 1 | 1));
            return;
        }
        write_bytes(addr, size, value, |port, byte| match port {
            spec::POST => self.post = byte,
            spec::BOCHS | spec::SEABIOS => ctx.emit(Output::Debug { byte }),
            _ => {}
        });
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}
