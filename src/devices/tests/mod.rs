//! What each device does, against its data sheet and the virtual clock.

mod arm;
mod input;
mod interrupts;
mod power;
mod serial;
mod timers;
