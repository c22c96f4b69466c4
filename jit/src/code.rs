//! Memory for compiled code: one file in memory, mapped twice, once to write and once to execute,
//! so that no page is ever both.

#![allow(unsafe_code, reason = "mapping memory that can be executed")]

use memmap2::{Mmap, MmapMut, MmapOptions};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use std::fs::File;

/// A fixed amount of memory for code, filled from its start.
pub struct CodeMemory {
    write: MmapMut,
    execute: Mmap,
    used: usize,
}

impl CodeMemory {
    /// Memory for `size` bytes of code.
    ///
    /// # Errors
    /// The host's reason for not providing it.
    pub fn new(size: usize) -> std::io::Result<Self> {
        let fd = memfd_create("compiled-code", MemfdFlags::CLOEXEC)?;
        ftruncate(&fd, size as u64)?;
        let file = File::from(fd);
        // SAFETY: the file is this value's own: nobody else maps, truncates or writes it. The two
        // mappings show the same bytes; `execute` is only read as data never, and code is only
        // written where nothing runs, or as one aligned-enough store between two runs.
        let (write, execute) = unsafe {
            (MmapOptions::new().len(size).map_mut(&file)?, MmapOptions::new().len(size).map_exec(&file)?)
        };
        Ok(Self { write, execute, used: 0 })
    }

    /// The address at which the code that is added next will run.
    pub fn next(&self) -> usize {
        self.execute.as_ptr() as usize + self.used
    }

    /// Adds code that was made for [`CodeMemory::next`]. Returns where it runs, or `None` when it
    /// does not fit.
    pub fn add(&mut self, code: &[u8]) -> Option<usize> {
        let at = self.next();
        let end = self.used.checked_add(code.len())?;
        self.write.get_mut(self.used..end)?.copy_from_slice(code);
        // Blocks begin at 16 bytes.
        self.used = end.next_multiple_of(16).min(self.write.len());
        Some(at)
    }

    /// Overwrites code at the address `at`, where it runs. Nothing of it may be running.
    pub fn patch(&mut self, at: usize, bytes: &[u8]) {
        let start = at - self.execute.as_ptr() as usize;
        self.write[start..start + bytes.len()].copy_from_slice(bytes);
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Forgets all code after the first `used` bytes.
    pub fn truncate(&mut self, used: usize) {
        self.used = used;
    }
}

impl std::fmt::Debug for CodeMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CodeMemory").field("used", &self.used).finish_non_exhaustive()
    }
}
