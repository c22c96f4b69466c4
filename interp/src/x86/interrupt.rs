//! Delivery of interrupts and exceptions (SDM volume 3, chapter 6).

use super::exec::Exec;
use super::trap::Trap;

/// Where an event comes from: it decides privilege checks, the EXT bit and what RIP is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An interrupt request or NMI.
    External,
    /// A processor-detected exception.
    Exception,
    /// INT n.
    IntN,
    /// INT3 and INTO.
    Int3,
    /// INT1.
    Int1,
}

impl Exec<'_> {
    /// Enters the handler of `vector`; RIP is what shall be saved.
    ///
    /// # Errors
    /// The exception that the delivery raised; nothing has changed then.
    pub fn deliver(&mut self, _vector: u8, _code: Option<u16>, _source: Source) -> Result<(), Trap> {
        Err(Trap::Unimplemented)
    }

    /// Enters the handler of a fault that an instruction or a delivery raised, with the rules for
    /// double faults (SDM volume 3, table 6-5).
    ///
    /// # Errors
    /// [`Trap::Shutdown`] for a triple fault, [`Trap::Unimplemented`].
    pub fn raise(&mut self, vector: u8, code: Option<u16>) -> Result<(), Trap> {
        self.deliver(vector, code, Source::Exception)
    }
}
