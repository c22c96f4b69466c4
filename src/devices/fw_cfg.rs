//! QEMU's firmware configuration device: what the machine tells its firmware.
//!
//! Reference: QEMU's documentation, specs/fw_cfg (selector, data, DMA interface, item keys).

use super::{Ctx, Device};
use dejavm_interp::mem::{PAGE_SIZE, Place};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Ports, keys and bits.
pub mod spec {
    #![allow(missing_docs, reason = "the names are the documentation's")]
    pub const SELECTOR: u64 = 0x510;
    pub const DATA: u64 = 0x511;
    /// High half of the DMA address, then the low half that starts the transfer; big-endian.
    pub const DMA: u64 = 0x514;
    pub const SIGNATURE: u16 = 0x00;
    pub const ID: u16 = 0x01;
    pub const RAM_SIZE: u16 = 0x03;
    pub const NB_CPUS: u16 = 0x05;
    pub const KERNEL_SIZE: u16 = 0x08;
    pub const INITRD_SIZE: u16 = 0x0b;
    pub const MAX_CPUS: u16 = 0x0f;
    pub const KERNEL_DATA: u16 = 0x11;
    pub const INITRD_DATA: u16 = 0x12;
    pub const CMDLINE_SIZE: u16 = 0x14;
    pub const CMDLINE_DATA: u16 = 0x15;
    pub const SETUP_SIZE: u16 = 0x17;
    pub const SETUP_DATA: u16 = 0x18;
    pub const FILE_DIR: u16 = 0x19;
    pub const FILE_FIRST: u16 = 0x20;
    /// Longest file name, with its final zero.
    pub const NAME: usize = 56;
    /// Traditional and DMA interface.
    pub const ID_VALUE: u32 = 3;
    pub const DMA_SIGNATURE: u64 = 0x5145_4d55_2043_4647;
    pub const DMA_ERROR: u32 = 1;
    pub const DMA_READ: u32 = 2;
    pub const DMA_SKIP: u32 = 4;
    pub const DMA_SELECT: u32 = 8;
    pub const DMA_WRITE: u32 = 16;
    /// Offsets of the memory-mapped device: data, selector and DMA address, big-endian.
    pub const MMIO_DATA: u64 = 0;
    pub const MMIO_SELECTOR: u64 = 8;
    pub const MMIO_DMA: u64 = 16;
    pub const MMIO_SIZE: u64 = 24;
}

/// Bytes shared by all clones of a machine: they never change after power-on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bytes(Arc<[u8]>);

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        serde_bytes::serialize(&*self.0, s)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let bytes: Vec<u8> = serde_bytes::deserialize(d)?;
        Ok(Self(bytes.into()))
    }
}

/// One item: its key, its name when it is a file, its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Item {
    key: u16,
    name: Option<String>,
    bytes: Bytes,
}

/// The device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FwCfg {
    /// Sorted by key.
    items: Vec<Item>,
    key: u16,
    offset: u64,
    dma_high: u32,
}

impl FwCfg {
    /// A device that tells the sizes of memory and the number of CPUs.
    pub fn new(memory: u64, cpus: usize) -> Self {
        let mut f = Self { items: Vec::new(), key: 0, offset: 0, dma_high: 0 };
        let cpus = (cpus as u16).to_le_bytes();
        f.set(spec::SIGNATURE, b"QEMU");
        f.set(spec::ID, &spec::ID_VALUE.to_le_bytes());
        f.set(spec::RAM_SIZE, &memory.to_le_bytes());
        f.set(spec::NB_CPUS, &cpus);
        f.set(spec::MAX_CPUS, &cpus);
        f.directory();
        f
    }

    /// Sets the bytes of a numbered item.
    pub fn set(&mut self, key: u16, bytes: &[u8]) {
        self.items.retain(|item| item.key != key);
        let at = self.items.partition_point(|item| item.key < key);
        self.items.insert(at, Item { key, name: None, bytes: Bytes(bytes.into()) });
    }

    /// Sets a kernel for firmware to boot: its real-mode part, the rest, initial RAM disk and
    /// command line.
    pub fn set_kernel(&mut self, setup: &[u8], kernel: &[u8], initrd: &[u8], cmdline: &str) {
        let cmdline: Vec<u8> = cmdline.bytes().chain([0]).collect();
        let size = |bytes: &[u8]| (bytes.len() as u32).to_le_bytes();
        for (size_key, data_key, bytes) in [
            (spec::SETUP_SIZE, spec::SETUP_DATA, setup),
            (spec::KERNEL_SIZE, spec::KERNEL_DATA, kernel),
            (spec::INITRD_SIZE, spec::INITRD_DATA, initrd),
            (spec::CMDLINE_SIZE, spec::CMDLINE_DATA, &cmdline),
        ] {
            self.set(size_key, &size(bytes));
            self.set(data_key, bytes);
        }
    }

    /// Adds a file, or replaces the one of that name. False when the name is too long (55 bytes)
    /// or there are too many.
    #[must_use]
    pub fn add_file(&mut self, name: &str, bytes: &[u8]) -> bool {
        let old = self.items.iter().find(|i| i.name.as_deref() == Some(name)).map(|i| i.key);
        let next = self.items.last().map_or(spec::FILE_FIRST, |i| i.key.max(spec::FILE_FIRST - 1) + 1);
        let key = old.unwrap_or(next);
        if name.len() >= spec::NAME || key >= 0x4000 {
            return false;
        }
        self.set(key, bytes);
        if let Some(item) = self.items.iter_mut().find(|i| i.key == key) {
            item.name = Some(name.into());
        }
        self.directory();
        true
    }

    /// Makes the directory: sorted by name, everything big-endian.
    fn directory(&mut self) {
        let mut files: Vec<(&str, u16, usize)> =
            self.items.iter().filter_map(|i| Some((i.name.as_deref()?, i.key, i.bytes.0.len()))).collect();
        files.sort_unstable();
        let mut bytes = (files.len() as u32).to_be_bytes().to_vec();
        for (name, key, len) in files {
            bytes.extend((len as u32).to_be_bytes());
            bytes.extend(key.to_be_bytes());
            bytes.extend([0; 2]);
            let mut field = [0; spec::NAME];
            field[..name.len()].copy_from_slice(name.as_bytes());
            bytes.extend(field);
        }
        self.set(spec::FILE_DIR, &bytes);
    }

    /// The bytes of the selected item from the offset on.
    fn rest(&self) -> &[u8] {
        let item = self.items.binary_search_by_key(&self.key, |i| i.key);
        let bytes = item.map_or(&[][..], |i| &self.items[i].bytes.0);
        usize::try_from(self.offset).ok().and_then(|o| bytes.get(o..)).unwrap_or(&[])
    }

    fn select(&mut self, key: u16) {
        self.key = key;
        self.offset = 0;
    }

    /// Runs the command that the guest put at `addr`: control, length, address, big-endian.
    fn dma(&mut self, ctx: &mut Ctx<'_>, addr: u64) {
        let mut command = [0; 16];
        ctx.mem.read(addr, &mut command);
        let [c0, c1, c2, c3, l0, l1, l2, l3, target @ ..] = command;
        let control = u32::from_be_bytes([c0, c1, c2, c3]);
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let target = u64::from_be_bytes(target);
        if control & spec::DMA_SELECT != 0 {
            self.select((control >> 16) as u16);
        }
        let mut status = 0u32;
        if control & spec::DMA_READ != 0 {
            let mut page = [0; PAGE_SIZE as usize];
            let mut done = 0u64;
            // Beyond the item's end everything is zero. A hostile length costs no memory, and no time where
            // there is no RAM.
            while done < u64::from(length) {
                let at = target.wrapping_add(done);
                let n = (u64::from(length) - done).min(PAGE_SIZE - at % PAGE_SIZE);
                if let Place::Ram(_) = ctx.mem.place(at) {
                    let rest = self.rest();
                    let have = rest.len().min(n as usize);
                    page[..have].copy_from_slice(&rest[..have]);
                    page[have..].fill(0);
                    ctx.mem.write(at, &page[..n as usize]);
                }
                done += n;
                self.offset += n;
            }
        } else if control & spec::DMA_WRITE != 0 {
            // No item is writable.
            status = spec::DMA_ERROR;
        } else if control & spec::DMA_SKIP != 0 {
            self.offset = self.offset.saturating_add(length.into());
        }
        ctx.mem.write(addr, &status.to_be_bytes());
    }
}

impl FwCfg {
    /// The next byte of the selected item; zero beyond its end.
    fn next(&mut self) -> u8 {
        let byte = self.rest().first().copied().unwrap_or(0);
        self.offset = self.offset.saturating_add(1);
        byte
    }

    /// Half of the DMA address is written, the low one (`low`) starts the transfer.
    fn dma_address(&mut self, ctx: &mut Ctx<'_>, low: bool, v: u32) {
        if low {
            let high = std::mem::take(&mut self.dma_high);
            self.dma(ctx, u64::from(high) << 32 | u64::from(v));
        } else {
            self.dma_high = v;
        }
    }
}

/// The device as boards without ports have it: the same registers in memory, big-endian, and a data
/// register from which several bytes are read at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FwCfgMmio(pub FwCfg);

impl Device for FwCfgMmio {
    fn read(&mut self, _ctx: &mut Ctx<'_>, addr: u64, size: u8) -> u64 {
        match addr {
            spec::MMIO_DATA => super::read_bytes(0, size, |_| self.0.next()),
            spec::MMIO_DMA..spec::MMIO_SIZE => {
                let bytes = spec::DMA_SIGNATURE.to_be_bytes();
                super::read_bytes(addr - spec::MMIO_DMA, size, |i| {
                    bytes.get(i as usize).copied().unwrap_or(0)
                })
            }
            _ => 0,
        }
    }

    fn write(&mut self, ctx: &mut Ctx<'_>, addr: u64, size: u8, value: u64) {
        match (addr, size) {
            (spec::MMIO_SELECTOR, 2) => self.0.select((value as u16).swap_bytes()),
            (spec::MMIO_DMA, 8) => self.0.dma(ctx, value.swap_bytes()),
            (spec::MMIO_DMA, 4) => self.0.dma_address(ctx, false, (value as u32).swap_bytes()),
            (0x14, 4) => self.0.dma_address(ctx, true, (value as u32).swap_bytes()),
            _ => {}
        }
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

impl Device for FwCfg {
    fn read(&mut self, _ctx: &mut Ctx<'_>, addr: u64, size: u8) -> u64 {
        match addr {
            spec::DATA => self.next().into(),
            // The DMA address registers read as a signature, big-endian.
            0x514..=0x51b => {
                let bytes = spec::DMA_SIGNATURE.to_be_bytes();
                super::read_bytes(addr - spec::DMA, size, |i| bytes.get(i as usize).copied().unwrap_or(0xff))
            }
            _ => u64::MAX,
        }
    }

    fn write(&mut self, ctx: &mut Ctx<'_>, addr: u64, size: u8, value: u64) {
        match (addr, size) {
            (spec::SELECTOR, 2) => self.select(value as u16),
            (spec::DMA, 4) => self.dma_address(ctx, false, (value as u32).swap_bytes()),
            (0x518, 4) => self.dma_address(ctx, true, (value as u32).swap_bytes()),
            // Writing items through the data port ended with QEMU 2.4.
            _ => {}
        }
    }

    fn reset(&mut self) {
        self.select(0);
        self.dma_high = 0;
    }
}
