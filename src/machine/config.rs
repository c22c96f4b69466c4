//! What a machine is made of: everything that has to be the same for a run to be the same.
//!
//! [`MachineConfig`] is written into the header of every recording as JSON. Its field and variant
//! names are part of the stable format: a change of their meaning, or a new field without a
//! default that keeps old recordings as they are, bumps the log's format version.

use super::virt::lines;
use crate::devices::{gicv2, gicv3};
use dejavm_interp::aarch64::regs as aarch64;
use dejavm_interp::x86::model::Model;
use serde::{Deserialize, Serialize};

/// The version of the guest semantics: what every guest instruction and device does.
///
/// Bump it when an instruction, a device, the step count or the order of events changes in any way
/// that a guest can see, so that a replay by another build can say why a checkpoint differs.
pub const SEMANTICS: u32 = 1;

/// Least guest memory, in bytes.
pub const MIN_MEMORY: u64 = super::loader::MIN_MEMORY;
/// Most guest memory, in bytes.
pub const MAX_MEMORY: u64 = 1 << 40;
/// Largest [`MachineConfig::shift`].
pub const MAX_SHIFT: u8 = 10;
/// The shift that `auto` stands for: 8 virtual nanoseconds a step.
pub const DEFAULT_SHIFT: u8 = 3;

/// The guest's architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// x86 with 64-bit mode.
    #[serde(rename = "x86_64")]
    X86_64,
    /// x86 without 64-bit mode.
    I386,
    /// 64-bit ARM.
    Aarch64,
}

impl std::fmt::Display for Arch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::I386 => "i386",
            Self::Aarch64 => "aarch64",
        })
    }
}

/// What can be chosen of a `virt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VirtOptions {
    /// Version of the interrupt controller, 2 or 3.
    #[serde(default = "VirtOptions::gic_default")]
    pub gic_version: u8,
}

impl VirtOptions {
    fn gic_default() -> u8 {
        2
    }
}

impl Default for VirtOptions {
    fn default() -> Self {
        Self { gic_version: Self::gic_default() }
    }
}

/// The board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A PC with the i440FX chipset.
    Pc,
    /// A board of 64-bit ARM without a counterpart in hardware.
    Virt(VirtOptions),
    /// The few lines of state machine that test the recorder, see [`super::toy`].
    Toy,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pc => "pc",
            Self::Virt(_) => "virt",
            Self::Toy => "toy",
        })
    }
}

/// What an image is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The kernel.
    Kernel,
    /// The initial RAM disk.
    Initrd,
    /// A multiboot module.
    Module,
    /// Firmware at the reset vector.
    Bios,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kernel => "kernel",
            Self::Initrd => "initrd",
            Self::Module => "module",
            Self::Bios => "bios",
        })
    }
}

/// An image that the machine starts from: where it was, and what exactly it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// What it is used for.
    pub role: Role,
    /// The file's name as the user gave it.
    pub file: String,
    /// Arguments of a multiboot module.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub args: String,
    /// Bytes.
    pub size: u64,
    /// BLAKE3 digest of the bytes, in hexadecimal.
    pub blake3: String,
}

impl Image {
    /// Describes `bytes`.
    pub fn describe(role: Role, file: &str, args: &str, bytes: &[u8]) -> Self {
        Self {
            role,
            file: file.to_owned(),
            args: args.to_owned(),
            size: bytes.len() as u64,
            blake3: blake3::hash(bytes).to_hex().to_string(),
        }
    }

    /// True when `bytes` are this image.
    pub fn is(&self, bytes: &[u8]) -> bool {
        self.size == bytes.len() as u64 && blake3::hash(bytes).to_hex().as_str() == self.blake3
    }
}

/// The bytes of a machine's images, in the order of [`MachineConfig::images`].
#[derive(Clone, Debug, Default)]
pub struct Images(pub Vec<LoadedImage>);

/// One image in host memory.
#[derive(Clone, Debug)]
pub struct LoadedImage {
    /// What it is used for.
    pub role: Role,
    /// The file's name, for messages.
    pub file: String,
    /// Arguments of a multiboot module.
    pub args: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Images {
    /// The first image of a role.
    pub fn get(&self, role: Role) -> Option<&LoadedImage> {
        self.0.iter().find(|i| i.role == role)
    }

    /// What the loader boots.
    pub fn boot(&self, config: &MachineConfig) -> super::loader::Boot {
        let image = |i: &LoadedImage| super::loader::Image { name: i.file.clone(), bytes: i.bytes.clone() };
        super::loader::Boot {
            kernel: self.get(Role::Kernel).map(image),
            initrd: [Role::Initrd, Role::Module]
                .into_iter()
                .flat_map(|role| self.all(role))
                .map(|i| (image(i), i.args.clone()))
                .collect(),
            append: config.append.clone(),
            bios: self.get(Role::Bios).map(image),
        }
    }

    /// The images of a role, in order.
    pub fn all(&self, role: Role) -> impl Iterator<Item = &LoadedImage> {
        self.0.iter().filter(move |i| i.role == role)
    }
}

/// Where the real-time clock stands at power-on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RtcBase {
    /// At the host's time, in UTC.
    Utc,
    /// At this many seconds after 1970-01-01T00:00:00.
    Date(u64),
}

/// What moves the real-time clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RtcClock {
    /// The host's clock; every read of it is in the log.
    Host,
    /// The virtual clock. The base is then always a date.
    Vm,
}

/// The real-time clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rtc {
    /// Where it starts.
    pub base: RtcBase,
    /// What moves it.
    pub clock: RtcClock,
}

/// A whole machine before power-on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineConfig {
    /// Architecture.
    pub arch: Arch,
    /// Board.
    pub machine: Kind,
    /// CPU model, one of [`CPU_MODELS`] or [`A64_MODELS`].
    pub cpu: String,
    /// Bytes of RAM.
    pub memory: u64,
    /// CPUs.
    pub smp: u32,
    /// Images by role.
    pub images: Vec<Image>,
    /// The kernel's command line.
    pub append: String,
    /// Binary logarithm of the virtual nanoseconds of a step.
    pub shift: u8,
    /// The real-time clock.
    pub rtc: Rtc,
    /// What random numbers are made from.
    pub seed: u64,
    /// A reset ends the run.
    pub no_reboot: bool,
}

/// The names of the x86 CPU models.
pub const CPU_MODELS: [(&str, Model); 6] = [
    ("qemu64", Model::Qemu64),
    ("qemu32", Model::Qemu32),
    ("486", Model::I486),
    ("pentium3", Model::Pentium3),
    ("Nehalem", Model::Nehalem),
    ("max", Model::Max),
];

/// The names of the 64-bit ARM CPU models.
pub const A64_MODELS: [(&str, aarch64::Model); 3] = [
    ("cortex-a53", aarch64::Model::CortexA53),
    ("cortex-a57", aarch64::Model::CortexA57),
    ("max", aarch64::Model::MAX),
];

/// The 64-bit ARM CPU model of a name such as `cortex-a53` or `max,lse=off`.
fn a64_model(cpu: &str) -> Result<aarch64::Model, String> {
    let mut parts = cpu.split(',');
    let name = parts.next().unwrap_or_default();
    let Some((_, mut model)) = A64_MODELS.into_iter().find(|m| m.0 == name) else {
        return Err(format!("unknown CPU model '{name}' ({})", Arch::Aarch64.cpus().join(", ")));
    };
    for part in parts {
        let aarch64::Model::Max(features) = &mut model else {
            return Err(format!("CPU model '{cpu}': only 'max' has flags"));
        };
        let flag = part.split_once('=').and_then(|(name, on)| Some((features.flag(name)?, on)));
        match flag {
            Some((flag, "on")) => *flag = true,
            Some((flag, "off")) => *flag = false,
            _ => {
                let names = aarch64::Features::NAMES.join(", ");
                return Err(format!("CPU model '{cpu}': '{part}' is not FLAG=on or FLAG=off ({names})"));
            }
        }
    }
    Ok(model)
}

impl Arch {
    /// Checks the name of a CPU model.
    ///
    /// # Errors
    /// One line that says what there is.
    pub fn check_cpu(self, cpu: &str) -> Result<(), String> {
        match self {
            Self::Aarch64 => a64_model(cpu).map(drop),
            _ if CPU_MODELS.iter().any(|m| m.0 == cpu) => Ok(()),
            _ => Err(format!("unknown CPU model '{cpu}' ({})", self.cpus().join(", "))),
        }
    }

    /// The names of its CPU models.
    fn cpus(self) -> Vec<&'static str> {
        match self {
            Self::X86_64 | Self::I386 => CPU_MODELS.iter().map(|m| m.0).collect(),
            Self::Aarch64 => A64_MODELS.iter().map(|m| m.0).collect(),
        }
    }
}

impl MachineConfig {
    /// The CPU model of an x86 machine.
    pub fn model(&self) -> Option<Model> {
        CPU_MODELS.iter().find(|m| m.0 == self.cpu && self.arch != Arch::Aarch64).map(|m| m.1)
    }

    /// The CPU model of a 64-bit ARM machine.
    pub fn a64_model(&self) -> Option<aarch64::Model> {
        a64_model(&self.cpu).ok().filter(|_| self.arch == Arch::Aarch64)
    }

    /// Checks what a hostile header or a user may have got wrong.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub fn check(&self) -> Result<(), String> {
        self.arch.check_cpu(&self.cpu)?;
        match (self.arch, self.machine) {
            (_, Kind::Toy) | (Arch::X86_64 | Arch::I386, Kind::Pc) => {}
            (Arch::Aarch64, Kind::Virt(options)) => self.check_virt(options)?,
            (arch, machine) => return Err(format!("a machine '{machine}' has no CPU of {arch}")),
        }
        if self.arch == Arch::I386 && self.model().is_some_and(Model::long_mode) {
            return Err(format!("CPU model '{}' has 64-bit mode, which --arch i386 has not", self.cpu));
        }
        if self.memory < MIN_MEMORY {
            return Err(format!("memory of {} bytes is too little, the least is 2M", self.memory));
        }
        if self.memory > MAX_MEMORY {
            return Err(format!("memory of {} bytes is too much, the most is 1024G", self.memory));
        }
        if !self.memory.is_multiple_of(4096) {
            return Err(format!("memory of {} bytes is not a multiple of 4K", self.memory));
        }
        if self.smp == 0 || self.smp > 255 {
            return Err(format!("{} CPUs are not possible", self.smp));
        }
        if self.shift > MAX_SHIFT {
            return Err(format!("shift {} is more than {MAX_SHIFT}", self.shift));
        }
        if self.rtc.clock == RtcClock::Vm && self.rtc.base == RtcBase::Utc {
            return Err("a real-time clock on virtual time needs a date to start from".to_owned());
        }
        Ok(())
    }

    fn check_virt(&self, options: VirtOptions) -> Result<(), String> {
        let most = match options.gic_version {
            2 => gicv2::spec::CPUS as u64,
            3 => lines::GICR.1 / gicv3::spec::REDISTRIBUTOR,
            n => return Err(format!("gic-version={n}: neither 2 nor 3")),
        };
        if u64::from(self.smp) > most {
            return Err(format!(
                "{} CPUs are not possible with gic-version={}, the most is {most}",
                self.smp, options.gic_version
            ));
        }
        if self.memory > lines::RAM_MAX {
            return Err(format!("memory of {} bytes is too much for a virt, the most is 255G", self.memory));
        }
        Ok(())
    }
}

/// A machine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The user's or the recording's configuration is wrong; the text names the option or file.
    #[error("{0}")]
    Config(String),
    /// The host could not provide the memory.
    #[error(transparent)]
    Memory(#[from] dejavm_interp::mem::MemoryError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_models_have_flags() {
        let max = aarch64::Features::MAX;
        assert_eq!(
            a64_model("max,lse=off,pan=off,pan=on"),
            Ok(aarch64::Model::Max(aarch64::Features { lse: false, ..max }))
        );
        assert_eq!(a64_model("cortex-a57"), Ok(aarch64::Model::CortexA57));
        for wrong in ["", "max,", "max,lse", "max,lse=no", "max,sve=off", "cortex-a53,lse=off", "qemu64"] {
            assert!(a64_model(wrong).is_err(), "{wrong}");
        }
        assert!(Arch::X86_64.check_cpu("max,lse=off").is_err() && Arch::I386.check_cpu("qemu32").is_ok());
    }
}
