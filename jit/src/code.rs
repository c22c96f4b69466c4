//! Memory for compiled code, mapped twice, once to write and once to execute, so that no page is
//! ever both.
//!
//! It is shared anonymous memory and not a file in memory: Linux perf looks for the names of code in
//! the process's map file only where no file seems to be.

#![allow(unsafe_code, reason = "mapping memory that can be executed")]

use rustix::mm::{MapFlags, MprotectFlags, MremapFlags, ProtFlags, mmap_anonymous, mprotect, mremap, munmap};
use std::ptr::null_mut;

/// A fixed amount of memory for code, filled from its start.
pub struct CodeMemory {
    /// `size` bytes that can be written.
    write: View,
    /// The same bytes, which can be read and executed.
    execute: View,
    used: usize,
}

/// A mapping that is unmapped when it is dropped.
struct View {
    at: *mut u8,
    size: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread, and a view is used through references to
// the one `CodeMemory` that owns it.
unsafe impl Send for View {}
// SAFETY: as above; a shared reference only gives the address.
unsafe impl Sync for View {}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and nothing refers to it any more.
        let _ = unsafe { munmap(self.at.cast(), self.size) };
    }
}

impl CodeMemory {
    /// Memory for `size` bytes of code.
    ///
    /// # Errors
    /// The host's reason for not providing it.
    pub fn new(size: usize) -> std::io::Result<Self> {
        let size = size.next_multiple_of(1 << 16);
        // SAFETY: the kernel chooses an address where nothing is mapped.
        let at = unsafe {
            mmap_anonymous(null_mut(), size, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED)?
        };
        let write = View { at: at.cast(), size };
        // SAFETY: of a shared mapping, an old size of 0 maps the same memory a second time, at an
        // address that the kernel chooses, and leaves the first mapping as it is (mremap(2)).
        let at = unsafe { mremap(at, 0, size, MremapFlags::MAYMOVE)? };
        let execute = View { at: at.cast(), size };
        // SAFETY: the mapping is this function's own and nothing was read of it yet.
        unsafe { mprotect(at, size, MprotectFlags::READ | MprotectFlags::EXEC)? };
        Ok(Self { write, execute, used: 0 })
    }

    /// The address at which the code that is added next will run.
    pub fn next(&self) -> usize {
        self.execute.at as usize + self.used
    }

    /// The bytes, to write. Nothing that is written may be running.
    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the mapping holds `size` bytes and lives as long as `self`; `execute` shows the same
        // bytes, but is never read as data, and runs only while nobody is here.
        unsafe { std::slice::from_raw_parts_mut(self.write.at, self.write.size) }
    }

    /// Adds code that was made for [`CodeMemory::next`]. Returns where it runs, or `None` when it
    /// does not fit.
    pub fn add(&mut self, code: &[u8]) -> Option<usize> {
        let at = self.next();
        let (start, end) = (self.used, self.used.checked_add(code.len())?);
        self.bytes().get_mut(start..end)?.copy_from_slice(code);
        // Blocks begin at 16 bytes.
        self.used = end.next_multiple_of(16).min(self.write.size);
        Some(at)
    }

    /// Overwrites code at the address `at`, where it runs. Nothing of it may be running.
    pub fn patch(&mut self, at: usize, bytes: &[u8]) {
        let start = at - self.execute.at as usize;
        self.bytes()[start..start + bytes.len()].copy_from_slice(bytes);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The two mappings show the same bytes, no page of either can be written and executed, and perf
    /// will look for names.
    #[test]
    fn mapped_twice() {
        let mut memory = CodeMemory::new(100).expect("the host has memory");
        let at = memory.add(&[0xb8, 1, 2, 3, 4, 0xc3]).expect("it fits");
        assert_eq!((at, memory.used(), memory.next()), (memory.execute.at as usize, 16, at + 16));
        memory.patch(at + 1, &[42, 0, 0, 0]);
        // SAFETY: MOV EAX, 42; RET, where it can be executed.
        let f: extern "sysv64" fn() -> u32 = unsafe { std::mem::transmute(at) };
        assert_eq!(f(), 42);
        let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux");
        for (view, rights) in [(&memory.write, "rw-s"), (&memory.execute, "r-xs")] {
            let start = format!("{:08x}-", view.at as usize);
            let line = maps.lines().find(|l| l.starts_with(&start)).expect("mapped");
            assert!(line.contains(rights) && line.contains("/dev/zero"), "{line}");
        }
        assert!(memory.add(&[0; 1 << 17]).is_none());
        memory.truncate(0);
        assert_eq!(memory.next(), at);
    }
}
