//! The host's CPU as the oracle.
//!
//! The windows are mapped into this process at their addresses. A case is entered through the
//! return from a signal handler: a UD2 here raises SIGILL, whose handler puts the case's
//! registers into the signal frame, and the kernel's signal return loads all of them, code
//! selector and floating-point state included. The case's exception raises the next signal; its
//! handler copies the registers out of the frame and puts back those of the UD2. Nothing of this
//! process is left in a register while the case runs, so a random address hits nothing of it.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod linux;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub use linux::{Native, features, model};

/// The part of the host that this platform lacks.
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
mod absent {
    use crate::state::{Case, Failure, Outcome, Subject};

    /// Not available on this host.
    pub enum Native {}

    impl Native {
        /// Says why there is no oracle here.
        pub fn new() -> Result<Self, String> {
            Err("the oracle is the CPU of an x86-64 Linux host; this is none".into())
        }
    }

    impl Subject for Native {
        fn name(&self) -> String {
            match *self {}
        }
        fn run(&mut self, _: &Case, _: &mut Outcome) -> Result<(), Failure> {
            match *self {}
        }
    }

    /// No features.
    pub fn features() -> Vec<iced_x86::CpuidFeature> {
        Vec::new()
    }

    /// No name.
    pub fn model() -> String {
        "not x86-64 Linux".into()
    }
}
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub use absent::{Native, features, model};
