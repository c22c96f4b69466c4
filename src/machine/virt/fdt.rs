//! The device tree that tells software what the board is made of (Devicetree Specification 0.4, and the
//! bindings in Linux' Documentation/devicetree/bindings), as QEMU's `virt` has it.

use super::lines::{self, Span};
use super::{GicVersion, VirtConfig, psci};
use crate::devices::{gicv2, virtio_mmio};
use dejavm_interp::aarch64::regs::Model;
use vm_fdt::{Error, FdtWriter};

/// What a boot loader adds to /chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// The kernel's command line; firmware gets none.
    pub bootargs: Option<String>,
    /// The initial RAM disk: address, bytes.
    pub initrd: Option<(u64, u64)>,
}

mod phandle {
    pub const CLOCK: u32 = 0x8000;
    pub const GIC: u32 = 0x8001;
    pub const MSI: u32 = 0x8002;
    pub const GPIO: u32 = 0x8003;
    /// Of the first CPU; the others follow.
    pub const CPU: u32 = 0x8100;
}

/// Kinds of interrupts and triggers in the controller's binding.
const SPI: u32 = 0;
const PPI: u32 = 1;
const EDGE: u32 = 1;
const LEVEL: u32 = 4;
/// KEY_POWER.
const KEY_POWER: u32 = 116;
const CLOCK_HZ: u32 = 24_000_000;
/// CPUs of a cluster in /cpus/cpu-map.
const CLUSTER: usize = 16;

/// Address and size, or any 64-bit number, in two cells each.
fn cells(values: &[u64]) -> Vec<u32> {
    values.iter().flat_map(|v| [(v >> 32) as u32, *v as u32]).collect()
}

/// Strings, each with its final zero.
fn strings(f: &mut FdtWriter, name: &str, values: &[&str]) -> Result<(), Error> {
    f.property_string_list(name, values.iter().map(|s| (*s).to_owned()).collect())
}

fn reg(f: &mut FdtWriter, spans: &[Span]) -> Result<(), Error> {
    let values: Vec<u64> = spans.iter().flat_map(|s| [s.0, s.1]).collect();
    f.property_array_u32("reg", &cells(&values))
}

/// The tree.
///
/// # Errors
/// None for a configuration that was checked; [`Error`] is what the writer can say.
pub fn tree(c: &VirtConfig, chosen: &Chosen) -> Result<Vec<u8>, Error> {
    let mut writer = FdtWriter::new()?;
    let f = &mut writer;
    let root = f.begin_node("")?;
    f.property_u32("interrupt-parent", phandle::GIC)?;
    f.property_string("model", "linux,dummy-virt")?;
    f.property_u32("#size-cells", 2)?;
    f.property_u32("#address-cells", 2)?;
    f.property_string("compatible", "linux,dummy-virt")?;
    node(f, "chosen", |f| self::chosen(f, c, chosen))?;
    node(f, &format!("memory@{:x}", lines::RAM), |f| {
        reg(f, &[(lines::RAM, c.memory)])?;
        f.property_string("device_type", "memory")
    })?;
    node(f, "psci", firmware)?;
    node(f, "cpus", |f| cpus(f, c))?;
    node(f, "timer", |f| {
        // Secure, EL1's physical, EL1's virtual, EL2's.
        let [physical, virtual_, hypervisor, secure] = lines::PPI_TIMERS.map(u32::from);
        let flags = ppi_flags(c);
        let all = [secure, physical, virtual_, hypervisor];
        let interrupts: Vec<u32> = all.iter().flat_map(|&n| [PPI, n, flags]).collect();
        f.property_array_u32("interrupts", &interrupts)?;
        f.property_null("always-on")?;
        strings(f, "compatible", &["arm,armv8-timer", "arm,armv7-timer"])
    })?;
    node(f, &format!("intc@{:x}", lines::GICD.0), |f| controller(f, c))?;
    node(f, "apb-pclk", |f| {
        f.property_phandle(phandle::CLOCK)?;
        f.property_string("clock-output-names", "clk24mhz")?;
        f.property_u32("clock-frequency", CLOCK_HZ)?;
        f.property_u32("#clock-cells", 0)?;
        f.property_string("compatible", "fixed-clock")
    })?;
    node(f, "flash@0", |f| {
        f.property_u32("bank-width", 4)?;
        reg(f, &lines::FLASH)?;
        f.property_string("compatible", "cfi-flash")
    })?;
    devices(f)?;
    node(f, &format!("platform-bus@{:x}", lines::PLATFORM_BUS.0), |f| {
        f.property_array_u32("ranges", &[0, 0, lines::PLATFORM_BUS.0 as u32, lines::PLATFORM_BUS.1 as u32])?;
        f.property_u32("#address-cells", 1)?;
        f.property_u32("#size-cells", 1)?;
        strings(f, "compatible", &["qemu,platform", "simple-bus"])
    })?;
    node(f, &format!("pcie@{:x}", lines::PCI_MMIO.0), |f| pcie(f, c))?;
    f.end_node(root)?;
    writer.finish()
}

fn node(
    f: &mut FdtWriter,
    name: &str,
    inside: impl FnOnce(&mut FdtWriter) -> Result<(), Error>,
) -> Result<(), Error> {
    let node = f.begin_node(name)?;
    inside(f)?;
    f.end_node(node)
}

fn chosen(f: &mut FdtWriter, c: &VirtConfig, chosen: &Chosen) -> Result<(), Error> {
    if let Some(line) = &chosen.bootargs {
        f.property_string("bootargs", line)?;
    }
    if let Some((start, len)) = chosen.initrd {
        f.property_array_u32("linux,initrd-start", &cells(&[start]))?;
        f.property_array_u32("linux,initrd-end", &cells(&[start + len]))?;
    }
    f.property_string("stdout-path", &format!("/pl011@{:x}", lines::UART.0))?;
    f.property("rng-seed", &random::<32>(c.seed, "rng-seed"))?;
    f.property("kaslr-seed", &random::<8>(c.seed, "kaslr-seed"))
}

/// Random bytes for a purpose: a function of the machine's seed.
fn random<const N: usize>(seed: u64, purpose: &str) -> [u8; N] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(purpose.as_bytes()).update(&seed.to_le_bytes());
    let mut bytes = [0; N];
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

fn firmware(f: &mut FdtWriter) -> Result<(), Error> {
    f.property_u32("migrate", psci::spec::MIGRATE_64)?;
    f.property_u32("cpu_on", psci::spec::CPU_ON_64)?;
    f.property_u32("cpu_off", psci::spec::CPU_OFF)?;
    f.property_u32("cpu_suspend", psci::spec::CPU_SUSPEND_64)?;
    f.property_string("method", "hvc")?;
    strings(f, "compatible", &["arm,psci-1.0", "arm,psci-0.2", "arm,psci"])
}

fn cpus(f: &mut FdtWriter, c: &VirtConfig) -> Result<(), Error> {
    f.property_u32("#size-cells", 0)?;
    f.property_u32("#address-cells", 1)?;
    node(f, "cpu-map", |f| {
        node(f, "socket0", |f| {
            for first in (0..c.cpus).step_by(CLUSTER) {
                node(f, &format!("cluster{}", first / CLUSTER), |f| {
                    for i in first..c.cpus.min(first + CLUSTER) {
                        let core = format!("core{}", i - first);
                        node(f, &core, |f| f.property_u32("cpu", phandle::CPU + i as u32))?;
                    }
                    Ok(())
                })?;
            }
            Ok(())
        })
    })?;
    let compatible = match c.model {
        Model::CortexA53 => "arm,cortex-a53",
        Model::CortexA57 => "arm,cortex-a57",
        Model::Max(_) => "arm,armv8",
    };
    for i in 0..c.cpus {
        let affinity = c.affinity(i);
        node(f, &format!("cpu@{i:x}"), |f| {
            f.property_phandle(phandle::CPU + i as u32)?;
            f.property_u32("reg", affinity as u32)?;
            if c.cpus > 1 {
                f.property_string("enable-method", "psci")?;
            }
            f.property_string("compatible", compatible)?;
            f.property_string("device_type", "cpu")
        })?;
    }
    Ok(())
}

/// The third cell of a private interrupt: with GICv2 it names the CPUs.
fn ppi_flags(c: &VirtConfig) -> u32 {
    match c.gic {
        GicVersion::V2 => ((1u32 << c.cpus.min(gicv2::spec::CPUS)) - 1) << 8 | LEVEL,
        GicVersion::V3 => LEVEL,
    }
}

fn controller(f: &mut FdtWriter, c: &VirtConfig) -> Result<(), Error> {
    f.property_phandle(phandle::GIC)?;
    match c.gic {
        GicVersion::V2 => {
            reg(f, &[lines::GICD, lines::GICC])?;
            f.property_string("compatible", "arm,cortex-a15-gic")?;
        }
        GicVersion::V3 => {
            reg(f, &[lines::GICD, lines::GICR])?;
            f.property_u32("#redistributor-regions", 1)?;
            f.property_string("compatible", "arm,gic-v3")?;
        }
    }
    f.property_null("ranges")?;
    f.property_u32("#size-cells", 2)?;
    f.property_u32("#address-cells", 2)?;
    f.property_null("interrupt-controller")?;
    f.property_u32("#interrupt-cells", 3)?;
    if c.gic == GicVersion::V2 {
        node(f, &format!("v2m@{:x}", lines::GICV2M.0), |f| {
            f.property_phandle(phandle::MSI)?;
            reg(f, &[lines::GICV2M])?;
            f.property_null("msi-controller")?;
            f.property_string("compatible", "arm,gic-v2m-frame")
        })?;
    }
    Ok(())
}

/// A PrimeCell: its clock, interrupt, place.
fn primecell(
    f: &mut FdtWriter,
    name: &str,
    span: Span,
    spi: u16,
    more: impl FnOnce(&mut FdtWriter) -> Result<(), Error>,
) -> Result<(), Error> {
    node(f, &format!("{name}@{:x}", span.0), |f| {
        f.property_array_u32("interrupts", &[SPI, spi.into(), LEVEL])?;
        reg(f, &[span])?;
        strings(f, "compatible", &[&format!("arm,{name}"), "arm,primecell"])?;
        more(f)
    })
}

fn devices(f: &mut FdtWriter) -> Result<(), Error> {
    primecell(f, "pl011", lines::UART, lines::SPI_UART, |f| {
        strings(f, "clock-names", &["uartclk", "apb_pclk"])?;
        f.property_array_u32("clocks", &[phandle::CLOCK, phandle::CLOCK])
    })?;
    primecell(f, "pl031", lines::RTC, lines::SPI_RTC, |f| {
        f.property_string("clock-names", "apb_pclk")?;
        f.property_u32("clocks", phandle::CLOCK)
    })?;
    primecell(f, "pl061", lines::GPIO, lines::SPI_GPIO, |f| {
        f.property_phandle(phandle::GPIO)?;
        f.property_string("clock-names", "apb_pclk")?;
        f.property_u32("clocks", phandle::CLOCK)?;
        f.property_null("gpio-controller")?;
        f.property_u32("#gpio-cells", 2)
    })?;
    node(f, "gpio-keys", |f| {
        f.property_string("compatible", "gpio-keys")?;
        node(f, "poweroff", |f| {
            f.property_array_u32("gpios", &[phandle::GPIO, lines::POWER_BUTTON.into(), 0])?;
            f.property_u32("linux,code", KEY_POWER)?;
            f.property_string("label", "GPIO Key Poweroff")
        })
    })?;
    node(f, &format!("fw-cfg@{:x}", lines::FW_CFG.0), |f| {
        f.property_null("dma-coherent")?;
        reg(f, &[lines::FW_CFG])?;
        f.property_string("compatible", "qemu,fw-cfg-mmio")
    })?;
    for n in 0..lines::VIRTIO_SLOTS {
        let span = (lines::VIRTIO.0 + n * virtio_mmio::spec::SIZE, virtio_mmio::spec::SIZE);
        node(f, &format!("virtio_mmio@{:x}", span.0), |f| {
            f.property_null("dma-coherent")?;
            f.property_array_u32("interrupts", &[SPI, u32::from(lines::SPI_VIRTIO) + n as u32, EDGE])?;
            reg(f, &[span])?;
            f.property_string("compatible", "virtio,mmio")
        })?;
    }
    Ok(())
}

fn pcie(f: &mut FdtWriter, c: &VirtConfig) -> Result<(), Error> {
    // Kinds of PCI addresses: ports, memory of 32 bits, memory of 64 bits.
    const PIO: u32 = 0x0100_0000;
    const MMIO: u32 = 0x0200_0000;
    const HIGH: u32 = 0x0300_0000;
    const PINS: u32 = 4;
    // The lines of devices and pins swizzle; of the device's number the lowest two bits count.
    f.property_array_u32("interrupt-map-mask", &[0x1800, 0, 0, 7])?;
    let mut map = Vec::new();
    for device in 0..PINS {
        for pin in 0..PINS {
            let spi = u32::from(lines::SPI_PCI) + (pin + device) % PINS;
            map.extend([device << 11, 0, 0, pin + 1, phandle::GIC, 0, 0, SPI, spi, LEVEL]);
        }
    }
    f.property_array_u32("interrupt-map", &map)?;
    f.property_u32("#interrupt-cells", 1)?;
    let mut ranges = Vec::new();
    for (kind, at, span) in [
        (PIO, 0, lines::PCI_PIO),
        (MMIO, lines::PCI_MMIO.0, lines::PCI_MMIO),
        (HIGH, lines::PCI_HIGH.0, lines::PCI_HIGH),
    ] {
        ranges.push(kind);
        ranges.extend(cells(&[at, span.0, span.1]));
    }
    f.property_array_u32("ranges", &ranges)?;
    reg(f, &[lines::PCI_ECAM])?;
    if c.gic == GicVersion::V2 {
        f.property_array_u32("msi-map", &[0, phandle::MSI, 0, 0x1_0000])?;
    }
    f.property_null("dma-coherent")?;
    f.property_array_u32("bus-range", &[0, 0xff])?;
    f.property_u32("linux,pci-domain", 0)?;
    f.property_u32("#size-cells", 2)?;
    f.property_u32("#address-cells", 3)?;
    f.property_string("device_type", "pci")?;
    f.property_string("compatible", "pci-host-ecam-generic")
}
