//! The ACPI tables of the `pc` board, for kernels that are booted without firmware.

use acpi_tables::Aml;
use acpi_tables::aml::{
    self, AddressSpace, AddressSpaceCacheable, Device, EISAName, Field, FieldAccessType, FieldEntry,
    FieldLockRule, FieldUpdateRule, IO, If, Interrupt, Method, Name, OpRegion, OpRegionSpace, Package, Path,
    ResourceTemplate, Return, Scope, Store,
};
use acpi_tables::sdt::Sdt;

/// Where the RSDP goes: in the BIOS area that kernels search.
pub const RSDP: u64 = 0xf_5a00;
/// PIIX4's power management block.
const PM_BASE: u16 = 0x600;
/// PIIX4's general-purpose events, as QEMU's `pc` places them.
const GPE_BASE: u16 = 0xafe0;
/// The system control interrupt.
const SCI: u8 = 9;
const LOCAL_APIC: u32 = 0xfee0_0000;
const IO_APIC: u32 = 0xfec0_0000;
const HPET: u64 = 0xfed0_0000;

fn sdt(signature: &[u8; 4], length: u32, revision: u8) -> Sdt {
    Sdt::new(*signature, length, revision, *b"DEJAVM", *b"DEJAVMPC", 1)
}

/// The tables for `low` bytes of RAM below 4 GiB and `cpus` CPUs: addresses and bytes.
pub fn tables(low: u64, cpus: usize) -> Vec<(u64, Vec<u8>)> {
    let mut at = low - super::ACPI_BYTES;
    let mut out = Vec::new();
    let mut place = |bytes: Vec<u8>| {
        let here = at;
        at = (at + bytes.len() as u64).next_multiple_of(64);
        out.push((here, bytes));
        here
    };
    let facs = place(facs());
    let dsdt = place(dsdt(cpus));
    let listed = [place(fadt(facs as u32, dsdt as u32)), place(madt(cpus)), place(hpet())];
    let mut rsdt = sdt(b"RSDT", 36, 1);
    let mut xsdt = sdt(b"XSDT", 36, 1);
    for table in listed {
        rsdt.append_slice(&(table as u32).to_le_bytes());
        xsdt.append_slice(&table.to_le_bytes());
    }
    let rsdt = place(rsdt.as_slice().to_vec());
    let xsdt = place(xsdt.as_slice().to_vec());
    out.push((RSDP, rsdp(rsdt as u32, xsdt)));
    out
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, b| sum.wrapping_sub(*b))
}

fn rsdp(rsdt: u32, xsdt: u64) -> Vec<u8> {
    let mut t = b"RSD PTR \0DEJAVM\x02".to_vec();
    t.extend(rsdt.to_le_bytes());
    t.extend(36u32.to_le_bytes());
    t.extend(xsdt.to_le_bytes());
    t.extend([0; 4]);
    t[8] = checksum(&t[..20]);
    t[32] = checksum(&t);
    t
}

fn facs() -> Vec<u8> {
    let mut t = b"FACS".to_vec();
    t.extend(64u32.to_le_bytes());
    t.resize(64, 0);
    t[32] = 1;
    t
}

/// The FADT in the form of ACPI 2.0 (revision 3). ACPI mode is on from the start: no SMI command.
fn fadt(facs: u32, dsdt: u32) -> Vec<u8> {
    let mut t = sdt(b"FACP", 244, 3);
    t.write_u32(36, facs);
    t.write_u32(40, dsdt);
    t.write_u16(46, SCI.into());
    t.write_u32(56, PM_BASE.into());
    t.write_u32(64, u32::from(PM_BASE) + 4);
    t.write_u32(76, u32::from(PM_BASE) + 8);
    t.write_u32(80, GPE_BASE.into());
    // Lengths of PM1 event and control, PM timer and GPE0 blocks.
    t.write_bytes(88, &[4, 2, 0, 4, 4]);
    // No C2 or C3.
    t.write_u16(96, 0xfff);
    t.write_u16(98, 0xfff);
    // The RTC's century register.
    t.write_u8(108, 0x32);
    // Legacy devices and an 8042.
    t.write_u16(109, 3);
    // WBINVD, C1 on all CPUs, no sleep button, RTC wake not in fixed registers, reset register.
    t.write_u32(112, 1 << 0 | 1 << 2 | 1 << 5 | 1 << 6 | 1 << 10);
    t.write_bytes(116, &io_address(8, 0xcf9));
    t.write_u8(128, 0x0f);
    t.write_u64(140, dsdt.into());
    t.write_bytes(148, &io_address(32, PM_BASE));
    t.write_bytes(172, &io_address(16, PM_BASE + 4));
    t.write_bytes(208, &io_address(32, PM_BASE + 8));
    t.write_bytes(220, &io_address(32, GPE_BASE));
    t.as_slice().to_vec()
}

/// A generic address structure of an I/O port register.
fn io_address(bits: u8, port: u16) -> [u8; 12] {
    let access = match bits {
        8 => 1,
        16 => 2,
        _ => 3,
    };
    let [lo, hi] = port.to_le_bytes();
    [1, bits, 0, access, lo, hi, 0, 0, 0, 0, 0, 0]
}

fn madt(cpus: usize) -> Vec<u8> {
    let mut t = sdt(b"APIC", 44, 3);
    t.write_u32(36, LOCAL_APIC);
    // PC-AT compatible: two 8259s.
    t.write_u32(40, 1);
    for i in 0..cpus as u8 {
        t.append_slice(&[0, 8, i, i, 1, 0, 0, 0]);
    }
    // The I/O APIC's id follows the CPUs' like QEMU's.
    let mut io_apic = vec![1, 12, 0, 0];
    io_apic.extend(IO_APIC.to_le_bytes());
    io_apic.extend([0; 4]);
    t.append_slice(&io_apic);
    // Interrupt source overrides: IRQ 0 is pin 2; PCI interrupts and the SCI are level-triggered,
    // active high.
    t.append_slice(&[2, 10, 0, 0, 2, 0, 0, 0, 0, 0]);
    for irq in [5, SCI, 10, 11] {
        t.append_slice(&[2, 10, 0, irq, irq, 0, 0, 0, 0x0d, 0]);
    }
    // NMI on LINT1 of every local APIC.
    t.append_slice(&[4, 6, 0xff, 0, 0, 1]);
    t.as_slice().to_vec()
}

fn hpet() -> Vec<u8> {
    let mut t = sdt(b"HPET", 56, 1);
    t.write_u32(36, 0x8086_a201);
    t.write_bytes(40, &[0, 0, 0, 0]);
    t.write_u64(44, HPET);
    t.as_slice().to_vec()
}

/// Everything that Linux and Windows look for on a 440FX PC: the PCI bus with its windows and
/// interrupt links, the ISA devices, S5.
fn dsdt(cpus: usize) -> Vec<u8> {
    let mut t = sdt(b"DSDT", 36, 1);
    let zero = &aml::ZERO as &dyn Aml;
    let mut body: Vec<u8> = Vec::new();

    let s5 = Package::new(vec![zero, zero, zero, zero]);
    Name::new("\\_S5_".into(), &s5).to_aml_bytes(&mut body);

    // Processors.
    let names: Vec<String> = (0..cpus).map(|i| format!("C{i:03X}")).collect();
    let uids: Vec<u8> = (0..cpus).map(|i| i as u8).collect();
    let hid = "ACPI0007";
    for (name, uid) in names.iter().zip(&uids) {
        Scope::new(
            "\\_SB_".into(),
            vec![&Device::new(
                name.as_str().into(),
                vec![&Name::new("_HID".into(), &hid), &Name::new("_UID".into(), uid)],
            )],
        )
        .to_aml_bytes(&mut body);
    }

    // The PCI root bridge.
    let (memory_start, memory_end) = (super::LOW_RAM_MAX as u32, 0xfebf_ffff);
    let windows = encoded(&ResourceTemplate::new(vec![
        &AddressSpace::new_bus_number(0u16, 0xff),
        &IO::new(0xcf8, 0xcf8, 1, 8),
        &AddressSpace::new_io(0u16, 0xcf7, None),
        &AddressSpace::new_io(0xd00u16, 0xffff, None),
        &AddressSpace::new_memory(AddressSpaceCacheable::Cacheable, true, 0xa_0000u32, 0xb_ffff, None),
        &AddressSpace::new_memory(AddressSpaceCacheable::NotCacheable, true, memory_start, memory_end, None),
    ]));
    // Slot s, pin p goes to link (s + p - 1) mod 4 on PIIX3 boards.
    let links: Vec<Path> = ["LNKA", "LNKB", "LNKC", "LNKD"].into_iter().map(Path::new).collect();
    let addresses: Vec<u32> = (0..32).map(|slot| slot << 16 | 0xffff).collect();
    let pins: Vec<u8> = vec![0, 1, 2, 3];
    let mut routes: Vec<Package<'_>> = Vec::new();
    for (slot, address) in addresses.iter().enumerate() {
        for (pin, number) in pins.iter().enumerate() {
            let link = &links[(slot + pin + 3) % 4];
            routes.push(Package::new(vec![address, number, link, zero]));
        }
    }
    let prt = Package::new(routes.iter().map(|r| r as &dyn Aml).collect());
    let isa_address = 0x0001_0000u32;
    let isa = encoded(&Device::new(
        "ISA_".into(),
        vec![
            &Name::new("_ADR".into(), &isa_address),
            // PIRQ route control registers.
            &OpRegion::new("P40C".into(), OpRegionSpace::PCIConfig, &0x60usize, &4usize),
        ],
    ));
    let rtc = isa_device("RTC_", "PNP0B00", vec![&IO::new(0x70, 0x70, 1, 8), &irq(8)]);
    let keyboard =
        isa_device("KBD_", "PNP0303", vec![&IO::new(0x60, 0x60, 1, 1), &IO::new(0x64, 0x64, 1, 1), &irq(1)]);
    let mouse = isa_device("MOU_", "PNP0F13", vec![&irq(12)]);
    let com1 = isa_device("COM1", "PNP0501", vec![&IO::new(0x3f8, 0x3f8, 0, 8), &irq(4)]);
    let com2 = isa_device("COM2", "PNP0501", vec![&IO::new(0x2f8, 0x2f8, 0, 8), &irq(3)]);

    let pci_hid = EISAName::new("PNP0A03");
    let uid = 0u8;
    Scope::new(
        "\\_SB_".into(),
        vec![&Device::new(
            "PCI0".into(),
            vec![
                &Name::new("_HID".into(), &pci_hid),
                &Name::new("_UID".into(), &uid),
                &Name::new("_CRS".into(), &windows),
                &Name::new("_PRT".into(), &prt),
                &isa,
            ],
        )],
    )
    .to_aml_bytes(&mut body);
    let devices: Vec<u8> = [rtc, keyboard, mouse, com1, com2].concat();
    Scope::new(
        "\\_SB_.PCI0.ISA_".into(),
        vec![
            &Field::new(
                "P40C".into(),
                FieldAccessType::Byte,
                FieldLockRule::NoLock,
                FieldUpdateRule::Preserve,
                ["PRQ0", "PRQ1", "PRQ2", "PRQ3"]
                    .map(|n| FieldEntry::Named(n.as_bytes().try_into().unwrap_or(*b"PRQ_"), 8))
                    .to_vec(),
            ),
            &Raw(devices),
        ],
    )
    .to_aml_bytes(&mut body);
    let raw: Vec<u8> = (0..4).flat_map(link_device).collect();
    Scope::new("\\_SB_".into(), vec![&Raw(raw)]).to_aml_bytes(&mut body);

    t.append_slice(&body);
    t.as_slice().to_vec()
}

/// AML that is encoded already.
struct Raw(Vec<u8>);

/// The encoding of `object`, which then may end.
fn encoded(object: &dyn Aml) -> Raw {
    let mut out = Vec::new();
    object.to_aml_bytes(&mut out);
    Raw(out)
}

impl Aml for Raw {
    fn to_aml_bytes(&self, sink: &mut dyn acpi_tables::AmlSink) {
        sink.vec(&self.0);
    }
}

/// An edge-triggered ISA interrupt: the small IRQ descriptor (ACPI 6.5, section 6.4.2.1).
fn irq(line: u8) -> Raw {
    let [lo, hi] = (1u16 << line).to_le_bytes();
    Raw(vec![0x22, lo, hi])
}

fn isa_device(name: &str, id: &str, resources: Vec<&dyn Aml>) -> Vec<u8> {
    let mut out = Vec::new();
    Device::new(
        name.into(),
        vec![
            &Name::new("_HID".into(), &EISAName::new(id)),
            &Name::new("_CRS".into(), &ResourceTemplate::new(resources)),
        ],
    )
    .to_aml_bytes(&mut out);
    out
}

/// A PCI interrupt link: its route lies in PIIX3's PIRQ register `i`; bit 7 switches it off.
fn link_device(i: u8) -> Vec<u8> {
    let register = Path::new(&format!("\\_SB_.PCI0.ISA_.PRQ{i}"));
    let possible = encoded(&ResourceTemplate::new(vec![&Raw(vec![
        // Extended interrupt descriptor: level, active high, shared; 5, 10, 11.
        0x89, 14, 0, 0x09, 3, 5, 0, 0, 0, 10, 0, 0, 0, 11, 0, 0, 0,
    ])]));
    let current = encoded(&ResourceTemplate::new(vec![&Interrupt::new(true, false, false, true, 0)]));
    let mut out = Vec::new();
    Device::new(
        format!("LNK{}", char::from(b'A' + i)).as_str().into(),
        vec![
            &Name::new("_HID".into(), &EISAName::new("PNP0C0F")),
            &Name::new("_UID".into(), &i),
            &Name::new("_PRS".into(), &possible),
            &Method::new(
                "_STA".into(),
                0,
                false,
                vec![
                    &If::new(&aml::And::new(&aml::ZERO, &register, &0x80u8), vec![&Return::new(&0x09u8)]),
                    &Return::new(&0x0bu8),
                ],
            ),
            &Method::new("_DIS".into(), 0, false, vec![&aml::Or::new(&register, &register, &0x80u8)]),
            &Method::new(
                "_CRS".into(),
                0,
                true,
                vec![
                    &Name::new("PRR0".into(), &current),
                    &aml::CreateDWordField::new(&Path::new("PRRI"), &Path::new("PRR0"), &5usize),
                    &If::new(
                        &aml::LessThan::new(&register, &0x80u8),
                        vec![&Store::new(&Path::new("PRRI"), &register)],
                    ),
                    &Return::new(&Path::new("PRR0")),
                ],
            ),
            &Method::new(
                "_SRS".into(),
                1,
                false,
                vec![
                    &aml::CreateDWordField::new(&Path::new("PRRI"), &aml::Arg(0), &5usize),
                    &Store::new(&register, &Path::new("PRRI")),
                ],
            ),
        ],
    )
    .to_aml_bytes(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_sum_to_zero_and_fit() {
        let low = 512 << 20;
        let tables = tables(low, 4);
        for (at, bytes) in &tables {
            let sum = bytes.iter().fold(0u8, |s, b| s.wrapping_add(*b));
            assert!(bytes.starts_with(b"FACS") || sum == 0, "the table at {at:#x} has a wrong checksum");
            let inside = *at >= low - super::super::ACPI_BYTES && at + bytes.len() as u64 <= low;
            assert!(inside || *at == RSDP);
        }
    }

    /// Compiled again by an independent tool where it is installed.
    #[test]
    fn dsdt_disassembles() {
        let dir = std::env::temp_dir().join(format!("dejavm-dsdt-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a temporary directory");
        let file = dir.join("dsdt.aml");
        std::fs::write(&file, dsdt(2)).expect("a file in it");
        match std::process::Command::new("iasl").arg("-d").arg(&file).output() {
            Ok(out) => {
                assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
                let text = std::fs::read_to_string(dir.join("dsdt.dsl")).expect("the disassembly");
                for name in ["_S5", "LNKD", "COM2", "PNP0A03", "_PRT"] {
                    assert!(text.contains(name), "{name} is missing");
                }
            }
            Err(e) => println!("not checked with iasl: {e}; it is in Debian's package acpica-tools"),
        }
        std::fs::remove_dir_all(&dir).expect("the directory is ours");
    }
}
